"""What hypothesis draws job definitions from: every field, every form that the contract allows."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
NAME_CHARACTERS = "ABCXYZabcxyz0189_-"
LARGEST = 10**10
REQUIRED = ("name", "schedule", "command", "working_directory", "enabled")

job_names = st.text(NAME_CHARACTERS, min_size=1, max_size=64)
existing_directories = st.sampled_from(("/", ".", "/tmp"))
zones = st.sampled_from(("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"))
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
commands = texts.filter(lambda text: text.strip(" \t\r\n") != "")
numbers = st.one_of(st.integers(0, LARGEST), st.floats(0, LARGEST), st.sampled_from((0, 1, 0.5, 3600, LARGEST, 1e10)))
variable_names = texts.filter(lambda text: text != "" and "=" not in text and not text.startswith("JOB_"))


def whole(minimum: int, maximum: int) -> SearchStrategy[int | float]:
    """Whole numbers, some of them written as floats."""
    return st.one_of(st.integers(minimum, maximum), st.integers(minimum, maximum).map(float))


@st.composite
def cron_fields(draw: st.DrawFn, low: int, high: int, names: tuple[str, ...] = ()) -> str:
    """Texts of one cron field from `low` to `high`; `names` are those of its values."""

    def spell(value: int) -> str:
        number = str(value)
        if not names:
            return number
        name = names[value - low]
        return draw(st.sampled_from((number, number, name, name.upper(), name.capitalize())))

    items = []
    for _ in range(draw(st.integers(1, 3))):
        form = draw(st.sampled_from(("star", "star_step", "value", "range", "range_step")))
        first = draw(st.integers(low, high))
        last = draw(st.integers(first, high))
        step = draw(st.integers(1, high))
        items.append(
            {
                "star": "*",
                "star_step": f"*/{step}",
                "value": spell(first),
                "range": f"{spell(first)}-{spell(last)}",
                "range_step": f"{spell(first)}-{spell(last)}/{step}",
            }[form]
        )
    return ",".join(items)


@st.composite
def schedules(draw: st.DrawFn) -> str:
    """Five valid cron fields. The day stays below 29, so that every date comes."""
    fields = (
        cron_fields(0, 59),
        cron_fields(0, 23),
        cron_fields(1, 28),
        cron_fields(1, 12, MONTHS),
        cron_fields(0, 6, WEEKDAYS),
    )
    return draw(st.sampled_from((" ", "  ", "\t"))).join(draw(field) for field in fields)


retries = st.fixed_dictionaries(
    {},
    optional={
        "max_attempts": whole(1, LARGEST),
        "initial_delay_seconds": numbers,
        "multiplier": st.floats(1, LARGEST),
        "max_delay_seconds": numbers,
    },
)

optional_fields: dict[str, SearchStrategy[Any]] = {
    "$schema": texts,
    "description": texts,
    "timezone": zones,
    "timeout_seconds": numbers.filter(lambda number: number > 0),
    "kill_grace_seconds": numbers,
    "concurrency_policy": st.sampled_from(("forbid", "allow", "replace")),
    "starting_deadline_seconds": numbers,
    "jitter_seconds": numbers,
    "retries": retries,
    "success_exit_codes": st.lists(whole(0, 255), min_size=1, max_size=4),
    "environment": st.dictionaries(variable_names, texts, max_size=3),
    "max_output_bytes": whole(0, LARGEST),
}


def job_documents(
    *,
    names: SearchStrategy[str] = job_names,
    working_directories: SearchStrategy[str] = existing_directories,
) -> SearchStrategy[dict[str, Any]]:
    """Valid job documents, with any of the optional fields. `working_directories` must exist."""
    return st.fixed_dictionaries(
        {
            "name": names,
            "schedule": schedules(),
            "command": commands,
            "working_directory": working_directories,
            "enabled": st.booleans(),
        },
        optional=optional_fields,
    )


def written(document: Any, **options: Any) -> bytes:
    """Return the bytes of a file that holds `document`."""
    return json.dumps(document, **options).encode()
