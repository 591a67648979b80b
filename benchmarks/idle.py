"""Measure 2: what a minute costs in which nothing is due. All systems idle together, not in each other's way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks import machine, systems
from benchmarks.report import Figures
from benchmarks.startup import SLOW, spread_jobs

SETTLED_SECONDS = 35.0
"""The first rescan is over: it reads once more what was written in the seconds before the start."""

SECONDS = 60.0


def measure(root: Path, definitions: int) -> Iterator[tuple[str, str, Figures]]:
    """Yield (measure, system, figures) for so many definitions."""
    with ExitStack() as stack:
        running = {}
        for system in systems.SYSTEMS:
            if system.missing() is None and definitions < SLOW.get(system.name, definitions + 1):
                place = root / system.name.replace(" ", "_")
                place.mkdir(parents=True)
                running[system.name] = stack.enter_context(system.running(place, spread_jobs(definitions))).pid
        time.sleep(SETTLED_SECONDS)
        before = {name: (machine.own_cpu(pid), machine.wake_ups(pid)) for name, pid in running.items()}
        time.sleep(SECONDS)
        for name, pid in running.items():
            cpu, woken = before[name]
            yield (
                f"idle, {definitions:,} definitions",
                name,
                {
                    "RSS MiB": machine.memory(pid),
                    "PSS MiB": machine.memory(pid, "Pss"),
                    "CPU ms a minute": (machine.own_cpu(pid) - cpu) * 1e3,
                    "wake-ups a minute": machine.wake_ups(pid) - woken,
                },
            )
