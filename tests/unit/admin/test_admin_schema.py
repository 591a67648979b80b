"""Messages of job documents, by field."""

from __future__ import annotations

import time

import pytest

from admin_ui.schema import default_of, problems

GOOD = {"name": "job", "schedule": "0 2 * * *", "command": "true", "working_directory": "/", "enabled": True}


def test_a_good_document_has_no_problem():
    assert problems(GOOD) == {}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "a b", "expected 1 to 64 of the characters A-Z, a-z, 0-9, _ and -"),
        ("name", 5, "expected a text"),
        ("schedule", "@daily", "write five fields such as 0 0 * * * instead"),
        ("schedule", "0 0 30 2 *", "day of month: this date never comes; choose other days or months"),
        ("schedule", "0 22-2 * * *", "hour: a range runs upwards; write 22-23,0-2"),
        ("command", " ", "expected a text that is not empty, without NUL characters"),
        ("enabled", "yes", "expected true or false"),
        ("timezone", "Mars/Base", "expected an IANA time zone such as Europe/Berlin or UTC"),
        ("timeout_seconds", 0, "expected more than 0"),
        ("jitter_seconds", -1, "expected 0 or more"),
        ("concurrency_policy", "Forbid", "expected one of forbid, allow, replace"),
        ("success_exit_codes", [], "expected a list of one or more"),
        ("retries.max_attempts", 0, "expected 1 or more"),
        ("retries.attempts", 3, "unknown key; did you mean max_attempts?"),
        ("environment.PORT", 5, "expected a text"),
        ("environment.JOB_ID", "x", "expected a variable's name: not empty, without = and not beginning JOB_"),
        ("timout_seconds", 5, "unknown key; did you mean timeout_seconds?"),
        ("timeout", 5, "unknown key; did you mean timeout_seconds?"),
        ("kill-grace-seconds", 5, "unknown key; did you mean kill_grace_seconds?"),
        ("zzz", 5, "unknown key; remove it"),
    ],
)
def test_each_problem_stands_at_its_field(field, value, message):
    outer, _, inner = field.partition(".")

    assert problems({**GOOD, outer: {inner: value} if inner else value}) == {field: message}


def test_all_problems_are_reported_at_once():
    found = problems({"name": "", "schedule": "x", "command": "true", "enabled": 1})

    assert list(found) == ["working_directory", "name", "schedule", "enabled"]


@pytest.mark.parametrize("document", [None, [], "text", 5])
def test_what_is_no_object_is_one_problem_of_the_whole(document):
    assert problems(document) == {"": "expected one JSON object"}


def test_no_value_is_repeated_that_may_be_a_secret():
    assert "s3cret" not in str(problems({**GOOD, "environment": {"A=s3cret": "s3cret", "B": ["s3cret"]}}))


@pytest.mark.parametrize(
    "odd",
    [
        {"command": "a" * 1_000_000 + "\0"},
        {"command": " " * 1_000_000},
        {"success_exit_codes": [300] * 200_000},
        {f"key{number}": 1 for number in range(90_000)},
        {"environment": {f"JOB_{number}": "x" for number in range(50_000)}},
    ],
)
def test_a_huge_document_is_judged_in_a_second_with_a_bounded_answer(odd):
    began = time.thread_time()
    found = problems({**GOOD, **odd})

    assert 0 < len(found) <= 21
    assert time.thread_time() - began < 1


def test_the_defaults_are_those_of_the_contract():
    assert default_of("timeout_seconds") == 3600
    assert default_of("timezone") is None
