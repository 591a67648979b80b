"""What an operator wants to see first, put together from the definitions, the history and the scheduler's state.

Every open page asks for it every few seconds, so what takes time is kept for a second at most: what the files say
unless this service writes one, what the history says unless there is news in it.
"""

from __future__ import annotations

import heapq
import math
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Generic, TypeVar

from admin_ui import cron, queries
from admin_ui.errors import ScheduleError, StorageError
from admin_ui.history import History
from admin_ui.job_files import JobFile, JobFiles
from admin_ui.model import on_the_calendar
from admin_ui.own_writes import OwnWrites
from admin_ui.pulse import Pulse
from admin_ui.queries import HistoryRow
from admin_ui.requests import RequestFile, Requests
from admin_ui.scheduler_state import ConfigProblem, SchedulerState, scheduler_state

T = TypeVar("T")
PAUSE = "PAUSE"
HEARTBEAT = ".heartbeat"
FAILURES_OF = timedelta(hours=24)
MOST_UPCOMING = 50_000
LONGEST_JITTER = timedelta(days=9 * 366).total_seconds()
"""A delay is shorter than the gap to the next scheduled time, and between leap days there are at most eight years."""

KEPT_SECONDS = 1.0
LEFT_FOR_LONG = timedelta(hours=1)
"""A scheduler at work answers a request within a second: for one that is older, and older than all lines of the
journal that are known, the answer's line is gone."""

REFUSED_AFTER = timedelta(seconds=5)
"""The scheduler writes an error once: one that it wrote of an earlier version stands if nothing follows for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcoming:
    """A job's next scheduled time; one that has come stays the next until its jitter, a delay, is over."""

    job_name: str
    at: datetime
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """What the definition files say. `files` are all of them, `invalid_files` those with errors.

    `changed_outside`: when the files of these jobs were changed or added by others, as `OwnWrites` has it.
    """

    files: list[JobFile]
    upcoming: list[Upcoming]
    invalid_files: list[JobFile]
    changed_outside: Mapping[str, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """What the history says. `failed`: the newest failure of each job in 24 h, and how many there were.

    `unanswered`: the requests that it has no answer to, oldest first. `known_since` is as in `queries`.
    """

    running: list[HistoryRow]
    queued: list[HistoryRow]
    failed: list[tuple[HistoryRow, int]]
    in_force: Mapping[str, str]
    unanswered: list[RequestFile]
    known_since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview(Definitions):
    """What an operator wants to see first. `failed` and `unanswered` are as in `Runs`.

    `loaded` says by job whether the scheduler goes by the file as it is now, `refused` by file what it says of one
    that it cannot use; `upcoming` has no times of such a file. `index_problem`: why the history may be behind.
    """

    now: datetime
    scheduler: SchedulerState
    paused_since: datetime | None
    running: list[HistoryRow]
    queued: list[HistoryRow]
    failed: list[tuple[HistoryRow, int]]
    unanswered: list[RequestFile]
    loaded: Mapping[str, bool]
    refused: Mapping[str, ConfigProblem]
    index_problem: str | None
    skipped_lines: int


class Kept(Generic[T]):
    """A value that is made again for another version, and after a second. Thread-safe."""

    def __init__(self) -> None:
        self._making = threading.Lock()
        self._version: object = None
        self._at = -math.inf
        self._value: T | None = None

    def get(self, version: object, make: Callable[[], T]) -> T:
        """Return the value; whoever asks while it is made waits for it and has the same."""
        with self._making:
            now = time.monotonic()
            if self._value is None or version != self._version or now - self._at >= KEPT_SECONDS:
                self._value, self._version, self._at = make(), version, now
            return self._value


class Overviews:
    """Makes overviews of one jobs and one logs directory. Thread-safe."""

    def __init__(
        self,
        files: JobFiles,
        history: History,
        own_writes: OwnWrites,
        requests: Requests,
        log_directory: Path,
        clock: Callable[[], datetime],
    ) -> None:
        self._files = files
        self._history = history
        self._own_writes = own_writes
        self._requests = requests
        self._heart = log_directory / HEARTBEAT
        self._pulse = Pulse(log_directory, clock)
        self._clock = clock
        self._definitions: Kept[Definitions] = Kept()
        self._runs: Kept[Runs] = Kept()
        self._next: dict[tuple[str, str, float], tuple[datetime, datetime, datetime | None]] = {}
        """By schedule, zone and jitter: as of when, the next time, and the last one if it may be delayed so long."""

    def overview(self, upcoming: int) -> Overview:
        """Return what there is to see now, with the next `upcoming` (at most 50,000) times. Raises StorageError."""
        now = self._clock()
        scheduler = self.scheduler(now)
        zone = known_zone(scheduler.timezone)
        # The versions are taken before the look: what changes during it makes the next one look again.
        definitions = self._definitions.get((self._files.version, zone), lambda: self._look_at_files(zone, now))
        runs = self._runs.get(self._history.version, lambda: self._look_at_runs(now))
        loaded = {
            each.name: runs.in_force.get(each.name) == each.sha256
            for each in definitions.files
            if each.config is not None
        }
        refused = refusals(definitions.files, loaded, scheduler, now)
        without = {each.name for each in definitions.files if each.config is not None and each.file in refused}
        return Overview(
            now=now,
            scheduler=scheduler,
            paused_since=paused_since(self._files.directory),
            running=runs.running,
            queued=runs.queued,
            failed=runs.failed,
            unanswered=[
                each._replace(at=min(each.at, now))  # as the scheduler has it: one of the future counts as now
                for each in runs.unanswered
                if scheduler.status != "alive"
                or now - each.at < LEFT_FOR_LONG
                or (runs.known_since is not None and each.at >= runs.known_since)
            ],
            loaded={name: is_loaded and name not in without for name, is_loaded in loaded.items()},
            refused=refused,
            upcoming=[each for each in definitions.upcoming if each.job_name not in without][:upcoming],
            files=definitions.files,
            invalid_files=definitions.invalid_files,
            changed_outside=definitions.changed_outside,
            index_problem=self._history.problem,
            skipped_lines=self._history.skipped_lines,
        )

    def scheduler(self, now: datetime) -> SchedulerState:
        """Return what is known of the scheduler. Raises StorageError."""
        with self._history.reading() as connection:
            return scheduler_state(connection, now, self._heartbeat(), self._pulse.lost_at())

    def _look_at_files(self, default_zone: str, now: datetime) -> Definitions:
        files = self._files.list()
        return Definitions(
            files=files,
            upcoming=self._upcoming(files, default_zone, now),
            invalid_files=[each for each in files if each.config is None],
            changed_outside=self._own_writes.changed_outside(files, now),
        )

    def _look_at_runs(self, now: datetime) -> Runs:
        with self._history.reading() as connection:
            return Runs(
                running=queries.active(connection, "running"),
                queued=queries.active(connection, "queued"),
                failed=queries.failures(connection, now - FAILURES_OF),
                in_force=queries.in_force(connection),
                unanswered=self._unanswered(connection),
                known_since=queries.known_since(connection),
            )

    def _unanswered(self, connection: sqlite3.Connection) -> list[RequestFile]:
        try:
            return self._requests.unanswered(lambda each: queries.answered_at(connection, *each))
        except StorageError:  # of which the service's log is told where it clears the answered ones away
            return []

    def _upcoming(self, files: list[JobFile], default_zone: str, now: datetime) -> list[Upcoming]:
        times = []
        known, self._next = self._next, {}
        for file in files:
            job = file.config
            if job is not None and job.enabled:
                zone, jitter = job.timezone or default_zone, min(job.jitter_seconds or 0, LONGEST_JITTER)
                key = job.schedule, zone, jitter
                asked, at, last = self._next.get(key) or known.get(key, (now, now, None))
                if not asked <= now < at:  # what was next then is not what is next now
                    schedule = cron.parse(job.schedule, zone)
                    asked, at = now, schedule.next_after(now)
                    last = schedule.last_within(now - timedelta(seconds=jitter), now) if jitter else None
                self._next[key] = asked, at, last
                # No definition counts for a time before it was there.
                if last is not None and (file.modified or now) <= last:
                    at = last if now < last + cron.delay(job.name, last, jitter, at - last) else at
                times.append((at, job.name, zone))
        first = heapq.nsmallest(MOST_UPCOMING, times)
        return [Upcoming(job_name=name, at=at, zone=zone) for at, name, zone in first]

    def _heartbeat(self) -> datetime | None:
        try:
            status = os.lstat(self._heart)
        except OSError:
            return None
        return on_the_calendar(status.st_mtime) if stat.S_ISREG(status.st_mode) else None


def refusals(
    files: Iterable[JobFile], loaded: Mapping[str, bool], scheduler: SchedulerState, now: datetime
) -> dict[str, ConfigProblem]:
    """Return by file what the scheduler says of the version that is there now, where it cannot use that.

    A last good version ends with its scheduler: the next one does not have it. Where what a file needs is missing at a
    start, such as a directory to be mounted, the journal's record of the job stays: it looks `loaded`, and is not.
    """
    said = {each.file: each for each in scheduler.config_errors}
    is_there = scheduler.status in ("alive", "stopping")
    found = {}
    for file in files:
        error = said.get(file.file)
        is_good_again = file.config is not None and loaded.get(file.name)
        if error is not None and not (is_good_again and error.kept_last_good):
            modified = file.modified or now
            if error.at >= modified or now - modified > REFUSED_AFTER:
                found[file.file] = replace(error, kept_last_good=error.kept_last_good and is_there)
    return found


def paused_since(jobs_directory: Path) -> datetime | None:
    """Return the time of the file that holds all scheduled starts, None if it is not there."""
    try:
        seconds = os.lstat(jobs_directory / PAUSE).st_mtime
    except OSError:
        return None
    return on_the_calendar(seconds)


def known_zone(name: str | None) -> str:
    """Return the scheduler's own zone, UTC where it is not known yet (or the log names none that exists)."""
    try:
        return cron.zone_named(name).key
    except ScheduleError:
        return "UTC"
