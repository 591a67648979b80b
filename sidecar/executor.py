"""JobExecutor: carry out a run, from its output files to its result, and decide its status."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from sidecar.clock import Clock
from sidecar.errors import StartError
from sidecar.local import LocalTarget
from sidecar.model import JobConfig, JobResult, Run, Status, Trigger
from sidecar.output import Outputs
from sidecar.policy import MOST_AHEAD, new_run_id
from sidecar.proc import RUN_ID_VARIABLE
from sidecar.settings import from_environment
from sidecar.streams import Stream, Streams
from sidecar.targets import Exit, Launch, Process, Target

OUTPUT_CHECK_SECONDS = 1.0
"""How often the sizes of the output files are looked at."""

NO_ROOM = "no room was left in the logs directory when it ended, so its output may be cut; it may have failed for that"

MOST_HOLDING = min(MOST_AHEAD, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 8)
"""With more runs going, the output files of further ones are closed here and found again when they are needed. Each
run holds two: at most a quarter of the descriptors that this process may have."""


@dataclass(slots=True, eq=False)
class Going:
    """A run in progress. `cause` is why it is being ended, if it is: the first one counts."""

    run: Run
    start_time: datetime
    began: float
    kill_grace_seconds: float
    max_output_bytes: int = 0
    streams: Streams | None = None
    process: Process | None = None
    cause: tuple[Status, str] | None = None
    ender: asyncio.Task[int] | None = None


class JobExecutor:
    """Runs jobs, each as a coroutine that returns how it ended, and ends them when asked to.

    By itself, commands run beside this process and see its environment, and output goes where the settings say.
    """

    def __init__(
        self,
        target: Target | None = None,
        outputs: Outputs | None = None,
        clock: Clock | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if outputs is None:
            settings = from_environment()
            outputs = Outputs(settings.logs_dir, settings.inline_output_bytes)
        self._target = target or LocalTarget()
        self._outputs = outputs
        self._clock = clock or Clock()
        self._environment = dict(os.environ if environment is None else environment)
        self._going: dict[str, Going] = {}
        self._prepared: dict[str, Streams] = {}
        self._checker: asyncio.TimerHandle | None = None
        self.running: Mapping[str, Going] = MappingProxyType(self._going)

    def prepare(self, run: Run) -> None:
        """Open the run's output files already, so that it starts the sooner; `execute` or `forget` has to follow.

        No more than are held open anyway: the descriptors that others need to start with must not run out for it.
        """
        if len(self._going) + len(self._prepared) >= MOST_HOLDING:
            return
        with contextlib.suppress(StartError):  # `execute` tries again, and tells
            self._prepared[run.run_id] = self._outputs.open(run.job_name, run.run_id)

    def forget(self, run: Run) -> None:
        """Close what was prepared for a run that is not to start after all."""
        streams = self._prepared.pop(run.run_id, None)
        if streams is not None:
            streams.close()

    async def execute(self, job_config: JobConfig, run: Run | None = None) -> JobResult:
        """Run the job's command and return how it ended; without `run`, as a manual run of this moment, of which no
        output file is left that the result does not name.

        Never raises because of the command: what cannot be started is a failure with code 126 or 127. If the
        task is cancelled, the processes are killed first.
        """
        now = self._clock.now()
        if run is None:
            result = await self.execute(job_config, manual_run(job_config, now))
            self._outputs.discard(self._outputs.settle(result))
            return result
        going = Going(
            run,
            now,
            self._clock.monotonic(),
            job_config.kill_grace_seconds,
            job_config.max_output_bytes,
        )
        with self._registered(going):
            try:
                streams = self._prepared.pop(run.run_id, None) or self._outputs.open(run.job_name, run.run_id)
                with streams:
                    return await self._carry_out(job_config, going, streams)
            except StartError as error:
                return self._not_started(going, error)

    def end(self, run_id: str, status: Status, reason: str) -> bool:
        """Ask for the end of a run, also of one that is just being started; the first cause stands.

        Returns False if no such run is going any more: one whose shell has ended has ended by itself, even if
        a timeout strikes in the same moment.
        """
        going = self._going.get(run_id)
        if going is None or (going.process is not None and going.process.ended and going.cause is None):
            return False
        if going.cause is None:
            going.cause = (status, reason)
            self._begin_end(going)
        return True

    async def recover(
        self,
        run: Run,
        grace_seconds: float,
        status: Status,
        reason: str,
    ) -> JobResult:
        """Close a run of an earlier scheduler: end what still lives of it, return what its output files hold.

        Its exit code is unknown; the duration is by the wall clock, as that is all that survives.
        """
        going = Going(run, run.since, self._clock.monotonic(), grace_seconds, cause=(status, reason))
        with self._registered(going):
            living = await self._target.end_run(run.run_id, grace_seconds)
            captured = self._outputs.recall(run.job_name, run.run_id, is_held=living > 0)
            now = self._clock.now()
            seconds = max(0.0, (now - going.start_time).total_seconds())
            return _result(going, now, seconds, Exit(None), living, captured, status, reason)

    @contextlib.contextmanager
    def _registered(self, going: Going) -> Iterator[None]:
        self._going[going.run.run_id] = going
        if self._checker is None:
            self._check_sizes_later()
        try:
            yield
        finally:
            del self._going[going.run.run_id]
            if not self._going and self._checker is not None:
                self._checker.cancel()
                self._checker = None

    async def _carry_out(self, config: JobConfig, going: Going, streams: Streams) -> JobResult:
        run = going.run
        going.streams = streams
        launch = Launch(
            run_id=run.run_id,
            command=config.command,
            working_directory=config.working_directory,
            environment={**self._environment, **config.environment, **job_environment(run)},
            stdout=streams.stdout,
            stderr=streams.stderr,
        )
        process = going.process = await self._target.start(launch)
        if len(self._going) > MOST_HOLDING:
            streams.let_go()
        self._begin_end(going)
        timer = asyncio.get_running_loop().call_later(
            config.timeout_seconds,
            self.end,
            run.run_id,
            Status.TIMEOUT,
            f"ran longer than {config.timeout_seconds:.12g} s",
        )
        try:
            how = await process.wait()
            if going.ender is not None:
                await going.ender
        except asyncio.CancelledError:
            await _kill(going, process)
            raise
        finally:
            timer.cancel()
        seconds, end_time = self._clock.monotonic() - going.began, self._clock.now()
        living = process.leftovers()
        captured = streams.capture(is_held=living > 0)
        status, reason = going.cause or (_own_status(config, how), None)
        if status is Status.FAILURE and not self._outputs.has_room():
            reason = NO_ROOM
        return _result(going, end_time, seconds, how, living, captured, status, reason)

    def _begin_end(self, going: Going) -> None:
        """End the run's tree if there is a cause and a process; called when either appears."""
        if going.cause is not None and going.process is not None and going.ender is None:
            ending = going.process.end(going.kill_grace_seconds)
            going.ender = asyncio.get_running_loop().create_task(ending)

    def _not_started(self, going: Going, error: StartError) -> JobResult:
        seconds, end_time = self._clock.monotonic() - going.began, self._clock.now()
        status, reason = going.cause or (Status.FAILURE, str(error))
        text = f"{error}\n"
        captured = (Stream(), Stream(text, len(text.encode("utf-8", "backslashreplace"))))
        return _result(going, end_time, seconds, Exit(error.exit_code), 0, captured, status, reason)

    def _check_sizes_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._checker = loop.call_later(OUTPUT_CHECK_SECONDS, self._check_sizes)

    def _check_sizes(self) -> None:
        for run_id, going in self._going.items():
            if going.process is None or going.streams is None:
                continue
            limit = going.max_output_bytes
            if going.streams.size(going.process.open_files) > limit:
                self.end(run_id, Status.OUTPUT_LIMIT, f"printed more than {limit} bytes")
        self._check_sizes_later()


def manual_run(job_config: JobConfig, now: datetime) -> Run:
    """Return a run of the job that somebody asked for at `now`."""
    run_id = new_run_id(now)
    return Run(run_id=run_id, job_name=job_config.name, trigger=Trigger.MANUAL, first_run_id=run_id, since=now)


def job_environment(run: Run) -> dict[str, str]:
    """Return the variables that tell a command which run it is."""
    scheduled = run.scheduled_time
    return {
        "JOB_NAME": run.job_name,
        RUN_ID_VARIABLE: run.run_id,
        "JOB_SCHEDULED_TIME": f"{scheduled:%Y-%m-%dT%H:%M:%SZ}" if scheduled else "",
        "JOB_TRIGGER": run.trigger,
        "JOB_ATTEMPT": str(run.attempt),
    }


async def _kill(going: Going, process: Process) -> None:
    """Leave no process behind a task that is being cancelled."""
    if going.ender is None:
        await process.end(0)
        return
    going.ender.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await going.ender


def _own_status(config: JobConfig, how: Exit) -> Status:
    return Status.SUCCESS if how.exit_code in config.success_exit_codes else Status.FAILURE


def _result(
    going: Going,
    end_time: datetime,
    seconds: float,
    how: Exit,
    living: int,
    captured: tuple[Stream, Stream],
    status: Status,
    reason: str | None,
) -> JobResult:
    stdout, stderr = captured
    return JobResult(
        job_name=going.run.job_name,
        run_id=going.run.run_id,
        start_time=going.start_time,
        end_time=end_time,
        duration_seconds=seconds,
        exit_code=how.exit_code,
        signal=how.signal,
        status=status,
        reason=reason,
        stdout=stdout.text,
        stderr=stderr.text,
        stdout_bytes=stdout.size,
        stderr_bytes=stderr.size,
        truncated=stdout.truncated or stderr.truncated,
        stdout_file=stdout.file,
        stderr_file=stderr.file,
        leftover_processes=living,
        cpu_seconds=how.cpu_seconds,
        max_rss_bytes=how.max_rss_bytes,
    )
