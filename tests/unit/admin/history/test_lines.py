"""Lines become rows, in whatever order they come; a hostile one hides no other."""

from __future__ import annotations

import sqlite3
from datetime import timedelta

import pytest

from admin_ui import queries
from admin_ui.errors import StorageError
from admin_ui.history import History
from admin_ui.journal_rows import APPLY, _started
from admin_ui.page.job_log import entries_html
from admin_ui.queries import Filter
from tests import admin_lines as lines
from tests.admin_index import page, rejected, row, started, state
from tests.admin_lines import NOON, accepted, append, checkpoint, complete, failure, line, skipped, start


def test_a_run_goes_from_queued_to_running_to_its_end(history, log):
    append(log, checkpoint(), accepted("q1", "r1"))
    history.poll()
    assert row(history, "r1").status == "queued"
    append(log, start("r1", trigger="manual", request_id="q1"))
    history.poll()
    assert row(history, "r1").status == "running"
    append(log, failure("r1", 5, took=4, trigger="manual", request_id="q1", stderr="bad\n"))
    history.poll()

    found = row(history, "r1")
    assert (found.status, found.failed, found.exit_code, found.cause) == ("failure", True, 1, "bad")
    assert (found.requested_by, found.trigger, found.duration_seconds) == ("anna", "manual", 4)
    assert (found.at, found.end_time) == (NOON + timedelta(seconds=1), NOON + timedelta(seconds=5))


def test_what_is_known_of_the_end_stands_in_whatever_order_lines_come(history, log):
    append(log, complete("r1"), start("r1"), accepted("q1", "r1"))
    history.poll()

    assert row(history, "r1").status == "success"


def test_skipped_and_missed_times_are_rows_with_their_reason(history, log):
    append(log, skipped(), skipped(2, count=3, reason="paused") | {"event": "job_missed"})
    history.poll()

    with history.database.read() as connection:
        rows = queries.page(connection, Filter(job_name="job"), 10).rows
    assert [(each.status, each.cause, each.count, each.failed) for each in rows] == [
        ("missed", "paused", 3, False),
        ("skipped", "already_running", 1, False),
    ]


def test_a_queued_run_that_is_passed_over_is_one_row(history, log):
    append(log, accepted("q1", "r1"), skipped(1, run_id="r1", request_id="q1", reason="expired"))
    history.poll()

    assert page(history) == ["r1"]
    assert (row(history, "r1").status, row(history, "r1").cause) == ("skipped", "expired")


def test_a_retry_waits_as_a_row_of_its_own_until_it_starts(history, log):
    append(log, failure("r1", retry_at=lines.time(60)))
    history.poll()
    waiting = row(history, "r1-2")
    append(log, start("r1-2", 60, trigger="retry", attempt=2, first_run_id="r1"))
    history.poll()

    assert (waiting.status, waiting.trigger, waiting.at) == ("queued", "retry", NOON + timedelta(seconds=60))
    assert waiting.exit_code is None
    assert row(history, "r1-2").status == "running"


def test_a_checkpoint_brings_in_runs_whose_lines_were_rotated_away(history, log):
    running = {"run_id": "r1", "job_name": "job", "trigger": "schedule", "since": lines.time(), "attempt": 1}
    append(log, checkpoint(1, open=[{**running, "request_id": None}]))
    history.poll()

    assert row(history, "r1").status == "running"


def test_a_checkpoint_tells_of_runs_that_started_in_lines_that_were_never_read(history, log):
    going = {"job_name": "job", "trigger": "manual", "since": lines.time(60), "attempt": 1, "request_id": None}
    append(log, accepted("q1", "r1"), failure("r2", retry_at=lines.time(60)), accepted("q3", "r3"))
    append(
        log,
        checkpoint(100, open=[going | {"run_id": each} for each in ("r1", "r2-2")], pending=[going | {"run_id": "r3"}]),
    )
    history.poll()

    assert [row(history, each).status for each in ("r1", "r2-2", "r3")] == ["running", "running", "queued"]
    assert row(history, "r1").at == NOON + timedelta(seconds=60)
    assert row(history, "r3").requested_by == "anna"


def test_a_run_that_a_later_checkpoint_does_not_know_is_unknown_until_its_end_is_read(history, log):
    append(log, start("r1"), checkpoint(3), start("r2", 5))
    history.poll()
    assert (row(history, "r1").status, row(history, "r2").status) == ("unknown", "running")
    append(log, complete("r1", 6))
    history.poll()
    assert row(history, "r1").status == "success"


def test_what_a_checkpoint_does_not_know_is_over_also_if_the_clock_was_set_back_meanwhile(history, log):
    append(log, start("r1", 5), accepted("q2", "r2", 5), checkpoint(3), start("r3", 1))
    history.poll()

    assert [row(history, each).status for each in ("r1", "r2", "r3")] == ["unknown", "unknown", "running"]


def test_a_checkpoint_that_is_read_again_says_nothing_of_runs_that_began_after_it(history, log):
    append(log, checkpoint(3), start("r1", 1), start("r2", 5))
    history.poll()
    copy = log.read_bytes()
    log.unlink()
    log.write_bytes(copy)  # another file, as by a restored backup
    history.poll()

    assert [row(history, each).status for each in ("r1", "r2")] == ["running", "running"]


def test_definitions_in_force_are_those_of_the_checkpoints(history, log):
    records = {name: {"handled": lines.time(), "sha256": name * 64, "since": lines.time()} for name in ("a", "b")}
    append(log, checkpoint(0, jobs=records), line("checkpoint", 1, full=False, jobs={"a": None}))
    history.poll()

    with history.database.read() as connection:
        assert queries.in_force(connection) == {"b": "b" * 64}


PAUSED = line("paused", job_name="job", file="PAUSE")
HALF = b"\xed\xa0\x80"  # of a character; json.loads takes it, SQLite does not
HOSTILE_LINES = [
    b"\n",
    b"{}\n",
    b"\xff\xfe\n",
    b"[" * 50_000 + b"\n",
    b'{"event":"job_start"}\n',
    lines.data(rejected("a?")).replace(b"?", HALF),
    lines.data(complete("r3", stdout="a?")).replace(b"?", HALF),
    lines.data(PAUSED),
    lines.data(PAUSED | {"job_name": ["job"]}),
    lines.data(PAUSED | {"run_id": {}}),
    lines.data(PAUSED | {"stdout": []}),
    lines.data(PAUSED | {"status": 10**23}),
    lines.data(start("r3", status=[])),
    lines.data(start("r3", stdout={"a": 1})),
    lines.data(start("r3", retry_at="yesterday")),
    lines.data(start("r3"))[:-2] + b', "new": ' + b"[" * 900 + b"]" * 900 + b"}\n",
]


@pytest.mark.parametrize("junk", HOSTILE_LINES)
def test_a_hostile_line_hides_no_other(history, log, junk):
    log.write_bytes(lines.data(complete("r1")) + junk + lines.data(complete("r2")))
    history.poll()

    assert page(history) == ["r2", "r1"]
    assert history.skipped_lines == (junk != b"\n")


@pytest.mark.parametrize("junk", HOSTILE_LINES)
def test_a_hostile_line_is_in_no_job_s_log(history, log, junk):
    log.write_bytes(junk + lines.data(complete("r2")))
    history.poll()

    with history.database.read() as connection:
        entries = queries.log_entries(connection, queries.log_lines(connection, "job", 100).numbers)
    assert entries == [complete("r2")]
    assert entries_html(entries, "", None, lambda entry: False)[1] == 1


@pytest.mark.parametrize(
    "junk",
    [
        lines.data(line("scheduler_started", timezone="a?", version="1", config_errors=0)).replace(b"?", HALF),
        lines.data(line("scheduler_started", timezone="UTC", version=["1"], config_errors=0)),
        lines.data(line("config_error", file="a", job_name=[], errors=[], kept_last_good=False)),
        lines.data(complete("r1")),
    ],
)
def test_a_hostile_line_in_the_main_log_hides_no_other(history, main_log, junk):
    main_log.write_bytes(junk + lines.data(started(0)))
    history.poll()

    assert state(history).status == "alive"
    assert history.skipped_lines == 1


@pytest.mark.parametrize("fault", [KeyError("x"), OverflowError("x"), sqlite3.ProgrammingError("x"), RecursionError()])
def test_a_line_that_nobody_thought_of_is_passed_over_alone(history, log, monkeypatch, caplog, fault):
    def take_up(connection, entry, seq):
        if entry["run_id"] == "r2":
            raise fault
        _started(connection, entry, seq)

    monkeypatch.setitem(APPLY, "job_start", take_up)
    append(log, start("r1"), start("r2"), start("r3"))
    history.poll()
    append(log, start("r4"))

    assert history.poll() == 1
    assert sorted(filter(None, page(history))) == ["r1", "r3", "r4"]
    assert history.skipped_lines == 1
    assert "cannot be taken up" in caplog.text
    with history.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM lines").fetchone() == (3,)  # nothing of it half


def test_a_full_disk_costs_no_line(history, log, monkeypatch):
    def full(connection, entry, seq):
        raise sqlite3.OperationalError("database or disk is full")

    append(log, start("r1"), start("r2"))
    with monkeypatch.context() as patch:
        patch.setitem(APPLY, "job_start", full)
        with pytest.raises(StorageError, match="full"):
            history.poll()
    history.poll()

    assert sorted(filter(None, page(history))) == ["r1", "r2"]
    assert history.skipped_lines == 0


def test_an_error_that_nobody_thought_of_ends_neither_the_start_nor_the_thread(history, log, monkeypatch):
    monkeypatch.setattr("admin_ui.history.RETRY_SECONDS", 0.01)
    poll = History.poll
    monkeypatch.setattr(History, "poll", lambda self: 1 // 0)
    history.start()
    told = history.problem
    monkeypatch.setattr(History, "poll", poll)
    append(log, complete("r1"))

    assert told is not None and "division" in told
    assert history.wait_for(lambda: page(history) or None if history.problem is None else None, 5) == ["r1"]
