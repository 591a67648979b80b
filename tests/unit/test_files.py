from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from sidecar import files
from sidecar.errors import FileUnreadable
from sidecar.files import read_json, read_small, write_whole
from tests.hostile import NOT_FILES, NOT_JSON, ordinary_user


def nested(levels: int) -> list[Any]:
    return [nested(levels - 1)] if levels > 1 else []


def test_read_small_returns_the_bytes_and_the_status(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\0text\xff")

    data, status = read_small(path)

    assert data == b"\0text\xff"
    assert (status.st_ino, status.st_size) == (path.stat().st_ino, 6)


def test_read_small_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to("target")

    assert read_small(tmp_path / "link")[0] == b"x"


def test_read_small_reads_a_file_that_holds_more_than_its_size_says() -> None:
    data, status = read_small("/proc/self/status")

    assert status.st_size == 0
    assert b"VmRSS" in data


@pytest.mark.parametrize(("size", "fits"), [(0, True), (99, True), (100, True), (101, False)])
def test_read_small_takes_as_many_bytes_as_the_limit_says(tmp_path: Path, size: int, fits: bool) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(size))

    if fits:
        assert len(read_small(path, 100)[0]) == size
    else:
        with pytest.raises(FileUnreadable, match="at most 100 bytes, found 101; make it smaller"):
            read_small(path, 100)


def test_read_small_stops_at_the_limit_when_the_file_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_require_small_file", lambda status, limit: None)

    with pytest.raises(FileUnreadable, match="at most 1,000,000 bytes"):
        read_small("/dev/zero", 1_000_000)


@pytest.mark.parametrize("make", NOT_FILES.values(), ids=NOT_FILES)
def test_read_small_refuses_at_once_what_is_no_small_file(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    make(tmp_path / "a")
    open_before = os.listdir("/proc/self/fd")
    started = time.thread_time()

    with pytest.raises(FileUnreadable, match=r"^expected .*, found .*; "):
        read_small(tmp_path / "a")

    assert time.thread_time() - started < 1
    assert os.listdir("/proc/self/fd") == open_before


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("fifo", "a named pipe"),
        ("link to a fifo", "a named pipe"),
        ("socket", "a socket"),
        ("directory", "a directory"),
        ("/dev/zero", "a character device"),
        ("link to itself", "leads back to itself"),
        ("dangling link", "a link to nothing"),
    ],
)
def test_read_small_says_what_it_found(tmp_path: Path, kind: str, words: str) -> None:
    NOT_FILES[kind](tmp_path / "a")

    with pytest.raises(FileUnreadable, match=words):
        read_small(tmp_path / "a")


def test_read_small_does_not_wait_when_a_fifo_takes_the_place_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"")
    status = path.stat()
    path.unlink()
    os.mkfifo(path)
    look = os.stat
    monkeypatch.setattr(os, "stat", lambda at, **more: status if at == path else look(at, **more))

    with pytest.raises(FileUnreadable, match="a named pipe"):
        read_small(path)


def test_read_small_says_whose_permission_is_missing() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for file, mode in (("open", 0o644), ("closed", 0o000)):
            (folder / file).write_bytes(b"x")
            (folder / file).chmod(mode)

        with ordinary_user():
            readable = read_small(folder / "open")[0]
            with pytest.raises(FileUnreadable, match=f"user id {os.geteuid()} may read; change its owner or mode"):
                read_small(folder / "closed")

    assert readable == b"x"


@pytest.mark.parametrize("path", ["no/such/file", "a\0b", "x" * 5000])
def test_read_small_refuses_a_path_that_leads_nowhere(path: str) -> None:
    with pytest.raises(FileUnreadable, match=r"^expected "):
        read_small(path)


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_write_whole_writes_the_bytes_with_the_mode_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    umask = os.umask(0o777)
    try:
        write_whole(tmp_path / "a", b"text", mode)
    finally:
        os.umask(umask)

    assert (tmp_path / "a").read_bytes() == b"text"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_write_whole_leaves_the_old_file_to_those_who_have_it_open(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_whole(path, b"old")

    with path.open("rb") as reader:
        write_whole(path, b"new")

        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


def test_write_whole_leaves_no_temporary_file_when_it_fails(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()

    with pytest.raises(OSError, match="directory"):
        write_whole(tmp_path / "a", b"text")

    assert os.listdir(tmp_path) == ["a"]


def test_write_whole_keeps_the_old_file_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")

    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_write_whole_syncs_the_file_before_and_the_folder_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    rename = os.replace

    def sync(descriptor: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")

    def replace(source: Path, target: Path) -> None:
        steps.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    write_whole(tmp_path / "a", b"text")

    assert steps == ["sync file", "rename", "sync folder"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        (' \r\n\t{"a": [1, -2.5e3, true, null, "\\u00fc\\ud83d\\ude00"]}\n', {"a": [1, -2500.0, True, None, "ü😀"]}),
        ('"ü\\\\ud800"', "ü\\ud800"),
        (f'"{"[" * 1000}"', "[" * 1000),
        ("[" * 32 + "]" * 32, nested(32)),
        (f"[{'[],' * 99}1]", [*[[] for _ in range(99)], 1]),
        ("1" * 4000, int("1" * 4000)),
    ],
)
def test_read_json_returns_what_the_text_says(text: str, value: object) -> None:
    assert read_json(text.encode()) == value


@pytest.mark.parametrize("make", NOT_JSON.values(), ids=NOT_JSON)
def test_read_json_refuses_quickly(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    make(tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    started = time.thread_time()

    with pytest.raises(ValueError, match="; "):
        read_json(data)

    assert time.thread_time() - started < 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "nothing in it"),
        (b"\xef\xbb\xbf{}", "without BOM"),
        ("{}".encode("utf-16"), "looks like UTF-16"),
        ("{}".encode("utf-16-le"), "looks like UTF-16"),
        (b'{"a":\n "\xc3\xbc\xff"}', "line 2, column 4: byte 0xff is not UTF-8"),
        (b'{"a": 1,\n "b" 2}', "line 2, column 6: this is not JSON: expecting ':' delimiter"),
        (b'{"a": 1,\n "b": [', "line 2, column 8: the JSON ends too early"),
        (b'{"a": {"b": 1, "b": 2}}', "the key 'b' is there more than once"),
        (b"[NaN]", "NaN is no JSON number"),
        (b"[-Infinity]", "-Infinity is no JSON number"),
        (b"[1e999]", "beyond what a float can hold"),
        (b"[" + b"1" * 5000 + b"]", "5,000 digits"),
        (b'["\\udc00"]', r"\\udc00 is half of a character"),
        (b'{"\\uD800": 1}', r"\\ud800 is half of a character"),
        (b"[" * 33 + b"]" * 33, "more than 32 levels"),
        (b"{} {}", "line 1, column 4: this is not JSON: extra data"),
    ],
)
def test_read_json_says_where_and_what_is_wrong(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_json(data)
