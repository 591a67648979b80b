"""The clock is set, the process is stopped for a while, and the nights come in which clocks change."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from cronsim import CronSim

from chaos.fakeclock import FastClock, SteppedClock
from chaos.outcome import Outcome, Size
from chaos.world import World, wait_for
from sidecar.clock import from_iso

STEPS = {
    "+90 s": timedelta(seconds=90),
    "+10 min": timedelta(minutes=10),
    "+1 h": timedelta(hours=1),
    "+1 day": timedelta(days=1),
    "-30 s": -timedelta(seconds=30),
    "-10 min": -timedelta(minutes=10),
    "-1 h": -timedelta(hours=1),
    "-2 h": -timedelta(hours=2),
    "-4 h": -timedelta(hours=4),
    "-1 day": -timedelta(days=1),
}

NIGHT_SPEED = 600
BEFORE, AFTER = timedelta(minutes=40), timedelta(hours=3)

NIGHTS = {
    "Europe/Berlin": ("2026-03-29T01:00", "2026-10-25T01:00"),
    "America/New_York": ("2026-03-08T07:00", "2026-11-01T06:00"),
    "Australia/Lord_Howe": ("2026-10-03T15:30", "2026-04-04T15:00"),
    "Africa/Cairo": ("2026-04-23T22:00", "2026-10-29T21:00"),
    "America/Santiago": ("2026-09-06T04:00", "2026-04-05T03:00"),
    "UTC": ("2028-02-29T00:00", "2027-01-01T00:00"),
}
"""When each zone's clock goes forward and back (UTC); for UTC itself, a leap day and the end of a year."""

NIGHT_SCHEDULES = (
    "* * * * *",
    "*/15 * * * *",
    "30 1 * * *",
    "15 0-4 * * *",
    "0 * * * *",
    "5 2 29 2 *",
    "30 0,1,2,3 * * *",
)


def set_the_clock(root: Path, chance: Random, size: Size) -> Outcome:
    """Step the clock under running schedulers and between two of them, some killed on the way."""
    outcome = Outcome()
    for number in range(size.of(1, 2, 12)):
        clock_file = root / f"offset{number}"
        world = World(root / f"steps{number}", SteppedClock(clock_file))
        _steps(world, chance, outcome, size.of(3, 10, 20))
        world.judge(outcome, f"steps {number}")
        if not outcome.findings:
            world.clear_up()
            clock_file.unlink(missing_ok=True)
    return outcome


def _steps(world: World, chance: Random, outcome: Outcome, number: int) -> None:
    clock = world.clock
    assert isinstance(clock, SteppedClock)
    world.define("minutely", schedule="* * * * *", concurrency_policy="allow")
    world.define("hourly", schedule="0 * * * *", jitter_seconds=20)
    world.define("short", schedule="*/5 * * * *", starting_deadline_seconds=30)
    world.define("daily", schedule="30 3 * * *", starting_deadline_seconds=86400)
    world.start_and_wait()
    for step in range(number):
        name = chance.choice(list(STEPS))
        outcome.counts[f"clock {name}"] += 1
        outcome.counts["steps"] += 1
        is_down = chance.random() < 0.3
        if is_down:
            world.kill()
            outcome.counts["kills"] += 1
        clock.forward(STEPS[name])
        if is_down:
            world.start_and_wait()
        if chance.random() < 0.3:
            clock.forward(timedelta(seconds=59 - clock.now().second))
            outcome.counts["full minutes"] += 1
        if chance.random() < 0.5:
            world.ask("minutely", f"q{step}")
        if chance.random() < 0.3:
            world.define("minutely", schedule="* * * * *", concurrency_policy="allow", description=f"step {step}")
            outcome.counts["definition changes"] += 1
        time.sleep(chance.uniform(1.1, 2.5))
    world.settle()
    outcome.expect(world.stop() == 0, "the scheduler did not exit with 0")


def set_back_and_change(root: Path, chance: Random, size: Size) -> Outcome:
    """Put the clock back over a time that has run, then change, restart or rename: it must not run again."""
    outcome = Outcome()
    for number in range(size.of(1, 1, 4)):
        clock = SteppedClock(root / f"offset{number}")
        world = World(root / f"setback{number}", clock)
        _set_back(world, clock, chance, outcome)
        world.judge(outcome, f"set back {number}")
        if not outcome.findings:
            world.clear_up()
            (root / f"offset{number}").unlink(missing_ok=True)
    return outcome


def _set_back(world: World, clock: SteppedClock, chance: Random, outcome: Outcome) -> None:
    names = ("unchanged", "changed", "removed", "changed-while-down")
    for name in names:
        world.define(name, schedule="* * * * *", concurrency_policy="allow")
    world.start_and_wait()
    clock.forward(timedelta(seconds=57 - clock.now().second))
    wait_for(lambda: len(world.lines("job_complete")) >= len(names), "the minute's runs")
    clock.forward(-timedelta(seconds=clock.now().second + chance.randint(3, 9)))
    outcome.counts["steps"] += 1
    time.sleep(1.5)
    world.define("changed", schedule="* * * * *", concurrency_policy="allow", description="changed")
    (world.jobs / "removed.json").unlink()
    time.sleep(1.5)
    world.define("removed", schedule="* * * * *", concurrency_policy="allow")
    world.kill()
    world.define("changed-while-down", schedule="* * * * *", concurrency_policy="allow", description="changed")
    world.start_and_wait()
    while clock.now().second > 4:
        time.sleep(0.1)
    time.sleep(1)
    world.settle()
    outcome.expect(world.stop() == 0, "the scheduler did not exit with 0")


def stop_and_continue(root: Path, chance: Random, size: Size) -> Outcome:
    """Stop the process (SIGSTOP) for up to four minutes of its time, again and again, as a suspended machine does."""
    outcome = Outcome()
    world = World(root / "stopped", FastClock(datetime(2026, 3, 28, 22, tzinfo=UTC), 60))
    world.define("minutely", schedule="* * * * *", concurrency_policy="allow")
    world.define("forbid", "sleep 0.5", schedule="* * * * *")
    world.define("short", schedule="* * * * *", starting_deadline_seconds=0)
    world.define("long", "sleep 0.5", schedule="*/2 * * * *", timeout_seconds=60)
    world.start_and_wait()
    assert world.process is not None
    for number in range(size.of(3, 8, 60)):
        time.sleep(chance.uniform(0.1, 1))
        world.process.send_signal(signal.SIGSTOP)
        world.ask("minutely", f"q{number}")
        time.sleep(chance.uniform(0.1, 4 if chance.random() < 0.3 else 1))
        world.process.send_signal(signal.SIGCONT)
        outcome.counts["stops"] += 1
    world.settle()
    outcome.expect(world.stop() == 0, "the scheduler did not exit with 0")
    world.judge(outcome, "stopped")
    if not outcome.findings:
        world.clear_up()
    return outcome


def sit_through_nights(root: Path, chance: Random, size: Size) -> Outcome:
    """Run through the nights in which clocks change, killed on the way, and count by another implementation of cron."""
    outcome = Outcome()
    nights = [(zone, change) for zone, changes in NIGHTS.items() for change in changes]
    for zone, change in size.sample(chance, nights, 1, 2):
        begin = datetime.fromisoformat(change).replace(tzinfo=UTC) - BEFORE
        world = World(root / f"{zone.replace('/', '-')}-{change[:10]}", FastClock(begin, NIGHT_SPEED), TZ=zone)
        for number, schedule in enumerate(NIGHT_SCHEDULES):
            world.define(f"job{number}", schedule=schedule, starting_deadline_seconds=600)
        kills = sorted(chance.uniform(0.1, 0.9) for _ in range(2))
        world.start_and_wait()
        for share in kills:
            _wait_until(world, begin + share * (BEFORE + AFTER))
            world.kill()
            world.start_and_wait()
            outcome.counts["kills"] += 1
        _wait_until(world, begin + BEFORE + AFTER)
        outcome.expect(world.stop() == 0, f"{zone}: the scheduler did not exit with 0")
        outcome.counts["nights"] += 1
        before = len(outcome.findings)
        world.judge(outcome, f"{zone} {change}")
        for number, schedule in enumerate(NIGHT_SCHEDULES):
            _count_again(world, f"job{number}", schedule, zone, outcome)
        if len(outcome.findings) == before:
            world.clear_up()
    return outcome


def _wait_until(world: World, moment: datetime) -> None:
    while world.clock.now() < moment:
        time.sleep(0.05)


def _count_again(world: World, job_name: str, schedule: str, zone: str, outcome: Outcome) -> None:
    """Hold the times that the journal accounts for against cronsim's, between the first and the last line."""
    record = world.ledger().jobs[job_name]
    started = [line for line in world.lines("job_start") if line["job_name"] == job_name]
    passed = [line for line in world.lines("job_skipped", "job_missed") if line["job_name"] == job_name]
    ours = len(started) + sum(line["count"] for line in passed if line["run_id"] is None)
    theirs = 0
    if ours:
        simulated = CronSim(schedule, record.since.astimezone(ZoneInfo(zone)))
        for moment in simulated:
            if moment.astimezone(UTC) > record.handled:
                break
            theirs += 1
    outcome.counts["times counted again"] += theirs
    outcome.expect(ours == theirs, f"{zone} {job_name} ({schedule}): {ours} times, cronsim says {theirs}")
    last = max((from_iso(line["scheduled_time"]) for line in (*started, *passed)), default=None)
    outcome.expect(
        last is None or last == record.handled, f"{zone} {job_name}: handled is {record.handled}, not {last}"
    )
