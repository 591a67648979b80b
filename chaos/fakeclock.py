"""A faked clock for a real process, by libfaketime: the wall clock and, if it runs fast, the monotonic one too."""

from __future__ import annotations

import glob
import math
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from chaos.outcome import CannotRun

SIDECAR = ("-m", "sidecar")
"""How Python runs a scheduler."""

LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")


def library() -> str:
    """Return the path of libfaketime. Raises CannotRun."""
    for pattern in LIBRARIES:
        for path in glob.glob(pattern):
            return path
    raise CannotRun("libfaketime is missing; on Debian and Ubuntu: apt install faketime")


class FastClock:
    """A clock that runs `speed` times as fast as the real one, for one process after the other."""

    launcher = SIDECAR

    def __init__(self, start: datetime, speed: int) -> None:
        self.speed = speed
        self._fake, self._real = start, time.monotonic()

    def now(self) -> datetime:
        """Return the time that the running process sees, or a moment later."""
        return self._fake + timedelta(seconds=(time.monotonic() - self._real) * self.speed)

    def forward(self, passed: timedelta) -> None:
        """Let time pass for processes that are yet to start."""
        self._fake += passed

    def environment(self) -> dict[str, str]:
        """Return the variables for a process that starts now; for it, time goes on where it was."""
        self._fake, self._real = datetime.fromtimestamp(math.ceil(self.now().timestamp()), UTC), time.monotonic()
        return {
            "LD_PRELOAD": library(),
            "FAKETIME": f"@{self._fake:%Y-%m-%d %H:%M:%S} x{self.speed}",
            # The times of files are real ones; whoever writes a request sets its time.
            "NO_FAKE_STAT": "1",
        }


class SteppedClock:
    """The real clock plus an offset that can be changed under a running process, as `date -s` and NTP do."""

    launcher = ("-m", "chaos.steppedlauncher")

    def __init__(self, file: Path) -> None:
        self._file = file
        self.offset = timedelta()
        self.step_to(timedelta())

    def now(self) -> datetime:
        """Return the time that the process sees."""
        return datetime.now(UTC) + self.offset

    def step_to(self, offset: timedelta) -> None:
        """Set the clock to the real time plus `offset`."""
        self.offset = offset
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{offset.total_seconds():+.0f}\n")
        beside.replace(self._file)

    def forward(self, passed: timedelta) -> None:
        """Set the clock forward."""
        self.step_to(self.offset + passed)

    def environment(self) -> dict[str, str]:
        """Return the variables for a process that starts now; only the wall clock is faked."""
        return {
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


class RealClock:
    """The clock as it is."""

    launcher = SIDECAR

    def now(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC)

    def environment(self) -> dict[str, str]:
        """Return no variables."""
        return {}


Clock = FastClock | SteppedClock | RealClock
