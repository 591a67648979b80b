"""Schedules: what is accepted, what a rejection says, and when a job is due while clocks change."""

from __future__ import annotations

import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from time import thread_time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sidecar import cron
from sidecar.cron import Schedule, Span, is_valid, parse, zone_named
from sidecar.cron_fields import LONGEST_SCHEDULE, read
from sidecar.errors import ScheduleError

ACCEPTED = [
    "* * * * *",
    "0 2 * * *",
    "30 14 * * 1-5",
    "*/15 * * * *",
    "00 02 * * *",
    "0-59/1 0-23/23 1-31/31 1-12/12 0-6/6",
    "1,3,5 * * * *",
    "*/10,5,40-50/3 * * * *",
    "*,5 * * * *",
    "0 0 1 jan *",
    "0 0 * JAN,Mar sun",
    "0 0 * feb-apr mon-FRI",
    "0 0 * jan-12/2 1-sat",
    "5-5 5-5 5-5 5-5 5-5",
    "0 0 29 2 *",
    "0 0 31 2,3 *",
    "0 0 31 2 0",
    "  0\t0  *   * * \t",
]

REJECTED = [
    # another number of fields
    ("", "exactly five fields", "found 0 in ''"),
    (" \t ", "exactly five fields", "found 0 in ''"),
    ("* * * *", "exactly five fields", "found 4 in '* * * *'"),
    ("*/5****", "exactly five fields", "found 1 in '*/5****'"),
    ("*/10 * * * * *", "no seconds", "found 6 in '*/10 * * * * *'"),
    ("0 0 12 * * ?", "write '0 12 * * *'", "found 6 in '0 0 12 * * ?'"),
    ("0 0 12 * * ? *", "write '0 12 * * *'", "found 7 in '0 0 12 * * ? *'"),
    ("0 12 * * 1 2030", "write '0 12 * * 1'", "found 6 in '0 12 * * 1 2030'"),
    ("5 2 * * * root", "write '5 2 * * *'", "found 6 in '5 2 * * * root'"),
    ("CRON_TZ=UTC 0 2 * * *", "`timezone`", "found 6 in 'CRON_TZ=UTC 0 2 * * *'"),
    # macros
    ("@yearly", "write '0 0 1 1 *'", "found '@yearly'"),
    ("@annually", "write '0 0 1 1 *'", "found '@annually'"),
    ("@monthly", "write '0 0 1 * *'", "found '@monthly'"),
    ("@weekly", "write '0 0 * * 0'", "found '@weekly'"),
    ("@Daily", "write '0 0 * * *'", "found '@Daily'"),
    ("@midnight", "write '0 0 * * *'", "found '@midnight'"),
    ("@hourly", "write '0 * * * *'", "found '@hourly'"),
    ("@every 5m", "write five fields such as '*/5 * * * *'", "found '@every 5m'"),
    ("@reboot", "write five fields", "found '@reboot'"),
    # blanks that are none
    ("0 0 * * *\n", "one line", r"found '\n'"),
    ("0 0 *\r\n* *", "one line", r"found '\r'"),
    ("0\x0b0 * * *", "plain spaces or tabs", r"found '\x0b'"),
    ("0\u00a00 * * *", "plain spaces or tabs", r"found '\xa0'"),
    ("0\u30000 * * *", "plain spaces or tabs", r"found '\u3000'"),
    ("0 0 * * *\u200b", "plain spaces or tabs", r"found '\u200b'"),
    ("\ufeff0 0 * * *", "plain spaces or tabs", r"found '\ufeff'"),
    ("0 0 * * \ud800", "plain spaces or tabs", r"found '\ud800'"),
    ("0 0 * * *\0", "plain spaces or tabs", r"found '\x00'"),
    # other scripts
    ("\u0663 * * * *", "minute: write the digits 0-9: '3'", r"found '\u0663'"),
    ("0 \uff11\uff12 * * *", "hour: write the digits 0-9: '12'", r"found '\uff11\uff12'"),
    ("\u00b2 * * * *", "minute: write plain ASCII characters", r"found '\xb2'"),
    ("0 0 1\u20135 * *", "day of month: write plain ASCII characters", r"found '1\u20135'"),
    # values
    ("60 * * * *", "minute: write numbers from 0 to 59", "found '60'"),
    ("0 24 * * *", "hour: write numbers from 0 to 23", "found '24'"),
    ("0 0 0 * *", "day of month: write numbers from 1 to 31", "found '0'"),
    ("0 0 32 * *", "day of month: write numbers from 1 to 31", "found '32'"),
    ("0 0 * 13 *", "month: write numbers from 1 to 12", "found '13'"),
    ("0 0 * * 8", "day of week: write numbers from 0 to 6", "found '8'"),
    ("-5 * * * *", "minute: write '*', numbers from 0 to 59", "found '-5'"),
    ("+5 * * * *", "minute: write '*', numbers from 0 to 59", "found '+5'"),
    ("1.5 * * * *", "minute: write '*', numbers from 0 to 59", "found '1.5'"),
    ("1_0 * * * *", "minute: write '*', numbers from 0 to 59", "found '1_0'"),
    # a second Sunday
    ("0 0 * * 7", "day of week: Sunday is 0; write '0'", "found '7'"),
    ("0 0 * * 07", "day of week: Sunday is 0; write '0'", "found '07'"),
    ("0 0 * * 1,7", "day of week: Sunday is 0; write '0'", "found '7'"),
    ("0 0 * * 7-7", "day of week: Sunday is 0; write '0'", "found '7-7'"),
    ("0 0 * * 5-7", "day of week: Sunday is 0; write '5-6,0'", "found '5-7'"),
    ("0 0 * * 0-7", "day of week: Sunday is 0; write '0-6'", "found '0-7'"),
    ("0 0 * * mon-7", "day of week: Sunday is 0; write '0-6'", "found 'mon-7'"),
    ("0 0 * * 1-7/2", "day of week: Sunday is 0; write '1-6/2,0'", "found '1-7/2'"),
    ("0 0 * * 0-7/3", "day of week: Sunday is 0; write '0-6/3'", "found '0-7/3'"),
    ("0 0 * * 7-3", "day of week: Sunday is 0; write '0-3'", "found '7-3'"),
    ("0 0 * * 7/2", "day of week: Sunday is 0; write '0-6/2'", "found '7/2'"),
    # steps
    ("*/0 * * * *", "minute: write a step from 1 to 59", "found '*/0'"),
    ("*/60 * * * *", "minute: write a step from 1 to 59 (or '0'", "found '*/60'"),
    ("17 23-23/24 * * *", "hour: write a step from 1 to 23 (or '23'", "found '23-23/24'"),
    ("0 0 */32 * *", "day of month: write a step from 1 to 31 (or '1'", "found '*/32'"),
    ("0 0 * */13 *", "month: write a step from 1 to 12 (or '1'", "found '*/13'"),
    ("0 0 * * */7", "day of week: write a step from 1 to 6 (or '0'", "found '*/7'"),
    ("5/15 * * * *", "minute: a step needs a range; write '5-59/15'", "found '5/15'"),
    ("59/15 * * * *", "minute: a step needs a range; write '59'", "found '59/15'"),
    ("0 0 * * mon/2", "day of week: a step needs a range; write 'mon-sat/2'", "found 'mon/2'"),
    ("*/-1 * * * *", "minute: write '*', numbers", "found '*/-1'"),
    ("*/5/5 * * * *", "minute: write '*', numbers", "found '*/5/5'"),
    ("0 0 * */feb *", "month: write '*', numbers", "found '*/feb'"),
    ("/5 * * * *", "minute: write '*', numbers", "found '/5'"),
    # ranges
    ("0 22-2 * * *", "hour: a range runs upwards; write '22-23,0-2'", "found '22-2'"),
    ("0 23-0 * * *", "hour: a range runs upwards; write '23,0'", "found '23-0'"),
    ("50-10/7 * * * *", "minute: a range runs upwards; write '50-59/7,4'", "found '50-10/7'"),
    ("0 0 25-5 * *", "day of month: a range runs upwards; write '25-31,1-5'", "found '25-5'"),
    ("0 0 * nov-feb *", "month: a range runs upwards; write 'nov-dec,jan-feb'", "found 'nov-feb'"),
    ("0 0 * * fri-sun", "day of week: a range runs upwards; write 'fri-sat,sun'", "found 'fri-sun'"),
    ("0 0 * * mon-Sun", "day of week: a range runs upwards; write 'mon-sat,sun'", "found 'mon-Sun'"),
    ("5- * * * *", "minute: write '*', numbers", "found '5-'"),
    ("1-2-3 * * * *", "minute: write '*', numbers", "found '1-2-3'"),
    ("*-5 * * * *", "minute: write '*', numbers", "found '*-5'"),
    # lists
    ("1,,2 * * * *", "minute: write one comma between two values", "found ''"),
    (", * * * *", "minute: write one comma between two values", "found ''"),
    ("0 1, * * *", "hour: write one comma between two values", "found ''"),
    ("** * * * *", "minute: write '*', numbers", "found '**'"),
    # names
    ("mon * * * *", "minute: write numbers; names are for month and day of week", "found 'mon'"),
    ("0 0 jan * *", "day of month: write numbers; names are for month and day of week", "found 'jan'"),
    ("0 0 * mon *", "month: write '*', numbers from 1 to 12 or jan-dec", "found 'mon'"),
    ("0 0 * January *", "month: write the first three letters, 'jan'", "found 'January'"),
    ("0 0 * * tuesday-fri", "day of week: write the first three letters, 'tue'", "found 'tuesday-fri'"),
    # other programs' signs
    ("0 0 ? * 1", "day of month: write '*'", "found '?'"),
    ("0 0 L * *", "day of month: write day of month '28-31'", "found 'L'"),
    ("0 0 L-3 * *", "day of month: write day of month '28-31'", "found 'L-3'"),
    ("0 0 * * 5L", "day of week: write day of month '28-31'", "found '5L'"),
    ("0 0 15W * *", "day of month: write day numbers", "found '15W'"),
    ("0 0 LW * *", "day of month: write day numbers", "found 'LW'"),
    ("0 0 * * 5#3", "day of week: write day of month '15-21'", "found '5#3'"),
    ("0 0 * * mon#1", "day of week: write day of month '1-7'", "found 'mon#1'"),
    ("0 0 * * 5#5", "day of week: write days of the month", "found '5#5'"),
    ("H * * * *", "minute: write a number from 0 to 59", "found 'H'"),
    ("0 h(2-5)/2 * * *", "hour: write a number from 0 to 23", "found 'h(2-5)/2'"),
    ("R/10 * * * *", "minute: write a number from 0 to 59", "found 'R/10'"),
    # dates that never come
    ("0 0 31 2 *", "day of month: this date never comes, there is no day 31 in feb", "found '31'"),
    ("0 0 30-31 feb *", "there is no day 30 in feb; write days from 1 to 29", "found '30-31'"),
    ("0 0 31 4,jun *", "there is no day 31 in apr, jun; write days from 1 to 30", "found '31'"),
]

FIELD_NAMES = ["minute", "hour", "day of month", "month", "day of week"]
ADVICE = re.compile(r"write (day of month)? ?'([^']+)'(?!, numbers)")  # not "write '*', numbers from …"
NOT_TEXT = [None, True, 5, 5.0, b"* * * * *", ["* * * * *"], {}, object()]


@pytest.fixture
def berlin() -> ZoneInfo:
    return ZoneInfo("Europe/Berlin")


def message_of(expression: object) -> str:
    with pytest.raises(ScheduleError) as caught:
        parse(expression, "UTC")  # type: ignore[arg-type]  # a job file may hold anything
    return str(caught.value)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def local_times(expression: str, zone: str, start: str, end: str) -> list[str]:
    """Return the scheduled times in (start, end), both local, as `DD HH:MM+OFFSET`."""
    schedule = parse(expression, zone)
    instant = datetime.fromisoformat(start).replace(tzinfo=schedule.zone).astimezone(UTC)
    last = datetime.fromisoformat(end).replace(tzinfo=schedule.zone).astimezone(UTC)
    times = []
    while (instant := schedule.next_after(instant)) < last:
        times.append(instant.astimezone(schedule.zone).strftime("%d %H:%M%z"))
    return times


@pytest.mark.parametrize("expression", ACCEPTED)
def test_five_standard_fields_are_accepted(expression):
    assert is_valid(expression)
    assert parse(expression, "UTC").expression == expression.strip(" \t")


@pytest.mark.parametrize(("expression", "wanted", "found"), REJECTED)
def test_a_rejection_names_the_field_and_what_to_write_instead(expression, wanted, found):
    message = message_of(expression)

    assert not is_valid(expression)
    assert wanted in message
    assert found in message


@pytest.mark.parametrize("value", NOT_TEXT)
def test_a_value_that_is_no_text_is_rejected_with_its_type(value):
    assert not is_valid(value)
    assert message_of(value).endswith(f"found {type(value).__name__}")


@pytest.mark.parametrize("expression", [row[0] for row in REJECTED if ADVICE.search(row[1])])
def test_what_a_rejection_says_to_write_is_accepted(expression):
    message = message_of(expression)
    field, text = ADVICE.findall(message)[0]
    if " " not in text:
        place = FIELD_NAMES.index(field or message.partition(":")[0])
        text = " ".join(["*"] * place + [text] + ["*"] * (4 - place))

    assert is_valid(text)


def test_a_rejection_names_the_first_problem_of_every_field():
    message = message_of("61,62 25 L jan-13 7")

    assert [part.partition(":")[0] for part in message.split("; ") if ":" in part] == FIELD_NAMES
    assert "'62'" not in message


@pytest.mark.parametrize("text", ["x" * 250 + " * * * *", "٣" * 250 + " * * *", "\U0001f600" * 200 + " 1 1 1 1"])
def test_a_rejection_repeats_at_most_sixty_characters_of_the_schedule(text):
    message = message_of(text)

    assert message.isascii()
    assert all(len(part) < 70 for part in re.findall(r"found (?:\d+ in )?('[^;]*')", message))


def test_a_schedule_may_have_256_characters_and_not_one_more():
    longest = "0" * (LONGEST_SCHEDULE - 8) + " * * * *"

    assert len(longest) == 256
    assert is_valid(longest)
    assert "at most 256 characters" in message_of(longest + " ")


@pytest.mark.parametrize(
    ("part", "times"),
    [
        ("*", 10_000_000),
        (" ", 10_000_000),
        ("1", 10_000_000),
        ("0,", 10_000),
        (["*"], 10_000),
        ("-/", 128),
        ("1-", 128),
        ("0-59/1,", 36),
        ("0 ", 128),
    ],
)
def test_a_hostile_schedule_is_rejected_in_bounded_time_and_memory(part, times):
    hostile = part * times
    tracemalloc.start()
    began = thread_time()
    accepted = is_valid(hostile)
    message = message_of(hostile)
    took = thread_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert not accepted
    assert len(message) < 1000
    assert took < 1
    assert peak < 1 << 20


def test_what_is_remembered_stays_bounded_with_ever_new_schedules():
    instant = utc("2026-01-01T00:00Z")
    for minute in range(60):
        for hour in range(24):
            for day in (1, 2, 3):
                parse(f"{minute} {hour} {day} * *", "UTC")
    for day in range(cron.REMEMBERED + 50):
        parse("0 0 * * *", "UTC").next_after(instant + timedelta(days=day))

    assert cron._parse.cache_info().currsize <= cron.REMEMBERED
    assert cron._day.cache_info().currsize <= cron.REMEMBERED


def test_schedules_of_the_same_days_ask_croniter_once_for_each_day():
    cron._day.cache_clear()
    for minute in range(60):
        for hour in range(24):
            parse(f"{minute} {hour} 1 1 *", "UTC").next_after(utc("2026-02-01T00:00Z"))

    assert cron._day.cache_info().misses == 1


def test_a_schedule_is_immutable_hashable_and_parsed_once():
    schedule = parse(" 0 2 * * * ", "Europe/Berlin")

    assert schedule is parse("0 2 * * *", "Europe/Berlin")
    assert schedule != parse("0 2 * * *", "UTC")
    assert len({schedule, parse("0 2 * * *", "Europe/Berlin")}) == 1
    assert not hasattr(schedule, "__dict__")
    with pytest.raises(AttributeError):
        schedule.expression = "* * * * *"  # type: ignore[misc]  # that it cannot is the claim


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Mars/Olympus",
        "Europe",
        "europe/nowhere",
        "../UTC",
        "/etc/localtime",
        ".",
        "tzdata.zi",
        "UTC\0",
        "UTC\n",
        "right/UTC",
        "posix/UTC",
        "posixrules",
        "localtime",
        "x" * 5000,
        "Europe/Berlin " * 9,
        "Eur\u00f6pe/Berlin",
    ],
)
def test_an_unknown_time_zone_is_rejected_by_name(name):
    with pytest.raises(ScheduleError, match=r"time zone: write an IANA name .*, found '") as caught:
        parse("* * * * *", name)

    assert len(str(caught.value)) < 150


def test_a_time_zone_that_is_no_text_is_rejected():
    with pytest.raises(ScheduleError, match="found NoneType"):
        zone_named(None)


def test_checking_a_schedule_does_not_load_croniter():
    check = "from sidecar.cron import is_valid; is_valid('0 0 * * *')"
    program = f"import sys; {check}; print('croniter' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "False"


# What the fields mean


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("5-5 * * * *", "5 * * * *"),
        ("5-5/15 * * * *", "5 * * * *"),
        ("0 0 * * 1-1", "0 0 * * 1"),
        ("59-59/15 0 * * *", "59 0 * * *"),
        ("0-59 * * * *", "* * * * *"),
        ("0 0 * jan-dec/6 SUN", "0 0 * 1,7 0"),
        ("0 0 31 2 0", "0 0 * 2 0"),
        ("0 0 *,1 * 1", "0 0 * * *"),
        ("0 0 */1 * 1", "0 0 * * *"),
        ("0 0 1 * 0-6", "0 0 * * *"),
        ("0 0 * * 0-6", "0 0 * * *"),
        ("*/25 */13 */16 */7 */4", "0,25,50 0,13 1,17 1,8 0,4"),
    ],
)
def test_fields_mean_what_crontab_5_says(expression, same):
    assert read(expression) == read(same)
    assert read(expression).text == same


def test_either_day_field_matches_when_both_are_restricted():
    times = local_times("0 0 10 * 1", "UTC", "2026-06-01T00:00", "2026-06-16T00:00")

    assert [time[:2] for time in times] == ["08", "10", "15"]


def test_a_day_field_that_begins_with_a_star_is_restricted_too():
    times = local_times("0 0 */10 * 1", "UTC", "2026-06-01T00:00", "2026-06-16T00:00")

    assert [time[:2] for time in times] == ["08", "11", "15"]


# When it is due


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        ("* * * * *", "UTC", "2026-11-23T12:00:00Z", "2026-11-23T12:01:00Z"),
        ("* * * * *", "UTC", "2026-11-23T11:59:59.999999Z", "2026-11-23T12:00:00Z"),
        ("0 9 * * *", "UTC", "2026-11-23T09:00:00.000001Z", "2026-11-24T09:00:00Z"),
        ("0 0 1 1 *", "UTC", "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"),
        ("0 0 1 1 *", "UTC", "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"),
        ("59 23 31 12 *", "Pacific/Kiritimati", "2026-12-31T00:00:00Z", "2026-12-31T09:59:00Z"),
        ("* * * * *", "Pacific/Kiritimati", "2026-12-31T09:59:30Z", "2026-12-31T10:00:00Z"),
        ("0 0 29 2 *", "UTC", "2025-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 0 29 2 *", "UTC", "2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z"),
        ("*/7 3 29 2 *", "Europe/Berlin", "1896-02-29T03:00:00Z", "1904-02-29T02:00:00Z"),
        ("0 0 31 * *", "UTC", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z"),
        ("0 12 * * *", "Asia/Kathmandu", "2026-01-01T00:00:00Z", "2026-01-01T06:15:00Z"),
        ("0 12 * * *", "Etc/GMT+5", "2026-01-01T00:00:00Z", "2026-01-01T17:00:00Z"),
        ("0 9 * * *", "Europe/Berlin", "2026-03-28T10:00:00+01:00", "2026-03-29T09:00:00+02:00"),
    ],
)
def test_next_time_is_the_first_one_strictly_later(expression, zone, after, expected):
    found = parse(expression, zone).next_after(datetime.fromisoformat(after))

    assert found == datetime.fromisoformat(expected)
    assert found.tzinfo is UTC


def test_a_naive_time_is_refused():
    schedule = parse("* * * * *", "UTC")
    naive = datetime(2026, 1, 1)  # noqa: DTZ001  # that it is refused is the claim

    with pytest.raises(ValueError, match="aware"):
        schedule.next_after(naive)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Apia", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("expression", ["0 0 1 1 *", "* * * * *"])
def test_there_is_no_next_time_after_the_last_minute_of_the_calendar(expression, zone):
    with pytest.raises(ScheduleError, match="1 to 9999"):
        parse(expression, zone).next_after(datetime.max.replace(tzinfo=UTC))


def test_a_local_time_before_the_calendar_begins_is_an_error():
    with pytest.raises(ScheduleError, match="1 to 9999"):
        parse("0 0 1 1 *", "America/New_York").next_after(datetime.min.replace(tzinfo=UTC))


BERLIN_SPRING = ("Europe/Berlin", "2026-03-28T23:30", "2026-03-29T04:30")
BERLIN_AUTUMN = ("Europe/Berlin", "2026-10-24T23:30", "2026-10-25T04:30")
HOWE_SPRING = ("Australia/Lord_Howe", "2026-10-04T00:30", "2026-10-04T04:30")
HOWE_AUTUMN = ("Australia/Lord_Howe", "2026-04-05T00:30", "2026-04-05T03:30")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # fixed: what is skipped runs once, right after the gap
        ("30 2 * * *", ["29 03:00+0200"]),
        ("0 2 * * *", ["29 03:00+0200"]),
        ("30 2 * * 0", ["29 03:00+0200"]),
        ("0 3 * * *", ["29 03:00+0200"]),
        ("15,45 2 * * *", ["29 03:00+0200"]),
        ("0-59 2 * * *", ["29 03:00+0200"]),
        ("0 2,3 * * *", ["29 03:00+0200"]),
        ("30 1-3 * * *", ["29 01:30+0100", "29 03:00+0200", "29 03:30+0200"]),
        ("0 0-23/1 * * *", ["29 00:00+0100", "29 01:00+0100", "29 03:00+0200", "29 04:00+0200"]),
        # wildcard: what is skipped is skipped
        ("0 * * * *", ["29 00:00+0100", "29 01:00+0100", "29 03:00+0200", "29 04:00+0200"]),
        ("30 * * * *", ["29 00:30+0100", "29 01:30+0100", "29 03:30+0200"]),
        ("0 */2 * * *", ["29 00:00+0100", "29 04:00+0200"]),
        ("30 */2 * * *", ["29 00:30+0100"]),
        ("*/30 2 * * *", []),
        ("* 2 * * *", []),
        ("*/30 1-3 * * *", ["29 01:00+0100", "29 01:30+0100", "29 03:00+0200", "29 03:30+0200"]),
    ],
)
def test_berlin_when_the_clock_goes_forward(expression, expected):
    assert local_times(expression, *BERLIN_SPRING) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # fixed: what is repeated runs the first time only
        ("30 2 * * *", ["25 02:30+0200"]),
        ("0 2 * * *", ["25 02:00+0200"]),
        ("0 3 * * *", ["25 03:00+0100"]),
        ("30 1-3 * * *", ["25 01:30+0200", "25 02:30+0200", "25 03:30+0100"]),
        ("59 2 * * *", ["25 02:59+0200"]),
        # wildcard: what is repeated runs again
        ("0 1-3 * * *", ["25 01:00+0200", "25 02:00+0200", "25 03:00+0100"]),
        ("0 */1 * * *", ["25 00:00+0200", "25 01:00+0200", "25 02:00+0200", "25 02:00+0100", "25 03:00+0100",
            "25 04:00+0100"]),
        ("*/30 2 * * *", ["25 02:00+0200", "25 02:30+0200", "25 02:00+0100", "25 02:30+0100"]),
        ("0 */2 * * *", ["25 00:00+0200", "25 02:00+0200", "25 02:00+0100", "25 04:00+0100"]),
        ("59 */2 25 10 *", ["25 00:59+0200", "25 02:59+0200", "25 02:59+0100"]),
    ],
)  # fmt: skip
def test_berlin_when_the_clock_goes_back(expression, expected):
    assert local_times(expression, *BERLIN_AUTUMN) == expected


@pytest.mark.parametrize(
    ("window", "expression", "expected"),
    [
        (HOWE_SPRING, "15 2 * * *", ["04 02:30+1100"]),
        (HOWE_SPRING, "15,30 2 * * *", ["04 02:30+1100"]),
        (HOWE_SPRING, "0 3 * * *", ["04 03:00+1100"]),
        (HOWE_SPRING, "0 * * * *", ["04 01:00+1030", "04 03:00+1100", "04 04:00+1100"]),
        (HOWE_SPRING, "0 */2 * * *", ["04 04:00+1100"]),
        (HOWE_SPRING, "*/15 2 * * *", ["04 02:30+1100", "04 02:45+1100"]),
        (HOWE_AUTUMN, "45 1 * * *", ["05 01:45+1100"]),
        (HOWE_AUTUMN, "0 2 * * *", ["05 02:00+1030"]),
        (HOWE_AUTUMN, "*/20 1 * * *", ["05 01:00+1100", "05 01:20+1100", "05 01:40+1100", "05 01:40+1030"]),
        (HOWE_AUTUMN, "40 * * * *", ["05 00:40+1100", "05 01:40+1100", "05 01:40+1030", "05 02:40+1030"]),
    ],
)
def test_lord_howe_changes_by_half_an_hour(window, expression, expected):
    assert local_times(expression, *window) == expected


@pytest.mark.parametrize(
    ("zone", "start", "end", "expression", "expected"),
    [
        # midnight does not exist
        ("America/Havana", "2024-03-09T12:00", "2024-03-10T12:00", "0 0 * * *", ["10 01:00-0400"]),
        ("America/Havana", "2024-03-09T12:00", "2024-03-10T12:00", "30 0 * * *", ["10 01:00-0400"]),
        ("America/Havana", "2024-03-09T12:00", "2024-03-10T12:00", "0 0,1 * * *", ["10 01:00-0400"]),
        ("America/Havana", "2024-03-09T12:00", "2024-03-10T12:00", "*/30 0 * * *", []),
        ("Asia/Beirut", "2022-03-26T12:00", "2022-03-27T12:00", "0 0 27 3 *", ["27 01:00+0300"]),
        ("Asia/Beirut", "2022-03-26T12:00", "2022-03-27T12:00", "0 0 * * 0", ["27 01:00+0300"]),
        # the last hour of a day comes twice
        ("Asia/Beirut", "2022-10-29T22:30", "2022-10-30T01:00", "30 23 * * *", ["29 23:30+0300"]),
        ("Asia/Beirut", "2022-10-29T22:30", "2022-10-30T01:00", "0 0 * * *", ["30 00:00+0200"]),
        ("Asia/Beirut", "2022-10-29T22:30", "2022-10-30T01:00", "30 23 29 * *", ["29 23:30+0300"]),
        ("Asia/Beirut", "2022-10-29T22:30", "2022-10-30T01:00", "*/30 23 29 * *",
            ["29 23:00+0300", "29 23:30+0300", "29 23:00+0200", "29 23:30+0200"]),
        # a day that was skipped
        ("Pacific/Apia", "2011-12-29T00:00", "2011-12-31T23:00", "0 12 * * *",
            ["29 12:00-1000", "31 00:00+1400", "31 12:00+1400"]),
        ("Pacific/Apia", "2011-12-29T00:00", "2011-12-31T23:00", "0 12 30 12 *", ["31 00:00+1400"]),
        ("Pacific/Apia", "2011-12-29T00:00", "2011-12-31T23:00", "0 12 * * 5", ["31 00:00+1400"]),
        ("Pacific/Apia", "2011-12-29T00:00", "2011-12-31T23:00", "0,30 0-23 30 * *", ["31 00:00+1400"]),
        ("Pacific/Apia", "2011-12-29T23:00", "2011-12-31T01:30", "0 * * * *",
            ["31 00:00+1400", "31 01:00+1400"]),
        ("Pacific/Apia", "2011-12-29T23:00", "2011-12-31T01:30", "* * 30 * *", []),
        ("Pacific/Kwajalein", "1993-08-20T12:00", "1993-08-22T12:00", "30 6 * * *",
            ["22 00:00+1200", "22 06:30+1200"]),
        # 23 hours that came twice
        ("Pacific/Kwajalein", "1969-09-29T12:00", "1969-10-01T12:00", "0 6 * * *",
            ["30 06:00+1100", "01 06:00-1200"]),
        ("Pacific/Kwajalein", "1969-09-29T12:00", "1969-10-01T12:00", "*/59 6 * * *",
            ["30 06:00+1100", "30 06:59+1100", "30 06:00-1200", "30 06:59-1200", "01 06:00-1200",
             "01 06:59-1200"]),
        # winter time is the exception, by law and in the data
        ("Europe/Dublin", "2024-03-30T12:00", "2024-03-31T12:00", "30 1 * * *", ["31 02:00+0100"]),
        ("Europe/Dublin", "2024-10-26T12:00", "2024-10-27T12:00", "30 1 * * *", ["27 01:30+0100"]),
        # Ramadan 2024
        ("Africa/Casablanca", "2024-03-09T12:00", "2024-03-10T12:00", "30 2 * * *", ["10 02:30+0100"]),
        ("Africa/Casablanca", "2024-03-09T12:00", "2024-03-10T12:00", "*/30 2 * * *",
            ["10 02:00+0100", "10 02:30+0100", "10 02:00+0000", "10 02:30+0000"]),
        ("Africa/Casablanca", "2024-04-13T12:00", "2024-04-14T12:00", "30 2 * * *", ["14 03:00+0100"]),
        # two hours at once
        ("Antarctica/Troll", "2024-03-30T12:00", "2024-03-31T12:00", "30 1,2 * * *", ["31 03:00+0200"]),
        # a change of standard time, in seconds: at 00:00-00:44:30 the clock jumped to 00:44:30
        ("Africa/Monrovia", "1972-01-06T00:30", "1972-01-07T02:00", "30 0 * * *", ["07 00:44+0000"]),
        ("Africa/Monrovia", "1972-01-06T23:30", "1972-01-07T02:00", "*/30 * * * *",
            ["07 01:00+0000", "07 01:30+0000"]),
    ],
)  # fmt: skip
def test_odd_zones(zone, start, end, expression, expected):
    assert local_times(expression, zone, start, end) == expected


@pytest.mark.parametrize("expression", ["0 0 31 12 *", "30 2 * * *", "*/30 2 * * *", "15 */6 * * 1"])
def test_the_next_time_does_not_depend_on_where_the_search_begins(expression, berlin):
    schedule = parse(expression, "Europe/Berlin")
    start = datetime(2026, 10, 24, 20, tzinfo=berlin).astimezone(UTC)
    times = [start]
    while times[-1] < start + timedelta(days=2):
        times.append(schedule.next_after(times[-1]))

    for earlier, later in pairwise(times):
        for part in (0.01, 0.5, 0.99):
            assert schedule.next_after(earlier + (later - earlier) * part) == later


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        # 00:00Z is 02:00+02:00, 01:00Z is 02:00+01:00
        ("30 2 * * *", "2026-10-25T00:59Z", "2026-10-26T01:30Z"),
        ("30 2 * * *", "2026-10-25T01:00Z", "2026-10-26T01:30Z"),
        ("30 2 * * *", "2026-10-25T01:29Z", "2026-10-26T01:30Z"),
        ("30 2 * * *", "2026-10-25T01:59Z", "2026-10-26T01:30Z"),
        ("0 3 * * *", "2026-10-25T01:00Z", "2026-10-25T02:00Z"),
        ("0 3 * * *", "2026-10-25T01:59Z", "2026-10-25T02:00Z"),
        ("0 3 * * *", "2026-10-25T02:00Z", "2026-10-26T02:00Z"),
        ("0-59 2,3 * * *", "2026-10-25T00:59Z", "2026-10-25T02:00Z"),
        ("0-59 2,3 * * *", "2026-10-25T01:30Z", "2026-10-25T02:00Z"),
        ("*/30 2 * * *", "2026-10-25T00:59Z", "2026-10-25T01:00Z"),
        ("*/30 2 * * *", "2026-10-25T01:00Z", "2026-10-25T01:30Z"),
    ],
)
def test_a_search_that_begins_in_a_repeated_hour_knows_what_already_ran(expression, after, expected):
    schedule = parse(expression, "Europe/Berlin")

    assert schedule.next_after(utc(after)) == utc(expected)


@pytest.mark.parametrize(
    ("expression", "count"), [("30 2 * * *", 0), ("0 3 * * *", 1), ("* 2 * * *", 30), ("0-59 2 * * *", 0)]
)
def test_a_span_that_begins_in_a_repeated_hour_knows_what_already_ran(expression, count):
    span = parse(expression, "Europe/Berlin").span(utc("2026-10-25T01:29Z"), utc("2026-10-25T02:30Z"))

    assert (span.count if span else 0) == count


@pytest.mark.parametrize("expression", ["*/30 23,0 * * *", "0,30 0,1 * * *", "0 * * * *"])
def test_two_clock_changes_within_a_week_are_both_seen(expression):
    schedule = parse(expression, "America/Noronha")  # forward on 2000-10-08, back on the 15th
    start, end = utc("2000-10-08T01:00Z"), utc("2000-10-20T00:00Z")
    times, instant = [], start
    while (instant := schedule.next_after(instant)) <= end:
        times.append(instant)
    local = [time.astimezone(schedule.zone) for time in times]

    assert {time.utcoffset() for time in local} == {timedelta(hours=-1), timedelta(hours=-2)}
    assert schedule.span(start, end) == Span(times[0], times[-1], len(times))


# Many times at once


def test_a_span_is_open_at_its_start_and_closed_at_its_end():
    schedule = parse("0 9 * * *", "UTC")
    at_nine = utc("2026-01-01T09:00Z")
    tick = timedelta.resolution

    assert schedule.span(at_nine, at_nine + timedelta(hours=1)) is None
    assert schedule.span(at_nine - tick, at_nine) == Span(at_nine, at_nine, 1)
    assert schedule.span(at_nine - timedelta(hours=1), at_nine - tick) is None
    assert schedule.span(at_nine, at_nine + timedelta(days=2)) == Span(
        at_nine + timedelta(days=1), at_nine + timedelta(days=2), 2
    )


def test_a_span_that_ends_just_before_a_second_of_a_minute_has_the_time_of_that_minute():
    noon = utc("2026-06-01 12:00")
    span = parse("0 12 * * *", "UTC").span(noon - timedelta(hours=1), noon + timedelta(seconds=30, microseconds=-1))

    assert span == Span(noon, noon, 1)


@pytest.mark.parametrize(
    ("expression", "instant", "expected"),
    [
        ("0 * * * *", "2026-06-01T14:30Z", "2026-06-01T14:00Z"),
        ("0 * * * *", "2026-06-01T14:00Z", "2026-06-01T14:00Z"),
        ("0 0 29 2 *", "2104-02-28T00:00Z", "2096-02-29T00:00Z"),
    ],
)
def test_the_last_time_until_an_instant_may_be_that_instant_or_eight_years_before(expression, instant, expected):
    assert parse(expression, "UTC").last_until(utc(instant)) == utc(expected)


def test_a_span_that_ends_before_it_begins_is_empty():
    now = utc("2026-01-01T00:00Z")

    assert parse("* * * * *", "UTC").span(now, now) is None
    assert parse("* * * * *", "UTC").span(now, now - timedelta(days=1)) is None


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Australia/Lord_Howe"])
def test_a_span_of_ten_years_counts_every_minute_without_visiting_it(zone, monkeypatch):
    searched = []

    def counting(match: Callable[..., datetime]) -> Callable[..., datetime]:
        def counted(*of: Any) -> datetime:
            searched.append(of)
            return match(*of)

        return counted

    for name in ("_match_after", "_match_before"):
        monkeypatch.setattr(cron, name, counting(getattr(cron, name)))
    start, end = utc("2015-01-01T00:00:00Z"), utc("2025-01-01T00:00:00Z")
    began = thread_time()
    span = parse("* * * * *", zone).span(start, end)
    took = thread_time() - began

    assert span == Span(start + timedelta(minutes=1), end, 10 * 525_600 + 3 * 1440)
    assert len(searched) < 60
    assert took < 1


@pytest.mark.parametrize(
    ("expression", "count"),
    [
        ("30 2 * * *", 366),
        ("15,45 2 * * *", 731),
        ("*/30 2 * * *", 732),
        ("0 * * * *", 8784),
        ("0 2-3 * * *", 731),
    ],
)
def test_a_leap_year_in_berlin_counts_the_nights_of_both_changes_by_rule(expression, count, berlin):
    start, end = (datetime(year, 1, 1, tzinfo=berlin).astimezone(UTC) for year in (2024, 2025))
    span = parse(expression, "Europe/Berlin").span(start - timedelta(seconds=1), end - timedelta(seconds=1))

    assert span is not None
    assert span.count == count


@pytest.mark.parametrize("zone", ["America/New_York", "Africa/Casablanca", "Australia/Lord_Howe", "Pacific/Apia"])
@pytest.mark.parametrize("expression", ["45 1,2 * * *", "*/45 0-2 * * 0,6", "0 */5 * * *", "0 0 29 2 *"])
def test_a_span_of_a_year_equals_the_times_one_by_one(expression, zone):
    schedule = parse(expression, zone)
    start, end = utc("2011-06-15T01:23:45Z"), utc("2012-06-15T01:23:45Z")
    times, instant = [], start
    while (instant := schedule.next_after(instant)) <= end:
        times.append(instant)

    assert schedule.span(start, end) == Span(times[0], times[-1], len(times))


def test_a_schedule_says_whether_it_is_a_wildcard_by_how_it_is_written():
    def wildcard(expression: str) -> bool:
        schedule: Schedule = parse(expression, "UTC")
        return schedule.wildcard

    assert wildcard("*/5 2 * * *")
    assert wildcard("5 * * * *")
    assert wildcard("5 *,3 * * *")
    assert not wildcard("0-59 0-23 * * *")
    assert not wildcard("5 2 * * *")
    assert not wildcard("5 3,* * * *")
