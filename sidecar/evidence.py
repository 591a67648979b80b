"""What an answer to "why" is drawn from: a job's definition, its log entries, and what follows from these. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sidecar import policy
from sidecar.catalog import Definition
from sidecar.clock import REACHABLE_YEARS, from_iso
from sidecar.cron import Schedule, parse
from sidecar.errors import Problem
from sidecar.human import show_minute, show_second

Entry = Mapping[str, Any]

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that an answer is drawn from. `journal` and `main` are entries of the two logs, oldest first.

    `definition` is what the job's file says now; `invalid` are the invalid files that claim this job. `silence`
    is why no scheduler seems to work now, `reaches_back_to` the time of the journal's oldest line.
    """

    job_name: str
    now: datetime
    zone: ZoneInfo
    definition: Definition | None = None
    invalid: Mapping[str, Sequence[Problem]] = field(default_factory=dict)
    paused: bool = False
    silence: str | None = None
    journal: Sequence[Entry] = ()
    main: Sequence[Entry] = ()
    reaches_back_to: datetime | None = None

    @property
    def schedule(self) -> Schedule | None:
        """What the job's file now asks for."""
        return None if self.definition is None else parse(self.definition.config.schedule, self.zone.key)

    def minute(self, instant: datetime) -> str:
        """Return the time as this job's people read it."""
        return show_minute(instant, self.zone)

    def second(self, instant: datetime) -> str:
        """Return the time to the second as this job's people read it."""
        return show_second(instant, self.zone)

    def end_of(self, run_id: str) -> Entry | None:
        """Return the line that closed a run."""
        ends = (line for line in self.journal if line["event"] == "job_complete" and line.get("run_id") == run_id)
        return next(ends, None)

    def record(self, at: datetime | None = None) -> tuple[str, datetime] | None:
        """Return the sha256 of the definition in force at `at` (None: lately), and since when it was in force."""
        current: tuple[str, datetime] | None = None
        for line in self.journal:
            jobs = line.get("jobs")
            if line["event"] != "checkpoint" or not isinstance(jobs, Mapping):
                continue
            if not line.get("full") and self.job_name not in jobs:
                continue
            document = jobs.get(self.job_name)
            since = time_in(document, "since") if isinstance(document, Mapping) else None
            if since is None:
                current = None if at is None or stamp(line) <= at else current
            elif at is None or since <= at:
                current = (str(jobs[self.job_name].get("sha256")), since)
        return current

    def is_scheduled(self, minute: datetime) -> bool:
        """Return whether the present schedule asks for a run in this minute."""
        schedule, just_before = self.schedule, timedelta.resolution
        return schedule is not None and schedule.span(minute - just_before, minute + MINUTE - just_before) is not None

    def due(self, scheduled: datetime) -> datetime:
        """Return when the run for a scheduled time is to start by the present definition."""
        schedule = self.schedule
        if self.definition is None or schedule is None:
            return scheduled
        return policy.due_at(self.definition.config, schedule, scheduled)

    def is_passed_over_by(self, line: Entry, minute: datetime) -> bool:
        """Return whether a `job_skipped` or `job_missed` line that names no run accounts for this minute."""
        if line["event"] not in ("job_skipped", "job_missed") or line.get("run_id") is not None:
            return False
        first, last = time_in(line, "first_scheduled_time"), time_in(line, "scheduled_time")
        if first is None or last is None or not first < minute + MINUTE or not minute <= last:
            return False
        record = self.record(minute)
        is_known = self.definition is not None and record is not None and record[0] == self.definition.sha256
        return not is_known or self.is_scheduled(minute)


def time_in(line: Entry, key: str) -> datetime | None:
    """Return the time that an entry's field holds, None if it holds none, or one that nobody can reckon with."""
    try:
        instant = from_iso(line[key])
    except (KeyError, TypeError, ValueError):
        return None
    return instant if instant.year in REACHABLE_YEARS else None


def stamp(line: Entry) -> datetime:
    """Return when an entry was written."""
    return from_iso(line["timestamp"])


def began_at(line: Entry) -> datetime:
    """Return when the run of a `job_start` line began."""
    return time_in(line, "start_time") or stamp(line)


def is_in(instant: datetime | None, minute: datetime) -> bool:
    """Return whether the instant lies in this minute."""
    return instant is not None and minute <= instant < minute + MINUTE


def first_of(lines: Iterable[Entry], event: str) -> Entry | None:
    """Return the first line of this event."""
    return next((line for line in lines if line["event"] == event), None)
