"""The loader and schemas/job.schema.json describe the same documents."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from jsonschema import Draft202012Validator

from sidecar.config import FIELDS, REQUIRED, RETRY_FIELDS, ConfigLoader
from sidecar.errors import JobFileError
from sidecar.model import JobConfig, Retries
from tests.strategies import job_documents, optional_fields, texts, written

SCHEMAS = Path(__file__).parents[2] / "schemas"
EXAMPLES = SCHEMAS / "examples" / "job"
SCHEMA = json.loads((SCHEMAS / "job.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
LOADER = ConfigLoader("jobs")

variables = st.sampled_from(("", "A", "A=", "JOB_A", "job_a", "a\n", "\0"))
attempts = st.sampled_from((0, 1, 1.0, 1.5, -1, "1", None))
oddities: SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 300),
    st.sampled_from((-0.0, 0.5, 1.0, 255.0, 1e10, 10**10 + 1, 1e300, -1, 10**40)),
    st.sampled_from(("", " ", "\t\r\n", "\0", "a\0", "\x1c", "\ufeff", "a\n", "JOB_X", "x" * 65, "forbid")),
    st.text("ab \n\0=", max_size=4),
    st.lists(st.one_of(st.integers(-1, 256), st.sampled_from((True, 0.0, 0.5, "0"))), max_size=3),
    st.dictionaries(variables, texts | st.integers(), max_size=2),
    st.dictionaries(st.sampled_from((*RETRY_FIELDS, "attempts")), attempts, max_size=3),
)
# Left out is what only the loader can decide: whether five fields mean a date, whether a zone or folder exists.
schedule_oddities: SearchStrategy[Any] = st.sampled_from(
    (
        *("", "* * * *", "* * * * * *", "@daily", "* * * * *\n", "* * ? * *", "* * * * 1#1", "\u0663 * * * *"),
        *("* * * * *", "\t* * * * *  ", "0 0 * jan MON", ",".join("0" * 130) + " * * * *"),
        *(5, None, True, []),
    )
)
zone_oddities: SearchStrategy[Any] = st.sampled_from(
    ("", "UTC", "UTC\n", "Europe/ Berlin", "UTC+02:00", "../UTC", "a" * 99, 2, None)
)
folder_oddities: SearchStrategy[Any] = st.sampled_from(("", " ", "/", ".", "\0", "/\0", 5, None, []))


@st.composite
def mutated_documents(draw: st.DrawFn) -> dict[str, Any]:
    """Valid documents of which some fields were replaced, removed or added."""
    document = draw(job_documents())
    for _ in range(draw(st.integers(1, 2))):
        key = draw(st.sampled_from((*FIELDS, *FIELDS, "target", "notify", "Name", "")))
        if key in document and draw(st.integers(0, 4)) == 0:
            del document[key]
        elif key in optional_fields and draw(st.booleans()):
            document[key] = draw(optional_fields[key])
        elif key == "schedule":
            document[key] = draw(schedule_oddities)
        elif key == "timezone":
            document[key] = draw(zone_oddities)
        elif key == "working_directory":
            document[key] = draw(folder_oddities)
        else:
            document[key] = draw(oddities)
    return document


def loads(data: bytes) -> bool:
    try:
        LOADER.parse("job.json", data)
    except JobFileError:
        return False
    return True


def examples(folder: str) -> list[Path]:
    return sorted((EXAMPLES / folder).glob("*.json"))


def name_of(path: Path) -> str:
    return path.stem


def test_schema_is_valid_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@given(job_documents())
def test_valid_documents_are_accepted_by_both(document: dict[str, Any]) -> None:
    assert loads(written(document))
    assert VALIDATOR.is_valid(document)


@given(mutated_documents())
def test_loader_and_schema_agree_on_odd_documents(document: dict[str, Any]) -> None:
    data = written(document)

    assert loads(data) == VALIDATOR.is_valid(json.loads(data)), document


@given(mutated_documents())
def test_loader_and_schema_blame_the_same_fields(document: dict[str, Any]) -> None:
    data = written(document)
    expected = {str(error.absolute_path[0]) for error in VALIDATOR.iter_errors(json.loads(data)) if error.path}
    known = {key for key in document if key in FIELDS}
    found = set()
    try:
        LOADER.parse("job.json", data)
    except JobFileError as error:
        found = {problem.field.partition(".")[0].partition("[")[0] for problem in error.problems}

    assert found & known == expected


@pytest.mark.parametrize("path", examples("valid"), ids=name_of)
def test_valid_example_is_accepted_by_both(path: Path) -> None:
    assert loads(path.read_bytes())
    assert VALIDATOR.is_valid(json.loads(path.read_bytes()))


@pytest.mark.parametrize("path", examples("invalid"), ids=name_of)
def test_invalid_example_is_refused_by_both(path: Path) -> None:
    assert not loads(path.read_bytes())
    assert not VALIDATOR.is_valid(json.loads(path.read_bytes()))


@pytest.mark.parametrize("path", examples("invalid"), ids=name_of)
def test_invalid_example_has_one_problem_only(path: Path) -> None:
    with pytest.raises(JobFileError) as caught:
        LOADER.parse(path.name, path.read_bytes())

    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("path", examples("invalid-loader-only"), ids=name_of)
def test_loader_refuses_what_the_schema_cannot_express(path: Path) -> None:
    with pytest.raises(JobFileError) as caught:
        LOADER.parse(path.name, path.read_bytes())

    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    "path",
    [path for path in examples("invalid-loader-only") if not path.stem.startswith("text_")],
    ids=name_of,
)
def test_schema_accepts_the_documents_that_only_the_loader_refuses(path: Path) -> None:
    assert VALIDATOR.is_valid(json.loads(path.read_bytes()))


def described(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    retries = schema["properties"]["retries"]["properties"]
    return {**schema["properties"], **{f"retries.{name}": field for name, field in retries.items()}}


@pytest.mark.parametrize("field", described(SCHEMA))
def test_schema_explains_every_field(field: str) -> None:
    schema = described(SCHEMA)[field]

    assert schema["title"]
    assert schema["description"].endswith(".")
    assert schema["examples"]
    assert all(VALIDATOR.evolve(schema=schema).is_valid(example) for example in schema["examples"])


def test_schema_names_the_fields_of_the_model() -> None:
    names = [field.name for field in fields(JobConfig)]

    assert [name for name in SCHEMA["properties"] if name != "$schema"] == names
    assert list(SCHEMA["properties"]) == list(FIELDS)
    assert SCHEMA["required"] == list(REQUIRED)
    assert list(SCHEMA["properties"]["retries"]["properties"]) == [field.name for field in fields(Retries)]


def test_schema_gives_the_defaults_of_the_model() -> None:
    job = JobConfig("a", "* * * * *", "true", "/", True)
    defaults = {name: field["default"] for name, field in SCHEMA["properties"].items() if "default" in field}
    retries = {name: field["default"] for name, field in SCHEMA["properties"]["retries"]["properties"].items()}

    assert defaults.pop("success_exit_codes") == list(job.success_exit_codes)
    assert defaults == {name: getattr(job, name) for name in defaults}
    assert Retries(**retries) == Retries()
