"""The one source of time, and the eye on it. Tests pass another object with the same two methods."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

JUMP_SECONDS = 1.0
"""A difference between the two clocks that grew by more than this from one look to the next is no slewing."""

REACHABLE_YEARS = range(1000, 9901)
"""Of times that people ask for and are shown: each is one in every zone, and so are those centuries around it."""

WAIT_OUT = timedelta(hours=3)
"""A clock that goes back by up to this is waited out, as Debian's cron does; beyond, schedules begin anew."""


class Clock:
    """Wall clock for what people see and plan, monotonic clock for how long something takes."""

    def now(self) -> datetime:
        """Return the wall clock's time, aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that only ever grow; the zero means nothing."""
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class Jump:
    """A step of the wall clock, negative if it went back; `too_far` if that cannot be waited out."""

    seconds: float
    too_far: bool


class ClockWatch:
    """Notices when the wall clock is set, by comparing it with the monotonic one. Small steps back add up.

    `latest` is the latest time it was known to show before, if any.
    """

    def __init__(self, clock: Clock, latest: datetime | None = None) -> None:
        self._clock = clock
        self._skew = self._measure()
        self._latest = max(clock.now(), latest or clock.now())

    def look(self) -> Jump | None:
        """Return the step since the last look, or None if there was none."""
        now, skew = self._clock.now(), self._measure()
        seconds, self._skew = skew - self._skew, skew
        too_far = self._latest - now > WAIT_OUT
        self._latest = now if too_far else max(self._latest, now)
        return Jump(seconds, too_far) if too_far or abs(seconds) >= JUMP_SECONDS else None

    def _measure(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()


@lru_cache(64)  # the jobs of a start, and the runs of a storm, have their times in common
def iso(instant: datetime) -> str:
    """Return an aware UTC instant as ISO 8601 with microseconds and `Z`."""
    return instant.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def from_iso(text: str) -> datetime:
    """Return the instant that `iso` wrote. Raises ValueError for anything that is no aware ISO 8601 time."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"expected a time with an offset or Z, found {text!r}")
    try:
        return instant if instant.tzinfo is UTC else instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"expected a time of the years 1 to 9999, found {text!r}") from None
