"""Properties 9 to 14: disabled jobs, complete and readable logs, rotation, life cycle, errors."""

import asyncio
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import journal
from sidecar.clock import Clock
from sidecar.executor import JobExecutor
from sidecar.exit_codes import EX_SOFTWARE
from sidecar.local import LocalTarget
from sidecar.logger import JobLogger
from sidecar.model import JobConfig, Run, Trigger
from sidecar.output import Outputs
from sidecar.scheduler import JobScheduler
from sidecar.settings import Settings
from tests.harness import NOON, check_events, play

REQUIRED = (
    "job_name",
    "start_time",
    "end_time",
    "duration_seconds",
    "exit_code",
    "status",
    "stdout",
    "stderr",
)
SCHEDULES = st.sampled_from(["* * * * *", "*/7 * * * *", "0 * * * *", "30 12-14 * * *", "15 12 1 6 1"])
NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@pytest.fixture(scope="module")
def directory():
    """Return a function that makes a fresh directory for each example."""
    made = []

    def make():
        made.append(tempfile.TemporaryDirectory())
        return Path(made[-1].name)

    yield make
    for temporary in made:
        temporary.cleanup()


def lines_of(logs, name=journal.JOURNAL):
    files = reversed(journal.files(logs / name))
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def run_for_real(logs, command, name="job"):
    """Run a command by a real shell and write its two lines; return the result."""
    clock = Clock()
    logger = JobLogger(logs)
    executor = JobExecutor(LocalTarget(), Outputs(logs, 32 * 1024), clock, {"PATH": "/usr/bin:/bin"})
    config = JobConfig(name, "* * * * *", command, "/", True)
    run = Run(run_id="r1", job_name=name, trigger=Trigger.MANUAL, first_run_id="r1", since=clock.now())

    async def play_it():
        logger.log_job_start(name, run)
        logger.commit()
        return await executor.execute(config, run)

    result = asyncio.run(play_it())
    logger.log_job_complete(result, run)
    logger.commit()
    logger.close()
    return result


# Feature: production-jobs-scheduler, Property 9: Disabled Jobs Exclusion
@given(jobs=st.dictionaries(NAMES, st.tuples(SCHEDULES, st.booleans()), min_size=1, max_size=4))
def test_a_disabled_job_is_never_scheduled_or_executed(directory, jobs):
    async def story(world):
        for name, (schedule, enabled) in jobs.items():
            world.job(name, schedule=schedule, enabled=enabled)
        await world.boot()
        for _ in range(4):
            world.clock.advance(minutes=40)
            await world.step()
            for run_id in world.running:
                await world.finish(run_id)

    world = play(directory(), story)

    enabled = {name for name, (schedule, on) in jobs.items() if on and schedule != "15 12 1 6 1"}
    touched = {line["job_name"] for line in world.lines()}
    assert touched <= {name for name, (_, on) in jobs.items() if on}
    assert enabled <= touched


def shell_quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


# Feature: production-jobs-scheduler, Property 10: Job Execution Logging Completeness
@given(out=TEXT, err=TEXT, code=st.integers(0, 255))
def test_the_closing_line_of_an_executed_job_holds_every_required_field(directory, out, err, code):
    logs = directory()
    run_for_real(logs, f"printf %s {shell_quoted(out)}; printf %s {shell_quoted(err)} >&2; exit {code}")

    (line,) = [line for line in lines_of(logs) if line["event"] == "job_complete"]
    assert all(field in line for field in REQUIRED)
    assert (line["stdout"], line["stderr"], line["exit_code"]) == (out, err, code)
    assert line["status"] == ("success" if code == 0 else "failure")
    assert line["start_time"] <= line["end_time"]
    assert line["duration_seconds"] >= 0


# Feature: production-jobs-scheduler, Property 11: Log File Creation
@given(name=NAMES, out=TEXT)
def test_an_execution_leaves_readable_log_files_with_valid_lines(directory, name, out):
    logs = directory()
    run_for_real(logs, f"printf %s {shell_quoted(out)}", name)

    assert [line["event"] for line in lines_of(logs)] == ["checkpoint", "job_start", "job_complete"]
    check_events(logs)


# Feature: production-jobs-scheduler, Property 12: Log Rotation Behavior
@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=60),
    limit=st.integers(4000, 9000),
    backups=st.integers(1, 4),
)
def test_logs_that_exceed_their_limit_are_rotated_and_never_grow_without_bound(directory, sizes, limit, backups):
    logs = directory()
    logger = JobLogger(logs, max_bytes=limit, backups=backups)
    for number, size in enumerate(sizes):
        logger.record("job_skipped", job_name="j", run_id=f"{number}", scheduled_time=None, reason="x" * size)
        logger.event("heartbeat", filler="y" * size)
        logger.commit()
    logger.close()

    for name in (journal.JOURNAL, journal.MAIN_LOG):
        files = journal.files(logs / name)
        assert len(files) <= backups + 1
        assert all(file.stat().st_size <= limit for file in files)
    journals = journal.files(logs / journal.JOURNAL)
    assert all(next(journal.entries(file))["event"] == "checkpoint" for file in journals)
    kept = [line["run_id"] for line in lines_of(logs) if line["event"] == "job_skipped"]
    assert kept == [f"{number}" for number in range(len(sizes) - len(kept), len(sizes))]
    if len(journals) <= backups:
        assert len(kept) == len(sizes)


def live(root, prepare=lambda scheduler: None, jobs=0):
    """Start a real scheduler, let `prepare` meddle with it, stop it; return it and its main log."""
    (root / "jobs" / "triggers").mkdir(parents=True)
    for number in range(jobs):
        document = {
            "name": f"job{number}",
            "schedule": "0 0 1 1 *",
            "command": "true",
            "working_directory": "/",
            "enabled": True,
        }
        (root / "jobs" / f"{number}.json").write_text(json.dumps(document))
    settings = Settings(jobs_dir=root / "jobs", logs_dir=root / "logs")
    scheduler = JobScheduler(settings.jobs_dir, settings.logs_dir, settings=settings, environment={})

    async def play_it():
        prepare(scheduler)
        life = asyncio.get_running_loop().create_task(scheduler.start())
        while not (life.done() or scheduler.restored):
            await asyncio.sleep(0.001)
        scheduler.shutdown("the test is over")
        await asyncio.wait_for(life, timeout=20)

    asyncio.run(play_it())
    check_events(root / "logs")
    return scheduler, lines_of(root / "logs", journal.MAIN_LOG)


# Feature: production-jobs-scheduler, Property 13: Lifecycle Event Logging
@given(jobs=st.integers(0, 5))
def test_every_start_and_stop_has_its_line_with_a_time(directory, jobs):
    before = Clock().now().isoformat()
    scheduler, lines = live(directory(), jobs=jobs)

    events = [line["event"] for line in lines]
    assert [name for name in events if name.startswith("scheduler_")] == [
        "scheduler_started",
        "scheduler_stopping",
        "scheduler_stopped",
    ]
    assert lines[0]["jobs"] == jobs
    assert all(before[:19] <= line["timestamp"][:19] for line in lines)
    assert scheduler.exit_code == 0


ERRORS = st.sampled_from([RuntimeError, ValueError, OSError, KeyError, RecursionError, MemoryError, ZeroDivisionError])


# Feature: production-jobs-scheduler, Property 14: Error Logging Before Termination
@given(
    error=ERRORS,
    message=TEXT,
    place=st.sampled_from(["runs.step", "agenda.step", "runs.launch", "agenda.plan"]),
)
def test_an_error_that_ends_the_scheduler_is_logged_before_it_exits(directory, error, message, place):
    def prepare(scheduler):
        owner, method = place.split(".")
        real = getattr(getattr(scheduler, owner), method)
        calls = []

        def fail(*args, **options):
            calls.append(args)
            if len(calls) == 1:
                raise error(message)
            return real(*args, **options)

        setattr(getattr(scheduler, owner), method, fail)

    scheduler, lines = live(directory(), prepare)

    events = [line["event"] for line in lines]
    assert events.index("scheduler_crashed") < events.index("scheduler_stopped")
    crashed = lines[events.index("scheduler_crashed")]
    assert crashed["level"] == "critical"
    assert error.__name__ in crashed["traceback"]
    assert error.__name__ in crashed["reason"]
    assert scheduler.exit_code == EX_SOFTWARE


def test_an_error_of_the_last_run_of_a_drain_is_logged_too(directory):
    def prepare(scheduler):
        async def fail(*_):
            scheduler.shutdown("a drain begins")
            raise RuntimeError("the last run broke")

        scheduler.executor.execute = fail
        root = scheduler.settings.jobs_dir
        (root / "triggers" / "q.json").write_text('{"action": "run", "job_name": "job0", "request_id": "q"}')

    scheduler, lines = live(directory(), prepare, jobs=1)

    assert [line["reason"] for line in lines if line["event"] == "scheduler_crashed"] == [
        "RuntimeError('the last run broke')"
    ]
    assert scheduler.exit_code == EX_SOFTWARE


def test_the_times_of_a_scheduled_story_are_those_of_the_clock(directory):
    async def story(world):
        world.job()
        await world.boot()
        world.clock.advance(hours=1)
        await world.step()

    assert play(directory(), story).lines("job_start")[0]["start_time"][:13] == f"{NOON:%Y-%m-%d}T13"
