"""Measure 7: how fast the admin service takes in the journal, and what it asks of its index."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import Connection

from admin_ui import queries
from admin_ui.history import JOURNAL, History
from admin_ui.queries import Filter
from benchmarks.report import Figures
from tests import admin_lines as lines

CHUNK_RUNS = 10_000
JOBS = 200
A_PAGE = 50
REPETITIONS = 30
SECONDS_APART = 60
KEEP_DAYS = 36_500


def measure(root: Path, sizes: list[int]) -> Iterator[tuple[str, str, Figures]]:
    """Yield the figures at each number of runs; the index grows from one to the next."""
    (root / "logs").mkdir(parents=True)
    history = History(root / "logs", root / "data", keep_days=KEEP_DAYS)
    try:
        known = 0
        for size in sizes:
            began, taking = known, 0.0
            while known < size:
                _append(root / "logs" / JOURNAL, known, CHUNK_RUNS)
                known += CHUNK_RUNS
                taking += _timed(lambda: _take_all(history))
            with history.reading() as connection:
                figures = {"runs taken in a second": (known - began) / taking, **_asked(connection, known)}
            index = sum(file.stat().st_size for file in (root / "data").rglob("*") if file.is_file())
            figures["index MiB"] = index / 2**20
            yield f"admin, {size:,} runs", "admin service", figures
    finally:
        history.stop()


def make_index(root: Path, runs: int, jobs: int) -> None:
    """Make the index that an admin service on `root` would have of so many runs, the last of them just now."""
    for folder in ("logs", "data"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    history = History(root / "logs", root / "data", keep_days=KEEP_DAYS)
    began = (datetime.now(UTC) - lines.NOON).total_seconds() - runs * SECONDS_APART
    try:
        for first in range(0, runs, CHUNK_RUNS):
            _append(root / "logs" / JOURNAL, first, CHUNK_RUNS, jobs, began)
            _take_all(history)
    finally:
        history.stop()
        (root / "logs" / JOURNAL).unlink()


def _append(log: Path, first: int, count: int, jobs: int = JOBS, began: float = 0) -> None:
    log.unlink(missing_ok=True)  # taken in already; as rotation takes it away at last
    entries = [lines.checkpoint(began + first * SECONDS_APART)]
    for number in range(first, first + count):
        run_id, job_name, at = f"run-{number}", f"job{number % jobs}", began + number * SECONDS_APART
        said = f"line one of run {number}\nword{number % 1000} of the output\n"
        entries.append(lines.start(run_id, at, job_name=job_name))
        ended = lines.failure if number % 50 == 0 else lines.complete
        entries.append(ended(run_id, at + 1, job_name=job_name, stdout=said, stdout_bytes=len(said)))
    log.write_bytes(lines.data(*entries))


def _take_all(history: History) -> None:
    while history.poll():
        pass


def _asked(connection: Connection, known: int) -> Figures:
    day_ago = lines.NOON + timedelta(seconds=known * SECONDS_APART) - timedelta(days=1)
    questions: dict[str, Callable[[], object]] = {
        "history page": lambda: queries.page(connection, Filter(), A_PAGE),
        "history page of a job": lambda: queries.page(connection, Filter(job_name="job7"), A_PAGE),
        "history page of failures": lambda: queries.page(connection, Filter(status="failure"), A_PAGE),
        "text search, rare word": lambda: queries.page(connection, Filter(text="word77 "), A_PAGE),
        "text search, in every run": lambda: queries.page(connection, Filter(text="output"), A_PAGE),
        "overview: failures of a day": lambda: queries.failures(connection, day_ago),
        "overview: all jobs' latest": lambda: [queries.recent(connection, f"job{n}") for n in range(JOBS)],
    }
    return {
        f"{what}, ms": statistics.median(_timed(ask) * 1e3 for _ in range(REPETITIONS))
        for what, ask in questions.items()
    }


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
