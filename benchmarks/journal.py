"""Measure 6: runs a second with every line on disk, the replay of what they leave, and how costs grow."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import machine, systems
from benchmarks.report import Figures
from benchmarks.request import NEVER, ask
from benchmarks.startup import start_up
from benchmarks.systems import Job, write_job

GOING = 24
"""Requests that are kept open: enough for two processors, fewer than may run at once."""


def measure(root: Path, seconds: float, most_definitions: int) -> Iterator[tuple[str, str, Figures]]:
    """Yield the figures of the product."""
    yield "sustained runs", systems.PRODUCT.name, _sustained(root / "sustained", seconds)
    yield "growth with the definitions", systems.PRODUCT.name, _growth(root, most_definitions)


def _sustained(root: Path, seconds: float) -> Figures:
    root.mkdir(parents=True)
    command = systems.PRODUCT.command(root, [])
    write_job(root, Job("stamp", NEVER, "true"), concurrency_policy="allow")
    journal = root / "logs" / "scheduler_jobs.log"
    with systems.PRODUCT.started(root, command) as process:
        asked, ended = 0, 0
        before = machine.own_cpu(process.pid)
        deadline = time.monotonic() + seconds
        counter = _Counter(journal)
        while time.monotonic() < deadline:
            ended = counter.count()
            while asked - ended < GOING:
                ask(root, f"r{asked}")
                asked += 1
            time.sleep(0.002)
        cpu = machine.own_cpu(process.pid) - before
        files = sum(1 for _ in (root / "jobs" / "triggers").iterdir())
    (root / "logs" / "scheduler_main.log").unlink()  # it tells of the first start
    began = time.monotonic()
    with systems.PRODUCT.started(root, command):
        replay = time.monotonic() - began
    return {
        "runs a second": ended / seconds,
        "scheduler's CPU ms a run": cpu * 1e3 / max(1, ended),
        "request files that lie there": files,
        "start on that journal, s": replay,
    }


class _Counter:
    """Counts the ends in a journal that grows and is rotated."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb") if path.exists() else None
        self._found = 0

    def count(self) -> int:
        """Return how many ends there have been."""
        if self._file is None and self._path.exists():
            self._file = self._path.open("rb")
        if self._file is not None:
            self._found += self._file.read().count(b'"event": "job_complete"')
            if self._path.stat().st_ino != _inode(self._file.fileno()):
                self._found += self._file.read().count(b'"event": "job_complete"')
                self._file = self._path.open("rb")
        return self._found


def _inode(descriptor: int) -> int:
    return Path(f"/proc/self/fd/{descriptor}").stat().st_ino


def _growth(root: Path, most: int) -> Figures:
    """Return the CPU seconds and the memory of a start at powers of ten, and the exponents of their growth."""
    figures: Figures = {}
    sizes = [10**power for power in range(1, round(math.log10(most)) + 1)]
    taken = []
    for size in sizes:
        taken.append(start_up(systems.PRODUCT, root / f"start-{size}", size))
        figures[f"CPU s of a start, {size:,}"] = taken[-1]["CPU s"]
    base, first, last = taken[0], taken[1], taken[-1]
    decades = math.log10(sizes[-1] / sizes[1])
    for figure in ("CPU s", "RSS MiB"):
        # What an empty scheduler takes is no growth.
        grown = (last[figure] - base[figure]) / max(1e-3, first[figure] - base[figure])
        figures[f"exponent of {figure}"] = math.log10(max(grown, 1e-3)) / decades
    return figures
