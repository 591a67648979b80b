"""Check a journal against the scheduler's promise: each scheduled time and each request ends once, none starts twice.

Pure: lines in, findings out. It shares nothing with the ledger that it judges.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sidecar.clock import from_iso, iso
from sidecar.cron import Schedule, parse, zone_named
from sidecar.errors import ScheduleError
from sidecar.human import count
from sidecar.model import ConcurrencyPolicy, JobConfig, request_key

Entry = Mapping[str, Any]

SLACK = timedelta(seconds=65)
"""A working scheduler has a line for a scheduled time this long after it was due, at the latest."""

RUN_ID_TIME = re.compile(r"([0-9]{8}T[0-9]{6})-")
"""A run id begins with the time (UTC) at which its first attempt was decided on."""

EARLIEST = datetime.min.replace(tzinfo=UTC)
TIMED = ("schedule", "catch_up")
NEVER_STARTED = ("cancelled", "interrupted")


class Rule(StrEnum):
    """What can be wrong."""

    NO_CHECKPOINT = "no_checkpoint"
    STARTED_TWICE = "started_twice"
    STARTED_UNASKED = "started_unasked"
    STARTED_AFTER_END = "started_after_end"
    OVERLAPPED = "overlapped"
    ENDED_TWICE = "ended_twice"
    ENDED_UNSTARTED = "ended_unstarted"
    PASSED_OVER_WRONGLY = "passed_over_wrongly"
    ANSWERED_TWICE = "answered_twice"
    ANSWER_FORGOTTEN = "answer_forgotten"
    TIME_STARTED_TWICE = "time_started_twice"
    TIME_ACCOUNTED_TWICE = "time_accounted_twice"
    TIME_UNACCOUNTED = "time_unaccounted"
    TIME_UNSCHEDULED = "time_unscheduled"
    LINES_MISSING = "lines_missing"
    EVIDENCE_TWICE = "evidence_twice"
    EVIDENCE_UNKNOWN = "evidence_unknown"
    EVIDENCE_MISSING = "evidence_missing"


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file; lines count from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the journal; `entry` is None for one that does not parse (it was torn, or is somebody else's)."""

    place: Place
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken promise, and where it shows."""

    place: Place
    rule: Rule
    message: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What a definition asks for. `schedule` is None for a disabled one; `slack` is how late a line may be."""

    schedule: Schedule | None
    may_overlap: bool
    slack: timedelta = SLACK


@dataclass(frozen=True, slots=True)
class Report:
    """The findings, in the order of their lines; runs without an end and accepted ones without a start; counts."""

    findings: Sequence[Finding]
    open: Mapping[str, Place]
    waiting: Mapping[str, Place]
    counts: Mapping[str, int]


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
    if worked_until is not None:
        auditor.expect_all_until(worked_until)
    auditor.compare(evidence)
    return auditor.report()


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


def as_text(report: Report) -> Iterator[str]:
    """Yield the findings as a compiler would print them, what is still to end, and a summary."""
    for finding in report.findings:
        yield f"{finding.place}: {finding.rule}: {finding.message}"
    for run_id, place in report.open.items():
        yield f"{place}: open: run {run_id} has no end yet"
    for run_id, place in report.waiting.items():
        yield f"{place}: waiting: run {run_id} has neither started nor ended yet"
    n = report.counts
    yield (
        f"{count(n['lines'], 'line')} in {count(n['files'], 'file')}: {count(n['starts'], 'start')},"
        f" {count(n['ends'], 'end')}, {len(report.open)} open, {len(report.waiting)} waiting;"
        f" {count(n['times'], 'scheduled time')} ({n['times_compared']:,} compared with their schedule);"
        f" {count(n['accepted'] + n['rejected'], 'request')} ({n['accepted']:,} accepted, {n['rejected']:,} rejected);"
        f" {count(n['evidence'], 'line')} of evidence; {count(n['torn_lines'], 'torn line')};"
        f" {count(len(report.findings), 'finding')}"
    )


def as_document(report: Report) -> dict[str, Any]:
    """Return the report as JSON has it."""
    return {
        "clean": not report.findings,
        "findings": [
            {"file": f.place.file, "line": f.place.line, "rule": f.rule, "message": f.message} for f in report.findings
        ],
        "open": {run_id: str(place) for run_id, place in report.open.items()},
        "waiting": {run_id: str(place) for run_id, place in report.waiting.items()},
        "counts": dict(report.counts),
    }


# Inside


@dataclass(slots=True)
class _Run:
    job_name: str
    asked: Place
    started: Place | None = None
    ended: Place | None = None
    status: str = ""


@dataclass(slots=True)
class _Record:
    """How far a job's schedule is accounted for under the definition with `sha256`, in force since `since`."""

    handled: datetime
    sha256: str
    since: datetime
    place: Place


@dataclass(slots=True)
class _Answer:
    """`at` is when it was given or, where a checkpoint says so, when its request's file was last seen."""

    place: Place
    at: datetime


class _Auditor:
    def __init__(self, terms: Sequence[tuple[datetime, Mapping[str, Terms]]], remembered: timedelta) -> None:
        self._all_terms = terms
        self._terms = terms[0][1]
        self._remembered = remembered
        self._findings: list[Finding] = []
        self._counts: Counter[str] = Counter()
        self._runs: dict[str, _Run] = {}
        self._going: defaultdict[str, set[str]] = defaultdict(set)
        self._waiting: dict[str, None] = {}
        self._answers: dict[str, _Answer] = {}
        self._request_starts: dict[tuple[str, str], _Answer] = {}
        self._timed_starts: dict[str, dict[datetime, Place]] = {}
        self._jobs: dict[str, _Record] = {}
        self._first_head: Place | None = None
        self._oldest: datetime | None = None
        self._newest: datetime | None = None
        self._head: tuple[Place, datetime] | None = None
        self._is_anticipated = False
        self._doubts: dict[str, Finding] = {}
        self._last_place = Place("", 0)
        self._file = ""

    # Lines

    def take(self, line: Line) -> None:
        self._last_place = line.place
        self._counts["lines"] += 1
        entry = line.entry
        if entry is None or not _names_are_texts(entry):
            self._counts["torn_lines"] += 1
            return
        try:
            moment = from_iso(entry["timestamp"])
            self._check_head(line.place, entry)
            self._oldest = self._oldest or moment
            self._newest = max(self._newest or moment, moment)
            self._is_anticipated = self._head is not None and moment <= self._head[1]
            if not self._is_anticipated:
                self._flush_doubts()
            self._terms = self._terms_at(moment)
            self._apply(line.place, entry, moment)
        except (KeyError, TypeError, AttributeError, ValueError):
            self._counts["torn_lines"] += 1

    def _apply(self, place: Place, entry: Entry, moment: datetime) -> None:
        match entry["event"]:
            case "checkpoint":
                self._checkpoint(place, entry, moment)
            case "trigger_accepted":
                self._accepted(place, entry, moment)
            case "trigger_rejected":
                self._counts["rejected"] += 1
                self._answered(place, entry, moment)
            case "job_queued":
                self._queued(place, entry)
            case "job_start":
                self._started(place, entry, moment)
            case "job_complete":
                self._completed(place, entry)
            case "job_skipped" | "job_missed":
                self._passed_over(place, entry)

    def _terms_at(self, moment: datetime) -> Mapping[str, Terms]:
        return next((terms for since, terms in reversed(self._all_terms) if since <= moment), self._all_terms[0][1])

    def _conflicts(self, before: Place) -> bool:
        """Return whether the present line contradicts what is known from `before`, rather than being its source.

        A journal that was taken away is begun anew from memory: its checkpoint then knows of lines that had not
        been written yet and follow it. They are older than the checkpoint.
        """
        return not (self._is_anticipated and self._head is not None and self._head[0] == before)

    @property
    def _knows_the_past(self) -> bool:
        """Whether all lines from before the present one are known, so that what it refers to must be among them.

        Not before the first checkpoint. Nor in what a journal begun from memory has still to tell (`_conflicts`)
        where that is the oldest there is: whoever emptied it took the lines that belong to those away.
        """
        return self._first_head is not None and self._conflicts(self._first_head)

    def _doubt(self, key: str, place: Place, message: str) -> None:
        """Note lines that seem to be missing, unless they follow as `_conflicts` says."""
        self._doubts[key] = Finding(place, Rule.LINES_MISSING, message)

    def _flush_doubts(self) -> None:
        self._findings += self._doubts.values()
        self._doubts.clear()

    def _check_head(self, place: Place, entry: Entry) -> None:
        if place.file != self._file:
            self._file = place.file
            self._counts["files"] += 1
            if entry["event"] != "checkpoint" or not entry.get("full"):
                self._find(place, Rule.NO_CHECKPOINT, "the file does not begin with a checkpoint")

    # Requests

    def _accepted(self, place: Place, entry: Entry, moment: datetime) -> None:
        self._counts["accepted"] += 1
        self._answered(place, entry, moment)
        if entry["action"] == "run":
            self._ask(place, entry["run_id"], entry["job_name"])

    def _answered(self, place: Place, entry: Entry, moment: datetime) -> None:
        key = request_key(entry["action"], entry["job_name"], entry["request_id"])
        before = self._answers.get(key)
        # How much longer the first answer counts, only its file could tell: until then it must be the only one.
        if before is not None and self._conflicts(before.place) and abs(moment - before.at) <= self._remembered:
            self._find(place, Rule.ANSWERED_TWICE, f"request {key.strip()} was answered before, in {before.place}")
        self._answers[key] = _Answer(place, moment)

    def _ask(self, place: Place, run_id: str, job_name: str) -> None:
        """Note that a run is to come."""
        self._doubts.pop(run_id, None)
        if run_id in self._runs and not self._conflicts(self._runs[run_id].asked):
            self._runs[run_id].asked = place
            return
        if run_id in self._runs:
            self._find(place, Rule.STARTED_UNASKED, f"run {run_id} was asked for before, in {self._runs[run_id].asked}")
            return
        self._runs[run_id] = _Run(job_name, place)
        self._waiting[run_id] = None

    # Runs

    def _queued(self, place: Place, entry: Entry) -> None:
        run_id = entry["run_id"]
        if run_id not in self._runs:
            self._check_cause(place, entry)
            self._ask(place, run_id, entry["job_name"])
            self._account_for_run(place, entry)

    def _started(self, place: Place, entry: Entry, moment: datetime) -> None:
        run_id, job_name = entry["run_id"], entry["job_name"]
        self._counts["starts"] += 1
        self._doubts.pop(run_id, None)
        self._check_overlap(place, entry)
        self._check_request(place, entry, moment)
        run = self._runs.get(run_id)
        if run is None:
            self._check_cause(place, entry)
            run = self._runs[run_id] = _Run(job_name, place)
            self._account_for_run(place, entry)
        elif run.started is not None and self._conflicts(run.started):
            self._find(place, Rule.STARTED_TWICE, f"run {run_id} of {job_name} was started before, in {run.started}")
        elif run.ended is not None and self._conflicts(run.ended):
            self._find(place, Rule.STARTED_AFTER_END, f"run {run_id} of {job_name} starts after its end in {run.ended}")
        self._check_time(place, entry)
        run.started = place
        self._waiting.pop(run_id, None)
        self._going[job_name].add(run_id)

    def _completed(self, place: Place, entry: Entry) -> None:
        run_id, job_name, status = entry["run_id"], entry["job_name"], entry["status"]
        self._counts["ends"] += 1
        self._counts[f"status_{status}"] += 1
        self._doubts.pop(run_id, None)
        run = self._runs.get(run_id)
        if run is None:
            if self._knows_the_past:
                self._find(place, Rule.ENDED_UNSTARTED, f"run {run_id} of {job_name} ends and never started")
            run = self._runs[run_id] = _Run(job_name, place)
        elif run.ended is not None and self._conflicts(run.ended):
            self._find(place, Rule.ENDED_TWICE, f"run {run_id} of {job_name} ended before, in {run.ended}")
        elif run.started is None and (status not in NEVER_STARTED or entry["exit_code"] is not None):
            self._find(place, Rule.ENDED_UNSTARTED, f"run {run_id} of {job_name} ends as {status} and never started")
        self._end(run_id, run, place, status)
        if entry["retry_at"] is not None:
            self._ask(place, f"{entry['first_run_id']}-{entry['attempt'] + 1}", job_name)

    def _passed_over(self, place: Place, entry: Entry) -> None:
        self._counts[entry["event"]] += 1
        run_id, job_name = entry["run_id"], entry["job_name"]
        self._doubts.pop(run_id, None)
        if run_id is None:
            first, last = from_iso(entry["first_scheduled_time"]), from_iso(entry["scheduled_time"])
            self._counts["times_passed_over"] += entry["count"]
            self._account(place, job_name, first, last, entry["count"])
            return
        run = self._runs.get(run_id)
        if run is None:
            if self._knows_the_past:
                message = f"run {run_id} of {job_name} is passed over and was never asked for"
                self._find(place, Rule.PASSED_OVER_WRONGLY, message)
            run = self._runs[run_id] = _Run(job_name, place)
        elif run.started is not None or (run.ended is not None and self._conflicts(run.ended)):
            message = f"run {run_id} of {job_name} is passed over after {run.ended or run.started}"
            self._find(place, Rule.PASSED_OVER_WRONGLY, message)
        self._end(run_id, run, place, entry["event"])

    def _end(self, run_id: str, run: _Run, place: Place, status: str) -> None:
        run.ended, run.status = place, status
        self._waiting.pop(run_id, None)
        self._going[run.job_name].discard(run_id)

    def _check_cause(self, place: Place, entry: Entry) -> None:
        """A requested run needs its answer before it, a retry the end of the attempt before."""
        if self._knows_the_past and entry["trigger"] not in TIMED:
            message = f"run {entry['run_id']} of {entry['job_name']} ({entry['trigger']}) was never asked for"
            self._find(place, Rule.STARTED_UNASKED, message)

    def _check_overlap(self, place: Place, entry: Entry) -> None:
        terms = self._terms.get(entry["sha256"])
        others = self._going[entry["job_name"]] - {entry["run_id"]}
        if terms is not None and not terms.may_overlap and others:
            message = f"run {entry['run_id']} of {entry['job_name']} starts while {min(others)} is going"
            self._find(place, Rule.OVERLAPPED, message)

    def _check_request(self, place: Place, entry: Entry, moment: datetime) -> None:
        if entry["trigger"] != "manual" or entry["request_id"] is None:
            return
        key = entry["job_name"], entry["request_id"]
        before = self._request_starts.get(key)
        if before is not None and abs(moment - before.at) <= self._remembered:
            message = f"request {key[1]} of {key[0]} was started before, in {before.place}"
            self._find(place, Rule.STARTED_TWICE, message)
        self._request_starts[key] = _Answer(place, moment)

    # Scheduled times

    def _check_time(self, place: Place, entry: Entry) -> None:
        if entry["trigger"] not in TIMED:
            return
        moment = from_iso(entry["scheduled_time"])
        starts = self._timed_starts.setdefault(entry["job_name"], {})
        if moment in starts and self._conflicts(starts[moment]):
            message = f"{entry['job_name']} was started for {iso(moment)} before, in {starts[moment]}"
            self._find(place, Rule.TIME_STARTED_TWICE, message)
        starts[moment] = place

    def _account_for_run(self, place: Place, entry: Entry) -> None:
        if entry["trigger"] in TIMED:
            moment = from_iso(entry["scheduled_time"])
            self._account(place, entry["job_name"], moment, moment, 1)

    def _account(self, place: Place, job_name: str, first: datetime, last: datetime, number: int) -> None:
        """Take note that a line accounts for `number` scheduled times, `first` to `last`."""
        self._counts["times"] += number
        record = self._jobs.get(job_name)
        if record is None:
            return
        self._doubts.pop(f"job {job_name}", None)
        if first <= record.handled:
            if self._conflicts(record.place):
                message = f"{job_name}: {iso(first)} was accounted for before (all up to {iso(record.handled)} are)"
                self._find(place, Rule.TIME_ACCOUNTED_TWICE, message)
        else:
            self._check_span(place, job_name, record, first, last, number)
        record.handled = max(record.handled, last)

    def _check_span(
        self, place: Place, job_name: str, record: _Record, first: datetime, last: datetime, number: int
    ) -> None:
        terms = self._terms.get(record.sha256)
        if terms is None:
            return
        self._counts["times_compared"] += number
        asked = None if terms.schedule is None else terms.schedule.span(record.handled, last)
        own = None if terms.schedule is None else terms.schedule.span(first - timedelta.resolution, last)
        if asked is None or own is None or (own.first, own.last, own.count) != (first, last, number):
            message = f"{job_name}: {number} from {iso(first)} to {iso(last)} are not what its schedule asks for"
            self._find(place, Rule.TIME_UNSCHEDULED, message)
        elif asked.count > number:
            lost = count(asked.count - number, "scheduled time")
            message = f"{job_name}: {lost} from {iso(asked.first)} on, before {iso(first)}, without a line"
            self._find(place, Rule.TIME_UNACCOUNTED, message)

    def expect_all_until(self, moment: datetime) -> None:
        self._terms = self._terms_at(moment)
        for job_name, record in sorted(self._jobs.items()):
            terms = self._terms.get(record.sha256)
            if terms is None or terms.schedule is None:
                continue
            with contextlib.suppress(ScheduleError, OverflowError):
                span = terms.schedule.span(record.handled, moment - terms.slack)
                if span is not None:
                    lost = count(span.count, "scheduled time")
                    message = f"{job_name}: {lost} from {iso(span.first)} to {iso(span.last)} without a line"
                    self._find(self._last_place, Rule.TIME_UNACCOUNTED, message)

    # Checkpoints

    def _checkpoint(self, place: Place, entry: Entry, moment: datetime) -> None:
        records = {name: _record(document, place) for name, document in entry["jobs"].items()}
        if entry["full"]:
            self._counts["checkpoints"] += 1
            self._compare_runs(place, entry)
            self._compare_answers(place, entry)
            for name in self._jobs.keys() - records.keys():
                del self._jobs[name]
            self._head = place, moment
            self._first_head = self._first_head or place
        for name, record in records.items():
            self._put_in_force(place, name, record, full=entry["full"])

    def _put_in_force(self, place: Place, name: str, record: _Record | None, *, full: bool) -> None:
        known = self._jobs.pop(name, None)
        self._doubts.pop(f"job {name}", None)
        if record is None:
            return
        self._jobs[name] = record
        same = known is not None and (known.sha256, known.since) == (record.sha256, record.since)
        if known is None or not same:
            self._counts["definitions"] += 1
        elif known.handled < record.handled and full:
            message = f"{name}: lines account for all up to {iso(known.handled)}, this one to {iso(record.handled)}"
            self._doubt(f"job {name}", place, message)
        elif known.handled != record.handled:
            # The clock was put back by more than can be waited out: times come again, and run again.
            self._counts["reanchored"] += 1
            starts = self._timed_starts.get(name, {})
            self._timed_starts[name] = {at: where for at, where in starts.items() if at <= record.handled}

    def _compare_runs(self, place: Place, entry: Entry) -> None:
        theirs = {run["run_id"]: run for run in (*entry["open"], *entry["pending"], *entry["retries"])}
        is_open = {run["run_id"] for run in entry["open"]}
        ours = {run_id for going in self._going.values() for run_id in going}
        if self._knows_the_past:
            for run_id in sorted((ours | self._waiting.keys()) - theirs.keys()):
                message = f"run {run_id} of {self._runs[run_id].job_name} is not over and is not known here"
                self._doubt(run_id, place, message)
                self._end(run_id, self._runs[run_id], place, "lost")
            for run_id in sorted((is_open - ours) | (theirs.keys() - is_open - self._waiting.keys())):
                message = f"run {run_id} of {theirs[run_id]['job_name']} is known here, but no line tells of it"
                self._doubt(run_id, place, message)
        for run_id, document in theirs.items():
            run = self._runs.setdefault(run_id, _Run(document["job_name"], place))
            run.ended = None
            if run_id in is_open:
                run.started = run.started or place
                if document["trigger"] in TIMED:
                    starts = self._timed_starts.setdefault(run.job_name, {})
                    starts.setdefault(from_iso(document["scheduled_time"]), run.started)
                self._waiting.pop(run_id, None)
                self._going[run.job_name].add(run_id)
            else:
                self._waiting[run_id] = None

    def _compare_answers(self, place: Place, entry: Entry) -> None:
        answers = {key: from_iso(at) for key, at in entry["answers"].items()}
        newest = self._newest or datetime.max.replace(tzinfo=UTC)
        for key in self._answers.keys() - answers.keys():
            forgotten = self._answers.pop(key)
            if newest - forgotten.at < self._remembered:
                message = f"the answer to request {key.strip()} in {forgotten.place} is not known here"
                self._find(place, Rule.ANSWER_FORGOTTEN, message)
        for key, at in answers.items():
            known = self._answers.setdefault(key, _Answer(place, at))
            known.at = max(known.at, at)

    # Evidence

    def compare(self, evidence: Sequence[tuple[Place, str]]) -> None:
        seen: dict[str, Place] = {}
        jobs: set[str] = set()
        for place, run_id in evidence:
            self._counts["evidence"] += 1
            run = self._runs.get(run_id)
            if run_id in seen:
                self._find(place, Rule.EVIDENCE_TWICE, f"run {run_id} left evidence before, in {seen[run_id]}")
            elif run is not None and run.started is not None:
                jobs.add(run.job_name)
            elif self._is_older(run_id):
                self._counts["evidence_older_than_the_journal"] += 1
            else:
                self._find(place, Rule.EVIDENCE_UNKNOWN, f"run {run_id} left evidence, but no line has its start")
            seen.setdefault(run_id, place)
        for run_id, run in self._runs.items():
            if run.job_name in jobs and run.status == "success" and run_id not in seen and run.ended is not None:
                message = f"run {run_id} of {run.job_name} ended as success and left no evidence"
                self._find(run.ended, Rule.EVIDENCE_MISSING, message)

    def _is_older(self, run_id: str) -> bool:
        match = RUN_ID_TIME.match(run_id)
        if match is None or self._oldest is None:
            return False
        try:
            return datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) < self._oldest
        except ValueError:
            return False

    # The result

    def report(self) -> Report:
        self._flush_doubts()
        open_runs = {
            run_id: self._runs[run_id].started or self._runs[run_id].asked
            for going in self._going.values()
            for run_id in going
        }
        waiting = {run_id: self._runs[run_id].asked for run_id in self._waiting}
        self._counts["runs"] = sum(run.started is not None for run in self._runs.values())
        return Report(self._findings, dict(sorted(open_runs.items())), waiting, self._counts)

    def _find(self, place: Place, rule: Rule, message: str) -> None:
        self._findings.append(Finding(place, rule, message))


def _names_are_texts(entry: Entry) -> bool:
    return all(isinstance(entry.get(field), str | None) for field in ("job_name", "run_id"))


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


def _record(document: Mapping[str, str] | None, place: Place) -> _Record | None:
    if document is None:
        return None
    return _Record(from_iso(document["handled"]), document["sha256"], from_iso(document["since"]), place)
