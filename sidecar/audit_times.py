"""Audit the scheduled times: each that a schedule asks for has its line, once, and none is started twice."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sidecar.audit_events import Entry, Event, Terms
from sidecar.audit_report import Findings, Place, Rule
from sidecar.clock import from_iso, iso
from sidecar.cron import Span
from sidecar.errors import ScheduleError
from sidecar.human import count

TIMED = ("schedule", "catch_up")
"""Triggers of runs that account for a scheduled time; a retry repeats one that is accounted for already."""


@dataclass(slots=True)
class Record:
    """How far a job's schedule is accounted for under the definition with `sha256`, in force since `since`."""

    handled: datetime
    sha256: str
    since: datetime
    place: Place


class ScheduledTimes:
    """Each job's record, and which of its scheduled times were started, and where."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._records: dict[str, Record] = {}
        self._starts: defaultdict[str, dict[datetime, Place]] = defaultdict(dict)

    def started(self, event: Event) -> None:
        """Check that a run starts for a time that none was started for before."""
        if event["trigger"] in TIMED:
            job_name, moment = event["job_name"], from_iso(event["scheduled_time"])
            before = self._starts[job_name].get(moment)
            if event.contradicts(before):
                message = f"{job_name} was started for {iso(moment)} before, in {before}"
                self._findings.add(event.place, Rule.TIME_STARTED_TWICE, message)
            self._starts[job_name][moment] = event.place
            self.told_of(event)

    def know_start(self, job_name: str, run: Entry, place: Place) -> None:
        """Take note of a run that a checkpoint has as going; `place` is the first line that told of its start."""
        if run["trigger"] in TIMED:
            self._starts[job_name].setdefault(from_iso(run["scheduled_time"]), place)

    def told_of(self, event: Event) -> None:
        """Drop the doubt about the job's times: a checkpoint knew the run, here is a line of it."""
        if event["trigger"] in TIMED:
            self._findings.clear_doubt(f"job {event['job_name']}")

    def account_for_run(self, event: Event) -> None:
        """Take the first line of a run, which accounts for its scheduled time."""
        if event["trigger"] in TIMED:
            moment = from_iso(event["scheduled_time"])
            self._account(event, Span(moment, moment, 1))

    def passed_over(self, event: Event) -> None:
        """Take a line that accounts for times without a run."""
        told = Span(from_iso(event["first_scheduled_time"]), from_iso(event["scheduled_time"]), event["count"])
        self._findings.counts["times_passed_over"] += told.count
        self._account(event, told)

    def _account(self, event: Event, told: Span) -> None:
        """Check that the times which a line tells of follow those that are accounted for."""
        job_name = event["job_name"]
        self._findings.counts["times"] += told.count
        record = self._records.get(job_name)
        if record is None:
            return
        self._findings.clear_doubt(f"job {job_name}")
        if told.first > record.handled:
            self._check_schedule(event, told, record)
        elif event.contradicts(record.place):
            message = f"{job_name}: {iso(told.first)} was accounted for before (all up to {iso(record.handled)} are)"
            self._findings.add(event.place, Rule.TIME_ACCOUNTED_TWICE, message)
        record.handled = max(record.handled, told.last)

    def _check_schedule(self, event: Event, told: Span, record: Record) -> None:
        """Check that the times are those that the schedule asks for, and the next ones after those handled."""
        terms, job_name = event.terms.get(record.sha256), event["job_name"]
        if terms is None:
            return
        self._findings.counts["times_compared"] += told.count
        asked = None if terms.schedule is None else terms.schedule.span(record.handled, told.last)
        own = None if terms.schedule is None else terms.schedule.span(told.first - timedelta.resolution, told.last)
        if asked is None or own != told:
            times = f"{told.count} from {iso(told.first)} to {iso(told.last)}"
            message = f"{job_name}: {times} are not what its schedule asks for"
            self._findings.add(event.place, Rule.TIME_UNSCHEDULED, message)
        elif asked.count > told.count:
            lost = count(asked.count - told.count, "scheduled time")
            message = f"{job_name}: {lost} from {iso(asked.first)} on, before {iso(told.first)}, without a line"
            self._findings.add(event.place, Rule.TIME_UNACCOUNTED, message)

    def compare(self, checkpoint: Event, records: Mapping[str, Record | None]) -> None:
        """Hold a checkpoint's records against those known here, then go on with them."""
        if checkpoint["full"]:
            self._records = {name: record for name, record in self._records.items() if name in records}
        for name, record in records.items():
            known = self._records.pop(name, None)
            self._findings.clear_doubt(f"job {name}")
            if record is None:  # the job is no more
                continue
            self._records[name] = record
            if known is None or (known.sha256, known.since) != (record.sha256, record.since):
                self._findings.counts["definitions"] += 1
            elif known.handled < record.handled and checkpoint["full"]:
                message = f"{name}: lines account for all up to {iso(known.handled)}, this one to {iso(record.handled)}"
                self._findings.doubt(f"job {name}", checkpoint.place, message)
            elif known.handled != record.handled:
                # The clock was put back by more than can be waited out: times come again, and run again.
                self._findings.counts["reanchored"] += 1
                self._starts[name] = {at: where for at, where in self._starts[name].items() if at <= record.handled}

    def expect_all_until(self, moment: datetime, terms: Mapping[str, Terms], last: Place) -> None:
        """Check that each job has lines for all times that were due while a scheduler worked; `last` is the last."""
        for job_name, record in sorted(self._records.items()):
            asked = terms.get(record.sha256)
            if asked is None or asked.schedule is None:
                continue
            with contextlib.suppress(ScheduleError, OverflowError):
                span = asked.schedule.span(record.handled, moment - asked.slack)
                if span is not None:
                    lost = count(span.count, "scheduled time")
                    message = f"{job_name}: {lost} from {iso(span.first)} to {iso(span.last)} without a line"
                    self._findings.add(last, Rule.TIME_UNACCOUNTED, message)


def records_of(checkpoint: Event) -> dict[str, Record | None]:
    """Return what a checkpoint says of each job, None for one that is no more. Raises as `Events.read` does."""
    return {name: _record(document, checkpoint.place) for name, document in checkpoint["jobs"].items()}


def _record(document: Mapping[str, str] | None, place: Place) -> Record | None:
    if document is None:
        return None
    return Record(from_iso(document["handled"]), document["sha256"], from_iso(document["since"]), place)
