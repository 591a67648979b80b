"""Turn a schedule and a time zone into instants. Pure: no clock, no state but bounded caches.

croniter computes the next match on a clock that knows no zones; which instants a match means when the clocks
change is decided here, as Debian's cron(8) does. A *wildcard* schedule (its minute or hour field begins with
`*`) runs at every instant whose local time matches: not in a skipped hour, and again in a repeated one. Any
other is *fixed*: what is skipped runs once right after the gap, what is repeated runs the first time only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from sidecar.cron_fields import MINUTES_A_DAY, Fields, bounded, found, read
from sidecar.errors import ScheduleError

TICK = timedelta.resolution
# How far apart offsets are compared. No zone ever changed twice within less (the least is 3.99 days, Freetown
# in 1939; 6.96 days since 1970), and none by more (24 hours, at the date line): no change hides between two
# looks, and no skipped or repeated stretch touches another one.
STRIDE = timedelta(days=3)
REMEMBERED = 4096  # schedules, and days: 10,000 jobs share a few hundred expressions
ZONE_NAME = re.compile(r"[A-Za-z0-9_+-]{1,40}(?:/[A-Za-z0-9_+-]{1,40}){0,3}")
LOOK_BACK_DAYS = (2, 40, 400, 9 * 366)  # for the last scheduled time: 29 February can be eight years away
NO_ZONES = ("posix", "right", "localtime", "posixrules")  # beside the zones in the system's folder


@dataclass(frozen=True, slots=True)
class Span:
    """The scheduled times of a stretch of time: the first, the last (UTC) and how many."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job is due. Made by `parse`; `expression` is what was written, without blanks around it."""

    expression: str
    zone: ZoneInfo
    fields: Fields
    wildcard: bool

    def next_after(self, instant: datetime) -> datetime:
        """Return the first scheduled time (UTC) strictly after `instant`, an aware time.

        Raises ValueError for a naive time, ScheduleError if there is none before the year 10000.
        """
        return _next_after(self, _utc(instant))

    def _next_fixed(self, instant: datetime) -> datetime:
        return _first_occurrence(self.zone, _match_after(self.fields, _reached(self.zone, instant)))

    def span(self, after: datetime, until: datetime) -> Span | None:
        """Return the scheduled times in (after, until], None if there are none. Raises as `next_after` does.

        The count is exact; the cost grows with the months and clock changes between, not with the count.
        """
        after, until = _utc(after), _utc(until)
        if until <= after:
            return None
        try:
            count, last = self._count_wildcard(after, until) if self.wildcard else self._count_fixed(after, until)
        except (OverflowError, ValueError) as error:
            raise _beyond(until) from error
        if last is None:
            return None
        return Span(last if count == 1 else self.next_after(after), last, count)

    def last_until(self, instant: datetime) -> datetime | None:
        """Return the last scheduled time (UTC) at or before `instant`, None if there is none in the nine years before.

        Raises as `span` does.
        """
        for days in LOOK_BACK_DAYS:
            span = self.span(instant - timedelta(days=days), instant)
            if span is not None:
                return span.last
        return None

    def _next_wildcard(self, instant: datetime) -> datetime:
        offset = _offset(self.zone, instant)
        seen = _naive(instant) + offset
        match = _match_after(self.fields, seen)
        while True:
            due = (match - offset).replace(tzinfo=UTC)
            change = _first_change(self.zone, instant, due)
            if change is None:
                return due
            instant, offset = change, _offset(self.zone, change)
            resumed = _naive(change) + offset - TICK  # the changed clock's first reading may itself match
            if not seen <= resumed < match:
                seen, match = resumed, _match_after(self.fields, resumed)

    def _count_wildcard(self, after: datetime, until: datetime) -> tuple[int, datetime | None]:
        """Return how many times lie in (after, until], and the last: each offset's stretch of the clock."""
        total, last = 0, None
        start = _naive(after) + _offset(self.zone, after) + TICK
        end_of_span = (until + TICK, _offset(self.zone, until), timedelta(0))
        for change, before, then in (*_changes(self.zone, after, until), end_of_span):
            end = _naive(change) + before
            count = self.fields.count_between(start, end)
            if count:
                total, last = total + count, (end, before)
            start = _naive(change) + then
        if last is None:
            return 0, None
        end, offset = last
        return total, (_match_before(self.fields, end) - offset).replace(tzinfo=UTC)

    def _count_fixed(self, after: datetime, until: datetime) -> tuple[int, datetime | None]:
        """Return how many times lie in (after, until], and the last: all matches, those of a gap as one."""
        start, end = _reached(self.zone, after) + TICK, _reached(self.zone, until) + TICK
        total = self.fields.count_between(start, end)
        if not total:
            return 0, None
        for change, before, then in _changes(self.zone, after, until):
            at_once = self.fields.count_between(_naive(change) + before, _naive(change) + then + TICK)
            total -= max(0, at_once - 1)
        return total, _first_occurrence(self.zone, _match_before(self.fields, end))


def parse(expression: str, zone: str) -> Schedule:
    """Return the schedule that `expression` means in the IANA time zone `zone`.

    Raises ScheduleError with a message that says what to write instead.
    """
    return _parse(bounded(expression), zone_named(zone))


def is_valid(expression: object) -> bool:
    """Return whether `expression` is a schedule, whatever the time zone."""
    try:
        read(expression)
    except ScheduleError:
        return False
    return True


def zone_named(name: object) -> ZoneInfo:
    """Return the IANA time zone `name`. Raises ScheduleError if there is none."""
    if isinstance(name, str):
        try:
            return _zone(name)
        except (KeyError, ValueError, OSError):  # unknown; a file that is no zone; a folder
            pass
    shown = found(name) if isinstance(name, str) else type(name).__name__
    raise ScheduleError(f"time zone: write an IANA name such as 'Europe/Berlin' or 'UTC', found {shown}")


@lru_cache(REMEMBERED)
def _zone(name: str) -> ZoneInfo:
    if not ZONE_NAME.fullmatch(name) or name.split("/")[0] in NO_ZONES:
        raise ValueError(name)
    return ZoneInfo(name)


@lru_cache(REMEMBERED)
def _parse(expression: str, zone: ZoneInfo) -> Schedule:
    fields = read(expression)
    return Schedule(expression, zone, fields, any(text.startswith("*") for text in expression.split()[:2]))


@lru_cache(REMEMBERED)
def _next_after(schedule: Schedule, instant: datetime) -> datetime:
    # Remembered, as jobs that are due at the same time mostly have the same schedule, and its next time with it.
    try:
        return schedule._next_wildcard(instant) if schedule.wildcard else schedule._next_fixed(instant)
    except (OverflowError, ValueError) as error:
        raise _beyond(instant) from error


@lru_cache(REMEMBERED)
def _day(midnights: Fields, day: date, *, after: bool) -> date:
    """Return the nearest matching day strictly after `day`, or before it.

    Schedules differ in their minutes far more than in their days: so croniter, which takes a tenth of a millisecond
    each time, has to be asked only seldom, also with ten thousand jobs.
    """
    # Not at the top: checking a schedule or answering `health` needs no croniter (20 ms, 4 MB).
    from croniter import croniter

    days = croniter(midnights.text, datetime.combine(day, time()), ret_type=datetime)
    found: datetime = days.get_next() if after else days.get_prev()
    return found.date()


def _match_after(fields: Fields, wall: datetime) -> datetime:
    """Return the first matching minute after a wall clock's reading."""
    day = wall.date()
    minute = fields.first_minute(wall.hour * 60 + wall.minute + 1) if fields.matches_day(day) else None
    if minute is None:
        day = _day(fields.midnights, day, after=True)
        minute = fields.first_minute(0)
    return _at(day, minute)


def _match_before(fields: Fields, wall: datetime) -> datetime:
    """Return the last matching minute that begins before a wall clock's reading."""
    day = wall.date()
    begun = wall.hour * 60 + wall.minute + bool(wall.second or wall.microsecond)
    minute = fields.last_minute(begun) if fields.matches_day(day) else None
    if minute is None:
        day = _day(fields.midnights, day, after=False)
        minute = fields.last_minute(MINUTES_A_DAY)
    return _at(day, minute)


def _at(day: date, minute: int | None) -> datetime:
    assert minute is not None  # every schedule has a minute on each of its days
    return datetime.combine(day, time(minute // 60, minute % 60))


def _reached(zone: ZoneInfo, instant: datetime) -> datetime:
    """Return the latest wall clock reading whose first occurrence is not after `instant`.

    That is the clock's reading, but while the clock repeats readings, the last one before it was put back.
    """
    local = instant.astimezone(zone)
    if not local.fold:
        return local.replace(tzinfo=None)
    repeated = (local.replace(fold=0).utcoffset() or timedelta(0)) - (local.utcoffset() or timedelta(0))
    change, before, _ = next(_changes(zone, instant - repeated, instant))
    return _naive(change) + before - TICK


def _first_occurrence(zone: ZoneInfo, wall: datetime) -> datetime:
    """Return the first instant (UTC) at which the clock reads `wall` or, if it skips that, a later time."""
    instant = wall.replace(tzinfo=zone).astimezone(UTC)
    skipped = instant.astimezone(zone).replace(tzinfo=None) - wall
    if not skipped:
        return instant
    change, _, _ = next(_changes(zone, instant - skipped, instant))
    return change


def _changes(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[tuple[datetime, timedelta, timedelta]]:
    """Yield each offset change in (start, end]: its instant, the offset before and from then on."""
    offset = _offset(zone, start)
    while (change := _first_change(zone, start, end)) is not None:
        before, offset = offset, _offset(zone, change)
        yield change, before, offset
        start = change


def _first_change(zone: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """Return the first instant in (start, end] at which the zone's offset changes."""
    if zone.utcoffset(None) is not None:  # known without a date: it never changes
        return None
    offset = _offset(zone, start)
    while start < end:
        stop = end if end - start <= STRIDE else start + STRIDE
        if _offset(zone, stop) != offset:
            while stop - start > TICK:
                middle = start + (stop - start) // 2
                if _offset(zone, middle) == offset:
                    start = middle
                else:
                    stop = middle
            return stop
        start = stop
    return None


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta(0)


def _naive(instant: datetime) -> datetime:
    return instant.replace(tzinfo=None)


def _utc(instant: datetime) -> datetime:
    if instant.utcoffset() is None:
        raise ValueError(f"expected an aware time, found {instant!r}")
    return instant.astimezone(UTC)


def _beyond(instant: datetime) -> ScheduleError:
    return ScheduleError(f"no scheduled times are known around {instant.isoformat()}: years go from 1 to 9999")
