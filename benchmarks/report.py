"""Turn the figures of all rounds into RESULTS.md and RESULTS.json, and say which targets are met."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PRODUCT = "this scheduler"
FLOOR_C, FLOOR_PYTHON = "floor in C", "floor in Python"
LARGE = "admin page, 500 jobs and 1,000,000 runs"

Figures = dict[str, float]
Results = dict[str, dict[str, list[Figures]]]
"""Measure, system, and the figures of each round."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure may be at most: `times` that of `beside` in the same run, or so much in itself."""

    measure: str
    figure: str
    at_most: float
    beside: str | None = None
    system: str = PRODUCT
    ahead_of_peers: bool = False


TARGETS = (
    Target("start drift, 1 job", "first ms", 1.5, FLOOR_PYTHON, ahead_of_peers=True),
    Target("start drift, 100 jobs", "last ms", 1.25, FLOOR_C),
    Target("start drift, 1,000 jobs", "last ms", 1.3, FLOOR_C),
    Target("start drift, 1,000 jobs", "CPU ms a run", 1.5),
    Target("start drift, 1,000 jobs", "CPU ms a run", 1.5 / 1.27, FLOOR_PYTHON),
    Target("request to first instant, 10 definitions", "p50 ms", 2.5),
    Target("request to first instant, 10 definitions", "p99 ms", 4.0),
    Target("request to first instant, 10,000 definitions", "p50 ms", 2.5),
    Target("request to first instant, 10,000 definitions", "p99 ms", 4.0),
    Target("idle, 1 definitions", "RSS MiB", 25),
    Target("idle, 1,000 definitions", "RSS MiB", 28),
    Target("idle, 10,000 definitions", "RSS MiB", 45),
    Target("idle, 10,000 definitions", "CPU ms a minute", 64),
    Target("start-up, 10 definitions", "seconds", 0.15),
    Target("start-up, 1,000 definitions", "seconds", 0.25),
    Target("start-up, 10,000 definitions", "seconds", 0.6),
    Target("one file changed among 10,000", "median ms", 20),
    Target("200 MB of output", "times the plain command", 1.2),
    Target("200 MB of output", "growth MiB", 2),
    Target("end of a run whose child holds the output", "ms after the shell's last command", 20),
    Target("admin page", "first job name cold, ms", 1500, system="admin service"),
    Target("admin page", "first job name warm, ms", 800, system="admin service"),
    Target("admin page", "sent cold, KB", 600, system="admin service"),
    Target("admin page", "click to stderr, ms", 300, system="admin service"),
    Target("admin page", "key to next five runs, ms", 300, system="admin service"),
    Target("admin page", "5 MB of output shown, ms", 1000, system="admin service"),
    Target("admin page", "search in 5 MB, ms", 500, system="admin service"),
    Target("admin page, a run of 1,000,000 lines", "footprint of the tab, MiB", 200, system="admin service"),
    Target("admin page, a run of 1,000,000 lines", "key to painted, ms", 100, system="admin service"),
    Target("admin page, opened 1,000 times", "RSS MiB after 1,000", 170, system="admin service"),
    Target(LARGE, "first job name cold, ms", 1500, system="admin service"),
    Target(LARGE, "first job name warm, ms", 800, system="admin service"),
    Target(LARGE, "click to stderr, ms", 300, system="admin service"),
    Target(LARGE, "key to next five runs, ms", 300, system="admin service"),
    Target("admin, 1,000,000 runs", "history page, ms", 10, system="admin service"),
    Target("admin, 1,000,000 runs", "text search, rare word, ms", 50, system="admin service"),
    Target("admin, 1,000,000 runs", "overview: failures of a day, ms", 20, system="admin service"),
)

METHODS = """\
## How it was measured

- Every system got the same commands, in the same run on the same machine; rounds are interleaved. Figures are medians
  of the rounds, the range of the rounds in parentheses.
- All that is written in Python ran on the Python named above, with bytecode for all of it, as in our images; only what
  the index is asked was measured in the benchmark's own process. A Python that was compiled without profile-guided
  optimization, as version managers do, needs a third more for everything.
- The job is `sh -c 'stamp FILE WORD'`, where `stamp` is a static C program that appends its own first instant.
- CPU time a run counts the scheduler, the shell and the program; the kernel shows it in steps of 10 ms, so that it says
  nothing of a single run. Memory is that of the scheduler's process alone.
- A minute in which one system starts its jobs belongs to it, but for systems that start at other seconds of the minute
  (the floors at 20 and 30, APScheduler at 40, schedule at 50) and, with one job each, some that never start together.
- The floors start processes and do nothing else: no journal, no output files, no definitions that may change.
- This scheduler's second minute counts; its first one, with its output files still to be made, is a row of its own.
  It wrote and synced its journal, kept all output, and had `SCHEDULER_MAX_CONCURRENT_RUNS=1000`.
- Idle systems idled together; compare RSS, as PSS shares Python's pages among them.
- Start-up ends with `scheduler_started` in the log, the ready line of a script, or the first answer by HTTP. cron and
  busybox do not tell. Every definition of this scheduler is a file of its own; the peers read one file.
"""


def write(results: Results, *, machine: str, date: str, form: str, missing: Mapping[str, str], seconds: float) -> str:
    """Write RESULTS.md and RESULTS.json and return the former. What was not measured now stays, with its date."""
    file = HERE / "RESULTS.json"
    before: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"results": {}, "date": date}
    dates = dict.fromkeys(before["results"], before["date"]) | before.get("dates", {}) | dict.fromkeys(results, date)
    results = {**before["results"], **results}
    text = [
        "# Benchmark results",
        "",
        f"`make bench` on {date}, {form}, {seconds / 60:.0f} minutes: {machine}.",
        *[f"Left out: {name} ({why})." for name, why in missing.items()],
        "",
        "## Targets",
        "",
        "| measure | figure | here | target | met |",
        "| --- | --- | --- | --- | --- |",
        *_target_rows(results),
        "",
    ]
    for measure, systems in results.items():
        earlier = [f"Measured on {dates[measure]}.", ""] if dates[measure] != date else []
        text += [f"## {measure[0].upper()}{measure[1:]}", "", *earlier, *_table(systems), ""]
    text.append(METHODS)
    whole = "\n".join(text)
    (HERE / "RESULTS.md").write_text(whole)
    document = {
        "date": date,
        "machine": machine,
        "form": form,
        "missing": missing,
        "dates": dates,
        "results": results,
    }
    file.write_text(json.dumps(document, indent=1) + "\n")
    return whole


def _table(systems: Mapping[str, Sequence[Figures]]) -> list[str]:
    figures = list(dict.fromkeys(figure for rounds in systems.values() for figure in rounds[0]))
    if len(systems) == 1:
        ((name, rounds),) = systems.items()
        rows = [f"| {figure} | {_shown([each[figure] for each in rounds])} |" for figure in figures]
        return [f"| | {name} |", "| --- | --- |", *rows]
    rows = [
        f"| {name} | {' | '.join(_shown([each[figure] for each in rounds]) for figure in figures)} |"
        for name, rounds in systems.items()
    ]
    return [f"| | {' | '.join(figures)} |", f"|{' --- |' * (len(figures) + 1)}", *rows]


def _target_rows(results: Results) -> list[str]:
    rows = []
    for target in TARGETS:
        value = _median(results, target.measure, target.system, target.figure)
        if value is None:
            continue
        limit, wanted = target.at_most, f"≤ {_number(target.at_most)}"
        if target.beside is not None:
            other = _median(results, target.measure, target.beside, target.figure)
            if other is None:
                continue
            limit *= other
            wanted = f"≤ {target.at_most:.2f} times {target.beside} ({_number(limit)})"
        met = "yes" if value <= limit else f"no, {value / limit:.2f} times"
        if target.ahead_of_peers and (faster := _faster_peers(results, target, value)):
            met = f"no, behind {', '.join(faster)}"
        rows.append(f"| {target.measure} | {target.figure} | {_number(value)} | {wanted} | {met} |")
    return rows


def _faster_peers(results: Results, target: Target, value: float) -> list[str]:
    systems = [name for name in results[target.measure] if not name.startswith((PRODUCT, "floor"))]
    return [
        name
        for name in systems
        if (other := _median(results, target.measure, name, target.figure)) is not None and other < value
    ]


def _median(results: Results, measure: str, system: str, figure: str) -> float | None:
    rounds = results.get(measure, {}).get(system, [])
    return statistics.median(each[figure] for each in rounds) if rounds else None


def _shown(values: Sequence[float]) -> str:
    if len(values) == 1:
        return _number(values[0])
    return f"{_number(statistics.median(values))} ({_number(min(values))}-{_number(max(values))})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
