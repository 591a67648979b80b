"""What is asked of the history: pages, searches, results, failures."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from admin_ui import queries
from admin_ui.errors import ValidationError
from admin_ui.history import History
from admin_ui.queries import Filter
from tests.admin_index import DAY, page
from tests.admin_lines import NOON, accepted, append, complete, failure, skipped, start


def test_a_cancelled_run_is_none_of_those_that_failed(history, log):
    append(log, failure("r1", 1, stderr="boom"), failure("r2", 2, status="cancelled", stderr="boom"))
    history.poll()

    assert page(history, status="failed") == page(history, text="boom", status="failed") == ["r1"]
    assert page(history, status="cancelled") == ["r2"]


@pytest.fixture
def stocked(history: History, log: Path) -> History:
    append(
        log,
        complete("r1", 10, stdout="alpha beta"),
        failure("r2", 20, stderr="Gamma 100%\n"),
        complete("r3", 30, job_name="other", stdout="alpha"),
        failure("r4", 40, status="timeout", trigger="manual", request_id="q", reason="after 5 s"),
        skipped(50),
        start("r5", 60),
    )
    history.poll()
    return history


@pytest.mark.parametrize(
    ("which", "found"),
    [
        ({}, ["r5", None, "r4", "r3", "r2", "r1"]),
        ({"job_name": "other"}, ["r3"]),
        ({"job_name": "none"}, []),
        ({"status": "failed"}, ["r4", "r2"]),
        ({"status": "timeout"}, ["r4"]),
        ({"status": "skipped"}, [None]),
        ({"status": "running"}, ["r5"]),
        ({"trigger": "manual"}, ["r4"]),
        ({"since": NOON + timedelta(seconds=19), "until": NOON + timedelta(seconds=39)}, ["r3", "r2"]),
        ({"text": "alpha"}, ["r3", "r1"]),
        ({"text": "ALPHA", "job_name": "job"}, ["r1"]),
        ({"text": "gamma 100%"}, ["r2"]),
        ({"text": "a b"}, ["r1"]),
        ({"text": "pha"}, ["r3", "r1"]),
        ({"text": "after 5"}, ["r4"]),
        ({"text": "%"}, ["r2"]),
        ({"text": '" OR "'}, []),
        ({"text": "r2"}, ["r2"]),
        ({"text": "alpha", "status": "failed"}, []),
        ({"text": "gamma", "status": "failed"}, ["r2"]),
        ({"text": "gamma", "status": "failure", "job_name": "job"}, ["r2"]),
    ],
)
def test_a_page_holds_what_its_filter_asks_for(stocked, which, found):
    assert page(stocked, **which) == found


def test_a_search_is_narrowed_by_job_and_status_whatever_the_job_is_called(history, log):
    append(log, *(complete(f"r{number}", job_name=name) for number, name in enumerate(("failed", "timeout", "x"))))
    append(log, skipped(job_name="failed", run_id="r9"))
    history.poll()

    assert page(history, text="success", job_name="failed") == ["r0"]
    assert page(history, text="success", job_name="timeout", status="success") == ["r1"]
    assert page(history, text="success", job_name="x") == ["r2"]
    assert page(history, text="already", status="skipped") == ["r9"]


@pytest.mark.parametrize("which", [{"status": "fine"}, {"text": "a\0b"}, {"text": "x" * 500}])
def test_a_filter_that_means_nothing_is_refused(stocked, which):
    with pytest.raises(ValidationError):
        page(stocked, **which)


@pytest.mark.parametrize("which", [{}, {"text": "job"}])
def test_pages_follow_each_other_without_gap_or_repetition(history, log, which):
    append(log, *(complete(f"r{number}", number // 3, took=0) for number in range(25)))  # three at each instant
    history.poll()
    seen: list[str | None] = []
    before = None
    with history.database.read() as connection:
        while True:
            part = queries.page(connection, Filter(**which), 7, before)
            seen += [each.run_id for each in part.rows]
            before = part.more
            if before is None:
                break

    assert seen == [f"r{number}" for number in reversed(range(25))]


@pytest.mark.parametrize("before", ["", "x", "2026|x", "1; DROP TABLE runs"])
def test_a_place_that_is_none_is_refused(stocked, before):
    with stocked.database.read() as connection, pytest.raises(ValidationError):
        queries.page(connection, Filter(), 5, before)


def test_log_entries_are_the_lines_of_the_job_newest_first(stocked):
    with stocked.database.read() as connection:
        lines = queries.log_lines(connection, "job", 100)
        entries = queries.log_entries(connection, lines.numbers)

    assert lines.complete
    assert [each["event"] for each in entries] == ["job_start", "job_skipped", *["job_complete"] * 3]
    assert entries[2] == failure("r4", 40, status="timeout", trigger="manual", request_id="q", reason="after 5 s")


def test_log_lines_beyond_the_limit_are_told_of(stocked):
    with stocked.database.read() as connection:
        few, searched, none = (
            queries.log_lines(connection, "job", limit, search)
            for limit, search in ((4, None), (1, "job"), (5, "nowhere"))
        )

    assert (len(few.numbers), few.complete) == (4, False)
    assert (len(searched.numbers), searched.complete) == (1, False)
    assert (none.numbers, none.complete) == ((), True)


def test_log_lines_that_were_forgotten_meanwhile_are_left_out(stocked):
    with stocked.database.read() as connection:
        number = queries.log_lines(connection, "job", 1).numbers[0]

        assert len(queries.log_entries(connection, [number, 10**9])) == 1


def test_no_more_lines_are_read_at_once_than_fit_but_always_one(stocked):
    with stocked.database.read() as connection:
        numbers = queries.log_lines(connection, "job", 100).numbers
        length = sum(len(json.dumps(each)) for each in queries.log_entries(connection, numbers))

        assert queries.fitting(connection, numbers, 2 * length) == numbers
        assert 1 < len(queries.fitting(connection, numbers, length // 2)) < len(numbers)
        assert queries.fitting(connection, numbers, 0) == numbers[:1]
        assert queries.fitting(connection, [10**9], 0) == [10**9]


def test_results_are_the_ended_runs_with_their_output(stocked):
    with stocked.database.read() as connection:
        results = queries.results(connection, "job", 2)

    assert [(each.run_id, each.status, each.success) for each in results] == [
        ("r4", "timeout", False),
        ("r2", "failure", False),
    ]
    assert results[1].stderr == "Gamma 100%\n"


def test_recent_tells_the_last_results_and_the_usual_duration(history, log):
    append(log, *(complete(f"r{number}", number, took=number) for number in range(1, 101)), failure("bad", 200))
    history.poll()

    with history.database.read() as connection:
        recent = queries.recent(connection, "job")
        never = queries.recent(connection, "none")
    assert recent.last is not None and recent.last.run_id == "bad"
    assert len(recent.results) == 20
    assert (recent.median_seconds, recent.p95_seconds) == (50, 96)
    assert (never.last, never.results, never.p95_seconds) == (None, (), None)


def test_the_last_result_is_the_journal_s_last_whatever_the_clock_said(history, log):
    append(log, failure("r1", 10), complete("r2", DAY), failure("r3", 20, stderr="news"))
    history.poll()

    with history.database.read() as connection:
        recent = queries.recent(connection, "job")
    assert recent.last is not None and recent.last.run_id == "r3"
    assert [run_id for run_id, *_ in recent.results] == ["r3", "r2", "r1"]


def test_the_newest_failure_is_the_journal_s_last_whatever_the_clock_said(history, log):
    append(log, failure("r1", DAY), failure("r2", 20))
    history.poll()

    with history.database.read() as connection:
        found = queries.failures(connection, NOON)
    assert [(each.run_id, count) for each, count in found] == [("r2", 2)]


def test_all_runs_that_wait_in_a_storm_are_there(history, log):
    append(log, *(accepted(f"q{number}", f"r{number}") for number in range(1000)))
    history.poll()

    with history.database.read() as connection:
        assert len(queries.active(connection, "queued")) == 1000


def test_a_run_has_its_processor_time_if_it_was_a_process(history, log):
    append(log, failure("r1", cpu_seconds=0.25), failure("r2", cpu_seconds=None))
    history.poll()

    with history.database.read() as connection:
        found = [queries.run(connection, run_id) for run_id in ("r1", "r2")]
    assert [row and row.cpu_seconds for row in found] == [0.25, None]


def test_failures_are_the_newest_of_each_job_and_their_number(stocked):
    with stocked.database.read() as connection:
        found = queries.failures(connection, NOON + timedelta(seconds=15))
        later = queries.failures(connection, NOON + timedelta(seconds=45))

    assert [(each.run_id, count) for each, count in found] == [("r4", 2)]
    assert later == []
