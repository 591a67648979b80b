"""The names that the first design gave, used as it writes them: with its arguments, and nothing else set up."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sidecar.config import ConfigLoader
from sidecar.executor import JobExecutor
from sidecar.family import FAMILY
from sidecar.logger import JobLogger
from sidecar.model import JobConfig, JobResult
from sidecar.scheduler import JobScheduler
from tests.harness import check_events

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def result_of(exit_code: int | None) -> JobResult:
    return JobResult(
        job_name="job",
        start_time=NOON,
        end_time=NOON + timedelta(seconds=1),
        exit_code=exit_code,
        stdout="out\n",
        stderr="err\n",
        duration_seconds=1.0,
    )


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def write_job(directory: Path, **fields: Any) -> None:
    job = {"name": "job", "schedule": "0 2 * * *", "command": "true", "working_directory": "/", "enabled": True}
    directory.mkdir(exist_ok=True)
    (directory / "job.json").write_text(json.dumps({**job, **fields}))


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("config", ["JobConfig", "ConfigLoader"]),
        ("executor", ["JobResult", "JobExecutor"]),
        ("logger", ["JobLogger"]),
        ("scheduler", ["JobScheduler"]),
    ],
)
def test_each_module_has_the_names_that_it_had_in_the_first_design(module: str, names: list[str]) -> None:
    imported = importlib.import_module(f"sidecar.{module}")

    assert [name for name in names if not hasattr(imported, name)] == []


def test_job_config_takes_the_five_required_fields_in_their_order() -> None:
    config = JobConfig("job", "0 2 * * *", "true", "/", True)

    assert (config.name, config.schedule, config.command) == ("job", "0 2 * * *", "true")
    assert (config.working_directory, config.enabled) == ("/", True)
    assert config.validate_cron()
    assert not JobConfig("job", "0 24 * * *", "true", "/", True).validate_cron()


def test_config_loader_logs_the_files_that_it_skips(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_job(tmp_path)
    (tmp_path / "broken.json").write_text("{")

    assert ConfigLoader(str(tmp_path)).load_all_jobs() == [JobConfig("job", "0 2 * * *", "true", "/", True)]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "broken.json: line 1, column 2" in caplog.text


@pytest.mark.parametrize(("exit_code", "status"), [(0, "success"), (3, "failure"), (None, "failure")])
def test_job_result_is_a_success_if_the_exit_code_is_0(exit_code: int | None, status: str) -> None:
    result = result_of(exit_code)

    assert result.status == status
    assert result.success is (status == "success")


def test_job_executor_runs_a_job_as_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDULER_LOGS_DIR", str(tmp_path / "logs"))
    monkeypatch.setenv("GREETING", "hello")
    config = JobConfig("job", "0 2 * * *", "pwd; echo $GREETING; echo no >&2; exit 3", str(tmp_path), True)

    result = asyncio.run(JobExecutor().execute(config))

    assert (result.job_name, result.exit_code, result.success) == ("job", 3, False)
    assert (result.stdout, result.stderr) == (f"{tmp_path}\nhello\n", "no\n")
    assert result.end_time - result.start_time < timedelta(minutes=1)
    assert result.duration_seconds > 0
    FAMILY.reap_orphans()


def test_job_executor_by_itself_leaves_only_the_output_that_the_result_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHEDULER_LOGS_DIR", str(tmp_path))
    monkeypatch.setenv("SCHEDULER_INLINE_OUTPUT_BYTES", "10")
    executor = JobExecutor()

    long = asyncio.run(executor.execute(JobConfig("job", "0 2 * * *", "seq 10; echo a >&2", "/", True)))
    asyncio.run(executor.execute(JobConfig("job", "0 2 * * *", "echo short", "/", True)))

    assert long.stdout_file is not None
    assert [f"output/job/{name}" for name in os.listdir(tmp_path / "output" / "job")] == [long.stdout_file]
    assert (tmp_path / long.stdout_file).read_text() == "".join(f"{number}\n" for number in range(1, 11))
    FAMILY.reap_orphans()


def test_job_logger_has_each_line_in_its_file_as_soon_as_it_was_called(tmp_path: Path) -> None:
    logger = JobLogger(str(tmp_path))
    seen = {"scheduler_main.log": 0, "scheduler_jobs.log": 1}  # which begins with a checkpoint

    for file, call in (
        ("scheduler_main.log", lambda: logger.log_startup(3)),
        ("scheduler_main.log", lambda: logger.log_config_error("job.json", "no JSON")),
        ("scheduler_main.log", lambda: logger.log_schedule_error("job", "never")),
        ("scheduler_jobs.log", lambda: logger.log_job_start("job")),
        ("scheduler_jobs.log", lambda: logger.log_job_complete(result_of(3))),
        ("scheduler_main.log", lambda: logger.log_shutdown()),
    ):
        call()
        seen[file] += 1
        assert len(lines_of(tmp_path / file)) == seen[file]
    logger.close()
    check_events(tmp_path)

    started, *_ = lines_of(tmp_path / "scheduler_main.log")
    _, start, complete = lines_of(tmp_path / "scheduler_jobs.log")
    assert (started["event"], started["jobs"]) == ("scheduler_started", 3)
    assert start["run_id"] == complete["run_id"]
    assert (complete["job_name"], complete["exit_code"], complete["status"]) == ("job", 3, "failure")
    assert (complete["stdout"], complete["stderr"], complete["duration_seconds"]) == ("out\n", "err\n", 1.0)


@pytest.mark.parametrize("run_id", ["", "r1"])
def test_job_logger_ends_what_it_began_and_what_it_has_not_seen_begin(tmp_path: Path, run_id: str) -> None:
    logger = JobLogger(tmp_path)
    for _ in range(2):
        logger.log_job_start("job")
    for _ in range(3):
        logger.log_job_complete(replace(result_of(0), run_id=run_id))
    logger.close()
    lines = lines_of(tmp_path / "scheduler_jobs.log")
    began = [line["run_id"] for line in lines if line["event"] == "job_start"]
    ended = [line["run_id"] for line in lines if line["event"] == "job_complete"]

    assert ended == ["r1"] * 3 if run_id else ended[:2] == began
    assert len(set(ended)) == (1 if run_id else 3)


def test_job_scheduler_runs_until_it_is_shut_down(tmp_path: Path) -> None:
    write_job(tmp_path / "jobs", enabled=False)

    async def live() -> None:
        scheduler = JobScheduler(str(tmp_path / "jobs"), str(tmp_path / "logs"))
        running = asyncio.create_task(scheduler.start())
        while not scheduler.restored:
            await asyncio.sleep(0)
        scheduler.shutdown()
        await running

    asyncio.run(live())
    events = [line["event"] for line in lines_of(tmp_path / "logs" / "scheduler_main.log")]

    assert events == ["scheduler_started", "heartbeat", "scheduler_stopping", "scheduler_stopped"]
    check_events(tmp_path / "logs")
