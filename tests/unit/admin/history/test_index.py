"""The index is made again when it is lost or damaged, and has many readers beside its writer."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from admin_ui.errors import StorageError
from admin_ui.history import INDEX, History
from tests.admin_index import page, row
from tests.admin_lines import append, complete, failure


def damage_by_removal(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def damage_by_garbage(path: Path) -> None:
    damage_by_removal(path)
    path.write_bytes(b"garbage" * 10_000)


def damage_inside(path: Path) -> None:
    data = path.read_bytes()
    damage_by_removal(path)
    path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))


def damage_by_version(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize("damage", [damage_by_removal, damage_by_garbage, damage_inside, damage_by_version])
def test_a_lost_or_damaged_index_is_made_again_from_the_logs(history, log, tmp_path, damage):
    append(log, complete("r1", stdout="found again"))
    history.poll()
    history.stop()
    damage(tmp_path / "data" / INDEX)
    again = History(tmp_path / "logs", tmp_path / "data", keep_days=100_000)
    for _ in range(2):  # damage deep inside is found when it is met, and mended with the next pass
        try:
            again.poll()
        except StorageError:
            continue

    assert page(again, text="found again") == ["r1"]
    again.stop()


def test_an_index_of_the_version_before_keeps_what_the_logs_no_longer_have(history, log, tmp_path):
    append(log, failure("r1", 1, stderr="boom"), failure("r2", 2, status="cancelled", reason="by anna"))
    history.poll()
    before = {run_id: row(history, run_id) for run_id in ("r1", "r2")}
    history.stop()
    log.unlink()
    with sqlite3.connect(tmp_path / "data" / INDEX) as connection:
        connection.execute("UPDATE runs SET failed = 1, cause = 'by anna' WHERE run_id = 'r2'")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    again = History(tmp_path / "logs", tmp_path / "data", keep_days=100_000)
    again.poll()

    assert {run_id: row(again, run_id) for run_id in ("r1", "r2")} == before
    assert page(again, status="failed") == ["r1"]
    again.stop()


def test_an_index_that_is_removed_while_it_is_in_use_is_made_again(history, log, tmp_path):
    append(log, complete("r1"))
    history.poll()
    damage_by_removal(tmp_path / "data" / INDEX)
    history.poll()

    assert page(history) == ["r1"]


def test_lines_that_cannot_be_read_are_counted_once_also_if_the_index_is_made_again(history, log, tmp_path):
    append(log, complete("r1"))
    log.write_bytes(log.read_bytes() + b"{}\n")
    history.poll()
    os.unlink(tmp_path / "data" / INDEX)
    history.poll()

    assert (page(history), history.skipped_lines) == (["r1"], 1)


def test_an_index_that_lost_a_table_while_it_is_in_use_is_made_again(history, log, tmp_path):
    append(log, complete("r1"))
    history.poll()
    with sqlite3.connect(tmp_path / "data" / INDEX) as connection:
        connection.execute("DROP TABLE runs")
    connection.close()
    with pytest.raises(StorageError, match="no such table"):
        page(history)
    history.poll()

    assert page(history) == ["r1"]


def test_an_empty_database_in_the_place_of_the_index_is_not_taken_for_it(history, log, tmp_path):
    append(log, complete("r1"))
    history.poll()
    other = tmp_path / "data" / "other"
    other.touch()
    os.replace(other, tmp_path / "data" / INDEX)  # beside it, the -wal of the one that was there
    history.poll()

    assert page(history) == ["r1"]


def test_the_index_is_made_anew_only_when_no_reader_has_the_old_one(history, log, tmp_path):
    append(log, complete("r1"))
    history.poll()
    with history.database.read():
        damage_by_removal(tmp_path / "data" / INDEX)
        polling = threading.Thread(target=history.poll)
        polling.start()
        polling.join(0.2)
        made_meanwhile = (tmp_path / "data" / INDEX).exists()
    polling.join()

    assert not made_meanwhile
    assert page(history) == ["r1"]


def test_a_reader_that_never_ends_makes_the_index_unusable_but_nobody_hang(history, log, tmp_path, monkeypatch):
    monkeypatch.setattr("admin_ui.database.ALONE_SECONDS", 0.01)
    append(log, complete("r1"))
    history.poll()
    with history.database.read():
        damage_by_removal(tmp_path / "data" / INDEX)
        with pytest.raises(StorageError, match="in use"):
            history.poll()
    history.poll()

    assert page(history) == ["r1"]


def test_a_data_directory_that_cannot_be_written_is_an_error_that_says_so(tmp_path):
    (tmp_path / "data").write_text("a file")
    history = History(tmp_path, tmp_path / "data")

    with pytest.raises(StorageError, match="cannot be opened"):
        history.poll()


def test_the_thread_says_what_is_wrong_and_goes_on_when_it_is_right_again(history, log, tmp_path, monkeypatch):
    monkeypatch.setattr("admin_ui.history.RETRY_SECONDS", 0.01)
    (tmp_path / "data").write_text("a file")
    append(log, complete("r1"))
    history.start()
    assert history.problem is not None
    (tmp_path / "data").unlink()

    assert history.wait_for(lambda: page(history) or None if history.problem is None else None, 5) == ["r1"]


def test_waiting_ends_as_soon_as_the_line_is_there(history, log):
    history.start()
    timer = threading.Timer(0.1, append, (log, complete("r1")))
    timer.start()

    assert history.wait_for(lambda: page(history) or None, 5) == ["r1"]
    assert history.wait_for(lambda: None, 0.01) is None


def test_many_threads_read_while_one_writes(history, log):
    append(log, *(complete(f"r{number}", number) for number in range(50)))
    history.start()
    problems: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(30):
                assert len(page(history)) >= 50
                assert len(page(history, text="success")) >= 50
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for each in threads:
        each.start()
    for number in range(50, 90):
        append(log, complete(f"r{number}", number))
    for each in threads:
        each.join()

    assert problems == []
    assert history.wait_for(lambda: len(page(history)) == 90 or None, 5)


def test_the_index_is_for_its_owner_only(history, log, tmp_path):
    append(log, complete("r1", 1))
    history.poll()
    kept = [path for path in (tmp_path / "data").iterdir() if path.name.startswith(INDEX)]
    assert len(kept) > 1
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
