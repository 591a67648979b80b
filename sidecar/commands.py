"""The verbs that only read: validate, list, next, why. They ask the modules that know, and print what these say."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sidecar import health, history, journal, policy
from sidecar.catalog import Catalog, Definition
from sidecar.clock import Clock, from_iso, iso
from sidecar.config import ConfigLoader, display_name, duplicate, is_definition, is_job_name
from sidecar.cron import Schedule, parse
from sidecar.errors import FileUnreadable, JobFileError, Problem, ScheduleError, UnknownJob, UsageError
from sidecar.evidence import Evidence, previous
from sidecar.files import read_json, read_small
from sidecar.human import clean, count, did_you_mean, read_time, show_length, show_minute, table
from sidecar.ledger import Ledger
from sidecar.model import PAUSE, JobConfig
from sidecar.settings import Settings
from sidecar.uptime import stopping
from sidecar.why import explain

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


# validate


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one file is: the definition of a job, or its problems. `shown` is how the caller called the file.

    `job_name` is the name in it, where it is one that a job can have.
    """

    path: Path
    shown: str
    job_name: str | None = None
    problems: Sequence[Problem] = ()


def validate(settings: Settings, paths: Sequence[str], *, as_json: bool) -> int:
    """Print every problem of every file and return 1, or 0 if there is none. Raises JobsDirectoryError."""
    named = paths or [os.path.join(settings.jobs_dir, "")]
    verdicts = [verdict for path in named for verdict in _judge(settings, path, alone=len(named) == 1)]
    verdicts = _without_duplicates(verdicts)
    bad = [verdict for verdict in verdicts if verdict.problems]
    if as_json:
        _print_json({"valid": not bad, "files": [_verdict_document(verdict) for verdict in verdicts]})
        return 1 if bad else 0
    for verdict in bad:
        for problem in verdict.problems:
            print(clean(f"{verdict.shown}: {problem}"))
    for verdict in verdicts:
        if not verdict.problems and not is_definition(verdict.path.name):
            print(clean(f"{verdict.shown}: valid, but a scheduler reads only files called NAME.json"))
    if not bad:
        print(f"{count(len(verdicts), 'job file')}, no problems")
    return 1 if bad else 0


def _judge(settings: Settings, path: str, *, alone: bool) -> Iterable[Verdict]:
    if not os.path.isdir(path) and not path.endswith(os.sep):
        yield _judge_file(settings, Path(path), display_name(path))
        return
    for file in _loader(settings, path).files():
        yield _judge_file(settings, Path(path, file), display_name(file if alone else os.path.join(path, file)))


def _judge_file(settings: Settings, path: Path, shown: str) -> Verdict:
    try:
        config, _ = _loader(settings, path.parent).load(path.name)
    except JobFileError as error:
        return Verdict(path, shown, _claimed_name(path), error.problems)
    return Verdict(path, shown, config.name)


def _without_duplicates(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts, in the order of their files; of files in one folder with one job name only the first is
    valid, as for the scheduler."""
    first: dict[tuple[str, str], Path] = {}
    judged: dict[tuple[str, str], Verdict] = {}
    for verdict in sorted(verdicts, key=lambda each: (str(each.path.parent), each.path.name)):
        folder = os.path.realpath(verdict.path.parent)
        if verdict.job_name is not None and not verdict.problems:
            holder = first.setdefault((folder, verdict.job_name), verdict.path)
            if holder.name != verdict.path.name:
                problem = duplicate(verdict.job_name, holder.name)
                verdict = replace(verdict, problems=[problem])
        judged.setdefault((folder, verdict.path.name), verdict)
    return list(judged.values())


def _verdict_document(verdict: Verdict) -> dict[str, Any]:
    return {
        "file": verdict.shown,
        "valid": not verdict.problems,
        "job_name": verdict.job_name,
        "problems": [asdict(problem) for problem in verdict.problems],
    }


# list


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
        _print_json(document)
        return 0
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
    return 0


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
    following = next_run(config, parse(config.schedule, zone.key), now) if config.enabled else None
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
    following = NOTHING if at is None else _in_zone(from_iso(at), zone)
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


# next


def next_times(settings: Settings, job_name: str, number: int, after: str | None, *, as_json: bool) -> int:
    """Print the job's next scheduled times in its own zone and in UTC. Raises UnknownJob, UsageError."""
    catalog = read_definitions(settings)
    definition = catalog.jobs.get(job_name)
    if definition is None:
        raise UnknownJob(unknown(job_name, catalog, invalid_files(settings, catalog, job_name)))
    config = definition.config
    zone, now = zone_of(config, settings), Clock().now()
    schedule = parse(config.schedule, zone.key)
    try:
        start = now if after is None else read_time(after, zone, now).instant
    except ValueError as error:
        raise UsageError(f"--after: {error}") from None
    times = list(_times(schedule, start, number))
    if as_json:
        document = {"job_name": job_name, "schedule": config.schedule, "timezone": zone.key}
        listed = [{"scheduled_time": iso(time), "local_time": time.astimezone(zone).isoformat()} for time in times]
        _print_json({**document, "enabled": config.enabled, "jitter_seconds": config.jitter_seconds, "times": listed})
        return 0
    for line in table([(_in_zone(time, zone), show_minute(time, ZoneInfo("UTC"))) for time in times]):
        print(line)
    if not times:
        print("no scheduled time is left")
    if not config.enabled:
        print(clean(f"The job is disabled ({definition.file}): it does not run at these times."))
    if config.jitter_seconds:
        print(f"Each start is delayed by up to {show_length(config.jitter_seconds)} (jitter_seconds).")
    return 0


def _times(schedule: Schedule, after: datetime, number: int) -> Iterator[datetime]:
    for _ in range(number):
        try:
            after = schedule.next_after(after)
        except ScheduleError:  # the calendar ends with the year 9999
            return
        yield after


# why


def why(settings: Settings, job_name: str, time: str | None) -> int:
    """Print why the job did or did not run. Raises UnknownJob, UsageError, JobsDirectoryError, OSError."""
    now, catalog = Clock().now(), read_definitions(settings)
    definition = catalog.jobs.get(job_name)
    invalid = invalid_files(settings, catalog, job_name)
    zone = ZoneInfo(settings.timezone) if definition is None else zone_of(definition.config, settings)
    lines = list(history.entries(settings.logs_dir / journal.JOURNAL, (job_name.encode(), journal.MARK)))
    evidence = Evidence(
        job_name=job_name,
        now=now,
        zone=zone,
        definition=definition,
        invalid=invalid,
        paused=is_paused(settings),
        silence=health.silence(settings.logs_dir),
        journal=[line for line in lines if _concerns(line, job_name)],
        main=list(history.entries(settings.logs_dir / journal.MAIN_LOG)),
        reaches_back_to=history.oldest(settings.logs_dir / journal.JOURNAL),
    )
    is_known = definition or invalid or any(line["event"] != "checkpoint" for line in evidence.journal)
    if not is_known and not any(line.get("job_name") == job_name for line in evidence.main):
        raise UnknownJob(unknown(job_name, catalog, invalid))
    try:
        moment = None if time is None else read_time(time, zone, now, past=True)
    except ValueError as error:
        raise UsageError(f"TIME: {error}") from None
    for line in explain(evidence, moment):
        print(line)
    return 0


def _concerns(line: Mapping[str, Any], job_name: str) -> bool:
    if line["event"] == "checkpoint" or line.get("job_name") == job_name:
        return True
    # An invalid request names no job; its file mostly does.
    is_nameless = line["event"] == "trigger_rejected" and line.get("job_name") is None
    return is_nameless and job_name in str(line.get("file"))


# What several verbs need


def read_definitions(settings: Settings) -> Catalog:
    """Return the definitions as a scheduler that started now would read them. Raises JobsDirectoryError."""
    catalog = Catalog(_loader(settings, settings.jobs_dir))
    catalog.rescan(0, settle=0)
    return catalog


def zone_of(config: JobConfig, settings: Settings) -> ZoneInfo:
    """Return the zone in which the job's schedule is read."""
    return ZoneInfo(config.timezone or settings.timezone)


def next_run(config: JobConfig, schedule: Schedule, now: datetime) -> tuple[datetime, datetime] | None:
    """Return the next scheduled time and when, by its jitter, its run is due after `now`; None if there is none."""
    waiting = previous(schedule, now) if config.jitter_seconds else None
    if waiting is not None:
        due = policy.due_at(config, schedule, waiting)
        if due > now:
            return waiting, due
    try:
        following = schedule.next_after(now)
        return following, policy.due_at(config, schedule, following)
    except ScheduleError:
        return None


def is_paused(settings: Settings) -> bool:
    """Return whether the pause file holds scheduled starts."""
    return os.path.lexists(settings.jobs_dir / PAUSE)


def invalid_files(settings: Settings, catalog: Catalog, job_name: str) -> dict[str, Sequence[Problem]]:
    """Return the invalid files that would define the job: by the name in them, or by their own."""
    return {
        file: problems
        for file, problems in catalog.errors.items()
        if file == f"{job_name}.json" or _claimed_name(settings.jobs_dir / file) == job_name
    }


def _claimed_name(path: Path) -> str | None:
    try:
        document = read_json(read_small(path)[0])
    except (FileUnreadable, ValueError):
        return None
    name = document.get("name") if isinstance(document, dict) else None
    return name if isinstance(name, str) and is_job_name(name) else None


def unknown(job_name: str, catalog: Catalog, invalid: Mapping[str, Sequence[Problem]]) -> str:
    """Return the message for a name that no definition in force has."""
    if invalid:
        file, problems = next(iter(invalid.items()))
        return clean(f"the file of the job {job_name} is invalid: {file}: {problems[0]}")
    return clean(f"no job is called {job_name}{did_you_mean(job_name, catalog.jobs)}")


def _loader(settings: Settings, directory: str | Path) -> ConfigLoader:
    return ConfigLoader(directory, default_timezone=settings.timezone)


def _in_zone(instant: datetime, zone: ZoneInfo) -> str:
    shown = show_minute(instant, zone)
    return shown if zone.key == "UTC" else f"{shown} ({zone.key})"


def _print_json(document: Mapping[str, Any]) -> None:
    print(json.dumps(document, indent=2))
