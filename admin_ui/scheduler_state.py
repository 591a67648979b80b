"""What the scheduler's main log says of the scheduler itself: alive, degraded, files that it cannot use."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from admin_ui.entries import Entry
from admin_ui.model import from_iso, from_iso_or_none

SILENT_AFTER = timedelta(seconds=90)  # three heartbeats


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigProblem:
    """A file that the scheduler cannot use: its problems as (field, what was found, what would be right)."""

    file: str
    job_name: str | None
    problems: tuple[tuple[str, str, str], ...]
    kept_last_good: bool
    at: datetime

    def told(self) -> str:
        """Return what is wrong, field by field, in the scheduler's own words, without a full stop."""
        fields = (
            (f"{field}: " if field else "") + wanted + (f", found {found}" if found else "")
            for field, found, wanted in self.problems
        )
        return "; ".join(fields).rstrip(".")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerState:
    """The scheduler as its logs show it. `status`: `alive`, `stopping`, `stopped`, `crashed`, `silent` or `unknown`.

    `last_seen` is when it last gave a sign of life (in the future if all that is known is of a clock that was ahead);
    `journal_problem` and `watch_problem` say what it complains of.
    """

    status: str
    last_seen: datetime | None
    timezone: str | None
    journal_problem: str | None
    watch_problem: str | None
    config_errors: tuple[ConfigProblem, ...]


FACTS: Mapping[str, Mapping[str, str | None]] = {
    "scheduler_started": {"phase": "alive", "journal_problem": None, "watch_problem": None},
    "scheduler_stopping": {"phase": "stopping"},
    "scheduler_stopped": {"phase": "stopped"},
    "scheduler_crashed": {"phase": "crashed"},
    "journal_recovered": {"journal_problem": None},
    "watch_recovered": {"watch_problem": None},
}

MOST_OF_ERRORS = 32 << 20
"""Characters of all errors that are kept, the newest ones, with 1,000 for each: every page holds them in memory, and a
job can write as many into the log as it likes. There is room for those of 20,000 files."""

ERRORS_BETWEEN_LOOKS = 64
NEXT_NUMBER = (
    "SELECT 1 + coalesce((SELECT value FROM facts WHERE name = 'error_number'),"
    " (SELECT max(seq) FROM config_errors), 0)"
)
TOO_MANY_ERRORS = (
    "DELETE FROM config_errors WHERE file IN (SELECT file FROM (SELECT file, sum(length(file) + length(errors) + 1000)"
    " OVER (ORDER BY seq DESC) AS so_far FROM config_errors) WHERE so_far > ?)"
)
CRASHED = "SELECT 1 FROM facts WHERE name = 'phase' AND value = 'crashed'"


def apply_main_entry(connection: sqlite3.Connection, entry: Entry) -> None:
    """Take up one line of the main log. Lines may come again after the index was lost, so each sets, none adds.

    They come in the order of the log, which alone says what is newer: the clock may have been set back.
    """
    event = entry["event"]
    facts: dict[str, str | None] = {"last_seen": entry["timestamp"], **FACTS.get(event, {})}
    if event in ("scheduler_stopping", "scheduler_stopped") and connection.execute(CRASHED).fetchone():
        del facts["phase"]  # after an error it drains as on a stop, and writes the same lines; the error is the news
    if event == "scheduler_started":
        facts["timezone"] = entry["timezone"]
        _keep_newest_errors(connection, entry["config_errors"])
    elif event in ("journal_degraded", "watch_degraded"):
        facts[event.replace("degraded", "problem")] = entry["reason"] or "degraded"
    connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())
    if event == "config_error":
        _add_error(connection, entry)
    elif event in ("config_recovered", "job_registered", "job_updated", "job_removed"):
        connection.execute("DELETE FROM config_errors WHERE file = ?", (entry["file"],))


def scheduler_state(
    connection: sqlite3.Connection, now: datetime, heartbeat: datetime | None, lost_at: datetime | None = None
) -> SchedulerState:
    """Return what is known of the scheduler.

    `heartbeat` is the time of logs/.heartbeat, if there is one; `lost_at` since when its lock is known to be nobody's.
    """
    facts: dict[str, str | None] = dict(connection.execute("SELECT name, value FROM facts").fetchall())
    seen = [each for each in (from_iso_or_none(facts.get("last_seen")), heartbeat) if each is not None]
    # The clock may have been ahead. By a little, and the next heartbeat comes soon; by more, it says nothing of now.
    believed = [each for each in seen if each - now <= SILENT_AFTER]
    status = facts.get("phase") or "unknown"
    oldest = now - SILENT_AFTER if lost_at is None else max(lost_at, now - SILENT_AFTER)
    if status in ("alive", "stopping") and not any(each >= oldest for each in believed):
        status = "silent"
    last_seen = max(believed or seen, default=None)
    rows = connection.execute("SELECT file, job_name, errors, kept, at FROM config_errors ORDER BY file").fetchall()
    return SchedulerState(
        status=status,
        last_seen=last_seen,
        timezone=facts.get("timezone"),
        journal_problem=facts.get("journal_problem"),
        watch_problem=facts.get("watch_problem"),
        config_errors=tuple(
            ConfigProblem(
                file=file,
                job_name=job_name,
                problems=tuple((each["field"], each["found"], each["wanted"]) for each in json.loads(errors)),
                kept_last_good=bool(kept),
                at=from_iso(at),
            )
            for file, job_name, errors, kept, at in rows
        ),
    )


def _add_error(connection: sqlite3.Connection, entry: Entry) -> None:
    # The number is kept apart, as there is no index of them: to look for the highest one each time is quadratic.
    (number,) = connection.execute(NEXT_NUMBER).fetchone()
    connection.execute("INSERT OR REPLACE INTO facts VALUES ('error_number', ?)", (str(number),))
    connection.execute(
        "INSERT OR REPLACE INTO config_errors VALUES (?, ?, ?, ?, ?, ?)",
        (
            *(entry["file"], number, entry["timestamp"], entry["job_name"]),
            *(json.dumps(entry["errors"]), entry["kept_last_good"]),
        ),
    )
    if number % ERRORS_BETWEEN_LOOKS == 0:
        connection.execute(TOO_MANY_ERRORS, (MOST_OF_ERRORS,))


def _keep_newest_errors(connection: sqlite3.Connection, count: int) -> None:
    """Drop all errors but the newest `count`: a start writes one for each file, just before it says how many."""
    connection.execute(
        "DELETE FROM config_errors WHERE file NOT IN (SELECT file FROM config_errors ORDER BY seq DESC LIMIT ?)",
        (count,),
    )
