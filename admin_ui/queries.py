"""Questions to the index, each answered from one state of it. Reads only; what a page shows is bounded."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from admin_ui.errors import ValidationError
from admin_ui.model import FAILED, FAILURES, STATUSES, JobResult, from_iso, from_iso_or_none, iso
from admin_ui.text_search import SEARCH_SECONDS, Hits

RUN_STATUSES = ("queued", "running", "unknown", "skipped", "missed", *STATUSES)
RECENT_RESULTS = 20
USUAL_RUNS = 100
MOST_ACTIVE = 5000
MOST_FAILURES = 2000
"""So many are counted, and no more."""

COLUMNS = (
    "runs.id, runs.run_id, runs.job_name, runs.status, runs.failed, runs.trigger, runs.at, runs.ended, runs.duration,"
    " runs.cause, runs.request_id, runs.requested_by, lines.document"
)
FROM_RUNS = "FROM runs LEFT JOIN lines ON lines.seq = runs.line"


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """A run, or a skipped or missed span of scheduled times (`run_id` None), as a table shows it.

    `at` is when it started, was queued, is to be tried again, or was passed over. `cause` says why it failed: the
    last line of stderr, or the exception of a traceback; of a skipped one it is the reason.
    """

    run_id: str | None
    job_name: str
    status: str
    failed: bool
    at: datetime
    trigger: str | None = None
    scheduled_time: datetime | None = None
    end_time: datetime | None = None
    duration_seconds: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    attempt: int | None = None
    reason: str | None = None
    cause: str | None = None
    request_id: str | None = None
    requested_by: str | None = None
    first_scheduled_time: datetime | None = None
    count: int = 1
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    cpu_seconds: float | None = None
    retry_at: datetime | None = None

    def printed(self, stream: str) -> int:
        """Return how many bytes the run had printed on `stdout` or `stderr` by its end; 0 before that."""
        return self.stderr_bytes if stream == "stderr" else self.stdout_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which rows of the history. `since` is included, `until` is not; `text` is looked for in output and facts."""

    job_name: str | None = None
    status: str | None = None
    trigger: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, newest first. `more` goes in as `before` for what follows, None at the end.

    `complete` is False if the search had to stop early: what is older than the last row was not looked at.
    """

    rows: tuple[HistoryRow, ...]
    more: str | None
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Recent:
    """A job's newest ended runs as (run_id, status, start), the last to end first and whole (None: never run).

    `median_seconds` and `p95_seconds` are of the last 100 successful runs, None without one.
    """

    last: HistoryRow | None
    results: tuple[tuple[str, str, datetime], ...]
    median_seconds: float | None
    p95_seconds: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The scheduler's answer to a request."""

    accepted: bool
    run_ids: tuple[str, ...]
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Found:
    """Log entries as dictionaries, newest first; `complete` as in Lines."""

    entries: tuple[dict[str, Any], ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Lines:
    """Journal lines by their numbers in the index, newest first. Not `complete`: there may be more, older ones."""

    numbers: tuple[int, ...]
    complete: bool


def page(connection: sqlite3.Connection, which: Filter, limit: int, before: str | None = None) -> Page:
    """Return one page of the history. Raises ValidationError for a filter or a `before` that means nothing."""
    where, values = _conditions(which)
    if which.text:
        return _searched_page(connection, which, limit, before)
    if before is not None:
        where.append("(runs.at, runs.id) < (?, ?)")
        at, _, row_id = before.partition("|")
        values += [at, _number(row_id)]
    condition = f"WHERE {' AND '.join(where)}" if where else ""
    rows = connection.execute(
        f"SELECT {COLUMNS} {FROM_RUNS} {condition} ORDER BY runs.at DESC, runs.id DESC LIMIT ?", (*values, limit + 1)
    ).fetchall()
    more = f"{rows[limit - 1][6]}|{rows[limit - 1][0]}" if len(rows) > limit else None
    return Page(tuple(map(_row, rows[:limit])), more)


def run(connection: sqlite3.Connection, run_id: str) -> HistoryRow | None:
    """Return one run's row, or None."""
    found = connection.execute(f"SELECT {COLUMNS} {FROM_RUNS} WHERE runs.run_id = ?", (run_id,)).fetchone()
    return None if found is None else _row(found)


def result(connection: sqlite3.Connection, run_id: str) -> JobResult | None:
    """Return how a run ended, with its output as the journal has it; None if it has not (or is not known)."""
    return next(iter(_results(connection, "runs.run_id = ?", (run_id,), 1)), None)


def results(connection: sqlite3.Connection, job_name: str, limit: int) -> list[JobResult]:
    """Return a job's ended runs, most recently started first."""
    return _results(connection, "runs.job_name = ?", (job_name,), limit)


def output(connection: sqlite3.Connection, run_id: str, stream: str) -> tuple[str, bool] | None:
    """Return what the journal holds of `stdout` or `stderr` of an ended run, and whether that is whole."""
    column = {"stdout": "stdout", "stderr": "stderr"}[stream]
    row = connection.execute(
        f"SELECT lines.{column}, lines.document {FROM_RUNS} WHERE runs.run_id = ? AND lines.event = 'job_complete'"
        " AND lines.run_id = runs.run_id",
        (run_id,),
    ).fetchone()
    return None if row is None else (row[0], json.loads(row[1])[f"{column}_file"] is None)


def log_lines(
    connection: sqlite3.Connection,
    job_name: str,
    limit: int,
    search: str | None = None,
    status: str | None = None,
    seconds: float = SEARCH_SECONDS,
) -> Lines:
    """Find a job's journal lines. With `search`, those that hold the text (starts are found by their run's end), as
    far as they are found within so many seconds. Raises ValidationError.
    """
    where, values = ["lines.job_name = ?"], [job_name]
    if status == FAILED:
        where.append(f"lines.status IN ({', '.join('?' * len(FAILURES))})")
        values += FAILURES
    elif status is not None:
        where.append("lines.status = ?")
        values.append(_known(status))
    if not search:
        rows = connection.execute(
            f"SELECT seq FROM lines WHERE {' AND '.join(where)} ORDER BY seq DESC LIMIT ?", (*values, limit + 1)
        )
        numbers, complete = [seq for (seq,) in rows], True
    else:
        condition = " AND ".join(where)
        hits = Hits(connection, "lines.seq", condition, values, search, (job_name, status), seconds=seconds)
        numbers = [seq for (seq,), _ in zip(hits, range(limit + 1), strict=False)]
        complete = hits.complete
    return Lines(tuple(numbers[:limit]), complete and len(numbers) <= limit)


def fitting(connection: sqlite3.Connection, numbers: Sequence[int], most: int) -> Sequence[int]:
    """Return the first of these lines, those that have no more than `most` characters together, but at least one.

    A line may have 16 MiB of output, and a page or a download has many lines in memory.
    """
    length = "SELECT length(document) + length(stdout) + length(stderr) FROM lines WHERE seq = ?"
    for place, number in enumerate(numbers):
        row = connection.execute(length, (number,)).fetchone()
        most -= row[0] if row else 0
        if most < 0:
            return numbers[: max(1, place)]
    return numbers


def log_entries(connection: sqlite3.Connection, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Return the journal's entries of these lines, in their order, without those that were forgotten meanwhile."""
    found = (
        connection.execute("SELECT document, stdout, stderr FROM lines WHERE seq = ?", (number,)).fetchone()
        for number in numbers
    )
    return [_entry(*row) for row in found if row is not None]


def recent(connection: sqlite3.Connection, job_name: str) -> Recent:
    """Return a job's last results and how long it usually takes."""
    # By the journal's order, not by `at`: the clock may have been ahead, and the last result is what counts.
    rows = connection.execute(
        "SELECT runs.run_id, runs.status, runs.at FROM lines CROSS JOIN runs ON runs.run_id = lines.run_id"
        " WHERE lines.job_name = ? AND lines.event = 'job_complete' AND runs.line = lines.seq"
        " ORDER BY lines.seq DESC LIMIT ?",
        (job_name, RECENT_RESULTS),
    ).fetchall()
    durations = connection.execute(
        "SELECT duration FROM runs WHERE job_name = ? AND status = 'success' ORDER BY at DESC, id DESC LIMIT ?",
        (job_name, USUAL_RUNS),
    ).fetchall()
    usual = sorted(duration for (duration,) in durations)
    median, p95 = typical(usual) if usual else (None, None)
    return Recent(
        run(connection, rows[0][0]) if rows else None,
        tuple((run_id, status, from_iso(at)) for run_id, status, at in rows),
        median,
        p95,
    )


def typical(ordered: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile of numbers in their order: two of them, nothing in between."""
    return ordered[(len(ordered) - 1) // 2], ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]


def job_names(connection: sqlite3.Connection) -> list[str]:
    """Return the names of all jobs with a run that is kept, sorted."""
    # DISTINCT would read the index entry of every run; this reads one for each job.
    rows = connection.execute(
        "WITH RECURSIVE jobs(name) AS (SELECT min(job_name) FROM runs UNION ALL"
        " SELECT (SELECT min(job_name) FROM runs WHERE job_name > name) FROM jobs WHERE name IS NOT NULL)"
        " SELECT name FROM jobs WHERE name IS NOT NULL"
    )
    return [name for (name,) in rows]


def active(connection: sqlite3.Connection, status: str) -> list[HistoryRow]:
    """Return the runs that are `running` or `queued` now, the oldest first."""
    rows = connection.execute(
        f"SELECT {COLUMNS} {FROM_RUNS} WHERE runs.status = ? ORDER BY runs.at, runs.id LIMIT ?", (status, MOST_ACTIVE)
    )
    return list(map(_row, rows))


def failures(connection: sqlite3.Connection, since: datetime) -> list[tuple[HistoryRow, int]]:
    """Return the newest failed run of each job that ended after `since`, newest first, and how many there were.

    Which of a job's is the newest is for the journal's order to say, not for a clock.
    """
    failed: dict[str, list[tuple[int, int]]] = {}
    for job_name, line, row_id in connection.execute(
        "SELECT job_name, line, id FROM runs WHERE failed = 1 AND ended >= ? ORDER BY ended DESC LIMIT ?",
        (iso(since), MOST_FAILURES),
    ):
        failed.setdefault(job_name, []).append((line, row_id))
    found = []
    for of_job in failed.values():
        _, row_id = max(of_job)
        row = connection.execute(f"SELECT {COLUMNS} {FROM_RUNS} WHERE runs.id = ?", (row_id,)).fetchone()
        found.append((_row(row), len(of_job)))
    return found


def answer(connection: sqlite3.Connection, request_id: str, action: str, job_name: str) -> Answer | None:
    """Return the scheduler's answer to a request, None if there is none (yet)."""
    row = connection.execute(
        "SELECT accepted, run_ids, reason, detail FROM answers WHERE request_id = ? AND action = ? AND job_name = ?",
        (request_id, action, job_name),
    ).fetchone()
    return None if row is None else Answer(bool(row[0]), tuple(json.loads(row[1])), row[2], row[3])


def answered_at(connection: sqlite3.Connection, request_id: str, action: str, job_name: str) -> datetime | None:
    """Return when the scheduler last answered a request, None if it has not (yet)."""
    row = connection.execute(
        "SELECT at FROM answers WHERE request_id = ? AND action = ? AND job_name = ?", (request_id, action, job_name)
    ).fetchone()
    return None if row is None else from_iso(row[0])


def known_since(connection: sqlite3.Connection) -> datetime | None:
    """Return the time of the oldest journal line that is kept, None if there is none."""
    row = connection.execute("SELECT at FROM lines ORDER BY seq LIMIT 1").fetchone()
    return None if row is None else from_iso(row[0])


def in_force(connection: sqlite3.Connection) -> dict[str, str]:
    """Return, by job, the sha256 of the definition that the scheduler goes by."""
    return dict(connection.execute("SELECT job_name, sha256 FROM in_force").fetchall())


def _conditions(which: Filter) -> tuple[list[str], list[Any]]:
    where: list[str] = []
    values: list[Any] = []
    if which.job_name is not None:
        where.append("runs.job_name = ?")
        values.append(which.job_name)
    if which.status == FAILED:
        where.append("runs.failed = 1")
    elif which.status is not None:
        where.append("runs.status = ?")
        values.append(_known(which.status))
    if which.trigger is not None:
        where.append("runs.trigger = ?")
        values.append(which.trigger)
    for instant, comparison in ((which.since, ">="), (which.until, "<")):
        if instant is not None:
            where.append(f"runs.at {comparison} ?")
            values.append(iso(instant))
    return where, values


def _searched_page(connection: sqlite3.Connection, which: Filter, limit: int, before: str | None) -> Page:
    """Return the runs whose end holds the text. They come in the order of their ends, as the journal has them."""
    where, values = _conditions(which)
    if before is not None:
        where.append("lines.seq < ?")
        values.append(_number(before))
    where.append("runs.line = lines.seq AND runs.run_id IS lines.run_id")
    joined = "lines JOIN runs ON runs.line = lines.seq"
    columns = f"lines.seq, {COLUMNS}"
    hits = Hits(
        connection, columns, " AND ".join(where), values, which.text or "", (which.job_name, which.status), joined
    )
    rows = [row for row, _ in zip(hits, range(limit + 1), strict=False)]
    more = str(rows[limit - 1][0]) if len(rows) > limit else None
    return Page(tuple(_row(row[1:]) for row in rows[:limit]), more, hits.complete)


def _results(connection: sqlite3.Connection, condition: str, values: tuple[Any, ...], limit: int) -> list[JobResult]:
    rows = connection.execute(
        f"SELECT runs.requested_by, lines.document, lines.stdout, lines.stderr {FROM_RUNS} WHERE {condition}"
        " AND lines.event = 'job_complete' AND lines.run_id = runs.run_id"
        " ORDER BY runs.at DESC, runs.id DESC LIMIT ?",
        (*values, limit),
    )
    return [_result(*row) for row in rows]


def _result(requested_by: str | None, document: str, stdout: str, stderr: str) -> JobResult:
    entry = json.loads(document)
    return JobResult(
        entry["job_name"],
        from_iso(entry["start_time"]),
        from_iso(entry["end_time"]),
        entry["exit_code"],
        stdout,
        stderr,
        entry["duration_seconds"],
        status=entry["status"],
        run_id=entry["run_id"],
        trigger=entry["trigger"],
        attempt=entry["attempt"],
        first_run_id=entry["first_run_id"],
        scheduled_time=from_iso_or_none(entry["scheduled_time"]),
        retry_at=from_iso_or_none(entry["retry_at"]),
        request_id=entry["request_id"],
        requested_by=requested_by,
        signal=entry["signal"],
        reason=entry["reason"],
        stdout_bytes=entry["stdout_bytes"],
        stderr_bytes=entry["stderr_bytes"],
        truncated=entry["truncated"],
        leftover_processes=entry["leftover_processes"],
        cpu_seconds=entry["cpu_seconds"],
        max_rss_bytes=entry["max_rss_bytes"],
    )


def _row(columns: tuple[Any, ...]) -> HistoryRow:
    _, run_id, job_name, status, failed, trigger, at, ended, duration, cause, request_id, requested_by, document = (
        columns
    )
    entry: Mapping[str, Any] = json.loads(document) if document else {}
    if entry.get("run_id") != run_id:  # the line that told of it is another run's: a retry's is the failed one's
        entry = {}
    return HistoryRow(
        run_id=run_id,
        job_name=job_name,
        status=status,
        failed=bool(failed),
        at=from_iso(at),
        trigger=trigger,
        scheduled_time=from_iso_or_none(entry.get("scheduled_time")),
        end_time=from_iso_or_none(ended),
        duration_seconds=duration,
        exit_code=entry.get("exit_code"),
        signal=entry.get("signal"),
        attempt=entry.get("attempt"),
        reason=entry.get("reason"),
        cause=cause,
        request_id=request_id,
        requested_by=requested_by,
        first_scheduled_time=from_iso_or_none(entry.get("first_scheduled_time")),
        count=entry.get("count", 1),
        stdout_bytes=entry.get("stdout_bytes", 0),
        stderr_bytes=entry.get("stderr_bytes", 0),
        cpu_seconds=entry.get("cpu_seconds"),
        retry_at=from_iso_or_none(entry.get("retry_at")),
    )


def _entry(document: str, stdout: str, stderr: str) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(document)
    if entry["event"] == "job_complete":
        entry |= {"stdout": stdout, "stderr": stderr}
    return entry


def _known(status: str) -> str:
    if status not in RUN_STATUSES:
        raise ValidationError({"status": f"expected one of {', '.join((FAILED, *RUN_STATUSES))}"})
    return status


def _number(text: str) -> int:
    digits = text.removeprefix("-")  # of a line that turned up late
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise ValidationError({"before": "this is no place in the history"})
    return int(text)
