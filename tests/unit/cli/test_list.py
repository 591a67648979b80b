"""`list`: all jobs with their next and last run, and what is wrong."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from sidecar.clock import iso
from sidecar.config import digest
from sidecar.journal import JOURNAL, MAIN_LOG
from sidecar.ledger import Ledger
from tests.harness import NOON, FakeClock
from tests.log_lines import NOW, beat, complete, line, put

HOUR = timedelta(hours=1)


def test_list_shows_each_job_with_its_next_run_and_last_result(sidecar, jobs, logs):
    put(jobs, "nightly", timezone="Europe/Berlin")
    put(jobs, "off", enabled=False)
    when = datetime(2026, 6, 1, 0, 0, 9, tzinfo=UTC)
    (logs / JOURNAL).write_text(complete("nightly", when, status="failure", exit_code=3))
    code, out, _ = sidecar("list")
    rows = out.splitlines()

    assert code == 0
    assert re.match(r"JOB +SCHEDULE +ENABLED +NEXT RUN +LAST RESULT", rows[0])
    assert re.search(r"^nightly +0 2 \* \* \* +yes +\S+ 02:00 \+0[12]:00 \(Europe/Berlin\) +failure", rows[1])
    assert rows[1].endswith("failure (exit code 3) 2026-06-01 02:00 +02:00")
    assert re.search(r"^off +0 2 \* \* \* +no +- +-$", rows[2])


def test_list_marks_invalid_files_and_goes_on(sidecar, jobs):
    put(jobs, "good")
    put(jobs, "bad", enabled="yes", command="")
    code, out, _ = sidecar("list")

    assert code == 0
    assert re.search(r"^INVALID bad\.json: .* \(and 1 more problem\)$", out, re.MULTILINE)
    assert "good" in out


def test_list_says_that_no_scheduler_gives_a_sign_of_life(sidecar):
    assert "SILENT SCHEDULER: no heartbeat" in sidecar("list")[1]


def test_list_says_that_starts_are_paused(sidecar, jobs):
    (jobs / "PAUSE").touch()

    assert "PAUSED: " in sidecar("list")[1]


def test_list_says_that_the_scheduler_is_stopping(sidecar, jobs, logs):
    put(jobs, "good")
    beat(logs)
    main = line("scheduler_started") + line("scheduler_stopping", reason="received SIGTERM")
    (logs / MAIN_LOG).write_text(main)

    assert re.search(r"^STOPPING: since .* \(received SIGTERM\)$", sidecar("list")[1], re.MULTILINE)
    assert (
        json.loads(sidecar("list", "--json")[1])["scheduler_stopping"] == json.loads(main.splitlines()[1])["timestamp"]
    )
    (logs / MAIN_LOG).write_text(main + line("scheduler_stopped", reason="received SIGTERM"))
    assert "STOPPING" not in sidecar("list")[1]


def test_list_says_that_an_invalid_file_has_its_last_good_version_in_force(sidecar, jobs, logs):
    put(jobs, "bad", enabled="yes")
    beat(logs)
    (logs / MAIN_LOG).write_text(line("scheduler_started") + line("config_error", file="bad.json", kept_last_good=True))
    in_force = "; the last good version stays in force"

    assert in_force in sidecar("list")[1]
    with (logs / MAIN_LOG).open("a") as main:
        main.write(line("scheduler_started"))
    assert in_force not in sidecar("list")[1]


def test_list_says_that_the_file_of_a_row_is_not_the_one_in_force(sidecar, jobs, logs):
    put(jobs, "job", "a.json", enabled="yes")
    put(jobs, "job", "b.json")
    beat(logs)
    error = line("config_error", file="a.json", job_name="job", kept_last_good=True)
    (logs / MAIN_LOG).write_text(line("scheduler_started") + error)

    assert "; the last good version stays in force, not b.json" in sidecar("list")[1]


def test_list_shows_a_run_that_is_going_and_calls_it_unfinished_without_a_scheduler(sidecar, jobs, logs):
    put(jobs, "job")
    empty: dict[str, object] = {"open": [], "pending": [], "retries": [], "cancelled": [], "answers": {}, "jobs": {}}
    run = {"run_id": "r2", "trigger": "manual", "scheduled_time": None, "attempt": 1, "first_run_id": "r2"}
    started = line("job_start", job_name="job", start_time=iso(NOW), request_id=None, sha256="x", **run)
    (logs / JOURNAL).write_text(line("checkpoint", full=True, version=1, **empty) + started)
    without = sidecar("list")[1]
    beat(logs)

    assert "unfinished" in without
    assert "running" in sidecar("list")[1]


def test_list_takes_the_last_result_from_rotated_files_too(sidecar, jobs, logs):
    put(jobs, "a")
    put(jobs, "b")
    (logs / f"{JOURNAL}.2").write_text(complete("a", status="timeout"))
    (logs / f"{JOURNAL}.1").write_text(complete("a", status="failure") + complete("b", status="cancelled"))
    (logs / JOURNAL).write_text(complete("b"))
    rows = {row.split()[0]: row for row in sidecar("list")[1].splitlines()}

    assert "failure" in rows["a"]
    assert "success" in rows["b"]


def test_list_json_holds_the_same_as_data(sidecar, jobs, logs):
    put(jobs, "job")
    put(jobs, "bad", enabled="yes")
    (logs / JOURNAL).write_text(complete("job"))
    document = json.loads(sidecar("list", "--json")[1])
    job = document["jobs"][0]

    assert (job["job_name"], job["file"], job["timezone"], job["enabled"]) == ("job", "job.json", "UTC", True)
    assert job["next_run_at"].endswith("T02:00:00.000000Z")
    assert job["last_run"]["status"] == "success"
    assert [file["file"] for file in document["invalid_files"]] == ["bad.json"]
    assert document["paused"] is False
    assert "no heartbeat" in document["scheduler_silent"]


@pytest.mark.parametrize(
    ("handled", "version", "expected"),
    [(NOON - HOUR, "this", NOON), (NOON, "this", NOON + HOUR), (NOON - HOUR, "another", NOON + HOUR)],
)
def test_list_shows_a_start_that_waits_for_its_jitter_unless_it_was_passed_over_or_the_definition_is_new(
    jobs, logs, sidecar, monkeypatch, handled, version, expected
):
    now = NOON + timedelta(seconds=1)
    monkeypatch.setattr("sidecar.listing.Clock", lambda: FakeClock(now))
    file = put(jobs, "job", schedule="0 * * * *", jitter_seconds=3600)
    sha256 = digest(file.read_bytes() if version == "this" else b"")
    record = {"handled": iso(handled), "sha256": sha256, "since": iso(handled)}
    (logs / JOURNAL).write_text(line("checkpoint", **{**Ledger().checkpoint(), "jobs": {"job": record}}))
    job = json.loads(sidecar("list", "--json")[1])["jobs"][0]

    assert job["next_scheduled_time"] == iso(expected)
    assert iso(max(now, expected)) < job["next_run_at"] < iso(expected + HOUR)


def test_list_shows_the_last_usable_result(sidecar, jobs, logs):
    put(jobs, "job")
    (logs / JOURNAL).write_text(
        complete("job", status="failure", exit_code=3)
        + line("job_complete", job_name=["job"])
        + line("job_complete", job_name="job")
    )

    assert "failure (exit code 3)" in sidecar("list")[1]
