"""One scheduler a logs directory: an flock(2) that the kernel drops with the process, so it is never stale.

Works on local file systems only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from pathlib import Path

from sidecar.errors import AlreadyRunning

LOCK = ".lock"

WHOLE_FILE = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
"""For F_OFD_SETLK (fcntl(2)), as struct flock: type, whence, start, length, pid."""


class Lock:
    """The lock of one logs directory. Its descriptor is not inherited by jobs, which may outlive the scheduler."""

    def __init__(self, logs_dir: Path) -> None:
        self._path = logs_dir / LOCK
        self._descriptor = -1
        self._watched = -1

    def acquire(self) -> None:
        """Take the lock. Raises AlreadyRunning if another process holds it, OSError if the file cannot be made."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise AlreadyRunning(f"another scheduler holds {self._path}") from None
        # Whether an flock is held can only be found out by taking it, which a reader of the logs must not. Whether this
        # one is, the kernel tells. Where a file system knows no such lock, the heartbeat alone is the sign of life.
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, WHOLE_FILE)
        self.release()
        self._descriptor = descriptor

    def is_free(self) -> bool:
        """Return whether nobody holds the lock, without creating anything.

        A file that was found held is watched until it is free, also when it is no longer at the path: whoever has
        it still works, and takes the lock of the path anew.
        """
        if self._watched < 0:
            try:
                self._watched = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                return True
        try:
            fcntl.flock(self._watched, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        is_there = self._is_at_path(self._watched)
        os.close(self._watched)
        self._watched = -1
        return is_there or self.is_free()

    def is_ours(self) -> bool:
        """Return whether the path still names the file that we hold; if not, anyone could lock the new one."""
        return self._is_at_path(self._descriptor)

    def release(self) -> None:
        """Give the lock up."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _is_at_path(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except OSError:
            return False
