"""An append-only file of whole lines, rotated by size, that survives a full disk and meddling with its path."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections import deque
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

from sidecar.files import sync_folder, write_all

MAX_WAITING_BYTES = 8 << 20
"""Lines that cannot be written are kept in memory up to this much; beyond it the oldest are lost."""

HEADS_A_FILE = 4
"""A file holds at least this many times its head, or it would consist of little else."""

ROTATION_RETRY_BYTES = 64 << 10
"""After a rotation that failed, so much more is written before the next try."""


class LineFile(RotatingFileHandler):
    """Lines by descriptor, with the standard handler's names and shifting for the rotated files.

    `append` only remembers; `commit` writes all that waits in one go and, if `durable`, has it on disk when it
    returns True. A failed commit leaves the file as it was, keeps the lines and sets `problem`. Every new file
    begins with the lines that `head` returns.
    """

    def __init__(
        self,
        path: Path,
        max_bytes: int,
        backups: int,
        *,
        durable: bool = False,
        head: Callable[[], bytes] = bytes,
    ) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=backups, delay=True)
        # As it was given, where the handler makes it absolute: should the folder around it be renamed, the journal
        # has to stay with the lock and the output, which go by the path as given.
        self.baseFilename = os.fspath(path)
        self.problem: OSError | None = None
        self.lost = 0
        self._durable = durable
        self._head = head
        self._head_size = 0
        self._descriptor = -1
        self._size = 0
        self._torn = False
        self._has_others = False
        self._begun = False
        self._abandoned = False
        self._named = True
        self._rotate_above = 0
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0

    @property
    def waiting(self) -> int:
        """How many lines are not written yet."""
        return len(self._waiting)

    def open(self, *, keep_head: bool = False) -> None:
        """Open the file and give it a final newline, or begin it. Raises OSError: nothing can be written.

        Whether something can be shows only in writing it: a head is, at the end of the file with `keep_head`,
        else beside it, since others follow the file and would read what is taken away again.
        """
        self._settle(b"")
        if self._begun:
            return
        if not keep_head:
            self._try_to_write(self._head())
            return
        try:
            self._write(self._head())
        finally:
            self._cut_back()

    def append(self, line: str) -> None:
        """Take a line for the next commit, rotating first if the file would grow past its limit."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        if self._is_full(len(data)) and self.problem is None:
            self.doRollover()
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > MAX_WAITING_BYTES and self.problem is None:
            self.commit()
        # Never a commit here once it is in trouble: the head that follows lost lines does not know this one yet.
        while self._waiting_bytes > MAX_WAITING_BYTES and len(self._waiting) > 1:
            self._waiting_bytes -= len(self._waiting.popleft())
            self.lost += 1

    def commit(self, *, look: bool = False) -> bool:
        """Write everything that waits; return whether it is in the file (and on disk, if durable).

        With `look`, the file is looked at also if nothing waits, and begun anew where it is no longer ours and whole.
        """
        if self._abandoned:
            return False
        if not self._waiting and self.problem is None and not look:
            return True
        try:
            data = b"".join(self._waiting)
            if not self._settle(data) and (data or self.problem is not None):
                self._add(data)
        except OSError as error:
            self.problem = error
            self._torn = True
            with contextlib.suppress(OSError):
                self._cut_back()
            return False
        self._waiting.clear()
        self._waiting_bytes = 0
        self.problem = None
        self.lost = 0
        return True

    def doRollover(self) -> None:
        """Begin a new file. What waits goes to the old one first; where that fails the old file stays in use."""
        if self.commit():
            try:
                self._begin_file()
            except OSError:
                self._rotate_above = self._size + ROTATION_RETRY_BYTES

    def abandon(self, reason: str) -> None:
        """Write nothing more, as another process has the file now; every commit fails for this reason."""
        self._abandoned = True
        self.problem = OSError(errno.EBUSY, reason)

    def close(self) -> None:
        """Write what waits, if that is possible, and close the file."""
        self.commit()
        self._waiting.clear()  # logging.shutdown closes it once more, when another scheduler may have the lock
        self._waiting_bytes = 0
        self.problem = None
        self._drop_descriptor()
        super().close()

    def _try_to_write(self, data: bytes) -> None:
        descriptor = self._create_beside()
        try:
            write_all(descriptor, data)
            if self._durable:
                os.fsync(descriptor)
                os.fsync(self._descriptor)  # what a crash left in the cache counts from now on
        finally:
            os.close(descriptor)
            self._beside.unlink(missing_ok=True)

    def _add(self, data: bytes) -> None:
        try:
            self._write(data + self._head() if self.lost else data)
        except OSError as error:
            # Files may not grow to the limit that was set (RLIMIT_FSIZE, or the file system's own): a new one has room.
            if error.errno != errno.EFBIG or self._size <= self._head_size:
                raise
            self._cut_back()
            self._begin_file(data)

    def _is_full(self, more: int) -> bool:
        limit = max(self.maxBytes, HEADS_A_FILE * self._head_size, self._rotate_above)
        used = self._size + self._waiting_bytes
        return used > self._head_size and used + more > limit

    def _settle(self, data: bytes) -> bool:
        """Have the descriptor at the end of a file that is ours, whole and where the path says.

        Returns whether a new file had to be begun for that; `data` is in it then.
        """
        if self._descriptor < 0:
            return self._reopen(data)
        try:
            there, ours = os.stat(self.baseFilename), os.fstat(self._descriptor)
        except FileNotFoundError:
            return self._begin_file(data)
        if not os.path.samestat(there, ours) or ours.st_size < self._size:
            return self._begin_file(data)
        if self._torn:
            self._cut_back()
        else:
            self._has_others = self._has_others or ours.st_size > self._size
            self._size = ours.st_size
            if self._has_others and os.pread(self._descriptor, 1, self._size - 1) != b"\n":
                self._write(b"\n")  # somebody else's text would swallow the line that comes next
            self._has_others = False
        return False

    def _reopen(self, data: bytes) -> bool:
        try:
            descriptor = os.open(self.baseFilename, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            return self._begin_file(data)
        size = os.fstat(descriptor).st_size
        if size == 0:
            os.close(descriptor)
            return self._begin_file(data)
        self._adopt(descriptor, size)
        if os.pread(descriptor, 1, size - 1) != b"\n":
            self._write(b"\n")
        return False

    def _begin_file(self, data: bytes = b"") -> bool:
        """Put a new file with the head and `data` in the path's place; the old one becomes a backup. Returns True.

        It is written beside it first: wherever this is cut short, the newest complete head is still in one of
        the files, and no head stands without the lines that it takes into account already.
        """
        path = Path(self.baseFilename)
        path.parent.mkdir(parents=True, exist_ok=True)
        head = self._head()
        if self.problem is not None and data:
            # Lines of many commits: one that sets something may come before others that the head knows, too.
            data += head
        descriptor = self._create_beside()
        try:
            write_all(descriptor, head + data)
            if self._durable:
                os.fsync(descriptor)
            _move_directory(path)
            if path.exists() and path.stat().st_size:
                _move_directory(path.with_name(f"{path.name}.{self.backupCount}"))
                super().doRollover()
            os.replace(self._beside, path)
        except OSError:
            os.close(descriptor)
            self._beside.unlink(missing_ok=True)
            raise
        self._drop_descriptor()
        self._adopt(descriptor, len(head))
        self._head_size = len(head)
        self._begun = True
        self._rotate_above = 0
        self._named = False
        self._sync_name()
        self._size += len(data)  # not before: where that fails, it is cut off and written again
        return True

    @property
    def _beside(self) -> Path:
        path = Path(self.baseFilename)
        return path.with_name(f".{path.name}.new")

    def _create_beside(self) -> int:
        # Anew: what lies there was left by a crash, or is a link that a job made.
        _move_directory(self._beside)
        self._beside.unlink(missing_ok=True)
        return os.open(self._beside, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    def _adopt(self, descriptor: int, size: int) -> None:
        self._descriptor, self._size, self._torn = descriptor, size, False

    def _sync_name(self) -> None:
        """Have the file's name on disk. It is ours already: where this fails, it is tried again, not begun anew."""
        if self._durable and not self._named:
            sync_folder(Path(self.baseFilename).parent)
        self._named = True

    def _write(self, data: bytes) -> None:
        self._sync_name()
        write_all(self._descriptor, data)
        if self._durable:
            os.fsync(self._descriptor)
        self._size += len(data)

    def _cut_back(self) -> None:
        # Half a line, and lines whose fsync failed (they may be gone from the cache), are written again.
        # One that somebody else cut shorter must not get that length again, in zeros: it is to be begun anew.
        if self._descriptor >= 0 and os.fstat(self._descriptor).st_size > self._size:
            os.ftruncate(self._descriptor, self._size)
        self._torn = False

    def _drop_descriptor(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _move_directory(path: Path) -> None:
    """Rename a directory that somebody made where a file has to go; what is in it stays."""
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f"{path.name}.{secrets.token_hex(4)}"))
