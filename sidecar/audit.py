"""Check a journal against the scheduler's promise: each scheduled time and each request ends once, none starts twice.

Pure: lines in, findings out. It shares nothing with the ledger that it judges.

`audit_events` makes events of the lines. Each goes to what it is about, `audit_runs`, `audit_requests` or
`audit_times`, which hold it against what they know from older ones and add what is wrong to `audit_report.Findings`.
At the end `audit_evidence` holds all runs against what jobs left elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sidecar import audit_evidence
from sidecar.audit_events import SLACK, Entry, Event, Events, Line, Terms
from sidecar.audit_report import Findings, Place, Report
from sidecar.audit_requests import Requests
from sidecar.audit_runs import Runs, run_id_of
from sidecar.audit_times import ScheduledTimes, records_of
from sidecar.clock import from_iso
from sidecar.cron import parse, zone_named
from sidecar.errors import ScheduleError
from sidecar.model import ConcurrencyPolicy, JobConfig

EARLIEST = datetime.min.replace(tzinfo=UTC)


def terms_of(config: JobConfig, timezone: str) -> Terms:
    """Return what the definition asks for; `timezone` is the scheduler's, for jobs without their own."""
    schedule = parse(config.schedule, config.timezone or timezone) if config.enabled else None
    late = timedelta(seconds=min(config.jitter_seconds + config.kill_grace_seconds, 10**9))
    return Terms(schedule, config.concurrency_policy is ConcurrencyPolicy.ALLOW, SLACK + late)


def audit(
    lines: Iterable[Line],
    *,
    terms: Mapping[str, Terms] | None = None,
    later: Sequence[tuple[datetime, Mapping[str, Terms]]] = (),
    evidence: Sequence[tuple[Place, str]] = (),
    remembered: timedelta = timedelta(hours=1),
    worked_until: datetime | None = None,
) -> Report:
    """Return what is wrong with a journal; `lines` are those of all its files, oldest first.

    `terms` are those of known definitions by their sha256: only where the definition in force is among them can
    a gap be told from a time that nobody asked for. `later` are those that took their place and since when, oldest
    first: a scheduler that starts with another TZ reads the same schedules in that zone. `evidence` are run ids that
    jobs left somewhere; a job with any evidence is held to leave it on every successful run, once. `remembered` is
    how long an answer counts at least after its request's file was last seen. `worked_until` is when a scheduler was
    last seen to work, neither paused nor stopping.
    """
    auditor = _Auditor([(EARLIEST, terms or {}), *later], remembered)
    for line in lines:
        auditor.take(line)
    return auditor.finish(worked_until, evidence)


def worked_until(main: Iterable[Entry]) -> datetime | None:
    """Return when a scheduler last showed, in the main log, that it worked: neither paused nor stopping.

    Only a heartbeat shows that. The first one comes after what a start or the end of a pause has to catch up.
    """
    works = paused = False
    latest: datetime | None = None
    for entry in main:
        match entry["event"]:
            case "scheduler_started":
                works, paused = True, False  # of one that was killed in a pause
            case "scheduler_stopping" | "scheduler_stopped" | "scheduler_crashed":
                works = paused = False
            case "paused":
                paused = True
            case "resumed":
                paused = False
            case "clock_jump" if entry.get("reanchored"):
                latest = None  # by a clock that went back so far that schedules began anew
            case "heartbeat" if works and not paused:
                latest = _stamp(entry) or latest
    return latest


def zones(main: Iterable[Entry], default: str) -> list[tuple[datetime, str]]:
    """Return in which zones schedulers read the schedules of jobs that name none, each since the start that set it.

    From the main log, oldest first; only `default` if it tells of no start. What lies before the first start that
    it still has is taken to be that one's.
    """
    found: list[tuple[datetime, str]] = []
    for entry in main:
        since, zone = _stamp(entry), entry.get("timezone")
        if entry["event"] != "scheduler_started" or since is None or not _is_zone(zone):
            continue
        if not found or found[-1][1] != zone:
            found.append((since, str(zone)))
    return found or [(EARLIEST, default)]


class _Auditor:
    """Gives each line to what it is about, and returns the report when all are read."""

    def __init__(self, terms: Sequence[tuple[datetime, Mapping[str, Terms]]], remembered: timedelta) -> None:
        self._findings = Findings()
        self._events = Events(terms, self._findings)
        self._times = ScheduledTimes(self._findings)
        self._requests = Requests(self._findings, remembered)
        self._runs = Runs(self._findings, self._requests, self._times)
        self._last = Place("", 0)

    def take(self, line: Line) -> None:
        self._last = line.place
        self._findings.counts["lines"] += 1
        try:
            self._apply(self._events.read(line))
        except (KeyError, TypeError, AttributeError, ValueError):
            self._findings.counts["torn_lines"] += 1

    def _apply(self, event: Event) -> None:
        if event.foretold_by is None:
            self._findings.confirm_doubts()
        match event["event"]:
            case "checkpoint":
                self._checkpoint(event)
            case "trigger_accepted":
                self._findings.counts["accepted"] += 1
                self._requests.answered(event)
                if event["action"] == "run":
                    self._runs.asked_for(event, run_id_of(event))
            case "trigger_rejected":
                self._findings.counts["rejected"] += 1
                self._requests.answered(event)
            case "job_queued":
                self._runs.queued(event)
            case "job_start":
                self._runs.started(event)
            case "job_complete":
                self._runs.completed(event)
            case "job_skipped" | "job_missed":
                self._runs.passed_over(event)

    def _checkpoint(self, event: Event) -> None:
        records = records_of(event)  # first: a checkpoint with a malformed record is not one
        if event["full"]:
            self._findings.counts["checkpoints"] += 1
            self._runs.compare(event)
            self._requests.compare(event)
            self._events.follow(event)
        self._times.compare(event, records)

    def finish(self, worked_until: datetime | None, evidence: Sequence[tuple[Place, str]]) -> Report:
        """Check what only the whole journal can tell, and return the report."""
        if worked_until is not None:
            self._times.expect_all_until(worked_until, self._events.terms_at(worked_until), self._last)
        audit_evidence.compare(evidence, self._runs.by_id, self._events.oldest, self._findings)
        self._findings.confirm_doubts()
        self._findings.counts["runs"] = sum(run.started is not None for run in self._runs.by_id.values())
        return Report(self._findings.found, self._runs.open(), self._runs.waiting(), self._findings.counts)


def _stamp(entry: Entry) -> datetime | None:
    try:
        return from_iso(entry["timestamp"])
    except (KeyError, TypeError, ValueError):
        return None


def _is_zone(name: object) -> bool:
    try:
        zone_named(name)
    except ScheduleError:
        return False
    return True
