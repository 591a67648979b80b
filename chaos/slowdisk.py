"""Every fsync takes up to a third of a second, some take three: late is allowed, twice and lost are not."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from chaos.fakeclock import FastClock
from chaos.outcome import Outcome, Size
from chaos.slowlauncher import SPEED
from chaos.world import World


def slow_the_disk(root: Path, chance: Random, size: Size) -> Outcome:
    """Let schedules fire and requests arrive on a slow disk, and kill the scheduler in the middle of its waits."""
    outcome = Outcome()
    clock = FastClock(datetime(2026, 3, 28, 22, tzinfo=UTC), SPEED)
    world = World(root / "slow", clock, SCHEDULER_LOG_MAX_BYTES="50000", SCHEDULER_LOG_BACKUPS="2000")
    world.define("minutely", schedule="* * * * *", concurrency_policy="allow")
    world.define("forbid", "sleep 0.3", schedule="* * * * *")
    world.define("short", schedule="* * * * *", starting_deadline_seconds=0)
    world.define("again", "exit 1", retries={"max_attempts": 2, "initial_delay_seconds": 10})
    for _ in range(size.of(1, 4, 40)):
        world.start(launcher=("-m", "chaos.slowlauncher", str(chance.random())))
        deadline = time.monotonic() + chance.uniform(1, 6)
        while time.monotonic() < deadline:
            outcome.counts["requests"] += 1
            world.ask(chance.choice(("minutely", "forbid", "again")), f"q{outcome.counts['requests']}")
            time.sleep(chance.uniform(0, 0.2))
        world.kill()
        outcome.counts["kills"] += 1
    world.start(launcher=("-m", "chaos.slowlauncher", str(chance.random())))
    world.settle()
    outcome.expect(world.stop() == 0, "the last scheduler did not exit with 0")
    world.judge(outcome, "slow")
    if not outcome.findings:
        world.clear_up()
    return outcome
