"""Measure 5: a job that prints 200 MB, a thousand that print 100 KB each, and one whose child keeps the output open."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import machine, systems
from benchmarks.report import Figures
from benchmarks.request import NEVER, ask, product_lines
from benchmarks.systems import Job

MEGABYTES = 200
PRINT_MUCH = f"head -c {MEGABYTES}000000 /dev/zero | tr '\\0' x"
PRINT_SOME = "head -c 100000 /dev/zero | tr '\\0' x"
LEAVE_A_CHILD = "sleep 5 & date +%s%N"


def measure(root: Path, jobs: int) -> Iterator[tuple[str, str, Figures]]:
    """Yield the figures of the product; the peers' are in the table of targets, as they were seen once."""
    yield f"{MEGABYTES} MB of output", systems.PRODUCT.name, _much(root / "much")
    yield f"{jobs:,} jobs with 100 KB each", systems.PRODUCT.name, _many(root / "many", jobs)
    yield "end of a run whose child holds the output", systems.PRODUCT.name, _held(root / "held")


def _much(root: Path) -> Figures:
    root.mkdir(parents=True)
    began = time.monotonic()
    with (root / "plain").open("wb") as plain:
        subprocess.run(["/bin/sh", "-c", PRINT_MUCH], stdout=plain, check=True)
    alone = time.monotonic() - began
    (root / "plain").unlink()
    with systems.PRODUCT.running(root, [Job("much", NEVER, PRINT_MUCH)]) as process:
        before = machine.memory(process.pid, "VmHWM")
        (end,) = _ends(root, ["much"])
        kept = (root / "logs" / str(end["stdout_file"])).stat().st_size
        grown = machine.memory(process.pid, "VmHWM") - before
    return {
        "times the plain command": float(end["duration_seconds"]) / alone,
        "kept %": kept / MEGABYTES / 1e4,
        "growth MiB": grown,
    }


def _many(root: Path, jobs: int) -> Figures:
    root.mkdir(parents=True)
    names = [f"some{number}" for number in range(jobs)]
    with systems.PRODUCT.running(root, [Job(name, NEVER, PRINT_SOME) for name in names]) as process:
        before = machine.memory(process.pid, "VmHWM")
        began = time.monotonic()
        ends = _ends(root, names)
        seconds = time.monotonic() - began
        kept = sum((root / "logs" / str(end["stdout_file"])).stat().st_size for end in ends)
        grown = machine.memory(process.pid, "VmHWM") - before
    return {"seconds": seconds, "kept %": kept / jobs / 1e3, "growth MiB": grown}


def _held(root: Path) -> Figures:
    root.mkdir(parents=True)
    with systems.PRODUCT.running(root, [Job("held", NEVER, LEAVE_A_CHILD)]):
        (end,) = _ends(root, ["held"])
    ended = datetime.fromisoformat(end["timestamp"]).timestamp()
    return {"ms after the shell's last command": ended * 1e3 - int(end["stdout"]) / 1e6}


def _ends(root: Path, names: list[str]) -> list[dict[str, Any]]:
    """Ask for a run of each job and return their last lines."""
    for name in names:
        ask(root, f"ask-{name}", name)
    machine.wait_for(lambda: len(product_lines(root, "job_complete")) >= len(names), 120, pause=0.1)
    return product_lines(root, "job_complete")
