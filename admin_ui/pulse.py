"""Whether the scheduler's process lives, as the kernel tells: while it does, it holds a lock on a file in its logs."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

LOCK = ".lock"

FLOCK = struct.Struct("hhqqi4x")
"""struct flock of fcntl(2): type, whence, start, length, pid."""

QUESTION = FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)


class Pulse:
    """Notices that the scheduler is gone without a word, as after `kill -9`, before its heartbeat is overdue.

    It is known only of a scheduler that was seen with its lock: on some file systems it has none to hold. Thread-safe.
    """

    def __init__(self, log_directory: Path, clock: Callable[[], datetime]) -> None:
        self._path = log_directory / LOCK
        self._clock = clock
        self._looking = threading.Lock()
        self._was_held = False
        self._lost_at: datetime | None = None

    def lost_at(self) -> datetime | None:
        """Return when the lock was first seen without its holder, None if it is held or nothing can be said."""
        with self._looking:
            held = _is_held(self._path)
            if held is False and self._was_held:
                self._lost_at = self._lost_at or self._clock()
            else:
                self._was_held = self._was_held or held is True
                self._lost_at = None
            return self._lost_at


def _is_held(path: Path) -> bool | None:
    """Return whether a process holds the lock, None if that cannot be said. The lock is asked for, never taken."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        kind: int = FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, QUESTION))[0]
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return kind != fcntl.F_UNLCK
