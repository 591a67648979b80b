"""Measure this scheduler beside what one would pick instead, and write RESULTS.md and RESULTS.json beside this file.

    python -m benchmarks [--short] [--rounds N] [--only WORD …]

Everything runs on temporary directories and ends with this program. Peers come from PyPI into a cache directory
(~/.cache/scheduler-benchmarks) and, as `cron` and `busybox`, from the system; what is missing is left out, and said so.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import (
    admin,
    drift,
    idle,
    journal,
    machine,
    openings,
    output,
    page,
    report,
    request,
    startup,
    systems,
    workshop,
)
from benchmarks.report import Figures, Results

Step = Callable[[Path], Iterator[tuple[str, str, Figures]]]

EACH_ROUND: dict[str, Step] = {
    "start-up 10": lambda root: startup.measure(root, 10),
    "start-up 1,000": lambda root: startup.measure(root, 1_000),
    "start-up 10,000": lambda root: startup.measure(root, 10_000),
    "request 10": lambda root: request.measure(root, 10, 100),
    "request 10,000": lambda root: request.measure(root, 10_000, 100),
    "drift 1": lambda root: drift.measure(root, 1),
    "drift 100": lambda root: drift.measure(root, 100),
    "drift 1,000": lambda root: drift.measure(root, 1_000),
    "output": lambda root: output.measure(root, 1_000),
}
"""Taken in every round; the drifts take a minute or two for each slot, as peers know no other instants."""

ONCE: dict[str, Step] = {
    "edits": lambda root: startup.edits(root, 10_000),
    "idle 1": lambda root: idle.measure(root, 1),
    "idle 1,000": lambda root: idle.measure(root, 1_000),
    "idle 10,000": lambda root: idle.measure(root, 10_000),
    "journal": lambda root: journal.measure(root, 60, 100_000),
    "admin": lambda root: admin.measure(root, [10_000, 100_000]),
    "page": lambda root: page.measure(root, 50),
}
"""A minute long in themselves, or steady: taken in the first round."""

ASKED_FOR: dict[str, Step] = {
    "million runs": lambda root: admin.measure(root, [1_000_000]),
    "large page": lambda root: page.measure_large(root, 500, 1_000_000),
    "openings": lambda root: openings.measure(root, 1_000),
}
"""Taken only if named by --only: to make the index, or to open so many pages, takes as long as much of the rest."""

SHORT: dict[str, Step] = {
    "start-up 1,000": EACH_ROUND["start-up 1,000"],
    "request 10": lambda root: request.measure(root, 10, 30),
    "output": lambda root: output.measure(root, 100),
    "journal": lambda root: journal.measure(root, 5, 1_000),
    "admin": lambda root: admin.measure(root, [10_000]),
    "drift 100": lambda root: drift.measure(root, 100),
}


def main() -> int:
    """Run the measures and write the results; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few measures with small numbers, in a few minutes")
    parser.add_argument("--rounds", type=int, default=None, help="how often to measure (default 2; short form: 1)")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="measures whose name begins with one of these")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started is ended
    rounds = arguments.rounds or (1 if arguments.short else 2)
    missing = {system.name: why for system in systems.SYSTEMS if (why := system.missing()) is not None}
    began, results = time.monotonic(), Results()
    for number in range(1, rounds + 1):
        steps = SHORT if arguments.short else {**EACH_ROUND, **(ONCE if number == 1 else {})}
        steps |= ASKED_FOR if arguments.only else {}
        for name, step in steps.items():
            if not arguments.only or name.startswith(tuple(arguments.only)):
                print(f"round {number} of {rounds}: {name}", file=sys.stderr, flush=True)
                try:
                    _take(step, results)
                except Exception as error:  # what was measured before is not to be lost
                    traceback.print_exc()
                    missing[f"{name}, round {number}"] = repr(error)
    form = f"{'short form, ' if arguments.short else ''}{rounds} round{'s' if rounds > 1 else ''}"
    date = datetime.now(UTC).date().isoformat()
    seconds = time.monotonic() - began
    where = f"{workshop.python_version()}, {machine.describe()}"
    print(report.write(results, machine=where, date=date, form=form, missing=missing, seconds=seconds))
    return 0


def _take(step: Step, results: Results) -> None:
    with tempfile.TemporaryDirectory(prefix="scheduler-benchmark-") as directory:
        for measure, system, figures in step(Path(directory)):
            results.setdefault(measure, {}).setdefault(system, []).append(figures)


if __name__ == "__main__":
    sys.exit(main())
