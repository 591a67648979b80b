"""The reader of requests and schemas/trigger.schema.json describe the same documents."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sidecar.model import Action
from sidecar.requests import FIELDS, Document, parse

SCHEMAS = Path(__file__).parents[2] / "schemas"
EXAMPLES = SCHEMAS / "examples" / "trigger"
SCHEMA = json.loads((SCHEMAS / "trigger.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)

names = st.text("abcXYZ019_-", min_size=1, max_size=64)
printable = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), min_size=1, max_size=40)
times = st.sampled_from(("2026-01-31T09:00:00Z", "2026-01-31T09:00:00.123456789Z", "2026-12-31T23:59:60+05:30"))
fields_of_a_run = {"request_id": printable, "requested_by": printable, "requested_at": times}
runs = st.fixed_dictionaries({"action": st.just("run"), "job_name": names}, optional=fields_of_a_run)
cancels = st.fixed_dictionaries(
    {"action": st.just("cancel"), "job_name": names}, optional={**fields_of_a_run, "run_id": printable}
)
requests = runs | cancels

edges = (
    "\0\x1f\x20\x7e\x7f\x9f\xa0\n\u061b\u061c\u061d\u200d\u200e\u200f"
    "\u2010\u2027\u2028\u202e\u202f\u2065\u2066\u2069\u206a\U0001f680"
)
oddities = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 300),
    st.sampled_from(("", "run", "cancel", "RUN", "a\n")),
    st.sampled_from([length * "a" for length in (64, 65, 128, 129, 256, 257)]),
    st.sampled_from(("2026-01-31T09:00:00Z\n", "2026-01-31", "2026-01-31T09:00:00")),
    st.sampled_from(("2026-01-3\N{FULLWIDTH DIGIT ONE}T09:00:00Z", "2026-01-31T09:00:00.Z", "2026-01-31 09:00:00Z")),
    st.text(edges + "ab/", max_size=4),
    st.just([]),
    st.just({}),
)  # fmt: skip


@st.composite
def mutated_requests(draw: st.DrawFn) -> dict[str, Any]:
    """Valid requests of which some fields were replaced, removed or added."""
    document = draw(requests)
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from((*FIELDS, "$schema", "Action", "")))
        if key in document and draw(st.integers(0, 4)) == 0:
            del document[key]
        else:
            document[key] = draw(oddities)
    return document


def reads(data: bytes) -> bool:
    try:
        parse(data)
    except ValueError:
        return False
    return True


def examples(folder: str) -> list[Path]:
    return sorted((EXAMPLES / folder).glob("*.json"))


def name_of(path: Path) -> str:
    return path.stem


def test_trigger_schema_is_valid_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@given(requests)
def test_valid_requests_are_accepted_by_reader_and_schema(document: dict[str, Any]) -> None:
    assert reads(json.dumps(document).encode())
    assert VALIDATOR.is_valid(document)


@given(mutated_requests())
def test_reader_and_schema_agree_on_odd_requests(document: dict[str, Any]) -> None:
    assert reads(json.dumps(document).encode()) == VALIDATOR.is_valid(document), document


def test_reader_and_schema_agree_on_every_character_that_might_be_unprintable() -> None:
    read, valid = [], []
    for code in (*range(0x300), *range(0x2000, 0x2080), 0xFEFF, 0x1F680):
        document = {"action": "run", "job_name": "a", "request_id": f"x{chr(code)}y"}
        read += [code] * reads(json.dumps(document).encode())
        valid += [code] * VALIDATOR.is_valid(document)

    assert read == valid


@pytest.mark.parametrize("document", [None, True, 1, 1.5, "run", [], [{}]])
def test_reader_and_schema_refuse_what_is_no_object(document: object) -> None:
    assert not reads(json.dumps(document).encode())
    assert not VALIDATOR.is_valid(document)


@pytest.mark.parametrize("path", examples("valid"), ids=name_of)
def test_valid_request_example_is_accepted_by_both(path: Path) -> None:
    assert reads(path.read_bytes())
    assert VALIDATOR.is_valid(json.loads(path.read_bytes()))


@pytest.mark.parametrize("path", examples("invalid"), ids=name_of)
def test_invalid_request_example_is_refused_by_both_for_one_problem(path: Path) -> None:
    with pytest.raises(ValueError, match=r"^[^;]+$"):  # a semicolon would begin a second problem
        parse(path.read_bytes())
    assert not VALIDATOR.is_valid(json.loads(path.read_bytes()))


@pytest.mark.parametrize("path", examples("invalid-reader-only"), ids=name_of)
def test_reader_refuses_what_the_schema_cannot_see(path: Path) -> None:
    assert not reads(path.read_bytes())


@pytest.mark.parametrize("field", list(SCHEMA["properties"]))
def test_trigger_schema_explains_every_field(field: str) -> None:
    schema = SCHEMA["properties"][field]

    assert schema["title"]
    assert schema["description"].endswith(".")
    assert schema["examples"]
    assert all(VALIDATOR.is_valid({"action": "cancel", "job_name": "a", field: x}) for x in schema["examples"])


def test_trigger_schema_names_the_fields_and_actions_of_the_reader() -> None:
    assert tuple(SCHEMA["properties"]) == ("action", "job_name", "request_id", "run_id", "requested_by", "requested_at")
    assert tuple(SCHEMA["properties"]) == FIELDS == tuple(field.name for field in fields(Document))
    assert SCHEMA["properties"]["action"]["enum"] == [str(action) for action in Action]
