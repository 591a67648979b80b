"""The verb `list`: all jobs with their next and their last run, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sidecar import health, history, journal
from sidecar.catalog import Definition
from sidecar.clock import Clock, from_iso, iso
from sidecar.cron import parse
from sidecar.definitions import in_zone, is_paused, next_run, print_json, read_definitions, zone_of
from sidecar.exit_codes import EX_OK
from sidecar.human import clean, count, show_minute, table
from sidecar.ledger import Ledger
from sidecar.model import PAUSE
from sidecar.settings import Settings
from sidecar.uptime import stopping

ABOUT_SCHEDULER_OR_FILES = (b'"event": "scheduler_', b'"event": "config_')
NOTHING = "-"
LAST_RUN_FIELDS = (
    "run_id",
    "trigger",
    "scheduled_time",
    "start_time",
    "end_time",
    "duration_seconds",
    "status",
    "exit_code",
    "reason",
)


def list_jobs(settings: Settings, *, as_json: bool) -> int:
    """Print all jobs, and the files that define none because they are invalid. Raises JobsDirectoryError, OSError."""
    now, catalog = Clock().now(), read_definitions(settings)
    log = settings.logs_dir / journal.JOURNAL
    ledger = journal.replay(log)
    last = history.newest_by_job(log, "job_complete", catalog.jobs)
    trouble = health.silence(settings.logs_dir)
    main = list(history.entries(settings.logs_dir / journal.MAIN_LOG, ABOUT_SCHEDULER_OR_FILES))
    draining = stopping(main) if trouble is None else None
    rows = [
        _job_document(settings, definition, ledger, last.get(name), now)
        for name, definition in sorted(catalog.jobs.items())
    ]
    if as_json:
        invalid = [
            {"file": file, "problems": [asdict(problem) for problem in problems]}
            for file, problems in sorted(catalog.errors.items())
        ]
        document = {
            "jobs": rows,
            "invalid_files": invalid,
            "paused": is_paused(settings),
            "scheduler_stopping": None if draining is None else draining["timestamp"],
            "scheduler_silent": trouble,
        }
        print_json(document)
        return EX_OK
    heading = ("JOB", "SCHEDULE", "ENABLED", "NEXT RUN", "LAST RESULT")
    for line in table([heading, *(_job_cells(row, trouble) for row in rows)]):
        print(clean(line))
    kept = _kept_last_good(main) if trouble is None else {}
    for file, problems in sorted(catalog.errors.items()):
        more = f" (and {count(len(problems) - 1, 'more problem')})" if len(problems) > 1 else ""
        meanwhile = ""
        if file in kept:
            shown = catalog.jobs.get(kept[file])  # what a start would take; this scheduler calls it a duplicate
            meanwhile = f"; the last good version stays in force{f', not {shown.file}' if shown else ''}"
        print(clean(f"INVALID {file}: {problems[0]}{more}{meanwhile}"))
    if is_paused(settings):
        print(f"PAUSED: {settings.jobs_dir / PAUSE} holds all scheduled starts; remove it to go on")
    if draining is not None:
        since = show_minute(from_iso(draining["timestamp"]), ZoneInfo(settings.timezone))
        print(clean(f"STOPPING: since {since} the scheduler lets runs end and starts none ({draining.get('reason')})"))
    if trouble is not None:
        print(clean(f"SILENT SCHEDULER: {trouble}"))
    return EX_OK


def _kept_last_good(main: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return of which invalid files the working scheduler still has a good version, by what it said of them, each
    with its job's name."""
    kept: dict[str, str] = {}
    for line in main:
        if line["event"] == "scheduler_started":
            kept = {}
        elif line["event"] in ("config_error", "config_recovered"):
            kept.pop(str(line.get("file")), None)
            if line.get("kept_last_good") is True:
                kept[str(line.get("file"))] = str(line.get("job_name"))
    return kept


def _job_document(
    settings: Settings, definition: Definition, ledger: Ledger, last: Mapping[str, Any] | None, now: datetime
) -> dict[str, Any]:
    config = definition.config
    zone = zone_of(config, settings)
    record = ledger.jobs.get(config.name)
    # What no scheduler has taken up yet counts from when one does.
    handled = now if record is None or record.sha256 != definition.sha256 else record.handled
    following = next_run(config, parse(config.schedule, zone.key), now, handled) if config.enabled else None
    return {
        "job_name": config.name,
        "file": definition.file,
        "schedule": config.schedule,
        "timezone": zone.key,
        "enabled": config.enabled,
        "next_scheduled_time": None if following is None else iso(following[0]),
        "next_run_at": None if following is None else iso(following[1]),
        "running": [run.run_id for run in ledger.open.of(config.name)],
        "queued": [run.run_id for run in ledger.pending.of(config.name)],
        "retries": [run.run_id for run in ledger.retries.of(config.name)],
        "last_run": None if last is None else {key: last.get(key) for key in LAST_RUN_FIELDS},
    }


def _job_cells(row: Mapping[str, Any], trouble: str | None) -> list[str]:
    zone = ZoneInfo(row["timezone"])
    at = row["next_run_at"]
    following = NOTHING if at is None else in_zone(from_iso(at), zone)
    return [row["job_name"], row["schedule"], "yes" if row["enabled"] else "no", following, _result(row, zone, trouble)]


def _result(row: Mapping[str, Any], zone: ZoneInfo, trouble: str | None) -> str:
    words = []
    if row["running"]:
        words.append("running" if trouble is None else "unfinished")
    if row["queued"]:
        words.append("queued")
    if row["retries"]:
        words.append("waits for its retry")
    last = row["last_run"]
    if last is not None:
        code = "" if last["status"] == "success" or last["exit_code"] is None else f" (exit code {last['exit_code']})"
        words.append(f"{last['status']}{code} {show_minute(from_iso(last['end_time']), zone)}")
    return ", ".join(words) or NOTHING
