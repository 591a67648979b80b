"""The ledger: what journal lines amount to."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from sidecar.clock import iso
from sidecar.ledger import JobRecord, Ledger, RunTable, retry_of
from sidecar.model import Run, Trigger

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def line(event, minutes=0, **fields):
    return {"timestamp": iso(NOON + timedelta(minutes=minutes)), "event": event, **fields}


def start(run_id="r1", job_name="job", trigger="schedule", scheduled=NOON, **fields):
    return line(
        "job_start",
        run_id=run_id,
        job_name=job_name,
        trigger=trigger,
        scheduled_time=iso(scheduled) if scheduled else None,
        start_time=iso(NOON),
        attempt=1,
        first_run_id=run_id,
        request_id=None,
        sha256="abc",
        **fields,
    )


def complete(run_id="r1", job_name="job", retry_at=None, attempt=1, first_run_id="r1"):
    return line(
        "job_complete",
        run_id=run_id,
        job_name=job_name,
        trigger="schedule",
        scheduled_time=iso(NOON),
        attempt=attempt,
        first_run_id=first_run_id,
        request_id=None,
        retry_at=retry_at,
    )


def queued(run_id="r1", job_name="job", trigger="schedule", scheduled=NOON):
    return line(
        "job_queued",
        run_id=run_id,
        job_name=job_name,
        trigger=trigger,
        scheduled_time=iso(scheduled) if scheduled else None,
        attempt=1,
        first_run_id=run_id,
        request_id=None,
        reason="no place",
    )


def accepted(action="run", run_id="r1", run_ids=("r1",), request_id="q1"):
    return line(
        "trigger_accepted",
        action=action,
        job_name="job",
        request_id=request_id,
        run_id=run_id,
        run_ids=list(run_ids),
    )


def passed_over(event="job_skipped", run_id=None, scheduled=NOON):
    return line(event, job_name="job", run_id=run_id, scheduled_time=iso(scheduled), count=1, reason="paused")


def ledger_of(*lines, handled=NOON - timedelta(days=1)):
    ledger = Ledger()
    ledger.jobs["job"] = JobRecord(handled=handled, sha256="abc", since=handled)
    for entry in lines:
        ledger.apply(entry)
    return ledger


def ids(table):
    return [run.run_id for run in table]


def test_a_started_run_is_open_until_its_end():
    assert ids(ledger_of(start()).open) == ["r1"]
    assert ids(ledger_of(start(), complete()).open) == []


def test_an_accepted_request_is_pending_until_its_run_starts():
    assert ids(ledger_of(accepted()).pending) == ["r1"]
    assert ids(ledger_of(accepted(), start(trigger="manual", scheduled=None)).pending) == []


def test_a_queued_run_keeps_the_time_at_which_its_request_was_accepted():
    later = queued(trigger="manual", scheduled=None) | {"timestamp": iso(NOON + timedelta(hours=1))}

    assert ledger_of(accepted(), later).pending.get("r1").since == NOON


def test_an_accepted_cancel_is_remembered_for_open_runs_until_they_end():
    cancel = accepted("cancel", run_ids=["r1", "gone"], request_id="q2")

    assert ledger_of(start(), cancel).cancelled == {"r1"}
    assert ledger_of(start(), cancel, complete()).cancelled == set()


def test_an_accepted_cancel_is_remembered_for_what_still_waits():
    cancel = accepted("cancel", run_id=None, run_ids=["r1", "r2-2"], request_id="q2")
    failed = complete("r2", retry_at=iso(NOON), first_run_id="r2")

    assert ledger_of(queued(), start("r2"), failed, cancel).cancelled == {"r1", "r2-2"}


@pytest.mark.parametrize("event", ["job_skipped", "job_missed"])
def test_a_queued_run_is_gone_when_it_was_passed_over(event):
    assert ids(ledger_of(queued(), passed_over(event, run_id="r1")).pending) == []


def test_answers_hold_every_accepted_and_rejected_request():
    rejected = line("trigger_rejected", action=None, job_name=None, request_id="x@1", reason="invalid")

    assert set(ledger_of(accepted(), rejected).answers) == {"run job q1", "  x@1"}


@pytest.mark.parametrize("entry", [start(), queued(), passed_over(), passed_over("job_missed")])
def test_a_scheduled_time_is_handled_by_whatever_line_accounts_for_it(entry):
    assert ledger_of(entry).jobs["job"].handled == NOON


def test_a_manual_run_and_a_retry_handle_no_scheduled_time():
    before = NOON - timedelta(days=1)

    assert ledger_of(start(trigger="manual", scheduled=None)).jobs["job"].handled == before
    assert ledger_of(start(trigger="retry")).jobs["job"].handled == before


def test_handled_never_goes_back_by_an_older_line():
    assert ledger_of(start(), start("r2", scheduled=NOON - timedelta(hours=1))).jobs["job"].handled == NOON


def test_a_failed_run_with_a_retry_leaves_the_next_attempt_waiting_under_its_own_id():
    due = NOON + timedelta(minutes=1)

    retry = ledger_of(start(), complete(retry_at=iso(due))).retries.get("r1-2")

    assert (retry.trigger, retry.attempt, retry.first_run_id, retry.since) == (Trigger.RETRY, 2, "r1", due)


def test_the_third_attempt_is_named_after_the_first_run():
    second = Run(run_id="r1-2", job_name="job", trigger=Trigger.RETRY, first_run_id="r1", since=NOON, attempt=2)

    assert retry_of(second).run_id == "r1-3"


def test_a_started_retry_waits_no_more():
    ledger = ledger_of(start(), complete(retry_at=iso(NOON)), start("r1-2", trigger="retry"))

    assert ids(ledger.retries) == []
    assert ids(ledger.open) == ["r1-2"]


def test_a_checkpoint_gives_the_same_ledger_after_json():
    ledger = ledger_of(
        accepted(run_id="r5", run_ids=["r5"]),
        queued("r2"),
        start("r3"),
        accepted("cancel", run_id="r3", run_ids=["r3"], request_id="q9"),
        start(),
        complete(retry_at=iso(NOON)),
    )

    again = Ledger()
    again.apply(json.loads(json.dumps(line("checkpoint", **ledger.checkpoint()))))

    assert again.checkpoint() == ledger.checkpoint()
    assert ids(again.pending) == ["r5", "r2"]


def test_a_full_checkpoint_replaces_what_was_known():
    ledger = ledger_of(start(), accepted())
    ledger.apply(line("checkpoint", **Ledger().checkpoint()))

    assert ledger.checkpoint() == Ledger().checkpoint()


def test_the_latest_time_seen_stays_when_lines_go_back_until_a_checkpoint_says_otherwise():
    ledger = ledger_of(line("job_skipped", 10, job_name="job", run_id=None, scheduled_time=None), start())
    before = ledger.last_seen
    ledger.apply(line("checkpoint", full=False, jobs={}, clock=iso(NOON)))

    assert (before, ledger.last_seen) == (NOON + timedelta(minutes=10), NOON)


def test_a_partial_checkpoint_sets_and_removes_only_the_jobs_that_it_names():
    ledger = ledger_of(start())
    record = {"handled": iso(NOON), "sha256": "new", "since": iso(NOON)}
    ledger.apply(line("checkpoint", full=False, jobs={"other": record, "job": None}))

    assert list(ledger.jobs) == ["other"]
    assert ids(ledger.open) == ["r1"]


def test_a_checkpoint_of_a_newer_version_is_refused():
    newer = line("checkpoint", **(Ledger().checkpoint() | {"version": 99}))

    with pytest.raises(ValueError, match="newer"):
        Ledger().apply(newer)


def test_an_answer_is_forgotten_when_it_is_old_and_its_file_is_gone():
    ledger = ledger_of(accepted(request_id="old"), accepted(request_id="kept", run_id="r2", run_ids=["r2"]))
    ledger.forget_answers({"run job kept"}, NOON + timedelta(minutes=61), timedelta(hours=1))

    assert set(ledger.answers) == {"run job kept"}


def test_a_young_answer_is_kept_when_its_file_is_gone():
    ledger = ledger_of(accepted())
    ledger.forget_answers(set(), NOON + timedelta(hours=1), timedelta(hours=1))

    assert set(ledger.answers) == {"run job q1"}


def test_an_answers_age_begins_when_its_file_goes():
    ledger, hour = ledger_of(accepted()), timedelta(hours=1)
    ledger.forget_answers({"run job q1"}, NOON + 5 * hour, hour)
    ledger.forget_answers(set(), NOON + 6 * hour, hour)
    kept = set(ledger.answers)
    ledger.forget_answers(set(), NOON + 6 * hour + timedelta(seconds=1), hour)

    assert (kept, set(ledger.answers)) == ({"run job q1"}, set())


def test_an_answer_grows_no_older_by_a_clock_that_is_put_back():
    ledger, hour = ledger_of(accepted()), timedelta(hours=1)
    ledger.forget_answers({"run job q1"}, NOON - 2 * hour, hour)
    ledger.forget_answers(set(), NOON + hour, hour)

    assert set(ledger.answers) == {"run job q1"}


def test_runs_of_a_job_are_found_without_the_others():
    table = RunTable()
    for name, run_id in (("a", "1"), ("b", "2"), ("a", "3")):
        table.add(Run(run_id=run_id, job_name=name, trigger=Trigger.MANUAL, first_run_id=run_id, since=NOON))
    table.discard("1")
    table.discard("1")

    assert [run.run_id for run in table.of("a")] == ["3"]
    assert table.of("nothing") == []
    assert len(table) == 2


def test_applying_a_suffix_of_lines_twice_changes_nothing():
    lines = [
        accepted(),
        start("r1", trigger="manual", scheduled=None),
        complete(retry_at=iso(NOON)),
        queued("r7"),
    ]
    ledger = ledger_of(*lines)
    once = ledger.checkpoint()
    for entry in lines:
        ledger.apply(entry)

    assert ledger.checkpoint() == once
