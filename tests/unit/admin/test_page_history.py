"""The history's filter, table and charts, without a browser."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from admin_ui.model import FAILURES
from admin_ui.page import charts
from admin_ui.page.address import Address, parse
from admin_ui.page.history_filter import question, read_time
from admin_ui.page.history_rows import Known, table
from admin_ui.page.markup import Html
from admin_ui.page.timeline import MOST_LANES, begun_before, timeline
from admin_ui.queries import Filter, HistoryRow

NOW = datetime(2026, 11, 25, 14, 30, 20, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\x1b[31m${7*7}\N{RIGHT-TO-LEFT OVERRIDE}"


def at(minutes: float) -> datetime:
    """Return so many minutes before NOW."""
    return NOW - timedelta(minutes=minutes)


def a_run(minutes: float = 0, took: float = 2.0, status: str = "success", **facts: Any) -> HistoryRow:
    ended: dict[str, Any] = {"end_time": at(minutes) + timedelta(seconds=took), "duration_seconds": took}
    known: dict[str, Any] = {
        "run_id": f"run-{minutes:g}",
        "job_name": "backup",
        "status": status,
        "failed": status in FAILURES,
        "at": at(minutes),
        "trigger": "schedule",
        "scheduled_time": at(minutes),
        "attempt": 1,
        "exit_code": 0 if status == "success" else 1,
    }
    return HistoryRow(**{**known, **ended, **facts})


def a_span(minutes: float, first: float, count: int, **facts: Any) -> HistoryRow:
    known: dict[str, Any] = {
        "run_id": None,
        "job_name": "backup",
        "status": "missed",
        "failed": False,
        "reason": "past_deadline",
    }
    times: dict[str, Any] = {
        "at": at(minutes),
        "scheduled_time": at(minutes),
        "first_scheduled_time": at(first),
        "count": count,
    }
    return HistoryRow(**{**known, **times, **facts})


def a_running(minutes: float, **facts: Any) -> HistoryRow:
    return replace(
        a_run(minutes), status="running", failed=False, end_time=None, duration_seconds=None, exit_code=None, **facts
    )


def table_of(*rows: HistoryRow, known: Known | None = None, turns: bool = True, job_is_chosen: bool = False) -> Html:
    return table(rows, known or Known(), turns=turns, job_is_chosen=job_is_chosen)


def plot_of(*rows: HistoryRow, zone: str | None = None) -> Html:
    of = charts.figures(rows)
    assert of is not None
    return charts.duration_plot(rows, of, zone)


def columns(shown: Html) -> list[str]:
    return re.findall(r'<th scope="col">([^<]*)</th>', shown)


def texts(shown: Html) -> list[str]:
    """Return the text of each row."""
    return [Html(row).striptags() for row in re.findall("<tr.*?</tr>", shown.partition("<tbody>")[2])]


# What a person types


@pytest.mark.parametrize(
    ("text", "begins", "ends"),
    [
        ("2026-11-25", datetime(2026, 11, 25, tzinfo=UTC), datetime(2026, 11, 26, tzinfo=UTC)),
        ("2026-11-25 14:00", datetime(2026, 11, 25, 14, tzinfo=UTC), datetime(2026, 11, 25, 14, 1, tzinfo=UTC)),
        (" 2026-11-25T14:00:05 ", datetime(2026, 11, 25, 14, 0, 5, tzinfo=UTC), NOW.replace(minute=0, second=6)),
        ("24h", NOW - timedelta(hours=24), NOW - timedelta(hours=24)),
        ("7 D", NOW - timedelta(days=7), NOW - timedelta(days=7)),
        ("30 min", NOW - timedelta(minutes=30), NOW - timedelta(minutes=30)),
        ("", None, None),
        ("  ", None, None),
    ],
)
def test_a_time_is_read_as_people_write_it_and_an_end_includes_what_it_names(text, begins, ends):
    assert read_time(text, NOW, ends=False) == begins
    assert read_time(text, NOW, ends=True) == ends


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-11-25 25:00", "h", "-3h", "3 h ago", "٣h", "\0"])
def test_a_time_that_is_none_says_what_to_write(text):
    with pytest.raises(ValueError, match="Write 24h"):
        read_time(text, NOW, ends=False)


@pytest.mark.parametrize(("text", "ends"), [("999999w", False), ("9999-12-31", True)])
def test_a_time_beyond_the_calendar_is_an_error_at_its_field(text, ends):
    with pytest.raises(ValueError, match="calendar"):
        read_time(text, NOW, ends=ends)


def test_an_address_becomes_a_filter():
    asked = question(parse("?view=history&job=backup&status=failed&trigger=manual&since=2h&find=x&before=a|1"), NOW)
    assert asked.errors == {}
    assert (asked.which.job_name, asked.which.status, asked.which.trigger) == ("backup", "failed", "manual")
    assert (asked.which.since, asked.which.until) == (NOW - timedelta(hours=2), None)
    assert (asked.which.text, asked.before) == ("x", "a|1")


def test_an_empty_address_asks_for_everything():
    asked = question(Address("history"), NOW)
    assert asked.errors == {}
    assert asked.before is None
    assert not any(getattr(asked.which, name) for name in asked.which.__slots__)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"since": "soon"}, {"since"}),
        ({"until": "soon", "since": "later"}, {"since", "until"}),
        ({"since": "1h", "until": "2h"}, {"until"}),
        ({"status": "<b>"}, {"status"}),
        ({"trigger": "job"}, {"trigger"}),
        ({"job": "../etc"}, {"job"}),
        ({"find": "x" * 201}, {"find"}),
        ({"find": "a\0b"}, {"find"}),
    ],
)
def test_what_cannot_be_used_is_told_by_field_and_left_out(fields, wrong):
    asked = question(Address("history", fields), NOW)
    assert asked.errors.keys() == wrong
    if "find" in wrong:
        assert asked.which.text is None


# The table


def test_a_run_tells_when_it_was_to_start_started_and_ended_and_opens_its_own_log():
    shown = table_of(a_run(5, scheduled_time=at(5) - timedelta(seconds=12.4)), job_is_chosen=True)
    assert columns(shown) == ["Scheduled", "Started", "Ended", "Took", "Result", "Trigger"]
    assert texts(shown) == [
        "2026-11-25 14:25:07 UTC2026-11-25 14:25:20 UTC 12 s late2026-11-25 14:25:22 UTC2.0 ssuccess exit 0by schedule"
    ]
    assert 'href="?view=logs&amp;run=run-5"' in shown


def test_a_name_breaks_between_its_words():
    assert ">nightly_<wbr>orders-import</a>" in table_of(a_run(5, job_name="nightly_orders-import"))


def test_what_was_passed_over_took_no_time():
    assert "Took" not in columns(table_of(a_span(5, first=9, count=2, end_time=at(5))))


def test_less_than_a_second_is_not_late():
    assert "late" not in table_of(a_run(5, scheduled_time=at(5) - timedelta(seconds=0.9)))


def test_a_start_is_late_only_beyond_what_the_job_s_jitter_may_delay_it():
    known = Known(jitter={"backup": 600})

    assert "late" not in table_of(a_run(5, scheduled_time=at(5) - timedelta(seconds=600)), known=known)
    assert "10 min 02 s late" in table_of(a_run(5, scheduled_time=at(5) - timedelta(seconds=602)), known=known)


def test_a_retry_is_not_late():
    assert "late" not in table_of(a_run(5, trigger="retry", scheduled_time=at(50)))


def test_a_span_that_was_passed_over_is_a_row_with_both_ends_how_many_and_why_and_no_log():
    shown = table_of(a_span(10, first=70, count=1234))
    assert texts(shown) == [
        "backup2026-11-25 13:20:20 UTC to 2026-11-25 14:20:20 UTCmissed \N{MULTIPLICATION SIGN}1,234 "
        "it could not start within its deadline"
    ]
    assert "view=logs" not in shown


def test_a_reason_that_is_new_to_this_version_is_shown_as_it_is():
    assert "too_hot" in table_of(a_span(10, first=10, count=1, reason="too_hot"))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (a_run(1, status="failure", exit_code=3), "failure exit 3"),
        (a_run(1, status="failure", exit_code=137, signal=9), "failure killed by SIGKILL"),
        (a_run(1, status="failure", exit_code=127, reason="no shell"), "failure start refused, exit 127"),
        (a_run(1, status="failure", reason="no room", cause="no room", cpu_seconds=0), "failure exit 1; no room"),
        (
            a_run(1, status="timeout", exit_code=143, signal=15, reason="ran longer than 2 s"),
            "timeout ran longer than 2 s",
        ),
        (a_run(1, status="output_limit", reason="printed too much"), "output limit printed too much"),
        (a_run(1, exit_code=2), "success exit 2"),
    ],
)
def test_the_result_is_a_word_and_what_made_it_so(row, told):
    assert f"2.0 s{told}by schedule" in texts(table_of(row))[0]


@pytest.mark.parametrize("status", ["failure", "timeout", "cancelled", "interrupted", "output_limit"])
def test_nothing_green_stands_in_a_row_that_failed(status):
    shown = table_of(a_run(1, status=status))
    assert 'class="state ok"' not in shown and 'class="icon ok"' not in shown


def test_why_is_the_last_line_of_stderr_with_the_reason_and_leads_there():
    shown = table_of(a_run(1, status="timeout", reason="ran longer than 2 s", cause="retrying", stderr_bytes=9))
    assert "timeout ran longer than 2 sretrying" in texts(shown)[0]
    assert 'href="?view=logs&amp;run=run-1&amp;stream=stderr"' in shown


def test_a_reason_that_is_the_cause_is_said_once():
    shown = table_of(a_run(1, status="timeout", reason="ran longer than 2 s", cause="ran longer than 2 s"))
    assert shown.count("ran longer than 2 s") == 1


def test_who_asked_counts_as_confirmed_only_if_it_is():
    asked: dict[str, Any] = {"trigger": "manual", "requested_by": "anna", "request_id": "q1"}
    confirmed = Known(is_confirmed=lambda row: row.run_id == "run-1")
    shown = texts(table_of(a_run(1, **asked), a_run(2, **asked), known=confirmed))
    assert shown[0].endswith("by anna")
    assert shown[1].endswith("by anna (unconfirmed)")


def test_a_retry_says_which_attempt_of_how_many():
    retry = a_run(1, trigger="retry", attempt=2)
    assert texts(table_of(retry, known=Known(attempts={"backup": 3})))[0].endswith("a retry, attempt 2 of 3")
    assert texts(table_of(retry, known=Known(attempts={"backup": 1})))[0].endswith("a retry, attempt 2")


def test_a_running_row_counts_on_and_knows_what_is_usual():
    shown = table_of(a_running(3), known=Known(usual={"backup": 4.5}))
    assert 'data-elapsed data-usual="4.5"' in shown
    assert "so far" in texts(shown)[0]


def test_a_retry_that_waits_says_when_it_is_due():
    waiting = replace(a_running(-2), status="queued", trigger="retry", scheduled_time=None)
    assert "due 2026-11-25 14:32:20 UTC" in texts(table_of(waiting))[0]


def test_what_is_the_same_on_all_rows_is_said_once_above_them():
    rows = [a_run(minutes, took=minutes, status="failure", cause="no space") for minutes in (1, 2, 3)]
    shown = table_of(*rows)
    assert columns(shown) == ["Scheduled", "Started", "Ended", "Took", "Result"]
    assert "On every row: Job backup, Why no space, Trigger by schedule" in shown.striptags()


def test_columns_without_anything_in_them_are_left_out():
    by_hand: dict[str, Any] = {"trigger": "manual", "scheduled_time": None}
    assert "Scheduled" not in columns(table_of(a_run(1, **by_hand), a_run(2, **by_hand)))


def test_changes_between_good_and_bad_stand_out_for_each_job_by_itself():
    rows = [
        a_run(1),
        a_run(2, status="failure", job_name="other"),
        a_run(3, status="failure"),
        a_span(4, first=4, count=1),
        a_run(5, status="timeout"),
        a_run(6),
    ]
    told = [re.findall("recovered|began to fail", row) for row in texts(table_of(*rows))]
    assert told == [["recovered"], [], [], [], ["began to fail"], []]


def test_a_cancelled_run_is_no_change_between_good_and_bad():
    shown = table_of(a_run(1), a_run(2, status="cancelled"), a_run(3), a_run(4, status="failure"))
    assert re.findall("recovered|began to fail", shown) == ["recovered"]


def test_changes_are_not_told_of_rows_that_a_filter_chose():
    shown = table_of(a_run(1), a_run(2, status="failure"), turns=False)
    assert "recovered" not in shown


def test_hostile_text_is_text_everywhere():
    row = a_run(1, status=HOSTILE, failed=True, cause=HOSTILE, reason=HOSTILE, requested_by=HOSTILE, job_name=HOSTILE)
    page = table_of(row, replace(row, run_id=HOSTILE, trigger=HOSTILE))
    drawn = timeline([row], Address("history", {"find": HOSTILE}), at(60), NOW, zone=HOSTILE)
    plotted = plot_of(a_run(1, run_id=HOSTILE), zone=HOSTILE)
    for shown in (page, drawn, plotted):
        assert not re.search("<script|\x1b|\N{RIGHT-TO-LEFT OVERRIDE}", shown)
    assert "\\x1b[31m${7*7}\\u202e" in page


# Figures and plots


def test_figures_are_of_the_runs_that_ended():
    rows = [a_run(number, took=number) for number in range(1, 101)]
    of = charts.figures([*rows, a_running(0), a_span(1, first=1, count=9), a_run(0, took=300, status="failure")])
    assert of is not None
    assert (of.runs, of.succeeded, of.shortest, of.longest) == (101, 100, 1, 300)
    assert (of.median, of.p95) == (51, 96)
    assert of.average == pytest.approx(5350 / 101)


def test_there_are_no_figures_without_a_run_that_ended():
    assert charts.figures([a_running(1), a_span(1, first=1, count=1)]) is None


@pytest.mark.parametrize(("good", "told"), [(3, "75 %"), (0, "0 %")])
def test_a_success_rate_leaves_cancelled_runs_out(good, told):
    rows = [a_run(number, status="success") for number in range(good)]
    rows += [a_run(good, status="failure"), a_run(good + 1, status="cancelled"), a_run(good + 2, status="cancelled")]
    of = charts.figures(rows)
    assert of is not None
    assert of.runs == good + 3
    assert f'<dt>Success</dt><dd class="num">{told}<' in charts.figures_html(of, more=False)


def test_where_every_run_was_cancelled_there_is_no_success_rate():
    of = charts.figures([a_run(1, status="cancelled")])
    assert of is not None
    assert re.findall("<dt>(.*?)</dt>", charts.figures_html(of, more=False))[0] == "Runs"


@pytest.mark.parametrize(
    ("failed", "told"), [(0, "100 %"), (1, "99.9 %"), (500, "75 %"), (1999, "0.1 %"), (2000, "0 %")]
)
def test_a_success_rate_is_never_rounded_to_all_or_nothing(failed, told):
    rows = [a_run(number, status="failure" if number < failed else "success") for number in range(2000)]
    of = charts.figures(rows)
    assert of is not None
    assert f">{told}<" in charts.figures_html(of, more=False)


def test_the_plot_has_a_bar_for_each_run_oldest_first_and_each_is_a_link_with_a_title():
    shown = plot_of(a_run(1, took=1), a_run(2, took=4, status="timeout"), a_running(0))
    assert re.findall('href="([^"]*)"', shown) == ["?view=logs&amp;run=run-2", "?view=logs&amp;run=run-1"]
    assert "<title>2026-11-25 14:28:20 UTC, timeout, 4.0 s</title>" in shown
    assert re.findall(r'class="bar (\w+)" x="[^"]*" y="[^"]*" width="[^"]*" height="([^"]*)%"', shown) == [
        ("bad", "92.00"),
        ("ok", "23.00"),
    ]


def test_a_failed_run_has_a_mark_however_short_it_was():
    assert plot_of(a_run(1, took=0, status="failure"), a_run(2)).count('class="mark"') == 1


def test_a_cancelled_run_is_drawn_in_a_way_of_its_own_and_not_called_failed():
    rows = [a_run(1, status="cancelled"), a_run(2, status="failure"), a_run(3)]
    shown = plot_of(*rows)

    assert re.findall(r'class="bar (\w+)"', shown) == ["ok", "bad", "warn"]
    assert shown.count('class="mark"') == 1
    assert "Duration of 3 runs, oldest first; 1 failed." in shown
    assert ">cancelled<" in shown and 'class="bar warn"' in timeline_of(*rows)


def test_the_plot_tells_in_words_what_it_shows():
    assert "Duration of 2 runs, oldest first; 1 failed." in plot_of(a_run(1, status="failure"), a_run(2))


def test_one_run_that_hung_does_not_flatten_the_others():
    rows = [a_run(number, took=2) for number in range(99)]
    shown = plot_of(a_run(100, took=3600, status="timeout"), *rows)
    heights = [float(height) for height in re.findall(r'class="bar \w+"[^>]* height="([^"]*)%"', shown)]
    assert max(heights) == 92
    assert sorted(heights)[0] == 46
    assert "longest bars cut" in shown


def bars(shown: Html) -> list[tuple[str, float, float]]:
    """Return each bar's kind, left end and right end, in percent."""
    found = re.findall(r'class="bar (\w+)" x="([^"]*)%" y="[^"]*" width="([^"]*)%"', shown)
    return [(kind, float(left), float(left) + float(width)) for kind, left, width in found]


def test_a_run_that_began_before_the_range_and_goes_on_is_drawn_from_its_edge():
    old, young = a_running(90), a_running(30)
    assert begun_before([old, young], Filter(since=at(60))) == (old,)
    assert begun_before([old], Filter(since=at(60), job_name="backup", status="running", trigger="schedule")) == (old,)

    ((_, left, right),) = bars(timeline_of(old, since=at(60).replace(second=0)))
    assert (left, right) == (0, 100)


@pytest.mark.parametrize(
    "other", [{"job_name": "other"}, {"status": "failure"}, {"trigger": "manual"}, {"until": at(10)}, {"since": None}]
)
def test_a_run_that_began_before_the_range_has_to_fit_the_filter_otherwise(other):
    assert begun_before([a_running(90)], Filter(**{"since": at(60)} | other)) == ()


def timeline_of(*rows: HistoryRow, since: datetime | None = None, **more: Any) -> Html:
    return timeline(rows, Address("history"), since or at(24 * 60), NOW, **more)


def test_a_lane_for_each_job_the_most_failures_first_then_the_most_runs():
    shown = timeline_of(
        a_run(1, job_name="quiet"),
        *[a_run(number, job_name="busy") for number in range(3)],
        a_run(1, job_name="broken", status="failure"),
    )
    assert re.findall('<li><a class="clip" href="([^"]*)">([^<]*)', shown) == [
        (f"?view=history&amp;job={name}", name) for name in ("broken", "busy", "quiet")
    ]


def test_lanes_are_bounded_and_the_rest_is_counted():
    shown = timeline_of(*[a_run(number, job_name=f"job-{number}") for number in range(MOST_LANES + 2)])
    assert shown.count("<li>") == MOST_LANES
    assert "2 more jobs are not drawn" in shown


def test_a_running_bar_is_open_to_the_end_and_failed_ones_lie_on_top():
    shown = timeline_of(a_run(30, status="failure"), a_running(60), a_run(40))
    found = bars(shown)
    assert [kind for kind, *_ in found] == ["ok", "busy", "bad"]
    assert found[1][1] == pytest.approx(0, abs=1)
    assert found[1][2] == pytest.approx(100, abs=0.02)


def test_what_took_no_time_is_seen_and_nothing_leaves_the_plot():
    shown = timeline_of(a_run(0, took=0), a_run(60, took=0), a_span(1, first=9999, count=3), since=at(90))
    assert all(right - left > 0.1 and left >= 0 and right <= 100.01 for _, left, right in bars(shown))


def test_a_span_is_drawn_from_its_first_to_its_last_time_but_not_before_the_range():
    shown = timeline_of(a_span(30, first=60, count=31), a_run(90))
    ((_, left, right),) = [bar for bar in bars(shown) if bar[0] == "off"]
    assert [left, right] == pytest.approx([100 / 3, 200 / 3], abs=1)
    ((_, left, _),) = bars(timeline_of(a_span(30, first=10**6, count=31), since=at(90)))
    assert left == pytest.approx(0, abs=1)


def test_the_timeline_is_the_same_for_a_minute_so_that_it_is_not_sent_again():
    rows = [a_running(60), a_run(30)]
    shown = [timeline(rows, Address("history"), at(90), NOW.replace(second=second)) for second in (0, 59)]
    assert shown[0] == shown[1]
    assert timeline(rows, Address("history"), at(90), NOW + timedelta(minutes=1)) != shown[0]


def test_a_legend_explains_what_is_there_and_nothing_else():
    assert re.findall(r'<i class="(\w+)"', timeline_of(a_run(1), a_running(2))) == ["ok", "busy"]


@pytest.mark.parametrize(
    "length", [timedelta(minutes=1), timedelta(minutes=47), timedelta(days=1), timedelta(days=4000)]
)
def test_the_labels_are_few_round_times_inside_the_range(length):
    times = charts.round_times(NOW - length, NOW)
    assert 1 <= len(times) <= charts.TICKS + 1
    assert all(NOW - length <= each <= NOW and each.second == 0 for each in times)


@pytest.mark.parametrize(
    ("ticks", "told"),
    [
        ([(0, at(60)), (50, at(30))], ["13:30", "14:00"]),
        ([(0, at(60 * 24)), (50, at(30))], ["11-24 14:30", "11-25 14:00"]),
        (
            [(0, datetime(2026, 11, 1, tzinfo=UTC)), (50, datetime(2026, 11, 8, tzinfo=UTC))],
            ["2026-11-01", "2026-11-08"],
        ),
    ],
)
def test_labels_are_as_short_as_they_can_be(ticks, told):
    assert re.findall("<span[^>]*>([^<]*)", charts.axis(ticks, None)) == told
