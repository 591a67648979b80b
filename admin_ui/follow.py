"""Follow a log across rotation, truncation and replacement: whole lines in order, and cursors to go on from later.

What is read is hostile: no link is followed, nothing but a regular file is opened, no line takes unbounded memory.
A cursor moves only past newlines. Where it cannot be told whether lines were read before, they are read again.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

CHUNK_BYTES = 1 << 20
LONGEST_LINE = 16 << 20  # a checkpoint of 50,000 jobs; a longer line is nothing that the scheduler wrote
HEAD_BYTES = 128
TAIL_BYTES = 64
FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far one file was read. `file` tells it from others under any name; `tail` is of the bytes before `offset`."""

    file: str
    offset: int
    tail: bytes


@dataclass(slots=True)
class Batch:
    """Some whole lines, without their newlines, and the cursor after them. `skipped` lines were too long."""

    cursor: Cursor
    lines: list[bytes] = field(default_factory=list)
    skipped: int = 0


class Follower:
    """Reads one log (`path`, `path.1`, `path.2` …) from cursors on. Keeps nothing but sizes and times seen."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbered = re.compile(re.escape(path.name) + r"\.([0-9]{1,4})")
        self._seen: dict[str, tuple[int, int]] = {}
        self.files: frozenset[str] = frozenset()

    def read(self, cursors: Mapping[str, Cursor]) -> Iterator[Batch]:
        """Yield what is new, oldest file first; `files` are then the files that are there.

        Raises OSError if a file or the directory cannot be read; a log that is not there has no lines.
        """
        with ExitStack() as opened:
            found = []
            # From the newest on: a rotation meanwhile makes a file appear twice, never be passed over.
            for name in self._names():
                descriptor = self._open(name)
                if descriptor is not None:
                    opened.callback(os.close, descriptor)
                    found.append((_identity(descriptor), descriptor))
            self.files = frozenset(file for file, _ in found)
            self._seen = {file: seen for file, seen in self._seen.items() if file in self.files}
            for file, descriptor in reversed(dict(found).items()):
                status = os.fstat(descriptor)
                seen = (status.st_size, status.st_mtime_ns)
                if self._seen.get(file) != seen:
                    yield from _batches(descriptor, file, cursors.get(file))
                    self._seen[file] = seen

    def forget(self) -> None:
        """Look at every file again at the next read: the cursors were lost."""
        self._seen.clear()

    def _names(self) -> list[str]:
        try:
            listed = os.listdir(self._path.parent)
        except FileNotFoundError:
            return []
        matches = filter(None, map(self._numbered.fullmatch, listed))
        return [self._path.name, *(match[0] for match in sorted(matches, key=lambda match: int(match[1])))]

    def _open(self, name: str) -> int | None:
        try:
            descriptor = os.open(self._path.with_name(name), FLAGS)
        except OSError as error:
            if isinstance(error, PermissionError):
                raise
            return None  # not there, a link, a socket
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        return None


def _identity(descriptor: int) -> str:
    """Return what tells this file from others that had or will have its name: its inode and how it begins."""
    head = os.pread(descriptor, HEAD_BYTES, 0).partition(b"\n")[0]
    shown = hashlib.sha256(head, usedforsecurity=False).hexdigest()[:24]
    return f"{os.fstat(descriptor).st_ino}-{shown}"


def _batches(descriptor: int, file: str, cursor: Cursor | None) -> Iterator[Batch]:
    """Yield the whole lines after the cursor; all of the file's if what lies before the cursor is not what it was."""
    offset = cursor.offset if cursor and _tail(descriptor, cursor.offset) == cursor.tail else 0
    rest, overlong, skipped = b"", False, 0
    position = offset
    while chunk := os.pread(descriptor, CHUNK_BYTES, position):
        position += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
        if overlong and lines:
            del lines[0]
            overlong = False
        if len(rest) > LONGEST_LINE:
            rest, skipped, overlong = b"", skipped + (not overlong), True
        if b"\n" in chunk:
            offset = position - (len(chunk) - chunk.rindex(b"\n") - 1)
            yield Batch(Cursor(file, offset, _tail(descriptor, offset)), lines, skipped)
            skipped = 0


def _tail(descriptor: int, offset: int) -> bytes:
    """Return the last bytes before `offset`; fewer, so never an equal, if the file is shorter."""
    return os.pread(descriptor, min(TAIL_BYTES, offset), max(0, offset - TAIL_BYTES))
