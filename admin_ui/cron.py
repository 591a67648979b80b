"""Say whether a schedule is one, when it is due and what it means in words: the scheduler's rules, for the page.

A schedule whose minute or hour begins with `*` runs at every instant whose local time matches; any other runs
once right after a gap for what the clock skipped, and only at the first of two equal local times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from zoneinfo import ZoneInfo

from croniter import croniter

from admin_ui.errors import ScheduleError

LONGEST_SCHEDULE = 256  # characters
TICK = timedelta.resolution
MINUTE = timedelta(minutes=1)
STRIDE = timedelta(days=3)  # no zone ever changed its offset twice within less
REMEMBERED = 2048
DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
ITEM = re.compile(r"(?:\*|([0-9]+|[a-z]+)(?:-([0-9]+|[a-z]+))?)(?:/([0-9]+))?")
ZONE_NAME = re.compile(r"[A-Za-z0-9_+-]{1,40}(?:/[A-Za-z0-9_+-]{1,40}){0,3}")
NO_ZONES = ("posix", "right", "localtime", "posixrules")  # beside the zones in the system's folder
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class Kind(NamedTuple):
    """What one of the five fields may hold: `low` to `high`, and the names of these values, if any."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def all(self) -> frozenset[int]:
        """Every value of the field."""
        return frozenset(range(self.low, self.high + 1))


KINDS = (
    Kind("minute", 0, 59),
    Kind("hour", 0, 23),
    Kind("day of month", 1, 31),
    Kind("month", 1, 12, MONTHS),
    Kind("day of week", 0, 6, WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job is due. Made by `parse`; `texts` are the five fields as written, `sets` the values they match."""

    texts: tuple[str, ...]
    sets: tuple[frozenset[int], ...]
    plain: str
    zone: ZoneInfo

    @property
    def wildcard(self) -> bool:
        """Whether it runs at every matching instant, twice in a repeated hour."""
        return any(text.startswith("*") for text in self.texts[:2])

    def next_after(self, instant: datetime) -> datetime:
        """Return the first scheduled time (UTC) after an aware time. Raises ScheduleError past the year 9999."""
        instant = instant.astimezone(UTC)
        try:
            return self._next_wildcard(instant) if self.wildcard else self._next_fixed(instant)
        except (OverflowError, ValueError):
            raise ScheduleError("no scheduled times are known: years go from 1 to 9999") from None

    def last_within(self, since: datetime, until: datetime) -> datetime | None:
        """Return the last scheduled time (UTC) in (since, until], None without one. Raises as `next_after`."""
        low, high = since, until
        if self.next_after(low) > until:
            return None
        while high - low > MINUTE:
            middle = low + (high - low) / 2
            if self.next_after(middle) <= until:
                low = middle
            else:
                high = middle
        return self.next_after(low)

    def _next_wildcard(self, instant: datetime) -> datetime:
        seen = _naive(instant) + _offset(self.zone, instant)
        while True:
            offset = _offset(self.zone, instant)
            due = (_match(self.plain, seen) - offset).replace(tzinfo=UTC)
            change = _first_change(self.zone, instant, due)
            if change is None:
                return due
            instant = change
            seen = _naive(change) + _offset(self.zone, change) - TICK  # the changed clock's first reading may match

    def _next_fixed(self, instant: datetime) -> datetime:
        match = _match(self.plain, _reached(self.zone, instant))
        due = match.replace(tzinfo=self.zone).astimezone(UTC)
        skipped = _naive(due) + _offset(self.zone, due) - match
        change = _first_change(self.zone, due - skipped, due) if skipped else None
        return change or due


def parse(expression: object, zone: str) -> Schedule:
    """Return the schedule that `expression` means in the time zone. Raises ScheduleError that says what is wrong."""
    return _parse(_bounded(expression), zone_named(zone))


def is_valid(expression: object) -> bool:
    """Return whether `expression` is a schedule, whatever the time zone."""
    try:
        parse(expression, "UTC")
    except ScheduleError:
        return False
    return True


def zone_named(name: object) -> ZoneInfo:
    """Return the IANA time zone `name`. Raises ScheduleError if there is none."""
    if isinstance(name, str) and _is_zone_name(name):
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # unknown; a file that is no zone; a folder
            pass
    raise ScheduleError("expected an IANA time zone such as Europe/Berlin or UTC")


def next_times(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    """Return the next `count` scheduled times (UTC) after `after`."""
    times: list[datetime] = []
    while len(times) < count:
        after = schedule.next_after(after)
        times.append(after)
    return times


def delay(job_name: str, scheduled_time: datetime, jitter_seconds: float, gap: timedelta) -> timedelta:
    """Return the jitter of this job at this time (UTC): always the same, shorter than `gap`, the time to the next."""
    digest = blake2b(f"{job_name} {scheduled_time:%Y%m%dT%H%M%S}".encode(), digest_size=6).digest()
    fraction = int.from_bytes(digest, "big") / (1 << 48)
    longest = min(jitter_seconds, gap.total_seconds())
    return timedelta(microseconds=int(fraction * longest * 1e6))


def _is_zone_name(name: str) -> bool:
    return ZONE_NAME.fullmatch(name) is not None and name.split("/")[0] not in NO_ZONES


@lru_cache(REMEMBERED)
def _parse(expression: str, zone: ZoneInfo) -> Schedule:
    texts = _split(expression)
    sets = tuple(_read_field(kind, text) for kind, text in zip(KINDS, texts, strict=True))
    _, _, days, months, weekdays = sets
    on_days, on_weekdays = texts[2] != "*", texts[4] != "*"
    comes = any(min(days) <= DAYS_IN_MONTH[month - 1] for month in months)
    if not comes and not on_weekdays:
        raise ScheduleError("day of month: this date never comes; choose other days or months")
    if on_days and on_weekdays:  # either matches
        if days == KINDS[2].all or weekdays == KINDS[4].all:
            days, weekdays = KINDS[2].all, KINDS[4].all
        elif not comes:
            days = KINDS[2].all
    # In nothing but `*` and lists of numbers, which croniter cannot read in a way of its own.
    plain = " ".join(
        "*" if values == kind.all else ",".join(map(str, sorted(values)))
        for kind, values in zip(KINDS, (*sets[:2], days, months, weekdays), strict=True)
    )
    return Schedule(texts, sets, plain, zone)


def _bounded(expression: object) -> str:
    if not isinstance(expression, str):
        raise ScheduleError("write five fields such as 0 2 * * *")
    if len(expression) > LONGEST_SCHEDULE:
        raise ScheduleError(f"write at most {LONGEST_SCHEDULE} characters; ranges and steps are shorter than lists")
    return expression.strip(" \t")


def _split(text: str) -> tuple[str, ...]:
    if any(each not in " \t" and (each.isspace() or not each.isprintable()) for each in text):
        raise ScheduleError("write one line with plain spaces or tabs between the five fields")
    if text.startswith("@"):
        raise ScheduleError(f"write five fields such as {MACROS.get(text.lower(), '*/5 * * * *')} instead")
    texts = tuple(text.replace("\t", " ").split(" ")) if text else ()
    texts = tuple(each for each in texts if each)
    if len(texts) != len(KINDS):
        raise ScheduleError(
            "exactly five fields are needed: minute, hour, day of month, month, day of week"
            f" (no seconds, no year); found {len(texts)}"
        )
    return texts


def _read_field(kind: Kind, text: str) -> frozenset[int]:
    values: set[int] = set()
    for item in text.split(","):
        values.update(_read_item(kind, item.lower()))
    return frozenset(values)


def _read_item(kind: Kind, item: str) -> range:
    match = ITEM.fullmatch(item)
    if match is None:
        names = f" or {kind.names[0]}-{kind.names[-1]}" if kind.names else ""
        raise ScheduleError(
            f"{kind.name}: write *, numbers from {kind.low} to {kind.high}{names}, ranges A-B, steps A-B/N or */N"
        )
    first, last, by = match.groups()
    low = kind.low if first is None else _value(kind, first)
    high = kind.high if first is None else low if last is None else _value(kind, last)
    step = 1 if by is None else int(by)
    if not 1 <= step <= kind.high:
        raise ScheduleError(f"{kind.name}: write a step from 1 to {kind.high}")
    if by is not None and first is not None and last is None:
        raise ScheduleError(f"{kind.name}: a step needs a range; write {first}-{kind.high}/{by}")
    if low > high:
        raise ScheduleError(f"{kind.name}: a range runs upwards; write {first}-{kind.high},{kind.low}-{last}")
    return range(low, high + 1, step)


def _value(kind: Kind, text: str) -> int:
    if text in kind.names:
        return kind.low + kind.names.index(text)
    if not text.isdigit() or not kind.low <= int(text) <= kind.high:
        sunday = "; Sunday is 0" if kind is KINDS[4] and text == "7" else ""
        names = f" or the names {', '.join(kind.names)}" if kind.names else ""
        raise ScheduleError(f"{kind.name}: write numbers from {kind.low} to {kind.high}{names}{sunday}")
    return int(text)


@lru_cache(REMEMBERED)
def _match(plain: str, wall: datetime) -> datetime:
    """Return the first matching minute after a wall clock's reading, on a clock that knows no zones."""
    minute = wall.replace(second=0, microsecond=0)
    times: croniter[datetime] = croniter(plain, minute, ret_type=datetime)
    return times.get_next()


def _reached(zone: ZoneInfo, instant: datetime) -> datetime:
    """Return the latest reading that the clock has shown by `instant`, which a clock put back shows again."""
    local = instant.astimezone(zone)
    if not local.fold:
        return local.replace(tzinfo=None)
    repeated = (local.replace(fold=0).utcoffset() or timedelta(0)) - (local.utcoffset() or timedelta(0))
    change = _first_change(zone, instant - repeated, instant) or instant
    return _naive(change) + _offset(zone, change - TICK) - TICK


def _first_change(zone: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """Return the first instant in (start, end] at which the zone's offset changes."""
    if zone.utcoffset(None) is not None:  # known without a date: it never changes
        return None
    offset = _offset(zone, start)
    for stop in _strides(start, end):
        if _offset(zone, stop) != offset:
            while stop - start > TICK:
                middle = start + (stop - start) // 2
                start, stop = (middle, stop) if _offset(zone, middle) == offset else (start, middle)
            return stop
        start = stop
    return None


def _strides(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        start = min(start + STRIDE, end) if end - start > STRIDE else end
        yield start


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta(0)


def _naive(instant: datetime) -> datetime:
    return instant.replace(tzinfo=None)
