"""Output files that are used again: only where nobody could tell them from new ones."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path

import pytest

from sidecar.spares import Spares


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "job").mkdir()
    descriptor = os.open(tmp_path / "job", os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def spares(tmp_path: Path) -> Spares:
    return Spares(str(tmp_path / ".spare"))


def make(spares: Spares, directory: int, name: str, data: bytes = b"") -> os.stat_result:
    descriptor = spares.open(name, directory)
    try:
        os.write(descriptor, data)
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def left(tmp_path: Path) -> list[str]:
    return os.listdir(tmp_path / ".spare")


def test_a_file_that_was_put_away_is_the_next_one_and_empty(spares, directory, tmp_path):
    first = make(spares, directory, "one", b"what the first run printed")
    spares.put_away("one", directory)
    second = make(spares, directory, "two")

    assert os.path.samestat(first, second)
    assert second.st_mtime_ns > first.st_mtime_ns
    assert os.listdir(tmp_path / "job") == ["two"]
    assert (tmp_path / "job" / "two").read_bytes() == b""


def test_what_is_written_appends_also_in_a_file_that_is_used_again(spares, directory, tmp_path):
    make(spares, directory, "one")
    spares.put_away("one", directory)
    descriptor = spares.open("two", directory)
    os.write(descriptor, b"a")
    os.truncate(tmp_path / "job" / "two", 0)
    os.write(descriptor, b"b")
    os.close(descriptor)

    assert (tmp_path / "job" / "two").read_bytes() == b"b"


def test_a_file_that_somebody_reads_is_not_used_again(spares, directory, tmp_path):
    make(spares, directory, "one")
    with (tmp_path / "job" / "one").open("rb") as reader:
        spares.put_away("one", directory)
        make(spares, directory, "two", b"not for the reader")

        assert reader.read() == b""
    assert left(tmp_path) == []


def test_a_file_that_a_process_inherited_is_not_used_again(spares, directory, tmp_path):
    descriptor = spares.open("one", directory)
    with subprocess.Popen(["/bin/sh", "-c", "read line"], stdin=subprocess.PIPE, stdout=descriptor):
        os.close(descriptor)
        spares.put_away("one", directory)

        assert left(tmp_path) == []


@pytest.mark.parametrize(
    "meddle",
    [
        lambda path: path.chmod(0o666),
        lambda path: os.link(path, f"{path}.too"),
        lambda path: (path.unlink(), path.symlink_to("/etc/hostname")),
        lambda path: (path.unlink(), subprocess.run(["mkfifo", path], check=True)),
    ],
)
def test_a_file_that_is_not_like_a_new_one_is_removed(spares, directory, tmp_path, meddle):
    make(spares, directory, "one")
    meddle(tmp_path / "job" / "one")
    spares.put_away("one", directory)

    assert left(tmp_path) == []
    assert not os.path.lexists(tmp_path / "job" / "one")


@pytest.mark.parametrize(
    "meddle",
    [
        lambda spare: spare.write_bytes(b"x"),
        lambda spare: spare.chmod(0o666),
        lambda spare: os.link(spare, f"{spare}.too"),
        lambda spare: spare.unlink(),
    ],
    ids=["written", "opened to all", "linked", "removed"],
)
def test_a_spare_that_somebody_meddled_with_is_passed_over(spares, directory, tmp_path, meddle):
    first = make(spares, directory, "one")
    spares.put_away("one", directory)
    meddle(tmp_path / ".spare" / left(tmp_path)[0])
    second = make(spares, directory, "two")

    assert (second.st_size, second.st_nlink, second.st_mode) == (0, 1, first.st_mode)


def test_a_spare_that_became_a_fifo_is_passed_over(spares, directory, tmp_path):
    make(spares, directory, "one")
    spares.put_away("one", directory)
    [spare] = left(tmp_path)
    (tmp_path / ".spare" / spare).unlink()
    os.mkfifo(tmp_path / ".spare" / spare)

    assert stat.S_ISREG(make(spares, directory, "two").st_mode)


def test_what_an_earlier_process_left_is_cleared(directory, tmp_path):
    earlier = Spares(str(tmp_path / ".spare"))
    make(earlier, directory, "one")
    earlier.put_away("one", directory)
    make(Spares(str(tmp_path / ".spare")), directory, "two")

    assert left(tmp_path) == []


def test_a_link_in_the_place_of_the_spares_is_not_followed(directory, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    (tmp_path / ".spare").symlink_to(elsewhere)

    make(Spares(str(tmp_path / ".spare")), directory, "one")

    assert [path.name for path in elsewhere.iterdir()] == ["precious"]
    assert not (tmp_path / ".spare").is_symlink()


def test_a_file_that_is_used_again_is_a_spare_until_it_is_kept(spares, directory, tmp_path):
    make(spares, directory, "one")
    spares.put_away("one", directory)
    make(spares, directory, "two", b"too long for the journal")
    [lent] = left(tmp_path)
    assert (tmp_path / ".spare" / lent).samefile(tmp_path / "job" / "two")

    spares.keep("two")

    assert left(tmp_path) == []
    assert (tmp_path / "job" / "two").read_bytes() == b"too long for the journal"
    spares.put_away("two", directory)
    assert os.listdir(tmp_path / "job") == []


def test_a_lent_file_whose_name_was_removed_is_a_spare_again(spares, directory, tmp_path):
    make(spares, directory, "one")
    spares.put_away("one", directory)
    make(spares, directory, "two", b"lost")
    (tmp_path / "job" / "two").unlink()
    with pytest.raises(FileNotFoundError):
        spares.put_away("two", directory)

    assert make(spares, directory, "three").st_size == 0
    assert len(left(tmp_path)) == 1


def test_what_an_earlier_process_lent_can_be_put_away_at_once(spares, directory, tmp_path):
    make(spares, directory, "one")
    spares.put_away("one", directory)
    make(spares, directory, "two", b"the process died here")

    successor = Spares(str(tmp_path / ".spare"))
    successor.put_away("two", directory)
    assert os.listdir(tmp_path / "job") == []
    make(successor, directory, "three")
    assert left(tmp_path) == []


def test_a_file_system_without_links_has_new_files_and_no_heap_of_spares(spares, directory, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    for name in ("one", "two", "three"):
        assert make(spares, directory, name, b"x").st_size == 1
        spares.put_away(name, directory)

    assert len(left(tmp_path)) == 1


def test_a_file_that_is_gone_already_is_told(spares, directory):
    make(spares, directory, "one")

    with pytest.raises(FileNotFoundError):
        spares.put_away("gone", directory)
