"""Schedules against independent judges: a second parser, a minute-by-minute walk, and cronsim."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from cronsim import CronSim
from hypothesis import assume, given
from hypothesis import strategies as st

from sidecar.cron import Span, is_valid, parse
from sidecar.cron_fields import read
from sidecar.errors import ScheduleError

MINUTE = timedelta(minutes=1)
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
NAMES: tuple[list[str], ...] = (
    [],
    [],
    [],
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
)
LONGEST_MONTHS = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}

# Nights (local dates) in which a clock was changed, all of them history, so that every tzdata agrees.
NIGHTS = [
    ("Europe/Berlin", "2024-03-31"),
    ("Europe/Berlin", "2024-10-27"),
    ("America/New_York", "2024-03-10"),
    ("America/New_York", "2024-11-03"),
    ("Europe/Dublin", "2024-03-31"),  # negative daylight saving
    ("Europe/Dublin", "2024-10-27"),
    ("Africa/Casablanca", "2024-03-10"),  # Ramadan begins
    ("Africa/Casablanca", "2024-04-14"),  # and ends
    ("Australia/Lord_Howe", "2024-04-07"),  # half an hour
    ("Australia/Lord_Howe", "2024-10-06"),
    ("America/Havana", "2024-03-10"),  # 00:00 becomes 01:00
    ("America/Havana", "2024-11-03"),
    ("Asia/Beirut", "2022-03-27"),
    ("Asia/Beirut", "2022-10-30"),  # 00:00 becomes 23:00
    ("America/St_Johns", "2006-04-02"),  # at 00:01
    ("America/St_Johns", "2006-10-29"),
    ("America/St_Johns", "1988-04-03"),  # two hours
    ("Antarctica/Troll", "2024-03-31"),
    ("Antarctica/Troll", "2024-10-27"),
    ("America/Caracas", "2016-05-01"),  # standard time moved by half an hour
    ("Asia/Pyongyang", "2015-08-15"),
    ("Asia/Kathmandu", "1986-01-01"),  # by a quarter
    ("Pacific/Apia", "2011-12-30"),  # a day skipped
    ("Pacific/Kwajalein", "1993-08-21"),
    ("Pacific/Kwajalein", "1969-09-30"),  # 23 hours repeated
    ("Asia/Kolkata", "2024-06-01"),  # nothing happens
    ("UTC", "2024-02-29"),
]
# cronsim 2.8 loses and moves wildcard times, or starts them in the gap, where a clock is changed at midnight, not
# on the hour, by a part of an hour or by a day. Wildcards are compared with it in these zones only.
PLAIN_ZONES = ("Europe/Berlin", "America/New_York", "Europe/Dublin", "Africa/Casablanca", "Asia/Kolkata", "UTC")


# The second parser: no regular expressions, no shared tables


def number(field: int, text: str) -> int | None:
    if text.lower() in NAMES[field]:
        return NAMES[field].index(text.lower()) + RANGES[field][0]
    if not text or any(character not in "0123456789" for character in text):
        return None
    return int(text) if RANGES[field][0] <= int(text) <= RANGES[field][1] else None


def item_values(field: int, item: str) -> set[int] | None:
    low, high = RANGES[field]
    body, slash, step_text = item.partition("/")
    if slash and (not step_text or any(c not in "0123456789" for c in step_text)):
        return None
    step = int(step_text) if slash else 1
    if not 1 <= step <= high:
        return None
    if body == "*":
        return set(range(low, high + 1)[::step])
    first_text, dash, last_text = body.partition("-")
    first, last = number(field, first_text), number(field, last_text if dash else first_text)
    if first is None or last is None or last < first or (slash and not dash):
        return None
    return set(range(first, last + 1)[::step])


@lru_cache(2000)
def judged(expression: str) -> tuple[list[set[int]], Callable[[datetime], bool]] | None:
    """Return the five sets and whether a local minute matches, or None if the text is no schedule."""
    if len(expression) > 256:
        return None
    texts = [text for text in expression.replace("\t", " ").split(" ") if text]
    if len(texts) != 5:
        return None
    sets: list[set[int]] = []
    for field, text in enumerate(texts):
        values: set[int] = set()
        for item in text.split(","):
            some = item_values(field, item)
            if some is None:
                return None
            values |= some
        sets.append(values)
    minutes, hours, days, months, weekdays = sets
    by_date, by_weekday = texts[2] != "*", texts[4] != "*"
    if not by_weekday and all(min(days) > LONGEST_MONTHS.get(month, 31) for month in months):
        return None

    def matches(local: datetime) -> bool:
        if local.second or local.minute not in minutes or local.hour not in hours or local.month not in months:
            return False
        date, weekday = local.day in days, (local.weekday() + 1) % 7 in weekdays
        return date or weekday if by_date and by_weekday else date and weekday

    return sets, matches


# Expressions


def items(field: int) -> st.SearchStrategy[str]:
    """Draw one legal list item of a field."""
    low, high = RANGES[field]
    numbers = st.integers(low, high)

    def spelled(value: int, style: int) -> str:
        if NAMES[field] and style:
            name = NAMES[field][value - low]
            return (name, name.upper(), name.capitalize())[style % 3]
        return f"{value:02}" if style > 2 else str(value)

    style = st.integers(0, 3)
    single = st.builds(spelled, numbers, style)
    pairs = st.tuples(numbers, numbers).map(sorted)
    span = st.builds(lambda pair, a, b: f"{spelled(pair[0], a)}-{spelled(pair[1], b)}", pairs, style, style)
    step = st.integers(1, high).map("/{}".format)
    return st.one_of(single, span, st.builds(str.__add__, span | st.just("*"), step))


def fields(field: int) -> st.SearchStrategy[str]:
    return st.just("*") | st.lists(items(field), min_size=1, max_size=3).map(",".join)


blanks = st.sampled_from([" ", "  ", "\t", " \t "])
valid_fields = st.tuples(*(fields(field) for field in range(5)))
expressions = st.builds(lambda texts, gap: gap.join(texts), valid_fields, blanks).filter(judged)
# Often something in the small hours, as that is when clocks change, and often nothing else restricted.
nightly = st.builds(
    " ".join,
    st.tuples(
        st.sampled_from(["*", "*/15", "*/7", "0", "30", "1,59", "0-59", "15,45", "*/20,1", "10-50/20"]) | fields(0),
        st.sampled_from(["*", "*/2", "0", "1", "2", "3", "23", "0-3", "1-3", "0-23", "2,3", "*/1"]) | fields(1),
        st.sampled_from(["*", "*", "*/2", "1-31", "30"]) | fields(2),
        st.just("*"),
        st.sampled_from(["*", "*", "0", "5-6", "*/2"]) | fields(4),
    ),
).filter(judged)


# The walk through every minute of a night


@lru_cache(len(NIGHTS))
def minutes_of(zone: str, night: str) -> list[tuple[datetime, datetime]]:
    """Return every UTC minute from two days before a night to two days after it, with its local time."""
    middle = datetime.fromisoformat(night).replace(hour=12, tzinfo=UTC)
    place = ZoneInfo(zone)
    instants = (middle + MINUTE * minute for minute in range(-2 * 1440, 2 * 1440))
    return [(instant, instant.astimezone(place).replace(tzinfo=None)) for instant in instants]


def change_in(zone: str, night: str) -> int:
    """Return at which of `minutes_of` the clock is changed, the middle one if it never is."""
    minutes = minutes_of(zone, night)
    steps = (later[1] - earlier[1] for earlier, later in pairwise(minutes))
    return next((index for index, step in enumerate(steps, 1) if step != MINUTE), len(minutes) // 2)


def is_wildcard(expression: str) -> bool:
    return any(text.startswith("*") for text in expression.split()[:2])


def walked(expression: str, zone: str, night: str) -> list[datetime]:
    """Return the scheduled times by definition.

    Wildcard: every minute whose local time matches. Fixed: every minute at which the clock has come to, or
    passed, a matching time, never having shown so late a time before.
    """
    found = judged(expression)
    assert found is not None
    _, matches = found
    minutes = minutes_of(zone, night)
    if is_wildcard(expression):
        return [instant for instant, local in minutes[1:] if matches(local)]
    times = []
    latest = minutes[0][1]
    for instant, local in minutes[1:]:
        passed = range(1, (local - latest) // MINUTE + 1)
        if any(matches(latest + MINUTE * minute) for minute in passed):
            times.append(instant)
        latest = max(latest, local)
    return times


def one_by_one(expression: str, zone: str, after: datetime, until: datetime) -> list[datetime]:
    schedule = parse(expression, zone)

    def following() -> datetime:
        nonlocal after
        after = schedule.next_after(after)
        return after

    return list(takewhile(lambda instant: instant <= until, iter(following, None)))


# Feature: production-jobs-scheduler, Property 5: Cron Expression Validation
@given(expressions)
def test_every_five_standard_fields_are_a_schedule_that_means_what_a_second_parser_reads(expression):
    found = judged(expression)
    assert found is not None
    sets, _ = found
    meant = read(expression)

    assert is_valid(expression)
    assert [meant.minutes, meant.hours, meant.months] == [sum(1 << v for v in sets[i]) for i in (0, 1, 3)]
    assert is_valid(meant.text)
    assert croniter.is_valid(meant.text)


def spoilt(texts: tuple[str, ...], field: int, spoiler: str, place: int, keep: bool) -> str:
    """Put something foreign into one field, or in its place."""
    text = texts[field]
    place %= len(text) + 1
    changed = text[:place] + spoiler + text[place:] if keep else spoiler
    return " ".join((*texts[:field], changed, *texts[field + 1 :]))


SPOILERS = (
    [
        "7",
        "0",
        "60",
        "-",
        "/",
        ",",
        "*",
        "*/0",
        "5/5",
        "9-1",
        "?",
        "L",
        "W",
        "#2",
        "H",
        "R",
        "@daily",
        "sunday",
        "sun",
        "fri-sun",
        "31",
        "1e1",
        "+1",
        "0x1",
    ],
    ["٣", "\u00a0", "\n", "\r", "\u2003", "\0", " * ", "İ", "\u212a", "99" * 40],
)
spoilers = st.sampled_from([spoiler for some in SPOILERS for spoiler in some]) | st.text(max_size=4)
anything = (
    st.text(max_size=40)
    | st.text(alphabet="0123456789*/-, \t", min_size=5, max_size=30)
    | st.text(alphabet="*/,-0123456789 \tLWHR#?@\njanmonsu٣\u00a0", max_size=40)
)
spoilt_expressions = st.builds(spoilt, valid_fields, st.integers(0, 4), spoilers, st.integers(0, 30), st.booleans())


# Feature: production-jobs-scheduler, Property 5: Cron Expression Validation
@given(spoilt_expressions | anything)
def test_any_text_is_a_schedule_exactly_if_a_second_parser_says_so(expression):
    found = judged(expression)

    assert is_valid(expression) == (found is not None)
    if found is not None:
        assert croniter.is_valid(expression)


# Feature: production-jobs-scheduler, Property 5: Cron Expression Validation
@given(spoilt_expressions | anything)
def test_every_rejection_is_one_short_line(expression):
    assume(judged(expression) is None)
    with pytest.raises(ScheduleError) as caught:
        parse(expression, "UTC")
    message = str(caught.value)

    assert message.isprintable()
    assert message.isascii()
    assert "found " in message
    assert len(message) < 5 * 220


# Feature: production-jobs-scheduler, Property 5: Cron Expression Validation
@given(st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | st.lists(st.text()) | st.just({}))
def test_nothing_but_text_is_a_schedule(value):
    assert not is_valid(value)


@given(nightly, st.sampled_from(NIGHTS), st.integers(-150, 0) | st.integers(0, 60) | st.integers(-1500, 1500))
def test_next_times_equal_a_walk_through_every_minute_around_a_clock_change(expression, night, near):
    minutes = minutes_of(*night)
    start = minutes[change_in(*night) + near][0]
    expected = [instant for instant in walked(expression, *night) if instant > start][:100]
    until = expected[-1] if len(expected) == 100 else minutes[-1][0]

    assert one_by_one(expression, night[0], start, until) == expected


@given(
    nightly,
    st.sampled_from(NIGHTS),
    st.integers(0, 4 * 86_400_000_000 - 60_000_001),
    st.integers(0, 4 * 86_400_000_000 - 60_000_001),
)
def test_a_span_equals_the_walk_whatever_part_of_the_night_it_covers(expression, night, one, other):
    start = minutes_of(*night)[0][0]
    after, until = (start + timedelta(microseconds=part) for part in sorted((one, other)))
    expected = [instant for instant in walked(expression, *night) if after < instant <= until]
    span = parse(expression, night[0]).span(after, until)

    assert span == (Span(expected[0], expected[-1], len(expected)) if expected else None)
    if expected:
        assert parse(expression, night[0]).next_after(after) == expected[0]


seldom = st.builds(
    "{} {} {} {} {}".format,
    st.sampled_from(["0", "30", "*/45", "5,50"]),
    st.sampled_from(["2", "1-3", "*/8", "0,23", "*/23"]),
    st.sampled_from(["*", "*/3", "1,29-31", "28-31"]),
    st.sampled_from(["*", "mar,oct", "2-4,9-11"]),
    st.sampled_from(["*", "sun", "6,0"]),
)


@given(
    seldom,
    st.sampled_from(sorted({zone for zone, _ in NIGHTS})),
    st.datetimes(datetime(1968, 1, 1), datetime(2024, 1, 1)),  # noqa: DTZ001  # hypothesis adds the zone
    st.timedeltas(timedelta(hours=1), timedelta(weeks=9)),
)
def test_a_span_of_weeks_equals_the_next_times_one_by_one(expression, zone, after, length):
    after = after.replace(tzinfo=UTC)
    times = one_by_one(expression, zone, after, after + length)

    assert parse(expression, zone).span(after, after + length) == (
        Span(times[0], times[-1], len(times)) if times else None
    )


def cronsim_agrees(expression: str) -> bool:
    """Return whether cronsim 2.8 reads these fields as crontab(5) does.

    It reads `N-N/S` as `N/S`. Like Debian's cron, and unlike croniter and Kubernetes, it lets both day fields
    match, not either, if one of them begins with `*` and is more than that.
    """
    texts = expression.split()
    for field, text in enumerate(texts):
        for item in text.split(","):
            body, step, _ = item.partition("/")
            if step and len(item_values(field, body) or ()) == 1:
                return False
    return "*" in (texts[2], texts[4]) or not (texts[2].startswith("*") or texts[4].startswith("*"))


@given(nightly.filter(cronsim_agrees), st.sampled_from(NIGHTS))
def test_next_times_equal_those_of_cronsim(expression, night):
    assume(not is_wildcard(expression) or night[0] in PLAIN_ZONES)
    zone = ZoneInfo(night[0])
    instant = minutes_of(*night)[0][0]
    theirs = CronSim(expression, instant.astimezone(zone))
    schedule = parse(expression, night[0])

    for _ in range(40):
        instant = schedule.next_after(instant)
        assert instant == next(theirs).astimezone(UTC)
