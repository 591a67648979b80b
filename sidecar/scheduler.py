"""JobScheduler: one loop that reads the volume, asks the schedules, starts what is due, and sleeps until the next."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import traceback
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sidecar import health
from sidecar.agenda import Agenda
from sidecar.catalog import Catalog, Change, ChangeKind
from sidecar.changes import log_change
from sidecar.clock import WAIT_OUT, Clock, ClockWatch, iso
from sidecar.config import ConfigLoader
from sidecar.desk import Desk
from sidecar.errors import AlreadyRunning
from sidecar.executor import JobExecutor
from sidecar.exit_codes import EX_IOERR, EX_OK, EX_SOFTWARE, EX_TEMPFAIL
from sidecar.family import FAMILY
from sidecar.intake import Intake
from sidecar.journal import JOURNAL, replay
from sidecar.lock import Lock
from sidecar.logger import JobLogger
from sidecar.model import PAUSE
from sidecar.output import Outputs
from sidecar.policy import LONGEST_LEAD, MOST_AHEAD
from sidecar.requests import Inbox
from sidecar.runs import Runs
from sidecar.settings import Settings, from_environment
from sidecar.sweeper import Sweeper
from sidecar.targets import Target
from sidecar.watcher import root_state

LONGEST_SLEEP_SECONDS = 1.0
"""So that a changed wall clock is noticed within a second."""

LAST_STRETCH = timedelta(milliseconds=10)
"""So near the moment to act, a sleep ends late by no more than its rounding to milliseconds."""

FIRST_SLICE = 16
"""So many of the runs that are due together are on disk and start before the others are looked at, then twice as many,
and so on: the first one starts soon, and the lines of a thousand share few fsyncs. Ahead of time it is MOST_AHEAD."""

FLUSH_SECONDS = 0.02
"""How long the end of a run may wait for others to share its fsync."""

DRAIN_LOOK_SECONDS = 0.1


class JobScheduler:
    """The scheduler of one jobs directory and one logs directory.

    `start` runs until `shutdown` has drained it. `step` is one pass and awaits nothing; the caller of the
    constructor holds the lock of the logs directory, if others might run.
    """

    def __init__(
        self,
        jobs_directory: str | Path,
        log_directory: str | Path,
        *,
        settings: Settings | None = None,
        clock: Clock | None = None,
        target: Target | None = None,
        lock: Lock | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = settings or from_environment(jobs=str(jobs_directory), logs=str(log_directory))
        self.clock = clock or Clock()
        self.exit_code = EX_OK
        self.exit_reason = ""
        self._crash: BaseException | None = None
        self._lock = lock
        logs = Path(log_directory)
        self.logger = JobLogger(
            logs,
            max_bytes=self.settings.log_max_bytes,
            backups=self.settings.log_backups,
            clock=self.clock,
            ledger=replay(logs / JOURNAL),
        )
        self.logger.open_journal()
        self.ledger = self.logger.ledger
        self.catalog = Catalog(ConfigLoader(jobs_directory, default_timezone=self.settings.timezone))
        self._outputs = Outputs(logs, self.settings.inline_output_bytes)
        self.executor = JobExecutor(target, self._outputs, self.clock, environment)
        self.runs = Runs(
            logger=self.logger,
            executor=self.executor,
            outputs=self._outputs,
            jobs=self.catalog.jobs,
            settings=self.settings,
            clock=self.clock,
            changed=self._run_ended,
            crashed=self._crashed,
        )
        self.agenda = Agenda(logger=self.logger, runs=self.runs, settings=self.settings)
        self._inbox = Inbox(self.settings.triggers_dir, is_job_name=self.catalog.jobs.__contains__)
        self._desk = Desk(
            logger=self.logger,
            runs=self.runs,
            jobs=self.catalog.jobs,
            max_age_seconds=self.settings.trigger_max_age_seconds,
            look_again=self._look_again,
        )
        self._intake = Intake(
            settings=self.settings,
            catalog=self.catalog,
            inbox=self._inbox,
            clock=self.clock,
            logger=self.logger,
        )
        self._first_seen: dict[str, datetime] = {}
        self.restored = False
        self._looked_again = False
        self._was_degraded = False
        self._heartbeat_at = 0.0
        self._sweeper = Sweeper(
            outputs=self._outputs,
            keep=self.executor.running,
            settings=self.settings,
            clock=self.clock,
            crashed=self._crashed,
        )
        self._end_all_at: float | None = None
        self._waker: asyncio.Future[None] | None = None
        self._awake = False
        self._flush: asyncio.TimerHandle | None = None
        self._clock_watch = ClockWatch(self.clock)
        self._logs_root = os.stat(logs)

    # The four verbs

    async def start(self) -> None:
        """Load the definitions, take up what the last scheduler left, and work until drained."""
        self._beat(works=False)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._callback_failed)
        try:
            self._intake.start(loop, self.wake)
            await self.loop()
        except Exception as error:
            await self._drain_after(error)
        finally:
            self._intake.stop()
            await self._sweeper.finish()
            self._beat(works=False)
            self.logger.log_shutdown(self.exit_reason)
            self.logger.close()

    async def loop(self) -> None:
        """Step and sleep until a shutdown is complete."""
        while not (self.runs.draining and self.runs.idle):
            if self._crash is not None:
                raise self._crash
            for _ in self._pass():
                await asyncio.sleep(0)  # the runs that were launched start their processes
            await self._sleep()
        self.runs.launch()
        if self._crash is not None:  # of the very last run
            raise self._crash

    def step(self) -> None:
        """One pass in one go: files, clock, schedules, waiting runs, then the disk and the processes."""
        for _ in self._pass():
            pass

    def _pass(self) -> Iterator[None]:
        """Do one pass; yield when runs were launched, so that they need not wait for what else there is to do."""
        now = due = self.clock.now()
        self._check_lock()
        self._check_clock(now)
        if self.restored:
            self.runs.take_places(now)
        self._read_volume(now)
        if self.restored:
            due = self.agenda.due_by(now)
            ahead = due > self.clock.now()
            most = MOST_AHEAD if ahead else FIRST_SLICE
            while not self.runs.draining and self.agenda.step(due, most, ahead=ahead):
                self.runs.launch(more_are_due=True, prepare_until=due)
                self._await(due)
                yield
                self.agenda.plan()
                most, ahead = 2 * most, False
            self.runs.step(now)
        launched = self.runs.launch(prepare_until=due)
        self._await(due)
        if launched:
            yield
        self.agenda.plan()
        self._notice_degraded()
        self._look_after_the_rest(now)

    def shutdown(self, reason: str = "asked to stop") -> None:
        """Stop starting runs and wait for those that are going, for `shutdown_grace_seconds`; again: end them now."""
        now = self.clock.monotonic()
        if self.runs.draining:
            self._end_all_at = now
        else:
            self.runs.drain()
            self.exit_reason = reason
            self._end_all_at = now + self.settings.shutdown_grace_seconds
            self.logger.event("scheduler_stopping", reason=reason)
        self.wake()

    def rescan(self) -> None:
        """Look at the whole jobs directory now (SIGHUP)."""
        self._intake.rescan_soon()

    def wake(self) -> None:
        """End the present sleep. To be called in the loop's thread."""
        if self._waker is None:
            self._awake = True
        elif not self._waker.done():
            self._waker.set_result(None)

    def _notice_degraded(self) -> None:
        """Have the health check told at once, and the unanswered requests looked at as soon as they can be."""
        if self.logger.degraded != self._was_degraded:
            self._was_degraded = self.logger.degraded
            self._heartbeat_at = 0.0
            self._intake.rescan_soon()

    # The volume

    def _read_volume(self, now: datetime) -> None:
        news = self._intake.look()
        self._looked_again = False
        if self._intake.dead:
            self._leave(EX_IOERR, "the jobs directory was replaced under its mount")
        self._apply(news.changes, now, at_start=not self.restored)
        if news.listed and not self.restored:
            self._restore(now)
        self._obey_pause(now)
        # Those without an answer come again with every look; what does not is gone.
        self._first_seen = {r.key: self._first_seen.get(r.key, now) for r in news.requests}
        if self.restored and not self.logger.degraded:
            for request in news.requests:
                self._desk.answer(request, now, self._first_seen[request.key])
                if self._desk.answered(request.key):
                    self._inbox.answered(request.key)

    def _look_again(self) -> None:
        """Rescan the definitions for a request that they would refuse; once for all requests of a step."""
        if not self._looked_again:
            self._looked_again = True
            self._apply(self._intake.rescan_definitions(), self.clock.now())

    def _restore(self, now: datetime) -> None:
        self.restored = True
        self._heartbeat_at = 0.0  # it works from now on, as health is to tell
        newest = self.ledger.newest()
        if newest is not None and newest - now > WAIT_OUT:
            self._tell_jump((now - newest).total_seconds(), reanchored=True)
            self.agenda.reanchor(now)
            newest = now
        self._clock_watch = ClockWatch(self.clock, newest)
        self._sweeper.notice_ahead(now - (newest or now))
        # Any request's file may have gone while nobody looked, even a moment ago: its age begins now.
        self._forget_answers(self.ledger.answers, now)
        self.agenda.restore(self.catalog.jobs, self.catalog.unready(), now)
        self.runs.recover(self.agenda.unready)
        self.logger.log_startup(
            len(self.catalog.jobs),
            timezone=self.settings.timezone,
            config_errors=len(self.catalog.errors),
        )

    def _apply(self, changes: list[Change], now: datetime, *, at_start: bool = False) -> None:
        for change in changes:
            log_change(self.logger, change, at_start=at_start)
            if at_start:
                continue
            if change.kind is ChangeKind.REMOVED and change.job_name is not None:
                self.agenda.remove(change.job_name, now)
            elif change.kind in (ChangeKind.REGISTERED, ChangeKind.UPDATED) and change.definition is not None:
                self.agenda.define(change.definition, now)
        if changes and self.agenda.unready:
            self.agenda.give_up(self.catalog.unready(), now)

    def _obey_pause(self, now: datetime) -> None:
        if self._intake.paused == self.agenda.paused or not self.restored:
            return
        if self._intake.paused:
            self.agenda.paused = self.runs.paused = True
            self.logger.event("paused", level="warning", file=PAUSE)
        else:
            self.logger.event("resumed", file=PAUSE)
            self.agenda.resume(now)
            self.runs.resume()

    # The clock

    def _check_clock(self, now: datetime) -> None:
        jump = self._clock_watch.look()
        if jump is not None:
            self._heartbeat_at = 0.0
            self._tell_jump(jump.seconds, reanchored=jump.too_far)
            self._sweeper.notice_ahead(timedelta(seconds=jump.seconds))
            if jump.too_far:
                self.agenda.reanchor(now)
            else:
                self.agenda.plan_anew()

    def _tell_jump(self, seconds: float, *, reanchored: bool) -> None:
        self.logger.event("clock_jump", level="warning", seconds=round(seconds, 3), reanchored=reanchored)

    # Waiting

    def _run_ended(self) -> None:
        if len(self.ledger.pending) or self.runs.draining:
            self.wake()
        elif self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush_now)

    def _flush_now(self) -> None:
        self._flush = None
        self.wake()

    def _await(self, due: datetime) -> None:
        """Sleep until what was written down ahead may start. The whole loop does: its own sleeps end up to 1 ms late,
        as epoll_wait(2) counts in milliseconds and asyncio rounds up."""
        left = min(due - self.clock.now(), LONGEST_LEAD)
        if left > timedelta(0):
            time.sleep(left.total_seconds())

    async def _sleep(self) -> None:
        wait = self._seconds_to_wait()
        if wait <= 0 or self._awake:  # woken in the middle of the pass
            self._awake = False
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        self._waker = loop.create_future()
        timer = loop.call_later(wait, self.wake)
        try:
            await self._waker
        finally:
            timer.cancel()
            self._waker = None

    def _seconds_to_wait(self) -> float:
        monotonic = self.clock.monotonic()
        times = [self._intake.next_at(), self._heartbeat_at]
        times += [at for at in (self.runs.next_retry_at(), self._end_all_at) if at is not None]
        wait = min(LONGEST_SLEEP_SECONDS, min(times) - monotonic)
        due = self.agenda.next_at()
        if due is not None and not self.runs.draining:
            wait = min(wait, self._stage(due).total_seconds())
        return wait

    def _stage(self, due: datetime) -> timedelta:
        """Return how long to sleep at first towards the moment at which to act on what is due then.

        The kernel ends a wait late by up to a thousandth of its length: the last stretch is a short one.
        """
        wait = due - self.clock.now()
        far = wait - LONGEST_LEAD
        return far * 0.97 if far > LAST_STRETCH else wait - self.agenda.lead(due)

    def _look_after_the_rest(self, now: datetime) -> None:
        monotonic = self.clock.monotonic()
        if self._end_all_at is not None and monotonic >= self._end_all_at:
            self._end_all_at = None
            self.runs.end_all(f"the scheduler had to stop: {self.exit_reason}")
        if monotonic >= self._heartbeat_at:
            self._heartbeat_at = monotonic + health.HEARTBEAT_SECONDS
            self._heartbeat(now)
        if self.restored and not self.logger.abandoned:
            self._sweeper.step(now)

    def _beat(self, *, works: bool) -> None:
        if not self.logger.abandoned:
            health.beat(self.settings.logs_dir, works=works)

    def _heartbeat(self, now: datetime) -> None:
        with contextlib.suppress(OSError):  # no descriptor is free to look with; a later heartbeat reaps them
            FAMILY.reap_orphans()
        self.logger.commit(look=True)
        self._beat(works=self.restored and not self.logger.degraded)
        next_run = None if self.runs.draining else self.agenda.next_at()
        self.logger.event(
            "heartbeat",
            running=len(self.ledger.open),
            queued=len(self.ledger.pending),
            jobs=len(self.catalog.jobs),
            next_run_at=None if next_run is None else iso(next_run),
        )
        if self.restored and self._inbox.present is not None:
            self._forget_answers(self._inbox.present, now)

    def _forget_answers(self, still_there: Collection[str], now: datetime) -> None:
        # A file may go right after it was seen, so its answer is kept for as long as two looks lie apart, too.
        max_age = self.settings.trigger_max_age_seconds + 2 * health.HEARTBEAT_SECONDS
        self.ledger.forget_answers(still_there, now, timedelta(seconds=max_age))

    def _check_lock(self) -> None:
        """Make sure that the path of the lock still names ours; else take the new one, or leave to who has it.

        In every step: as soon as somebody has removed the file, another scheduler could lock its successor.
        """
        if self._lock is None or self._lock.is_ours():
            return
        try:
            self.settings.logs_dir.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except AlreadyRunning as error:
            # It has read the journal, and closes our runs there: more lines, or a checkpoint, would be read as its own.
            self.logger.abandon(str(error))
            self._leave(EX_TEMPFAIL, str(error))
        except OSError:
            if root_state(self.settings.logs_dir, self._logs_root) == "dead":
                self._leave(EX_IOERR, "the logs directory was replaced under its mount")
            # Anything else is the journal's own trouble, and it tells.

    def _leave(self, exit_code: int, reason: str) -> None:
        """Shut down for good, unless that goes on already."""
        if not self.runs.draining:
            self.exit_code = exit_code
            self.shutdown(reason)

    # The end

    def _crashed(self, error: BaseException) -> None:
        self._crash = self._crash or error
        self.wake()

    def _callback_failed(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._crashed(context.get("exception") or RuntimeError(context["message"]))

    async def _drain_after(self, error: Exception) -> None:
        """Say what happened, then let the runs end as on SIGTERM. Nothing but waiting is done any more."""
        self.exit_code = EX_SOFTWARE
        self._tell_crash(error)
        if not self.runs.draining:
            self.shutdown(f"an unhandled error: {error!r}")
        while not self.runs.idle:
            self.runs.launch()
            try:
                self._look_after_the_rest(self.clock.now())
            except Exception as another:  # or the same once more: its cause may well last, and the runs are to end
                self._tell_crash(another)
            await asyncio.sleep(DRAIN_LOOK_SECONDS)

    def _tell_crash(self, error: Exception) -> None:
        text = "".join(traceback.format_exception(error))
        self.logger.event("scheduler_crashed", level="critical", reason=repr(error), traceback=text)
