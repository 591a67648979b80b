"""What a run's shell writes: its two open files while it goes, and how much of them the journal shows."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Self

# Invalid bytes are decoded to lone surrogates (PEP 383), one each, and shown like this.
ESCAPES = {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream as the journal shows it.

    `text` is whole, or head and tail around a marker (`truncated`), bytes that are not UTF-8 escaped. `file`,
    relative to the logs directory, is None if the text is exactly what was written and nobody holds the file.
    """

    text: str = ""
    size: int = 0
    truncated: bool = False
    file: str | None = None


class Streams:
    """The two output files of one run; the descriptors are `stdout` and `stderr`."""

    def __init__(self, descriptors: tuple[int, int], root: str, names: tuple[str, str], inline_bytes: int) -> None:
        self._stdout, self._stderr = (_File(*file, root) for file in zip(descriptors, names, strict=True))
        self._inline_bytes = inline_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open of both."""
        self._stdout.close()
        self._stderr.close()

    @property
    def stdout(self) -> int:
        return self._stdout.descriptor

    @property
    def stderr(self) -> int:
        return self._stderr.descriptor

    def let_go(self) -> None:
        """Close both files, which the run's shell has by now; they are found again when they are needed.

        For each process that starts the kernel copies all descriptors that are open here, and closes them again.
        """
        self._stdout.let_go()
        self._stderr.let_go()

    def size(self, also_in: str) -> int:
        """Return how many bytes both files hold now.

        `also_in`: a directory where they are found if somebody removed them, such as a process's in /proc.
        """
        return self._stdout.size(also_in) + self._stderr.size(also_in)

    def capture(self, *, is_held: bool) -> tuple[Stream, Stream]:
        """Return what the journal shows of stdout and stderr. `is_held`: a process may still write to them."""
        return self._stdout.capture(self._inline_bytes, is_held), self._stderr.capture(self._inline_bytes, is_held)


class _File:
    """One file, open or let go of: then it is looked for by its name, and only the very same inode is taken for it."""

    def __init__(self, descriptor: int, name: str, root: str) -> None:
        self.descriptor = descriptor
        self._name = name
        self._path = f"{root}/{name}"
        self._status: os.stat_result | None = None

    def let_go(self) -> None:
        self._status = os.fstat(self.descriptor)
        self.close()

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def size(self, also_in: str) -> int:
        """Return its size, 0 if it is nowhere. It is open again if it was only in the other place."""
        with contextlib.suppress(OSError):
            return self._size()
        with contextlib.suppress(OSError):
            for name in os.listdir(also_in):
                with contextlib.suppress(OSError):
                    self._open(f"{also_in}/{name}", follow=True)
                    return self._size()
        return 0

    def capture(self, inline_bytes: int, is_held: bool) -> Stream:
        if self.descriptor < 0:
            size = 0
            try:
                size = self._size()
                if size == 0:  # as nearly always: it need not be opened
                    return Stream(file=self._name if is_held else None)
                self._open(self._path)
            except OSError as error:
                return Stream(unreadable(error), size, truncated=True, file=self._name)
        return capture(self.descriptor, self._name, inline_bytes, is_held)

    def _size(self) -> int:
        if self.descriptor >= 0:
            return os.fstat(self.descriptor).st_size
        return self._require_same(os.lstat(self._path)).st_size

    def _open(self, path: str, *, follow: bool = False) -> None:
        # Looked at first, as merely opening some devices does something.
        self._require_same(os.stat(path, follow_symlinks=follow))
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
        descriptor = os.open(path, flags)
        try:
            self._require_same(os.fstat(descriptor))
        except OSError:
            os.close(descriptor)
            raise
        self.descriptor = descriptor

    def _require_same(self, status: os.stat_result) -> os.stat_result:
        if self._status is None or not os.path.samestat(self._status, status):
            raise FileNotFoundError(errno.ENOENT, "it was removed while the run was going")
        return status


def capture(descriptor: int, file: str, limit: int, is_held: bool) -> Stream:
    """Return what the journal shows of an open file, at most `limit` bytes of it; `file` is its name."""
    size = 0
    try:
        size = os.fstat(descriptor).st_size
        if size == 0:
            return Stream(file=file if is_held else None)
        return _shown(descriptor, size, file, limit, is_held)
    except OSError as error:
        return Stream(unreadable(error), size, truncated=True, file=file)


def _shown(descriptor: int, size: int, file: str, limit: int, is_held: bool) -> Stream:
    if size <= limit:
        data = _read(descriptor, size, 0)
        text = data.decode("utf-8", "surrogateescape")
        shown_size = _escaped_size(text)
        if shown_size == len(data):
            return Stream(text, len(data), file=file if is_held else None)
        if shown_size <= limit:
            return Stream(text.translate(ESCAPES), len(data), file=file)
    room = max(0, limit - len(_marker(size, file)))
    head = _head(_read(descriptor, room // 2, 0), room // 2)
    tail = _tail(_read(descriptor, room // 2, max(0, size - room // 2)), room // 2)
    left_out = size - _raw_size(head) - _raw_size(tail)
    return Stream(
        head.translate(ESCAPES) + _marker(left_out, file) + tail.translate(ESCAPES),
        size,
        truncated=True,
        file=file,
    )


def _marker(left_out: int, file: str) -> str:
    return f"\n[{left_out} bytes are left out here; all of them are in {file}]\n"


def unreadable(error: OSError) -> str:
    """Return what stands for output that cannot be read."""
    return f"[the output cannot be read: {error.strerror}]"


def _head(data: bytes, room: int) -> str:
    """Return the longest beginning that takes at most `room` bytes to show and cuts no character."""
    text, _ = codecs.utf_8_decode(data, "surrogateescape", False)
    if _escaped_size(text) <= room:
        return text
    return text[: bisect_right(range(len(text)), room, key=lambda end: _escaped_size(text[: end + 1]))]


def _tail(data: bytes, room: int) -> str:
    """Return the longest end that takes at most `room` bytes to show and cuts no character."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:  # the rest of a character that was cut
        start += 1
    text = data[start:].decode("utf-8", "surrogateescape")
    if _escaped_size(text) <= room:
        return text
    return text[bisect_left(range(len(text)), -room, key=lambda begin: -_escaped_size(text[begin:])) :]


def _raw_size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def _escaped_size(text: str) -> int:
    """Return how many bytes the text takes in UTF-8 with each invalid byte shown as four characters."""
    raw = _raw_size(text)
    invalid = (len(text.encode("utf-8", "surrogatepass")) - raw) // 2
    return raw + 3 * invalid


def _read(descriptor: int, size: int, offset: int) -> bytes:
    data = b""
    while len(data) < size and (piece := os.pread(descriptor, size - len(data), offset + len(data))):
        data += piece
    return data
