"""Say what is wrong with a job document, field by field. The rules are schemas/job.schema.json's.

What JSON Schema cannot say (that a zone exists, that a date ever comes) is added; whether the working directory
exists only the scheduler can know, as it lies in the scheduler's container.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError as SchemaProblem

from admin_ui.cron import parse, zone_named
from admin_ui.errors import ScheduleError

SCHEMA_FILE = Path(__file__).resolve().parent.parent / "schemas" / "job.schema.json"
MOST_PROBLEMS = 20
LONGEST_KEY_SHOWN = 60
TYPES = {
    "string": "a text",
    "boolean": "true or false",
    "number": "a number",
    "integer": "a whole number",
    "array": "a list",
    "object": "an object",
}
PATTERNS = {
    "name": "expected 1 to 64 of the characters A-Z, a-z, 0-9, _ and -",
    "command": "expected a text that is not empty, without NUL characters",
    "working_directory": "expected a text that is not empty, without NUL characters",
    "timezone": "expected an IANA time zone such as Europe/Berlin or UTC",
}
NAME_PATTERN = "expected a variable's name: not empty, without = and not beginning JOB_"


@cache
def job_schema() -> Mapping[str, Any]:
    """Return the schema of a job definition: titles, descriptions, defaults and examples of the fields, too."""
    schema: Mapping[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return schema


def default_of(field: str) -> Any:
    """Return what the scheduler takes for a field that a definition does not name; None if that is nothing fixed."""
    return job_schema()["properties"][field].get("default")


def defaults() -> dict[str, Any]:
    """Return what holds for each optional field that a definition does not name, None where that is nothing fixed.

    Fields of `retries` come as `retries.max_attempts` and so on, as in `problems`: what holds once it is named.
    """
    schema = job_schema()
    optional = [field for field in schema["properties"] if field not in (*schema["required"], "$schema")]
    of_retries = schema["properties"]["retries"]["properties"]
    return {field: default_of(field) for field in optional} | {
        f"retries.{field}": known["default"] for field, known in of_retries.items()
    }


def problems(document: object) -> dict[str, str]:
    """Return one message for each field of a job document that is wrong (key `""`: the whole); none if it is valid."""
    found: dict[str, str] = {}
    if isinstance(document, dict):
        # The pattern of a command takes quadratic time to refuse a long text for the NUL at its end.
        document = {key: "\0" if isinstance(value, str) and "\0" in value else value for key, value in document.items()}
    for problem in _validator().iter_errors(document):
        for field, message in _explain(problem):
            found.setdefault(field, message)
            if len(found) >= MOST_PROBLEMS:
                return found
    if isinstance(document, dict):
        found.update(_schedule_problems(document, found))
    return found


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(job_schema())


def _schedule_problems(document: dict[str, Any], found: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    zone = document.get("timezone", "UTC")
    if "timezone" not in found:
        try:
            zone_named(zone)
        except ScheduleError as error:
            yield "timezone", str(error)
            zone = "UTC"
    else:
        zone = "UTC"
    if "schedule" in document:  # also where the pattern already refused it: this message says what to write
        try:
            parse(document["schedule"], zone)
        except ScheduleError as error:
            yield "schedule", str(error)


def _explain(problem: SchemaProblem) -> Iterator[tuple[str, str]]:
    """Yield the fields that one fault is about with what would be right. No value is repeated: it may be a secret."""
    field = ".".join(map(str, problem.absolute_path))
    prefix = f"{field}." if field else ""
    wanted: Any = problem.validator_value
    instance: Any = problem.instance
    schema: Any = problem.schema
    match problem.validator:
        case "required":
            yield from ((prefix + key, "this field is required") for key in wanted if key not in instance)
        case "additionalProperties":
            known = schema["properties"]
            yield from ((prefix + _shown(key), _unknown(key, known)) for key in instance if key not in known)
        case "type":
            yield field, f"expected {TYPES[wanted]}" if field else "expected one JSON object"
        case "enum":
            yield field, f"expected one of {', '.join(wanted)}"
        case "pattern" if problem.parent is None and "propertyNames" in problem.schema_path:
            # What follows a `=` was probably meant as the value.
            yield prefix + _shown(instance.partition("=")[0]), NAME_PATTERN
        case "pattern":
            yield field, PATTERNS.get(field, "expected a text without NUL characters")
        case "minItems":
            yield field, "expected a list of one or more"
        case "minimum":
            yield field, f"expected {wanted} or more"
        case "exclusiveMinimum":
            yield field, f"expected more than {wanted}"
        case "maximum":
            yield field, f"expected at most {wanted}"
        case "maxLength":
            yield field, f"expected at most {wanted} characters"
        case _:
            yield field, "this value is not allowed"


def _unknown(key: str, known: Mapping[str, Any]) -> str:
    plain = key[:LONGEST_KEY_SHOWN].lower().replace("-", "_")
    begun = [name for name in known if len(plain) > 2 and name.startswith(plain)]
    meant = begun or difflib.get_close_matches(plain, known, n=1)
    return f"unknown key; did you mean {meant[0]}?" if meant else "unknown key; remove it"


def _shown(key: str) -> str:
    return key if key.isprintable() and 0 < len(key) <= LONGEST_KEY_SHOWN else repr(key[:LONGEST_KEY_SHOWN])
