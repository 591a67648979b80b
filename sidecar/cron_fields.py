"""Decide whether a text is a schedule, and what its five fields mean on a clock that knows no zones.

The rules are crontab(5)'s, read strictly: what two cron programs are known to read differently is
rejected with a message that says what to write instead. Pure; `LONGEST_SCHEDULE` bounds time and memory.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import NamedTuple

from sidecar.errors import ScheduleError

LONGEST_SCHEDULE = 256  # characters; 100,000 list items would hold up the event loop for seconds
MINUTES_A_DAY = 24 * 60
LONGEST_FOUND = 60  # characters of the user's text that a message repeats
DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # in a leap year
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

BLANKS = re.compile("[ \t]+")
ITEM = re.compile(r"(?:\*|([0-9]+|[a-z]+)(?:-([0-9]+|[a-z]+))?)(?:/([0-9]+))?")
ORDINAL_WEEKDAY = re.compile(r"[0-9a-z]+#([1-4])")


class Kind(NamedTuple):
    """What one of the five fields may hold: `low` to `high`, and the names of these values, if any."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def full(self) -> int:
        """Every value of the field, as a set of bits."""
        return (2 << self.high) - (1 << self.low)


MINUTE = Kind("minute", 0, 59)
HOUR = Kind("hour", 0, 23)
DAY = Kind("day of month", 1, 31)
MONTH = Kind("month", 1, 12, MONTHS)
WEEKDAY = Kind("day of week", 0, 6, WEEKDAYS)
KINDS = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)


class Fields(NamedTuple):
    """The five fields as sets of bits: bit N is set where value N matches (weekday 0 is Sunday).

    `either`: a day matches if `days` or `weekdays` do; otherwise both must.
    """

    minutes: int
    hours: int
    days: int
    months: int
    weekdays: int
    either: bool

    @property
    def text(self) -> str:
        """The same schedule in nothing but `*` and lists of numbers, which every cron program reads alike."""
        return " ".join(
            "*" if values == kind.full else ",".join(str(value) for value in _bits(values))
            for kind, values in zip(KINDS, self[:5], strict=True)
        )

    @property
    def midnights(self) -> Fields:
        """The schedule of 00:00 on the same days."""
        return self._replace(minutes=1, hours=1)

    def matches_day(self, day: date) -> bool:
        """Return whether there are matching minutes on this day."""
        if not self.months >> day.month & 1:
            return False
        on_day, on_weekday = self.days >> day.day & 1, self.weekdays >> day.isoweekday() % 7 & 1
        return bool(on_day | on_weekday if self.either else on_day & on_weekday)

    def first_minute(self, start: int) -> int | None:
        """Return a matching day's first matching minute (0 is 00:00) from `start` on, None if there is none."""
        hour, minute = divmod(start, 60)
        rest = self.minutes >> minute
        if self.hours >> hour & 1 and rest:
            return start + _lowest(rest)
        later = self.hours >> hour + 1
        return (hour + 1 + _lowest(later)) * 60 + _lowest(self.minutes) if later else None

    def last_minute(self, end: int) -> int | None:
        """Return a matching day's last matching minute before `end` (at most 1440), None if there is none."""
        hour, minute = divmod(end, 60)
        begun = self.minutes & (1 << minute) - 1
        if self.hours >> hour & 1 and begun:
            return hour * 60 + begun.bit_length() - 1
        earlier = self.hours & (1 << hour) - 1
        return (earlier.bit_length() - 1) * 60 + self.minutes.bit_length() - 1 if earlier else None

    def count_between(self, start: datetime, end: datetime) -> int:
        """Return how many matching minutes begin in [start, end) on the wall clock (naive times).

        Exact for any span; the cost is that of looking at each month once.
        """
        if end <= start:
            return 0
        a_day = self.minutes.bit_count() * self.hours.bit_count()
        days = 0
        for year, month in _months(start, end):
            matching = self._days_in(year, month)
            if (year, month) == (start.year, start.month):
                matching &= -1 << start.day
            if (year, month) == (end.year, end.month):
                matching &= (1 << end.day) - 1
            days += matching.bit_count()
        return days * a_day - self._count_on_day_before(start) + self._count_on_day_before(end)

    def _count_on_day_before(self, moment: datetime) -> int:
        if not self._days_in(moment.year, moment.month) >> moment.day & 1:
            return 0
        whole = moment.time() == time(moment.hour, moment.minute)
        minutes = self.minutes & (1 << moment.minute + (not whole)) - 1
        hours = self.hours & (1 << moment.hour) - 1
        this_hour = minutes.bit_count() if self.hours >> moment.hour & 1 else 0
        return hours.bit_count() * self.minutes.bit_count() + this_hour

    def _days_in(self, year: int, month: int) -> int:
        if not self.months >> month & 1:
            return 0
        first, length = monthrange(year, month)
        sunday_based = (first + 1) % 7
        week = (self.weekdays >> sunday_based | self.weekdays << 7 - sunday_based) & 127
        weekdays = (week | week << 7 | week << 14 | week << 21 | week << 28) << 1
        matching = self.days | weekdays if self.either else self.days & weekdays
        return matching & ((2 << length) - 2)


def read(expression: object) -> Fields:
    """Return what `expression` means. Raises ScheduleError with the first problem of every field.

    Where day of month and day of week are both restricted (anything but a bare `*`), either matches.
    """
    texts = _split(bounded(expression))
    sets: list[int] = []
    problems: list[str] = []
    for kind, text in zip(KINDS, texts, strict=True):
        try:
            sets.append(_read_field(kind, text))
        except ScheduleError as problem:
            problems.append(str(problem))
    if problems:
        raise ScheduleError("; ".join(problems))
    minutes, hours, days, months, weekdays = sets
    on_days, on_weekdays = texts[2] != "*", texts[4] != "*"
    comes = any(days & (2 << DAYS_IN_MONTH[month - 1]) - 1 for month in _bits(months))
    if not comes and not on_weekdays:
        raise ScheduleError(_never(texts[2], days, months))
    either = on_days and on_weekdays
    if either and (days == DAY.full or weekdays == WEEKDAY.full):
        days, weekdays, either = DAY.full, WEEKDAY.full, False
    elif either and not comes:
        days, either = DAY.full, False
    return Fields(minutes, hours, days, months, weekdays, either)


def bounded(expression: object) -> str:
    """Return the text without blanks around it. Raises ScheduleError if it is no text or a too long one."""
    if not isinstance(expression, str):
        kind = type(expression).__name__[:LONGEST_FOUND]
        raise ScheduleError(f"write the schedule as a text such as '0 2 * * *', found {kind}")
    if len(expression) > LONGEST_SCHEDULE:
        raise ScheduleError(
            f"write at most {LONGEST_SCHEDULE} characters (ranges and steps are shorter than lists),"
            f" found {len(expression)}: {found(expression)}"
        )
    return expression.strip(" \t")


def found(text: str) -> str:
    """Return a user's text as a message may repeat it: in plain ASCII, at most `LONGEST_FOUND` characters."""
    shown = ascii(text[:LONGEST_FOUND])
    whole = len(shown) <= LONGEST_FOUND and len(text) <= LONGEST_FOUND
    return shown if whole else f"{shown[: LONGEST_FOUND - 4]}...'"


def _split(text: str) -> list[str]:
    for character in text:
        if character not in " \t" and (character.isspace() or not character.isprintable()):
            raise ScheduleError(
                "write one line with plain spaces or tabs between the five fields,"
                f" found {found(character)} in {found(text)}"
            )
    if text.startswith("@"):
        raise ScheduleError(_macro(text))
    texts = BLANKS.split(text) if text else []
    if len(texts) != len(KINDS):
        raise ScheduleError(_not_five(texts, text))
    return texts


def _read_field(kind: Kind, text: str) -> int:
    values = 0
    for item in text.split(","):
        try:
            values |= _read_item(kind, item.lower())
        except ScheduleError as problem:
            raise ScheduleError(f"{kind.name}: {problem}, found {found(item)}") from None
    return values


def _read_item(kind: Kind, item: str) -> int:
    match = ITEM.fullmatch(item)
    if match is None:
        raise ScheduleError(_advice(kind, item))
    first, last, by = match.groups()
    low = kind.low if first is None else _value(kind, first)
    high = kind.high if first is None else low if last is None else _value(kind, last)
    step = 1 if by is None else int(by)
    named = item[0].isalpha()
    if not 1 <= step <= kind.high:
        alone = f" (or {_spell(kind, low, low, 1, named)!r}, which is all that it matches)" if step else ""
        raise ScheduleError(f"write a step from 1 to {kind.high}{alone}")
    if kind is WEEKDAY and 7 in (low, high):
        raise ScheduleError(f"Sunday is 0; write {_without_seven(low, high, step, last, by)!r}")
    if by is not None and first is not None and last is None:
        raise ScheduleError(f"a step needs a range; write {_spell(kind, low, kind.high, step, named)!r}")
    if low > high:
        raise ScheduleError(f"a range runs upwards; write {_wrapped(kind, low, high, step, named)!r}")
    return sum(1 << value for value in range(low, high + 1, step))


def _value(kind: Kind, text: str) -> int:
    if not text[0].isdigit():
        if text not in kind.names:
            raise ScheduleError(_advice(kind, text))
        return kind.low + kind.names.index(text)
    value = int(text)
    if not kind.low <= value <= kind.high + (kind is WEEKDAY):  # 7 gets a message of its own
        raise ScheduleError(f"write numbers from {kind.low} to {kind.high}")
    return value


def _spell(kind: Kind, low: int, high: int, step: int, named: bool) -> str:
    first, last = (kind.names[value - kind.low] if named else str(value) for value in (low, high))
    if low + step > high:
        return first
    return f"{first}-{last}" + (f"/{step}" if step > 1 else "")


def _wrapped(kind: Kind, low: int, high: int, step: int, named: bool) -> str:
    """Write the range low … highest, lowest … high without wrapping around, keeping the step's rhythm."""
    size = kind.high - kind.low + 1
    after = low + -(-(kind.high + 1 - low) // step) * step - size
    parts = [_spell(kind, low, kind.high, step, named)]
    if after <= high:
        parts.append(_spell(kind, after, high, step, named))
    return ",".join(parts)


def _without_seven(low: int, high: int, step: int, last: str | None, by: str | None) -> str:
    """Write a weekday item that counts Sunday as 7 so that it counts it as 0."""
    if last is None and by is None:
        return "0"
    if low == 7:
        return _spell(WEEKDAY, 0, WEEKDAY.high if last is None else high % 7, step, False)
    values = {value % 7 for value in range(low, high + 1, step)}
    if values == set(range(7)):
        return "0-6"
    before = _spell(WEEKDAY, low, 6, step, False)
    return f"{before},0" if 0 in values and low > 0 else before


def _advice(kind: Kind, item: str) -> str:
    """Say what to write instead of an item that is no number, range, step or star."""
    if not item:
        return "write one comma between two values"
    if not item.isascii():
        digits = "".join(str(int(each)) if each.isdecimal() else each for each in item)
        return f"write the digits 0-9: {digits!r}" if digits.isascii() else "write plain ASCII characters"
    if item == "?":
        return "write '*'"
    if "#" in item:
        return _ordinal_advice(item)
    plain = item.split("/")[0].split("(")[0]
    if plain in ("h", "r"):
        return f"write a number from {kind.low} to {kind.high} (`jitter_seconds` spreads starts)"
    if kind in (DAY, WEEKDAY):
        if re.fullmatch(r"l|l-[0-9]+|[0-6]l|l[0-6]", item):
            return "write day of month '28-31' and let the command check whether it is the last one"
        if re.fullmatch(r"[0-9]*w|lw|w[0-9]+", item):
            return "write day numbers and let the command check the weekday"
    for word in re.findall("[a-z]+", item):
        if kind.names and word[:3] in kind.names and len(word) > 3:
            return f"write the first three letters, {word[:3]!r}"
        if not kind.names and word[:3] in MONTHS + WEEKDAYS:
            return "write numbers; names are for month and day of week"
    names = f" or {kind.names[0]}-{kind.names[-1]}" if kind.names else ""
    return f"write '*', numbers from {kind.low} to {kind.high}{names}, ranges A-B, steps A-B/N or */N"


def _ordinal_advice(item: str) -> str:
    ordinal = ORDINAL_WEEKDAY.fullmatch(item)
    if ordinal is None:
        return "write days of the month and let the command check the weekday"
    end = int(ordinal[1]) * 7
    return f"write day of month '{end - 6}-{end}' and let the command check the weekday"


def _macro(text: str) -> str:
    instead = MACROS.get(text.lower())
    if instead:
        return f"write {instead!r}, found {found(text)}"
    return f"write five fields such as '*/5 * * * *' (every five minutes), found {found(text)}"


def _not_five(texts: list[str], text: str) -> str:
    instead = _five_of(texts) if len(texts) > len(KINDS) else None
    hint = f"; write {instead!r}" if instead else ""
    if "TZ=" in text[:8].upper():
        hint = "; write the zone in the job's `timezone`"
    return (
        "exactly five fields are needed: minute, hour, day of month, month, day of week"
        f" (no seconds, no year){hint}, found {len(texts)} in {found(text)}"
    )


def _five_of(texts: list[str]) -> str | None:
    """Return the five fields probably meant: after Quartz's second 0, or before a year or a command."""
    candidates = []
    if texts[0] == "0":
        candidates.append(" ".join("*" if text == "?" else text for text in texts[1:6]))
    if texts[5] not in ("*", "?"):
        candidates.append(" ".join(texts[:5]))
    for candidate in candidates:
        try:
            read(candidate)
        except ScheduleError:
            continue
        return candidate
    return None


def _never(text: str, days: int, months: int) -> str:
    names = [MONTHS[month - 1] for month in _bits(months)]
    longest = max(DAYS_IN_MONTH[month - 1] for month in _bits(months))
    first = next(_bits(days))
    return (
        f"day of month: this date never comes, there is no day {first} in {', '.join(names)};"
        f" write days from 1 to {longest} or other months, found {found(text)}"
    )


def _lowest(values: int) -> int:
    return (values & -values).bit_length() - 1


def _bits(values: int) -> Iterator[int]:
    return (bit for bit in range(values.bit_length()) if values >> bit & 1)


def _months(start: datetime, end: datetime) -> Iterator[tuple[int, int]]:
    for index in range(start.year * 12 + start.month - 1, end.year * 12 + end.month):
        yield index // 12, index % 12 + 1
