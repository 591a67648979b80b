"""The logs are followed whatever happens to them, and each line is taken up once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from admin_ui import follow, queries
from admin_ui.history import History
from admin_ui.queries import Filter
from tests import admin_lines as lines
from tests.admin_index import page, started, state
from tests.admin_lines import append, checkpoint, complete, failure, line, skipped

# A log without end


@pytest.fixture
def endless(main_log: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(follow, "MOST_BYTES", 32 << 20)
    append(main_log, started(0))
    with main_log.open("ab") as file:
        file.write(b"x" * (100 << 20))
    return main_log


def test_a_line_without_end_is_told_of_while_what_follows_it_is_not_read(history, log, endless):
    append(log, complete("r1"))
    history.poll()
    assert history.problem is not None
    assert endless.name in history.problem
    assert page(history) == ["r1"]
    append(endless, line("scheduler_stopped", 9, reason="x"), line("scheduler_stopped", 9, reason="x"))
    while history.problem is not None:
        history.poll()

    assert state(history, 9).status == "stopped"
    assert history.skipped_lines == 1


def test_the_thread_does_not_rest_before_a_log_is_read_to_its_end(history, endless, monkeypatch):
    monkeypatch.setattr("admin_ui.history.IDLE_SECONDS", 60)
    history.start()

    assert history.problem is not None
    assert history.wait_for(lambda: True if history.problem is None else None, 10)


def test_a_stop_does_not_wait_for_the_end_of_a_log(history, log, monkeypatch):
    monkeypatch.setattr(follow, "CHUNK_BYTES", 1000)
    append(log, *(complete(f"r{number}") for number in range(200)))
    write = history.database.write
    written = []

    def write_and_stop():
        written.append(1)
        history._stopping.set()
        return write()

    monkeypatch.setattr(history.database, "write", write_and_stop)
    history.poll()

    assert len(written) <= 2


# The logs are gone


@pytest.fixture
def gone_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admin_ui.history.GONE_AFTER_SECONDS", 0)


def take_away_the_directory(log: Path) -> None:
    os.rename(log.parent, log.parent.with_name("elsewhere"))


def put_a_directory_in_its_place(log: Path) -> None:
    log.unlink()
    log.mkdir()


@pytest.mark.usefixtures("gone_at_once")
@pytest.mark.parametrize("take_away", [Path.unlink, take_away_the_directory, put_a_directory_in_its_place])
@pytest.mark.parametrize("restart", [False, True])
def test_a_journal_that_is_gone_is_told_of_until_it_is_there_again(history, log, tmp_path, take_away, restart):
    append(log, complete("r1"))
    history.poll()
    assert history.problem is None
    take_away(log)
    if restart:
        history.stop()
        history = History(tmp_path / "logs", tmp_path / "data", keep_days=100_000)
    history.poll()
    assert history.problem is not None
    assert history.problem.startswith("the journal is gone: ")
    log.parent.mkdir(exist_ok=True)
    if log.is_dir():
        log.rmdir()
    append(log, complete("r2"))
    history.poll()

    assert history.problem is None
    history.stop()


@pytest.mark.usefixtures("gone_at_once")
def test_a_log_directory_that_is_none_is_told_of(history, log):
    append(log, complete("r1"))
    history.poll()
    log.unlink()
    log.parent.rmdir()
    log.parent.write_text("a file")
    history._try()

    assert history.problem is not None
    assert "Not a directory" in history.problem


@pytest.mark.usefixtures("gone_at_once")
def test_a_first_start_without_any_log_is_nothing_to_tell_of(history, log):
    history.poll()
    assert history.problem is None
    log.parent.rmdir()
    history.poll()
    assert history.problem is None


def test_the_moment_of_a_rotation_is_nothing_to_tell_of(history, log):
    append(log, complete("r1"))
    history.poll()
    os.rename(log, f"{log}.1")
    history.poll()
    history.poll()

    assert history.problem is None


# Each line once


def test_a_line_is_indexed_once_however_often_it_is_read(history, log, tmp_path):
    append(log, complete("r1"), skipped())
    history.poll()
    os.rename(log, f"{log}.1")
    log.write_bytes(Path(f"{log}.1").read_bytes())  # copied, as by a restored backup
    append(log, complete("r2"))
    history.poll()

    assert sorted(page(history), key=str) == sorted([None, "r1", "r2"], key=str)
    with history.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM lines").fetchone() == (3,)


def test_another_service_on_the_same_index_goes_on_where_the_first_was(history, log, tmp_path):
    append(log, complete("r1"))
    history.poll()
    history.stop()
    append(log, complete("r2"))
    again = History(tmp_path / "logs", tmp_path / "data", keep_days=100_000)

    assert again.poll() == 1
    assert page(again) == ["r2", "r1"]
    again.stop()


def test_old_files_that_are_put_back_bring_no_old_news(history, log, main_log):
    old_sha, sha = ({"job": {"handled": lines.time(), "sha256": each * 64, "since": lines.time()}} for each in "ab")
    append(log, checkpoint(500, jobs=sha), failure("r5", 500), failure("r6", 510))
    append(main_log, started(500), line("scheduler_stopped", 510, reason="x"))
    history.poll()
    append(Path(f"{log}.1"), checkpoint(jobs=old_sha), *(complete(f"r{number}", number) for number in (1, 2)))
    append(Path(f"{log}.2"), complete("r0", 0))
    append(Path(f"{main_log}.1"), started(1))
    history.poll()

    with history.database.read() as connection:
        recent = queries.recent(connection, "job")
        found = queries.page(connection, Filter(text="job"), 3)
        older = queries.page(connection, Filter(text="job"), 9, found.more)
        numbers = queries.log_lines(connection, "job", 100).numbers
        assert queries.in_force(connection) == {"job": "b" * 64}
        assert [each["run_id"] for each in queries.log_entries(connection, numbers)] == ["r6", "r5", "r2", "r1", "r0"]
    assert [run_id for run_id, *_ in recent.results] == ["r6", "r5", "r2", "r1", "r0"]
    assert [each.run_id for each in (*found.rows, *older.rows)] == ["r6", "r5", "r2", "r1", "r0"]
    assert state(history, 600).status == "stopped"
    with history.database.write() as connection:
        connection.execute("DELETE FROM lines WHERE facts = ''")  # never searched, so not among the texts
        connection.execute("INSERT INTO texts (texts, rank) VALUES ('integrity-check', 1)")


def test_history_outlives_the_logs(history, log):
    append(log, complete("r1", stdout="kept"))
    history.poll()
    log.unlink()
    history.poll()

    with history.database.read() as connection:
        assert queries.results(connection, "job", 5)[0].stdout == "kept"
