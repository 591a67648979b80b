"""JobLogger: the two logs as structlog lines, the journal among them, and the ledger that follows it."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping, MutableMapping
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from sidecar import __version__
from sidecar.clock import Clock, iso
from sidecar.console import Console
from sidecar.journal import JOURNAL, MAIN_LOG
from sidecar.ledger import Ledger, run_document
from sidecar.linefile import HEADS_A_FILE, LineFile
from sidecar.model import STEERING, JobResult, Run, Trigger
from sidecar.policy import LONGEST_LEAD, new_run_id

OUTPUT_FIELDS = ("stdout", "stderr")

ENCODER = json.JSONEncoder(ensure_ascii=False)

UNSAFE = re.compile(f"[{STEERING}]")
"""What JSON allows as it is; it escapes the characters below the space by itself."""


class JobLogger:
    """Writes `scheduler_main.log` and the journal `scheduler_jobs.log`, and mirrors both to stdout.

    `event` lines (main log) are written at once. `record` lines (journal) change the ledger at once and reach the
    disk with the next `commit`, many for one fsync. A line that cannot be written goes to stderr, and so does the news
    that the journal cannot be.
    """

    def __init__(
        self,
        log_directory: str | Path,
        *,
        max_bytes: int = 10 * 1024 * 1024,
        backups: int = 5,
        clock: Clock | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        directory = Path(log_directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.ledger = ledger or Ledger()
        self.clock = clock or Clock()
        self._stdout, self._stderr = Console(1), Console(2)
        self._max_bytes = self._used_bytes = max_bytes
        self._main_file = LineFile(directory / MAIN_LOG, max_bytes, backups)
        self._journal_file = LineFile(directory / JOURNAL, max_bytes, backups, durable=True, head=self._checkpoint_line)
        self._main = _structured(self._write_main)
        self._journal = _structured(self._write_journal)
        self.abandoned = False
        self._reported: OSError | None = None
        self._uncommitted: list[str] = []

    # The journal

    def open_journal(self) -> None:
        """Open or create the journal. Raises OSError: it cannot be written.

        Lines without any checkpoint before them say nothing to the next replay: then one is put behind them.
        """
        self._journal_file.open(keep_head=self.ledger.last_seen is None)

    @property
    def degraded(self) -> bool:
        """Whether the journal could not be written lately: what has been recorded since waits in memory."""
        return self._journal_file.problem is not None

    @property
    def waiting(self) -> int:
        """How many journal lines are not on disk yet."""
        return self._journal_file.waiting

    def record(self, event: str, *, level: str = "info", component: str = "scheduler", **fields: Any) -> None:
        """Append one line to the journal and take it into account in the ledger; on disk after `commit`."""
        entry = {"timestamp": iso(self.clock.now()), "event": event, "component": component, **fields}
        getattr(self._journal, level)(**entry)
        self.ledger.apply(entry)

    def record_jobs(self, names: list[str], *, clock: datetime | None = None) -> None:
        """Append a partial checkpoint with what the ledger now says of these jobs.

        With `clock` it says that the latest time the clock has shown is no later than that from now on.
        """
        clock_field = {} if clock is None else {"clock": iso(clock)}
        self.record("checkpoint", component="journal", full=False, **self.ledger.job_records(names), **clock_field)

    def commit(self, *, look: bool = False) -> bool:
        """Put every recorded line on disk with one fsync; return whether they are. Tells of a change for the worse
        or the better as `journal_degraded` and `journal_recovered`. With `look`, see to the file itself, too: somebody
        may have removed or emptied it while no line came."""
        lost = self._journal_file.lost
        durable = self._journal_file.commit(look=look)
        problem = self._journal_file.problem
        if problem is not None:
            self._tell_uncommitted()
        self._uncommitted.clear()
        if problem is not None and self._reported is None:
            self._reported = problem
            self.event(
                "journal_degraded",
                level="error",
                component="journal",
                reason=f"{problem.strerror or problem}",
                waiting_lines=self.waiting,
                lost_lines=lost,
            )
        elif problem is None and self._reported is not None:
            reason = f"writable again after: {self._reported.strerror or self._reported}"
            self._reported = None
            self.event("journal_recovered", component="journal", reason=reason, waiting_lines=0, lost_lines=lost)
        return durable

    def abandon(self, reason: str) -> None:
        """Leave both files to another scheduler: from now on all lines go to stderr."""
        self.abandoned = True
        self._journal_file.abandon(reason)
        self._main_file.abandon(reason)

    def close(self) -> None:
        """Write what waits and close both files."""
        self.commit()
        self._journal_file.close()
        self._main_file.close()

    # The main log

    def event(self, event: str, *, level: str = "info", component: str = "scheduler", **fields: Any) -> None:
        """Write one line to the main log; never raises because of the disk."""
        getattr(self._main, level)(timestamp=iso(self.clock.now()), event=event, component=component, **fields)

    def log_startup(self, num_jobs: int, *, timezone: str = "UTC", config_errors: int = 0) -> None:
        """Log that this process schedules so many jobs, those without a zone in `timezone`; as many files as
        `config_errors` are not in force."""
        self.event(
            "scheduler_started",
            version=__version__,
            pid=os.getpid(),
            timezone=timezone,
            jobs=num_jobs,
            config_errors=config_errors,
        )

    def log_shutdown(self, reason: str = "") -> None:
        """Log that the scheduler has stopped."""
        self.event("scheduler_stopped", reason=reason)

    def log_config_error(
        self,
        filepath: str,
        error: str | list[dict[str, str]],
        *,
        job_name: str | None = None,
        kept_last_good: bool = False,
    ) -> None:
        """Log what is wrong with a job file; plain text counts as one problem of the whole file."""
        errors = [{"field": "", "found": "", "wanted": error}] if isinstance(error, str) else error
        self.event(
            "config_error",
            level="error",
            component="config",
            file=filepath,
            job_name=job_name,
            errors=errors,
            kept_last_good=kept_last_good,
        )

    def log_schedule_error(self, job_name: str, error: str) -> None:
        """Log that a job's next time cannot be computed; the job is left out until its definition changes."""
        errors = [{"field": "schedule", "found": "", "wanted": error}]
        self.event("schedule_error", level="error", component="schedule", job_name=job_name, errors=errors)

    # Runs, in the journal

    def log_job_start(self, job_name: str, run: Run | None = None) -> None:
        """Record that a run begins now, or in a moment (`policy.lead`); `run` says which.

        Without it, it is a manual one, and the line is written before this returns.
        """
        now = self.clock.now()
        begun = run or _manual_run(job_name, new_run_id(now), now)
        fields = run_document(begun)
        del fields["since"]
        start_time = begun.since if now < begun.since <= now + LONGEST_LEAD else now
        self.record("job_start", component="executor", start_time=iso(start_time), **fields)
        if run is None:
            self.commit()

    def log_job_complete(self, result: JobResult, run: Run | None = None, *, retry_at: datetime | None = None) -> None:
        """Record how a run ended, with everything a reader of the history needs in one line.

        Without `run`, it is the job's that `log_job_start` began, else a manual one, and the line is written before
        this returns.
        """
        ended = run or self._begun(result)
        self.record(
            "job_complete",
            level="info" if result.success else "error",
            component="executor",
            run_id=ended.run_id,
            job_name=result.job_name,
            trigger=ended.trigger,
            scheduled_time=iso(ended.scheduled_time) if ended.scheduled_time else None,
            start_time=iso(result.start_time),
            end_time=iso(result.end_time),
            duration_seconds=round(result.duration_seconds, 6),
            attempt=ended.attempt,
            first_run_id=ended.first_run_id,
            request_id=ended.request_id,
            exit_code=result.exit_code,
            signal=result.signal,
            status=result.status,
            reason=result.reason,
            stdout=result.stdout,
            stderr=result.stderr,
            stdout_bytes=result.stdout_bytes,
            stderr_bytes=result.stderr_bytes,
            truncated=result.truncated,
            stdout_file=result.stdout_file,
            stderr_file=result.stderr_file,
            leftover_processes=result.leftover_processes,
            cpu_seconds=result.cpu_seconds,
            max_rss_bytes=result.max_rss_bytes,
            retry_at=iso(retry_at) if retry_at else None,
        )
        if run is None:
            self.commit()

    def _begun(self, result: JobResult) -> Run:
        for run in self.ledger.open.of(result.job_name):
            if result.run_id in ("", run.run_id):
                return run
        return _manual_run(result.job_name, result.run_id or new_run_id(result.start_time), result.start_time)

    # Lines

    def _checkpoint_line(self) -> bytes:
        now = self.clock.now()
        entry = {"timestamp": iso(now), "level": "info", "component": "journal", "event": "checkpoint"}
        clock = iso(max(now, self.ledger.last_seen or now))
        line = _json({**entry, **self.ledger.checkpoint(), "clock": clock}).encode() + b"\n"
        self._raise_limit(HEADS_A_FILE * len(line))
        return line

    def _raise_limit(self, needed: int) -> None:
        if needed > self._used_bytes:
            self.event(
                "setting_raised",
                level="warning",
                component="journal",
                setting="SCHEDULER_LOG_MAX_BYTES",
                value=self._max_bytes,
                used=needed,
            )
            self._used_bytes = needed

    def _write_main(self, line: str, entry: Mapping[str, Any]) -> None:
        self._main_file.append(line)
        # The journal's lines go to stderr then, which has to say why, also where this file can still be written.
        if not self._main_file.commit() or entry["event"] == "journal_degraded":
            self._stderr.write(line)
        self._stdout.write(line)

    def _write_journal(self, line: str, entry: Mapping[str, Any]) -> None:
        self._journal_file.append(line)
        brief = line
        if entry["event"] == "job_complete":
            brief = _json({key: value for key, value in entry.items() if key not in OUTPUT_FIELDS})
        self._uncommitted.append(brief)
        if self.degraded:
            self._tell_uncommitted()
        self._stdout.write(brief)

    def _tell_uncommitted(self) -> None:
        """Write the lines of the journal that wait on a file which cannot be written to stderr."""
        for line in self._uncommitted:
            self._stderr.write(line)
        self._uncommitted.clear()


def _manual_run(job_name: str, run_id: str, since: datetime) -> Run:
    return Run(run_id=run_id, job_name=job_name, trigger=Trigger.MANUAL, first_run_id=run_id, since=since)


class _Sink:
    """What structlog hands the finished line to."""

    def __init__(self, write: Any) -> None:
        self._write = write

    def msg(self, line: str, entry: Mapping[str, Any]) -> None:
        self._write(line, entry)

    debug = info = warning = error = critical = msg


def _structured(write: Any) -> Any:
    lazy = structlog.wrap_logger(
        _Sink(write),
        processors=[structlog.processors.add_log_level, _in_order, _rendered],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    return lazy.bind()  # the logger itself: the lazy one would make it anew for each line


def _in_order(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    first = {key: entry.pop(key) for key in ("timestamp", "level", "component", "event")}
    return {**first, **entry}


def _rendered(_: Any, __: str, entry: MutableMapping[str, Any]) -> tuple[tuple[str, Any], dict[str, Any]]:
    return (_json(entry), entry), {}


def _json(entry: Mapping[str, Any]) -> str:
    text = ENCODER.encode(entry)
    return text if text.isascii() and "\x7f" not in text else UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
