"""What the schedules ask for: every scheduled time of every enabled job becomes a run or a line that says why not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sidecar import policy
from sidecar.catalog import Definition
from sidecar.clock import iso
from sidecar.cron import Schedule, Span, parse
from sidecar.errors import ScheduleError
from sidecar.ledger import JobRecord
from sidecar.logger import JobLogger
from sidecar.model import ConcurrencyPolicy, Reason, Run, Trigger
from sidecar.runs import RECOVERY_LOOK_SECONDS, Runs
from sidecar.settings import Settings
from sidecar.timetable import Due, Timetable

ONE_MINUTE = timedelta(minutes=1)
RECOVERY_LOOK = timedelta(seconds=RECOVERY_LOOK_SECONDS)


@dataclass(slots=True)
class Entry:
    """An enabled job with its parsed schedule."""

    definition: Definition
    schedule: Schedule


class Agenda:
    """Plans the next time of each enabled job and acts on what is due. How far a job is, the ledger knows.

    While paused nothing is taken up; `resume` then writes one line a job for what the pause held back. `unready`
    are the jobs whose unchanged file a start could not use: what the ledger knows of them waits for that.
    """

    def __init__(self, *, logger: JobLogger, runs: Runs, settings: Settings) -> None:
        self.paused = False
        self.unready: dict[str, Definition] = {}
        self._logger = logger
        self._ledger = logger.ledger
        self._runs = runs
        self._settings = settings
        self._entries: dict[str, Entry] = {}
        self._timetable = Timetable()
        self._unplanned: list[str] = []
        self._latest = datetime.min.replace(tzinfo=UTC)

    def restore(self, definitions: Mapping[str, Definition], unready: Mapping[str, Definition], now: datetime) -> None:
        """Take the definitions that a start found: unchanged ones go on where the journal ends, others begin now.

        `unready` are, by sha256, those that may turn out to be unchanged ones, once what they need is there.
        """
        # Not only what the jobs have behind them: one that was removed has no record, and may be put back.
        self._latest = max(now, self._ledger.newest() or now)
        absent = [name for name in self._ledger.jobs if name not in definitions]
        known = {name: self._ledger.jobs[name].sha256 for name in absent}
        self.unready.update((name, unready[sha256]) for name, sha256 in known.items() if sha256 in unready)
        changed = [name for name in absent if name not in self.unready]
        for name in changed:
            del self._ledger.jobs[name]
        for name, definition in definitions.items():
            record = self._ledger.jobs.get(name)
            if record is None or record.sha256 != definition.sha256:
                self._runs.give_up_times(name)
                self._anchor(name, definition.sha256, now)
                changed.append(name)
            self._enter(definition)
        if changed:
            self._logger.record_jobs(changed)
        self.plan()

    def define(self, definition: Definition, now: datetime) -> None:
        """Put a new or changed definition in force: it counts from now, what was due under the old one is over."""
        name = definition.config.name
        record = self._ledger.jobs.get(name)
        if record is not None and record.sha256 == definition.sha256:
            self._enter(definition)
        else:
            enabled = definition.config.enabled
            self._write_off(name, now, Reason.SUPERSEDED if enabled else Reason.DISABLED)
            self._anchor(name, definition.sha256, now)
            self._logger.record_jobs([name])
            self._enter(definition)
            if enabled:
                self._runs.give_up_times(name)
            else:
                self._runs.end_waiting(name, Reason.DISABLED)
        if name in self.unready:
            del self.unready[name]
            self._runs.await_retries(name)
        self.plan()

    def give_up(self, unready: Collection[str], now: datetime) -> None:
        """Forget the jobs that a start found unready and whose text is not among the `unready` any more."""
        for name in [name for name in self.unready if self._ledger.jobs[name].sha256 not in unready]:
            self.remove(name, now)

    def remove(self, name: str, now: datetime) -> None:
        """Forget a job whose definition is gone."""
        self._write_off(name, now, Reason.REMOVED)
        self.unready.pop(name, None)
        self._leave(name)
        self._runs.end_waiting(name, Reason.REMOVED)
        if self._ledger.jobs.pop(name, None) is not None:
            self._logger.record_jobs([name])

    def step(self, now: datetime, most: int, *, ahead: bool) -> bool:
        """Begin, skip or miss what is due at `now`, at most so many jobs; return whether there may be more.

        With `ahead`, `now` is still to come: what would not simply begin is left for then. `plan` must follow, after
        the launch.
        """
        self._latest = max(self._latest, now)
        if self.paused:
            return False
        taken = self._timetable.take_due(now, most)
        for due in taken:
            if ahead and not self._runs.has_way(due.job_name):
                self._unplanned.append(due.job_name)
            elif self._may_not_overlap(due.job_name) and self._runs.is_recovering(due.job_name):
                # What a crash left of its last run is being ended: in a moment no policy has anything to say.
                self._timetable.plan(due.job_name, due.scheduled_time, now + RECOVERY_LOOK)
            else:
                self._take_up(due, now)
                self._unplanned.append(due.job_name)
        return len(taken) == most

    def plan(self) -> None:
        """Compute the next time of the jobs whose last one was just taken up."""
        unplanned, self._unplanned = self._unplanned, []
        for name in unplanned:
            entry = self._entries.get(name)
            if entry is not None:
                self._plan(name, entry)

    def resume(self, now: datetime) -> None:
        """End a pause: the times that it held back are skipped, one line a job. A jitter still to come goes on."""
        self.paused = False
        for name, entry in self._entries.items():
            span = self._unstarted(name, now)
            if span is not None and policy.due_at(entry.definition.config, entry.schedule, span.last) > now:
                span = self._without_last(name, span) if span.count > 1 else None
            if span is not None:
                self._write("job_skipped", name, span, Reason.PAUSED)
            self._unplanned.append(name)
        self.plan()

    def reanchor(self, now: datetime) -> None:
        """Start every job's schedule anew from `now`: the clock went back further than can be waited out."""
        self._latest = now
        for record in self._ledger.jobs.values():
            record.handled = now
        self._logger.record_jobs(list(self._ledger.jobs), clock=now)
        self.plan_anew()

    def plan_anew(self) -> None:
        """Compute the next time of every job: what was put off for a moment was so by a clock that is set since."""
        self._unplanned = list(self._entries)
        self.plan()

    def next_at(self) -> datetime | None:
        """Return when the next start is due, or None while paused or if nothing is planned."""
        return None if self.paused else self._timetable.next_at()

    def due_by(self, now: datetime) -> datetime:
        """Return the instant whose starts are to be decided now: `now` itself, or one just ahead."""
        due = self.next_at()
        if due is None or not now < due <= now + policy.LONGEST_LEAD:
            return now
        return due if due <= now + self.lead(due) else now

    def lead(self, due: datetime) -> timedelta:
        """Return how long before `due` its starts are to be decided."""
        return policy.lead(self._timetable.count_due(due, policy.MOST_AHEAD))

    def _anchor(self, name: str, sha256: str, now: datetime) -> None:
        # While a clock that was put back catches up, times come again that the job may have had already.
        self._ledger.jobs[name] = JobRecord(handled=max(now, self._latest), sha256=sha256, since=now)

    def _enter(self, definition: Definition) -> None:
        config = definition.config
        if not config.enabled:
            self._leave(config.name)
            return
        zone = config.timezone or self._settings.timezone
        self._entries[config.name] = Entry(definition, parse(config.schedule, zone))
        self._unplanned.append(config.name)

    def _leave(self, name: str) -> None:
        self._entries.pop(name, None)
        self._timetable.cancel(name)

    def _plan(self, name: str, entry: Entry) -> None:
        try:
            scheduled_time = entry.schedule.next_after(self._ledger.jobs[name].handled)
            at = policy.due_at(entry.definition.config, entry.schedule, scheduled_time)
        except ScheduleError as error:
            self._leave(name)
            self._logger.log_schedule_error(name, str(error))
        else:
            self._timetable.plan(name, scheduled_time, at)

    def _take_up(self, due: Due, now: datetime) -> None:
        name, config = due.job_name, self._entries[due.job_name].definition.config
        span = self._passed(due, now)
        at = policy.due_at(config, self._entries[name].schedule, span.last)
        if at > now:
            # Only the jitter of the newest time is still to come: what lies before it is missed now.
            self._miss(name, self._without_last(name, span), Reason.SUPERSEDED)
        elif policy.is_past_deadline(config, at, now):
            self._miss(name, span, Reason.PAST_DEADLINE)
        else:
            if span.count > 1:
                self._miss(name, self._without_last(name, span), Reason.SUPERSEDED)
            late = now - at > policy.ON_TIME
            self._run(name, span.last, Trigger.CATCH_UP if late else Trigger.SCHEDULE, now)

    def _may_not_overlap(self, name: str) -> bool:
        return self._entries[name].definition.config.concurrency_policy is not ConcurrencyPolicy.ALLOW

    def _passed(self, due: Due, now: datetime) -> Span:
        # Two scheduled times are a minute apart at least: the common case needs no arithmetic.
        one = Span(due.scheduled_time, due.scheduled_time, 1)
        if now - due.scheduled_time < ONE_MINUTE:
            return one
        handled = self._ledger.jobs[due.job_name].handled
        return self._entries[due.job_name].schedule.span(handled, now) or one

    def _without_last(self, name: str, span: Span) -> Span:
        before = self._entries[name].schedule.span(self._ledger.jobs[name].handled, span.last - timedelta(seconds=1))
        return before or span

    def _run(self, name: str, scheduled_time: datetime, trigger: Trigger, now: datetime) -> None:
        definition = self._entries[name].definition
        forbids = definition.config.concurrency_policy is ConcurrencyPolicy.FORBID
        if forbids and self._runs.is_active(name):
            self._write("job_skipped", name, Span(scheduled_time, scheduled_time, 1), Reason.ALREADY_RUNNING)
            return
        run_id = policy.new_run_id(now)
        run = Run(
            run_id=run_id,
            job_name=name,
            trigger=trigger,
            first_run_id=run_id,
            since=now,
            scheduled_time=scheduled_time,
            sha256=definition.sha256,
        )
        self._runs.begin_scheduled(run, definition)

    def _write_off(self, name: str, now: datetime, reason: Reason) -> None:
        """Skip what was due up to now and has not started: held back by a pause, or waiting for its jitter."""
        span = self._unstarted(name, now)
        if span is not None:
            self._write("job_skipped", name, span, Reason.PAUSED if self.paused else reason)

    def _unstarted(self, name: str, now: datetime) -> Span | None:
        """Return the job's scheduled times up to now that are not accounted for."""
        entry = self._entries.get(name)
        planned = self._timetable.planned(name)
        if entry is None or planned is None or planned.scheduled_time > now:
            return None
        return entry.schedule.span(self._ledger.jobs[name].handled, now)

    def _miss(self, name: str, span: Span, reason: Reason) -> None:
        self._write("job_missed", name, span, reason, level="warning")

    def _write(self, event: str, name: str, span: Span, reason: Reason, *, level: str = "info") -> None:
        self._logger.record(
            event,
            level=level,
            job_name=name,
            run_id=None,
            request_id=None,
            first_scheduled_time=iso(span.first),
            scheduled_time=iso(span.last),
            count=span.count,
            reason=reason,
        )
