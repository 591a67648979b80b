"""Following a log: every whole line once and in order, whatever becomes of the files."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

from admin_ui import follow
from admin_ui.follow import Cursor, Follower


class Reader:
    """Follows a log as the history does: with the cursors it saved, by one follower or (`restart`) a new one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cursors: dict[str, Cursor] = {}
        self.skipped = 0
        self.late: list[bytes] = []
        self.follower = Follower(path)

    def restart(self) -> None:
        self.follower = Follower(self.path)

    def read(self, stopped: Callable[[], bool] = lambda: False) -> list[bytes]:
        lines: list[bytes] = []
        for batch in self.follower.read(self.cursors, stopped):
            lines += batch.lines
            self.late += batch.lines if batch.late else []
            self.skipped += batch.skipped
            self.cursors[batch.cursor.file] = batch.cursor
        return lines


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


@pytest.fixture
def reader(log: Path) -> Reader:
    return Reader(log)


def add(path: Path, *lines: str, end: str = "\n") -> None:
    with path.open("a") as file:
        file.write("\n".join(lines) + end)


def rotate(path: Path) -> None:
    numbers = sorted((int(each.suffix[1:]) for each in path.parent.glob("a.log.*")), reverse=True)
    for number in numbers:
        os.rename(f"{path}.{number}", f"{path}.{number + 1}")
    os.rename(path, f"{path}.1")


def test_a_log_that_is_not_there_has_no_lines(reader):
    assert reader.read() == []


def test_each_line_is_read_once(log, reader):
    add(log, "1", "2")
    assert reader.read() == [b"1", b"2"]
    assert reader.read() == []
    add(log, "3")
    assert reader.read() == [b"3"]


def test_a_torn_line_waits_for_its_end(log, reader):
    add(log, "1", "2", end="")
    assert reader.read() == [b"1"]
    add(log, "", "3", end="")
    assert reader.read() == [b"2"]
    add(log, "")
    assert reader.read() == [b"3"]


def test_a_reader_that_was_restarted_goes_on_where_it_was(log, reader):
    add(log, "1", "2", end="")
    reader.read()
    reader.restart()
    add(log, "2", "3")

    assert reader.read() == [b"22", b"3"]


@pytest.mark.parametrize("restart", [False, True])
def test_lines_before_and_after_rotations_come_in_order(log, reader, restart):
    add(log, "1", "2")
    reader.read()
    add(log, "3")
    rotate(log)
    add(log, "4")
    rotate(log)
    add(log, "5")
    if restart:
        reader.restart()

    assert reader.read() == [b"3", b"4", b"5"]
    assert reader.read() == []


def test_ten_backups_come_in_order_of_their_numbers(log, reader):
    for number in range(12):
        add(log, str(number))
        rotate(log)

    assert reader.read() == [str(number).encode() for number in range(12)]


def test_a_file_that_was_replaced_is_read_from_its_beginning(log, reader):
    add(log, "old 1", "old 2")
    reader.read()
    log.unlink()
    add(log, "new 1", "new 2", "new 3")

    assert reader.read() == [b"new 1", b"new 2", b"new 3"]


def test_a_file_that_was_overwritten_in_place_is_read_again(log, reader):
    add(log, "x" * 200, "same head, old end")
    reader.read()
    log.write_text("x" * 200 + "\nsame head, new end, and longer\n")

    assert reader.read()[1:] == [b"same head, new end, and longer"]


def test_a_file_that_was_cut_is_read_again(log, reader):
    add(log, "x" * 200, "2", "3")
    reader.read()
    os.truncate(log, 203)
    add(log, "4")

    assert reader.read() == [b"x" * 200, b"2", b"4"]


def test_a_log_that_was_removed_comes_back(log, reader):
    add(log, "1")
    reader.read()
    log.unlink()
    assert reader.read() == []
    add(log, "2")
    assert reader.read() == [b"2"]


def test_lines_larger_than_a_chunk_are_whole(log, reader, monkeypatch):
    monkeypatch.setattr(follow, "CHUNK_BYTES", 10)
    add(log, "a" * 35, "b", "c" * 20)

    assert reader.read() == [b"a" * 35, b"b", b"c" * 20]


@pytest.mark.parametrize("chunk", [7, 10, 1000])
def test_a_line_beyond_all_measure_is_skipped_and_counted(log, reader, monkeypatch, chunk):
    monkeypatch.setattr(follow, "CHUNK_BYTES", chunk)
    monkeypatch.setattr(follow, "LONGEST_LINE", 20)
    add(log, "1", "x" * 500, "2")

    assert [line for line in reader.read() if len(line) < 500] == [b"1", b"2"]
    assert reader.skipped == (1 if chunk < 500 else 0)
    add(log, "3")
    assert reader.read() == [b"3"]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "CHUNK_BYTES", 10)
    monkeypatch.setattr(follow, "LONGEST_LINE", 20)
    monkeypatch.setattr(follow, "MOST_BYTES", 50)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("restart", [False, True])
def test_no_more_than_is_good_is_read_at_once_and_nothing_is_left_out(log, reader, restart):
    add(log, *(f"{number:04}" for number in range(30)))
    rotate(log)
    add(log, "last")
    passes: list[list[bytes]] = []
    for _ in range(4):
        passes.append(reader.read())
        if restart:
            reader.restart()

    assert list(chain(*passes)) == [*(f"{number:04}".encode() for number in range(30)), b"last"]
    assert max(map(len, passes)) == 10
    assert reader.late == []


@pytest.mark.usefixtures("small")
def test_a_line_without_end_is_passed_over_piece_by_piece(log, reader):
    add(log, "1", "x" * 300, end="")
    assert reader.read() == [b"1"]
    assert reader.follower.unread == log.name
    assert reader.follower.overlong
    for _ in range(6):
        assert reader.read() == []
    assert reader.follower.unread is None

    add(log, "yz", "2")
    assert reader.read() == [b"2"]
    assert reader.skipped == 1
    assert not reader.follower.overlong


@pytest.mark.usefixtures("small")
def test_a_newer_file_waits_for_the_end_of_an_older_one(log, reader):
    add(log, "x" * 200, "1")
    rotate(log)
    add(log, "2")
    passes = [reader.read() for _ in range(6)]

    assert list(chain(*passes)) == [b"1", b"2"]


@pytest.mark.usefixtures("small")
def test_a_line_without_end_that_was_cut_off_hides_nothing(log, reader):
    add(log, "1", "x" * 100, end="")
    reader.read()
    reader.read()
    os.truncate(log, 30)
    add(log, "", "2", "3")

    assert reader.read()[-2:] == [b"2", b"3"]


def test_a_hole_is_passed_at_once(log, reader):
    add(log, "1")
    os.truncate(log, 25 << 30)
    add(log, "x", "2")
    passes = [reader.read() for _ in range(3)]

    assert list(chain(*passes)) == [b"1", b"2"]
    assert reader.skipped == 1


@pytest.mark.usefixtures("small")
def test_reading_stops_between_two_pieces(log, reader):
    add(log, "1", "x" * 300, end="")
    asked = iter((False, False))

    assert reader.read(lambda: next(asked, True)) == [b"1"]
    assert reader.follower.unread == log.name


def test_an_older_file_that_turns_up_later_is_told_from_news(log, reader):
    add(log, "2")
    assert reader.read() == [b"2"]
    add(log.with_name("a.log.1"), "1")
    add(log, "3")

    assert reader.read() == [b"1", b"3"]
    assert reader.late == [b"1"]


def test_what_comes_after_a_log_was_cut_or_replaced_is_news(log, reader):
    add(log, "1" * 200, "2")
    rotate(log)
    add(log, "3")
    reader.read()
    log.write_text("4\n")
    assert reader.read() == [b"4"]
    log.unlink()
    add(log, "5")

    assert reader.read() == [b"5"]
    assert reader.late == []


def test_whether_the_log_itself_is_there_is_told(log, reader):
    add(log, "1")
    reader.read()
    there = reader.follower.is_there
    os.rename(log, f"{log}.1")
    reader.read()

    assert (there, reader.follower.is_there) == (True, False)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_not_opened(log, reader, make: Callable[[Path], None]):
    make(log)
    add(log.with_name("a.log.1"), "1")

    assert reader.read() == [b"1"]


def test_a_link_out_of_the_logs_is_not_followed(log, reader, tmp_path):
    (tmp_path / "secret").write_text("secret\n")
    log.symlink_to("secret")

    assert reader.read() == []


def test_a_file_that_rotates_after_the_names_were_listed_is_not_passed_over(log, reader, monkeypatch):
    add(log, "1")
    reader.read()
    add(log, "2")
    real = os.listdir
    listed: list[list[str]] = []

    def list_and_rotate(folder):
        listed.append(real(folder))
        if len(listed) == 1:
            rotate(log)
            add(log, "3")
        return listed[-1]

    monkeypatch.setattr(os, "listdir", list_and_rotate)

    assert reader.read() + reader.read() == [b"2", b"3"]
    assert reader.late == []


def test_a_file_that_rotates_while_the_names_are_opened_is_read_once_and_none_is_passed_over(log, reader, monkeypatch):
    add(log, "1")
    rotate(log)
    add(log, "2")
    real = Follower._open
    opened: list[str] = []

    def open_and_rotate(self, name):
        descriptor = real(self, name)
        if not opened:
            opened.append(name)
            rotate(log)
            add(log, "3")
        return descriptor

    monkeypatch.setattr(Follower, "_open", open_and_rotate)
    first = reader.read()
    second = reader.read()

    assert first + second == [b"2", b"1", b"3"] or first + second == [b"1", b"2", b"3"]


def test_files_that_cannot_be_opened_all_at_once_are_not_taken_for_gone(log, reader):
    for number in range(20):
        add(log.with_name(f"a.log.{20 - number}"), str(number))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 10, before[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            reader.read()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    assert reader.read() == [str(number).encode() for number in range(20)]
