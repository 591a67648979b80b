"""What JobLogger tells on stdout and stderr beside its two files, and what it says of its own settings."""

import json

import pytest

from sidecar.clock import Clock
from sidecar.logger import JobLogger
from sidecar.model import JobResult, Run, Status, Trigger


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def begin(logger, job_name):
    """Record that a run begins, as the scheduler does: its line is written with the next commit."""
    run = Run(run_id="r1", job_name=job_name, trigger=Trigger.MANUAL, first_run_id="r1", since=Clock().now())
    logger.log_job_start(job_name, run)


@pytest.mark.parametrize(("stdout", "stderr"), [("", ""), ("out\n", ""), ("", "err\n"), ("out\n", "err\n")])
def test_stdout_has_the_lines_of_the_journal_without_what_runs_printed(tmp_path, capfd, stdout, stderr):
    logger, now = JobLogger(tmp_path), Clock().now()
    result = JobResult(
        job_name="job",
        run_id="r1",
        start_time=now,
        end_time=now,
        duration_seconds=0.0,
        exit_code=0,
        status=Status.SUCCESS,
        stdout=stdout,
        stderr=stderr,
    )
    logger.log_job_complete(result)
    logger.close()
    (written,) = lines_of((tmp_path / "scheduler_jobs.log").read_text())[1:]

    (told,) = lines_of(capfd.readouterr().out)
    assert (written.pop("stdout"), written.pop("stderr")) == (stdout, stderr)
    assert told == written


def test_stderr_has_each_line_that_waits_once_and_why_also_where_the_main_log_can_be_written(tmp_path, capfd, disk):
    logger = JobLogger(tmp_path)
    begin(logger, "written")
    logger.commit()
    disk.full = True
    for job_name in ("first", "second"):
        begin(logger, job_name)
    logger.commit()
    begin(logger, "third")
    logger.commit()
    logger.close()

    told = [line.get("job_name", line["event"]) for line in lines_of(capfd.readouterr().err)]
    assert told == ["first", "second", "journal_degraded", "third"]
    assert "journal_degraded" in (tmp_path / "scheduler_main.log").read_text()


def test_stderr_has_what_cannot_be_written_as_the_log_is_closed(tmp_path, capfd, disk):
    logger = JobLogger(tmp_path)
    logger.open_journal()
    begin(logger, "job")
    disk.full = True
    logger.close()

    assert [line["event"] for line in lines_of(capfd.readouterr().err)] == ["job_start", "journal_degraded"]


def test_stderr_has_the_lines_that_the_main_log_does_not_take(tmp_path, capfd):
    (tmp_path / "scheduler_main.log").mkdir()
    logger = JobLogger(tmp_path)
    logger.event("heartbeat")
    told = capfd.readouterr()

    assert [line["event"] for line in lines_of(told.err)] == ["heartbeat"]
    assert told.out == told.err


def test_a_journal_that_cannot_be_written_is_told_once_with_the_reason_and_once_when_it_can_be_again(
    tmp_path, capfd, disk
):
    logger = JobLogger(tmp_path)
    logger.open_journal()
    disk.full = True
    begin(logger, "job")
    assert [logger.commit(), logger.commit()] == [False, False]
    disk.full = False
    assert logger.commit()
    logger.close()
    told = [line for line in lines_of(capfd.readouterr().out) if line["component"] == "journal"]

    assert [(line["event"], line["waiting_lines"], line["reason"]) for line in told] == [
        ("journal_degraded", 1, "No space left on device"),
        ("journal_recovered", 0, "writable again after: No space left on device"),
    ]


def test_how_many_lines_were_lost_is_told_when_the_journal_can_be_written_again(tmp_path, capfd, disk, monkeypatch):
    monkeypatch.setattr("sidecar.linefile.MAX_WAITING_BYTES", 2000)
    logger = JobLogger(tmp_path)
    logger.open_journal()
    disk.full = True
    for _ in range(20):
        logger.log_job_start("job")
        logger.commit()
    lost = 20 - logger.waiting
    disk.full = False
    logger.commit()
    logger.close()
    told = [line for line in lines_of(capfd.readouterr().out) if line["component"] == "journal"]

    assert lost > 0
    assert [(line["event"], line["lost_lines"]) for line in told] == [
        ("journal_degraded", 0),
        ("journal_recovered", lost),
    ]


def test_a_log_limit_that_is_raised_twice_is_told_twice_as_it_was_given(tmp_path):
    logger = JobLogger(tmp_path, max_bytes=5000)
    for number in range(100):
        logger.record("trigger_rejected", request_id=f"{number:0100}", action="run", job_name="job")
        logger.commit()
    logger.close()
    entries = lines_of((tmp_path / "scheduler_main.log").read_text())
    raised = [(entry["value"], entry["used"]) for entry in entries if entry["event"] == "setting_raised"]

    assert len(raised) > 1
    assert {given for given, _ in raised} == {5000}
    assert sorted(raised) == raised
