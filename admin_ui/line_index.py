"""Where the lines of a growing file begin, known as far as it was counted. Costs some bytes for each MiB."""

from __future__ import annotations

import errno
import os
from bisect import bisect_right
from typing import BinaryIO

CHUNK_BYTES = 1 << 20
TAIL_BYTES = 64


class LineIndex:
    """Counts newlines, and goes on later where it ended; begins again if the file is another one by then.

    Not thread-safe, but it may be copied while another thread counts.
    """

    def __init__(self) -> None:
        self._marks = [(0, 0)]
        """So many newlines are in the first so many bytes."""

        self._tail = b""
        """What stood before the last mark: a file that was emptied may have grown beyond it again."""

    @property
    def counted(self) -> int:
        """How many bytes were looked at."""
        return self._marks[-1][0]

    @property
    def newlines(self) -> int:
        """How many newlines are among these."""
        return self._marks[-1][1]

    def copy(self) -> LineIndex:
        """Return one that goes on from here by itself."""
        copy = LineIndex()
        copy._tail = self._tail  # first: one that is older than its marks makes the copy begin again
        copy._marks = list(self._marks)
        return copy

    def extend(self, file: BinaryIO, size: int, newlines: int | None = None) -> None:
        """Count on in the first `size` bytes, up to the end or so many newlines (or a few more)."""
        if self.counted > size or _tail(file, self.counted) != self._tail:
            self._marks = [(0, 0)]
        while self.counted < size and (newlines is None or self.newlines < newlines):
            before = self.counted
            self._mark(_data_from(file, before, size), self.newlines)
            chunk = file.read(min(CHUNK_BYTES, size - self.counted))
            self._mark(self.counted + len(chunk), self.newlines + chunk.count(b"\n"))
            if self.counted == before:
                break
        self._tail = _tail(file, self.counted)

    def start_of(self, file: BinaryIO, number: int) -> int:
        """Return where a line begins. All newlines before it must have been counted."""
        # The last mark with fewer newlines before it than the line has: the line begins behind it.
        place = bisect_right(self._marks, number - 2, key=lambda mark: mark[1])
        position, count = self._marks[max(0, place - 1)]
        missing = number - 1 - count
        file.seek(position)
        while missing > 0 and (chunk := file.read(CHUNK_BYTES)):
            count = chunk.count(b"\n")
            if count < missing:
                missing -= count
                position += len(chunk)
                continue
            at = -1
            for _ in range(missing):
                at = chunk.index(b"\n", at + 1)
            return position + at + 1
        return position

    def _mark(self, counted: int, newlines: int) -> None:
        if counted == self.counted:
            return
        if len(self._marks) > 1 and counted - self._marks[-2][0] < CHUNK_BYTES:
            self._marks[-1] = (counted, newlines)
        else:
            self._marks.append((counted, newlines))


def _data_from(file: BinaryIO, position: int, size: int) -> int:
    """Go to the position, or to the end of the hole that it is in, and return where that is; `size` at most.

    There is no newline in a hole. One (`truncate -s 1T`) costs who makes it nothing and who reads it an hour.
    """
    try:
        return file.seek(min(size, file.seek(position, os.SEEK_DATA)))
    except OSError as error:
        return file.seek(size if error.errno == errno.ENXIO else position)
    except ValueError:  # it is in memory
        return file.seek(position)


def _tail(file: BinaryIO, position: int) -> bytes:
    file.seek(max(0, position - TAIL_BYTES))
    return file.read(min(TAIL_BYTES, position))
