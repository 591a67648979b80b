"""What the scheduler must remember, built from journal lines and nothing else. Pure: no files, no clock.

The same `apply` serves the running scheduler and the replay after a crash, so the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sidecar.clock import from_iso, iso
from sidecar.model import Action, Run, Trigger, request_key
from sidecar.policy import retry_id

VERSION = 1
"""Of the checkpoint's format. A reader refuses a newer one rather than guess."""

TIMED = (Trigger.SCHEDULE, Trigger.CATCH_UP)
"""Triggers that account for a scheduled time; a retry repeats one that is accounted for already."""


@dataclass(slots=True)
class JobRecord:
    """How far one job's schedule is accounted for.

    Every scheduled time up to and including `handled` has its line; `since` is when the definition with
    `sha256` came into force.
    """

    handled: datetime
    sha256: str
    since: datetime


class RunTable:
    """Runs by id, in the order they came, and by job."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._of_job: dict[str, dict[str, Run]] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._runs

    def get(self, run_id: str) -> Run | None:
        """Return the run, or None."""
        return self._runs.get(run_id)

    def of(self, job_name: str) -> list[Run]:
        """Return the job's runs, in the order they came."""
        return list(self._of_job.get(job_name, {}).values())

    def add(self, run: Run) -> None:
        """Add the run; one with the same id keeps its place and is replaced."""
        self._runs[run.run_id] = run
        self._of_job.setdefault(run.job_name, {})[run.run_id] = run

    def discard(self, run_id: str) -> None:
        """Remove the run if it is there."""
        run = self._runs.pop(run_id, None)
        if run is not None:
            siblings = self._of_job[run.job_name]
            del siblings[run_id]
            if not siblings:
                del self._of_job[run.job_name]


class Ledger:
    """Open, waiting and to-be-retried runs, answered requests, and each job's place in time.

    `open` runs have a start line and no end; `pending` were accepted or queued; `retries` wait for `Run.since`.
    `answers` maps a request's key to when it was answered or, if later, its file last seen; `cancelled` holds the runs
    with an accepted cancel; `last_seen` is the latest time of any line, so that a clock set back while the scheduler
    was down is noticed.
    """

    def __init__(self) -> None:
        self.open = RunTable()
        self.pending = RunTable()
        self.retries = RunTable()
        self.answers: dict[str, datetime] = {}
        self.cancelled: set[str] = set()
        self.jobs: dict[str, JobRecord] = {}
        self.last_seen: datetime | None = None

    def apply(self, line: Mapping[str, Any]) -> None:
        """Take one journal line into account. Raises KeyError, TypeError or ValueError for a malformed one."""
        moment = from_iso(line["timestamp"])
        self.last_seen = max(moment, self.last_seen or moment)
        match line["event"]:
            case "trigger_accepted":
                self._accepted(line)
            case "trigger_rejected":
                self._answered(line)
            case "job_queued":
                self._queued(line)
            case "job_start":
                self._started(line)
            case "job_complete":
                self._completed(line)
            case "job_skipped" | "job_missed":
                self._passed_over(line)
            case "checkpoint":
                self._checkpoint(line)

    def checkpoint(self) -> dict[str, Any]:
        """Return the fields of a full checkpoint: applied to an empty ledger, they give this one, but for the time."""
        return {
            "full": True,
            "version": VERSION,
            "open": [run_document(run) for run in self.open],
            "pending": [run_document(run) for run in self.pending],
            "retries": [run_document(run) for run in self.retries],
            "cancelled": sorted(self.cancelled),
            "answers": {key: iso(when) for key, when in self.answers.items()},
            **self.job_records(self.jobs),
        }

    def job_records(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the `jobs` field of a checkpoint for these jobs; null for one that is no longer known."""
        return {"jobs": {name: _record_document(self.jobs.get(name)) for name in names}}

    def runs_of(self, job_name: str) -> list[Run]:
        """Return the job's open, pending and to-be-retried runs, in that order."""
        return [*self.open.of(job_name), *self.pending.of(job_name), *self.retries.of(job_name)]

    def newest(self) -> datetime | None:
        """Return the latest time that the wall clock is known to have shown, None for an empty ledger."""
        known = [record.handled for record in self.jobs.values()]
        return max(known if self.last_seen is None else [*known, self.last_seen], default=None)

    def forget_answers(self, still_there: Collection[str], now: datetime, max_age: timedelta) -> None:
        """Drop the answers whose request file has been gone for longer than `max_age`.

        `still_there` is every key that may be present: an answer's age begins when it is not among them. The
        times are on disk with the next checkpoint only; after a crash, what a start sees counts from then again.
        """
        # Never an earlier time: a clock that was put back may go forward again, and all at once.
        seen = {key: max(now, at) if key in still_there else at for key, at in self.answers.items()}
        self.answers = {key: at for key, at in seen.items() if now - at <= max_age}

    def _answered(self, line: Mapping[str, Any]) -> None:
        key = request_key(line["action"], line["job_name"], line["request_id"])
        self.answers[key] = from_iso(line["timestamp"])

    def _accepted(self, line: Mapping[str, Any]) -> None:
        self._answered(line)
        if line["action"] == Action.CANCEL:
            groups = (self.open, self.pending, self.retries)
            self.cancelled.update(run_id for run_id in line["run_ids"] if any(run_id in group for group in groups))
            return
        run_id = line["run_id"]
        self.pending.add(
            Run(
                run_id=run_id,
                job_name=line["job_name"],
                trigger=Trigger.MANUAL,
                first_run_id=run_id,
                request_id=line["request_id"],
                since=from_iso(line["timestamp"]),
            )
        )

    def _queued(self, line: Mapping[str, Any]) -> None:
        run = _run_of(line, since=from_iso(line["timestamp"]))
        self.retries.discard(run.run_id)
        self._handled_by(run)
        if run.run_id not in self.pending:
            self.pending.add(run)

    def _started(self, line: Mapping[str, Any]) -> None:
        run = _run_of(line, since=from_iso(line["start_time"]))
        self._handled_by(run)
        self.retries.discard(run.run_id)
        self.pending.discard(run.run_id)
        self.open.add(run)

    def _completed(self, line: Mapping[str, Any]) -> None:
        self._closed(line["run_id"])
        if line["retry_at"] is not None:
            self.retries.add(retry_of(_run_of(line, since=from_iso(line["retry_at"]))))

    def _passed_over(self, line: Mapping[str, Any]) -> None:
        if line["run_id"] is not None:
            self._closed(line["run_id"])
        elif line["scheduled_time"] is not None:
            self._raise_handled(line["job_name"], from_iso(line["scheduled_time"]))

    def _closed(self, run_id: str) -> None:
        for group in (self.open, self.pending, self.retries):
            group.discard(run_id)
        self.cancelled.discard(run_id)

    def _handled_by(self, run: Run) -> None:
        """Account for the scheduled time of a run, by the first line that tells of it.

        Not by a later one: schedules may have begun anew meanwhile, by a clock that was put back far behind that time.
        """
        is_known = run.run_id in self.pending or run.run_id in self.open
        if run.trigger in TIMED and run.scheduled_time is not None and not is_known:
            self._raise_handled(run.job_name, run.scheduled_time)

    def _raise_handled(self, job_name: str, scheduled_time: datetime) -> None:
        record = self.jobs.get(job_name)
        if record is not None and scheduled_time > record.handled:
            record.handled = scheduled_time

    def _checkpoint(self, line: Mapping[str, Any]) -> None:
        if line["full"]:
            if line["version"] > VERSION:
                raise ValueError(f"checkpoint version {line['version']} is newer than this scheduler's {VERSION}")
            self.open = _table(line["open"])
            self.pending = _table(line["pending"])
            self.retries = _table(line["retries"])
            self.cancelled = set(line["cancelled"])
            self.answers = {key: from_iso(when) for key, when in line["answers"].items()}
            self.jobs = {}
        # Said, not guessed from the times of lines: after a clock went back too far to be waited out, it is lower.
        if "clock" in line:
            self.last_seen = from_iso(line["clock"])
        for name, record in line["jobs"].items():
            if record is None:
                self.jobs.pop(name, None)
            else:
                handled, since = from_iso(record["handled"]), from_iso(record["since"])
                self.jobs[name] = JobRecord(handled=handled, sha256=record["sha256"], since=since)


def retry_of(failed: Run) -> Run:
    """Return the next attempt after `failed`."""
    attempt = failed.attempt + 1
    return Run(
        run_id=retry_id(failed.first_run_id, attempt),
        job_name=failed.job_name,
        trigger=Trigger.RETRY,
        first_run_id=failed.first_run_id,
        since=failed.since,
        scheduled_time=failed.scheduled_time,
        attempt=attempt,
        request_id=failed.request_id,
    )


def run_document(run: Run) -> dict[str, Any]:
    """Return a run as JSON has it, with the names that journal lines use."""
    return {
        "run_id": run.run_id,
        "job_name": run.job_name,
        "trigger": run.trigger,
        "first_run_id": run.first_run_id,
        "since": iso(run.since),
        "scheduled_time": None if run.scheduled_time is None else iso(run.scheduled_time),
        "attempt": run.attempt,
        "request_id": run.request_id,
        "sha256": run.sha256,
    }


def _table(documents: Iterable[Mapping[str, Any]]) -> RunTable:
    table = RunTable()
    for document in documents:
        table.add(_run_of(document, since=from_iso(document["since"])))
    return table


def _run_of(line: Mapping[str, Any], *, since: datetime) -> Run:
    scheduled_time = line["scheduled_time"]
    return Run(
        run_id=line["run_id"],
        job_name=line["job_name"],
        trigger=Trigger(line["trigger"]),
        first_run_id=line["first_run_id"],
        since=since,
        scheduled_time=None if scheduled_time is None else from_iso(scheduled_time),
        attempt=line["attempt"],
        request_id=line["request_id"],
        sha256=line.get("sha256", ""),
    )


def _record_document(record: JobRecord | None) -> dict[str, str] | None:
    if record is None:
        return None
    return {"handled": iso(record.handled), "sha256": record.sha256, "since": iso(record.since)}
