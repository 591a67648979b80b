"""Follow a log across rotation, truncation and replacement: whole lines in order, and cursors to go on from later.

What is read is hostile: no link is followed, nothing but a regular file is opened, no line takes unbounded memory.
A cursor moves only past newlines. Where it cannot be told whether lines were read before, they are read again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

CHUNK_BYTES = 1 << 20
LONGEST_LINE = 16 << 20  # a checkpoint of 50,000 jobs; a longer line is nothing that the scheduler wrote
MOST_BYTES = 64 << 20  # more than such a line, or nobody would get past it; all of a log by the scheduler's defaults
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
    """Some whole lines, without their newlines, and the cursor after them. `skipped` lines were too long.

    `late` ones are older than what was read before: their file turned up after a newer one was read.
    """

    cursor: Cursor
    lines: list[bytes] = field(default_factory=list)
    skipped: int = 0
    late: bool = False


@dataclass(slots=True)
class _Allowance:
    """How much may be read before it is somebody else's turn."""

    left: int
    stopped: Callable[[], bool]

    def is_over(self) -> bool:
        return self.left <= 0 or self.stopped()


class Follower:
    """Reads one log (`path`, `path.1`, `path.2` …) from cursors on, at most about MOST_BYTES at a time.

    After a `read`: `files` are those that are there, and `is_there` says whether the newest is. `unread` is the name
    of the one that was not read to its end, None if all were; `overlong`: because of a line beyond all measure.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbered = re.compile(re.escape(path.name) + r"\.([0-9]{1,4})")
        self._seen: dict[str, tuple[int, int]] = {}
        self._overlong: dict[str, tuple[int, Cursor]] = {}
        """By file: where a line begins that is too long, and how far it was passed over."""

        self.files: frozenset[str] = frozenset()
        self.is_there = False
        self.unread: str | None = None
        self.overlong = False

    def read(self, cursors: Mapping[str, Cursor], stopped: Callable[[], bool] = lambda: False) -> Iterator[Batch]:
        """Yield what is new, oldest file first, until `stopped`; what is `unread` then comes with the next read.

        Raises OSError if a file or the directory cannot be read; a log that is not there has no lines.
        """
        with ExitStack() as opened:
            found: dict[str, tuple[str, int]] = {}
            # From the newest on: a rotation meanwhile makes a file appear twice, never be passed over.
            for name in self._names():
                descriptor = self._open(name)
                if descriptor is not None:
                    opened.callback(os.close, descriptor)
                    found.setdefault(_identity(descriptor), (name, descriptor))
            self.files = frozenset(found)
            self.is_there = any(name == self._path.name for name, _ in found.values())
            self._seen = {file: seen for file, seen in self._seen.items() if file in found}
            self._overlong = {file: place for file, place in self._overlong.items() if file in found}
            yield from self._read(found, cursors, _Allowance(MOST_BYTES, stopped))

    def forget(self) -> None:
        """Look at every file again at the next read: the cursors were lost."""
        self._seen.clear()
        self._overlong.clear()

    def _read(
        self, found: Mapping[str, tuple[str, int]], cursors: Mapping[str, Cursor], allowance: _Allowance
    ) -> Iterator[Batch]:
        self.unread, self.overlong = None, False
        seen = {file: _size_and_time(descriptor) for file, (_, descriptor) in found.items()}
        if seen == self._seen:
            return
        starts = {file: _start(descriptor, file, cursors.get(file)) for file, (_, descriptor) in found.items()}
        newest_read = next((file for file, start in starts.items() if start.offset), None)
        late = newest_read is not None
        for file, (name, descriptor) in reversed(list(found.items())):
            late = late and file != newest_read
            if self._seen.get(file) == seen[file]:
                continue
            self.unread = name
            for batch in self._batches(descriptor, starts[file], allowance):
                batch.late = late
                yield batch
            self.overlong = file in self._overlong
            if allowance.is_over():
                return  # newer files have to wait: their lines come after these
            self.unread = None
            self._seen[file] = seen[file]

    def _batches(self, descriptor: int, start: Cursor, allowance: _Allowance) -> Iterator[Batch]:
        """Yield the whole lines from `start` on. What is too long is passed over, and not held meanwhile."""
        file, offset = start.file, start.offset
        position, overlong = self._resume(descriptor, start)
        pieces: list[bytes] = []
        while not allowance.is_over():
            if overlong:
                position = _next_data(descriptor, position)
            chunk = os.pread(descriptor, CHUNK_BYTES, position)
            if not chunk:
                break
            position += len(chunk)
            allowance.left -= len(chunk)
            *lines, rest = chunk.split(b"\n")
            if lines:
                lines[0] = b"".join((*pieces, lines[0]))
                offset = position - len(rest)
                cursor = Cursor(file, offset, _tail(descriptor, offset))
                yield Batch(cursor, lines[1:], skipped=1) if overlong else Batch(cursor, lines)
                pieces, overlong = [], False
            if not overlong:
                pieces.append(rest)
                overlong = sum(map(len, pieces)) > LONGEST_LINE
            if overlong:
                pieces.clear()
        if overlong:
            self._overlong[file] = offset, Cursor(file, position, _tail(descriptor, position))

    def _resume(self, descriptor: int, start: Cursor) -> tuple[int, bool]:
        """Return where to go on reading, and whether that is inside of a line that is too long."""
        line, place = self._overlong.pop(start.file, (None, start))
        if line == start.offset and _tail(descriptor, place.offset) == place.tail:
            return place.offset, True
        return start.offset, False

    def _names(self) -> list[str]:
        try:
            listed = os.listdir(self._path.parent)
        except FileNotFoundError:
            return []
        numbers = sorted(int(match[1]) for match in map(self._numbered.fullmatch, listed) if match)
        # And the next one, where a rotation may have put the last of them since.
        numbers.append(max(numbers, default=0) + 1)
        return [self._path.name, *(f"{self._path.name}.{number}" for number in numbers)]

    def _open(self, name: str) -> int | None:
        try:
            descriptor = os.open(self._path.with_name(name), FLAGS)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE):
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


def _size_and_time(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns


def _start(descriptor: int, file: str, cursor: Cursor | None) -> Cursor:
    """Return the cursor; the file's beginning if there is none, or what lies before it is not what it was."""
    if cursor is not None and _tail(descriptor, cursor.offset) == cursor.tail:
        return cursor
    return Cursor(file, 0, b"")


def _next_data(descriptor: int, position: int) -> int:
    """Return the position, or the end of the hole that it is in: there is no newline in there.

    A hole (`truncate -s 1T`) costs whoever makes it nothing and whoever reads it a second for each GiB.
    """
    size = os.fstat(descriptor).st_size
    try:
        return os.lseek(descriptor, position, os.SEEK_DATA)
    except OSError as error:
        return max(position, size) if error.errno == errno.ENXIO else position


def _tail(descriptor: int, offset: int) -> bytes:
    """Return the last bytes before `offset`; fewer, so never an equal, if the file is shorter."""
    return os.pread(descriptor, min(TAIL_BYTES, offset), max(0, offset - TAIL_BYTES))
