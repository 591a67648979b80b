"""What the verbs know of the job files, as a scheduler that started now would read them, and how they show it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sidecar import policy
from sidecar.catalog import Catalog
from sidecar.config import ConfigLoader, is_job_name
from sidecar.cron import Schedule
from sidecar.errors import FileUnreadable, Problem, ScheduleError
from sidecar.files import read_json, read_small
from sidecar.human import clean, did_you_mean, show_minute
from sidecar.model import PAUSE, JobConfig
from sidecar.settings import Settings


def read_definitions(settings: Settings) -> Catalog:
    """Return the definitions as a scheduler that started now would read them. Raises JobsDirectoryError."""
    catalog = Catalog(loader(settings, settings.jobs_dir))
    catalog.rescan(0, settle=0)
    return catalog


def zone_of(config: JobConfig, settings: Settings) -> ZoneInfo:
    """Return the zone in which the job's schedule is read."""
    return ZoneInfo(config.timezone or settings.timezone)


def next_run(
    config: JobConfig, schedule: Schedule, now: datetime, handled: datetime
) -> tuple[datetime, datetime] | None:
    """Return the next scheduled time and when, by its jitter, its run is due after `now`; None if there is none.

    What was scheduled up to `handled` has been run or passed over.
    """
    waiting = schedule.last_until(now) if config.jitter_seconds else None
    if waiting is not None and waiting > handled:
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
        if file == f"{job_name}.json" or claimed_name(settings.jobs_dir / file) == job_name
    }


def claimed_name(path: Path) -> str | None:
    """Return the name in a job file, valid or not, if it is one that a job can have."""
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


def loader(settings: Settings, directory: str | Path) -> ConfigLoader:
    """Return what reads the job files of a directory."""
    return ConfigLoader(directory, default_timezone=settings.timezone)


def in_zone(instant: datetime, zone: ZoneInfo) -> str:
    """Return the minute by the clocks of the zone, which is named unless it is UTC."""
    shown = show_minute(instant, zone)
    return shown if zone.key == "UTC" else f"{shown} ({zone.key})"


def print_json(document: Mapping[str, Any]) -> None:
    """Print what `--json` asks for."""
    print(json.dumps(document, indent=2))
