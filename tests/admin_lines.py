"""Log lines as the scheduler writes them, for tests of what the admin service reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SHA256 = "0" * 64


def time(seconds: float = 0) -> str:
    """Return so many seconds after NOON as the logs write it."""
    return f"{(NOON + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def line(event: str, seconds: float = 0, **fields: Any) -> dict[str, Any]:
    return {"timestamp": time(seconds), "level": "info", "component": "scheduler", "event": event, **fields}


def run(run_id: str, job_name: str = "job", **fields: Any) -> dict[str, Any]:
    """Return the fields that every line of a run has."""
    known = {"trigger": "schedule", "scheduled_time": time(), "attempt": 1, "first_run_id": run_id, "request_id": None}
    return {"run_id": run_id, "job_name": job_name, **known, **fields}


def start(run_id: str, seconds: float = 0, **fields: Any) -> dict[str, Any]:
    return line("job_start", seconds, **run(run_id, start_time=time(seconds), sha256=SHA256) | fields)


def complete(run_id: str, seconds: float = 1, took: float = 1, **fields: Any) -> dict[str, Any]:
    """Return the line of a run that ended `seconds` after NOON; a success unless `fields` say otherwise."""
    ended = {
        "start_time": time(seconds - took),
        "end_time": time(seconds),
        "duration_seconds": took,
        "exit_code": 0,
        "signal": None,
        "status": "success",
        "reason": None,
        "stdout": "",
        "stderr": "",
        "stdout_bytes": 0,
        "stderr_bytes": 0,
        "truncated": False,
        "stdout_file": None,
        "stderr_file": None,
        "leftover_processes": 0,
        "cpu_seconds": 0.1,
        "max_rss_bytes": 1 << 20,
        "retry_at": None,
    }
    return line("job_complete", seconds, **run(run_id) | ended | fields)


def failure(run_id: str, seconds: float = 1, **fields: Any) -> dict[str, Any]:
    return complete(run_id, seconds, **{"status": "failure", "exit_code": 1, **fields})


def accepted(request_id: str, run_id: str, seconds: float = 0, **fields: Any) -> dict[str, Any]:
    facts = {"action": "run", "file": f"{request_id}.json", "job_name": "job", "requested_by": "anna"}
    request = {"request_id": request_id, "run_id": run_id, "run_ids": [run_id], "requested_uid": 0}
    return line("trigger_accepted", seconds, **facts | request | fields)


def skipped(seconds: float = 0, **fields: Any) -> dict[str, Any]:
    facts = {"job_name": "job", "run_id": None, "request_id": None, "count": 1, "reason": "already_running"}
    times = {"first_scheduled_time": time(seconds), "scheduled_time": time(seconds)}
    return line("job_skipped", seconds, **facts | times | fields)


def checkpoint(seconds: float = 0, **fields: Any) -> dict[str, Any]:
    """Return a full checkpoint of a scheduler that has nothing to remember, but for `fields`."""
    nothing = {"version": 1, "open": [], "pending": [], "retries": [], "cancelled": [], "answers": {}, "jobs": {}}
    return line("checkpoint", seconds, full=True, **nothing | fields)


def data(*lines: dict[str, Any]) -> bytes:
    """Return the lines as a file holds them."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in lines)


def append(path: Path, *lines: dict[str, Any]) -> None:
    """Append the lines to a log."""
    with path.open("ab") as file:
        file.write(data(*lines))
