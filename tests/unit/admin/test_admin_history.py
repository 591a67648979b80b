"""The read model: each line once, whatever happens to the logs or the index; what is asked is answered from it."""

from __future__ import annotations

import os
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from admin_ui import follow, queries
from admin_ui.errors import StorageError, ValidationError
from admin_ui.history import APPLY, INDEX, JOURNAL, MAIN_LOG, History, _started
from admin_ui.page.job_log import entries_html
from admin_ui.queries import Filter
from admin_ui.scheduler_state import scheduler_state
from tests import admin_lines as lines
from tests.admin_lines import NOON, accepted, append, checkpoint, complete, failure, line, skipped, start


@pytest.fixture
def history(tmp_path: Path):
    (tmp_path / "logs").mkdir()
    history = History(tmp_path / "logs", tmp_path / "data", keep_days=100_000)
    yield history
    history.stop()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / JOURNAL


@pytest.fixture
def main_log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / MAIN_LOG


def page(history: History, **which) -> list[str | None]:
    with history.database.read() as connection:
        return [row.run_id for row in queries.page(connection, Filter(**which), 100).rows]


def row(history: History, run_id: str) -> queries.HistoryRow:
    with history.database.read() as connection:
        found = queries.run(connection, run_id)
    assert found is not None
    return found


def state(history: History, seconds: float = 0, heartbeat: float | None = None):
    beat = None if heartbeat is None else NOON + timedelta(seconds=heartbeat)
    with history.database.read() as connection:
        return scheduler_state(connection, NOON + timedelta(seconds=seconds), beat)


def started(seconds: float, config_errors: int = 0):
    return line("scheduler_started", seconds, timezone="Europe/Berlin", version="1", config_errors=config_errors)


def heartbeat(seconds: float):
    return line("heartbeat", seconds, running=0, queued=0, next_run_at=None)


def rejected(request_id: str):
    return accepted(request_id, "r9") | {"event": "trigger_rejected", "reason": "disabled", "detail": ""}


DAY = 86_400


# Lines become rows


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


# The index is lost or damaged


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


# Retention


def test_what_is_older_than_is_kept_is_forgotten_and_no_longer_found(tmp_path, log):
    log.parent.mkdir()
    history = History(tmp_path / "logs", tmp_path / "data", keep_days=30)
    append(log, accepted("q1", "r1"), start("r1"), complete("r1", stdout="needle", request_id="q1"), skipped())
    append(log, complete("r2", 86_400 * 365 * 50, stdout="needle"))
    history.poll()

    assert page(history) == ["r2"]
    assert page(history, text="needle") == ["r2"]
    with history.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM answers").fetchone() == (0,)
    with history.database.write() as connection:
        connection.execute("INSERT INTO texts (texts, rank) VALUES ('integrity-check', 1)")
    history.stop()


def test_a_run_is_kept_while_it_goes_on_and_for_so_long_after_its_end(tmp_path, log):
    log.parent.mkdir()
    history = History(tmp_path / "logs", tmp_path / "data", keep_days=30)
    append(log, start("r1"), accepted("q2", "r2"), complete("r3", DAY * 365 * 50, took=DAY * 365 * 50))
    history.poll()

    assert [row(history, each).status for each in ("r1", "r2", "r3")] == ["running", "queued", "success"]
    append(log, complete("r1", 10))
    history.poll()
    history._forget()
    assert sorted(page(history), key=str) == ["r2", "r3"]
    history.stop()


def test_what_was_read_of_a_job_before_some_of_it_was_forgotten_is_stale(tmp_path, log):
    log.parent.mkdir()
    history = History(tmp_path / "logs", tmp_path / "data", keep_days=100_000)
    append(log, complete("r1"), complete("r2", DAY * 365 * 50, job_name="other"))
    history.poll()
    before = dict(history.changes)
    history._keep = timedelta(days=30)
    history._forget()

    assert (before["job"] < history.changes["job"], before["other"] == history.changes["other"]) == (True, True)
    history.stop()


# Questions


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


def test_the_index_is_for_its_owner_only(history, log, tmp_path):
    append(log, complete("r1", 1))
    history.poll()
    kept = [path for path in (tmp_path / "data").iterdir() if path.name.startswith(INDEX)]
    assert len(kept) > 1
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}


def test_text_behind_a_nul_is_found_and_forgotten_like_any_other(history, log):
    append(log, complete("r1", 1, stderr="before\0behind"), complete("r2", 2, stderr="other"))
    history.poll()
    assert page(history, text="behind") == ["r1"]
    assert page(history, text="before") == ["r1"]
    history._keep = timedelta(0)
    history._forget()
    with history.database.write() as connection:  # raises if a text was taken out other than it was put in
        connection.execute("INSERT INTO texts (texts, rank) VALUES ('integrity-check', 0)")
    assert page(history, text="behind") == []


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


# The scheduler


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
