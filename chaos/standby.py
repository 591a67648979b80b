"""Two schedulers on one logs volume: the second leaves or stands by, takes over within two seconds, never works too."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from random import Random

from chaos.outcome import Outcome
from chaos.world import World, wait_for

TAKEOVER_SECONDS = 2.0


def take_over(root: Path, chance: Random, full: bool) -> Outcome:
    """Kill, stop or end the working one again and again; time what it takes until the standby works."""
    outcome = Outcome()
    world = World(root / "standby")
    world.define("quick", concurrency_policy="allow")
    world.define("slow", "sleep 0.5", retries={"max_attempts": 2, "initial_delay_seconds": 0.1})
    world.start_and_wait()
    worst = 0.0
    for number in range(50 if full else 8):
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


def _holders(world: World) -> set[int]:
    """Return who holds the lock of the logs, by /proc/locks."""
    inode = os.stat(world.logs / ".lock").st_ino
    rows = Path("/proc/locks").read_text().splitlines()
    return {int(row.split()[4]) for row in rows if row.split()[5].endswith(f":{inode}") and "->" not in row}
