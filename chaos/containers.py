"""The composed scheduler: killed, restarted and paused by the engine; two containers on one volume.

Real minutes pass here: schedules fire at the full minute, and many faults are placed around it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from chaos.outcome import CannotRun, Outcome, Size
from chaos.standby import TAKEOVER_SECONDS, remove_tree
from chaos.world import World, wait_for
from tests.docker.stack import Stack, clone, docker

FULL_SECONDS = 8 * 60
PATIENCE_SECONDS = 120.0
"""The engine waits up to a minute before it restarts what ends again and again."""

WATCHED_SECONDS = 4.0
STANDBY = """services:
  scheduler:
    command: [start, --standby]
  standby:
    extends: {service: scheduler, file: compose.yaml}
    command: [start, --standby]
"""


def fault_the_container(root: Path, chance: Random, size: Size) -> Outcome:
    """Have the engine kill, restart, pause and stop the container while schedules fire and requests arrive."""
    outcome = Outcome()
    with _stack(root / "one", outcome) as (stack, world):
        world.define("minutely", schedule="* * * * *", concurrency_policy="allow", **INSIDE)
        world.define("slow", "sleep 2", schedule="* * * * *", **INSIDE)
        world.define("again", "exit 1", retries={"max_attempts": 2, "initial_delay_seconds": 1}, **INSIDE)
        stack.up()
        for fault in _faults(chance, size):
            _ask(world, chance, outcome, chance.uniform(0.5, 3))
            _wait_for_the_minute(chance)
            before = world.started()
            fault(stack, world, chance, outcome)
            outcome.counts[fault.__name__.strip("_").replace("_", " ")] += 1
            if fault is not _pause:
                _wait_for_start(world, before)
        world.settle()
        stack.compose("stop")
        world.judge(outcome, "container")
    return outcome


def share_a_volume(root: Path, chance: Random, size: Size) -> Outcome:
    """Two containers on one volume: one works, one stands by; a third leaves; also when the logs are removed."""
    outcome = Outcome()
    with _stack(root / "two", outcome) as (stack, world):
        (stack.folder / "compose.override.yaml").write_text(STANDBY)
        world.define("again", "exit 1", retries={"max_attempts": 2, "initial_delay_seconds": 1}, **INSIDE)
        world.define("minutely", schedule="* * * * *", concurrency_policy="allow", **INSIDE)
        stack.compose("up", "--detach", "--wait", "--quiet-pull", "scheduler")
        stack.compose("up", "--detach", "--quiet-pull", "standby")
        works, waits = (stack.compose("ps", "--quiet", name).strip() for name in ("scheduler", "standby"))
        worst = 0.0
        for _ in range(size.of(1, 2, 20)):
            third = _exit_code(stack, "run", "--rm", "--no-deps", "scheduler", "start")
            outcome.expect(third == 75, f"a third container exited with {third}, not 75")
            _ask(world, chance, outcome, chance.uniform(0.5, 2))
            before = world.started()
            docker("kill", works)
            ended = time.monotonic()
            _wait_for_start(world, before)
            worst = max(worst, time.monotonic() - ended)
            outcome.counts["takeovers"] += 1
            docker("start", works)
            works, waits = waits, works
            _ask(world, chance, outcome, 1)
            outcome.expect(world.started() == before + 1, "two containers work")
        outcome.counts["slowest takeover in ms"] = round(worst * 1000)
        outcome.expect(worst < TAKEOVER_SECONDS, f"a takeover took {worst:.2f} s")
        world.settle()
        world.judge(outcome, "two containers")
        for each in range(size.of(0, 1, 3)):
            _remove_the_logs(stack, world, chance, outcome, each)
        stack.compose("stop")
    return outcome


def _remove_the_logs(stack: Stack, world: World, chance: Random, outcome: Outcome, number: int) -> None:
    """Remove the folder that both have mounted. Answered requests lie there no more: it will be a first start."""
    for path in world.triggers.iterdir():
        path.unlink()
    world.asked.clear()
    world.terms.clear()
    remove_tree(world.logs)
    outcome.counts["logs removed"] += 1
    world.define("again", "exit 1", retries={"max_attempts": 2, "initial_delay_seconds": 1}, **INSIDE)
    if chance.random() < 0.5:
        world.logs.mkdir()
    wait_for(lambda: world.started() > 0, "one of the two to work in the new folder", PATIENCE_SECONDS)
    _ask(world, chance, outcome, WATCHED_SECONDS)
    wait_for(lambda: not world.unanswered() and world.is_idle(), "the runs to end")
    outcome.expect(world.started() == 1, f"removal {number}: {world.started()} schedulers work")
    third = _exit_code(stack, "run", "--rm", "--no-deps", "scheduler", "start")
    outcome.expect(third == 75, f"removal {number}: a third container exited with {third}, not 75")
    world.judge(outcome, f"removal {number}")


# Faults


def _kill(stack: Stack, world: World, chance: Random, outcome: Outcome) -> None:
    docker("kill", stack.container())
    _ask(world, chance, outcome, chance.uniform(0, 1))
    docker("start", stack.container())


def _kill_the_process(stack: Stack, world: World, chance: Random, outcome: Outcome) -> None:
    """Kill the scheduler alone; its container ends with it and the engine restarts it."""
    init = stack.inspect(".State.Pid")
    children = Path(f"/proc/{init}/task/{init}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)


def _restart(stack: Stack, world: World, chance: Random, outcome: Outcome) -> None:
    docker("restart", "--time", str(chance.choice((0, 1, 10))), stack.container())


def _stop(stack: Stack, world: World, chance: Random, outcome: Outcome) -> None:
    docker("stop", stack.container())
    code = stack.inspect(".State.ExitCode")
    outcome.expect(code == 0, f"a stopped container exited with {code}")
    docker("start", stack.container())


def _pause(stack: Stack, world: World, chance: Random, outcome: Outcome) -> None:
    docker("pause", stack.container())
    _ask(world, chance, outcome, chance.uniform(0.2, 5))
    docker("unpause", stack.container())


Fault = Callable[[Stack, World, Random, Outcome], None]
FAULTS: tuple[Fault, ...] = (_kill, _pause, _restart, _kill_the_process, _stop)
INSIDE: dict[str, Any] = {"environment": {"EVIDENCE": "/logs/evidence"}}


def _faults(chance: Random, size: Size) -> Iterator[Fault]:
    """Yield faults for some minutes, or one or each of them once."""
    end = time.monotonic() + FULL_SECONDS
    while size is Size.FULL and time.monotonic() < end:
        yield chance.choice(FAULTS)
    if size is not Size.FULL:
        yield from size.sample(chance, FAULTS, 1)


# Inside


@contextlib.contextmanager
def _stack(folder: Path, outcome: Outcome) -> Iterator[tuple[Stack, World]]:
    """Give a clone and a world in its folders; evidence lies in the logs, where jobs can write."""
    if not shutil.which("docker") or subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        raise CannotRun("no Docker engine answers")
    folder.mkdir()
    stack = Stack(clone(folder, owner=os.geteuid()), SCHEDULER_LOG_BACKUPS="100", SCHEDULER_LOG_MAX_BYTES="100000")
    world = World(stack.folder)
    world.evidence = world.logs / "evidence"
    world.evidence.touch()
    try:
        yield stack, world
    finally:
        stack.close()
        if not outcome.findings:
            world.clear_up()


def _wait_for_start(world: World, before: int) -> None:
    wait_for(lambda: world.started() > before, "a container to work", PATIENCE_SECONDS)


def _exit_code(stack: Stack, *arguments: str) -> int:
    command = ["docker", "compose", "-p", stack.project, *arguments]
    return subprocess.run(command, cwd=stack.folder, capture_output=True, check=False, timeout=60).returncode


def _ask(world: World, chance: Random, outcome: Outcome, seconds: float) -> None:
    """Ask for runs and cancels for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        outcome.counts["requests"] += 1
        action = "cancel" if chance.random() < 0.1 else "run"
        world.ask(chance.choice(("minutely", "slow", "again")), f"q{outcome.counts['requests']}", action)
        time.sleep(chance.uniform(0.02, 0.3))


def _wait_for_the_minute(chance: Random) -> None:
    """Sleep to just before or after a full minute that is near."""
    left = 60 - time.time() % 60
    if left < 6:
        time.sleep(max(0.0, left + chance.uniform(-0.5, 0.8)))
