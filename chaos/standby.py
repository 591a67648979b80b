"""Two schedulers on one logs volume: the second leaves or stands by, takes over within two seconds, never works too."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from chaos.fakeclock import FastClock
from chaos.outcome import Outcome, Size
from chaos.world import World, wait_for

TAKEOVER_SECONDS = 2.0

WATCHED_SECONDS = 3.0
"""So long after its logs are gone a standby is watched; it looks several times a second."""


def take_over(root: Path, chance: Random, size: Size) -> Outcome:
    """Kill, stop or end the working one again and again; time what it takes until the standby works."""
    outcome = Outcome()
    world = World(root / "standby")
    world.define("quick", concurrency_policy="allow")
    world.define("slow", "sleep 0.5", retries={"max_attempts": 2, "initial_delay_seconds": 0.1})
    world.start_and_wait()
    worst = 0.0
    for number in range(size.of(2, 8, 50)):
        standby = world.spawn("--standby")
        third = world.spawn()
        outcome.expect(
            third.wait(30) == 75, f"round {number}: a third scheduler exited with {third.returncode}, not 75"
        )
        for each in range(3):
            world.ask(chance.choice(("quick", "slow")), f"q{number}-{each}")
        time.sleep(chance.uniform(0.3, 0.8))
        outcome.expect(standby.poll() is None, f"round {number}: the standby ended while another one worked")
        outcome.expect(world.started() == number + 1, f"round {number}: two schedulers work")
        worst = max(worst, _end(world, standby, chance, outcome, number))
        world.process = standby
    outcome.counts["slowest takeover in ms"] = round(worst * 1000)
    outcome.expect(worst < TAKEOVER_SECONDS, f"a takeover took {worst:.2f} s")
    world.settle()
    outcome.expect(world.stop() == 0, "the last scheduler did not exit with 0")
    world.judge(outcome, "standby")
    if not outcome.findings:
        world.clear_up()
    return outcome


def _end(world: World, standby: subprocess.Popen[bytes], chance: Random, outcome: Outcome, number: int) -> float:
    """End the working scheduler and return how long nobody worked."""
    assert world.process is not None
    how = chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
    world.process.send_signal(how)
    world.process.wait(30)
    ended = time.monotonic()
    outcome.counts[f"ended by {how.name}"] += 1
    wait_for(lambda: world.started() == number + 2, "the standby to take over")
    seconds = time.monotonic() - ended
    holder = _holders(world)
    outcome.expect(holder == {standby.pid}, f"round {number}: the lock is held by {holder}, not {standby.pid}")
    return seconds


def lose_the_logs(root: Path, chance: Random, size: Size) -> Outcome:
    """Remove the logs directory under a working scheduler and its standby: only one works, and the other still waits.

    The clock runs 60 times as fast, so that a schedule fires each second of it.
    """
    outcome = Outcome()
    world = World(root / "lost", FastClock(datetime(2026, 3, 28, 22, tzinfo=UTC), 60))
    world.define("minutely", 'echo "$JOB_SCHEDULED_TIME" >> "$EVIDENCE.times"', "* * * * *", concurrency_policy="allow")
    world.start_and_wait()
    for number in range(size.of(1, 2, 10)):
        standby = world.spawn("--standby")
        time.sleep(chance.uniform(1, 2))
        remove_tree(world.logs)
        outcome.counts["logs removed"] += 1
        deadline = time.monotonic() + WATCHED_SECONDS
        while time.monotonic() < deadline:
            world.ask("minutely", f"q{number}-{time.monotonic_ns()}")
            time.sleep(chance.uniform(0, 0.3))
        third = world.spawn()
        outcome.expect(third.wait(30) == 75, f"round {number}: a third one exited with {third.returncode}, not 75")
        outcome.expect(world.started() == 0, f"round {number}: the standby works beside the one that lives")
        assert world.process is not None
        outcome.expect(world.process.poll() is None, f"round {number}: the working one ended")
        world.kill()
        ended = time.monotonic()
        wait_for(lambda: world.started() == 1, "the standby to take over")
        seconds = time.monotonic() - ended
        outcome.expect(seconds < TAKEOVER_SECONDS, f"round {number}: the takeover took {seconds:.2f} s")
        world.process = standby
    world.settle()
    outcome.expect(world.stop() == 0, "the last scheduler did not exit with 0")
    times = [line for line in (world.root / "evidence.times").read_text().splitlines() if line]
    outcome.counts["times run"] += len(times)
    twice = {moment for moment in times if times.count(moment) > 1}
    outcome.expect(not twice, f"run twice: {sorted(twice)}")
    world.judge(outcome, "lost", whole=False)
    if not outcome.findings:
        world.clear_up()
    return outcome


def remove_tree(directory: Path) -> None:
    """Remove a directory in which a scheduler goes on making files."""
    for _ in range(100):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return


def _holders(world: World) -> set[int]:
    """Return who holds the lock of the logs, by /proc/locks, which names nobody for the one that may be asked for."""
    inode = os.stat(world.logs / ".lock").st_ino
    rows = (row.split() for row in Path("/proc/locks").read_text().splitlines())
    return {int(row[4]) for row in rows if row[1] == "FLOCK" and row[5].endswith(f":{inode}")}
