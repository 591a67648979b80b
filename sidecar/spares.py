"""Output files that are used again: to make a new one is what a run in a storm would pay for most.

ext4 passes over every inode that was deleted within the last minutes (`recently_deleted` in fs/ext4/ialloc.c): where
hundreds of runs a minute make and remove two files each, that is 0.1 to 0.4 ms a file. To give a file that exists a
second name (link(2)) and take it away again is 0.012 ms; to move it there and back would be 0.024.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import signal

DIRECTORY_MODE = 0o750
FILE_MODE = 0o640
# Read and write, so that what is written can be read back without its name; appending, so that a
# file that is truncated while a process holds it does not come back with a hole of the old size.
FLAGS = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC

MOST_SPARES = 2048
"""As many as a thousand runs need that end together; further ones are removed."""


class Spares:
    """Empty files in a directory of their own, where only this process has any business.

    Each keeps its name there while it is lent to a run under another one.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._numbers = itertools.count()
        self._free: list[str] = []
        self._lent: dict[str, str] = {}
        self._mode: int | None = None

    def open(self, name: str, directory: int) -> int:
        """Return the descriptor of an empty file called `name` in the directory open as `directory`. Raises OSError.

        No two files may be called the same, whatever their directories; `keep` or `put_away` must follow.
        """
        descriptor = self._lend(self._free.pop(), name, directory) if self._free else None
        if descriptor is not None:
            return descriptor
        descriptor = os.open(name, FLAGS | os.O_CREAT, FILE_MODE, dir_fd=directory)
        if self._mode is None:
            self._mode = os.fstat(descriptor).st_mode
            self._clear()
        return descriptor

    def keep(self, name: str) -> None:
        """Leave the file to who reads it: it is no spare any more."""
        spare = self._lent.pop(name, None)
        if spare is not None:
            _remove(spare)

    def put_away(self, name: str, directory: int) -> None:
        """Take a file that nobody needs any more out of `directory`. Raises OSError.

        Kept is only what no process has open, be it `tail -f`: the next run's output is none of its business.
        """
        spare = self._lent.pop(name, None)
        try:
            if spare is None:
                spare = self._move(name, directory)
            else:
                os.unlink(name, dir_fd=directory)
        finally:
            if spare is not None:
                self._take_back(spare)

    def _clear(self) -> None:
        """Make the directory, without what an earlier process left in it; where that fails there are no spares."""
        with contextlib.suppress(OSError):
            if os.path.islink(self._directory):  # a job's: what it leads to is not ours to clear
                os.unlink(self._directory)
            os.makedirs(self._directory, DIRECTORY_MODE, exist_ok=True)
            for name in os.listdir(self._directory):
                os.unlink(f"{self._directory}/{name}")

    def _lend(self, spare: str, name: str, directory: int) -> int | None:
        descriptor = -1
        try:
            descriptor = os.open(spare, FLAGS)
            status = os.fstat(descriptor)
            if status.st_size == 0 and status.st_nlink == 1 and status.st_mode == self._mode:
                os.utime(descriptor)
                os.link(spare, name, dst_dir_fd=directory)
                self._lent[name] = spare
                return descriptor
        except OSError:
            pass  # somebody meddled with it, or this file system knows no links
        if descriptor >= 0:
            os.close(descriptor)
        _remove(spare)
        return None

    def _move(self, name: str, directory: int) -> str | None:
        """Make the file a spare; where that cannot be, remove it and return None."""
        # Not before `_clear`: an earlier process may have left another name of the same file there.
        if self._mode is not None and len(self._free) + len(self._lent) < MOST_SPARES:
            spare = f"{self._directory}/{next(self._numbers)}"
            with contextlib.suppress(OSError):
                os.rename(name, spare, src_dir_fd=directory)
                return spare
        os.unlink(name, dir_fd=directory)
        return None

    def _take_back(self, spare: str) -> None:
        if self._is_reusable(spare):
            self._free.append(spare)
        else:
            _remove(spare)

    def _is_reusable(self, spare: str) -> bool:
        """Empty the file; return whether it is like a new one, and nobody else's in any way."""
        try:
            descriptor = os.open(spare, FLAGS)
        except OSError:
            return False
        try:
            status = os.fstat(descriptor)
            if status.st_mode != self._mode or status.st_nlink != 1:
                return False
            _require_only_ours(descriptor)
            if status.st_size:
                os.ftruncate(descriptor, 0)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True


def _remove(spare: str) -> None:
    with contextlib.suppress(OSError):  # the next process removes what is still there
        os.unlink(spare)


def _require_only_ours(descriptor: int) -> None:
    """Raise OSError if another open file leads to this one: the kernel grants no lease then (fcntl(2)).

    Or it never does, as on network file systems.
    """
    # To whoever opens the file meanwhile a signal is due; this one does nothing, SIGIO would end the process.
    fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
