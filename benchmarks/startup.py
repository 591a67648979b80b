"""Measure 3: seconds from exec until every definition is scheduled; one file changed among many."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from benchmarks import machine, systems
from benchmarks.report import Figures
from benchmarks.systems import Job, System

THAT_TELL = (systems.PRODUCT, systems.FLOOR_PYTHON, systems.APSCHEDULER, systems.SCHEDULE, systems.CRONSTABLE)
SLOW = {systems.YACRON.name: 1_000}
"""yacron parses for minutes with more jobs than so many."""

EDITS = 20


def spread_jobs(count: int) -> list[Job]:
    """Return jobs that are never due soon, with 1,440 different schedules."""
    return [Job(f"job{n}", f"{n % 60} {n // 60 % 24} 1 1 *", "true") for n in range(count)]


def measure(root: Path, definitions: int) -> Iterator[tuple[str, str, Figures]]:
    """Yield (measure, system, figures) for each system that tells when it is ready."""
    for system in (*THAT_TELL, systems.YACRON):
        if system.missing() is None and definitions <= SLOW.get(system.name, definitions):
            # Once beforehand, with one job: else the first round counts how long the disk takes to bring the program.
            start_up(system, root / "before" / system.name.replace(" ", "_"), 1)
            figures = start_up(system, root / system.name.replace(" ", "_"), definitions)
            yield f"start-up, {definitions:,} definitions", system.name, figures


def start_up(system: System, place: Path, definitions: int) -> Figures:
    """Start the system once, its files just written."""
    place.mkdir(parents=True)
    command = system.command(place, spread_jobs(definitions))
    began = time.monotonic()
    with system.started(place, command) as process:
        seconds = time.monotonic() - began
        return {"seconds": seconds, "CPU s": machine.own_cpu(process.pid), "RSS MiB": machine.memory(process.pid)}


def edits(root: Path, definitions: int) -> Iterator[tuple[str, str, Figures]]:
    """Yield the figures of a change to one file among so many: from the rename to its line in the main log."""
    root.mkdir(parents=True, exist_ok=True)
    log = root / "logs" / "scheduler_main.log"
    took = []
    with systems.PRODUCT.running(root, spread_jobs(definitions)):
        for number in range(EDITS):
            time.sleep(0.2)
            asked = time.time()
            systems.write_job(root, Job("job7", f"{number} 1 1 1 *", "true"))
            machine.wait_for(partial(_has_updates, log, number + 1))
            updated = [line for line in _lines(log) if line["event"] == "job_updated"][-1]
            took.append((datetime.fromisoformat(str(updated["timestamp"])).timestamp() - asked) * 1e3)
    took.sort()
    figures = {"median ms": took[len(took) // 2], "slowest ms": took[-1]}
    yield f"one file changed among {definitions:,}", systems.PRODUCT.name, figures


def _has_updates(log: Path, count: int) -> bool:
    return log.read_bytes().count(b'"job_updated"') >= count


def _lines(log: Path) -> Sequence[dict[str, object]]:
    return [json.loads(line) for line in log.read_bytes().splitlines()]
