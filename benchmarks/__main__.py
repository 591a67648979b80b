"""Measure the scheduler on this machine and write RESULTS.md and results.json beside this file.

    python -m benchmarks [--rounds N] [--only NAME …]

Every figure is of a real `python -m sidecar start` on temporary directories. Instants are taken by the jobs
themselves (`date`, whose own start counts as ours) and by the journal. Load stays on this machine and ends with it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import measures

HERE = Path(__file__).parent
MEASURES: dict[str, Callable[[Path], dict[str, float]]] = {
    "start-up, 10 definitions": lambda root: measures.start_up(root, 10),
    "start-up, 1,000 definitions": lambda root: measures.start_up(root, 1_000),
    "start-up, 10,000 definitions": lambda root: measures.start_up(root, 10_000),
    "request to first instant, 10 definitions": lambda root: measures.request_latency(root, 10),
    "request to first instant, 10,000 definitions": lambda root: measures.request_latency(root, 10_000),
    "start drift, 1 job": lambda root: measures.start_drift(root, 1),
    "start drift, 100 jobs": lambda root: measures.start_drift(root, 100),
    "start drift, 1,000 jobs": lambda root: measures.start_drift(root, 1_000),
    "idle minute, 10,000 definitions": measures.idle_minute,
    "200 MB of output": measures.much_output,
}


def main() -> int:
    """Run the measures and write the results; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each measure is taken (default 3)")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES), metavar="NAME")
    arguments = parser.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in arguments.only}
    # Interleaved, so that a busy spell on the machine does not fall on one measure alone.
    for number in range(1, arguments.rounds + 1):
        for name in arguments.only:
            print(f"round {number}: {name}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory() as root:
                rounds[name].append(MEASURES[name](Path(root)))
    _write(rounds)
    return 0


def _write(rounds: dict[str, list[dict[str, float]]]) -> None:
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    today = datetime.now(UTC).date().isoformat()
    rows = [
        f"| {name} | {figure} | {statistics.median(values):.2f} | {min(values):.2f} to {max(values):.2f} |"
        for name, taken in rounds.items()
        for figure, values in _by_figure(taken).items()
    ]
    text = [
        "# Benchmark results",
        "",
        f"`make bench` on {today}: {machine}; load average {os.getloadavg()[0]:.1f} at the end. Median and range over",
        f"{max(map(len, rounds.values()))} rounds. What each figure means is in `benchmarks/measures.py`.",
        "",
        "| measure | figure | median | range |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
    ]
    (HERE / "RESULTS.md").write_text("\n".join(text))
    document = {"date": today, "machine": machine, "finished_at": time.time(), "rounds": rounds}
    (HERE / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    print("\n".join(text))


def _by_figure(taken: list[dict[str, float]]) -> dict[str, list[float]]:
    return {figure: [one[figure] for one in taken] for figure in taken[0]}


if __name__ == "__main__":
    sys.exit(main())
