"""Schedules on the page: next times and words. That both sides agree on them, the contract tests show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from admin_ui.cron import is_valid, next_times, parse
from admin_ui.errors import ScheduleError
from admin_ui.words import describe


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("* * * * *", "Every minute (UTC)"),
        ("*/15 8-18 * * mon-fri", "Every 15 minutes of the hours 8 to 18 on Monday to Friday (UTC)"),
        ("30 2 * * *", "At 02:30 every day (UTC)"),
        ("0 0,12 * * 0", "At 00:00 and 12:00 on Sunday (UTC)"),
        ("5 * * * *", "At minute 5 of every hour (UTC)"),
        ("5 */2 * * *", "At minute 5 of every 2 hours (UTC)"),
        ("* 3 * * *", "Every minute of hour 3 (UTC)"),
        ("0 0 1 1 *", "At 00:00 on day 1 of the month in January (UTC)"),
        ("0 0 13 * 5", "At 00:00 on day 13 of the month or on Friday (UTC)"),
        ("0 2 1-31 * 1", "At 02:00 every day (UTC)"),
        ("0 2 * 2-4,6 *", "At 02:00 in February to April and June (UTC)"),
        ("*/7 * * * *", "At the minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour (UTC)"),
    ],
)
def test_a_schedule_reads_as_people_say_it(schedule, words):
    assert describe(parse(schedule, "UTC")) == words


def test_a_skipped_time_is_due_right_after_the_gap():
    due = parse("30 2 * * *", "Europe/Berlin").next_after(datetime(2024, 3, 31, 0, 0, tzinfo=UTC))

    assert due == datetime(2024, 3, 31, 1, 0, tzinfo=UTC)


def test_a_repeated_time_is_due_once_if_fixed_and_twice_if_wildcard():
    night = datetime(2024, 10, 26, 23, 59, tzinfo=UTC)

    fixed = next_times(parse("30 2 * * *", "Europe/Berlin"), night, 2)
    wildcard = next_times(parse("30 */2 * * *", "Europe/Berlin"), night, 2)

    assert fixed[1] - fixed[0] == timedelta(hours=25) - timedelta(hours=0)
    assert wildcard[1] - wildcard[0] == timedelta(hours=1)


@pytest.mark.parametrize("schedule", ["* * * * *", "*/15 8-18 * * mon-fri", "30 2 * * *", "0 0 29 2 *", "* 3 * * 0"])
@pytest.mark.parametrize("days", [1, 10, 4 * 366])
def test_the_last_time_in_a_span_is_followed_by_none_in_it(schedule, days):
    due, until = parse(schedule, "Europe/Berlin"), datetime(2024, 3, 31, 2, 59, 30, tzinfo=UTC)
    since = until - timedelta(days=days)
    last = due.last_within(since, until)

    if last is None:
        assert due.next_after(since) > until
    else:
        assert since < last <= until < due.next_after(last)
        assert due.last_within(since, last) == last
        assert due.last_within(last, until) is None


@pytest.mark.parametrize("wrong", [None, 5, "", "x", "* * * *", "* * * * * *", "60 * * * *", "@daily", "* * * * 7"])
def test_what_is_no_schedule_is_refused_with_one_line(wrong):
    assert not is_valid(wrong)
    with pytest.raises(ScheduleError) as caught:
        parse(wrong, "UTC")
    assert str(caught.value).isprintable()


def test_times_beyond_the_calendar_are_an_error():
    with pytest.raises(ScheduleError):
        parse("0 0 1 1 *", "UTC").next_after(datetime(9999, 6, 1, tzinfo=UTC))
