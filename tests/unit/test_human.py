"""Times, lengths and text, as an operator writes and reads them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from sidecar.human import clean, clean_output, count, did_you_mean, read_time, show_length, table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("14:30", "2026-06-01T14:30:00+02:00"),
        ("9:30", "2026-06-01T09:30:00+02:00"),
        ("2026-06-01", "2026-06-01T00:00:00+02:00"),
        ("2026-06-01 02:00", "2026-06-01T02:00:00+02:00"),
        ("2026-06-01T02:00Z", "2026-06-01T02:00:00+00:00"),
        ("2026-06-01T02:00:00-05:00", "2026-06-01T02:00:00-05:00"),
    ],
)
def test_a_time_is_read_in_the_zone_unless_it_names_an_offset(text, expected):
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    moment = read_time(text, ZoneInfo("Europe/Berlin"), noon)

    assert moment.instant == datetime.fromisoformat(expected)


def test_a_bare_time_that_is_still_to_come_is_yesterdays_when_the_past_is_asked():
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    moment = read_time("23:45", ZoneInfo("UTC"), noon, past=True)

    assert moment.instant == datetime(2026, 5, 31, 23, 45, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.001, "0 s"),
        (0.02, "0.02 s"),
        (1.26, "1.3 s"),
        (9.96, "10 s"),
        (119.4, "119 s"),
        (120, "2 min"),
        (723, "12 min 3 s"),
        (5400, "1 h 30 min"),
        (7200, "2 h"),
        (200_000, "2 d 7 h"),
    ],
)
def test_a_length_of_time_has_at_most_two_units(seconds, text):
    assert show_length(seconds) == text


def test_clean_escapes_whatever_is_not_printable():
    assert clean("a\x1b[0m\n\u202eü\udcff") == r"a\x1b[0m\n\u202eü\udcff"


def test_clean_output_keeps_newlines_tabs_and_joined_characters():
    assert clean_output("a\tb\n👩\u200d💻\x07") == "a\tb\n👩\u200d💻\\x07"


def test_a_table_has_aligned_columns_and_no_trailing_blanks():
    assert table([("a", "bb", ""), ("ccc", "d", "")]) == ["a    bb", "ccc  d"]
    assert table([]) == []


def test_did_you_mean_ignores_case_and_stays_silent_without_a_likeness():
    assert did_you_mean("BACKUP", ["backup", "x"]) == "; did you mean backup?"
    assert did_you_mean("zzz", ["backup"]) == ""


def test_count_uses_the_plural():
    assert [count(n, "file") for n in (0, 1, 1200)] == ["0 files", "1 file", "1,200 files"]
