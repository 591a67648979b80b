"""Why a job did or did not run: log entries and a definition in, sentences out."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sidecar.catalog import Definition
from sidecar.clock import iso
from sidecar.errors import Problem
from sidecar.evidence import Evidence
from sidecar.history import entries, oldest
from sidecar.human import Moment, read_time
from sidecar.journal import JOURNAL, MAIN_LOG
from sidecar.model import JobConfig
from sidecar.why import explain
from tests.harness import play

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
NOW = NOON + timedelta(hours=6, minutes=30)
UTC_ZONE, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")
BEGIN = NOON - timedelta(days=1)


def at(hour, minute=0, second=0.0, *, day=1):
    return NOON.replace(day=day, hour=hour, minute=minute) + timedelta(seconds=second)


def entry(when, event, **fields):
    return {"timestamp": iso(when), "event": event, **fields}


def in_force(since=BEGIN, sha256="v1", *, written=None, full=False, name="job"):
    record = {"handled": iso(since), "sha256": sha256, "since": iso(since)}
    return entry(written or since, "checkpoint", full=full, jobs={name: record})


def removed(when, name="job"):
    return entry(when, "checkpoint", full=False, jobs={name: None})


def start(when, scheduled=None, *, run_id="r1", trigger="schedule", attempt=1, first="r1", sha256="v1"):
    return entry(
        when,
        "job_start",
        run_id=run_id,
        job_name="job",
        trigger=trigger,
        scheduled_time=None if scheduled is None else iso(scheduled),
        start_time=iso(when),
        attempt=attempt,
        first_run_id=first,
        request_id=None,
        sha256=sha256,
    )


def queued(when, scheduled, run_id="r1"):
    line = start(when, scheduled, run_id=run_id)
    return {**line, "event": "job_queued", "reason": "2 runs are going, the most allowed at once"}


def end(when, *, run_id="r1", status="success", exit_code=0, seconds=60.0, **fields):
    return entry(
        when,
        "job_complete",
        run_id=run_id,
        job_name="job",
        first_run_id="r1",
        status=status,
        exit_code=exit_code,
        end_time=iso(when),
        duration_seconds=seconds,
        **fields,
    )


def passed_over(event, when, reason, first, last=None, *, run_id=None, count=1):
    return entry(
        when,
        event,
        job_name="job",
        run_id=run_id,
        reason=reason,
        first_scheduled_time=iso(first),
        scheduled_time=iso(last or first),
        count=count,
    )


def skipped(*args, **fields):
    return passed_over("job_skipped", *args, **fields)


def missed(*args, **fields):
    return passed_over("job_missed", *args, **fields)


def definition(schedule="0 * * * *", **fields):
    values = {"name": "job", "command": "true", "working_directory": "/", "enabled": True, **fields}
    return Definition("job.json", "v1", JobConfig(schedule=schedule, **values))


def ask(question=None, *journal, schedule="0 * * * *", job=None, zone=UTC_ZONE, now=NOW, main=(), **evidence):
    """Return the answer as one text; `question` is a time as an operator writes it, or a datetime."""
    given = {"definition": job or definition(schedule), "reaches_back_to": BEGIN, **evidence}
    case = Evidence(job_name="job", now=now, zone=zone, journal=[in_force(), *journal], main=main, **given)
    if isinstance(question, datetime):
        question = question.isoformat()
    return "\n".join(explain(case, None if question is None else read_time(question, zone, now, past=True)))


# Runs


def test_a_run_is_told_with_its_start_length_and_end():
    answer = ask(at(14), start(at(14, 0, 0.02), at(14)), end(at(14, 12), seconds=723))

    assert answer.startswith("job at 2026-06-01 14:00 UTC:\nIt ran.\n")
    assert (
        "Run r1 started on time at 2026-06-01 14:00:00 UTC and ended after 12 min 3 s: success, exit code 0." in answer
    )


def test_without_a_time_the_latest_scheduled_one_is_meant():
    assert ask(None, start(at(18), at(18)), end(at(18, 1))).startswith("job at 2026-06-01 18:00 UTC:\nIt ran.")


def test_the_answer_ends_with_what_comes_next():
    assert ask(at(14)).endswith("Its next scheduled time is 2026-06-01 19:00 UTC, in 30 min.")


def test_a_failed_run_is_told_with_its_last_words_made_safe():
    output = {"stderr": "first\ndisk \x1b[31mfull\n\n", "stderr_file": "output/job/r1.stderr"}
    answer = ask(at(14), start(at(14), at(14)), end(at(14, 1), status="failure", exit_code=3, **output))

    assert "failure, exit code 3" in answer
    assert r"The last line of its stderr: disk \x1b[31mfull" in answer
    assert "output/job/r1.stderr" in answer


def test_a_run_that_a_signal_ended_names_the_signal():
    answer = ask(
        at(14),
        start(at(14), at(14)),
        end(at(14, 1), status="timeout", exit_code=137, signal=9, reason="longer than 60 s"),
    )

    assert "timeout, ended by signal 9 (exit code 137) (longer than 60 s)" in answer


def test_a_run_without_an_end_is_still_going_while_the_scheduler_works():
    assert "still going, for 30 min now" in ask(at(18), start(at(18), at(18)))


def test_a_run_without_an_end_will_be_closed_when_the_scheduler_does_not_work():
    answer = ask(at(18), start(at(18), at(18)), silence="no heartbeat")

    assert "no end in the journal" in answer
    assert "closes it as interrupted" in answer


def test_jitter_is_told_and_is_not_lateness():
    job = definition(jitter_seconds=600)
    answer = ask(at(14), start(at(14, 10), at(14)), end(at(14, 11)), job=job)

    assert "its jitter made it due" in answer


def test_a_late_start_says_how_late():
    assert "started 3 min 20 s late" in ask(at(14), start(at(14, 3, 20), at(14)), end(at(14, 4)))


def test_a_queued_run_says_how_long_and_why_it_waited():
    answer = ask(at(14), queued(at(14), at(14)), start(at(14, 1), at(14)), end(at(14, 2)))

    assert "It was queued for 60 s before: 2 runs are going, the most allowed at once." in answer


def test_a_run_that_is_still_queued_says_since_when():
    assert "It is queued since 2026-06-01 18:00:00 UTC" in ask(at(18), queued(at(18), at(18)))


def test_a_queued_run_that_was_dropped_says_why():
    answer = ask(at(14), queued(at(14), at(14)), missed(at(14, 11), "past_deadline", at(14), run_id="r1"))

    assert "It was missed: queued at 2026-06-01 14:00:00 UTC" in answer
    assert "10 min after it was due (starting_deadline_seconds)" in answer


def test_retries_are_told_in_order():
    answer = ask(
        at(14),
        start(at(14), at(14)),
        end(at(14, 1), status="failure", exit_code=1, retry_at=iso(at(14, 2))),
        start(at(14, 2), at(14), run_id="r1-2", trigger="retry", attempt=2),
        end(at(14, 3), run_id="r1-2"),
    )

    assert "Attempt 2: run r1-2 started at 2026-06-01 14:02:00 UTC and ended after 60 s: success" in answer


def test_a_retry_in_the_same_minute_is_told_once():
    answer = ask(
        at(14),
        start(at(14), at(14)),
        end(at(14, 0, 1), status="failure", exit_code=1, retry_at=iso(at(14, 0, 5))),
        start(at(14, 0, 5), at(14), run_id="r1-2", trigger="retry", attempt=2),
        end(at(14, 0, 6), run_id="r1-2"),
    )

    assert answer.count("r1-2 started") == 1


def test_a_retry_to_come_says_when():
    failed = end(at(18, 1), status="failure", exit_code=1, retry_at=iso(at(18, 40)))

    assert "It is tried again at 2026-06-01 18:40:00 UTC." in ask(at(18), start(at(18), at(18)), failed)


def test_a_retry_that_a_new_run_replaced_says_so():
    failed = end(at(14, 1), status="failure", exit_code=1, retry_at=iso(at(15, 30)))
    dropped = skipped(at(15), "superseded", at(14), run_id="r1-2")
    answer = ask(at(14), start(at(14), at(14)), failed, dropped)

    assert "was dropped: a new scheduled run of the job took its place." in answer


def test_a_queued_run_that_a_change_of_the_definition_ended_says_so():
    queued = entry(at(14), "job_queued", run_id="r1", trigger="schedule", scheduled_time=iso(at(14)), reason="full")
    answer = ask(at(14), queued, skipped(at(14, 1), "superseded", at(14), run_id="r1"))

    assert "then dropped: the definition was changed at 2026-06-01 14:01:00 UTC" in answer


# Skipped and missed


def test_a_skip_names_the_run_that_was_going():
    answer = ask(
        at(14),
        start(at(13), at(13), run_id="r0"),
        skipped(at(14), "already_running", at(14)),
        end(at(14, 20), run_id="r0"),
    )

    assert "It was skipped: run r0, started at 2026-06-01 13:00:00 UTC, was still going" in answer
    assert "(it ended at 2026-06-01 14:20:00 UTC)" in answer
    assert "forbid" in answer


def test_a_skip_names_the_run_that_was_queued():
    answer = ask(at(14), queued(at(13), at(13), "r0"), skipped(at(14), "already_running", at(14)))

    assert "run r0 was queued since 2026-06-01 13:00:00 UTC" in answer


PAUSE = (entry(at(12, 50), "paused", file="PAUSE"), entry(at(16, 10), "resumed", file="PAUSE"))


@pytest.mark.parametrize("hour", [13, 14, 16])
def test_each_time_of_a_pause_is_told_with_its_span(hour):
    line = skipped(at(16, 10), "paused", at(13), at(16), count=4)
    answer = ask(at(hour), line, main=PAUSE)

    assert "the file PAUSE in the jobs directory from 2026-06-01 12:50:00 UTC to 2026-06-01 16:10:00 UTC" in answer
    assert "4 scheduled times in all, from 2026-06-01 13:00 UTC to 2026-06-01 16:00 UTC" in answer


def test_a_time_within_a_span_that_is_no_scheduled_time_was_not_skipped():
    answer = ask(at(14, 30), skipped(at(16, 10), "paused", at(13), at(16), count=4), main=PAUSE)

    assert "no scheduled time" in answer
    assert "skipped" not in answer


STOPPED = entry(at(12, 30), "scheduler_stopped", reason="received SIGTERM")
STARTED = entry(at(15, 30), "scheduler_started")


def test_a_missed_time_says_how_long_the_scheduler_was_stopped():
    line = missed(at(15, 30), "past_deadline", at(13), at(15), count=3)
    answer = ask(at(14), line, main=[STOPPED, STARTED])

    assert "It was missed: it could not start by its deadline, 10 min after it was due" in answer
    assert "it stopped at 2026-06-01 12:30:00 UTC (received SIGTERM)" in answer
    assert "It was started again at 2026-06-01 15:30:00 UTC." in answer


LAST_WORDS = [
    ("heartbeat", {}, "did not say that it stopped (killed, or a power cut)"),
    ("scheduler_crashed", {"reason": "KeyError('x')"}, "it crashed at 2026-06-01 12:30:00 UTC (KeyError('x'))"),
    ("scheduler_stopping", {"reason": "received SIGTERM"}, "was stopping since 2026-06-01 12:30:00 UTC"),
]


@pytest.mark.parametrize(("event", "fields", "words"), LAST_WORDS)
def test_a_missed_time_says_how_the_scheduler_went_away(event, fields, words):
    line = missed(at(15, 30), "past_deadline", at(14))

    assert words in ask(at(14), line, main=[entry(at(12, 30), event, **fields), STARTED])


def test_heartbeats_of_a_draining_scheduler_do_not_hide_that_it_was_stopping():
    life = [entry(at(13, 50), "scheduler_stopping", reason="received SIGTERM"), entry(at(13, 59, 50), "heartbeat")]
    stopped = entry(at(14, 2), "scheduler_stopped", reason="received SIGTERM")
    answer = ask(at(14), missed(at(15, 30), "past_deadline", at(14)), main=[*life, stopped, STARTED])

    assert "stopping since 2026-06-01 13:50:00 UTC (received SIGTERM): it lets runs end then and starts none" in answer


def test_a_missed_time_says_that_the_clock_jumped_over_it():
    jump = entry(at(15), "clock_jump", seconds=7200.0, reanchored=False)
    beats = [entry(at(12, 59, 50), "heartbeat"), jump, entry(at(15), "heartbeat")]
    answer = ask(at(14), missed(at(15), "past_deadline", at(14)), main=beats)

    assert "forward by 2 h at 2026-06-01 15:00:00 UTC" in answer


def test_a_missed_time_says_that_the_scheduler_gave_no_sign_of_life():
    beats = [entry(at(13, 59), "heartbeat"), entry(at(14, 30), "heartbeat")]
    answer = ask(at(14), missed(at(14, 30), "past_deadline", at(14)), main=beats)

    assert "no sign of life from 2026-06-01 13:59:00 UTC to 2026-06-01 14:30:00 UTC" in answer


def test_a_time_that_a_later_one_superseded_says_so():
    line = missed(at(15, 5), "superseded", at(13), at(14), count=2)
    catch_up = start(at(15, 5), at(15), trigger="catch_up")

    assert "only the latest one is caught up" in ask(at(14), line, catch_up, main=[STOPPED, STARTED])


def test_a_catch_up_says_what_held_it_up():
    catch_up = start(at(15, 30), at(15), trigger="catch_up")
    answer = ask(at(15), catch_up, end(at(15, 31)), main=[STOPPED, STARTED])

    assert "It ran late, as the catch-up for this time." in answer
    assert "The scheduler was not running" in answer
    assert "started 30 min late at 2026-06-01 15:30:00 UTC" in answer


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("superseded", "the definition was changed at 2026-06-01 14:01:00 UTC"),
        ("disabled", "the job was disabled at 2026-06-01 14:01:00 UTC"),
        ("removed", "the job's file was removed by 2026-06-01 14:01:00 UTC"),
    ],
)
def test_a_skip_for_a_change_of_the_definition_says_which(reason, words):
    assert words in ask(at(14), skipped(at(14, 1), reason, at(14)))


# The scheduler drains


def test_a_time_that_comes_while_the_scheduler_stops_is_not_called_lost():
    stopping = entry(at(17, 59), "scheduler_stopping", reason="received SIGTERM")
    answer = ask(at(18), main=[STARTED, stopping], now=at(18, 1))

    assert "The scheduler was stopping since 2026-06-01 17:59:00 UTC (received SIGTERM): it lets runs end" in answer
    assert "still runs it" in answer
    assert "the scheduler is stopping and starts nothing" in answer
    assert "although it should" not in answer


def test_a_scheduler_that_stopped_and_came_back_is_not_called_stopping():
    stopping = entry(at(14, 59), "scheduler_stopping", reason="received SIGTERM")

    assert "is stopping" not in ask(at(14), start(at(14), at(14)), end(at(14, 1)), main=[stopping, STOPPED, STARTED])


# What became of a request


def accepted(when, run_id="r9"):
    line = entry(when, "trigger_accepted", request_id="q", action="run", file="q.json", job_name="job", run_id=run_id)
    return {**line, "run_ids": [run_id], "requested_by": None}


@pytest.mark.parametrize(
    ("later", "fate"),
    [
        ((), "run r9 has not started yet."),
        ((queued(at(14, 1), None, "r9"),), "run r9 is queued since 2026-06-01 14:01:00 UTC: 2 runs are going"),
        ((skipped(at(15, 1), "expired", at(14), run_id="r9"),), "run r9 did not start: it had waited longer than"),
        (
            (
                start(at(14, 1), run_id="r9", trigger="manual"),
                end(at(14, 2), run_id="r9", status="failure", exit_code=1),
            ),
            "run r9 started at 2026-06-01 14:01:00 UTC and ended after 60 s: failure, exit code 1.",
        ),
    ],
)
def test_an_accepted_request_is_told_with_its_fate(later, fate):
    assert f"a request to run it, q.json, was accepted: {fate}" in ask(at(14), accepted(at(14, 1)), *later)


def test_without_a_time_the_newest_request_is_told_too():
    yearly = "0 0 1 1 *"

    assert "was accepted: run r9" in ask(None, accepted(at(14, 1)), schedule=yearly)
    assert "accepted" not in ask(at(17), accepted(at(14, 1)), schedule=yearly)


# No line in the journal


def test_no_journal_means_that_no_scheduler_has_worked_here():
    assert "There is no journal" in ask(at(14), reaches_back_to=None)


def test_a_time_before_the_journal_is_not_known():
    assert "reaches back only to 2026-05-31 12:00:00 UTC" in ask("2026-05-30T14:00")


def test_a_time_before_the_definition_says_since_when_it_is_in_force():
    answer = ask(at(14), removed(at(13)), in_force(at(16)))

    assert "This definition of the job is in force only since 2026-06-01 16:00:00 UTC." in answer


def test_a_time_while_the_file_was_invalid_says_what_was_found():
    errors = [{"field": "schedule", "found": "4", "wanted": "expected 5 cron fields"}]
    error = entry(at(13), "config_error", file="job.json", errors=errors)
    answer = ask(at(14), removed(at(13)), in_force(at(16)), main=[error])

    assert "job.json was invalid. At 2026-06-01 13:00:00 UTC" in answer
    assert "schedule: expected 5 cron fields, found 4" in answer


def test_a_time_of_another_version_is_not_judged_by_this_one():
    answer = ask(at(14, 30), in_force(BEGIN, "v0"), in_force(at(16)))

    assert "Another version of the job's definition was in force then" in answer


def test_a_disabled_job_is_said_once():
    assert ask(at(14), job=definition(enabled=False)).count("has enabled: false") == 1


def test_a_time_that_is_not_scheduled_names_its_neighbours():
    answer = ask(at(14, 30))

    assert "That is no scheduled time: the schedule is '0 * * * *'." in answer
    assert "The one before is 2026-06-01 14:00 UTC. The next one is 2026-06-01 15:00 UTC." in answer


def test_a_scheduler_that_does_not_run_will_still_catch_up():
    answer = ask(at(18), now=at(18, 5), main=[STOPPED], silence="no heartbeat")

    assert (
        "The scheduler gives no sign of life (no heartbeat): it stopped at 2026-06-01 12:30:00 UTC (received SIGTERM)"
        in answer
    )
    assert "A scheduler that starts before 2026-06-01 18:10:00 UTC still runs it" in answer


def test_a_scheduler_that_does_not_run_will_write_an_old_time_down_as_missed():
    answer = ask(at(14), main=[STOPPED], silence="no heartbeat")

    assert "writes it down as missed" in answer


def test_a_pause_holds_a_time_that_has_come():
    answer = ask(at(18), paused=True, main=PAUSE[:1])

    assert "holds all scheduled starts from 2026-06-01 12:50:00 UTC" in answer
    assert "written down as skipped" in answer


def test_a_run_that_waits_for_its_jitter_says_when_it_starts():
    job = definition(jitter_seconds=3000)

    assert "its jitter puts the start at" in ask(at(18), job=job, now=at(18, 0, 1))


def test_a_time_that_is_due_now_is_not_called_lost():
    assert "due at this very moment" in ask(at(18), now=at(18, 0, 1))


def test_a_time_that_has_no_line_although_it_should_says_so():
    assert "has no line for it although it should" in ask(at(14))


def test_a_time_that_could_not_be_computed_says_why():
    problem = {"field": "schedule", "found": "", "wanted": "no date of the next years matches"}
    line = entry(at(13), "schedule_error", job_name="job", errors=[problem])

    said = "Its next time could not be computed: schedule: no date of the next years matches."
    assert said in ask(at(14), main=[line])


def test_a_time_while_the_journal_could_not_be_written_says_that():
    broken = entry(at(13, 50), "journal_degraded", reason="No space left on device")

    assert "No space left on device" in ask(at(14), main=[broken])


def test_a_time_after_a_clock_that_was_set_back_says_that():
    jump = entry(at(13), "clock_jump", seconds=-86400.0, reanchored=True)

    assert "schedules began anew" in ask(at(14), main=[jump])


def test_a_changed_file_that_was_not_taken_up_says_so():
    answer = ask(at(14), in_force(at(13), "v2"), silence="no heartbeat")

    assert "job.json was changed, and the scheduler has not seen that yet" in answer


# No definition


def test_an_invalid_file_is_told_with_its_problems():
    problems = {"job.json": [Problem("schedule", "4", "expected 5 cron fields")]}
    error = entry(at(13), "config_error", file="job.json", errors=[], kept_last_good=True)
    answer = ask(at(14), job=None, definition=None, invalid=problems, main=[error])

    assert "Its file job.json is invalid since 2026-06-01 13:00:00 UTC:" in answer
    assert "schedule: expected 5 cron fields, found 4" in answer
    assert "the last good version stays in force" in answer


def test_a_removed_job_says_when_and_still_tells_of_its_runs():
    gone = entry(at(15), "job_removed", file="job.json", job_name="job")
    answer = ask(None, start(at(14), at(14)), end(at(14, 1)), definition=None, main=[gone])

    assert "It ran." in answer
    assert "No file in the jobs directory defines a job job now." in answer
    assert "Its file job.json was removed by 2026-06-01 15:00:00 UTC." in answer


def test_a_job_without_definition_and_journal_gets_an_answer():
    assert "No file in the jobs directory" in ask(None, definition=None)


# Requests and runs beside the schedule


def answered(event, when, **fields):
    line = {"action": "run", "job_name": "job", "file": "job", "requested_by": "alice", "run_id": None, **fields}
    return entry(when, event, **line)


def test_a_rejected_request_around_the_time_is_told():
    answer = ask(at(14), answered("trigger_rejected", at(14, 2), reason="already_running", detail="forbid"))

    assert "a request by alice (not verified) to run it, job, was rejected: already_running (forbid)." in answer


def test_a_request_long_before_is_not_told():
    assert "alice" not in ask(at(14), answered("trigger_rejected", at(13, 2), reason="disabled"))


def test_a_requested_run_of_that_minute_is_told():
    answer = ask(at(14, 7), start(at(14, 7, 30), run_id="m1", trigger="manual"), end(at(14, 8), run_id="m1"))

    assert "no scheduled time" in answer
    assert "Run m1 started at 2026-06-01 14:07:30 UTC: it was requested, and ended after 60 s: success" in answer


@pytest.mark.parametrize("question", [at(14, 7), None])
def test_a_requested_run_is_told_once_with_its_request_and_its_last_words(question):
    answer = ask(
        question,
        accepted(at(14, 7, 29)),
        start(at(14, 7, 30), run_id="r9", trigger="manual"),
        end(at(14, 8), run_id="r9", status="failure", exit_code=1, stderr="no\nboom\n"),
        now=at(14, 30),
    )

    assert answer.count("r9 started") == answer.count("The last line of its stderr: boom") == 1


def test_a_catch_up_that_began_in_that_minute_is_told_with_its_time():
    answer = ask(at(14, 7), start(at(14, 7, 30), at(14), trigger="catch_up"), end(at(14, 8)))

    assert "the catch-up for 2026-06-01 14:00 UTC" in answer


# The future


def test_a_scheduled_time_to_come_says_when():
    answer = ask("2026-06-01T20:00")

    assert "still to come, in 1 h 30 min" in answer
    assert "It is a scheduled time of '0 * * * *'." in answer


def test_a_time_to_come_that_is_not_scheduled_says_so():
    assert "no scheduled time" in ask("2026-06-01T20:30")


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        ({"paused": True}, "the file PAUSE in the jobs directory holds scheduled starts"),
        ({"silence": "no heartbeat"}, "the scheduler gives no sign of life: no heartbeat"),
        ({"job": definition(enabled=False)}, "has enabled: false"),
    ],
)
def test_what_keeps_a_job_from_its_next_time_is_told(evidence, words):
    assert words in ask("2026-06-01T20:00", **evidence)


# Clock changes. Berlin: 29 March 2026, 02:00 becomes 03:00; 25 October 2026, 03:00 becomes 02:00.

APRIL = datetime(2026, 4, 1, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
EARLY = {"zone": BERLIN, "reaches_back_to": datetime(2026, 1, 1, tzinfo=UTC)}


def ask_early(question, *journal, schedule, now):
    return ask(question, in_force(datetime(2026, 1, 1, tzinfo=UTC)), *journal, schedule=schedule, now=now, **EARLY)


def test_a_fixed_time_in_a_skipped_hour_is_looked_up_right_after_it():
    after = datetime(2026, 3, 29, 1, tzinfo=UTC)
    answer = ask_early("2026-03-29T02:30", start(after, after), end(after), schedule="30 2 * * *", now=APRIL)

    assert answer.startswith("job at 2026-03-29 03:00 +02:00 (Europe/Berlin):")
    assert "There was no 02:30 that day in Europe/Berlin: at 02:00 the clock was put forward to 03:00." in answer
    assert "runs once, right after it" in answer
    assert "It ran." in answer


def test_a_wildcard_schedule_does_not_run_in_a_skipped_hour():
    answer = ask_early("2026-03-29T02:30", schedule="*/30 * * * *", now=APRIL)

    assert "does not run in a skipped hour" in answer


def test_the_second_occurrence_of_a_fixed_time_is_no_scheduled_time():
    answer = ask_early("2026-10-25T02:30:00+01:00", schedule="30 2 * * *", now=NOVEMBER)

    assert "no scheduled time" in answer
    assert "read 02:30 twice" in answer
    assert "at 2026-10-25 02:30 +02:00." in answer


def test_a_local_time_that_came_twice_is_the_first_of_the_two():
    answer = ask_early("2026-10-25T02:30", schedule="30 2 * * *", now=NOVEMBER)

    assert answer.startswith("job at 2026-10-25 02:30 +02:00 (Europe/Berlin):")


# Robustness


def test_lines_that_lack_fields_are_no_error():
    torn = [entry(at(14), event) for event in ("job_start", "job_complete", "job_skipped", "checkpoint", "odd")]
    named = [{**line, "job_name": "job", "jobs": {"job": None}} for line in torn]

    assert ask(at(14), *torn, *named)


# The lines that a scheduler really writes

ONE, TWO, FOUR = (NOON + timedelta(hours=hours) for hours in (1, 2, 4))


async def it_runs(world):
    await world.boot()
    await world.at(ONE)
    await world.finish(world.running[0], exit_code=3)


async def it_still_runs(world):
    await world.boot()
    await world.at(ONE)
    await world.at(TWO)


async def it_is_paused(world):
    await world.boot()
    (world.jobs / "PAUSE").touch()
    await world.step()
    await world.at(ONE)
    (world.jobs / "PAUSE").unlink()
    await world.step()


async def it_is_down(world):
    await world.boot()
    world.scheduler.logger.close()
    world.clock.advance(hours=4, minutes=30)
    await world.boot()


async def it_is_caught_up(world):
    await world.boot()
    world.scheduler.logger.close()
    world.clock.advance(hours=4, minutes=5)
    await world.boot()


async def it_is_new(world):
    world.remove_job()
    await world.boot()
    await world.at(ONE + timedelta(minutes=1))
    world.job()
    await world.step()


STORIES = [
    (it_runs, ONE, "failure, exit code 3"),
    (it_still_runs, TWO, "started at 2026-06-01 13:00:00 UTC, was still going, and the job's concurrency_policy"),
    (it_is_paused, ONE, "PAUSE in the jobs directory from 2026-06-01 12:00:00 UTC to 2026-06-01 13:00:00 UTC"),
    (it_is_down, TWO, "The same goes for 4 scheduled times in all, from 2026-06-01 13:00 UTC to 2026-06-01 16:00"),
    (it_is_down, TWO, "did not say that it stopped"),
    (it_is_caught_up, TWO, "a later scheduled time was due by then as well, and only the latest one is caught up"),
    (it_is_caught_up, FOUR, "started 5 min late at 2026-06-01 16:05:00 UTC and is still going"),
    (it_is_new, ONE, "in force only since 2026-06-01 13:01:00 UTC"),
]


@pytest.mark.parametrize(("story", "when", "words"), STORIES)
def test_the_lines_of_a_scheduler_are_understood(tmp_path, story, when, words):
    answers = []

    async def play_and_ask(world):
        world.job()
        await story(world)
        world.scheduler.logger.commit()
        evidence = Evidence(
            job_name="job",
            now=world.clock.now(),
            zone=UTC_ZONE,
            definition=world.scheduler.catalog.jobs["job"],
            journal=list(entries(world.logs / JOURNAL)),
            main=list(entries(world.logs / MAIN_LOG)),
            reaches_back_to=oldest(world.logs / JOURNAL),
        )
        answers.append("\n".join(explain(evidence, Moment(when))))

    play(tmp_path, play_and_ask)

    assert words in answers[0]
