"""Things that may lie in a directory where small JSON files are expected, each made by a function of its path."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534
DOCUMENT = {
    "name": "hostile",
    "schedule": "* * * * *",
    "command": "true",
    "working_directory": "/",
    "enabled": True,
}
TEXT = json.dumps(DOCUMENT)


def with_field(text: str) -> bytes:
    """Return a good document's bytes with one more field."""
    return f"{TEXT[:-1]}, {text}}}".encode()


def _socket(path: Path) -> None:
    # Bound by a short relative name: a socket's address holds 107 bytes only.
    before = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)


def _fifo_behind_a_link(path: Path) -> None:
    os.mkfifo(path.with_name(".fifo"))
    path.symlink_to(".fifo")


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(50 << 20)


def _holding(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


NOT_FILES: dict[str, Callable[[Path], object]] = {
    "fifo": os.mkfifo,
    "link to a fifo": _fifo_behind_a_link,
    "socket": _socket,
    "directory": Path.mkdir,
    "link to itself": lambda path: path.symlink_to(path.name),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "/dev/tty": lambda path: path.symlink_to("/dev/tty"),
    "50 MB": _huge,
    "10 MB of blanks": _holding(b" " * (10 << 20)),
}
NOT_JSON: dict[str, Callable[[Path], object]] = {
    "nothing": _holding(b""),
    "1 MiB of blanks": _holding(b" " * (1 << 20)),
    "100,000 levels": _holding(b"[" * 100_000),
    "100,000 levels in a field": _holding(with_field(f'"description": {"[" * 100_000}{"]" * 100_000}')),
    "a string without end": _holding(b'{"name": "' + b'\\"' * 500_000),
    "byte order mark": _holding(b"\xef\xbb\xbf" + TEXT.encode()),
    "UTF-16": _holding(TEXT.encode("utf-16")),
    "UTF-16 without a mark": _holding(TEXT.encode("utf-16-le")),
    "UTF-32": _holding(TEXT.encode("utf-32")),
    "invalid UTF-8": _holding(with_field('"description": "gr').replace(b"gr}", b'gr\xfc\xdfe"}')),
    "an encoded surrogate": _holding(with_field('"description": "?"').replace(b"?", b"\xed\xa0\x80")),
    "a lone surrogate": _holding(with_field('"description": "\\ud800"')),
    "NaN": _holding(with_field('"jitter_seconds": NaN')),
    "Infinity": _holding(with_field('"jitter_seconds": -Infinity')),
    "1e999": _holding(with_field('"jitter_seconds": 1e999')),
    "a key twice": _holding(with_field('"name": "other"')),
    "5,000 digits": _holding(with_field(f'"jitter_seconds": {"9" * 5000}')),
    "half a document": _holding(TEXT[:40].encode()),
    "two documents": _holding(f"{TEXT}\n{TEXT}".encode()),
    "a final comma": _holding(TEXT.replace("}", ",}").encode()),
    "zeros": _holding(bytes(4096)),
}
NOT_JOBS: dict[str, Callable[[Path], object]] = {
    "a number": _holding(b"1"),
    "null": _holding(b"null"),
    "a list": _holding(f"[{TEXT}]".encode()),
    "200,000 lists": _holding(f"[{'[],' * 200_000}[]]".encode()),
    "90,000 unknown keys": _holding(json.dumps({f"key{number}": 1 for number in range(90_000)}).encode()),
    "4,000 digits": _holding(with_field(f'"jitter_seconds": {"9" * 4000}')),
    "200,000 wrong exit codes": _holding(with_field(f'"success_exit_codes": [{"300, " * 200_000}300]')),
    "50,000 wrong variables": _holding(
        with_field(f'"environment": {json.dumps({f"JOB_{number}": "x" for number in range(50_000)})}')
    ),
    "a long schedule": _holding(TEXT.replace("* * * * *", "0," * 100_000).encode()),
    "a long time zone": _holding(with_field(f'"timezone": "{"Europe/" * 100_000}"')),
    "a long directory": _holding(TEXT.replace('"/"', f'"{"/x" * 100_000}"').encode()),
    "a long name": _holding(TEXT.replace("hostile", "x" * 1_000_000).encode()),
}
HOSTILE = {**NOT_FILES, **NOT_JSON, **NOT_JOBS}


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Let root act as nobody for a while, since root may read everything; anybody else acts as always."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
