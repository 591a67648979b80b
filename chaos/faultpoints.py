"""Kill the scheduler before, after and half-way through every single call that changes the disk or starts a process."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from chaos.fakeclock import FastClock
from chaos.outcome import Outcome, Size
from chaos.world import World, wait_for

MOST_POINTS = 400

SETTINGS = {"SCHEDULER_LOG_MAX_BYTES": "1", "SCHEDULER_LOG_BACKUPS": "2000"}
"""Log files as small as they may be: four checkpoints, so that rotations are among the calls."""

BEGIN = datetime(2026, 3, 28, 22, tzinfo=UTC)
INSTANT = BEGIN + timedelta(minutes=20)
"""What is due here is decided ahead, a second after the story's scheduler began."""


def kill_at_every_call(root: Path, chance: Random, size: Size) -> Outcome:
    """Tell one story again and again, each time killed at another point; judge each after a recovery."""
    outcome = Outcome()
    template = _template(root)
    points = range(1, _count(root, template) + 1)
    for when in size.sample(chance, ("before", "after", "torn"), 1):
        for number in size.sample(chance, points, 1, 10):
            _tell(root, template, number, when, outcome)
    if not outcome.findings:
        template.clear_up()
    return outcome


def _template(root: Path) -> World:
    """Return a world in which a scheduler was killed while runs were going, queued and to be retried."""
    world = World(root / "template", FastClock(BEGIN, 1), SCHEDULER_MAX_CONCURRENT_RUNS="3", **SETTINGS)
    world.define("hourly", schedule="0 * * * *")
    world.define("minutely", schedule="* * * * *", concurrency_policy="allow")
    world.define("late", schedule="*/7 * * * *", starting_deadline_seconds=0)
    world.define("again", "exit 1", retries={"max_attempts": 2, "initial_delay_seconds": 1})
    world.define("slow", "sleep 30", retries={"max_attempts": 2, "initial_delay_seconds": 0.1})
    world.define("replace", "sleep 0.1", concurrency_policy="replace")
    world.start_and_wait()
    world.ask("again", "t1")
    world.ask("slow", "t2")
    wait_for(lambda: len(world.ledger().retries) and len(world.ledger().open), "a run and a retry")
    world.kill()
    _ask(world)
    return world


def _ask(world: World) -> None:
    """Drop what the killed scheduler will find when it starts."""
    for number in range(3):
        world.ask("minutely", f"q{number}")
    for number in range(3, 5):
        world.ask("replace", f"q{number}")
    world.ask("again", "q5")
    world.ask("slow", "q6", "cancel")
    world.ask("nobody", "q7")
    world.define("late", "true", schedule="*/5 * * * *", starting_deadline_seconds=0)


def _copy(root: Path, template: World, name: str) -> World:
    """Return a copy of the template, just before INSTANT. What lives of its runs, the first recovery ends."""
    shutil.copytree(template.root, root / name)
    world = World(root / name, FastClock(INSTANT - timedelta(seconds=2), 1), **template.settings)
    world.terms = dict(template.terms)
    world.asked = {key: world.triggers / path.name for key, path in template.asked.items()}
    return world


def _count(root: Path, template: World) -> int:
    """Return how many calls there are in the story when nobody kills it."""
    world = _copy(root, template, "count")
    trace = _run(world, MOST_POINTS * 10, "before")
    calls = int(re.findall(r"CALLS (\d+)", trace)[-1])
    world.clear_up()
    return min(calls, MOST_POINTS)


def _run(world: World, number: int, when: str) -> str:
    """Run the story's scheduler until it is killed, or until all is done; return what it said."""
    process = world.start(launcher=("-m", "chaos.launcher", str(number), when))
    end = INSTANT + timedelta(milliseconds=200)

    def is_over() -> bool:
        return process.poll() is not None or (world.clock.now() > end and not world.unanswered() and world.is_idle())

    wait_for(is_over, "the story to end")
    if process.poll() is None:
        process.terminate()
        process.wait()
    return world.stderr()


def _tell(root: Path, template: World, number: int, when: str, outcome: Outcome) -> None:
    world = _copy(root, template, f"{when}{number}")
    said = re.findall(r"KILLED AT (\w+)", _run(world, number, when))
    outcome.counts["stories"] += 1
    for name in said:
        outcome.counts[f"killed {when} {name}"] += 1
    before = len(outcome.findings)
    assert isinstance(world.clock, FastClock)
    world.clock.forward(timedelta(minutes=3))
    world.start_and_wait()
    world.ask("minutely", "after")
    world.settle()
    outcome.expect(world.stop() == 0, f"{when} call {number}: the recovered scheduler did not exit with 0")
    world.judge(outcome, f"{when} call {number} ({''.join(said) or 'not reached'})")
    if len(outcome.findings) == before:
        world.clear_up()
