"""The heartbeat file, and what HEALTHCHECK makes of it. No network, no contact with the scheduler itself."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from sidecar.journal import JOURNAL

HEARTBEAT = ".heartbeat"
HEARTBEAT_SECONDS = 30.0
STALE_SECONDS = 3 * HEARTBEAT_SECONDS


def beat(logs_dir: Path, *, works: bool) -> None:
    """Renew the heartbeat's modification time, or remove the file where the scheduler or its journal does not work."""
    path = logs_dir / HEARTBEAT
    with contextlib.suppress(OSError):
        if works:
            # A FIFO in its place would be waited for. World-readable: a health check may run as another user, and
            # the file says nothing.
            flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(path, flags, 0o644))
            os.utime(path)
        else:
            path.unlink(missing_ok=True)


def problem(logs_dir: Path) -> str | None:
    """Return why the scheduler of this logs directory is not healthy, or None if it is."""
    silent = silence(logs_dir)
    if silent is not None:
        return silent
    journal = logs_dir / JOURNAL
    if not os.access(journal, os.W_OK):
        return f"{journal} is missing or cannot be written"
    return None


def silence(logs_dir: Path) -> str | None:
    """Return why no scheduler seems to work here, None if the heartbeat is fresh. Any user may ask."""
    try:
        age = time.time() - (logs_dir / HEARTBEAT).stat().st_mtime
    except FileNotFoundError:
        cannot = "cannot list its jobs directory, or cannot write its journal"
        return f"no heartbeat in {logs_dir}: the scheduler does not run, is starting, {cannot}"
    except OSError as error:
        return f"cannot look at {logs_dir / HEARTBEAT}: {error.strerror}"
    if age > STALE_SECONDS:
        return f"the last heartbeat was {age:.0f} s ago (expected every {HEARTBEAT_SECONDS:.0f} s)"
    if age < -STALE_SECONDS:
        return f"the last heartbeat is {-age:.0f} s in the future: the clock went back, and none has come since"
    return None
