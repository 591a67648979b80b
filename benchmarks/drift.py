"""Measure 1: how late jobs start that are due at the same time, by their own clocks, and what a run costs."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import machine, systems, workshop
from benchmarks.report import Figures
from benchmarks.systems import EVERY_MINUTE, Job, System

MINUTE_SECONDS = 60
LATEST_SECONDS = 55.0
TOLD_BEFORE_SECONDS = 0.5

RIDERS = (systems.FLOOR_C, systems.FLOOR_PYTHON, systems.APSCHEDULER, systems.SCHEDULE)
"""They have seconds of the minute for themselves, and so share minutes with one of the others."""

SLOTS: dict[int, Sequence[Sequence[System]]] = {
    1: (
        (*RIDERS, systems.PRODUCT, systems.CRON, systems.BUSYBOX),
        (systems.CRONSTABLE, systems.YACRON),
    ),
    100: ((*RIDERS, systems.PRODUCT), (systems.CRONSTABLE,)),
    1000: ((*RIDERS, systems.PRODUCT), (systems.CRONSTABLE,), (systems.BUSYBOX,), (systems.CRON,)),
}
"""Who shares a minute: with one job each, those that are never late by the same time.

yacron is left out with more: it takes minutes to start a thousand.
"""


def measure(root: Path, jobs: int) -> Iterator[tuple[str, str, Figures]]:
    """Yield (measure, system, figures) for so many jobs; takes a minute or two for each slot."""
    for number, slot in enumerate(SLOTS[jobs]):
        present = [system for system in slot if system.missing() is None]
        for system, figures in _slot(root / f"{jobs}-{number}", present, jobs).items():
            yield f"start drift, {jobs:,} job{'s' if jobs > 1 else ''}", system, figures


def _slot(root: Path, members: Sequence[System], jobs: int) -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    with ExitStack() as stack:
        processes: dict[str, subprocess.Popen[bytes]] = {}
        for system in members:
            place = _place(root, system)
            place.mkdir(parents=True)
            given = [Job(f"job{n}", EVERY_MINUTE, workshop.stamp(place / "stamps", str(n))) for n in range(jobs)]
            processes[system.name] = stack.enter_context(system.running(place, given))
        for minute in range(1 + max((system.warm_up_minutes for system in members), default=0)):
            for phase in sorted({system.phase for system in members}):
                together = [system for system in members if system.phase == phase]
                for system, figures in zip(together, _at_once(root, together, processes, jobs), strict=True):
                    if minute < system.warm_up_minutes:
                        found[f"{system.name}, first minute"] = figures
                    else:
                        found.setdefault(system.name, figures)
    return found


def _at_once(
    root: Path, members: Sequence[System], processes: Mapping[str, subprocess.Popen[bytes]], jobs: int
) -> list[Figures]:
    """Wait for the next instant of systems with the same phase, and for all of their jobs."""
    due = _next_due(members[0].phase)
    time.sleep(max(0.0, due - TOLD_BEFORE_SECONDS - time.time()))
    files = [_place(root, system) / "stamps" for system in members]
    pids = [processes[system.name].pid for system in members]
    for stamps in files:
        stamps.unlink(missing_ok=True)
    before = [machine.tree_cpu(pid) for pid in pids]
    machine.wait_for(lambda: all(_started(stamps) >= jobs for stamps in files), LATEST_SECONDS, pause=0.05)
    time.sleep(0.5)  # the ends are part of what a run costs
    return [
        _figures(stamps, due, machine.tree_cpu(pid) - cpu, pid)
        for stamps, pid, cpu in zip(files, pids, before, strict=True)
    ]


def _started(stamps: Path) -> int:
    return stamps.read_bytes().count(b"\n") if stamps.exists() else 0


def _figures(stamps: Path, due: int, cpu: float, pid: int) -> Figures:
    late = sorted(int(line.split()[0]) / 1e6 - due * 1e3 for line in stamps.read_text().splitlines())
    ranks = statistics.quantiles(late, n=100) if len(late) > 1 else late * 99
    return {
        "started": len(late),
        "first ms": late[0],
        "median ms": statistics.median(late),
        "p99 ms": ranks[98],
        "last ms": late[-1],
        "CPU ms a run": cpu * 1e3 / len(late),
        "peak RSS MiB": machine.memory(pid, "VmHWM"),
    }


def _place(root: Path, system: System) -> Path:
    return root / system.name.replace(" ", "_")


def _next_due(phase: int) -> int:
    now = time.time()
    due = int(now) // MINUTE_SECONDS * MINUTE_SECONDS + phase
    while due < now + 2 * TOLD_BEFORE_SECONDS:
        due += MINUTE_SECONDS
    return due
