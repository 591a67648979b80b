"""The logs' HTML without a browser: which lines are shown, what is said of them, and that nothing in them acts."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any

import pytest

from admin_ui import output
from admin_ui.output import from_text
from admin_ui.page import run_output
from admin_ui.page.address import Address, link, parse
from admin_ui.page.job_log import LONGEST_LINE, entries_html, excerpt, runs_html
from admin_ui.page.job_log import ROOM as ENTRIES_ROOM
from admin_ui.page.markup import Html
from admin_ui.page.result import LOOKS, asked, ended, ended_entry, state
from admin_ui.page.run_head import Run, head, nothing_printed, streams, unknown
from admin_ui.page.run_output import EMPTY, MOST_MARKS, ROOM, Place, amount, length, marked, panel
from admin_ui.queries import HistoryRow, Recent
from tests.admin_lines import NOON, accepted, complete, failure, line, skipped, start, time

HOSTILE = "<script>alert(1)</script>\x1b[31m${7*7}{{7*7}}\N{RIGHT-TO-LEFT OVERRIDE}\"'><img src=x onerror=alert(1)>"
SHOWN = r"<script>alert(1)</script>\x1b[31m${7*7}{{7*7}}\u202e" + "\"'><img src=x onerror=alert(1)>"
OTHERS: dict[str, Any] = {"status": "success", "failed": False, "at": NOON, "trigger": "schedule", "exit_code": 0}


def a_run(**facts: Any) -> HistoryRow:
    return HistoryRow(**{"run_id": "r1", "job_name": "job", **OTHERS, **facts})


def about(row: HistoryRow, **facts: Any) -> Run:
    known: dict[str, Any] = {"recent": Recent(None, (), None, None), "asked": "by schedule", "how": "", "zone": None}
    return Run(**{"row": row, "has_file": True, "previous": None, "newest": None, **known, **facts})


def shown(text: str, *, live: bool = False, whole: bool = True, **fields: Any):
    """Return the panel of a run's stdout."""
    address = Address("logs", {"run": "r1", **fields})
    return panel(from_text(text, whole=whole), "stdout", address, "download/job/r1.stdout", live=live)


def numbers(content: str) -> list[int]:
    return [int(number) for number in re.findall(r'id="stdout-(\d+)"', content)]


def words(content: str) -> str:
    """Return what a person reads."""
    return html.unescape(re.sub("<[^>]*>", "", content))


def many(count: int) -> str:
    return "".join(f"line {number}\n" for number in range(1, count + 1))


@pytest.mark.parametrize(
    ("fields", "first", "last", "said", "ways"),
    [
        ({}, 1501, 2500, "showing last 1,000 of 2,500 lines (23.9 KB)", ["first", "earlier"]),
        ({"stdout_from": "1"}, 1, 1000, "showing lines 1-1,000 of 2,500", ["later", "last"]),
        ({"stdout_from": "1600"}, 1600, 2500, "showing last 901 of 2,500", ["first", "earlier"]),
        ({"stdout_to": "1500"}, 501, 1500, "showing lines 501-1,500", ["first", "earlier", "later", "last"]),
        ({"stdout_to": "20"}, 1, 20, "showing lines 1-20", ["later", "last"]),
        (
            {"stream": "stdout", "line": "1200"},
            700,
            1699,
            "showing lines 700-1,699",
            ["first", "earlier", "later", "last"],
        ),
        ({"stream": "stderr", "line": "1200"}, 1501, 2500, "showing last 1,000", ["first", "earlier"]),
        ({"stream": "stdout", "line": "99999"}, 1501, 2500, "showing last 1,000", ["first", "earlier"]),
        ({"stdout_to": "x", "stdout_from": "-1"}, 1501, 2500, "showing last 1,000", ["first", "earlier"]),
        ({"stdout_to": "9" * 30}, 1501, 2500, "showing last 1,000", ["first", "earlier"]),
    ],
)
def test_an_address_says_which_lines_are_shown(fields, first, last, said, ways):
    made = shown(many(2500), **fields)

    assert numbers(made.lines) == list(range(first, last + 1))
    assert said in words(made.bar)
    assert [word for _, word in re.findall(r'<a href="(\?[^"]*)">(\w+)</a>', made.bar)] == ways


@pytest.mark.parametrize(
    ("counted_at_once", "said"),
    [
        (1 << 20, "showing last 1,000 of 2,500 lines"),
        (20_000, "the last 1,000 lines of 23.9 KB, counting lines"),  # which ends while the panel is made
        (1_000, "the last 1,000 lines of 23.9 KB, counting lines"),
    ],
)
def test_last_lines_of_a_file_that_was_not_counted_yet_are_never_called_lines_0_to_0(
    monkeypatch, counted_at_once, said
):
    monkeypatch.setattr(output, "QUICK_BYTES", 0)
    monkeypatch.setattr(output, "TAIL_BYTES", 12_000)
    monkeypatch.setattr(output, "COUNT_BYTES", counted_at_once)
    made = shown(many(2500))

    assert said in words(made.bar)
    assert len(numbers(made.lines)) == (1000 if "of 2,500" in said else 0)


@pytest.mark.parametrize("fields", [{"stream": "stdout", "line": "2501"}, {"stdout_from": "2501"}])
def test_a_line_past_the_end_is_said_not_to_be_there(fields):
    assert "Line 2,501 is not there: the output has 2,500 lines." in words(shown(many(2500), **fields).bar)
    assert "Line 2,501 is not there: the excerpt has 1 line." in words(shown("a\n", whole=False, **fields).bar)
    assert "is not there" not in words(shown(many(2501), **fields).bar)
    assert "is not there" not in words(shown(many(2500), stream="stderr", line="2501").bar)


def test_later_and_earlier_leave_no_line_out_and_show_none_twice():
    """From the first line on, `later` leads through all of them; each panel has room for some only."""
    text = "".join(f"{number} {'x' * (number * 37 % 9000)}\n" for number in range(1, 301))
    fields: dict[str, Any] = {"stdout_from": "1"}
    seen: list[int] = []
    while True:
        made = shown(text, **fields)
        assert len(made.lines) < ROOM + 1000
        seen += numbers(made.lines)
        found = re.search(r'<a href="([^"]*)">later</a>', made.bar)
        if found is None:
            break
        fields = {name: value for name, value in parse(html.unescape(found[1])).fields.items() if name != "run"}

    assert seen == list(range(1, 301))


def test_where_there_is_not_room_for_all_the_line_that_was_asked_for_is_shown():
    text = "".join(f"{number} {'<' * 5000}\n" for number in range(1, 100))
    made = shown(text, stream="stdout", line="50")

    assert 50 in numbers(made.lines) and 1 < len(numbers(made.lines)) < 99
    assert len(made.lines) < ROOM + 1000
    assert re.search('id="stdout-50" aria-current="true"', made.lines)


def test_lines_that_there_is_no_room_for_are_not_drawn_either(monkeypatch):
    drawn: list[str] = []

    def noted(text: str, find: str) -> Html:
        drawn.append(text)
        return marked(text, find)

    monkeypatch.setattr(run_output, "marked", noted)
    made = shown("".join(f"{number} {'x' * 9000}\n" for number in range(1, 500)), stream="stdout", line="250")

    assert len(drawn) <= len(numbers(made.lines)) + 2


def test_of_a_very_long_line_a_part_is_shown_and_how_much_more_there_is():
    made = shown("a" * 1_000_000 + "\nend\n")

    assert "… 983,616 more bytes" in words(made.lines)
    assert len(made.lines) < 20_000


def test_output_is_text_whatever_it_holds():
    for made in (shown(HOSTILE + "\n"), shown(HOSTILE + "\n", find="alert")):
        assert SHOWN in words(made.lines)
        assert not re.search("<(script|img)", made.lines)


def test_each_number_is_a_link_to_its_line_that_keeps_the_search():
    made = shown("a\nb\n", find="b")

    links = [html.unescape(found) for found in re.findall(r'<a tabindex="-1" href="([^"]*)">', made.lines)]
    assert links == [link("logs", run="r1", find="b", stream="stdout") + f"&line={number}" for number in (1, 2)]
    fields: dict[str, Any] = parse(links[1]).fields
    assert numbers(shown("a\nb\n", **fields).lines) == [1, 2]


def test_what_is_found_has_lines_around_it_and_near_ones_stand_together():
    made = shown(many(100).replace("line 50\n", "Needle\n").replace("line 53\n", "needle\n"), find="NEEDLE")

    assert numbers(made.lines) == list(range(48, 56))
    assert re.findall("<mark>(.*?)</mark>", made.lines) == ["Needle", "needle"]
    assert made.lines.count("<hr>") == 1
    assert "2 matching lines in 100 lines" in words(made.bar)


def test_no_match_is_never_said_of_a_part():
    assert "no match in 3 lines" in words(shown("a\nb\nc\n", find="needle").bar)
    part = words(shown("a\nb\nc\n", find="needle", whole=False).bar)
    assert "no match in the excerpt's 6 bytes" in part
    assert "the whole output was cleaned up" in part


def test_more_matches_than_are_shown_are_told_of():
    assert "the first 100 matches; there may be more" in words(shown("needle\n" * 101, find="needle").bar)


def test_a_search_that_means_nothing_is_told_at_its_place():
    made = shown("a\n", find="(", regex="1")

    assert 'role="alert"' in made.bar
    assert made.lines == ""


def test_a_pattern_marks_nothing_as_it_may_take_for_ever():
    made = shown("a" * 40 + "!\nneedle 7\n", find=r"needle \d", regex="1")

    assert numbers(made.lines) == [1, 2]
    assert "<mark>" not in made.lines


def test_the_end_of_a_run_that_goes_on_is_followed_unless_another_place_is_asked_for():
    assert " data-follow" in shown("a\n", live=True).lines
    assert 'role="log"' in shown("a\n", live=True).lines
    assert " data-follow" not in shown("a\n").lines
    held = shown(many(30), live=True, stdout_to="20")
    assert " data-follow" not in held.lines
    assert "Not following. 10 new lines below" in words(held.bar)
    assert "Not following. No new lines yet" in words(shown(many(30), live=True, stdout_to="30").bar)


def test_that_a_run_is_not_followed_is_read_out_once_and_not_with_each_new_line():
    statuses = {
        re.findall(r'role="status">([^<]*)<', shown(many(lines), live=True, stdout_to="20").bar)[0]
        for lines in (20, 21, 400)
    }

    assert statuses == {"Not following."}


def test_lines_of_a_run_that_goes_on_are_added_and_only_now_and_then_taken_away():
    windows = [numbers(shown(many(count), live=True).lines) for count in range(1000, 1200)]

    assert [window[-1] for window in windows] == list(range(1000, 1200))
    assert {window[0] for window in windows} == {801, 901}
    assert all(window == list(range(window[0], window[-1] + 1)) for window in windows)
    assert numbers(shown(many(1200), live=True, stdout_to="1050").lines) == windows[50]


def test_nothing_on_a_stream_is_said():
    assert "Nothing on stdout so far." in words(shown("", live=True).lines)
    assert "Nothing on stdout." in words(shown("").lines)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 KB"), (5_012_345, "5.0 MB"), (2 * 10**9, "2.0 GB")],
)
def test_sizes_are_told_as_people_read_them(size, text):
    assert amount(size) == text


def test_the_length_of_a_stream_is_told_in_lines_and_bytes():
    assert length(from_text("", whole=True)) == EMPTY
    assert length(from_text("a\nb", whole=True)) == "2 lines"
    assert length(from_text(many(2000), whole=True)) == "2,000 lines, 18.9 KB"


def test_marks_stand_around_each_occurrence_and_nothing_is_lost():
    assert marked("aXbxc", "x") == "a<mark>X</mark>b<mark>x</mark>c"
    assert words(marked("<a.b>", ".")) == "<a.b>"
    assert "<mark>" not in marked("abc", "")


def test_not_every_mark_of_a_binary_file_is_made():
    made = marked("\\x00" * 5000, "\\x00")

    assert made.count("<mark>") == MOST_MARKS
    assert words(made) == "\\x00" * 5000


def test_an_address_for_one_stream_is_none_for_the_other():
    address = Address("logs", {"stream": "stderr", "line": "7", "stdout_to": "9"})

    assert Place.of(address, "stderr") == Place(around=7)
    assert Place.of(address, "stdout") == Place(last=9)


# The head


def test_the_head_says_how_a_run_ended_and_why():
    facts = {"status": "failure", "failed": True, "exit_code": 3, "cause": HOSTILE, "end_time": NOON, "attempt": 2}
    made = head(about(a_run(**facts, duration_seconds=62.0, scheduled_time=NOON)))

    assert SHOWN in words(made)
    for text in ("failure", "exit 3", "1 min 02 s", "by schedule", "Attempt"):
        assert text in words(made)
    assert not re.search("<(script|img)", made)


def test_a_cause_that_says_the_same_as_the_result_is_not_said_twice():
    reason = "ran longer than 2 s"
    made = head(about(a_run(status="timeout", failed=True, reason=reason, cause=reason)))

    assert words(made).count(reason) == 1


def test_a_running_one_is_counted_along_and_may_be_cancelled():
    recent = Recent(None, (), 2.0, 3.25)
    made = head(about(a_run(status="running", exit_code=None), recent=recent))

    assert 'data-elapsed data-usual="3.25"' in made
    assert 'class="run active"' in made
    assert 'class="run over"' in head(about(a_run()))


def test_one_that_waits_says_for_what():
    retry = a_run(status="queued", trigger="retry", at=NOON + timedelta(hours=1), exit_code=None)
    assert "to be tried again" in words(head(about(retry)))
    assert "2026-06-01 13:00:00 UTC" in words(head(about(retry)))
    assert "no free place" in words(head(about(a_run(status="queued", reason="no free place", exit_code=None))))
    assert "appears here" in nothing_printed(retry)


def test_one_that_never_started_says_why():
    row = a_run(status="skipped", reason="removed", cause="removed", exit_code=None)

    assert "the job was deleted before it could start" in words(head(about(row)))
    assert "Started" not in words(head(about(row)))
    assert "never started" in nothing_printed(row)


def test_the_ways_lead_to_other_runs():
    made = head(about(a_run(), previous="r0", newest="r9"))
    assert link("logs", run="r0").replace("&", "&amp;") in made and link("logs", run="r9").replace("&", "&amp;") in made
    assert "newest run" not in words(head(about(a_run(), newest="r1")))


def test_a_run_leads_to_its_jobs_form_while_there_is_a_file():
    to = link("edit", job="job").replace("&", "&amp;")

    assert to in head(about(a_run()))
    assert to not in head(about(a_run(), has_file=False))


def test_a_name_is_marked_unless_the_audit_log_knows_the_request():
    assert asked("manual", "anna", confirmed=True) == "by anna"
    assert asked("manual", "anna", confirmed=False) == "by anna (unconfirmed)"
    assert asked("manual", None, confirmed=False) == "by a request without a name"
    assert asked("schedule", None, confirmed=False) == "by schedule"


def test_what_killed_a_run_is_told():
    assert ended(a_run(status="failure", failed=True, exit_code=137, signal=9)) == "killed by SIGKILL"
    assert ended(a_run(status="failure", failed=True, exit_code=228, signal=100)) == "killed by signal 100"
    assert (
        ended(a_run(status="failure", failed=True, exit_code=127, reason="no such directory"))
        == "start refused, exit 127"
    )
    assert (
        ended(a_run(status="output_limit", failed=True, reason="printed more than 10 bytes"))
        == "printed more than 10 bytes"
    )


def test_a_run_that_failed_when_no_room_was_left_was_not_refused_and_says_why_once():
    full: dict[str, Any] = {
        "status": "failure",
        "failed": True,
        "exit_code": 1,
        "reason": "no room was left",
        "cpu_seconds": 0.0,
    }

    assert ended(a_run(**full)) == ended_entry(failure("r1", **full)) == "exit 1; no room was left"
    assert words(head(about(a_run(**full, cause="no room was left")))).count("no room was left") == 1
    assert "OSError: 28" in words(head(about(a_run(**full, cause="OSError: 28"))))


def test_a_cancelled_run_names_who_ended_it_and_not_the_request():
    reason = "cancelled by request 7f3e0000-0000-4000-8000-000000000000"
    row = a_run(status="cancelled", reason=reason)
    made = words(head(about(row, how="by anna")))

    assert "by anna" in made and reason not in made
    assert reason in words(head(about(row)))


def test_what_refused_a_start_is_said_as_its_cause():
    refused: dict[str, Any] = {
        "status": "failure",
        "failed": True,
        "exit_code": 126,
        "reason": "no shell",
        "cpu_seconds": None,
    }

    assert ended_entry(failure("r1", **refused)) == "start refused, exit 126"
    assert "no shell" in words(head(about(a_run(**refused, cause="no shell"))))


def test_every_state_has_a_colour_and_a_shape_and_its_own_word():
    shapes = {status: re.search('class="icon (.*?)"', state(status)) for status in LOOKS}
    assert all(shapes.values())
    assert len({words(state(status)) for status in LOOKS}) == len(LOOKS)
    assert words(state("output_limit")) == "output limit"
    assert words(state("whatever")) == "whatever"


def test_streams_are_chosen_from_only_where_there_are_two():
    both = {"stderr": "1 line", "stdout": "2 lines"}
    assert words(streams(Address("logs"), both)) == "bothstderr (1 line)stdout (2 lines)Wrap"
    assert words(streams(Address("logs"), {**both, "stderr": EMPTY})) == "Wrap"
    assert "stderr (empty)" in streams(Address("logs", {"stream": "stderr"}), {**both, "stderr": EMPTY})


def test_an_unknown_run_is_named_safely():
    assert SHOWN in words(unknown(HOSTILE))
    assert "<script" not in unknown(HOSTILE)


# A job's entries


def test_a_runs_end_stands_for_its_start_and_the_rest_is_told_in_words():
    later = [complete("r1", stdout="out\n"), start("r1"), accepted("q1", "r1", requested_by="anna")]
    span = skipped(count=3, first_scheduled_time=time(-180))
    made, count = entries_html([start("r2", 5), *later, span], "", None, lambda entry: True)

    assert count == 5
    text = words(made)
    assert text.count("started") == 1  # r2's
    assert "anna asked for a run." in text
    assert "another run of the job was going or queued (3 times from 2026-06-01 11:57:00 UTC to" in text


def test_a_name_that_the_audit_log_does_not_confirm_is_no_fact():
    forged = accepted("q1", "r1", requested_by="anna")
    nameless = accepted("q2", "r2", requested_by=None)
    made, _ = entries_html([forged, nameless], "", None, lambda entry: False)

    assert "anna (unconfirmed) asked for a run." in words(made)
    assert "Somebody asked for a run." in words(made)


def test_both_streams_of_an_entry_are_named_and_stderr_comes_first():
    made, _ = entries_html([failure("r1", stdout="out\n", stderr=f"{HOSTILE}\n")], "", None, lambda entry: False)

    assert re.findall('<span class="label">(.*?)</span>', made) == ["stderr", "stdout"]
    assert SHOWN in words(made)
    assert not re.search("<(script|img)", made)


def test_a_found_entry_shows_the_lines_that_hold_the_text():
    made, _ = entries_html(
        [complete("r1", stdout=many(100) + "Needle\n" + many(100))], "needle", None, lambda entry: False
    )

    assert re.findall("<mark>(.*?)</mark>", made) == ["Needle"]
    assert "line 7" not in made


def test_a_rejected_request_says_why():
    fields: dict[str, Any] = {"request_id": "q1", "action": "run", "file": "q1.json", "job_name": "job", "run_id": None}
    entry = line("trigger_rejected", **fields, requested_by=None, reason="unknown_job", detail="there is no job 'x'")
    made, _ = entries_html([entry], "", None, lambda entry: False)

    assert "Somebody asked for a run: there is no job 'x'" in words(made)


def test_entries_take_no_more_room_than_there_is():
    entries = [failure(f"r{number}", stderr=("<" * 300 + "\n") * 30) for number in range(100)]
    made, count = entries_html(entries, "", None, lambda entry: False)

    assert 0 < count < 100
    assert len(made) < ENTRIES_ROOM * 1.2


def test_an_excerpt_has_the_beginning_and_the_end_and_says_what_is_left_out():
    assert words(excerpt(many(20), "", 2, 3)) == "line 1\nline 2\n… 15 more lines …\nline 18\nline 19\nline 20"
    assert words(excerpt(many(6), "", 2, 3)) == many(6).strip()
    assert words(excerpt("x" * 1000, "", 0, 5)) == "x" * LONGEST_LINE + "…"
    assert words(excerpt("x" * 1000 + "needle", "needle", 0, 5)).endswith("needle")


def test_the_newest_runs_of_all_jobs_are_rows_that_lead_to_them():
    row = a_run(status="failure", failed=True, exit_code=1, cause="no 12,90 here")
    made = runs_html([row, a_run(run_id=None, status="missed", reason="past_deadline", cause="past_deadline")], "12,90")

    assert link("logs", run="r1", find="12,90").replace("&", "&amp;") in made
    assert "<mark>12,90</mark>" in made
    assert "it could not start within its deadline" in words(made)
    assert "No run was found." in words(runs_html([], "x"))
