"""The logs as people read them: all files in their order, and what is added while they are rotated."""

import os
from datetime import timedelta

from sidecar.history import Follower, entries, newest_by_job, oldest
from tests.log_lines import NOW, complete, line


def events(lines):
    return [entry["event"] for entry in lines]


def test_entries_come_oldest_first_from_all_files_without_torn_lines(tmp_path):
    log = tmp_path / "log"
    log.write_text(line("c") + '{"event": "torn')
    (tmp_path / "log.1").write_text(line("b") + "x\n" + '{"event": "untimed"}\n')
    (tmp_path / "log.10").write_text(line("a"))

    assert events(entries(log)) == ["a", "b", "c"]
    assert events(entries(log, [b'"b"', b'"a"'])) == ["a", "b"]


def test_the_oldest_line_says_how_far_a_log_reaches_back(tmp_path):
    (tmp_path / "log.1").write_text(line("a", NOW - timedelta(days=3)))
    (tmp_path / "log").write_text(line("b"))

    assert oldest(tmp_path / "log") == NOW - timedelta(days=3)
    assert oldest(tmp_path / "none") is None


def test_newest_by_job_looks_no_further_than_needed(tmp_path):
    (tmp_path / "log.1").mkdir()
    (tmp_path / "log").write_text(complete("a", run_id="r1") + complete("a", run_id="r2"))

    assert newest_by_job(tmp_path / "log", "job_complete", ["a"])["a"]["run_id"] == "r2"


def test_a_follower_begins_at_the_end_and_waits_for_whole_lines(tmp_path):
    log = tmp_path / "log"
    log.write_text(line("old"))
    follower = Follower(log)
    whole = line("new")
    with log.open("a") as file:
        file.write(whole[:20])
        file.flush()
        first = follower.new_entries()
        file.write(whole[20:])
    second = follower.new_entries()
    follower.close()

    assert (events(first), events(second)) == ([], ["new"])


def test_a_follower_goes_on_where_a_line_was_cut_off_behind_it(tmp_path):
    log = tmp_path / "log"
    log.write_text(line("old"))
    whole = log.stat().st_size
    with log.open("a") as file:
        file.write(line("checkpoint" * 100))
    follower = Follower(log)
    os.truncate(log, whole)
    nothing = follower.new_entries()
    with log.open("a") as file:
        file.write(line("new"))
    found = follower.new_entries()
    with log.open("a") as file:
        file.write(line("newer" * 500))
    more = follower.new_entries()
    follower.close()

    assert (nothing, events(found), events(more)) == ([], ["new"], ["newer" * 500])


def test_a_follower_takes_lines_that_were_cut_off_and_written_again_once(tmp_path):
    log = tmp_path / "log"
    log.write_text(line("old"))
    follower, whole = Follower(log), log.stat().st_size
    with log.open("a") as file:
        file.write(line("a") + line("b"))
    found = events(follower.new_entries())
    os.truncate(log, whole + len(line("a")))
    found += events(follower.new_entries())
    with log.open("a") as file:
        file.write(line("b") + line("c"))
    found += events(follower.new_entries())
    follower.close()

    assert found == ["a", "b", "c"]


def test_a_follower_of_a_log_that_is_not_there_yet_reads_it_from_its_beginning(tmp_path):
    follower = Follower(tmp_path / "log")
    nothing = follower.new_entries()
    (tmp_path / "log").write_text(line("first"))
    found = follower.new_entries()
    follower.close()

    assert (nothing, events(found)) == ([], ["first"])


def test_a_follower_reads_what_came_before_and_after_several_rotations(tmp_path):
    log = tmp_path / "log"
    log.write_text(line("old"))
    follower = Follower(log)
    with log.open("a") as file:
        file.write(line("a"))
    log.rename(tmp_path / "log.2")
    (tmp_path / "log.1").write_text(line("b"))
    log.write_text(line("c"))
    found = events(follower.new_entries())
    again = follower.new_entries()
    follower.close()

    assert (found, again) == (["a", "b", "c"], [])


def test_a_follower_goes_on_with_a_log_that_was_replaced(tmp_path):
    log = tmp_path / "log"
    log.write_text(line("old"))
    follower = Follower(log)
    log.unlink()
    log.write_text(line("new"))
    found = events(follower.new_entries())
    follower.close()

    assert found == ["new"]
