"""JobManagementService: everything that the page (or a program) does with jobs, over files and the history.

The scheduler is never called: what is wanted of it is a file in `jobs/`, what it did is a line in `logs/`.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from admin_ui import cron, output, queries, schema, words
from admin_ui.errors import (
    JobNotFoundError,
    RequestRejected,
    RunNotFoundError,
    ScheduleError,
    SchedulerSilent,
    StorageError,
    TriggerPending,
    ValidationError,
)
from admin_ui.files import clear_leftovers, sync_folder
from admin_ui.history import History
from admin_ui.job_files import JobFile, JobFiles
from admin_ui.model import JOB_NAME, RUN_ID, JobConfig, JobResult
from admin_ui.output import Output, Outputs
from admin_ui.overview import PAUSE, Overview, Overviews, known_zone
from admin_ui.own_writes import OwnWrites
from admin_ui.queries import Answer, Filter, Found, HistoryRow, Lines, Page, Recent
from admin_ui.requests import DIRECTORY, Request, Requests

LOG = logging.getLogger(__name__)
ANSWER_SECONDS = 10.0
"""How long the scheduler may take to answer a request before it counts as silent."""

RESULT_SECONDS = 60.0
NEVER_STARTED = ("skipped", "missed")
CLEAR_EVERY_SECONDS = 5.0
LEFTOVER_SECONDS = 3600.0
"""What a killed save left behind goes after this time; no save takes as long."""

MOST_ROWS = 1000
MOST_CHARACTERS = 128 << 20
"""Of log entries that are returned together: twice those of 1,000 by the scheduler's defaults."""

MOST_CHARACTERS_AT_ONCE = 16 << 20


class JobManagementService:
    """Thread-safe. `start` has the logs followed in the background; without it each question looks at them first."""

    def __init__(
        self,
        jobs_directory: str | Path,
        log_directory: str | Path,
        *,
        data_directory: str | Path | None = None,
        keep_days: float = 365,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._scratch = None
        if data_directory is None:  # the index can always be made again from the logs
            self._scratch = tempfile.TemporaryDirectory(prefix="jobs-history-")
            data_directory = self._scratch.name
        own_writes = OwnWrites(data_directory)
        self.files = JobFiles(jobs_directory, own_writes.note)
        self.history = History(log_directory, data_directory, keep_days=keep_days)
        self._jobs, self._data = Path(jobs_directory), Path(data_directory)
        self._requests = Requests(self._jobs)
        self._overviews = Overviews(self.files, self.history, own_writes, self._requests, Path(log_directory), clock)
        self._outputs = Outputs(log_directory)
        self._recents: dict[str, tuple[tuple[int, int], Recent]] = {}
        self._clock = clock
        self._stopping = threading.Event()
        self._cleaner: threading.Thread | None = None

    def start(self) -> None:
        """Follow the logs and clear answered requests in the background until `stop`."""
        self._stopping.clear()
        self.history.start()
        self._cleaner = threading.Thread(target=self._keep_clear, name="requests", daemon=True)
        self._cleaner.start()

    def stop(self) -> None:
        """End the background threads."""
        self._stopping.set()
        if self._cleaner is not None:
            self._cleaner.join()
            self._cleaner = None
        self.history.stop()
        if self._scratch is not None:
            self._scratch.cleanup()

    # Definitions

    def list_jobs(self) -> list[JobConfig]:
        """Return all valid definitions, enabled and disabled, in file-name order. Raises StorageError."""
        return [each.config for each in self.files.list() if each.config is not None]

    def list_files(self) -> list[JobFile]:
        """Return all definition files, the invalid ones with what is wrong. Raises StorageError."""
        return self.files.list()

    def get_job(self, job_name: str) -> JobFile:
        """Return a job's file with its hash, an invalid one too. Raises JobNotFoundError."""
        return self.files.get(job_name)

    def create_job(self, config: JobConfig) -> JobFile:
        """Write a new definition. Raises JobAlreadyExistsError, ValidationError, StorageError, NotDurable."""
        return self.files.create(config)

    def update_job(
        self,
        job_name: str,
        config: JobConfig,
        *,
        expected_sha256: str | None = None,
        remove: Collection[str] = (),
    ) -> JobFile:
        """Write the fields that `config` names; others stay, but for those in `remove`.

        With `expected_sha256`, only if the file is still that version. Raises JobNotFoundError, ConflictError,
        ValidationError, StorageError, NotDurable.
        """
        return self.files.update(job_name, config.to_document(), expected_sha256=expected_sha256, remove=remove)

    def enable_job(self, job_name: str) -> JobFile:
        """Set `enabled` to true, whatever else the file says by now. Raises as `update_job`."""
        return self.files.update(job_name, {"enabled": True})

    def disable_job(self, job_name: str) -> JobFile:
        """Set `enabled` to false, whatever else the file says by now. Raises as `update_job`."""
        return self.files.update(job_name, {"enabled": False})

    def delete_job(self, job_name: str, *, expected_sha256: str | None = None) -> JobFile:
        """Remove a definition and return what it was.

        Raises JobNotFoundError, ConflictError, StorageError, NotDurable.
        """
        return self.files.delete(job_name, expected_sha256=expected_sha256)

    # Requests

    def trigger_job(
        self,
        job_name: str,
        *,
        requested_by: str = "",
        request_id: str | None = None,
        timeout: float = RESULT_SECONDS,
    ) -> JobResult:
        """Have the scheduler run a job and return its result. Raises as `request_run` and `wait_for_result`."""
        run_id = self.request_run(job_name, requested_by=requested_by, request_id=request_id)
        return self.wait_for_result(run_id, timeout)

    def request_run(self, job_name: str, *, requested_by: str = "", request_id: str | None = None) -> str:
        """Have the scheduler run a job; return the run's id as soon as it agreed.

        `request_id` is the audit's id of this request. Raises JobNotFoundError, RequestRejected, SchedulerSilent
        (the request stays), ValidationError (the id is none), StorageError.
        """
        self.files.get(job_name)
        return self._ask("run", job_name, requested_by, request_id).run_ids[0]

    def wait_for_result(self, run_id: str, timeout: float = RESULT_SECONDS) -> JobResult:
        """Return how a run ends. Raises RunNotFoundError, StorageError, TriggerPending if it goes on for longer than
        `timeout` seconds, and RequestRejected if it never started.
        """
        row = self.history.wait_for(lambda: self._over(run_id), timeout)
        if row is None:
            raise TriggerPending(run_id)
        if row.status in NEVER_STARTED:
            raise RequestRejected(row.cause or row.status, f"run {run_id} was accepted, but did not start")
        found = self.get_result(run_id)
        if found is None:
            raise StorageError(f"how run {run_id} ended is not in the history")
        return found

    def cancel_run(self, run_id: str, *, requested_by: str = "", request_id: str | None = None) -> None:
        """Have the scheduler end a run that is going, queued or to be retried; returns when it agreed.

        Raises RunNotFoundError and otherwise as `request_run`.
        """
        self._ask("cancel", self._known_run(run_id).job_name, requested_by, request_id, run_id)

    def cancel_job(self, job_name: str, *, requested_by: str = "", request_id: str | None = None) -> tuple[str, ...]:
        """Have the scheduler end all runs of a job, a deleted one's too; return their ids. Raises as `request_run`."""
        if not JOB_NAME.fullmatch(job_name):
            raise JobNotFoundError(job_name)
        return self._ask("cancel", job_name, requested_by, request_id).run_ids

    def pause(self) -> None:
        """Have nothing start by its schedule until `resume`. Raises StorageError, NotDurable."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            os.close(os.open(self._jobs / PAUSE, flags, 0o644))
            sync_folder(self._jobs)
        except FileExistsError:
            return
        except OSError as error:
            raise StorageError(f"{PAUSE} cannot be written: {error.strerror}") from error

    def resume(self) -> None:
        """Let schedules count again. Raises StorageError, NotDurable."""
        try:
            os.unlink(self._jobs / PAUSE)
            sync_folder(self._jobs)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"{PAUSE} cannot be removed: {error.strerror}") from error

    def clear_requests(self) -> int:
        """Remove the requests that were answered and return how many. Raises StorageError."""
        with self.history.reading() as connection:
            return self._requests.clear(lambda request: queries.answered_at(connection, *request))

    def clear_leftovers(self, older_than: float = LEFTOVER_SECONDS) -> int:
        """Remove temporary files that killed saves left for so many seconds; return how many. Raises StorageError."""
        try:
            return sum(
                clear_leftovers(folder, older_than)
                for folder in (self._jobs, self._jobs / DIRECTORY, self._data)
                if folder.is_dir()
            )
        except OSError as error:
            raise StorageError(f"what killed saves left cannot be removed: {error.strerror}") from error

    # History

    def get_job_history(self, job_name: str, limit: int = 100) -> list[JobResult]:
        """Return a job's ended runs, most recent first."""
        with self.history.reading() as connection:
            return queries.results(connection, job_name, limit)

    def get_job_logs(
        self, job_name: str, limit: int = 1000, *, search: str | None = None, status: str | None = None
    ) -> list[dict[str, Any]]:
        """Return a job's log entries, most recent first; only those that hold `search` and have `status`."""
        return list(self.find_job_logs(job_name, limit, search=search, status=status).entries)

    def find_job_logs(
        self, job_name: str, limit: int = 1000, *, search: str | None = None, status: str | None = None
    ) -> Found:
        """Return what `get_job_logs` does, and whether that is all there is. Raises ValidationError."""
        with self.history.reading() as connection:
            lines = queries.log_lines(connection, job_name, limit, search, status)
            numbers = queries.fitting(connection, lines.numbers, MOST_CHARACTERS)
            is_all = lines.complete and len(numbers) == len(lines.numbers)
            return Found(tuple(queries.log_entries(connection, numbers)), is_all)

    def find_log_lines(
        self, job_name: str, limit: int, *, search: str | None = None, status: str | None = None, seconds: float
    ) -> Lines:
        """Find what `find_job_logs` returns, but to be read in parts; looks for so many seconds at most."""
        with self.history.reading() as connection:
            return queries.log_lines(connection, job_name, limit, search, status, seconds)

    def read_log_lines(self, numbers: Sequence[int]) -> tuple[list[dict[str, Any]], int]:
        """Return the entries of the first of the lines that `find_log_lines` found, and how many lines these are.

        Raises StorageError.
        """
        with self.history.reading() as connection:
            first = queries.fitting(connection, numbers, MOST_CHARACTERS_AT_ONCE)
            return queries.log_entries(connection, first), len(first)

    def get_history_page(self, which: Filter, *, limit: int = 50, before: str | None = None) -> Page:
        """Return runs and passed-over times, newest first. Raises ValidationError for a filter that means nothing."""
        with self.history.reading() as connection:
            return queries.page(connection, which, min(limit, MOST_ROWS), before)

    def get_run(self, run_id: str) -> HistoryRow | None:
        """Return a run as the history has it, None if it is not known."""
        if not RUN_ID.fullmatch(run_id):
            return None
        with self.history.reading() as connection:
            return queries.run(connection, run_id)

    def get_result(self, run_id: str) -> JobResult | None:
        """Return how a run ended, None if it has not."""
        with self.history.reading() as connection:
            return queries.result(connection, run_id)

    def job_names(self) -> list[str]:
        """Return the names of all jobs that have a file or a run in the history, sorted."""
        with self.history.reading() as connection:
            names = set(queries.job_names(connection))
        return sorted(names | {file.name for file in self.list_files() if JOB_NAME.fullmatch(file.name)})

    def get_recent(self, job_name: str) -> Recent:
        """Return a job's last 20 results and how long it usually takes (median and 95th percentile)."""
        return self.get_recents([job_name])[job_name]

    def get_recents(self, job_names: Collection[str]) -> dict[str, Recent]:
        """Return what `get_recent` does for many jobs; only those with news since the last time are looked up."""
        changes = self.history.changes
        found: dict[str, Recent] = {}
        with self.history.reading() as connection:
            for job_name in job_names:
                version = (id(changes), changes.get(job_name, 0))
                known = self._recents.get(job_name)
                if known is None or known[0] != version:
                    known = self._recents[job_name] = (version, queries.recent(connection, job_name))
                found[job_name] = known[1]
        return found

    @contextmanager
    def open_output(self, run_id: str, stream: str) -> Iterator[Output]:
        """Give `stdout` or `stderr` of a run, from its file or the journal. Raises RunNotFoundError, StorageError."""
        row = self._known_run(run_id)
        with self._outputs.open(row.job_name, run_id, stream, row.printed(stream)) as found:
            if found is not None:
                yield found
                return
        with self.history.reading() as connection:
            text, whole = queries.output(connection, run_id, stream) or ("", True)
        yield output.from_text(text, whole=whole)

    # At a glance

    def overview(self, *, upcoming: int = 10) -> Overview:
        """Return what runs, waits, failed and comes next, and what is wrong. Raises StorageError.

        A change that others make in the jobs directory may take a second to be seen.
        """
        return self._overviews.overview(upcoming)

    def next_runs(self, schedule: str, zone: str | None = None, n: int = 5) -> list[datetime]:
        """Return the next scheduled times (UTC). Raises ValidationError."""
        return cron.next_times(_schedule(schedule, zone or self._default_zone()), self._clock(), n)

    def describe(self, schedule: str, zone: str | None = None) -> str:
        """Return a schedule in words. Raises ValidationError."""
        return words.describe(_schedule(schedule, zone or self._default_zone()))

    def defaults(self) -> dict[str, Any]:
        """Return what the scheduler takes for optional fields that a definition does not name.

        None: nothing fixed (`timezone`: the scheduler's own) or nothing at all (`retries`). A field of `retries` is
        `retries.max_attempts` and so on.
        """
        return schema.defaults()

    # Inside

    def _ask(
        self, action: str, job_name: str, requested_by: str, request_id: str | None, run_id: str | None = None
    ) -> Answer:
        request = self._requests.drop(
            action, job_name, requested_by=requested_by, now=self._clock(), run_id=run_id, request_id=request_id
        )
        answer = self.history.wait_for(lambda: self._answer(request), ANSWER_SECONDS)
        if answer is None:
            raise SchedulerSilent(
                f"no answer from the scheduler within {ANSWER_SECONDS:g} s;"
                " the request stays, and may still be carried out"
            )
        if not answer.accepted:
            raise RequestRejected(answer.reason, answer.detail)
        return answer

    def _answer(self, request: Request) -> Answer | None:
        try:
            with self.history.reading() as connection:
                return queries.answer(connection, *request)
        except StorageError:
            # The request is there and counts: called a failure, it would be made a second time.
            return None

    def _known_run(self, run_id: str) -> HistoryRow:
        row = self.get_run(run_id)
        if row is None:
            raise RunNotFoundError(run_id)
        return row

    def _over(self, run_id: str) -> HistoryRow | None:
        row = self._known_run(run_id)
        return None if row.status in ("queued", "running") else row

    def _default_zone(self) -> str:
        return known_zone(self._overviews.scheduler(self._clock()).timezone)

    def _keep_clear(self) -> None:
        try:
            self.overview()  # the first one of many definitions takes seconds, which nobody needs to wait for
        except StorageError as error:
            LOG.warning("overview: %s", error)
        except Exception:
            LOG.exception("overview")
        leftovers_at = 0.0
        while not self._stopping.wait(CLEAR_EVERY_SECONDS):
            try:
                if time.monotonic() >= leftovers_at:
                    leftovers_at = time.monotonic() + LEFTOVER_SECONDS
                    self.clear_leftovers(LEFTOVER_SECONDS)
                self.clear_requests()
            except StorageError as error:
                LOG.warning("requests: %s", error)
            except Exception:  # whatever lies in these folders, the next look is a new one
                LOG.exception("requests")


def _schedule(schedule: str, zone: str) -> cron.Schedule:
    try:
        cron.zone_named(zone)
    except ScheduleError as error:
        raise ValidationError({"timezone": str(error)}) from None
    try:
        return cron.parse(schedule, zone)
    except ScheduleError as error:
        raise ValidationError({"schedule": str(error)}) from None
