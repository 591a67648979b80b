"""The life of runs: begin, queue, launch, retry, cancel, close. Every step is a journal line before it is a fact."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sidecar import policy
from sidecar.catalog import Definition
from sidecar.clock import Clock, iso
from sidecar.cron import parse
from sidecar.executor import JobExecutor
from sidecar.ledger import TIMED
from sidecar.logger import JobLogger
from sidecar.model import ConcurrencyPolicy, JobConfig, JobResult, Reason, Run, Status, Trigger
from sidecar.output import Outputs
from sidecar.settings import Settings

RECOVERY_GRACE_SECONDS = 10
"""For what is left of a run whose definition is gone; else the job's own kill_grace_seconds."""

RECOVERY_LOOK_SECONDS = 0.05
"""How long what is due waits for the end of what a crash left of its job, until it looks again."""

QUEUE_LOOK_SECONDS = 1.0
"""How often queued runs are compared with their deadlines."""


class Runs:
    """Owns every run from its acceptance to its last line. Which runs there are, the ledger knows.

    `begin` and `step` only decide and write lines; `launch` puts the lines on disk and starts the processes.
    """

    def __init__(
        self,
        *,
        logger: JobLogger,
        executor: JobExecutor,
        outputs: Outputs,
        jobs: Mapping[str, Definition],
        settings: Settings,
        clock: Clock,
        changed: Callable[[], None],
        crashed: Callable[[BaseException], None],
    ) -> None:
        self.ledger = logger.ledger
        self.paused = False
        self.draining = False
        self._logger = logger
        self._executor = executor
        self._outputs = outputs
        self._jobs = jobs
        self._settings = settings
        self._clock = clock
        self._changed = changed
        self._crashed = crashed
        self._starting: list[tuple[Run, JobConfig]] = []
        self._held: dict[str, tuple[Run, JobConfig]] = {}
        self._ending: dict[str, tuple[Status, str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._recovering: set[str] = set()
        self._unready: Mapping[str, Definition] = {}
        self._retry_heap: list[tuple[float, str]] = []
        self._discardable: list[str] = []
        self._look_at_queue_at = 0.0

    # Decide

    def is_active(self, job_name: str) -> bool:
        """Return whether a run of the job is going or queued, as the concurrency policies see it.

        What only waits for the journal is not: nobody knows how long that takes, and the schedule goes on.
        """
        runs = (*self.ledger.open.of(job_name), *self.ledger.pending.of(job_name))
        return not all(self._waits_for_the_journal(run) for run in runs)

    def is_recovering(self, job_name: str) -> bool:
        """Return whether a run that a previous scheduler left is still being ended."""
        return bool(self._recovering) and any(r.run_id in self._recovering for r in self.ledger.open.of(job_name))

    @property
    def idle(self) -> bool:
        """Whether no run is going or about to start."""
        return not (self._tasks or self._starting or self._held)

    def has_way(self, job_name: str) -> bool:
        """Return whether a new run of the job would find a place and no other run of it, going or waiting."""
        return not self._is_full() and not self.ledger.runs_of(job_name)

    def begin(self, run: Run, definition: Definition) -> None:
        """Start the run, or queue it: for a place, or for the end of the run it replaces."""
        if definition.config.concurrency_policy is ConcurrencyPolicy.REPLACE:
            self._make_way(run)
        if self.ledger.open.of(run.job_name) and not self._may_overlap(definition):
            self._queue(run, "waits for the run it replaces to end")
        elif self._is_full():
            self._queue(run, f"as many runs are going as are allowed at once ({self._settings.max_concurrent_runs})")
        else:
            self._start(run, definition)

    def begin_scheduled(self, run: Run, definition: Definition) -> None:
        """Begin a run for a scheduled time, which takes the place of the job's pending retries."""
        for retry in self.ledger.retries.of(run.job_name):
            self.pass_over(retry, Reason.SUPERSEDED)
        for held in self._held_of(run.job_name):
            if held.trigger is Trigger.RETRY or not self._may_overlap(definition):
                self._end(held, Status.CANCELLED, f"superseded by {run.run_id}")
        self.begin(run, definition)

    def pass_over(self, run: Run, reason: Reason, *, missed: bool = False) -> None:
        """Write that a queued run or a pending retry will not start."""
        scheduled_time = None if run.scheduled_time is None else iso(run.scheduled_time)
        self._logger.record(
            "job_missed" if missed else "job_skipped",
            level="warning" if missed else "info",
            job_name=run.job_name,
            run_id=run.run_id,
            request_id=run.request_id,
            first_scheduled_time=scheduled_time,
            scheduled_time=scheduled_time,
            count=1,
            reason=reason,
        )

    def give_up_times(self, job_name: str) -> None:
        """Pass over the job's queued runs for scheduled times: a new definition starts nothing for a time before it."""
        for run in self.ledger.pending.of(job_name):
            if run.trigger in TIMED:
                self.pass_over(run, Reason.SUPERSEDED)

    def end_waiting(self, job_name: str, reason: Reason) -> None:
        """Pass over all of the job's queued runs and pending retries: it was disabled or removed."""
        for run in (*self.ledger.pending.of(job_name), *self.ledger.retries.of(job_name)):
            self.pass_over(run, reason)
        for run in self._held_of(job_name):
            self._end(run, Status.CANCELLED, f"the job was {reason}")

    def drain(self) -> None:
        """Start nothing more, and end at once what is held for the journal: nobody knows how long that takes."""
        self.draining = True
        self._let_go_of_all()

    def cancel(self, run: Run, reason: str) -> None:
        """End a run: its processes if it is going, else the waiting for it."""
        if run.run_id in self.ledger.open:
            self._end(run, Status.CANCELLED, reason)
        else:
            self._close(run, self._never_started(run, Status.CANCELLED, reason))

    def step(self, now: datetime) -> None:
        """Take up what has waited long enough: retries that are due, queued runs that have a place."""
        if self.draining:
            return
        self._let_go_of_late(now)
        if not (self.paused or self._logger.degraded):
            self._retry(now)
        # Each look at all queued runs costs in proportion to them; a storm ends runs far more often than this.
        if self._clock.monotonic() >= self._look_at_queue_at:
            self._look_at_queue_at = self._clock.monotonic() + QUEUE_LOOK_SECONDS
            self._drop_overdue(now)
        self._start_queued(now)

    def take_places(self, now: datetime) -> None:
        """Give free places to those who wait, before anybody new comes."""
        if not self.draining:
            self._start_queued(now)

    def next_retry_at(self) -> float | None:
        """Return the monotonic time at which a retry is due, or None."""
        waits = self.paused or self.draining or self._logger.degraded
        return self._retry_heap[0][0] if self._retry_heap and not waits else None

    # Act

    def launch(self, *, more_are_due: bool = False, prepare_until: datetime | None = None) -> bool:
        """Put all recorded lines on disk, then start the runs that were decided on; return whether there are any.

        What ended runs leave to be removed waits while `more_are_due`. Until the given instant there is time to open
        the output files of the runs, whose processes start when the caller lets the loop go on.

        While the journal cannot be written, requested runs and retries are held (on disk they are still to be
        done, so the next scheduler would run them again); scheduled ones go on, as one may free the disk.
        """
        durable = self._logger.commit()
        starting, self._starting = self._starting, []
        if durable:
            starting += self._release()
        for run, config in starting:
            if durable or run.trigger in TIMED or run.run_id in self._ending:
                if prepare_until is not None and self._clock.now() < prepare_until:
                    self._executor.prepare(run)
                self._own(self._follow(run, config))
            else:
                self._held[run.run_id] = (run, config)
        if self.draining:
            self._let_go_of_all()
        if durable and self._discardable and not more_are_due:
            discardable, self._discardable = self._discardable, []
            self._outputs.discard(discardable)
        return bool(starting)

    def recover(self, unready: Mapping[str, Definition]) -> None:
        """Take over what the previous scheduler left: end and close its open runs, wait for its retries.

        `unready` are definitions, by job, that say how, though no run can begin with them yet; the caller takes them
        out when they say so no more.
        """
        self._unready = unready
        self._recovering = {run.run_id for run in self.ledger.open}
        for run in self.ledger.open:
            self._own(self._recover(run))
        for run in [*self.ledger.pending, *self.ledger.retries]:
            if run.run_id in self.ledger.cancelled:
                self.cancel(run, "cancelled when the scheduler ended")
        for run in list(self.ledger.retries):
            if not self._pass_over_without_job(run):
                self._wait_for_retry(run)

    def await_retries(self, job_name: str) -> None:
        """Take up the job's pending retries anew: those that came due while its definition could not be used."""
        for run in self.ledger.retries.of(job_name):
            self._wait_for_retry(run)

    def resume(self) -> None:
        """Let retries start again; those that came due in the meantime are due now, not late."""
        self.paused = False
        now = self._clock.monotonic()
        self._retry_heap = [(max(due, now), run_id) for due, run_id in self._retry_heap]
        heapq.heapify(self._retry_heap)

    def end_all(self, reason: str) -> None:
        """End every run that is going, as `interrupted`."""
        for run in list(self.ledger.open):
            self._end(run, Status.INTERRUPTED, reason)

    # Inside

    def _is_full(self) -> bool:
        return self._free() <= 0

    def _free(self) -> int:
        """Return how many more runs may go at once; what waits for the journal takes no place, nobody else could."""
        waiting = len(self._held) if self._logger.degraded else 0
        return self._settings.max_concurrent_runs - (len(self.ledger.open) - waiting)

    def _waits_for_the_journal(self, run: Run) -> bool:
        queued = run.run_id in self.ledger.pending and run.trigger not in TIMED
        return self._logger.degraded and (queued or run.run_id in self._held)

    def _release(self) -> list[tuple[Run, JobConfig]]:
        """Return the held runs that have a place, oldest first: others may have begun meanwhile."""
        going = len(self.ledger.open) - len(self._held)
        places = max(0, self._settings.max_concurrent_runs - going)
        return [self._held.pop(run_id) for run_id in list(self._held)[:places]]

    def _held_of(self, job_name: str) -> list[Run]:
        return [run for run, _ in self._held.values() if run.job_name == job_name]

    def _let_go_of_late(self, now: datetime) -> None:
        """End the held runs that would have been passed over by now, had they been queued instead."""
        for run, config in list(self._held.values()):
            # Not `since`: a retry that a pause held back was due long before it was taken up.
            taken_up = next(going.since for going in self.ledger.open.of(run.job_name) if going.run_id == run.run_id)
            is_retry = run.trigger is Trigger.RETRY
            if self._has_expired(run, now) or (is_retry and policy.is_past_deadline(config, taken_up, now)):
                self._end(run, Status.CANCELLED, "the journal could not be written in time")

    def _let_go_of_all(self) -> None:
        for run, _ in list(self._held.values()):
            self._end(run, Status.INTERRUPTED, "the journal could not be written and the scheduler had to stop")

    def _may_overlap(self, definition: Definition) -> bool:
        return definition.config.concurrency_policy is ConcurrencyPolicy.ALLOW

    def _make_way(self, newcomer: Run) -> None:
        for waiting in self.ledger.pending.of(newcomer.job_name):
            if waiting.run_id != newcomer.run_id:
                self.pass_over(waiting, Reason.REPLACED)
        for going in self.ledger.open.of(newcomer.job_name):
            self._end(going, Status.CANCELLED, f"replaced by {newcomer.run_id}")

    def _start(self, run: Run, definition: Definition) -> None:
        if run.sha256 != definition.sha256:
            run = replace(run, sha256=definition.sha256)
        self._logger.log_job_start(run.job_name, run)
        self._starting.append((run, definition.config))

    def _queue(self, run: Run, reason: str) -> None:
        self._logger.record(
            "job_queued",
            run_id=run.run_id,
            job_name=run.job_name,
            trigger=run.trigger,
            scheduled_time=None if run.scheduled_time is None else iso(run.scheduled_time),
            attempt=run.attempt,
            first_run_id=run.first_run_id,
            request_id=run.request_id,
            reason=reason,
        )

    def _start_queued(self, now: datetime) -> None:
        free = self._free()
        chosen: dict[str, Run] = {}
        for run in self.ledger.pending:
            if len(chosen) >= free:
                break
            definition = self._jobs.get(run.job_name)
            if self._waits_for_the_journal(run):
                continue
            if definition is not None and self._may_leave_queue(run, definition, chosen.values()):
                chosen[run.run_id] = run
        for run in chosen.values():
            definition = self._jobs[run.job_name]
            if not self._pass_over_late(run, definition, now):
                self._start(run, definition)

    def _may_leave_queue(self, run: Run, definition: Definition, chosen: Iterable[Run]) -> bool:
        if self._may_overlap(definition):
            return True
        taken = any(other.job_name == run.job_name for other in chosen)
        return not taken and not self.ledger.open.of(run.job_name)

    def _drop_overdue(self, now: datetime) -> None:
        for run in list(self.ledger.pending):
            definition = self._jobs.get(run.job_name)
            if self._pass_over_without_job(run):
                continue
            if definition is not None:
                self._pass_over_late(run, definition, now)
            elif self._has_expired(run, now):  # its file is not ready yet, and who asked has waited long enough
                self.pass_over(run, Reason.EXPIRED)

    def _pass_over_without_job(self, run: Run) -> bool:
        """Pass over a run that waits if its job was disabled or is gone; not if its file is merely not ready yet."""
        definition = self._jobs.get(run.job_name)
        if definition is not None and not definition.config.enabled:
            self.pass_over(run, Reason.DISABLED)
        elif definition is None and run.job_name not in self.ledger.jobs:
            self.pass_over(run, Reason.REMOVED)
        else:
            return False
        return True

    def _pass_over_late(self, run: Run, definition: Definition, now: datetime) -> bool:
        if self._has_expired(run, now):
            self.pass_over(run, Reason.EXPIRED)
        elif self._has_missed_its_deadline(run, definition, now):
            self.pass_over(run, Reason.PAST_DEADLINE, missed=True)
        else:
            return False
        return True

    def _has_expired(self, run: Run, now: datetime) -> bool:
        longest = timedelta(seconds=self._settings.trigger_max_age_seconds)
        return run.trigger is Trigger.MANUAL and now - run.since > longest

    def _has_missed_its_deadline(self, run: Run, definition: Definition, now: datetime) -> bool:
        if run.trigger is Trigger.MANUAL:
            return False
        due = run.since
        if run.trigger is not Trigger.RETRY and run.scheduled_time is not None:
            config = definition.config
            schedule = parse(config.schedule, config.timezone or self._settings.timezone)
            due = policy.due_at(config, schedule, run.scheduled_time)
        return policy.is_past_deadline(definition.config, due, now)

    def _retry(self, now: datetime) -> None:
        monotonic = self._clock.monotonic()
        while self._retry_heap and self._retry_heap[0][0] <= monotonic:
            due, run_id = heapq.heappop(self._retry_heap)
            run = self.ledger.retries.get(run_id)
            if run is None or self._pass_over_without_job(run):
                continue
            definition = self._jobs.get(run.job_name)
            if definition is None:
                continue  # its file is not ready yet; `await_retries` follows when it is
            late = timedelta(seconds=monotonic - due)
            if policy.is_past_deadline(definition.config, now - late, now):
                self.pass_over(run, Reason.PAST_DEADLINE, missed=True)
            elif self._may_overlap(definition) or not self.is_active(run.job_name):
                self.begin(run, definition)
            elif self.is_recovering(run.job_name):
                # What a crash left of the job is being ended: in a moment no policy has anything to say.
                heapq.heappush(self._retry_heap, (monotonic + RECOVERY_LOOK_SECONDS, run_id))
            elif definition.config.concurrency_policy is ConcurrencyPolicy.REPLACE:
                self.pass_over(run, Reason.REPLACED)  # what goes began after the attempt that this one repeats
            else:
                self.pass_over(run, Reason.ALREADY_RUNNING)

    def _wait_for_retry(self, run: Run) -> None:
        wait = (run.since - self._clock.now()).total_seconds()
        definition = self._jobs.get(run.job_name)
        if definition is not None and definition.config.retries is not None:
            # Longer than that it never was: the clock was put back meanwhile.
            wait = min(wait, definition.config.retries.max_delay_seconds)
        heapq.heappush(self._retry_heap, (self._clock.monotonic() + wait, run.run_id))
        if len(self._retry_heap) > 2 * len(self.ledger.retries) + 64:
            # Superseded ones stay until they are due, which may be in three hundred years.
            self._retry_heap = [entry for entry in self._retry_heap if entry[1] in self.ledger.retries]
            heapq.heapify(self._retry_heap)

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self.draining:
            self._changed()  # once more: a stop waits for the last task to be over, not only for its run
        if not task.cancelled() and (error := task.exception()) is not None:
            self._crashed(error)

    async def _follow(self, run: Run, config: JobConfig) -> None:
        ending = self._ending.pop(run.run_id, None)
        if ending is not None:
            self._executor.forget(run)
            self._close(run, self._never_started(run, *ending))
            return
        self._close(run, await self._executor.execute(config, run))

    async def _recover(self, run: Run) -> None:
        definition = self._jobs.get(run.job_name) or self._unready.get(run.job_name)
        grace = definition.config.kill_grace_seconds if definition else RECOVERY_GRACE_SECONDS
        reason = "the scheduler ended while this run was going"
        result = await self._executor.recover(run, grace, Status.INTERRUPTED, reason)
        if run.run_id in self.ledger.cancelled:
            result = replace(result, status=Status.CANCELLED, reason=f"cancelled; {reason}")
        self._close(run, result)

    def _end(self, run: Run, status: Status, reason: str) -> None:
        if self._held.pop(run.run_id, None) is not None:
            self._close(run, self._never_started(run, status, reason))
        elif not self._executor.end(run.run_id, status, reason):
            self._ending.setdefault(run.run_id, (status, reason))

    def _close(self, run: Run, result: JobResult) -> None:
        definition = self._jobs.get(run.job_name) or self._unready.get(run.job_name)
        retry_at = None
        replaces = definition is not None and definition.config.concurrency_policy is ConcurrencyPolicy.REPLACE
        if replaces and self.ledger.pending.of(run.job_name):
            definition = None  # a newer run waits for this end; a retry would only end that one
        # A cancel that came between the end of the shell and this line is too late for the run, not for its retry.
        cancelled = run.run_id in self.ledger.cancelled
        if definition is not None and definition.config.enabled and not cancelled:
            retry_at = policy.retry_at(definition.config, run, result)
        self._ending.pop(run.run_id, None)
        self._recovering.discard(run.run_id)
        self._logger.log_job_complete(result, run, retry_at=retry_at)
        if retry_at is not None:
            self._wait_for_retry(self.ledger.retries.of(run.job_name)[-1])
        self._discardable.extend(self._outputs.settle(result))
        self._changed()

    def _never_started(self, run: Run, status: Status, reason: str) -> JobResult:
        now = self._clock.now()
        return JobResult(
            job_name=run.job_name,
            run_id=run.run_id,
            start_time=now,
            end_time=now,
            duration_seconds=0.0,
            exit_code=None,
            status=status,
            reason=f"{reason}, before it started",
        )


def named(runs: Iterable[Run], run_id: str) -> list[Run]:
    """Return the runs that a cancel with `run_id` means: that run, or the retry that waits in its name."""
    return [run for run in runs if run_id in (run.run_id, run.first_run_id)]
