"""JobManagementService over files and a journal that the test writes in the scheduler's place."""

from __future__ import annotations

import itertools
import json
import math
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from admin_ui import cron, job_management_service, overview
from admin_ui.errors import (
    JobNotFoundError,
    NotDurable,
    RequestRejected,
    RunNotFoundError,
    SchedulerSilent,
    StorageError,
    TriggerPending,
    ValidationError,
)
from admin_ui.history import JOURNAL, MAIN_LOG
from admin_ui.job_files import JobFile
from admin_ui.job_management_service import JobManagementService
from admin_ui.model import JobConfig, iso
from admin_ui.queries import Filter
from tests.admin_lines import NOON, SHA256, accepted, append, checkpoint, complete, failure, line, start
from tests.daemon import wait_for

CONFIG = JobConfig("job", "0 2 * * *", "true", "/", True)
DELAY = cron.delay("job", NOON, 1800, timedelta(hours=1)).total_seconds()
UUID = "0b5e0f6e-3f4c-4a55-9d0e-7e4b1c2d3f4a"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "logs").mkdir()
    return tmp_path


@pytest.fixture
def service(root: Path) -> Iterator[JobManagementService]:
    service = JobManagementService(
        root / "jobs", root / "logs", data_directory=root / "data", keep_days=100_000, clock=lambda: NOON
    )
    service.start()
    yield service
    service.stop()


def answering(root: Path, *answers: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer the next request, once it is there, with these journal lines."""

    def answer() -> None:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            for file in (root / "jobs").glob("triggers/*.json"):
                request = json.loads(file.read_text())
                append(root / "logs" / JOURNAL, *(make(request) for make in answers))
                return
            time.sleep(0.005)

    threading.Thread(target=answer, daemon=True).start()


def accepting(request: dict[str, Any]) -> dict[str, Any]:
    now = iso(datetime.now(UTC))  # no answer is older than its request's file
    return accepted(request["request_id"], "r1", action=request["action"], timestamp=now)


def rejecting(request: dict[str, Any]) -> dict[str, Any]:
    facts = {**accepted(request["request_id"], "r1"), "event": "trigger_rejected", "run_id": None}
    del facts["run_ids"]
    return {**facts, "action": request["action"], "reason": "disabled", "detail": "job.json has enabled: false"}


# Definitions


def test_definitions_are_created_listed_changed_and_deleted(service):
    service.create_job(CONFIG)
    service.update_job("job", JobConfig("job", "0 3 * * *", "false", "/tmp", False))
    service.enable_job("job")

    assert service.list_jobs() == [JobConfig("job", "0 3 * * *", "false", "/tmp", True)]
    service.delete_job("job")
    assert service.list_jobs() == []


def test_the_jobs_to_choose_from_are_those_with_a_file_and_those_with_a_history(service, root):
    service.create_job(CONFIG)
    (root / "jobs" / "broken.json").write_text("{")
    append(root / "logs" / JOURNAL, complete("r1", job_name="gone"), complete("r2"), complete("r3", job_name="gone"))
    service.history.poll()

    assert service.job_names() == ["broken", "gone", "job"]


@pytest.mark.parametrize("call", ["enable_job", "disable_job", "delete_job", "get_job", "trigger_job"])
@pytest.mark.parametrize("name", ["none", "../job", "", "a\0"])
def test_a_job_that_is_not_there_is_an_error_of_its_own(service, call, name):
    with pytest.raises(JobNotFoundError):
        getattr(service, call)(name)


def test_an_update_keeps_what_its_config_does_not_name(service, root):
    document = {**CONFIG.to_document(), "timezone": "Europe/Berlin", "$schema": "x", "retries": {"max_attempts": 5}}
    (root / "jobs" / "job.json").write_text(json.dumps(document))
    service.update_job("job", JobConfig("job", "0 5 * * *", "true", "/", True))

    assert json.loads((root / "jobs" / "job.json").read_text()) == {**document, "schedule": "0 5 * * *"}


def test_the_service_works_with_two_directories_and_without_being_started(root):
    service = JobManagementService(str(root / "jobs"), str(root / "logs"), keep_days=100_000)
    service.create_job(CONFIG)
    assert service.get_job_history("job") == []
    answering(root, accepting, lambda request: complete("r1"))

    assert service.trigger_job("job", timeout=5).run_id == "r1"
    assert [result.run_id for result in service.get_job_history("job")] == ["r1"]
    service.stop()


# Requests


def test_triggering_returns_the_result_of_the_run(service, root):
    service.create_job(CONFIG)
    answering(root, accepting, lambda request: start("r1"), lambda request: failure("r1", 5, stdout="out", exit_code=3))

    result = service.trigger_job("job", requested_by="anna", request_id=UUID, timeout=5)

    assert (result.run_id, result.exit_code, result.stdout, result.status) == ("r1", 3, "out", "failure")
    (file,) = (root / "jobs" / "triggers").iterdir()
    assert {"request_id": UUID, "requested_by": "anna"}.items() <= json.loads(file.read_text()).items()


def test_a_requested_run_has_its_id_as_soon_as_it_is_accepted_and_its_result_later(service, root):
    service.create_job(CONFIG)
    answering(root, accepting)
    run_id = service.request_run("job", request_id=UUID)
    with pytest.raises(TriggerPending):
        service.wait_for_result(run_id, timeout=0)
    append(root / "logs" / JOURNAL, start("r1"), complete("r1", 5))

    assert run_id == "r1"
    assert service.wait_for_result(run_id, timeout=5).status == "success"


@pytest.mark.parametrize("call", ["request_run", "trigger_job", "cancel_job"])
def test_a_malformed_request_id_asks_for_nothing(service, root, call):
    service.create_job(CONFIG)

    with pytest.raises(ValidationError):
        getattr(service, call)("job", request_id="../x")

    assert not (root / "jobs" / "triggers").exists()


def test_there_is_no_waiting_for_a_run_that_is_not_known(service):
    with pytest.raises(RunNotFoundError, match="there is no run in the history called 'r9'"):
        service.wait_for_result("r9", timeout=30)


def test_a_run_whose_end_was_never_read_has_no_result(service, root):
    append(root / "logs" / JOURNAL, start("r1"), checkpoint(60))
    service.history.poll()

    with pytest.raises(StorageError, match="how run r1 ended is not in the history"):
        service.wait_for_result("r1", timeout=5)


def test_a_run_that_goes_on_is_pending_and_named(service, root):
    service.create_job(CONFIG)
    answering(root, accepting, lambda request: start("r1"))

    with pytest.raises(TriggerPending) as caught:
        service.trigger_job("job", timeout=0.3)

    assert caught.value.run_id == "r1"


def test_a_refusal_says_why(service, root):
    service.create_job(CONFIG)
    answering(root, rejecting)

    with pytest.raises(RequestRejected, match=r"job\.json has enabled: false") as caught:
        service.trigger_job("job")

    assert caught.value.reason == "disabled"


def test_a_run_that_was_accepted_and_never_started_is_a_refusal(service, root):
    service.create_job(CONFIG)
    passed = {"event": "job_skipped", "job_name": "job", "run_id": "r1", "request_id": None, "count": 1}
    times = {"first_scheduled_time": None, "scheduled_time": None, "reason": "removed"}
    answering(root, accepting, lambda request: {**line("job_skipped"), **passed, **times})

    with pytest.raises(RequestRejected) as caught:
        service.trigger_job("job", timeout=5)

    assert caught.value.reason == "removed"


def test_a_scheduler_that_does_not_answer_is_an_error_of_its_own(service, root, monkeypatch):
    monkeypatch.setattr(job_management_service, "ANSWER_SECONDS", 0.1)
    service.create_job(CONFIG)

    with pytest.raises(SchedulerSilent, match="the request stays, and may still be carried out"):
        service.trigger_job("job")

    assert len(list((root / "jobs" / "triggers").iterdir())) == 1


def unreadable_for(service: JobManagementService, monkeypatch: pytest.MonkeyPatch, looks: float) -> None:
    """Have the index fail for so many looks."""
    reading, looked = service.history.reading, itertools.count()

    @contextmanager
    def read() -> Iterator[sqlite3.Connection]:
        if next(looked) < looks:
            raise StorageError("the index cannot be used: database is locked")
        with reading() as connection:
            yield connection

    monkeypatch.setattr(service.history, "reading", read)


def test_an_index_that_cannot_be_read_makes_no_failure_of_a_request_that_is_there(service, root, monkeypatch):
    monkeypatch.setattr(job_management_service, "ANSWER_SECONDS", 0.1)
    service.create_job(CONFIG)
    unreadable_for(service, monkeypatch, math.inf)

    with pytest.raises(SchedulerSilent):
        service.request_run("job")


def test_an_answer_is_found_when_the_index_can_be_read_again(service, root, monkeypatch):
    service.create_job(CONFIG)
    unreadable_for(service, monkeypatch, 1)
    answering(root, accepting)

    assert service.request_run("job") == "r1"


def test_a_cancel_names_the_run_and_its_job(service, root):
    append(root / "logs" / JOURNAL, start("r1"))
    service.history.poll()
    asked: list[dict[str, Any]] = []

    def accept(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        return accepting(request)

    answering(root, accept)
    service.cancel_run("r1", requested_by="anna", request_id=UUID)

    wanted = {"action": "cancel", "job_name": "job", "run_id": "r1", "requested_by": "anna", "request_id": UUID}
    assert wanted.items() <= asked[0].items()


@pytest.mark.parametrize("run_id", ["none", "../x", ""])
def test_a_run_that_is_not_known_cannot_be_cancelled(service, run_id):
    with pytest.raises(RunNotFoundError):
        service.cancel_run(run_id)


def test_answered_requests_are_cleared(service, root):
    service.create_job(CONFIG)
    answering(root, accepting, lambda request: complete("r1"))
    service.trigger_job("job", timeout=5)

    assert service.clear_requests() == 1
    assert os.listdir(root / "jobs" / "triggers") == []


def leave_behind(root: Path) -> tuple[list[Path], list[Path]]:
    """Return files as killed saves leave them, and others."""
    (root / "jobs" / "triggers").mkdir()
    left = ["jobs/.0123456789abcdef.tmp", "jobs/triggers/.0123456789abcdef.tmp", "jobs/.0123456789abcdef.deleted"]
    others = ["jobs/.hidden.tmp", "jobs/a.json", "jobs/0123456789abcdef.tmp", "jobs/.0123456789abcdef.tmp.json"]
    for name in (*left, *others):
        (root / name).touch()
    return [root / name for name in left], [root / name for name in others]


def test_what_killed_saves_left_is_removed_after_a_time_and_nothing_else_is(service, root):
    left, others = leave_behind(root)

    assert service.clear_leftovers(3600) == 0
    assert service.clear_leftovers(0) == len(left)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)


def test_the_service_removes_by_itself_what_killed_saves_left(root, monkeypatch):
    monkeypatch.setattr(job_management_service, "CLEAR_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(job_management_service, "LEFTOVER_SECONDS", 0)
    left, _ = leave_behind(root)
    service = JobManagementService(root / "jobs", root / "logs", data_directory=root / "data")
    service.start()
    try:
        wait_for(lambda: not any(path.exists() for path in left), "the files to go")
    finally:
        service.stop()


def test_pausing_and_resuming_are_a_file(service, root):
    service.pause()
    service.pause()
    assert "PAUSE" in os.listdir(root / "jobs")
    service.resume()
    service.resume()
    assert os.listdir(root / "jobs") == []


@pytest.mark.usefixtures("folders_cannot_be_synced")
def test_a_pause_that_may_not_last_is_told_as_that_and_counts(service, root):
    with pytest.raises(NotDurable):
        service.pause()
    assert (root / "jobs" / "PAUSE").exists()
    with pytest.raises(NotDurable):
        service.resume()
    assert not (root / "jobs" / "PAUSE").exists()


def test_a_pause_that_cannot_be_removed_is_an_error(service, root):
    (root / "jobs" / "PAUSE").mkdir()

    with pytest.raises(StorageError):
        service.resume()


# History


def test_logs_are_filtered_by_text_and_status(service, root):
    append(root / "logs" / JOURNAL, complete("r1", 1, stdout="alpha"), failure("r2", 2, stdout="alpha"), start("r3", 3))
    service.history.poll()

    assert [entry["run_id"] for entry in service.get_job_logs("job")] == ["r3", "r2", "r1"]
    assert [entry["run_id"] for entry in service.get_job_logs("job", limit=1)] == ["r3"]
    assert [entry["run_id"] for entry in service.get_job_logs("job", search="ALPHA")] == ["r2", "r1"]
    assert [entry["run_id"] for entry in service.get_job_logs("job", search="alpha", status="failed")] == ["r2"]
    assert [entry["run_id"] for entry in service.get_job_logs("job", status="success")] == ["r1"]
    append(root / "logs" / JOURNAL, failure("r4", 4, status="cancelled"))
    service.history.poll()
    assert [entry["run_id"] for entry in service.get_job_logs("job", status="failed")] == ["r2"]


def test_output_comes_from_its_file_or_else_from_the_journal(service, root):
    append(root / "logs" / JOURNAL, complete("r1", stdout="in the journal\n"), start("r2"))
    append(root / "logs" / JOURNAL, complete("r3", stdout="head … tail", stdout_file="output/job/r3.stdout"))
    (root / "logs" / "output" / "job").mkdir(parents=True)
    (root / "logs" / "output" / "job" / "r2.stdout").write_text("still running\n")
    service.history.poll()

    seen = []
    for run_id in ("r1", "r2", "r3"):
        with service.open_output(run_id, "stdout") as output:
            seen.append((output.tail(1)[0].text, output.whole))
    assert seen == [("in the journal", True), ("still running", True), ("head … tail", False)]


def test_output_whose_file_was_emptied_since_comes_from_the_journal(service, root):
    """The scheduler empties old files that a process holds, and what that one prints then is not the run's."""
    told: dict[str, Any] = {"stdout": "head … tail", "stdout_bytes": 100_000, "stdout_file": "output/job/r1.stdout"}
    append(root / "logs" / JOURNAL, complete("r1", **told))
    (root / "logs" / "output" / "job").mkdir(parents=True)
    (root / "logs" / "output" / "job" / "r1.stdout").write_text("left behind\n")
    service.history.poll()

    with service.open_output("r1", "stdout") as output:
        assert (output.tail(1)[0].text, output.whole) == ("head … tail", False)


@pytest.mark.parametrize("run_id", ["none", "../../etc", "r1/../r1"])
def test_output_of_a_run_that_is_not_known_is_an_error(service, run_id):
    with pytest.raises(RunNotFoundError), service.open_output(run_id, "stdout"):
        pass


def test_what_is_known_of_a_job_is_looked_up_again_only_after_news(service, root):
    append(root / "logs" / JOURNAL, complete("r1", 1))
    service.history.poll()
    first = service.get_recents(["job", "none"])
    assert service.get_recents(["job"])["job"] is first["job"]
    append(root / "logs" / JOURNAL, complete("r2", 2))
    service.history.poll()

    assert [run_id for run_id, _, _ in service.get_recent("job").results] == ["r2", "r1"]


def test_searching_goes_over_all_jobs(service, root):
    append(root / "logs" / JOURNAL, complete("r1", 1, stdout="alpha"), complete("r2", 2, job_name="b", stderr="Alpha"))
    service.history.poll()

    assert [row.run_id for row in service.get_history_page(Filter(text="alpha")).rows] == ["r2", "r1"]
    assert [row.run_id for row in service.get_history_page(Filter(job_name="b", text="alpha")).rows] == ["r2"]


# At a glance


def test_the_overview_says_what_an_operator_wants_to_see_first(service, root):
    made = service.create_job(CONFIG)
    service.create_job(JobConfig("later", "0 4 * * *", "true", "/", True, timezone="Asia/Tokyo"))
    service.create_job(JobConfig("off", "* * * * *", "true", "/", False))
    (root / "jobs" / "bad.json").write_text("{")
    records = {"job": {"handled": NOON.isoformat(), "sha256": made.sha256, "since": "2026-06-01T12:00:00.000000Z"}}
    records["later"] = {**records["job"], "sha256": SHA256}
    append(root / "logs" / JOURNAL, checkpoint(jobs=records), start("r1"), accepted("q1", "r2"))
    append(root / "logs" / JOURNAL, failure("r3", -60, stderr="boom\n"), failure("r4", -86_500))
    append(root / "logs" / JOURNAL, failure("r5", -30, status="cancelled"))
    append(root / "logs" / MAIN_LOG, line("scheduler_started", timezone="Europe/Berlin", version="1", config_errors=0))
    service.pause()
    service.history.poll()

    seen = service.overview()

    assert [row.run_id for row in seen.running] == ["r1"]
    assert [row.run_id for row in seen.queued] == ["r2"]
    assert [(row.run_id, row.cause, count) for row, count in seen.failed] == [("r3", "boom", 1)]
    assert [(each.job_name, each.zone) for each in seen.upcoming] == [("later", "Asia/Tokyo"), ("job", "Europe/Berlin")]
    assert seen.upcoming[1].at == NOON + timedelta(hours=12)
    assert [each.file for each in seen.invalid_files] == ["bad.json"]
    assert seen.loaded == {"job": True, "later": False, "off": False}
    assert (seen.scheduler.status, seen.paused_since is not None, seen.index_problem) == ("alive", True, None)


def test_a_version_that_the_scheduler_refused_has_no_next_time_until_it_takes_one_up(service, root):
    for name in ("job", "other"):
        service.create_job(JobConfig(name, "0 2 * * *", "true", "/nope", True))
    wrong = [{"field": "working_directory", "found": "/nope", "wanted": "expected an existing directory"}]
    error = line("config_error", file="job.json", job_name="job", errors=wrong, kept_last_good=True)
    started = line("scheduler_started", timezone="UTC", version="1", config_errors=0)
    os.utime(root / "jobs" / "job.json", (NOON.timestamp() - 1,) * 2)
    append(root / "logs" / MAIN_LOG, started, error)
    service.history.poll()
    refused = service.overview()
    append(root / "logs" / MAIN_LOG, line("config_recovered", 1, file="job.json", job_name="job"))
    service.history.poll()

    assert list(refused.refused) == ["job.json"]
    assert [each.job_name for each in refused.upcoming] == ["other"]
    assert [each.job_name for each in service.overview().upcoming] == ["job", "other"]


def test_each_of_many_jobs_has_its_next_time(service, monkeypatch):
    names = [f"job-{number}" for number in range(1500)]
    files = [JobFile(f"{name}.json", name, config=replace(CONFIG, name=name)) for name in names]
    monkeypatch.setattr(service.files, "list", lambda: files)
    monkeypatch.setattr(service.files, "version", 1)  # else what was seen a moment ago counts for a second

    assert {each.job_name for each in service.overview(upcoming=overview.MOST_UPCOMING).upcoming} == {*names}


@pytest.mark.parametrize(
    ("seconds", "written", "next_at"),
    [
        (-1, -60, 0),
        (0, -60, 0),
        (DELAY - 0.001, -60, 0),
        (DELAY, -60, 3600),  # it has begun
        (DELAY - 0.001, 1, 3600),  # it was not there at that time
        (3600, -60, 3600),
    ],
)
def test_a_time_that_has_come_is_the_next_until_its_delay_is_over(tmp_path, seconds, written, next_at):
    (tmp_path / "jobs").mkdir()
    clock = iter([NOON - timedelta(seconds=30), NOON + timedelta(seconds=seconds)])
    service = JobManagementService(tmp_path / "jobs", tmp_path / "logs", clock=lambda: next(clock))
    service.create_job(replace(CONFIG, schedule="0 * * * *", jitter_seconds=1800))
    os.utime(tmp_path / "jobs" / "job.json", (NOON.timestamp() + written,) * 2)
    before = service.overview().upcoming
    service._overviews._definitions = overview.Kept()  # a second later
    (shown,) = service.overview().upcoming

    assert [each.at for each in before] == [NOON]
    assert shown.at == NOON + timedelta(seconds=next_at)
    service.stop()


def test_a_file_that_a_start_cannot_use_is_not_in_force_though_the_journal_remembers_the_same_text(service, root):
    """The scheduler keeps the job's record: what is missing, such as a directory, may be mounted yet."""
    made = service.create_job(JobConfig("job", "0 2 * * *", "true", "/nope", True))
    os.utime(root / "jobs" / "job.json", (NOON.timestamp() - 3600,) * 2)
    record = {"handled": iso(NOON), "sha256": made.sha256, "since": iso(NOON)}
    wrong = [{"field": "working_directory", "found": "/nope", "wanted": "expected an existing directory"}]
    error = line("config_error", file="job.json", job_name="job", errors=wrong, kept_last_good=False)
    append(root / "logs" / JOURNAL, checkpoint(-60, jobs={"job": record}))
    append(root / "logs" / MAIN_LOG, error, line("scheduler_started", timezone="UTC", version="1", config_errors=1))
    service.history.poll()
    missing = service.overview()
    append(root / "logs" / MAIN_LOG, line("config_recovered", 1, file="job.json", job_name="job"))
    service.history.poll()
    mounted = service.overview()

    assert (list(missing.refused), missing.loaded, missing.upcoming) == (["job.json"], {"job": False}, [])
    assert (list(mounted.refused), mounted.loaded, len(mounted.upcoming)) == ([], {"job": True}, 1)


def test_a_request_is_in_the_overview_until_it_is_answered(service, root):
    (root / "jobs" / "triggers").mkdir()
    (root / "jobs" / "triggers" / "a.json").write_text('{"action": "run", "job_name": "job", "request_id": "q1"}')
    append(root / "logs" / JOURNAL, start("r0"))  # news: else what was seen a moment ago counts for a second
    service.history.poll()
    before = service.overview().unanswered
    append(root / "logs" / JOURNAL, accepted("q1", "r1", timestamp=iso(datetime.now(UTC))))
    service.history.poll()

    assert [(each.request.request_id, each.at) for each in before] == [("q1", NOON)]  # a time to come counts as now
    assert service.overview().unanswered == []


@pytest.mark.parametrize(("status", "shown"), [("scheduler_started", []), ("scheduler_stopped", ["job"])])
def test_a_request_that_a_scheduler_at_work_left_for_long_was_answered_once(service, root, status, shown):
    """In a line that was rotated away before the index was made; what nobody was there for still waits."""
    (root / "jobs" / "triggers").mkdir()
    (root / "jobs" / "triggers" / "job").touch()
    os.utime(root / "jobs" / "triggers" / "job", (NOON.timestamp() - 3700,) * 2)
    append(root / "logs" / MAIN_LOG, line(status, timezone="UTC", version="1", config_errors=0))
    service.history.poll()

    assert [each.request.job_name for each in service.overview().unanswered] == shown


@pytest.mark.parametrize(("known_since", "shown"), [(-3800, ["job"]), (-3600, [])])
def test_a_request_that_has_waited_for_long_is_shown_if_the_journal_is_known_from_before_it(
    service, root, known_since, shown
):
    """So its answer would be known: the scheduler has a journal it cannot write, and may take the request up yet."""
    (root / "jobs" / "triggers").mkdir()
    (root / "jobs" / "triggers" / "job").touch()
    os.utime(root / "jobs" / "triggers" / "job", (NOON.timestamp() - 3700,) * 2)
    append(root / "logs" / JOURNAL, complete("r1", known_since))
    append(root / "logs" / MAIN_LOG, line("scheduler_started", timezone="UTC", version="1", config_errors=0))
    service.history.poll()

    assert [each.request.job_name for each in service.overview().unanswered] == shown


def test_a_triggers_folder_that_cannot_be_listed_leaves_the_rest_of_the_overview(service, root):
    (root / "jobs" / "triggers").write_text("no folder")
    service.create_job(CONFIG)
    append(root / "logs" / JOURNAL, start("r0"))
    service.history.poll()

    assert (service.overview().unanswered, len(service.overview().files)) == ([], 1)


def test_what_the_overview_shows_of_others_changes_is_a_second_old_at_most_and_of_its_own_new(
    service, root, monkeypatch
):
    now = [time.monotonic()]
    monkeypatch.setattr(overview, "time", SimpleNamespace(monotonic=lambda: now[0]))
    first = service.overview().files
    (root / "jobs" / "others.json").write_text("{")
    assert service.overview().files is first
    now[0] += overview.KEPT_SECONDS
    assert [each.file for each in service.overview().files] == ["others.json"]

    service.create_job(CONFIG)
    assert [each.file for each in service.overview().files] == ["job.json", "others.json"]
    service.disable_job("job")
    assert [each.config.enabled for each in service.overview().files if each.config] == [False]
    service.delete_job("job")
    assert [each.file for each in service.overview().files] == ["others.json"]


def test_news_in_the_logs_are_in_the_next_overview(service, root):
    assert service.overview().running == []
    append(root / "logs" / JOURNAL, start("r1"))
    service.history.poll()
    assert [row.run_id for row in service.overview().running] == ["r1"]
    append(root / "logs" / JOURNAL, complete("r1"))
    service.history.poll()

    assert service.overview().running == []


def test_a_pause_is_in_the_next_overview(service, root):
    assert service.overview().paused_since is None
    (root / "jobs" / "PAUSE").touch()
    os.utime(root / "jobs" / "PAUSE", (NOON.timestamp(), NOON.timestamp()))

    assert service.overview().paused_since == NOON


@pytest.mark.parametrize("seconds", [-(2**40), 2**40])
def test_a_pause_holds_whatever_time_its_file_has(tmp_path, monkeypatch, seconds):
    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", lambda path: SimpleNamespace(st_mtime=seconds))
        since = overview.paused_since(tmp_path)

    assert since is not None


def test_the_overview_tells_whose_files_others_changed(service, root):
    service.create_job(CONFIG)
    service.create_job(JobConfig("other", "0 2 * * *", "true", "/", True))
    (root / "jobs" / "other.json").write_text(json.dumps({**CONFIG.to_document(), "name": "other", "enabled": False}))
    changed_at = NOON - timedelta(hours=1)
    os.utime(root / "jobs" / "other.json", (changed_at.timestamp(), changed_at.timestamp()))
    service.disable_job("job")
    seen = service.overview()

    assert seen.changed_outside == {"other": changed_at}
    service.update_job("other", JobConfig("other", "0 3 * * *", "true", "/", True))
    assert service.overview().changed_outside == {}


def test_a_save_that_changes_nothing_does_not_make_others_changes_one_s_own(service, root):
    (root / "jobs" / "job.json").write_text(json.dumps(CONFIG.to_document()))
    changed_at = NOON - timedelta(hours=1)
    os.utime(root / "jobs" / "job.json", (changed_at.timestamp(), changed_at.timestamp()))
    service.enable_job("job")
    # Nothing was written here, so the overview may be a second old.
    assert service.history.wait_for(lambda: service.overview().changed_outside == {"job": changed_at} or None, 10)


def test_a_form_finds_the_defaults(service):
    given = service.defaults()

    assert (given["timeout_seconds"], given["timezone"], given["retries"]) == (3600, None, None)
    assert given["retries.max_attempts"] == 3


def test_a_beating_heart_counts_as_a_sign_of_life(service, root):
    append(root / "logs" / MAIN_LOG, line("scheduler_started", -999, timezone="UTC", version="1", config_errors=0))
    service.history.poll()
    assert service.overview().scheduler.status == "silent"
    (root / "logs" / ".heartbeat").touch()
    os.utime(root / "logs" / ".heartbeat", (NOON.timestamp(), NOON.timestamp()))

    assert service.overview().scheduler.status == "alive"


@pytest.mark.parametrize("seconds", [-(2**40), 2**40, 10**20])
def test_a_heart_that_beats_beyond_the_calendar_is_no_sign_of_life(service, root, monkeypatch, seconds):
    append(root / "logs" / MAIN_LOG, line("scheduler_started", -999, timezone="UTC", version="1", config_errors=0))
    service.history.poll()
    beat = SimpleNamespace(st_mtime=seconds, st_mode=stat.S_IFREG)
    with monkeypatch.context() as patch:
        patch.setattr(overview, "os", SimpleNamespace(lstat=lambda path: beat))
        seen = service.overview().scheduler

    assert seen.status == "silent"


def test_next_runs_and_words_are_in_the_schedulers_zone_unless_another_is_named(service, root):
    append(root / "logs" / MAIN_LOG, line("scheduler_started", timezone="Europe/Berlin", version="1", config_errors=0))
    service.history.poll()

    assert service.next_runs("0 15 * * *", n=1) == [NOON + timedelta(hours=1)]
    assert service.next_runs("0 15 * * *", "UTC", 2)[1] == NOON + timedelta(hours=27)
    assert service.describe("0 15 * * *") == "At 15:00 every day (Europe/Berlin)"


@pytest.mark.parametrize(("schedule", "zone", "field"), [("x", None, "schedule"), ("* * * * *", "Mars", "timezone")])
def test_a_schedule_that_is_none_stands_at_its_field(service, schedule, zone, field):
    for ask in (service.next_runs, service.describe):
        with pytest.raises(ValidationError) as caught:
            ask(schedule, zone)
        assert list(caught.value.errors) == [field]
