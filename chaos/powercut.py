"""The power goes: what the kernel had not written yet is lost, which a kill leaves alone.

The scheduler works on an ext4 file system whose disk is a file on XFS. A reflink copy of that file, made in one moment
while everything goes on, is the disk of a machine that lost its power then. Needs root, to mount file systems.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from chaos.fakeclock import FastClock
from chaos.outcome import CannotRun, Outcome, Size
from chaos.world import World, wait_for
from sidecar.model import request_key

SPEED = 60
BEGIN = datetime(2026, 3, 28, 22, tzinfo=UTC)
HOST_BYTES, DISK_BYTES = 2 << 30, 64 << 20
JOBS = ("minutely", "again", "talks", "forbid")


@dataclass(frozen=True, slots=True)
class Cut:
    """A disk as it was, and the run ids that commands had left as evidence a moment before and a moment after."""

    disk: Path
    at: datetime
    before: frozenset[str]
    after: frozenset[str]


def cut_the_power(root: Path, chance: Random, size: Size) -> Outcome:
    """Copy the disk under a working scheduler many times, and have a scheduler recover on each copy."""
    if os.geteuid() != 0:
        raise CannotRun("only root may mount file systems")
    if shutil.which("mkfs.xfs") is None:
        raise CannotRun("mkfs.xfs is missing; on Debian and Ubuntu: apt install xfsprogs")
    outcome = Outcome()
    with _mounted(_formatted(root / "host", HOST_BYTES, "xfs"), root / "disks") as disks:
        for number in range(size.of(1, 2, 10)):
            cuts = _work(root / f"machine{number}", disks, chance, outcome, size.of(2, 5, 10))
            for each, (world, cut) in enumerate(cuts):
                _recover(root / f"machine{number}-{each}", world, cut, outcome)
    if not outcome.findings:
        shutil.rmtree(root)
    return outcome


def _work(root: Path, disks: Path, chance: Random, outcome: Outcome, cuts: int) -> list[tuple[World, Cut]]:
    """Let schedules fire, requests come and definitions change; return the disk at some moments of that."""
    disk = _formatted(disks / root.name, DISK_BYTES, "ext4")
    found = []
    # The longer ext4 waits with what nobody asked it to write, the more a cut loses.
    with _mounted(disk, root, f"commit={chance.choice((1, 5, 300))}"):
        world = _world(root, FastClock(BEGIN, SPEED))
        world.start_and_wait()
        for number in range(cuts):
            deadline = time.monotonic() + chance.uniform(0.3, 3)
            while time.monotonic() < deadline:
                outcome.counts["requests"] += 1
                _ask(world, chance, f"q{outcome.counts['requests']}")
                if chance.random() < 0.1:
                    world.define("again", "exit 1", retries={"max_attempts": 2, "initial_delay_seconds": 10 + number})
                time.sleep(chance.uniform(0, 0.05))
            before, copy = _evidence(world), disk.with_name(f"{disk.name}-{number}")
            _call("cp", "--reflink=always", str(disk), str(copy))
            found.append((world, Cut(copy, world.clock.now(), before, _evidence(world))))
            outcome.counts["power cuts"] += 1
        world.kill()
        wait_for(lambda: _is_still(world), "the last commands to end")
    world.evidence.unlink()
    return found


def _world(root: Path, clock: FastClock) -> World:
    """A world whose evidence is not on its disk."""
    world = World(root, clock, SCHEDULER_LOG_MAX_BYTES="30000", SCHEDULER_LOG_BACKUPS="2000")
    world.evidence = root.with_name(f"{root.name}.evidence")
    world.evidence.touch()
    world.define("minutely", schedule="* * * * *", concurrency_policy="allow")
    world.define("again", "exit 1", retries={"max_attempts": 2, "initial_delay_seconds": 10})
    world.define("talks", "head -c 3000 /dev/zero | tr '\\0' x", concurrency_policy="allow")
    world.define("forbid", "sleep 0.2", schedule="* * * * *")
    return world


def _recover(root: Path, lost: World, cut: Cut, outcome: Outcome) -> None:
    """Start a scheduler on what a power cut left, and judge the journal of both."""
    with _mounted(cut.disk, root):
        clock = FastClock(cut.at + timedelta(seconds=SPEED), SPEED)
        evidence = root.with_name(f"{root.name}.evidence")
        world = World(root, clock, **lost.settings)
        world.evidence.unlink()
        world.evidence, world.terms = evidence, lost.terms.copy()
        started = {line["run_id"] for line in world.lines("job_start")}
        too_early = cut.before - started
        outcome.expect(not too_early, f"{root.name}: commands ran whose start was not on disk: {sorted(too_early)[:5]}")
        evidence.write_text("".join(f"{run_id}\n" for run_id in sorted(cut.after & started)))
        world.asked = _requests(world)
        outcome.counts["requests there after a cut"] += len(world.asked)
        world.start_and_wait()
        world.ask("minutely", "after the cut")
        world.settle()
        outcome.expect(world.stop() == 0, f"{root.name}: the scheduler did not exit with 0")
        world.judge(outcome, root.name)
    cut.disk.unlink()
    evidence.unlink()


def _ask(world: World, chance: Random, request_id: str) -> None:
    """Drop a request, half of them as careless programs do, which do not have it written."""
    world.ask(chance.choice(JOBS), request_id)
    if chance.random() < 0.5:
        descriptor = os.open(world.triggers / f"{request_id}.json", os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def _requests(world: World) -> dict[str, Path]:
    """Return the requests that the disk has, by their keys; whoever drops one without fsync may lose it."""
    found = {}
    for path in world.triggers.glob("*.json"):
        with contextlib.suppress(ValueError):
            document = json.loads(path.read_bytes())
            found[request_key(document["action"], document["job_name"], document["request_id"])] = path
    return found


def _evidence(world: World) -> frozenset[str]:
    return frozenset(world.evidence.read_text().split())


def _is_still(world: World) -> bool:
    before = world.evidence.read_text()
    time.sleep(0.5)
    return before == world.evidence.read_text()


# File systems


def _formatted(path: Path, size: int, kind: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    _call(f"mkfs.{kind}", "-q", str(path))
    return path


@contextlib.contextmanager
def _mounted(disk: Path, place: Path, options: str = "") -> Iterator[Path]:
    place.mkdir()
    _call("mount", "-o", f"loop,{options}".rstrip(","), str(disk), str(place))
    try:
        yield place
    finally:
        # Lazily, as a command of a killed scheduler may be about to end.
        _call("umount", "-l", str(place))
        place.rmdir()


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)
