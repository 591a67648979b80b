"""The schema of log lines: a branch for each event, with examples. What is emitted is held against it elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from sidecar.model import Action, Reason, Rejection, Status, Trigger

SCHEMAS = Path(__file__).parents[2] / "schemas"
EXAMPLES = SCHEMAS / "examples" / "event"
SCHEMA = json.loads((SCHEMAS / "event.schema.json").read_text())
TYPES = SCHEMA["$defs"]
EVENTS = SCHEMA["properties"]["event"]["enum"]
VALIDATOR = Draft202012Validator(SCHEMA)


def examples(folder: str) -> list[Path]:
    return sorted((EXAMPLES / folder).glob("*.json"))


def name_of(path: Path) -> str:
    return path.stem


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


def examples_of(event: str, folder: str) -> list[Any]:
    return [document for document in map(read, examples(folder)) if document.get("event") == event]


def test_event_schema_is_valid_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_event_has_its_branch_and_every_branch_its_event() -> None:
    branches = [(branch["if"]["properties"]["event"]["const"], branch["then"]["$ref"]) for branch in SCHEMA["allOf"]]

    assert branches == [(event, f"#/$defs/{event}") for event in EVENTS]


@pytest.mark.parametrize("path", examples("valid"), ids=name_of)
def test_valid_line_is_accepted(path: Path) -> None:
    VALIDATOR.validate(read(path))


@pytest.mark.parametrize("path", examples("invalid"), ids=name_of)
def test_invalid_line_is_refused(path: Path) -> None:
    assert not VALIDATOR.is_valid(read(path))


@pytest.mark.parametrize("event", EVENTS)
def test_event_has_valid_and_several_invalid_examples(event: str) -> None:
    assert examples_of(event, "valid")
    assert len(examples_of(event, "invalid")) >= 2


@pytest.mark.parametrize("event", EVENTS)
def test_event_requires_each_of_its_fields(event: str) -> None:
    line = max(examples_of(event, "valid"), key=len)
    dispensable = {key for key in line if VALIDATOR.is_valid({k: v for k, v in line.items() if k != key})}

    assert dispensable == ({"file"} if event in ("paused", "resumed") else set())


@pytest.mark.parametrize("event", EVENTS)
def test_event_allows_no_other_field(event: str) -> None:
    for line in examples_of(event, "valid"):
        assert not VALIDATOR.is_valid({**line, "another": 1})


@pytest.mark.parametrize("event", EVENTS)
def test_no_field_of_an_event_may_have_just_any_value(event: str) -> None:
    for line in examples_of(event, "valid"):
        for key in line:
            assert not VALIDATOR.is_valid({**line, key: [[]]}), key


@pytest.mark.parametrize("event", EVENTS)
def test_event_is_explained(event: str) -> None:
    assert TYPES[event]["description"].endswith(".")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (TYPES["trigger"], Trigger),
        (TYPES["action"], Action),
        (TYPES["pass_reason"], Reason),
        (TYPES["job_complete"]["properties"]["status"], Status),
        (TYPES["trigger_rejected"]["properties"]["reason"], Rejection),
    ],
)
def test_closed_sets_are_those_of_the_model(schema: dict[str, Any], words: type[Status]) -> None:
    assert sorted(schema["enum"]) == sorted(word.value for word in words)


def test_skipped_and_missed_have_the_same_fields() -> None:
    skipped, missed = TYPES["job_skipped"], TYPES["job_missed"]

    assert (skipped["required"], skipped["properties"]) == (missed["required"], missed["properties"])
