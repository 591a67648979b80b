"""Turn one line of a log into an entry that can be relied on, or into nothing. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from admin_ui.model import JOB_NAME, RUN_ID, STATUSES

TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
SHA256 = re.compile(r"[0-9a-f]{64}")
TRIGGERS = ("schedule", "manual", "retry", "catch_up")
LARGEST_COUNT = 1 << 53  # what JSON readers agree on
DEEPEST = 20  # the contract has 3 levels; json fails at some 1,000, less what its caller's stack is deep
LONGEST_BARE = 1 << 20
"""Characters of a line without output. The longest that the scheduler writes answers a cancel, with an id for each run;
pages hold hundreds of lines in memory."""

TRACEBACK = "Traceback (most recent call last):"

Entry = dict[str, Any]


def _is_time(value: object) -> bool:
    if not isinstance(value, str) or not TIME.fullmatch(value):
        return False
    # No clock shows others, and at the edges of the calendar whoever adds an hour to one fails.
    if not "1970" <= value < "9999":
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_COUNT


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT


def _is_flag(value: object) -> bool:
    return type(value) is bool


def _is_job_name(value: object) -> bool:
    return isinstance(value, str) and JOB_NAME.fullmatch(value) is not None


def _is_run_id(value: object) -> bool:
    return isinstance(value, str) and RUN_ID.fullmatch(value) is not None


def _is_runs(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(run, dict) and _fits(run, ("run_id", "job_name", "trigger", "since", "attempt", "request_id"))
        for run in value
    )


def _is_jobs(value: object) -> bool:
    return isinstance(value, dict) and all(
        _is_job_name(name)
        and (
            record is None
            or (isinstance(record, dict) and _is_hash(record.get("sha256")) and _is_time(record.get("since")))
        )
        for name, record in value.items()
    )


def _is_problems(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, dict) and all(_is_text(each.get(key)) for key in ("field", "found", "wanted"))
        for each in value
    )


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and (value == "" or SHA256.fullmatch(value) is not None)


def _or_null(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or check(value)


CHECKS: Mapping[str, Callable[[object], bool]] = {
    "timestamp": _is_time,
    "level": _is_text,
    "component": _is_text,
    "job_name": _is_job_name,
    "run_id": _is_run_id,
    "run_ids": lambda value: isinstance(value, list) and all(map(_is_run_id, value)),
    "first_run_id": _is_run_id,
    "request_id": _or_null(_is_text),
    "requested_by": _or_null(_is_text),
    "requested_uid": _is_count,
    "action": lambda value: value in ("run", "cancel"),
    "trigger": lambda value: value in TRIGGERS,
    "status": lambda value: value in STATUSES,
    "file": _is_text,
    "detail": _is_text,
    "reason": _or_null(_is_text),
    "scheduled_time": _or_null(_is_time),
    "first_scheduled_time": _or_null(_is_time),
    "start_time": _is_time,
    "end_time": _is_time,
    "retry_at": _or_null(_is_time),
    "since": _is_time,
    "next_run_at": _or_null(_is_time),
    "duration_seconds": _is_number,
    "cpu_seconds": _or_null(_is_number),
    "max_rss_bytes": _or_null(_is_count),
    "attempt": _is_count,
    "count": _is_count,
    "exit_code": _or_null(_is_count),
    "signal": _or_null(_is_count),
    "stdout": _is_text,
    "stderr": _is_text,
    "stdout_bytes": _is_count,
    "stderr_bytes": _is_count,
    "stdout_file": _or_null(_is_text),
    "stderr_file": _or_null(_is_text),
    "truncated": _is_flag,
    "leftover_processes": _is_count,
    "sha256": _is_hash,
    "full": _is_flag,
    "open": _is_runs,
    "pending": _is_runs,
    "retries": _is_runs,
    "jobs": _is_jobs,
    "kept_last_good": _is_flag,
    "errors": _is_problems,
    "timezone": _is_text,
    "version": _is_text,
    "config_errors": _is_count,
    "running": _is_count,
    "queued": _is_count,
}
NULLABLE = {
    "trigger_rejected": ("run_id", "job_name", "action"),
    "trigger_accepted": ("run_id",),
    "job_skipped": ("run_id",),
    "job_missed": ("run_id",),
    "config_error": ("job_name",),
    "config_recovered": ("job_name",),
}
LINE = ("timestamp", "level", "component")
RUN = ("run_id", "job_name", "trigger", "scheduled_time", "attempt", "first_run_id", "request_id")
REQUEST = ("request_id", "action", "file", "job_name", "run_id", "requested_by", "requested_uid")
PASSED = ("job_name", "run_id", "request_id", "first_scheduled_time", "scheduled_time", "count", "reason")
DEFINITION = ("file", "job_name", "sha256")
JOURNAL_EVENTS: Mapping[str, tuple[str, ...]] = {
    "trigger_accepted": (*REQUEST, "run_ids"),
    "trigger_rejected": (*REQUEST, "reason", "detail"),
    "job_queued": (*RUN, "reason"),
    "job_start": (*RUN, "start_time", "sha256"),
    "job_complete": (
        *(*RUN, "start_time", "end_time", "duration_seconds", "exit_code", "signal", "status", "reason", "stdout"),
        *("stderr", "stdout_bytes", "stderr_bytes", "truncated", "stdout_file", "stderr_file"),
        *("leftover_processes", "cpu_seconds", "max_rss_bytes", "retry_at"),
    ),
    "job_skipped": PASSED,
    "job_missed": PASSED,
    "checkpoint": ("full", "jobs"),
}
MAIN_EVENTS: Mapping[str, tuple[str, ...]] = {
    "scheduler_started": ("timezone", "config_errors", "version"),
    "scheduler_stopping": ("reason",),
    "scheduler_stopped": ("reason",),
    "scheduler_crashed": ("reason",),
    "heartbeat": ("running", "queued", "next_run_at"),
    "job_registered": DEFINITION,
    "job_updated": DEFINITION,
    "job_removed": ("file", "job_name"),
    "config_error": ("file", "job_name", "errors", "kept_last_good"),
    "config_recovered": ("file", "job_name"),
    "paused": (),
    "resumed": (),
    "journal_degraded": ("reason",),
    "journal_recovered": ("reason",),
    "watch_degraded": ("reason",),
    "watch_recovered": ("reason",),
    "schedule_error": ("job_name",),
    "clock_jump": (),
    "setting_raised": (),
}
FIELDS: Mapping[str, tuple[str, ...]] = {**JOURNAL_EVENTS, **MAIN_EVENTS}
"""By event, what this side relies on."""

UNLIKE = {"scheduler_started": "jobs", "heartbeat": "jobs", "checkpoint": "version"}
"""Fields that mean another thing here than under other events, and nothing to this side."""


def parse(line: bytes, events: Mapping[str, tuple[str, ...]] = FIELDS) -> Entry | None:
    """Return a line's entry if it has one of these events, all fields that this side relies on, and in no field that
    it knows, needed or not, anything but what the contract has there: what is kept of a line is shown some day.
    """
    try:
        # json.loads would take bytes too, but with half characters in them, which SQLite then refuses.
        entry = json.loads(line.decode(), parse_float=_finite, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    event = entry.get("event")
    if not isinstance(event, str) or event not in events:
        return None
    if line.count(b"[") + line.count(b"{") > DEEPEST and _is_deeper(entry, DEEPEST):
        return None
    if not _fits(entry, (*LINE, *events[event]), NULLABLE.get(event, ()), UNLIKE.get(event)):
        return None
    if event == "checkpoint" and entry["full"] and not entry.keys() >= {"open", "pending", "retries"}:
        return None
    if event != "checkpoint" and len(line) > LONGEST_BARE and len(json.dumps(_without_output(entry))) > LONGEST_BARE:
        return None
    return _characters(entry) if b"\\ud" in line.lower() else entry


def cause(entry: Entry) -> str | None:
    """Return the one line that says best why a run failed: the exception of a traceback, else what stderr ends with."""
    stderr = entry["stderr"]
    after = stderr.rpartition(TRACEBACK)[2]
    if after != stderr:
        raised = next((line for line in after.splitlines() if line.strip() and not line[0].isspace()), None)
        if raised is not None:
            return str(raised)
    for text in (stderr, entry["reason"] or "", entry["stdout"]):
        last = next((line for line in reversed(text.splitlines()) if line.strip()), None)
        if last is not None:
            return str(last.strip())
    return None


def _fits(
    entry: Mapping[str, Any], needed: tuple[str, ...], nullable: tuple[str, ...] = (), unlike: str | None = None
) -> bool:
    return all(name in entry for name in needed) and all(
        CHECKS[name](value) or (value is None and name in nullable)
        for name, value in entry.items()
        if name in CHECKS and name != unlike
    )


def _is_deeper(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in value)


def _without_output(entry: Entry) -> Entry:
    """Return a line's entry but for what its run printed."""
    return {key: value for key, value in entry.items() if key not in ("stdout", "stderr")}


def _characters(value: Any) -> Any:
    """Return the value with half characters (lone surrogates, which no text file can hold) escaped."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_characters(each) for each in value]
    if isinstance(value, dict):
        return {_characters(key): _characters(each) for key, each in value.items()}
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits} is beyond all numbers")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
