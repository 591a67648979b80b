"""The first four properties of the original design document, with real files."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import ConfigLoader
from sidecar.errors import JobFileError
from sidecar.model import JobConfig
from tests.strategies import REQUIRED, job_documents, written

file_names = st.text("abcXYZ019_-. é", min_size=1, max_size=12).filter(lambda text: text[0] != ".")
document_sets = st.lists(
    st.tuples(file_names, job_documents()),
    max_size=5,
    unique_by=(lambda pair: pair[0], lambda pair: pair[1]["name"]),
)


def is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


@st.composite
def malformed(draw: st.DrawFn) -> bytes:
    """Bytes that are no JSON: anything at all, or a good document with a piece cut out or put in."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=60).filter(lambda data: not is_json(data)))
    data = written(draw(job_documents()))
    start = draw(st.integers(0, len(data) - 1))
    end = draw(st.integers(start, len(data)))
    broken = data[:start] + draw(st.sampled_from((b"", b"{", b'"', b",", b"\0", b"\xff", b"NaN"))) + data[end:]
    return broken if not is_json(broken) else b"{" + broken


def document_of(config: JobConfig) -> dict[str, Any]:
    """Return all that a definition says, as JSON has it."""
    values = {each.name: getattr(config, each.name) for each in fields(config)}
    named = {name: value for name, value in values.items() if value is not None}
    retries = {} if config.retries is None else {"retries": asdict(config.retries)}
    return {**named, **retries, "environment": dict(config.environment)}


def write_all(folder: Path, files: list[tuple[str, bytes]]) -> None:
    for name, data in files:
        (folder / f"{name}.json").write_bytes(data)


# Feature: production-jobs-scheduler, Property 1: Job Configuration Round-Trip
@given(job_documents(), st.sampled_from((None, 2)), st.booleans())
def test_job_config_survives_being_written_and_read(
    document: dict[str, Any], indent: int | None, escaped: bool
) -> None:
    with TemporaryDirectory() as folder:
        loader = ConfigLoader(folder)
        first = loader.parse("first.json", written(document))
        data = written(document_of(first), indent=indent, ensure_ascii=escaped)
        Path(folder, "second.json").write_bytes(data)

        second, _ = loader.load("second.json")

    assert second == first


# Feature: production-jobs-scheduler, Property 2: Multiple Job Files Loading
@given(document_sets)
def test_all_valid_files_are_loaded(documents: list[tuple[str, dict[str, Any]]]) -> None:
    errors: list[str] = []
    with TemporaryDirectory() as folder:
        loader = ConfigLoader(folder, on_error=lambda file, message: errors.append(file))
        write_all(Path(folder), [(name, written(document)) for name, document in documents])

        jobs = loader.load_all_jobs()

    in_order = sorted(documents, key=lambda pair: f"{pair[0]}.json")
    assert [job.name for job in jobs] == [document["name"] for _, document in in_order]
    assert errors == []


# Feature: production-jobs-scheduler, Property 3: Required Fields Validation
@given(job_documents())
def test_parsed_job_has_every_required_field_with_its_type(document: dict[str, Any]) -> None:
    job = ConfigLoader("jobs").parse("job.json", written(document))

    assert [type(getattr(job, field)) for field in REQUIRED] == [str, str, str, str, bool]
    assert all(getattr(job, field) == document[field] for field in REQUIRED)


# Feature: production-jobs-scheduler, Property 3: Required Fields Validation
@given(job_documents(), st.sets(st.sampled_from(REQUIRED), min_size=1))
def test_job_without_required_fields_is_refused_with_each_of_them(document: dict[str, Any], missing: set[str]) -> None:
    data = written({key: value for key, value in document.items() if key not in missing})

    problems = []
    try:
        ConfigLoader("jobs").parse("job.json", data)
    except JobFileError as error:
        problems = error.problems

    assert {problem.field for problem in problems} == missing


# Feature: production-jobs-scheduler, Property 4: Invalid JSON Rejection
@given(malformed(), job_documents(), st.booleans())
def test_malformed_json_is_reported_and_affects_no_other_file(
    data: bytes, document: dict[str, Any], comes_first: bool
) -> None:
    errors: list[tuple[str, str]] = []
    jobs: list[JobConfig] = []
    bad = "a" if comes_first else "z"
    with TemporaryDirectory() as folder:
        loader = ConfigLoader(folder, on_error=lambda file, message: errors.append((file, message)))
        write_all(Path(folder), [(bad, data), ("good", written(document))])

        jobs = loader.load_all_jobs()

    assert [job.name for job in jobs] == [document["name"]]
    assert [file for file, message in errors if message] == [f"{bad}.json"]
