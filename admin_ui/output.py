"""Show the output of a run: lines by number, from either end, searched, or byte for byte. Reads only.

Files lie in `logs/output/<job>/<run_id>.stdout|.stderr`; below `logs/output` no link is followed.
"""

from __future__ import annotations

import codecs
import io
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from admin_ui import output_search
from admin_ui.errors import StorageError, ValidationError
from admin_ui.escapes import visible
from admin_ui.line_index import LineIndex
from admin_ui.model import JOB_NAME, RUN_ID
from admin_ui.output_search import Place

DIRECTORY = "output"
STREAMS = ("stdout", "stderr")
DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
CHUNK_BYTES = 1 << 20
COUNT_BYTES = 128 << 20  # a tenth of a second
QUICK_BYTES = 16 << 20
TAIL_BYTES = 4 << 20
LONGEST_LINE = 16 << 10  # bytes of one line that are shown
MOST_LINES = 5000
SHOWN_BEFORE = 200
LONGEST_CHARACTER = 4
INSIDE_CHARACTERS = bytes(range(0x80, 0xC0))  # of UTF-8: all bytes but the first
REMEMBERED_FILES = 64


@dataclass(frozen=True, slots=True)
class Line:
    """One line, made safe to show. Numbers count from 1; None while the lines of a large file are still counted.

    Of a very long line a part is shown: so many bytes of it lie before that part (at least, if there is no number)
    and after it.
    """

    number: int | None
    text: str
    bytes_before: int = 0
    bytes_after: int = 0


@dataclass(frozen=True, slots=True)
class Hits:
    """Lines that hold a text. `complete` is False if the search stopped early: at its limit, or out of time."""

    lines: tuple[Line, ...]
    complete: bool


class Output:
    """One stream's bytes as they are at the moment. `size` in bytes; `whole` is False if a part is missing.

    Not thread-safe; made by `Outputs.open`.
    """

    def __init__(self, file: BinaryIO, size: int, index: LineIndex, *, whole: bool = True) -> None:
        self.size = size
        self.whole = whole
        self._file = file
        self._index = index

    def line_count(self) -> int | None:
        """Return how many lines there are; the last one may lack its newline.

        None while they are not all counted. A call counts 128 MiB at most, and the next one goes on from there.
        """
        self._index.extend(self._file, min(self.size, self._index.counted + COUNT_BYTES))
        return self._total()

    def lines(self, first: int, count: int) -> list[Line]:
        """Return up to `count` lines from number `first` (1 or more) on, at most 5,000.

        Those that are not counted yet are not among them; a call counts on, as `line_count` does.
        """
        last = first + min(count, MOST_LINES) - 1
        self._index.extend(self._file, min(self.size, self._index.counted + COUNT_BYTES), last)
        total = self._total()
        first, last = max(1, first), min(last, self._index.newlines + 1 if total is None else total)
        if first > last:
            return []
        lines, start = [], self._index.start_of(self._file, first)
        for number in range(first, last + 1):
            line, start = self._line_at(number, start, start)
            lines.append(line)
        return lines

    def tail(self, count: int) -> list[Line]:
        """Return the last lines, at most 5,000.

        Those of a large file that was not counted yet have no numbers, and are no more than its last 4 MiB hold.
        """
        count = min(count, MOST_LINES)
        if self.size - self._index.counted <= QUICK_BYTES:
            self._index.extend(self._file, self.size)
            return self.lines((self._total() or 0) - count + 1, count)
        data = self._read(self.size - TAIL_BYTES, TAIL_BYTES).removesuffix(b"\n")
        first, *others = data.rsplit(b"\n", count)
        if others:
            return [_beginning(line) for line in others]
        part = first[-LONGEST_LINE:]  # of one very long line
        return [Line(None, _shown(part), bytes_before=len(first) - len(part))]

    def search(self, text: str, limit: int = 200, *, regex: bool = False) -> Hits:
        """Return the first lines that hold the text, or match the regular expression, whatever the case.

        Raises ValidationError for nothing, too much, and what is no regular expression; StorageError.
        """
        if regex:
            places, complete = output_search.matching(self._file, self.size, text, limit)
        else:
            places, complete = output_search.holding(self.chunks(), text, limit)
        return Hits(tuple(map(self._line_around, places)), complete)

    def chunks(self) -> Iterator[bytes]:
        """Yield exactly the bytes that there were when it was opened."""
        self._file.seek(0)
        left = self.size
        while left > 0 and (chunk := self._file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk

    def _total(self) -> int | None:
        if self._index.counted < self.size:
            return None
        return self._index.newlines + (self.size > 0 and self._read(self.size - 1, 1) != b"\n")

    def _line_at(self, number: int, start: int, shown_from: int) -> tuple[Line, int]:
        """Return the line that begins at `start`, shown from `shown_from` on, and where the next one begins."""
        self._file.seek(shown_from)
        data = self._file.readline(LONGEST_LINE + 1)
        before = shown_from - start
        if len(data) <= LONGEST_LINE or data.endswith(b"\n"):
            return Line(number, _shown(data.removesuffix(b"\n")), before), shown_from + len(data)
        part = _whole_characters(data[:LONGEST_LINE])
        end, following = self._end_of(number, shown_from + len(data))
        return Line(number, _shown(part), before, end - shown_from - len(part)), following

    def _end_of(self, number: int, position: int) -> tuple[int, int]:
        """Return where a line ends, in which the file stands at `position`, and where the next one begins."""
        rest = self._file.readline(CHUNK_BYTES)
        end = position + len(rest)
        if rest.endswith(b"\n"):
            return end - 1, end
        if end < self.size:  # the index leaps over what may be a gigabyte
            self._index.extend(self._file, self.size, number)
            if self._index.newlines >= number:
                following = self._index.start_of(self._file, number + 1)
                return following - 1, following
        return self.size, self.size

    def _line_around(self, place: Place) -> Line:
        """Return a line that was found: from its beginning, or from a little before what was found in it."""
        near = max(0, place.position - LONGEST_LINE // 2)
        newline = self._read(near, place.position - near).rfind(b"\n")
        if newline >= 0 or near == 0:
            start = shown_from = near + newline + 1
        else:
            self._index.extend(self._file, self.size, place.number - 1)
            start = self._index.start_of(self._file, place.number)
            shown_from = place.position - SHOWN_BEFORE
            head = self._read(shown_from, LONGEST_CHARACTER)
            shown_from += len(head) - len(head.lstrip(INSIDE_CHARACTERS))
        return self._line_at(place.number, start, shown_from)[0]

    def _read(self, position: int, count: int) -> bytes:
        self._file.seek(position)
        return self._file.read(count)


class Outputs:
    """The output files below one logs directory. Thread-safe."""

    def __init__(self, log_directory: str | Path) -> None:
        self._logs = Path(log_directory)
        self._indexes: OrderedDict[tuple[int, int], LineIndex] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def open(self, job_name: str, run_id: str, stream: str, printed: int = 0) -> Iterator[Output | None]:
        """Give the stream's file, None if there is none (then the journal has the text). Raises StorageError.

        A file with less than the run had `printed` by its end is none: the scheduler empties what is too old and still
        held by a process.
        """
        descriptor = self._open(job_name, run_id, stream)
        if descriptor is None:
            yield None
            return
        with os.fdopen(descriptor, "rb", buffering=CHUNK_BYTES) as file:
            status = os.fstat(descriptor)
            index = self._index_of(status)
            try:
                yield None if status.st_size < printed else Output(file, status.st_size, index)
            finally:
                self._remember(status, index)

    def _open(self, job_name: str, run_id: str, stream: str) -> int | None:
        if not JOB_NAME.fullmatch(job_name) or not RUN_ID.fullmatch(run_id) or stream not in STREAMS:
            raise ValidationError({"run_id": "this names no output"})
        directory = os.open("/", DIRECTORY_FLAGS)  # replaced by the next one in each step
        try:
            for part in (os.path.realpath(self._logs), DIRECTORY, job_name):
                directory, previous = os.open(part, DIRECTORY_FLAGS, dir_fd=directory), directory
                os.close(previous)
            descriptor = os.open(f"{run_id}.{stream}", FILE_FLAGS, dir_fd=directory)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"the output cannot be read: {error.strerror}") from error
        finally:
            os.close(directory)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise StorageError("the output cannot be read: it is no regular file")
        return descriptor

    def _index_of(self, status: os.stat_result) -> LineIndex:
        """Return a copy of what is known of a file's lines, and remember the copy: it will know more."""
        key = (status.st_dev, status.st_ino)
        with self._lock:
            known = self._indexes.pop(key, None)
            index = known.copy() if known else LineIndex()
            self._indexes[key] = index
            while len(self._indexes) > REMEMBERED_FILES:
                self._indexes.popitem(last=False)
        return index

    def _remember(self, status: os.stat_result, index: LineIndex) -> None:
        """Keep what was counted here, where somebody who opened the file in between has counted less so far."""
        key = (status.st_dev, status.st_ino)
        with self._lock:
            known = self._indexes.get(key)
            if known is not None and known.counted < index.counted:
                self._indexes[key] = index


def from_text(text: str, *, whole: bool) -> Output:
    """Return output that is not in a file but in the journal."""
    data = text.encode("utf-8", "surrogatepass")
    return Output(io.BytesIO(data), len(data), LineIndex(), whole=whole)


def _beginning(data: bytes) -> Line:
    part = data if len(data) <= LONGEST_LINE else _whole_characters(data[:LONGEST_LINE])
    return Line(None, _shown(part), bytes_after=len(data) - len(part))


def _shown(data: bytes) -> str:
    return visible(data.removesuffix(b"\r").decode("utf-8", "surrogateescape"))


def _whole_characters(data: bytes) -> bytes:
    """Return the bytes without the beginning of a character whose rest is cut off."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    decoder.decode(data)
    return data.removesuffix(decoder.getstate()[0])
