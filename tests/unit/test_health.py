"""The heartbeat and what the health check makes of it."""

import os
import time

import pytest

from sidecar import health
from sidecar.journal import JOURNAL


@pytest.fixture
def logs(tmp_path):
    (tmp_path / JOURNAL).write_text("")
    return tmp_path


def test_a_fresh_heartbeat_and_a_writable_journal_are_healthy(logs):
    health.beat(logs, works=True)

    assert health.problem(logs) is None


def test_an_old_heartbeat_is_a_problem_that_says_how_old(logs):
    health.beat(logs, works=True)
    long_ago = time.time() - 500
    os.utime(logs / health.HEARTBEAT, (long_ago, long_ago))

    assert "500 s ago" in (health.problem(logs) or "")


def test_a_beat_renews_an_old_heartbeat(logs):
    (logs / health.HEARTBEAT).write_text("")
    os.utime(logs / health.HEARTBEAT, (0, 0))
    health.beat(logs, works=True)

    assert health.problem(logs) is None


def test_no_heartbeat_is_a_problem(logs):
    assert "no heartbeat" in (health.problem(logs) or "")


def test_a_journal_that_does_not_work_is_a_problem_at_once(logs):
    health.beat(logs, works=True)
    health.beat(logs, works=False)

    assert health.problem(logs) is not None


def test_a_missing_journal_is_a_problem_that_names_it(logs):
    health.beat(logs, works=True)
    (logs / JOURNAL).unlink()

    assert JOURNAL in (health.problem(logs) or "")


def test_a_beat_into_a_missing_directory_is_no_error(tmp_path):
    health.beat(tmp_path / "gone", works=True)
    health.beat(tmp_path / "gone", works=False)


def test_a_heartbeat_far_in_the_future_is_a_problem(logs):
    health.beat(logs, works=True)
    later = time.time() + 3600
    os.utime(logs / health.HEARTBEAT, (later, later))

    assert "in the future" in (health.problem(logs) or "")


def test_a_beat_does_not_wait_for_who_reads_a_fifo_in_its_place(logs):
    os.mkfifo(logs / health.HEARTBEAT)

    health.beat(logs, works=True)  # hangs otherwise


def test_a_beat_follows_no_link(logs, tmp_path):
    (logs / health.HEARTBEAT).symlink_to(tmp_path / "elsewhere")
    health.beat(logs, works=True)

    assert not (tmp_path / "elsewhere").exists()
