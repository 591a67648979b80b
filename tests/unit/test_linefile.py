"""Whole lines in a file that is rotated, meddled with, and on a disk that fills up."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from sidecar import linefile
from sidecar.linefile import LineFile


@pytest.fixture
def path(tmp_path):
    return tmp_path / "logs" / "x.log"


def opened(path, max_bytes=10_000, backups=3, **options):
    path.parent.mkdir(exist_ok=True)
    file = LineFile(path, max_bytes, backups, **options)
    file.open()
    return file


def put(file, *lines):
    for line in lines:
        file.append(line)
    return file.commit()


def full_disk(monkeypatch, after=0):
    """Let os.write take `after` more bytes and then fail as a full disk does. Returns the undo."""
    real, left = os.write, [after]

    def write(descriptor, data):
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = bytes(data)[: left[0]]
        left[0] -= len(taken)
        return real(descriptor, taken)

    monkeypatch.setattr(os, "write", write)
    return lambda: monkeypatch.setattr(os, "write", real)


def test_lines_are_in_the_file_after_commit_and_not_before(path):
    file = opened(path)
    file.append("one")

    assert path.read_text() == ""
    assert file.commit()
    assert path.read_text() == "one\n"


def test_a_file_that_lacks_its_final_newline_gets_one_before_anything_is_appended(path):
    path.parent.mkdir()
    path.write_text('{"torn": ')

    put(opened(path), "one")

    assert path.read_text() == '{"torn": \none\n'


def test_a_new_file_begins_with_the_head(path):
    put(opened(path, head=lambda: b"head\n"), "one")

    assert path.read_text() == "head\none\n"


def test_a_link_in_the_place_of_the_next_file_is_not_followed(path):
    path.parent.mkdir()
    precious = path.with_name("precious")
    precious.write_text("kept")
    path.with_name(f".{path.name}.new").symlink_to(precious)

    put(opened(path, head=lambda: b"head\n"), "one")

    assert (precious.read_text(), path.read_text(), path.is_symlink()) == ("kept", "head\none\n", False)


@pytest.mark.parametrize("place", [".x.log.new", "x.log.1", "x.log.3"])
def test_a_directory_where_a_rotation_puts_files_is_moved_and_keeps_what_is_in_it(path, place):
    file = opened(path, max_bytes=100, backups=3)
    precious = path.with_name(place) / "precious"
    precious.parent.mkdir()
    precious.write_text("kept")

    for number in range(60):
        assert put(file, f"line {number:02}")

    (moved,) = [entry for entry in path.parent.iterdir() if entry.is_dir()]
    assert (moved / "precious").read_text() == "kept"
    assert {"x.log", "x.log.1", "x.log.2", "x.log.3"} == {e.name for e in path.parent.iterdir() if e.is_file()}
    assert max(entry.stat().st_size for entry in path.parent.iterdir() if entry.is_file()) <= 100


def test_a_file_is_rotated_before_it_grows_past_its_limit(path):
    file = opened(path, max_bytes=100, backups=3)
    for number in range(60):
        put(file, f"line {number:02}")

    sizes = [entry.stat().st_size for entry in path.parent.iterdir()]
    assert max(sizes) <= 100
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["x.log", "x.log.1", "x.log.2", "x.log.3"]


def test_rotation_loses_no_line_while_there_are_backups_enough(path):
    file = opened(path, max_bytes=100, backups=50)
    for number in range(60):
        file.append(f"line {number:02}")
    file.commit()

    names = [*(f"x.log.{n}" for n in range(50, 0, -1)), "x.log"]
    texts = [(path.parent / name).read_text() for name in names if (path.parent / name).exists()]
    assert "".join(texts).splitlines() == [f"line {number:02}" for number in range(60)]


def test_the_head_of_a_rotated_file_is_taken_after_what_waits_and_before_the_next_line(path):
    seen: list[int] = []
    file = opened(path, max_bytes=20, head=lambda: f"{len(seen)}\n".encode())
    for number in range(4):
        file.append("x" * 8)
        seen.append(number)
    file.commit()

    assert path.read_text().startswith("2\n")


def test_a_line_longer_than_the_limit_is_kept_whole(path):
    file = opened(path, max_bytes=10)

    put(file, "a", "y" * 500, "b")

    assert "y" * 500 in (path.parent / "x.log.1").read_text()


def test_a_head_longer_than_the_limit_does_not_make_a_file_of_each_line(path):
    file = opened(path, max_bytes=10, head=lambda: b"h" * 99 + b"\n")
    put(file, *"abcdefgh")

    assert [entry.name for entry in path.parent.iterdir()] == ["x.log"]


@pytest.mark.parametrize("room", [0, 3, 7])
def test_a_full_disk_leaves_the_file_as_it_was_and_the_lines_waiting(path, monkeypatch, room):
    file = opened(path)
    put(file, "before")
    undo = full_disk(monkeypatch, after=room)

    assert not put(file, "one", "two")
    assert file.problem is not None and file.problem.errno == errno.ENOSPC
    undo()
    assert file.commit()
    assert path.read_text() == "before\none\ntwo\n"
    assert file.problem is None


def test_a_failed_fsync_has_its_lines_written_again_once(path, monkeypatch):
    file = opened(path, durable=True)
    put(file, "before")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "input/output error")))
        assert not put(file, "one")
    file.commit()

    assert path.read_text() == "before\none\n"


def test_what_a_failed_commit_could_not_take_back_is_taken_back_before_it_is_written_again(path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "input/output error")

    file = opened(path, durable=True)
    put(file, "before")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        patch.setattr(os, "ftruncate", refuse)
        assert not put(file, "one")
    assert path.read_text() == "before\none\n"
    file.commit()

    assert path.read_text() == "before\none\n"


def test_waiting_lines_are_bounded_and_the_head_makes_up_for_the_lost_ones(path, monkeypatch):
    monkeypatch.setattr("sidecar.linefile.MAX_WAITING_BYTES", 50)
    file = opened(path, head=lambda: b"head\n")
    undo = full_disk(monkeypatch)
    for number in range(20):
        put(file, f"line {number:02}")

    assert 0 < file.waiting < 10
    assert file.lost == 20 - file.waiting
    undo()
    file.commit()
    assert path.read_text().splitlines()[-2:] == ["line 19", "head"]


def test_a_line_longer_than_what_may_wait_waits_alone(path, monkeypatch):
    monkeypatch.setattr("sidecar.linefile.MAX_WAITING_BYTES", 50)
    file = opened(path)
    undo = full_disk(monkeypatch)
    put(file, "one", "x" * 60)
    undo()

    assert file.commit()
    assert path.read_text() == "x" * 60 + "\n"


def test_a_rotation_that_fails_leaves_the_old_file_in_use(path, monkeypatch):
    file = opened(path, max_bytes=50, head=lambda: b"head\n")
    put(file, "x" * 40)
    real = os.open

    def no_new_file(name, *rest):
        if str(name).endswith(".new"):
            raise OSError(errno.ENOSPC, "no inodes")
        return real(name, *rest)

    monkeypatch.setattr(os, "open", no_new_file)
    assert put(file, "more")
    monkeypatch.undo()

    assert file.problem is None
    assert path.read_text() == "head\n" + "x" * 40 + "\nmore\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["x.log"]


def small_files(monkeypatch, longest):
    """Let os.write fail as it does where no file may be longer (RLIMIT_FSIZE), after what still fits."""
    real = os.write

    def write(descriptor, data):
        room = longest - os.fstat(descriptor).st_size
        if room <= 0:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return real(descriptor, bytes(data)[:room])

    monkeypatch.setattr(os, "write", write)


def test_a_file_that_may_not_grow_to_its_limit_is_rotated_where_it_has_to_end(path, monkeypatch):
    small_files(monkeypatch, longest=100)
    file = opened(path, backups=50, head=lambda: b"head\n")
    for number in range(60):
        assert put(file, f"line {number:02}")

    names = [*(f"x.log.{n}" for n in range(50, 0, -1)), "x.log"]
    texts = [(path.parent / name).read_text() for name in names if (path.parent / name).exists()]
    assert all(text.startswith("head\n") and text.endswith("\n") for text in texts)
    assert "".join(texts).replace("head\n", "").splitlines() == [f"line {number:02}" for number in range(60)]


def test_a_line_that_is_longer_than_any_file_may_be_makes_no_new_files(path, monkeypatch):
    small_files(monkeypatch, longest=100)
    file = opened(path, head=lambda: b"head\n")
    put(file, "one")

    assert not put(file, "y" * 200)
    assert not file.commit()

    assert [entry.name for entry in path.parent.iterdir()] == ["x.log"]
    assert path.read_text() == "head\none\n"


@pytest.mark.parametrize("durable", [False, True])
def test_a_removed_file_is_begun_anew_with_the_head(path, durable):
    file = opened(path, durable=durable, head=lambda: b"head\n")
    put(file, "one")
    path.unlink()

    assert put(file, "two")
    assert path.read_text() == "head\ntwo\n"


def test_a_file_that_is_begun_anew_has_the_waiting_lines_from_its_first_instant(path, monkeypatch):
    file = opened(path, head=lambda: b"head\n")
    put(file, "one")
    path.unlink()
    seen: list[str] = []
    real = os.replace

    def replace(new, old):
        seen.append(new.read_text())
        real(new, old)

    monkeypatch.setattr(os, "replace", replace)

    assert put(file, "two")
    assert seen == ["head\ntwo\n"]
    assert path.read_text() == "head\ntwo\n"


def test_a_file_that_is_begun_anew_with_the_lines_of_many_commits_ends_with_the_head_that_knows_them(path, monkeypatch):
    file = opened(path, head=lambda: b"head\n")
    put(file, "one")
    undo = full_disk(monkeypatch)
    put(file, "two")
    put(file, "three")
    path.unlink()
    undo()

    assert file.commit()
    assert path.read_text() == "head\ntwo\nthree\nhead\n"


def test_opening_an_existing_file_finds_out_whether_it_can_be_written_and_leaves_it_as_it_was(path, monkeypatch):
    path.parent.mkdir()
    path.write_text("one\n")
    opened(path, head=lambda: b"head\n").close()
    assert path.read_text() == "one\n"

    full_disk(monkeypatch, after=2)
    with pytest.raises(OSError, match="No space left"):
        opened(path, head=lambda: b"head\n")
    assert path.read_text() == "one\n"


def test_nobody_who_follows_a_file_sees_that_it_was_tried_out(path, monkeypatch):
    path.parent.mkdir()
    path.write_text("one\n")
    real, seen = os.write, []

    def write(descriptor, data):
        written = real(descriptor, data)
        seen.append(path.read_text())
        return written

    monkeypatch.setattr(os, "write", write)
    opened(path, head=lambda: b"head\n").close()

    assert seen == ["one\n"]
    assert [entry.name for entry in path.parent.iterdir()] == ["x.log"]


def test_the_head_stays_when_an_existing_file_is_opened_that_has_none(path):
    path.parent.mkdir()
    path.write_text("one\n")
    LineFile(path, 100, 1, head=lambda: b"head\n").open(keep_head=True)

    assert path.read_text() == "one\nhead\n"


def test_a_removed_directory_is_made_again(path):
    file = opened(path, head=lambda: b"head\n")
    put(file, "one")
    shutil.rmtree(path.parent.parent)

    assert put(file, "two")
    assert path.read_text() == "head\ntwo\n"


def test_a_name_that_cannot_be_synced_is_synced_later_and_nothing_is_begun_anew_or_written_twice(path, monkeypatch):
    file = opened(path, durable=True, head=lambda: b"head\n")
    put(file, "one")
    path.rename(path.with_name("moved"))
    with monkeypatch.context() as patch:
        patch.setattr(linefile, "sync_folder", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "error")))
        assert not put(file, "two")
        assert not file.commit()

    assert put(file, "three")
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["moved", "x.log"]
    assert path.read_text() == "head\ntwo\nthree\n"


def test_a_replaced_file_is_kept_as_a_backup_and_begun_anew(path, tmp_path):
    file = opened(path, head=lambda: b"head\n")
    put(file, "one")
    other = tmp_path / "other"
    other.write_text("somebody else's\n")
    os.replace(other, path)

    assert put(file, "two")
    assert path.read_text() == "head\ntwo\n"
    assert (path.parent / "x.log.1").read_text() == "somebody else's\n"


def test_a_directory_in_the_files_place_is_moved_and_keeps_what_is_in_it(path):
    file = opened(path, head=lambda: b"head\n")
    put(file, "one")
    path.unlink()
    path.mkdir()
    (path / "precious").write_text("kept")

    assert put(file, "two")
    assert path.read_text() == "head\ntwo\n"
    assert [(moved / "precious").read_text() for moved in path.parent.iterdir() if moved.is_dir()] == ["kept"]
    assert not path.with_name("x.log.1").exists()


@pytest.mark.parametrize("meddle", [os.remove, lambda path: os.truncate(path, 0)])
def test_a_look_begins_a_file_anew_although_nothing_waits(path, meddle):
    file = opened(path, head=lambda: b"head\n")
    put(file, "one")
    meddle(path)
    assert file.commit()
    assert not path.exists() or path.read_text() == ""

    assert file.commit(look=True)
    assert path.read_text() == "head\n"


def test_a_look_leaves_a_whole_file_as_it_is_and_asks_nothing_of_the_disk(path, monkeypatch):
    file = opened(path, head=lambda: b"head\n", durable=True)
    put(file, "one")
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)

    assert file.commit(look=True)
    assert path.read_text() == "head\none\n"
    assert not synced


@pytest.mark.parametrize("left", [0, 2])
def test_a_file_that_somebody_cuts_short_on_a_full_disk_is_begun_anew_when_there_is_room(path, monkeypatch, left):
    file = opened(path, head=lambda: b"head\n")
    put(file, "one")
    undo = full_disk(monkeypatch)
    os.truncate(path, left)
    assert not put(file, "two")
    assert not put(file, "three")
    undo()

    assert file.commit()
    assert path.read_text().startswith("head\ntwo\nthree\n")


def test_text_without_a_newline_that_came_on_a_full_disk_swallows_no_line(path, monkeypatch):
    file = opened(path)
    put(file, "one")
    undo = full_disk(monkeypatch)
    with path.open("a") as other:
        os.truncate(other.fileno(), 5 + path.stat().st_size)
    assert not put(file, "two")
    assert not file.commit()
    undo()

    assert file.commit()
    assert path.read_text().splitlines()[-1] == "two"


def test_a_shrunk_file_is_begun_anew_with_the_head(path):
    file = opened(path, head=lambda: b"head\n")
    put(file, "one", "two")
    os.truncate(path, 3)

    assert put(file, "three")
    assert path.read_text() == "head\nthree\n"


def test_an_emptied_file_is_begun_anew_without_a_backup(path):
    file = opened(path, head=lambda: b"head\n")
    put(file, "one")
    os.truncate(path, 0)

    assert put(file, "two")
    assert [entry.name for entry in path.parent.iterdir()] == ["x.log"]
    assert path.read_text() == "head\ntwo\n"


def test_lines_that_somebody_else_appended_are_left_alone(path):
    file = opened(path)
    put(file, "one")
    with path.open("a") as other:
        other.write("foreign\n")

    assert put(file, "two")
    assert path.read_text() == "one\nforeign\ntwo\n"


def test_text_that_utf8_cannot_hold_is_escaped(path):
    put(opened(path), "lone \ud800 surrogate")

    assert path.read_text() == "lone \\ud800 surrogate\n"


def test_what_a_close_could_not_write_is_not_written_at_exit_when_another_may_have_the_lock(path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    file = opened(path)
    with monkeypatch.context() as full:
        full.setattr(os, "write", refuse)
        file.append("one")
        file.close()
    file.close()  # as logging.shutdown does

    assert path.read_text() == ""


def test_text_that_somebody_appends_without_a_newline_swallows_no_line(path):
    file = opened(path)
    file.append("one")
    file.commit()
    with path.open("a") as other:
        other.write("a note")
    file.append("two")
    file.commit()
    file.append("three")
    file.close()

    assert path.read_text() == "one\na note\ntwo\nthree\n"


def test_a_relative_path_is_followed_to_where_its_folder_was_moved(tmp_path, monkeypatch):
    (tmp_path / "app").mkdir()
    monkeypatch.chdir(tmp_path / "app")
    file = opened(Path("log"))
    (tmp_path / "app").rename(tmp_path / "moved")
    file.append("one")
    file.close()

    assert (tmp_path / "moved" / "log").read_text() == "one\n"
    assert not (tmp_path / "app").exists()


def test_close_writes_what_waits_and_holds_no_descriptor(path):
    before = len(os.listdir("/proc/self/fd"))
    file = opened(path)
    file.append("one")
    file.close()

    assert path.read_text() == "one\n"
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_unwritable_directory_is_an_error_at_open(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")

    with pytest.raises(OSError):
        LineFile(blocker / "x.log", 100, 1).open()
