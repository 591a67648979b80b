"""`next` and `why`: times and reasons of one job, as people write and read them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sidecar.clock import iso
from sidecar.journal import JOURNAL, MAIN_LOG
from tests.log_lines import NOW, complete, line, put

# next


def test_next_prints_times_in_the_jobs_zone_and_in_utc(sidecar, jobs):
    put(jobs, "job", timezone="Europe/Berlin")
    code, out, _ = sidecar("next", "job", "-n", "2", "--after", "2026-03-28T12:00")

    assert code == 0
    assert out.splitlines() == [
        "2026-03-29 03:00 +02:00 (Europe/Berlin)  2026-03-29 01:00 UTC",
        "2026-03-30 02:00 +02:00 (Europe/Berlin)  2026-03-30 00:00 UTC",
    ]


def test_next_prints_five_times_from_now(sidecar, jobs):
    put(jobs, "job")

    assert len(sidecar("next", "job")[1].splitlines()) == 5


def test_next_json_holds_the_same_as_data(sidecar, jobs):
    put(jobs, "job", timezone="Europe/Berlin", enabled=False)
    document = json.loads(sidecar("next", "job", "-n", "1", "--after", "2026-06-01T12:00:00Z", "--json")[1])

    assert document == {
        "job_name": "job",
        "schedule": "0 2 * * *",
        "timezone": "Europe/Berlin",
        "enabled": False,
        "jitter_seconds": 0,
        "times": [{"scheduled_time": "2026-06-02T00:00:00.000000Z", "local_time": "2026-06-02T02:00:00+02:00"}],
    }


def test_next_says_that_a_job_is_disabled_and_how_far_jitter_goes(sidecar, jobs):
    put(jobs, "job", enabled=False, jitter_seconds=90)
    out = sidecar("next", "job")[1]

    assert "The job is disabled (job.json)" in out
    assert "delayed by up to 90 s" in out


def test_next_says_which_job_was_probably_meant(sidecar, jobs):
    put(jobs, "nightly_backup")

    assert sidecar("next", "nihgtly_backup") == (
        1,
        "",
        "sidecar: no job is called nihgtly_backup; did you mean nightly_backup?\n",
    )


def test_next_says_that_the_jobs_file_is_invalid(sidecar, jobs):
    put(jobs, "job", "other.json", enabled="yes")
    code, _, err = sidecar("next", "job")

    assert code == 1
    assert "other.json: enabled" in err


@pytest.mark.parametrize("verb", [["next", "job", "--after"], ["why", "job"]])
@pytest.mark.parametrize("text", ["0001-01-01T00:00", "0001-01-01T00:00Z", "9999-12-31T23:59Z", "0999-12-31"])
def test_a_time_at_the_ends_of_the_calendar_is_wrong_usage(sidecar, jobs, verb, text):
    put(jobs, "job", timezone="America/New_York")
    code, _, err = sidecar(*verb, text)

    assert code == 2
    assert f"expected a time of the years 1000 to 9900, found '{text}'" in err


@pytest.mark.parametrize("text", ["1000-01-01", "9900-12-31T23:59"])
def test_a_time_long_ago_or_far_ahead_has_its_answer(sidecar, jobs, logs, text):
    put(jobs, "job", timezone="America/New_York")
    (logs / JOURNAL).write_text(line("checkpoint", datetime(1000, 1, 2, tzinfo=UTC), full=True, jobs={}))

    assert sidecar("next", "job", "--after", text)[0] == 0
    assert sidecar("why", "job", text)[0] == 0


@pytest.mark.parametrize("text", ["tomorrow", "25:00", "2026-13-01", ""])
def test_a_time_that_cannot_be_read_is_wrong_usage(sidecar, jobs, text):
    put(jobs, "job")
    code, _, err = sidecar("next", "job", "--after", text or " ")

    assert code == 2
    assert "expected a time such as 02:00" in err


# why


def test_why_answers_from_the_journal(sidecar, jobs, logs):
    put(jobs, "job")
    today = NOW.replace(hour=2, minute=0, second=0, microsecond=0)
    scheduled = today if today <= NOW else today - timedelta(days=1)
    run = {"run_id": "r1", "job_name": "job", "trigger": "schedule", "first_run_id": "r1", "attempt": 1}
    started = line("job_start", scheduled, scheduled_time=iso(scheduled), start_time=iso(scheduled), **run)
    (logs / f"{JOURNAL}.1").write_text(started)
    (logs / JOURNAL).write_text("torn li\n" + complete("job", scheduled))
    code, out, _ = sidecar("why", "job")

    assert code == 0
    assert "It ran.\nRun r1 started on time" in out


AT = iso(datetime(2026, 6, 1, 12, tzinfo=UTC))
STRANGE_FIELDS: dict[str, dict[str, Any]] = {
    "job_queued": {"run_id": "s1", "trigger": "schedule", "scheduled_time": AT, "first_run_id": "s1"},
    "job_start": {
        "run_id": "s2",
        "trigger": "schedule",
        "scheduled_time": AT,
        "start_time": AT,
        "attempt": 1,
        "first_run_id": "r1",
    },
    "job_complete": {
        "run_id": "r1",
        "status": "failure",
        "exit_code": 1,
        "signal": None,
        "end_time": AT,
        "duration_seconds": 1.5,
        "retry_at": AT,
        "attempt": 1,
        "first_run_id": "r1",
    },
    "job_skipped": {
        "run_id": None,
        "first_scheduled_time": AT,
        "scheduled_time": AT,
        "count": 2,
        "reason": "already_running",
    },
    "job_missed": {"run_id": None, "first_scheduled_time": AT, "scheduled_time": AT, "count": 2},
    "trigger_accepted": {"run_id": "r1", "action": "run", "request_id": "q", "requested_by": "x"},
    "checkpoint": {"full": False, "jobs": {"job": {"handled": AT, "since": AT, "sha256": ""}}},
    "clock_jump": {"seconds": 5.0, "reanchored": True},
    "config_error": {"file": "job.json", "errors": [{"field": "x"}]},
    "paused": {"file": "PAUSE"},
}
STRANGE_VALUES = ["x", ["x"], float("inf"), "9999-12-31T23:59:59Z"]


def strange_lines(event):
    """Yield lines of the event with a strange value in each of the fields, without each of them, without any."""
    fields = {"timestamp": AT, "job_name": "job", **STRANGE_FIELDS[event]}
    for field in fields:
        yield from (json.dumps({"event": event, **fields, field: value}) + "\n" for value in STRANGE_VALUES)
        yield json.dumps({"event": event, **{name: each for name, each in fields.items() if name != field}}) + "\n"
    yield json.dumps({"event": event, "timestamp": AT, "job_name": "job"}) + "\n"


@pytest.mark.parametrize("event", STRANGE_FIELDS)
def test_strange_lines_that_a_job_wrote_into_the_logs_are_no_traceback(sidecar, jobs, logs, event):
    put(jobs, "job", schedule="0 12 * * *")
    empty: dict[str, Any] = {"jobs": {}, "open": [], "pending": [], "retries": [], "cancelled": [], "answers": {}}
    run = {"job_name": "job", "trigger": "schedule", "scheduled_time": AT, "first_run_id": "r1", "attempt": 1}
    skipped = {"job_name": "job", "run_id": None, "first_scheduled_time": AT, "scheduled_time": AT, "count": 1}
    before = [line("checkpoint", datetime(2026, 5, 1, tzinfo=UTC), full=True, version=1, **empty)]
    if event not in ("job_skipped", "job_missed"):  # which count where nothing ran
        before.append(line("job_start", run_id="r1", start_time=AT, **run))
    after = line("job_skipped", reason="already_running", **skipped)
    for strange in strange_lines(event):
        for log in (JOURNAL, MAIN_LOG):
            (logs / log).write_text("".join([*before, strange, after]))

        # A checkpoint that cannot be read is an error with a message for `list`, which replays the journal.
        assert sidecar("list")[0] in ((0, 1) if event == "checkpoint" else (0,)), strange
        assert sidecar("why", "job", AT)[0] == 0, strange
        assert sidecar("audit-journal")[0] in (0, 1), strange


def test_why_works_with_the_job_gone(sidecar, logs):
    (logs / MAIN_LOG).write_text(line("job_removed", job_name="job", file="job.json"))
    code, out, _ = sidecar("why", "job")

    assert code == 0
    assert "Its file job.json was removed" in out


def test_why_says_what_is_wrong_with_the_jobs_file(sidecar, jobs):
    put(jobs, "job", enabled="yes")
    code, out, _ = sidecar("why", "job")

    assert code == 0
    assert "Its file job.json is invalid" in out


def test_why_of_an_unknown_job_says_which_was_probably_meant(sidecar, jobs):
    put(jobs, "backup")
    code, _, err = sidecar("why", "bakcup")

    assert code == 1
    assert "did you mean backup?" in err


def test_why_with_a_time_that_cannot_be_read_is_wrong_usage(sidecar, jobs):
    put(jobs, "job")

    assert sidecar("why", "job", "yesterday")[0] == 2
