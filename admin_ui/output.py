"""Show the output of a run: lines by number, from either end, searched, or byte for byte. Reads only.

Files lie in `logs/output/<job>/<run_id>.stdout|.stderr`; below `logs/output` no link is followed.
"""

from __future__ import annotations

import io
import os
import re
import stat
import threading
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from admin_ui.errors import StorageError, ValidationError
from admin_ui.model import JOB_NAME, RUN_ID

DIRECTORY = "output"
STREAMS = ("stdout", "stderr")
DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
CHUNK_BYTES = 1 << 20
LONGEST_LINE = 16 << 10  # bytes of one line that are shown
MOST_LINES = 5000
LONGEST_SEARCH = 200
SEARCH_SECONDS = 3.0
REMEMBERED_FILES = 64
TAIL_BYTES = 64
UNSAFE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
"""Controls, invisible characters, and what turns the direction of the text around it; a tab is harmless."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line, made safe to show; numbers count from 1. `cut`: only its beginning is shown."""

    number: int
    text: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Hits:
    """Lines that hold a text. `complete` is False if the search stopped early: at its limit, or out of time."""

    lines: tuple[Line, ...]
    complete: bool


def visible(text: str) -> str:
    r"""Return the text with every character that is not plainly seen as an escape such as `\x1b` or `\u202e`."""
    return UNSAFE.sub(_escape, text)


@dataclass(slots=True)
class _Index:
    """Where lines begin: after `marks[i]` bytes, `counts[i]` newlines were seen. Grows with its file.

    `tail` is what stood before the last mark: a file that was emptied may have grown beyond it again.
    """

    marks: list[int] = field(default_factory=lambda: [0])
    counts: list[int] = field(default_factory=lambda: [0])
    tail: bytes = b""

    def extend(self, file: BinaryIO, size: int) -> None:
        """Count the newlines up to `size`; begin again if the file is not the one that was counted."""
        if self.marks[-1] > size or self._tail(file) != self.tail:
            self.marks, self.counts = [0], [0]
        file.seek(self.marks[-1])
        while self.marks[-1] < size and (chunk := file.read(min(CHUNK_BYTES, size - self.marks[-1]))):
            at, count = self.marks[-1] + len(chunk), self.counts[-1] + chunk.count(b"\n")
            if len(self.marks) > 1 and at - self.marks[-2] < CHUNK_BYTES:
                self.marks[-1], self.counts[-1] = at, count
            else:
                self.marks.append(at)
                self.counts.append(count)
        self.tail = self._tail(file)

    def _tail(self, file: BinaryIO) -> bytes:
        file.seek(max(0, self.marks[-1] - TAIL_BYTES))
        return file.read(min(TAIL_BYTES, self.marks[-1]))


class Output:
    """One stream's bytes as they are at the moment. `size` in bytes; `whole` is False if a part is missing.

    Not thread-safe; made by `Outputs.open`.
    """

    def __init__(self, file: BinaryIO, size: int, index: _Index, *, whole: bool = True) -> None:
        self.size = size
        self.whole = whole
        self._file = file
        self._index = index

    def line_count(self) -> int:
        """Return how many lines there are; the last one may lack its newline."""
        self._index.extend(self._file, self.size)
        return self._index.counts[-1] + (self.size > 0 and self._byte(self.size - 1) != b"\n")

    def lines(self, first: int, count: int) -> list[Line]:
        """Return up to `count` lines from number `first` (1 or more) on, at most 5,000."""
        total = self.line_count()
        first, last = max(1, first), min(first + min(count, MOST_LINES) - 1, total)
        if first > last:
            return []
        self._file.seek(self._start_of(first))
        return [self._next_line(number) for number in range(first, last + 1)]

    def tail(self, count: int) -> list[Line]:
        """Return the last lines, at most 5,000."""
        count = min(count, MOST_LINES)
        return self.lines(max(1, self.line_count() - count + 1), count)

    def search(self, text: str, limit: int = 200) -> Hits:
        """Return the lines that hold the text, whatever the case, from the beginning on."""
        if not text or len(text) > LONGEST_SEARCH:
            raise ValidationError({"search": f"write 1 to {LONGEST_SEARCH} characters"})
        pattern = re.compile(re.escape(text), re.IGNORECASE)
        deadline = time.monotonic() + SEARCH_SECONDS
        found: list[Line] = []
        number = 1
        for block in self._blocks():
            decoded = block.decode("utf-8", "surrogateescape")
            place = 0
            for match in pattern.finditer(decoded):
                if match.start() < place and found:
                    continue  # one more in the same line
                number += decoded.count("\n", place, match.start())
                start = decoded.rfind("\n", 0, match.start()) + 1
                end = decoded.find("\n", match.end())
                end = len(decoded) if end < 0 else end
                # A very long line is shown from a little before the text on.
                shown_from = start if match.end() - start < LONGEST_LINE else match.start() - 200
                if len(found) == limit:
                    return Hits(tuple(found), complete=False)
                found.append(_shown(number, decoded[shown_from:end]))
                number += decoded.count("\n", match.start(), end + 1)
                place = end + 1
            number += decoded.count("\n", place)
            if time.monotonic() > deadline:
                return Hits(tuple(found), complete=False)
        return Hits(tuple(found), complete=True)

    def chunks(self) -> Iterator[bytes]:
        """Yield exactly the bytes that there were when it was opened."""
        self._file.seek(0)
        left = self.size
        while left > 0 and (chunk := self._file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk

    def _blocks(self) -> Iterator[bytes]:
        """Yield the bytes in blocks that end with a line, but for lines that are longer than 16 MiB."""
        rest = b""
        for chunk in self.chunks():
            end = chunk.rfind(b"\n") + 1
            if end == 0 and len(rest) < 16 * CHUNK_BYTES:
                rest += chunk
            else:
                yield rest + chunk[:end]
                rest = chunk[end:]
        yield rest

    def _start_of(self, number: int) -> int:
        """Return where line `number` begins."""
        # The last mark with fewer newlines before it than the line has: the line begins behind it.
        mark = max(0, bisect_right(self._index.counts, number - 2) - 1)
        position, missing = self._index.marks[mark], number - 1 - self._index.counts[mark]
        self._file.seek(position)
        while missing > 0 and (chunk := self._file.read(CHUNK_BYTES)):
            count = chunk.count(b"\n")
            if count < missing:
                missing -= count
                position += len(chunk)
                continue
            place = -1
            for _ in range(missing):
                place = chunk.index(b"\n", place + 1)
            position += place + 1
            break
        return position

    def _next_line(self, number: int) -> Line:
        data = self._file.readline(LONGEST_LINE + 1)
        if len(data) > LONGEST_LINE and not data.endswith(b"\n"):
            while (rest := self._file.readline(CHUNK_BYTES)) and not rest.endswith(b"\n"):
                pass
        return _shown(number, data.removesuffix(b"\n").decode("utf-8", "surrogateescape"))

    def _byte(self, position: int) -> bytes:
        self._file.seek(position)
        return self._file.read(1)


class Outputs:
    """The output files below one logs directory. Thread-safe."""

    def __init__(self, log_directory: str | Path) -> None:
        self._logs = Path(log_directory)
        self._indexes: OrderedDict[tuple[int, int], _Index] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def open(self, job_name: str, run_id: str, stream: str) -> Iterator[Output | None]:
        """Give the stream's file, None if there is none (then the journal has the text). Raises StorageError."""
        descriptor = self._open(job_name, run_id, stream)
        if descriptor is None:
            yield None
            return
        with os.fdopen(descriptor, "rb", buffering=CHUNK_BYTES) as file:
            status = os.fstat(descriptor)
            yield Output(file, status.st_size, self._index_of(status))

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

    def _index_of(self, status: os.stat_result) -> _Index:
        """Return a copy of what is known of a file's lines, and remember the copy: it will know more."""
        key = (status.st_dev, status.st_ino)
        with self._lock:
            known = self._indexes.pop(key, None)
            index = _Index(list(known.marks), list(known.counts), known.tail) if known else _Index()
            self._indexes[key] = index
            while len(self._indexes) > REMEMBERED_FILES:
                self._indexes.popitem(last=False)
        return index


def from_text(text: str, *, whole: bool) -> Output:
    """Return output that is not in a file but in the journal."""
    data = text.encode("utf-8", "surrogatepass")
    return Output(io.BytesIO(data), len(data), _Index(), whole=whole)


def _shown(number: int, text: str) -> Line:
    cut = len(text) > LONGEST_LINE
    return Line(number, visible(text[:LONGEST_LINE].removesuffix("\r")), cut)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
