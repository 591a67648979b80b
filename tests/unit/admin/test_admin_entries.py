"""Lines that can be relied on, and the one line that says why a run failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from admin_ui.entries import JOURNAL_EVENTS, LONGEST_BARE, MAIN_EVENTS, UNLIKE, cause, parse
from tests import admin_lines as lines

GOOD = lines.complete("r1")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\0" * 40,
        b"{",
        b"[]",
        b"5",
        b"\xff",
        b"[" * 100_000,
        b'{"event": []}',
        b'{"event": "other"}',
        b'{"event": "job_start"}',
        json.dumps(GOOD).encode()[:-20],
        json.dumps(GOOD).replace('"duration_seconds": 1', '"duration_seconds": NaN').encode(),
        json.dumps(GOOD).replace('"duration_seconds": 1', '"duration_seconds": 1e999').encode(),
        json.dumps(GOOD).replace('"duration_seconds": 1', '"duration_seconds": ' + "9" * 5000).encode(),
        json.dumps(GOOD).encode().replace(b'"stdout": "', b'"stdout": "\xed\xa0\x80'),
        json.dumps(GOOD).encode("utf-16"),
        json.dumps(GOOD)[:-1].encode() + b', "new": ' + b"[" * 200 + b"]" * 200 + b"}",
        json.dumps({**GOOD, "timestamp": "9999-12-31T23:59:59.999999Z"}).encode(),
        json.dumps({**GOOD, "scheduled_time": "0001-01-01T00:00:00.000000Z"}).encode(),
        json.dumps(GOOD)[:-1].encode() + b', "new": 1e999}',
        json.dumps({**GOOD, "new": "x" * LONGEST_BARE}).encode(),
    ],
)
def test_a_hostile_line_is_nothing(line):
    assert parse(line) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("job_name", "../x"),
        ("job_name", "<b>"),
        ("run_id", "a/b"),
        ("run_id", ""),
        ("status", "fine"),
        ("start_time", "yesterday"),
        ("start_time", "2026-02-30T00:00:00.000000Z"),
        ("timestamp", None),
        ("exit_code", "0"),
        ("exit_code", -1),
        ("duration_seconds", -1),
        ("duration_seconds", True),
        ("stdout", None),
        ("stdout_bytes", 1 << 70),
        ("trigger", "magic"),
        ("truncated", 0),
    ],
)
def test_a_line_with_a_field_that_is_not_what_the_contract_says_is_nothing(field, value):
    assert parse(json.dumps({**GOOD, field: value}).encode()) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", []),
        ("status", 10**23),
        ("stdout", {"a": 1}),
        ("stderr", None),
        ("run_ids", "r1"),
        ("retry_at", "<b>"),
        ("end_time", 5),
        ("count", None),
        ("exit_code", "0"),
    ],
)
def test_a_field_that_a_line_needs_not_have_is_as_the_contract_says_all_the_same(field, value):
    assert parse(json.dumps({**lines.start("r1"), field: value}).encode()) is None


@pytest.mark.parametrize("field", ["first_run_id", "scheduled_time"])
def test_a_run_in_a_checkpoint_has_no_field_that_is_not_as_the_contract_says(field):
    run = {"run_id": "r1", "job_name": "job", "trigger": "schedule", "since": lines.time(), "attempt": 1}
    entry = lines.checkpoint(open=[{**run, "request_id": None, field: 5}])

    assert parse(json.dumps(entry).encode()) is None


def test_each_log_has_events_of_its_own():
    heartbeat = lines.line("heartbeat", running=0, queued=0, jobs=5, next_run_at=None)

    assert parse(json.dumps(GOOD).encode(), MAIN_EVENTS) is None
    assert parse(json.dumps(heartbeat).encode(), JOURNAL_EVENTS) is None
    assert parse(json.dumps(GOOD).encode(), JOURNAL_EVENTS) == GOOD
    assert parse(json.dumps(heartbeat).encode(), MAIN_EVENTS) == heartbeat


def test_a_field_is_checked_under_each_event_unless_it_is_another_thing_there():
    schema = json.loads((Path(__file__).parents[3] / "schemas" / "event.schema.json").read_text())["$defs"]
    whole_numbers = {"jobs": {"$ref": "#/$defs/count"}, "version": {"type": "integer", "minimum": 1}}

    for event, name in UNLIKE.items():
        part = schema[event] if name in schema[event]["properties"] else schema[event]["then"]
        found = {key: value for key, value in part["properties"][name].items() if key != "description"}
        assert found == whole_numbers[name]


def test_a_field_more_than_is_known_does_no_harm():
    assert parse(json.dumps({**GOOD, "new": {}}).encode()) is not None


def test_output_may_be_long_where_nothing_else_is():
    printed = {**GOOD, "stdout": "x" * LONGEST_BARE, "stderr": "y" * LONGEST_BARE}

    assert parse(json.dumps(printed).encode()) == printed


def test_half_a_character_is_shown_escaped():
    entry = parse(json.dumps({**GOOD, "stdout": "a\ud800b"}).encode())

    assert entry is not None
    assert entry["stdout"] == "a\\ud800b"


PYTHON = """starting
Traceback (most recent call last):
  File "a.py", line 3, in <module>
    float(x)
ValueError: could not convert string to float: '12,90'
cleaning up
"""


@pytest.mark.parametrize(
    ("stdout", "stderr", "reason", "expected"),
    [
        ("", "one\ntwo\n\n  \n", None, "two"),
        ("", PYTHON, None, "ValueError: could not convert string to float: '12,90'"),
        ("", "Traceback (most recent call last):\n  File\nKeyError: 1\n\n" + PYTHON, None, PYTHON.split("\n")[4]),
        ("", "Traceback (most recent call last):\n  cut", None, "cut"),
        ("done 5 of 9\n", "", "ended after 3600 s", "ended after 3600 s"),
        ("done 5 of 9\n", "", None, "done 5 of 9"),
        ("", "", None, None),
    ],
)
def test_the_cause_is_the_line_that_says_most(stdout, stderr, reason, expected):
    assert cause({**GOOD, "stdout": stdout, "stderr": stderr, "reason": reason}) == expected
