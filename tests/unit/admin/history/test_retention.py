"""What is older than is kept is forgotten, with all that could find it."""

from __future__ import annotations

from datetime import timedelta

from admin_ui.history import History
from tests.admin_index import DAY, page, row
from tests.admin_lines import accepted, append, complete, skipped, start


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
