"""Output files that are used again: to make a new one is what a run in a storm would pay for most.

ext4 passes over every inode that was deleted within the last minutes (`recently_deleted` in fs/ext4/ialloc.c): where
hundreds of runs a minute make and remove two files each, that is 0.1 to 0.4 ms a file. A rename takes 0.02 ms.
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
    """Empty files in a directory of their own, where only this process has any business."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._numbers = itertools.count()
        self._free: list[str] = []
        self._mode: int | None = None

    def open(self, name: str, directory: int) -> int:
        """Return the descriptor of an empty file called `name` in the directory open as `directory`. Raises OSError."""
        while self._free:
            descriptor = self._use(self._free.pop(), name, directory)
            if descriptor is not None:
                return descriptor
        descriptor = os.open(name, FLAGS | os.O_CREAT, FILE_MODE, dir_fd=directory)
        if self._mode is None:
            self._mode = os.fstat(descriptor).st_mode
            self._clear()
        return descriptor

    def put_away(self, name: str, directory: int) -> None:
        """Take a file that nobody needs any more out of `directory`. Raises OSError.

        Kept is only what no process has open, be it `tail -f`: the next run's output is none of its business.
        """
        spare = f"{self._directory}/{next(self._numbers)}"
        if len(self._free) >= MOST_SPARES or not self._move(name, directory, spare):
            os.unlink(name, dir_fd=directory)
        elif self._is_reusable(spare):
            self._free.append(spare)
        else:
            os.unlink(spare)

    def _clear(self) -> None:
        """Make the directory, without what an earlier process left in it; where that fails there are no spares."""
        with contextlib.suppress(OSError):
            os.makedirs(self._directory, DIRECTORY_MODE, exist_ok=True)
            for name in os.listdir(self._directory):
                os.unlink(f"{self._directory}/{name}")

    def _use(self, spare: str, name: str, directory: int) -> int | None:
        descriptor = -1
        try:
            descriptor = os.open(spare, FLAGS)
            if os.fstat(descriptor).st_size == 0:
                os.utime(descriptor)
                os.rename(spare, name, dst_dir_fd=directory)
                return descriptor
        except OSError:
            pass  # somebody meddled with it; there are others
        if descriptor >= 0:
            os.close(descriptor)
        return None

    def _move(self, name: str, directory: int, spare: str) -> bool:
        try:
            os.rename(name, spare, src_dir_fd=directory)
        except OSError:
            return False
        return True

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


def _require_only_ours(descriptor: int) -> None:
    """Raise OSError if another open file leads to this one: the kernel grants no lease then (fcntl(2)).

    Or it never does, as on network file systems.
    """
    # To whoever opens the file meanwhile a signal is due; this one does nothing, SIGIO would end the process.
    fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
