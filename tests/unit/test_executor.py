"""From a job to its result: real shells, real output files."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sidecar.clock import Clock
from sidecar.executor import JobExecutor, manual_run
from sidecar.family import FAMILY
from sidecar.local import LocalProcess, LocalTarget
from sidecar.model import JobConfig, JobResult, Run, Status, Trigger
from sidecar.output import Outputs
from sidecar.policy import MOST_AHEAD
from sidecar.targets import Launch, Process
from tests.harness import until
from tests.processes import members

ENVIRONMENT = {"PATH": os.environ["PATH"], "INHERITED": "yes", "CHANGED": "old"}
LIMIT = 4096
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def job(command: str = ":", **fields: Any) -> JobConfig:
    """Return a job; its schedule plays no part here."""
    return JobConfig("job", "* * * * *", command, fields.pop("working_directory", "/"), True, **fields)


def run_of(run_id: str = "run-1", **fields: Any) -> Run:
    return Run(
        **{
            "run_id": run_id,
            "job_name": "job",
            "trigger": Trigger.SCHEDULE,
            "first_run_id": run_id,
            "since": NOON,
            "scheduled_time": NOON,
            **fields,
        }
    )


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return Outputs(tmp_path, LIMIT)


@pytest.fixture
def executor(outputs: Outputs) -> Iterator[JobExecutor]:
    yield JobExecutor(LocalTarget(), outputs, Clock(), ENVIRONMENT)
    FAMILY.reap_orphans()


def execute(executor: JobExecutor, command: str = ":", run: Run | None = None, **fields: Any) -> JobResult:
    return asyncio.run(executor.execute(job(command, **fields), run))


def descriptors() -> int:
    gc.collect()  # else those of earlier tests' targets may go between two looks
    return len(os.listdir("/proc/self/fd"))


def open_below(directory: Path) -> int:
    """Return how many descriptors of this process lead to files below the directory."""
    links = [entry.path for entry in os.scandir("/proc/self/fd")]
    return sum(os.readlink(link).startswith(f"{directory}/") for link in links if os.path.islink(link))


# The result


def test_result_tells_how_the_run_went(executor: JobExecutor) -> None:
    before = datetime.now(UTC)
    result = execute(executor, "echo out; echo err >&2; exit 3", run_of())

    assert (result.job_name, result.run_id, result.status, result.success) == ("job", "run-1", "failure", False)
    assert (result.exit_code, result.signal, result.reason) == (3, None, None)
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    assert (result.stdout_bytes, result.stderr_bytes, result.truncated) == (4, 4, False)
    assert (result.stdout_file, result.stderr_file, result.leftover_processes) == (None, None, 0)
    assert before <= result.start_time <= result.end_time <= datetime.now(UTC)
    assert 0 < result.duration_seconds < 30
    assert result.cpu_seconds is not None


@pytest.mark.parametrize(
    ("codes", "code", "status"),
    [
        ((0,), 0, Status.SUCCESS),
        ((0,), 1, Status.FAILURE),
        ((0, 3), 3, Status.SUCCESS),
        ((3,), 0, Status.FAILURE),
    ],
)
def test_success_is_what_the_job_calls_success(
    executor: JobExecutor, codes: tuple[int, ...], code: int, status: Status
) -> None:
    assert execute(executor, f"exit {code}", success_exit_codes=codes).status is status


@pytest.mark.parametrize(("code", "is_told"), [(1, True), (0, False)])
def test_a_failure_on_a_full_disk_says_so(
    executor: JobExecutor, monkeypatch: pytest.MonkeyPatch, code: int, is_told: bool
) -> None:
    full = os.statvfs_result((4096, 4096, 100, 0, 0, 10, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: full)

    result = execute(executor, f"exit {code}")

    assert ("no room was left" in (result.reason or "")) == is_told
    assert result.cpu_seconds is not None


def test_run_that_a_signal_ends_is_a_failure_with_the_signal(executor: JobExecutor) -> None:
    result = execute(executor, "kill -KILL $$")

    assert (result.status, result.exit_code, result.signal) == ("failure", 137, 9)


def test_command_sees_the_containers_the_jobs_and_the_runs_variables(executor: JobExecutor) -> None:
    run = run_of(trigger=Trigger.RETRY, attempt=2)
    environment = {"CHANGED": "new", "OWN": "ü"}
    command = 'echo "$INHERITED|$CHANGED|$OWN|$JOB_NAME|$JOB_RUN_ID|$JOB_SCHEDULED_TIME|$JOB_TRIGGER|$JOB_ATTEMPT"'
    result = execute(executor, command, run, environment=environment)

    assert result.stdout == "yes|new|ü|job|run-1|2026-06-01T12:00:00Z|retry|2\n"


def test_scheduled_time_is_empty_for_a_manual_run(executor: JobExecutor) -> None:
    result = execute(executor, 'echo "[${JOB_SCHEDULED_TIME-unset}] $JOB_TRIGGER $JOB_RUN_ID"')

    assert result.stdout == f"[] manual {result.run_id}\n"


def test_runs_without_a_given_run_have_ids_of_their_own(executor: JobExecutor) -> None:
    assert execute(executor).run_id != execute(executor).run_id


def test_manual_run_is_its_own_first_attempt() -> None:
    run = manual_run(job(), NOON)

    assert (run.trigger, run.first_run_id, run.attempt, run.since) == (Trigger.MANUAL, run.run_id, 1, NOON)


# Output


def test_output_can_be_followed_while_the_run_is_going(executor: JobExecutor, tmp_path: Path) -> None:
    async def follow() -> str:
        task = asyncio.create_task(executor.execute(job("echo early; echo late >&2; sleep 60"), run_of()))
        paths = [tmp_path / "output/job" / f"run-1.{stream}" for stream in ("stdout", "stderr")]
        await until(lambda: all(path.exists() and path.stat().st_size for path in paths))
        seen = "".join(path.read_text() for path in paths)
        executor.end("run-1", Status.CANCELLED, "enough")
        await task
        return seen

    assert asyncio.run(follow()) == "early\nlate\n"


def test_long_output_is_whole_in_its_file(executor: JobExecutor, tmp_path: Path) -> None:
    result = execute(executor, "yes | head -c 10000000 | tr -d '\\n'; head -c 5000 /dev/zero >&2", run_of())

    assert (result.truncated, result.stdout_file) == (True, "output/job/run-1.stdout")
    assert (result.stdout_bytes, result.stderr_bytes) == (5_000_000, 5000)
    assert (tmp_path / "output/job/run-1.stdout").read_bytes() == b"y" * 5_000_000
    assert len(result.stdout) <= LIMIT


def test_job_may_close_its_output(executor: JobExecutor) -> None:
    result = execute(executor, "echo before; exec >&- 2>&-; echo after; exit 4")

    assert (result.exit_code, result.stdout) == (4, "before\n")


def test_files_to_discard_are_those_that_the_journal_replaces(
    executor: JobExecutor, outputs: Outputs, tmp_path: Path
) -> None:
    result = execute(executor, "echo short; head -c 5000 /dev/zero >&2", run_of())
    assert len(list((tmp_path / "output/job").iterdir())) == 2
    outputs.discard(outputs.settle(result))

    assert [path.name for path in (tmp_path / "output/job").iterdir()] == ["run-1.stderr"]


# Not started


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"working_directory": "/no/such"}, 127, "working_directory '/no/such' does not exist"),
        ({"working_directory": "/etc/passwd"}, 126, "cannot be entered"),
        ({"command": "x" * (1 << 17)}, 126, "the command is 131072 bytes long"),
        ({"environment": {"BIG": "x" * (1 << 18)}}, 126, "environment"),
    ],
)
def test_what_cannot_be_started_is_a_failure_that_says_why(
    executor: JobExecutor, outputs: Outputs, tmp_path: Path, fields: dict[str, Any], code: int, words: str
) -> None:
    result = execute(executor, run=run_of(), **fields)
    outputs.discard(outputs.settle(result))

    assert (result.status, result.exit_code, result.signal) == ("failure", code, None)
    assert words in result.stderr
    assert result.stderr == f"{result.reason}\n"
    assert result.stderr_bytes == len(result.stderr)
    assert result.cpu_seconds is None  # by which the admin page tells it from a run that started
    assert (result.stdout_file, result.stderr_file) == (None, None)
    assert list((tmp_path / "output/job").iterdir()) == []
    assert not executor.running


def test_run_that_was_prepared_prints_into_the_files_that_are_open(executor: JobExecutor, tmp_path: Path) -> None:
    executor.prepare(run_of())
    assert open_below(tmp_path) == 2
    result = asyncio.run(executor.execute(job("echo printed"), run_of()))

    assert (result.success, result.stdout) == (True, "printed\n")
    assert open_below(tmp_path) == 0


def test_prepared_run_that_does_not_start_after_all_holds_no_file(executor: JobExecutor, tmp_path: Path) -> None:
    executor.prepare(run_of())
    executor.forget(run_of())
    executor.forget(run_of())

    assert open_below(tmp_path) == 0


def test_no_more_is_prepared_than_many_runs_hold_open(
    executor: JobExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.executor.MOST_HOLDING", 2)
    runs = [run_of(f"run-{number}") for number in range(4)]
    for run in runs:
        executor.prepare(run)
    held = open_below(tmp_path)
    results = [asyncio.run(executor.execute(job("echo printed"), run)) for run in runs]

    assert held == 2 * 2
    assert [result.stdout for result in results] == ["printed\n"] * 4
    assert open_below(tmp_path) == 0


@pytest.mark.parametrize(("limit", "most"), [(80, 10), (256, 32), (4096, MOST_AHEAD)])
def test_output_files_take_a_quarter_of_the_descriptors_at_most(limit: int, most: int) -> None:
    say = f"ulimit -S -n {limit}; {sys.executable} -c 'import sidecar.executor as e; print(e.MOST_HOLDING)'"

    assert subprocess.run(["sh", "-c", say], capture_output=True, text=True).stdout == f"{most}\n"


def test_run_that_cannot_be_prepared_is_tried_again_at_its_start(executor: JobExecutor, tmp_path: Path) -> None:
    (tmp_path / "output").write_text("in the way")
    executor.prepare(run_of())
    (tmp_path / "output").unlink()

    assert asyncio.run(executor.execute(job("echo printed"), run_of())).stdout == "printed\n"


def test_run_whose_output_has_nowhere_to_go_is_a_failure_and_does_not_run(
    executor: JobExecutor, tmp_path: Path
) -> None:
    (tmp_path / "output").touch()
    result = execute(executor, f"touch {tmp_path}/ran")

    assert (result.status, result.exit_code) == ("failure", 126)
    assert result.stderr == "the output file cannot be created: Not a directory\n"
    assert not (tmp_path / "ran").exists()


def test_directory_may_vanish_while_the_run_is_going(executor: JobExecutor, tmp_path: Path) -> None:
    directory = tmp_path / "work"
    directory.mkdir()
    result = execute(executor, f"rmdir {directory}; sleep 0; echo ok", working_directory=str(directory))

    assert (result.exit_code, result.stdout) == (0, "ok\n")


# Left behind


def test_run_ends_with_its_shell_and_leaves_its_children_alone(executor: JobExecutor, tmp_path: Path) -> None:
    async def leave() -> tuple[JobResult, float, int]:
        command = "setsid sleep 60 & sleep 60 & date +%s.%N"
        result = await executor.execute(job(command), run_of())
        late = time.time() - float(result.stdout)
        found = len(members("run-1"))
        await LocalTarget().end_run("run-1", 0)
        return result, late, found

    result, late, found = asyncio.run(leave())

    assert result.status is Status.SUCCESS
    assert (result.leftover_processes, found) == (2, 2)
    assert late < 1
    assert (result.stdout_file, result.truncated) == ("output/job/run-1.stdout", False)
    assert result.stderr_file == "output/job/run-1.stderr"


def test_child_that_holds_the_output_goes_on_writing_to_the_file(executor: JobExecutor, tmp_path: Path) -> None:
    async def leave() -> None:
        command = f"(until [ -e {tmp_path}/go ]; do sleep 0.01; done; echo later) & echo now"
        await executor.execute(job(command), run_of())
        (tmp_path / "go").touch()
        await until(lambda: (tmp_path / "output/job/run-1.stdout").read_text() == "now\nlater\n")

    asyncio.run(leave())


# Ended


def test_timeout_ends_the_whole_tree(executor: JobExecutor) -> None:
    result = execute(executor, "echo begun; setsid sleep 60 & sleep 60 & wait", run_of(), timeout_seconds=0.3)

    assert (result.status, result.reason) == ("timeout", "ran longer than 0.3 s")
    assert (result.exit_code, result.signal, result.stdout) == (143, 15, "begun\n")
    assert result.duration_seconds >= 0.3
    assert (result.leftover_processes, members("run-1")) == (0, {})


def test_timeout_kills_what_ignores_sigterm_after_the_grace(executor: JobExecutor) -> None:
    command = "trap '' TERM; while :; do sleep 0.1; done"
    result = execute(executor, command, run_of(), timeout_seconds=0.1, kill_grace_seconds=0.3)

    assert (result.status, result.exit_code, result.signal) == ("timeout", 137, 9)
    assert 0.4 <= result.duration_seconds < 5
    assert members("run-1") == {}


def test_timeout_stays_a_timeout_although_the_command_then_ends_with_success(executor: JobExecutor) -> None:
    result = execute(executor, "trap 'exit 0' TERM; sleep 60 & wait", timeout_seconds=0.3)

    assert (result.status, result.exit_code) == ("timeout", 0)


def test_timeout_counts_until_the_shell_ends_not_until_its_tree_is_gone(executor: JobExecutor) -> None:
    result = execute(executor, "trap 'exit 0' TERM; (trap '' TERM; sleep 0.5) & wait", timeout_seconds=0.2)

    assert result.status is Status.TIMEOUT
    assert result.duration_seconds >= 0.5


def test_stopped_run_is_ended_by_its_timeout(executor: JobExecutor) -> None:
    result = execute(executor, "kill -STOP $$", timeout_seconds=0.2)

    assert (result.status, result.signal) == ("timeout", signal.SIGTERM)


def test_run_that_prints_too_much_is_ended(executor: JobExecutor) -> None:
    command = "head -c 600 /dev/zero; head -c 600 /dev/zero >&2; sleep 60"
    result = execute(executor, command, max_output_bytes=1000)

    assert (result.status, result.reason) == ("output_limit", "printed more than 1000 bytes")
    assert result.duration_seconds < 5


def test_run_that_prints_just_what_it_may_goes_on(executor: JobExecutor) -> None:
    result = execute(executor, "head -c 1000 /dev/zero; sleep 1.5", max_output_bytes=1000)

    assert result.status is Status.SUCCESS


@pytest.fixture
def letting_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the output files closed here as soon as the shell has them, as when many runs are going."""
    monkeypatch.setattr("sidecar.executor.MOST_HOLDING", 0)


@pytest.mark.usefixtures("letting_go")
def test_output_of_one_run_among_many_is_kept_and_needs_no_descriptor(executor: JobExecutor) -> None:
    async def run_and_count() -> tuple[JobResult, int]:
        before = descriptors()
        running = asyncio.create_task(executor.execute(job("echo out; echo err >&2; kill -STOP $$"), run_of()))
        await until(lambda: any(stat.state == "T" for stat in members("run-1").values()))
        during = descriptors() - before
        os.kill(next(iter(members("run-1"))), signal.SIGCONT)
        return await running, during

    result, during = asyncio.run(run_and_count())

    assert (result.status, result.stdout, result.stderr) == ("success", "out\n", "err\n")
    assert (result.stdout_file, result.stderr_file) == (None, None)
    assert during == 1  # of the process


@pytest.mark.usefixtures("letting_go")
def test_run_among_many_that_prints_too_much_is_ended_also_if_it_removed_its_files(
    executor: JobExecutor, tmp_path: Path
) -> None:
    print_much = "head -c 600 /dev/zero; exec 3>&1 >/dev/null; head -c 600 /dev/zero >&2; sleep 60"
    command = f"rm {tmp_path}/output/job/*; {print_much}"
    result = execute(executor, command, max_output_bytes=1000)

    assert (result.status, result.reason) == ("output_limit", "printed more than 1000 bytes")
    assert (result.stdout_bytes, result.stderr_bytes) == (600, 600)
    assert result.duration_seconds < 5


def test_run_that_is_cancelled_ends_with_the_reason(executor: JobExecutor) -> None:
    result = asyncio.run(ended(executor, "sleep 60", ("cancelled", "by ann")))

    assert (result.status, result.reason, result.signal) == ("cancelled", "by ann", 15)


def test_first_cause_of_an_end_counts(executor: JobExecutor) -> None:
    result = asyncio.run(ended(executor, "sleep 60", ("cancelled", "by ann"), ("interrupted", "shutdown")))

    assert (result.status, result.reason) == ("cancelled", "by ann")


async def ended(executor: JobExecutor, command: str, *causes: tuple[str, str]) -> JobResult:
    task = asyncio.create_task(executor.execute(job(command), run_of()))
    await until(lambda: members("run-1"))
    for status, reason in causes:
        assert executor.end("run-1", Status(status), reason)
    return await task


class SlowTarget(LocalTarget):
    """Starts only when it is let, as a container would."""

    def __init__(self) -> None:
        super().__init__()
        self.may_start = asyncio.Event()

    async def start(self, launch: Launch) -> LocalProcess:
        await self.may_start.wait()
        return await super().start(launch)


def test_end_that_is_asked_for_during_the_start_is_carried_out(outputs: Outputs) -> None:
    async def cancel_early() -> JobResult:
        target = SlowTarget()
        executor = JobExecutor(target, outputs, Clock(), ENVIRONMENT)
        task = asyncio.create_task(executor.execute(job("sleep 60"), run_of()))
        await until(lambda: "run-1" in executor.running)
        assert executor.end("run-1", Status.CANCELLED, "by ann")
        target.may_start.set()
        return await task

    result = asyncio.run(cancel_early())

    assert (result.status, result.reason, result.signal) == ("cancelled", "by ann", 15)


def test_cancel_during_a_start_that_then_fails_is_a_cancel(outputs: Outputs) -> None:
    async def cancel_early() -> JobResult:
        target = SlowTarget()
        executor = JobExecutor(target, outputs, Clock(), ENVIRONMENT)
        task = asyncio.create_task(executor.execute(job(working_directory="/no/such"), run_of()))
        await until(lambda: "run-1" in executor.running)
        executor.end("run-1", Status.CANCELLED, "by ann")
        target.may_start.set()
        return await task

    result = asyncio.run(cancel_early())

    assert (result.status, result.reason, result.exit_code) == ("cancelled", "by ann", 127)
    assert "/no/such" in result.stderr


def test_end_of_a_run_that_is_not_going_is_refused(executor: JobExecutor) -> None:
    execute(executor, run=run_of())

    assert not executor.end("run-1", Status.CANCELLED, "too late")


def test_run_that_ends_by_itself_in_the_moment_of_its_timeout_has_ended_by_itself(outputs: Outputs) -> None:
    class Late(LocalTarget):
        async def start(self, launch: Launch) -> LocalProcess:
            process = await super().start(launch)
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            return process

    executor = JobExecutor(Late(), outputs, Clock(), ENVIRONMENT)
    result = execute(executor, "exit 3", timeout_seconds=1e-9)

    assert (result.status, result.exit_code, result.reason) == ("failure", 3, None)


def test_processes_that_cannot_be_killed_are_counted(outputs: Outputs) -> None:
    class Stuck(LocalProcess):
        async def end(self, grace_seconds: float) -> int:
            await super().end(0)
            self._leftovers = 2
            return 2

    class StuckTarget(LocalTarget):
        async def start(self, launch: Launch) -> LocalProcess:
            process = await super().start(launch)
            process.__class__ = Stuck
            return process

    executor = JobExecutor(StuckTarget(), outputs, Clock(), ENVIRONMENT)
    result = execute(executor, "echo text; sleep 60", run_of(), timeout_seconds=0.2)

    assert (result.status, result.leftover_processes) == ("timeout", 2)
    assert (result.stdout, result.stdout_file) == ("text\n", "output/job/run-1.stdout")


# Cancelled tasks, leaks


@pytest.mark.parametrize("end_first", [False, True], ids=["going", "being ended"])
def test_cancelled_task_leaves_no_process_and_no_descriptor(executor: JobExecutor, end_first: bool) -> None:
    async def cancel() -> tuple[int, int]:
        await executor.execute(job())
        before = descriptors()
        command = "trap '' TERM; setsid sleep 60 & while :; do sleep 0.1; done"
        task = asyncio.create_task(executor.execute(job(command, kill_grace_seconds=60), run_of()))
        await until(lambda: len(members("run-1")) >= 3)
        if end_first:
            executor.end("run-1", Status.CANCELLED, "by ann")
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not members("run-1"))
        return before, descriptors()

    before, after = asyncio.run(cancel())

    assert after == before
    assert not executor.running


def test_loop_that_closes_leaves_no_process(executor: JobExecutor) -> None:
    tasks: list[asyncio.Task[JobResult]] = []  # the loop itself holds its tasks only weakly

    async def abandon() -> None:
        tasks.append(asyncio.create_task(executor.execute(job("sleep 60 & sleep 60"), run_of())))
        await until(lambda: members("run-1"))

    asyncio.run(abandon())

    assert members("run-1") == {}


def test_many_runs_leave_no_zombie_no_descriptor_no_file_and_use_no_thread(
    executor: JobExecutor, outputs: Outputs, tmp_path: Path
) -> None:
    def state() -> tuple[int, int, int]:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return descriptors(), len(children), len(os.listdir("/proc/self/task"))

    async def many() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        outputs.discard(outputs.settle(await executor.execute(job())))
        before = state()
        for _ in range(5):
            runs: list[Coroutine[Any, Any, JobResult]] = [executor.execute(job("echo x & wait")) for _ in range(20)]
            for result in await asyncio.gather(*runs):
                assert result.success
                outputs.discard(outputs.settle(result))
        return before, state()

    before, after = asyncio.run(many())

    assert after == before
    assert list((tmp_path / "output/job").iterdir()) == []


# Recovering


def test_recovery_ends_what_lives_and_keeps_what_was_printed(executor: JobExecutor, outputs: Outputs) -> None:
    async def crash_and_recover() -> JobResult:
        # An earlier scheduler's run: this one knows nothing of it but the id.
        with outputs.open("job", "run-1") as streams:
            process: Process = await LocalTarget().start(
                Launch(
                    run_id="run-1",
                    command="echo printed; setsid sleep 60 & sleep 60 & wait",
                    working_directory="/",
                    environment={**ENVIRONMENT, "JOB_RUN_ID": "run-1"},
                    stdout=streams.stdout,
                    stderr=streams.stderr,
                )
            )
        await until(lambda: len(members("run-1")) == 3)
        result = await executor.recover(run_of(), 30, Status.INTERRUPTED, "the scheduler died")
        await process.wait()
        return result

    result = asyncio.run(crash_and_recover())

    assert members("run-1") == {}
    assert (result.status, result.reason) == ("interrupted", "the scheduler died")
    assert (result.exit_code, result.signal, result.leftover_processes) == (None, None, 0)
    assert (result.stdout, result.stdout_bytes, result.stdout_file) == ("printed\n", 8, None)
    assert (result.job_name, result.run_id, result.start_time) == ("job", "run-1", NOON)


def test_recovery_of_a_run_that_never_got_a_process_is_empty(executor: JobExecutor) -> None:
    start = datetime.now(UTC) - timedelta(seconds=90)
    result = asyncio.run(executor.recover(run_of(since=start), 30, Status.INTERRUPTED, "died"))

    assert (result.stdout, result.stdout_file, result.exit_code) == ("", None, None)
    assert (result.start_time, round(result.duration_seconds)) == (start, 90)


def test_recovery_after_the_clock_was_set_back_has_no_negative_duration(executor: JobExecutor) -> None:
    future = datetime.now(UTC) + timedelta(days=1)
    result = asyncio.run(executor.recover(run_of(since=future), 30, Status.INTERRUPTED, "died"))

    assert result.duration_seconds == 0


def test_files_of_a_run_that_is_being_recovered_are_safe_from_the_sweep(
    executor: JobExecutor, outputs: Outputs
) -> None:
    class Asking(LocalTarget):
        async def end_run(self, run_id: str, grace_seconds: float) -> int:
            seen.extend(recovering.running)
            return 0

    seen: list[str] = []
    recovering = JobExecutor(Asking(), outputs, Clock(), ENVIRONMENT)
    asyncio.run(recovering.recover(run_of(), 30, Status.INTERRUPTED, "died"))

    assert seen == ["run-1"]
    assert not recovering.running


def test_hostile_run_id_in_a_journal_does_not_break_recovery(executor: JobExecutor, outputs: Outputs) -> None:
    run = replace(run_of(), run_id="../../etc/passwd")
    result = asyncio.run(executor.recover(run, 30, Status.INTERRUPTED, "died"))

    assert outputs.settle(result) == []
