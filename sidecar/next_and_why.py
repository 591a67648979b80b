"""The verbs `next` and `why`: when one job runs, and why it did or did not; printed, not decided here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sidecar import health, history, journal
from sidecar.clock import Clock, iso
from sidecar.cron import Schedule, parse
from sidecar.definitions import in_zone, invalid_files, is_paused, print_json, read_definitions, unknown, zone_of
from sidecar.errors import ScheduleError, UnknownJob, UsageError
from sidecar.evidence import Evidence
from sidecar.exit_codes import EX_OK
from sidecar.human import clean, read_time, show_length, show_minute, table
from sidecar.settings import Settings
from sidecar.why import explain


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
        print_json({**document, "enabled": config.enabled, "jitter_seconds": config.jitter_seconds, "times": listed})
        return EX_OK
    for line in table([(in_zone(time, zone), show_minute(time, ZoneInfo("UTC"))) for time in times]):
        print(line)
    if not times:
        print("no scheduled time is left")
    if not config.enabled:
        print(clean(f"The job is disabled ({definition.file}): it does not run at these times."))
    if config.jitter_seconds:
        print(f"Each start is delayed by up to {show_length(config.jitter_seconds)} (jitter_seconds).")
    return EX_OK


def _times(schedule: Schedule, after: datetime, number: int) -> Iterator[datetime]:
    for _ in range(number):
        try:
            after = schedule.next_after(after)
        except ScheduleError:  # the calendar ends with the year 9999
            return
        yield after


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
    return EX_OK


def _concerns(line: Mapping[str, Any], job_name: str) -> bool:
    if line["event"] == "checkpoint" or line.get("job_name") == job_name:
        return True
    # An invalid request names no job; its file mostly does.
    is_nameless = line["event"] == "trigger_rejected" and line.get("job_name") is None
    return is_nameless and job_name in str(line.get("file"))
