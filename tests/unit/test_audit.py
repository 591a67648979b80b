"""What the audit calls a broken promise, and what it does not."""

import itertools
import json
from datetime import timedelta

import pytest

from sidecar import cli
from sidecar.audit import audit, terms_of, worked_until, zones
from sidecar.audit_events import Line, Terms
from sidecar.audit_report import Place, Rule, as_document, as_text
from sidecar.clock import iso
from sidecar.config import digest
from sidecar.cron import parse
from sidecar.model import JobConfig
from tests.harness import NOON, play

FILE = "scheduler_jobs.log"
SINCE = NOON - timedelta(seconds=30)
EVERY_MINUTE = Terms(parse("* * * * *", "UTC"), may_overlap=False)
TERMS = {"v1": EVERY_MINUTE}
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def at(minute, second=0.0):
    return NOON + timedelta(minutes=minute, seconds=second)


def line(when, event, **fields):
    return {"timestamp": iso(when), "event": event, **fields}


def record(handled=SINCE, sha256="v1", since=SINCE):
    return {"handled": iso(handled), "sha256": sha256, "since": iso(since)}


def checkpoint(when=SINCE, jobs=None, *, open_runs=(), pending=(), retries=(), answers=None):
    return line(
        when,
        "checkpoint",
        full=True,
        version=1,
        jobs={"job": record()} if jobs is None else jobs,
        open=[document(run_id) for run_id in open_runs],
        pending=[document(run_id) for run_id in pending],
        retries=[document(run_id) for run_id in retries],
        cancelled=[],
        answers=answers or {},
    )


def in_force(when, document):
    return line(when, "checkpoint", full=False, jobs={"job": document})


def document(run_id):
    return {"run_id": run_id, "job_name": "job", "trigger": "manual", "scheduled_time": None, "sha256": ""}


def accepted(when, run_id, request_id="q1", action="run"):
    return line(
        when,
        "trigger_accepted",
        action=action,
        job_name="job",
        request_id=request_id,
        run_id=run_id,
        run_ids=[run_id],
    )


def rejected(when, request_id="q1"):
    return line(when, "trigger_rejected", action="run", job_name="job", request_id=request_id)


def begins(event, when, run_id, trigger="manual", scheduled=None, request_id=None, sha256="v1"):
    return line(
        when,
        event,
        run_id=run_id,
        job_name="job",
        trigger=trigger,
        scheduled_time=None if scheduled is None else iso(scheduled),
        request_id=request_id,
        sha256=sha256,
    )


def start(when, run_id, **fields):
    return begins("job_start", when, run_id, **fields)


def queued(when, run_id, **fields):
    return begins("job_queued", when, run_id, **fields)


def end(when, run_id, status="success", exit_code=0, retry_at=None, attempt=1, first_run_id=None):
    return line(
        when,
        "job_complete",
        run_id=run_id,
        job_name="job",
        status=status,
        exit_code=exit_code,
        retry_at=None if retry_at is None else iso(retry_at),
        attempt=attempt,
        first_run_id=first_run_id or run_id,
    )


def passed(event, when, first, last, count, run_id=None):
    return line(
        when,
        event,
        job_name="job",
        run_id=run_id,
        first_scheduled_time=None if first is None else iso(first),
        scheduled_time=None if last is None else iso(last),
        count=count,
    )


def run_at(minute, run_id=None, **fields):
    """A scheduled run that starts on time and ends ten seconds later."""
    run_id = run_id or f"s{minute}"
    return [
        start(at(minute), run_id, trigger="schedule", scheduled=at(minute), **fields),
        end(at(minute, 10), run_id),
    ]


def check(*entries, files=(), **more):
    """Audit entries as one file, or `files` as several, oldest first."""
    each = list(files) or [entries]
    names = [FILE if number == len(each) else f"{FILE}.{len(each) - number}" for number in range(1, len(each) + 1)]
    lines = [
        Line(Place(name, number), entry)
        for name, content in zip(names, each, strict=True)
        for number, entry in enumerate(content, 1)
    ]
    return audit(lines, terms=TERMS, **more)


def rules(report):
    return [finding.rule for finding in report.findings]


# What is in order


def test_audit_finds_nothing_in_a_plain_day():
    report = check(
        checkpoint(),
        *run_at(0),
        accepted(at(0, 20), "r1"),
        start(at(0, 20), "r1", request_id="q1"),
        end(at(0, 30), "r1"),
        *run_at(1),
        passed("job_missed", at(5), at(2), at(4), 3),
        start(at(5), "s5", trigger="catch_up", scheduled=at(5)),
        end(at(5, 1), "s5", "failure", 1, retry_at=at(5, 10)),
        start(at(5, 10), "s5-2", trigger="retry", scheduled=at(5)),
        end(at(5, 11), "s5-2", attempt=2, first_run_id="s5"),
        rejected(at(5, 20), "q2"),
        passed("job_skipped", at(6), at(6), at(6), 1),
    )

    assert report.findings == []
    assert (report.counts["starts"], report.counts["times"], report.counts["times_compared"]) == (5, 7, 7)
    assert not report.open and not report.waiting


def test_audit_lists_what_has_not_ended_yet_and_does_not_call_it_wrong():
    report = check(
        checkpoint(),
        start(at(0), "s0", trigger="schedule", scheduled=at(0)),
        accepted(at(0, 5), "r1"),
        queued(at(0, 5), "r1", request_id="q1"),
    )

    assert report.findings == []
    assert report.open == {"s0": Place(FILE, 2)}
    assert report.waiting == {"r1": Place(FILE, 3)}


@pytest.mark.parametrize(
    "ending",
    [
        [start(at(1), "r1", request_id="q1"), end(at(2), "r1")],
        [passed("job_skipped", at(1), None, None, 1, "r1")],
        [end(at(1), "r1", "cancelled", None)],
    ],
    ids=["run", "skipped", "cancelled"],
)
def test_accepted_request_may_end_in_each_of_these_ways(ending):
    assert check(checkpoint(), accepted(NOON, "r1"), *ending).findings == []


def test_run_that_was_queued_accounts_for_its_time_once():
    report = check(
        checkpoint(),
        queued(at(0), "s0", trigger="schedule", scheduled=at(0)),
        passed("job_skipped", at(1), at(1), at(1), 1),
        start(at(1, 30), "s0", trigger="schedule", scheduled=at(0)),
        end(at(1, 40), "s0"),
    )

    assert report.findings == []


def test_audit_goes_on_across_files_whose_checkpoints_agree():
    report = check(
        files=[
            [checkpoint(), accepted(NOON, "r1"), start(NOON, "r1", request_id="q1")],
            [
                checkpoint(at(0, 1), open_runs=["r1"], answers={"run job q1": iso(NOON)}),
                end(at(0, 5), "r1"),
            ],
        ]
    )

    assert report.findings == []
    assert report.counts["files"] == 2


def test_line_that_rotated_the_file_comes_after_a_checkpoint_that_does_not_know_it():
    report = check(
        files=[
            [checkpoint(), *run_at(0)],
            [checkpoint(at(5, 1), {"job": record(at(0))}), passed("job_missed", at(5), at(1), at(5), 5), *run_at(6)],
        ]
    )

    assert report.findings == []
    assert report.counts["times_compared"] == 7


def test_runs_that_began_before_the_oldest_file_are_known_from_its_checkpoint():
    report = check(
        checkpoint(open_runs=["r1"], pending=["r2"], retries=["r3-2"]),
        end(at(0), "r1"),
        start(at(0), "r2"),
        end(at(0), "r2"),
        passed("job_skipped", at(0), None, None, 1, "r3-2"),
    )

    assert report.findings == []


def test_journal_begun_anew_from_memory_may_tell_again_what_its_checkpoint_knows():
    since = {"job": record(handled=at(0))}
    report = check(
        checkpoint(at(0, 2), since, open_runs=["r1"], answers={"run job q1": iso(at(0, 1))}),
        passed("job_skipped", at(0, 1), at(0), at(0), 1),
        accepted(at(0, 1), "r1"),
        start(at(0, 1), "r1", request_id="q1"),
        end(at(0, 3), "r1"),
    )

    assert report.findings == []


def test_oldest_journal_begun_anew_from_memory_may_tell_the_ends_of_what_was_taken_away():
    report = check(
        checkpoint(at(0, 5), {"job": record(handled=at(0))}, retries=["r1-2"]),
        end(at(0, 4), "r1", "failure", 1, retry_at=at(0, 9)),
        end(at(0, 5), "r2"),
        start(at(0, 9), "r1-2", trigger="retry"),
        end(at(0, 10), "r1-2", attempt=2, first_run_id="r1"),
    )

    assert report.findings == []


def test_end_without_a_start_is_found_after_the_lines_that_a_journal_begun_anew_tells():
    report = check(checkpoint(at(0, 5)), end(at(0, 4), "r1"), end(at(0, 6), "r2"))

    assert [finding.place.line for finding in report.findings] == [3]


def test_journal_that_was_moved_aside_is_whole_with_the_one_begun_from_memory():
    report = check(
        files=[
            [checkpoint(), accepted(NOON, "r1"), start(NOON, "r1", request_id="q1")],
            [
                checkpoint(at(0, 5), retries=["r1-2"], answers={"run job q1": iso(NOON)}),
                end(at(0, 4), "r1", "failure", 1, retry_at=at(0, 9)),
                start(at(0, 9), "r1-2", trigger="retry"),
                end(at(0, 10), "r1-2", attempt=2, first_run_id="r1"),
            ],
        ]
    )

    assert report.findings == []


def test_times_run_again_after_a_clock_that_went_back_too_far():
    report = check(
        checkpoint(),
        *run_at(0),
        *run_at(1),
        in_force(at(0, -20), record(handled=at(0, -20))),
        *run_at(0, "again0"),
        *run_at(1, "again1"),
    )

    assert report.findings == []
    assert report.counts["reanchored"] == 1


def test_changed_definition_begins_to_count_when_it_came_into_force():
    report = check(checkpoint(), *run_at(0), in_force(at(7, 30), record(at(7, 30), "v1", at(7, 30))), *run_at(8))

    assert report.findings == []


def test_request_may_come_again_when_its_answer_may_be_forgotten():
    again = NOON + 2 * HOUR
    report = check(checkpoint(jobs={}), rejected(NOON), rejected(again), remembered=HOUR)

    assert report.findings == []


def test_request_may_come_again_at_an_earlier_time_when_its_answer_was_forgotten_before_the_clock_was_set_back():
    def runs_at(when, run_id):
        return [accepted(when, run_id), start(when, run_id, request_id="q1"), end(when, run_id)]

    later = rejected(NOON + 2 * HOUR, "q2")
    report = check(checkpoint(jobs={}), *runs_at(NOON, "r1"), later, *runs_at(at(-5), "r2"), remembered=HOUR)

    assert report.findings == []


def test_request_may_not_come_again_at_an_earlier_time_when_its_answer_was_young():
    report = check(checkpoint(jobs={}), rejected(NOON), rejected(at(-90)), remembered=HOUR)

    assert rules(report) == [Rule.ANSWERED_TWICE]


def test_request_may_come_again_after_the_clock_went_back_so_far_that_schedules_began_anew():
    report = check(checkpoint(jobs={}), rejected(NOON), rejected(NOON - 25 * HOUR), remembered=HOUR)

    assert report.findings == []


def test_answer_counts_from_the_last_time_that_a_checkpoint_saw_its_file():
    seen = checkpoint(NOON + HOUR, {}, answers={"run job q1": iso(NOON + HOUR)})
    files = [[checkpoint(jobs={}), rejected(NOON)], [seen, rejected(NOON + HOUR + timedelta(minutes=30))]]

    assert rules(check(files=files, remembered=HOUR)) == [Rule.ANSWERED_TWICE]


def test_answer_must_be_known_for_as_long_as_it_counts_after_its_file_was_seen():
    times = [NOON + hours * HOUR for hours in (1.5, 2)]
    seen, forgotten = checkpoint(times[0], {}, answers={"run job q1": iso(times[0])}), checkpoint(times[1], {})
    files = [[checkpoint(jobs={}), rejected(NOON)], [seen], [forgotten]]

    assert rules(check(files=files, remembered=HOUR)) == [Rule.ANSWER_FORGOTTEN]
    assert check(files=files, remembered=HOUR / 2).findings == []


def test_gap_is_no_finding_while_the_definition_is_unknown():
    assert check(checkpoint(jobs={"job": record(sha256="other")}), *run_at(0), *run_at(9)).findings == []


def test_lines_that_are_torn_are_counted():
    report = check(checkpoint(), None, line(NOON, "job_start"), *run_at(0))

    assert report.findings == []
    assert report.counts["torn_lines"] == 2


@pytest.mark.parametrize("field", ["job_name", "run_id"])
@pytest.mark.parametrize("value", [["x"], {"x": 1}, 5])
def test_lines_whose_names_are_no_texts_are_torn_lines(field, value):
    strange = [{**entry, field: value} for entry in (*run_at(1), passed("job_missed", at(1), at(1), at(1), 1))]
    report = check(checkpoint(), *run_at(0), *strange, evidence=evidence("s0"))

    assert report.findings == []
    assert report.counts["torn_lines"] == 3


@pytest.mark.parametrize("run_id", [None, 5, True, ["x"]])
def test_lines_of_runs_and_checkpoints_without_a_runs_id_are_torn_lines(run_id):
    """Among texts, no such id can be sorted: the report would not come at all."""
    of_runs = (accepted(at(1), run_id), queued(at(1), run_id), start(at(1), run_id), end(at(1, 1), run_id))
    remade = checkpoint(at(2), {"job": record(at(1))}, open_runs=[run_id], pending=[run_id], retries=["s9"])
    report = check(checkpoint(), *run_at(0), start(at(1), "m1"), *of_runs, remade)

    assert report.counts["torn_lines"] == 5
    assert (list(report.open), list(report.waiting)) == (["m1"], [])


@pytest.mark.parametrize("tells", [queued, start])
def test_line_of_a_scheduled_run_that_a_checkpoint_foretold_is_not_missed(tells):
    """The journal was moved aside while the scheduler wrote: the next one begins with what is on its way."""
    on_its_way = {**document("s1"), "trigger": "schedule", "scheduled_time": iso(at(1)), "sha256": "v1"}
    begun_anew = checkpoint(at(1, 5), {"job": record(at(1))})
    begun_anew["open" if tells is start else "pending"] = [on_its_way]
    told = tells(at(1), "s1", trigger="schedule", scheduled=at(1))

    assert check(files=[[checkpoint(), *run_at(0)], [begun_anew, told]]).findings == []


def test_lines_about_the_end_of_the_calendar_are_no_crash():
    end_of_days = NOON.replace(year=9999, month=12, day=31, hour=23, minute=59)
    report = check(
        checkpoint(),
        passed("job_missed", at(0), at(0), end_of_days, 10**9),
        {**rejected(NOON), "timestamp": "0001-01-01T00:00:00+05:00"},
        worked_until=at(3),
    )

    assert rules(report) == [Rule.TIME_UNSCHEDULED]


# What is broken

BROKEN = {
    Rule.NO_CHECKPOINT: [rejected(NOON)],
    Rule.STARTED_TWICE: [
        checkpoint(),
        accepted(NOON, "r1"),
        start(NOON, "r1"),
        end(NOON, "r1", "cancelled", None),
        start(at(1), "r1"),
        end(at(1), "r1"),
    ],
    Rule.STARTED_UNASKED: [checkpoint(), start(NOON, "r1-2", trigger="retry")],
    Rule.STARTED_AFTER_END: [
        checkpoint(),
        accepted(NOON, "r1"),
        passed("job_skipped", NOON, None, None, 1, "r1"),
        start(at(1), "r1"),
    ],
    Rule.OVERLAPPED: [
        checkpoint(),
        start(at(0), "s0", trigger="schedule", scheduled=at(0)),
        start(at(1), "s1", trigger="schedule", scheduled=at(1)),
    ],
    Rule.ENDED_TWICE: [checkpoint(), *run_at(0), end(at(0, 20), "s0")],
    Rule.ENDED_UNSTARTED: [checkpoint(), accepted(NOON, "r1"), end(NOON, "r1")],
    Rule.PASSED_OVER_WRONGLY: [checkpoint(), *run_at(0), passed("job_skipped", at(0, 20), at(0), at(0), 1, "s0")],
    Rule.ANSWERED_TWICE: [checkpoint(), rejected(NOON), rejected(at(1))],
    Rule.ANSWER_FORGOTTEN: [checkpoint(), rejected(NOON), checkpoint(at(1))],
    Rule.TIME_ACCOUNTED_TWICE: [checkpoint(), *run_at(0), passed("job_missed", at(0, 30), at(0), at(0), 1)],
    Rule.TIME_UNACCOUNTED: [checkpoint(), *run_at(0), *run_at(3)],
    Rule.TIME_UNSCHEDULED: [checkpoint(), passed("job_missed", at(5), at(0), at(5), 4)],
    Rule.LINES_MISSING: [checkpoint(), checkpoint(at(1), open_runs=["r1"])],
}


@pytest.mark.parametrize("rule", BROKEN)
def test_audit_finds(rule):
    report = check(*BROKEN[rule])

    assert rule in rules(report)
    assert report.findings[0].place.file == FILE
    assert report.findings[0].place.line > 0


def test_each_rule_has_its_example():
    elsewhere = {Rule.TIME_STARTED_TWICE, Rule.EVIDENCE_TWICE, Rule.EVIDENCE_UNKNOWN, Rule.EVIDENCE_MISSING}

    assert set(Rule) == BROKEN.keys() | elsewhere


def test_scheduled_time_started_twice_is_found_also_when_the_definition_changed_in_between():
    report = check(
        checkpoint(),
        *run_at(0),
        in_force(at(0, -9), record(at(0, -9), "v2", at(0, -9))),
        *run_at(0, "again", sha256="v2"),
    )

    assert rules(report) == [Rule.TIME_STARTED_TWICE]
    assert f"{FILE}:2" in report.findings[0].message


def test_request_that_is_started_as_two_runs_is_found():
    report = check(
        checkpoint(),
        accepted(NOON, "r1"),
        start(NOON, "r1", request_id="q1"),
        end(NOON, "r1"),
        accepted(at(1), "r2"),
        start(at(1), "r2", request_id="q1"),
        end(at(1), "r2"),
    )

    assert rules(report) == [Rule.ANSWERED_TWICE, Rule.STARTED_TWICE]


def test_run_that_a_later_checkpoint_does_not_know_is_found_in_that_line():
    report = check(
        checkpoint(),
        accepted(NOON, "r1"),
        start(NOON, "r1"),
        checkpoint(at(1), answers={"run job q1": iso(NOON)}),
    )

    assert [(finding.rule, finding.place.line) for finding in report.findings] == [(Rule.LINES_MISSING, 4)]
    assert not report.open


def test_times_that_only_a_checkpoint_accounts_for_are_found():
    report = check(checkpoint(), *run_at(0), checkpoint(at(5), {"job": record(at(4))}))

    assert rules(report) == [Rule.LINES_MISSING]


def test_times_without_a_line_at_the_end_are_found_once_a_scheduler_had_the_time_to_write_them():
    lines = [checkpoint(), *run_at(0)]

    assert check(*lines, worked_until=at(2)).findings == []
    assert rules(check(*lines, worked_until=at(3))) == [Rule.TIME_UNACCOUNTED]


def test_disabled_definition_asks_for_nothing():
    config = JobConfig("job", "* * * * *", "true", "/", False)

    assert terms_of(config, "UTC").schedule is None


# Evidence


def evidence(*run_ids):
    return [(Place("evidence", number), run_id) for number, run_id in enumerate(run_ids, 1)]


def test_evidence_and_journal_that_agree_are_in_order():
    assert check(checkpoint(), *run_at(0), *run_at(1), evidence=evidence("s1", "s0")).findings == []


@pytest.mark.parametrize(
    ("left", "rule", "file"),
    [
        (["s0", "s1", "s0"], Rule.EVIDENCE_TWICE, "evidence"),
        (["s0", "s1", "unheard"], Rule.EVIDENCE_UNKNOWN, "evidence"),
        (["s0"], Rule.EVIDENCE_MISSING, FILE),
    ],
)
def test_evidence_that_disagrees_is_found(left, rule, file):
    report = check(checkpoint(), *run_at(0), *run_at(1), evidence=evidence(*left))

    assert [(finding.rule, finding.place.file) for finding in report.findings] == [(rule, file)]


def test_evidence_of_a_run_that_never_started_is_found():
    lines = [checkpoint(), accepted(NOON, "r1"), end(NOON, "r1", "cancelled", None)]

    assert rules(check(*lines, evidence=evidence("r1"))) == [Rule.EVIDENCE_UNKNOWN]


def test_evidence_from_before_the_journal_is_only_counted():
    report = check(checkpoint(), evidence=evidence("20200101T000000-00000000"))

    assert report.findings == []
    assert report.counts["evidence_older_than_the_journal"] == 1


def test_job_that_leaves_no_evidence_at_all_is_not_held_to_it():
    assert check(checkpoint(), *run_at(0), evidence=[]).findings == []


# When a scheduler worked


def events(*names):
    return [line(at(minute), name) for minute, name in enumerate(names)]


@pytest.mark.parametrize(
    ("names", "minute"),
    [
        (["scheduler_started", "heartbeat"], 1),
        (["scheduler_started", "heartbeat", "scheduler_stopping", "heartbeat", "scheduler_stopped"], 1),
        (["scheduler_started", "heartbeat", "paused", "heartbeat"], 1),
        (["scheduler_started", "heartbeat", "paused", "heartbeat", "resumed", "heartbeat"], 5),
        (["scheduler_started", "paused", "heartbeat"], None),
        (["heartbeat"], None),
    ],
)
def test_scheduler_works_from_its_start_until_it_stops_or_is_paused(names, minute):
    assert worked_until(events(*names)) == (None if minute is None else at(minute))


def test_scheduler_that_was_killed_in_a_pause_works_again_from_the_next_start():
    killed = ["scheduler_started", "heartbeat", "paused", "heartbeat"]

    assert worked_until(events(*killed, "scheduler_started", "heartbeat")) == at(5)


def test_scheduler_that_starts_in_a_pause_has_not_worked_until_then():
    killed = ["scheduler_started", "heartbeat", "paused", "heartbeat"]

    assert worked_until(events(*killed, "scheduler_started", "paused", "heartbeat")) == at(1)


def test_when_a_scheduler_worked_before_its_schedules_began_anew_does_not_count():
    started, heartbeat, jump, paused = events("scheduler_started", "heartbeat", "clock_jump", "paused")

    assert worked_until([started, heartbeat, {**jump, "reanchored": False}, paused]) == at(1)
    assert worked_until([started, heartbeat, {**jump, "reanchored": True}, paused]) is None


def test_scheduler_says_that_it_starts_before_it_says_that_it_is_paused(tmp_path):
    async def story(world):
        (world.jobs / "PAUSE").touch()
        await world.boot()

    lines = play(tmp_path, story).main_lines("scheduler_started", "paused")

    assert [entry["event"] for entry in lines] == ["scheduler_started", "paused"]


# The zone


def started(when, zone):
    return line(when, "scheduler_started", timezone=zone)


def test_zones_are_those_of_the_schedulers_from_their_starts():
    main = [
        started(at(0), "Asia/Tokyo"),
        started(at(1), "Asia/Tokyo"),
        line(at(2), "scheduler_started"),
        started(at(3), "Nowhere/At_all"),
        {"event": "scheduler_started", "timestamp": 5, "timezone": "UTC"},
        started(at(4), "UTC"),
    ]

    assert zones(main, "Europe/Berlin") == [(at(0), "Asia/Tokyo"), (at(4), "UTC")]


def test_zone_is_the_default_where_no_start_is_known():
    assert [zone for _, zone in zones([line(at(0), "heartbeat")], "Europe/Berlin")] == ["Europe/Berlin"]


def test_each_line_is_held_against_the_schedule_in_the_zone_of_its_scheduler():
    utc, tokyo, london = (
        {"v1": Terms(parse("0 12 * * *", zone), may_overlap=False)} for zone in ("UTC", "Asia/Tokyo", "Europe/London")
    )
    noon_in_tokyo, next_noon_in_london = NOON + 15 * HOUR, NOON + 23 * HOUR
    changed, changed_again = NOON + 12 * HOUR, NOON + 20 * HOUR
    entries = [
        checkpoint(),
        start(NOON, "u", trigger="schedule", scheduled=NOON),
        end(NOON, "u"),
        start(noon_in_tokyo, "t", trigger="schedule", scheduled=noon_in_tokyo),
        end(noon_in_tokyo, "t"),
    ]
    lines = [Line(Place(FILE, number), entry) for number, entry in enumerate(entries, 1)]

    def found(*later):
        return rules(audit(lines, terms=utc, later=later, worked_until=next_noon_in_london + 2 * MINUTE))

    assert found((changed, tokyo)) == []
    assert found() == [Rule.TIME_UNSCHEDULED]
    assert found((changed, tokyo), (changed_again, london)) == [Rule.TIME_UNACCOUNTED]


def test_verb_reads_schedules_in_the_zone_that_was_set_at_the_time(tmp_path, capsys):
    jobs, logs = tmp_path / "jobs", tmp_path / "logs"
    jobs.mkdir()
    logs.mkdir()
    job = {"name": "job", "schedule": "0 12 * * *", "command": "true", "working_directory": "/", "enabled": True}
    data = json.dumps(job).encode()
    (jobs / "job.json").write_bytes(data)
    run = [start(NOON, "r", trigger="schedule", scheduled=NOON), end(NOON, "r")]
    journal = [checkpoint(jobs={"job": record(sha256=digest(data))}), *run]
    main = [started(SINCE, "UTC"), started(at(5), "Asia/Tokyo")]
    (logs / FILE).write_text("".join(json.dumps(entry) + "\n" for entry in journal))
    (logs / "scheduler_main.log").write_text("".join(json.dumps(entry) + "\n" for entry in main))
    code = cli.main(["audit-journal", "--logs", str(logs), "--jobs", str(jobs)])

    out = capsys.readouterr().out
    assert code == 0, out
    assert "1 scheduled time (1 compared" in out


# The verb


def test_verb_prints_findings_with_file_and_line_and_exits_1(tmp_path, capsys):
    (tmp_path / FILE).write_text("".join(json.dumps(entry) + "\n" for entry in BROKEN[Rule.ENDED_TWICE]))
    code = cli.main(["audit-journal", "--logs", str(tmp_path), "--jobs", str(tmp_path)])

    out = capsys.readouterr().out.splitlines()
    assert code == 1
    assert out[0].startswith(f"{FILE}:4: ended_twice: run s0 of job")
    assert out[-1].startswith("4 lines in 1 file: 1 start, 2 ends, ")
    assert out[-1].endswith("1 finding")


def test_verb_prints_json_and_exits_0_when_all_is_well(tmp_path, capsys):
    (tmp_path / f"{FILE}.1").write_text("".join(json.dumps(entry) + "\n" for entry in [checkpoint(), *run_at(0)]))
    (tmp_path / FILE).write_text(json.dumps(checkpoint(at(1), {"job": record(at(0))})) + "\n" + '{"torn": ')
    (tmp_path / "left").write_text("s0\n\n")
    arguments = ["audit-journal", "--logs", str(tmp_path), "--jobs", str(tmp_path), "--json"]
    code = cli.main([*arguments, "--evidence", str(tmp_path / "left")])

    report = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (report["clean"], report["findings"]) == (True, [])
    assert (report["counts"]["files"], report["counts"]["evidence"]) == (2, 1)


def test_verb_without_a_journal_is_an_error(tmp_path, capsys):
    assert cli.main(["audit-journal", "--logs", str(tmp_path)]) == 1
    assert "no journal" in capsys.readouterr().err


def test_text_and_document_tell_the_same():
    report = check(*BROKEN[Rule.OVERLAPPED])

    document = as_document(report)
    assert document["findings"][0]["rule"] == "overlapped"
    assert [text.split(": ")[1] for text in as_text(report)][:3] == ["overlapped", "open", "open"]
    assert document["open"] == {"s0": f"{FILE}:2", "s1": f"{FILE}:3"}


# The real scheduler's lines


def test_audit_finds_nothing_in_what_a_scheduler_writes_and_something_without_any_of_its_lines(tmp_path):
    async def story(world):
        world.job(schedule="* * * * *", retries={"max_attempts": 2, "initial_delay_seconds": 5})
        await world.boot()
        await world.at(at(1))
        await world.finish(world.running[0], exit_code=1)
        await world.at(at(1, 6))
        await world.finish(world.running[0])
        world.request("q1.json")
        await world.at(at(1, 10))
        await world.finish(world.running[0])
        await world.at(at(30))
        await world.finish(world.running[0])

    world = play(tmp_path, story)
    text = (world.logs / FILE).read_text().splitlines()
    entries = [json.loads(each) for each in text]
    sha256 = next(entry["sha256"] for entry in entries if entry["event"] == "job_start")
    terms = {sha256: EVERY_MINUTE}

    def audited(kept):
        return audit([Line(Place(FILE, number), entry) for number, entry in enumerate(kept, 1)], terms=terms)

    whole = audited(entries)
    assert whole.findings == []
    assert whole.counts["starts"] == 4
    for number, gone in enumerate(entries):
        rest = audited(list(itertools.chain(entries[:number], entries[number + 1 :])))
        is_told = gone["event"] in ("checkpoint", "job_complete") or rest.findings
        assert is_told or rest.open or rest.waiting, gone
