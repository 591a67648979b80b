"""Times, lengths of time and other people's text, as an operator writes and reads them. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sidecar.clock import REACHABLE_YEARS
from sidecar.model import STEERING

CLOCK_TIME = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?")
TIME_WANTED = "expected a time such as 02:00, 2026-01-31T02:00 or 2026-01-31T01:00:00Z"
YEARS_WANTED = f"expected a time of the years {REACHABLE_YEARS[0]} to {REACHABLE_YEARS[-1]}"
COLUMN_GAP = "  "
UNSAFE = re.compile(rf"[\x00-\x08\x0b-\x1f{STEERING}]")
"""Newlines and tabs are the output's own business."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time that somebody wrote: the instant (UTC) and, if it named no offset, the wall clock's reading."""

    instant: datetime
    wall: datetime | None = None


def read_time(text: str, zone: ZoneInfo, now: datetime, *, past: bool = False) -> Moment:
    """Return the moment that `text` means, read in `zone` unless it names an offset.

    A bare `HH:MM` is today's or, with `past`, the latest one not after `now`. A local time that came twice is
    the first of the two. Raises ValueError, saying what is expected.
    """
    text = text.strip()
    moment = _moment(text, zone, now, past)
    if (moment.wall or moment.instant).year not in REACHABLE_YEARS:
        raise ValueError(f"{YEARS_WANTED}, found {clean(text)!r}")
    return moment


def _moment(text: str, zone: ZoneInfo, now: datetime, past: bool) -> Moment:
    try:
        if CLOCK_TIME.fullmatch(text):
            padded = f"0{text}" if text[1] == ":" else text
            wall = datetime.combine(now.astimezone(zone).date(), time.fromisoformat(padded))
            if past and _instant(wall, zone) > now:
                wall -= timedelta(days=1)
            return Moment(_instant(wall, zone), wall)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return Moment(moment.astimezone(UTC))
        return Moment(_instant(moment, zone), moment)
    except OverflowError:
        raise ValueError(f"{YEARS_WANTED}, found {clean(text)!r}") from None
    except ValueError:
        raise ValueError(f"{TIME_WANTED}, found {clean(text)!r}") from None


def show_minute(instant: datetime, zone: ZoneInfo) -> str:
    """Return the time in `zone` to the minute, with its offset from UTC."""
    return _show(instant.astimezone(zone), "%Y-%m-%d %H:%M")


def show_second(instant: datetime, zone: ZoneInfo) -> str:
    """Return the time in `zone` to the second, with its offset from UTC."""
    return _show(instant.astimezone(zone), "%Y-%m-%d %H:%M:%S")


def show_length(length: timedelta | float) -> str:
    """Return a length of time (a number is seconds) in at most two units."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if seconds < 9.95:
        return f"{seconds:.2g} s" if seconds >= 0.01 else "0 s"
    seconds = round(seconds)
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 90 * 60:
        return _two(*divmod(seconds, 60), "min", "s")
    if seconds < 2 * 86400:
        return _two(*divmod(seconds // 60, 60), "h", "min")
    return _two(*divmod(seconds // 3600, 24), "d", "h")


def clean(text: str) -> str:
    """Return one line that is safe on a terminal: whatever is not printable is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def clean_output(text: str) -> str:
    """Return a job's output with all control characters but newline and tab escaped.

    On a terminal they could move the cursor, change what was printed before, or send keystrokes back.
    """
    return UNSAFE.sub(lambda match: clean(match[0]), text)


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the rows as lines with aligned columns."""
    rows = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        COLUMN_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known names that look like `name`, empty if none does."""
    lowered = {each.lower(): each for each in sorted(known)}
    close = [lowered[each] for each in difflib.get_close_matches(name.lower(), lowered, n=3)]
    return f"; did you mean {' or '.join(close)}?" if close else ""


def count(number: int, noun: str, plural: str = "") -> str:
    """Return the number with its noun."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    return wall.replace(tzinfo=zone).astimezone(UTC)


def _show(local: datetime, clock: str) -> str:
    offset = local.isoformat()[-6:] if local.utcoffset() else "UTC"
    return f"{local.strftime(clock)} {offset}"


def _two(large: int, small: int, large_unit: str, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"
