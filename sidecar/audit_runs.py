"""Audit the runs: each is asked for, starts and ends once, in this order, and those of a job do not overlap."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sidecar.audit_events import Entry, Event
from sidecar.audit_report import Findings, Place, Rule
from sidecar.audit_requests import Requests
from sidecar.audit_times import TIMED, ScheduledTimes

NEVER_STARTED = ("cancelled", "interrupted")
"""How a run may end that did not start."""


@dataclass(slots=True)
class Run:
    """Where the lines of a run are; `asked` is the first that tells of it."""

    job_name: str
    asked: Place
    started: Place | None = None
    ended: Place | None = None
    status: str = ""


def run_id_of(told: Event | Entry) -> str:
    """Return the id of the run that a line, or a part of a checkpoint, tells of. Raises TypeError if that is none."""
    run_id = told["run_id"]
    if not isinstance(run_id, str):
        raise TypeError(f"{run_id!r} is no run id")
    return run_id


class Runs:
    """All runs by id, those going by job, and those waiting. Lines of runs go on to their request and time."""

    def __init__(self, findings: Findings, requests: Requests, times: ScheduledTimes) -> None:
        self._findings = findings
        self._requests = requests
        self._times = times
        self._going: defaultdict[str, set[str]] = defaultdict(set)
        self._waiting: dict[str, None] = {}
        self.by_id: dict[str, Run] = {}

    def open(self) -> dict[str, Place]:
        """Return where the runs started that have not ended."""
        return {run_id: self.by_id[run_id].started or self.by_id[run_id].asked for run_id in sorted(self._all_going())}

    def waiting(self) -> dict[str, Place]:
        """Return where the runs were asked for that have neither started nor ended."""
        return {run_id: self.by_id[run_id].asked for run_id in self._waiting}

    def asked_for(self, event: Event, run_id: str) -> None:
        """Check that a run which is to come from now on was not to come before."""
        self._findings.clear_doubt(run_id)
        run = self.by_id.get(run_id)
        if run is None:
            self.by_id[run_id] = Run(event["job_name"], event.place)
            self._waiting[run_id] = None
        elif event.contradicts(run.asked):
            message = f"run {run_id} was asked for before, in {run.asked}"
            self._findings.add(event.place, Rule.STARTED_UNASKED, message)
        else:
            run.asked = event.place

    def queued(self, event: Event) -> None:
        """Take a run that waits; one that was accepted, or is a retry, is known already."""
        run_id = run_id_of(event)
        if run_id not in self.by_id:
            self._check_cause(event)
            self.asked_for(event, run_id)
            self._times.account_for_run(event)
        else:
            self._findings.clear_doubt(run_id)
            self._times.told_of(event)

    def started(self, event: Event) -> None:
        """Check that a run which starts is to come, has not started before, and overlaps with none of its job."""
        run_id, job_name = run_id_of(event), event["job_name"]
        self._findings.counts["starts"] += 1
        self._findings.clear_doubt(run_id)
        self._check_overlap(event)
        self._requests.started(event)
        run = self.by_id.get(run_id)
        if run is None:
            self._check_cause(event)
            run = self.by_id[run_id] = Run(job_name, event.place)
            self._times.account_for_run(event)
        elif event.contradicts(run.started):
            self._find(event, Rule.STARTED_TWICE, f"was started before, in {run.started}")
        elif event.contradicts(run.ended):
            self._find(event, Rule.STARTED_AFTER_END, f"starts after its end in {run.ended}")
        self._times.started(event)
        run.started = event.place
        self._waiting.pop(run_id, None)
        self._going[job_name].add(run_id)

    def completed(self, event: Event) -> None:
        """Check that a run which ends has started and has not ended before."""
        run_id, job_name, status = run_id_of(event), event["job_name"], event["status"]
        self._findings.counts["ends"] += 1
        self._findings.counts[f"status_{status}"] += 1
        self._findings.clear_doubt(run_id)
        run = self.by_id.get(run_id)
        if run is None:
            if event.knows_the_past:
                self._find(event, Rule.ENDED_UNSTARTED, "ends and never started")
            run = self.by_id[run_id] = Run(job_name, event.place)
        elif event.contradicts(run.ended):
            self._find(event, Rule.ENDED_TWICE, f"ended before, in {run.ended}")
        elif run.started is None and (status not in NEVER_STARTED or event["exit_code"] is not None):
            self._find(event, Rule.ENDED_UNSTARTED, f"ends as {status} and never started")
        self._end(run_id, run, event.place, status)
        if event["retry_at"] is not None:
            self.asked_for(event, f"{event['first_run_id']}-{event['attempt'] + 1}")

    def passed_over(self, event: Event) -> None:
        """Check that a run which is passed over was to come; a line without a run passes over scheduled times."""
        self._findings.counts[event["event"]] += 1
        run_id, job_name = event["run_id"], event["job_name"]
        if run_id is None:
            self._times.passed_over(event)
            return
        self._findings.clear_doubt(run_id)
        run = self.by_id.get(run_id)
        if run is None:
            if event.knows_the_past:
                self._find(event, Rule.PASSED_OVER_WRONGLY, "is passed over and was never asked for")
            run = self.by_id[run_id] = Run(job_name, event.place)
        elif run.started is not None or event.contradicts(run.ended):
            self._find(event, Rule.PASSED_OVER_WRONGLY, f"is passed over after {run.ended or run.started}")
        self._end(run_id, run, event.place, event["event"])

    def compare(self, checkpoint: Event) -> None:
        """Hold a full checkpoint's runs against those known here, then go on with them."""
        theirs = {run_id_of(run): run for group in ("open", "pending", "retries") for run in checkpoint[group]}
        theirs_going = {run["run_id"] for run in checkpoint["open"]}
        if checkpoint.knows_the_past:
            going = self._all_going()
            for run_id in sorted((going | self._waiting.keys()) - theirs.keys()):
                run = self.by_id[run_id]
                message = f"run {run_id} of {run.job_name} is not over and is not known here"
                self._findings.doubt(run_id, checkpoint.place, message)
                self._end(run_id, run, checkpoint.place, "lost")
            for run_id in sorted((theirs_going - going) | (theirs.keys() - theirs_going - self._waiting.keys())):
                message = f"run {run_id} of {theirs[run_id]['job_name']} is known here, but no line tells of it"
                self._findings.doubt(run_id, checkpoint.place, message)
        for run_id, document in theirs.items():
            run = self.by_id.setdefault(run_id, Run(document["job_name"], checkpoint.place))
            run.ended = None
            if run_id in theirs_going:
                run.started = run.started or checkpoint.place
                self._times.know_start(run.job_name, document, run.started)
                self._waiting.pop(run_id, None)
                self._going[run.job_name].add(run_id)
            else:
                self._waiting[run_id] = None

    def _check_cause(self, event: Event) -> None:
        """A requested run needs its answer before it, a retry the end of the attempt before."""
        if event.knows_the_past and event["trigger"] not in TIMED:
            self._find(event, Rule.STARTED_UNASKED, f"({event['trigger']}) was never asked for")

    def _check_overlap(self, event: Event) -> None:
        terms = event.terms.get(event["sha256"])
        others = self._going[event["job_name"]] - {event["run_id"]}
        if terms is not None and not terms.may_overlap and others:
            self._find(event, Rule.OVERLAPPED, f"starts while {min(others)} is going")

    def _end(self, run_id: str, run: Run, place: Place, status: str) -> None:
        run.ended, run.status = place, status
        self._waiting.pop(run_id, None)
        self._going[run.job_name].discard(run_id)

    def _all_going(self) -> set[str]:
        return {run_id for going in self._going.values() for run_id in going}

    def _find(self, event: Event, rule: Rule, what: str) -> None:
        self._findings.add(event.place, rule, f"run {event['run_id']} of {event['job_name']} {what}")
