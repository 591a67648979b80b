"""The admin side's small files: read without blocking or leaving the folder, written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from admin_ui.errors import FileUnreadable
from admin_ui.files import put_back, read_below, read_json, write_new, write_whole
from tests.hostile import NOT_FILES, NOT_JSON


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "jobs"
    path.mkdir()
    return path


def test_reading_returns_the_bytes_and_the_status(folder):
    (folder / "a.json").write_bytes(b"{}")

    data, status = read_below(folder, "a.json")

    assert data == b"{}" and status.st_size == 2


@pytest.mark.parametrize("kind", NOT_FILES)
def test_reading_anything_but_a_small_file_fails_at_once(folder, kind):
    NOT_FILES[kind](folder / "a.json")

    with pytest.raises(FileUnreadable):
        read_below(folder, "a.json")


def test_reading_a_file_that_is_not_there_says_so(folder):
    with pytest.raises(FileNotFoundError):
        read_below(folder, "a.json")


def test_reading_follows_a_link_that_stays_below_the_folder(folder):
    (folder / "..data").mkdir()
    (folder / "..data" / "a.json").write_bytes(b"inside")
    (folder / "a.json").symlink_to("..data/a.json")

    assert read_below(folder, "a.json")[0] == b"inside"


@pytest.mark.parametrize("target", ["../secret.json", "absolute", "..data/../../secret.json"])
def test_reading_follows_no_link_that_leads_out(folder, tmp_path, target):
    (tmp_path / "secret.json").write_bytes(b"secret")
    (folder / "..data").mkdir()
    (folder / "a.json").symlink_to(tmp_path / "secret.json" if target == "absolute" else target)

    with pytest.raises(FileUnreadable, match="leads out"):
        read_below(folder, "a.json")


def test_reading_a_folder_that_is_itself_a_link_works(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    (folder / "a.json").write_bytes(b"{}")

    assert read_below(tmp_path / "link", "a.json")[0] == b"{}"


@pytest.mark.parametrize("kind", NOT_JSON)
def test_json_is_read_strictly(folder, kind):
    NOT_JSON[kind](folder / "a.json")
    data = (folder / "a.json").read_bytes()

    with pytest.raises(ValueError):
        read_json(data)


def test_writing_leaves_the_file_and_nothing_else(folder):
    write_whole(folder / "a.json", b"one", 0o640)
    write_whole(folder / "a.json", b"two")

    assert os.listdir(folder) == ["a.json"]
    assert (folder / "a.json").read_bytes() == b"two"
    assert (folder / "a.json").stat().st_mode & 0o777 == 0o644


def test_a_check_that_fails_leaves_the_old_file(folder):
    write_whole(folder / "a.json", b"one")

    def refuse() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_whole(folder / "a.json", b"two", check=refuse)

    assert os.listdir(folder) == ["a.json"]
    assert (folder / "a.json").read_bytes() == b"one"


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_writing_new_never_overwrites(folder, kind):
    path = folder / "a.json"
    if kind == "file":
        path.write_bytes(b"theirs")
    else:
        path.symlink_to("nowhere")

    with pytest.raises(FileExistsError):
        write_new(path, b"ours")

    assert os.listdir(folder) == ["a.json"]
    assert kind != "file" or path.read_bytes() == b"theirs"


def link_of_another_user(*arguments, **named):
    """Refuse as Linux does by default where the file belongs to somebody else (proc(5), protected_hardlinks)."""
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize("link", [os.link, link_of_another_user])
@pytest.mark.parametrize("newer", [None, b"newer"])
def test_a_file_gets_its_name_back_unless_a_newer_one_has_it(folder, monkeypatch, link, newer):
    monkeypatch.setattr(os, "link", link)
    (folder / ".aside").write_bytes(b"theirs")
    if newer:
        (folder / "a.json").write_bytes(newer)

    put_back(folder / ".aside", folder / "a.json")

    assert os.listdir(folder) == ["a.json"]
    assert (folder / "a.json").read_bytes() == (newer or b"theirs")
