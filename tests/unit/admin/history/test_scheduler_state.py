"""The scheduler as its main log shows it."""

from __future__ import annotations

import sqlite3
from datetime import timedelta

import pytest

from admin_ui import scheduler_state
from admin_ui.database import TABLES
from tests.admin_index import DAY, heartbeat, started, state
from tests.admin_lines import NOON, append, line


def problem(file: str, seconds: float = 0):
    errors = [{"field": "schedule", "found": "x", "wanted": "five fields"}]
    return line("config_error", seconds, file=file, job_name=None, errors=errors, kept_last_good=False)


CRASH = [line(f"scheduler_{event}", 5, reason="x") for event in ("crashed", "stopping", "stopped")]


@pytest.mark.parametrize(
    ("story", "seconds", "status"),
    [
        ([], 0, "unknown"),
        ([started(0)], 80, "alive"),
        ([started(0)], 100, "silent"),
        ([started(0), line("heartbeat", 30, running=0, queued=0, next_run_at=None)], 100, "alive"),
        ([started(0), line("scheduler_stopping", 5, reason="SIGTERM")], 6, "stopping"),
        ([started(0), line("scheduler_stopped", 5, reason="SIGTERM")], 500, "stopped"),
        ([started(0), *CRASH[:2]], 6, "crashed"),  # it drains
        ([started(0), *CRASH], 6, "crashed"),
        ([started(0), *CRASH, started(6)], 7, "alive"),
        ([started(0), line("scheduler_stopping", 3, reason="SIGTERM"), CRASH[0], CRASH[2]], 6, "crashed"),
        ([line("scheduler_stopped", 4, reason="x"), started(5)], 6, "alive"),
        ([started(DAY), heartbeat(DAY + 30), line("scheduler_stopped", reason="x")], 5, "stopped"),
        ([started(DAY), heartbeat(0)], 80, "alive"),
        ([started(DAY), heartbeat(0)], 100, "silent"),
        ([started(DAY)], 0, "silent"),  # it was killed, and the clock is right again
        ([started(DAY)], DAY, "alive"),
        ([started(60)], 0, "alive"),  # the clock was set back a little: the next heartbeat comes
    ],
)
def test_the_scheduler_is_what_its_log_says(history, main_log, story, seconds, status):
    append(main_log, *story)
    history.poll()

    assert state(history, seconds).status == status


@pytest.mark.parametrize(
    ("story", "beat", "lost", "status"),
    [
        ([started(0)], 0, 3, "silent"),
        ([started(0), line("scheduler_stopping", 2, reason="SIGTERM")], 0, 3, "silent"),
        ([started(0), line("scheduler_stopped", 2, reason="SIGTERM")], 0, 3, "stopped"),
        ([started(0)], 5, 3, "alive"),  # of another version, or on files that know no such lock
        ([started(0), started(5)], 0, 3, "alive"),
    ],
)
def test_one_whose_lock_is_nobodys_is_silent_unless_it_gave_a_sign_since(history, main_log, story, beat, lost, status):
    append(main_log, *story)
    history.poll()

    assert state(history, 8, heartbeat=beat, lost=lost).status == status


@pytest.mark.parametrize(
    ("beat", "seconds", "status", "last_seen"),
    [
        (200, 210, "alive", 200),
        (DAY, 80, "alive", 0),
        (DAY, 100, "silent", 0),
        (200, 195, "alive", 200),
    ],
)
def test_a_heartbeat_of_the_future_is_no_sign_of_life(history, main_log, beat, seconds, status, last_seen):
    append(main_log, started(0))
    history.poll()
    found = state(history, seconds, beat)

    assert (found.status, found.last_seen) == (status, NOON + timedelta(seconds=last_seen))


def test_files_with_errors_are_told_until_they_are_right(history, main_log):
    append(main_log, problem("a.json"), problem("b.json"), problem("c.json"))
    append(main_log, line("config_recovered", 1, file="a.json", job_name=None))
    append(main_log, line("job_registered", 1, file="b.json", job_name="b", sha256="0" * 64))
    history.poll()

    assert [each.file for each in state(history).config_errors] == ["c.json"]
    assert state(history).config_errors[0].problems == (("schedule", "x", "five fields"),)


def test_errors_that_a_start_did_not_repeat_are_gone(history, main_log):
    append(main_log, problem("old.json"), problem("both.json"), problem("both.json", 5), problem("new.json", 5))
    append(main_log, started(6, config_errors=2))
    history.poll()

    assert [each.file for each in state(history).config_errors] == ["both.json", "new.json"]


def test_errors_of_more_files_than_there_can_be_take_no_memory_without_end(history, main_log, monkeypatch):
    monkeypatch.setattr(scheduler_state, "MOST_OF_ERRORS", 10_500)
    append(main_log, *(problem(f"{number:03}.json") for number in range(2 * scheduler_state.ERRORS_BETWEEN_LOOKS)))
    history.poll()

    assert [each.file for each in state(history).config_errors] == [f"{number:03}.json" for number in range(119, 128)]


def test_an_error_is_noted_without_a_look_at_all_others():
    errors, steps = 2000, 0

    def count() -> None:
        nonlocal steps
        steps += 100

    connection = sqlite3.connect(":memory:")
    connection.executescript(TABLES)
    connection.set_progress_handler(count, 100)
    for number in range(errors):
        scheduler_state.apply_main_entry(connection, problem(f"{number}.json"))

    assert steps < errors * errors
