"""The form's fields: the texts that show a definition, and the definition that texts make. Pure.

A text that was not changed leaves its value as the file has it, also where no text could say that value exactly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from admin_ui.escapes import visible
from admin_ui.schema import defaults, job_schema

Form = Mapping[str, Any]
"""What the inputs hold, by field: texts, and a bool for `enabled`."""


class Kind(StrEnum):
    """How a value is written as text."""

    TEXT = "text"
    LINES = "lines"
    FLAG = "flag"
    NUMBER = "number"
    CHOICE = "choice"
    CODES = "codes"
    VARIABLES = "variables"


@dataclass(frozen=True, slots=True)
class Field:
    """One input. `name` is the definition's field, `retries.max_attempts` for one within another."""

    name: str
    kind: Kind
    label: str
    info: str
    default: Any

    @property
    def id(self) -> str:
        """The last part of the input's id on the page."""
        return self.name.replace(".", "-").replace("_", "-")


KINDS = {
    "name": Kind.TEXT,
    "command": Kind.LINES,
    "schedule": Kind.TEXT,
    "timezone": Kind.TEXT,
    "working_directory": Kind.TEXT,
    "enabled": Kind.FLAG,
    "description": Kind.TEXT,
    "timeout_seconds": Kind.NUMBER,
    "kill_grace_seconds": Kind.NUMBER,
    "concurrency_policy": Kind.CHOICE,
    "starting_deadline_seconds": Kind.NUMBER,
    "jitter_seconds": Kind.NUMBER,
    "retries.max_attempts": Kind.NUMBER,
    "retries.initial_delay_seconds": Kind.NUMBER,
    "retries.multiplier": Kind.NUMBER,
    "retries.max_delay_seconds": Kind.NUMBER,
    "success_exit_codes": Kind.CODES,
    "max_output_bytes": Kind.NUMBER,
    "environment": Kind.VARIABLES,
}
NEEDED = 6
"""So many fields come first; the others are folded away."""

INFO = {
    "schedule": "Minute, hour, day of month, month, day of week.",
    "concurrency_policy": "While another run is going: forbid skips, allow starts beside it, replace cancels it.",
    "starting_deadline_seconds": "How many seconds late a run may still start.",
    "jitter_seconds": "Starts are delayed by 0 to this many seconds, to spread them.",
    "retries.max_attempts": "Starts in all. Empty: it is never tried again.",
    "max_output_bytes": "How many bytes a run may print.",
    "environment": "One a line, NAME=value. They stand readable in the job's file.",
}
"""Where the first sentence of the schema's description is too long for a form."""

UNNAMED = {"retries.max_attempts": 1}  # what holds while `retries` is not named at all
NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
BLANKS = re.compile(r"[,\s]+")
NOTHING = object()


def _fields() -> Iterable[Field]:
    held = defaults()
    for name, kind in KINDS.items():
        group, _, part = name.rpartition(".")
        known = job_schema()["properties"]
        known = known[group]["properties"][part] if group else known[name]
        label = f"{known['title']} (retries)" if group else known["title"]
        first = known["description"].partition(". ")[0].removesuffix(".") + "."
        yield Field(name, kind, label, INFO.get(name, first), UNNAMED.get(name, held.get(name)))


FIELDS = tuple(_fields())
TOP = tuple(dict.fromkeys(name.partition(".")[0] for name in KINDS))
"""The definition's own fields that the form shows."""


def shown(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the form shows of a definition, which may be invalid."""
    return {field.name: as_text(field, _value(document, field.name)) for field in FIELDS}


def read(form: Form, base: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the form's part of the definition, and messages by field for what no definition can hold.

    `base` is the definition that the form was filled with. A text that is no number stays a text, which the
    schema refuses.
    """
    before = shown(base)
    document: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for field in FIELDS:
        text = form[field.name]
        value = _value(base, field.name)
        if field.kind is Kind.FLAG:
            value = bool(text)
        elif field.kind is Kind.CHOICE:
            value = NOTHING if value is NOTHING and text == field.default else text
        elif _plain(field, text) != _plain(field, before[field.name]):
            try:
                value = _read(field, _plain(field, text))
            except ValueError as error:
                errors[field.name] = str(error)
                continue
        group, _, part = field.name.rpartition(".")
        if value is not NOTHING:
            (document.setdefault(group, {}) if group else document)[part] = value
    if "retries" in base and all(form[name] == before[name] for name in KINDS if name.startswith("retries.")):
        document["retries"] = base["retries"]
    elif "max_attempts" not in document.get("retries", {"max_attempts": 1}):
        errors["retries.max_attempts"] = "say how often it starts in all, as other fields on retries are filled in"
    return document, errors


def merged(document: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole definition that comes of the form's part: what the form does not show is `base`'s."""
    kept = {key: value for key, value in base.items() if key not in TOP or key in document}
    return {**kept, **document}


def removed(document: Mapping[str, Any], base: Mapping[str, Any]) -> list[str]:
    """Return the fields of `base` that were emptied."""
    return [key for key in TOP if key in base and key not in document]


def unknown(document: Mapping[str, Any]) -> list[str]:
    """Return the keys that no definition has, one within `retries` as `retries.max_attempt`."""
    properties = job_schema()["properties"]
    retries = document.get("retries")
    inner = retries if isinstance(retries, Mapping) else {}
    parts = properties["retries"]["properties"]
    return [
        *(key for key in document if key not in properties),
        *(f"retries.{key}" for key in inner if key not in parts),
    ]


def without_unknown(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition without the keys that none has."""
    strange = unknown(document)
    kept = {key: value for key, value in document.items() if key not in strange}
    if isinstance(kept.get("retries"), Mapping):
        kept["retries"] = {key: value for key, value in kept["retries"].items() if f"retries.{key}" not in strange}
    return kept


def by_field(errors: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the messages for the form's fields, and those for what it does not show."""
    placed: dict[str, str] = {}
    others: list[str] = []
    for key, text in errors.items():
        top = key.partition(".")[0]
        name = next(
            (each for each in (key, top, "retries.max_attempts" if top == "retries" else "") if each in KINDS), ""
        )
        if not name:
            others.append(f"{key}: {text}" if key else text)
        elif name not in placed:
            placed[name] = text if key == name else f"{key.partition('.')[2] or key}: {text}"
    return placed, others


def _value(document: Mapping[str, Any], name: str) -> Any:
    group, _, part = name.rpartition(".")
    inner = document.get(group) if group else document
    if not isinstance(inner, Mapping):
        return NOTHING
    if part == "max_attempts" and part not in inner:
        return defaults()[name]  # `retries` without it does try again
    return inner.get(part, NOTHING)


def as_text(field: Field, value: Any) -> Any:
    """Return what the form shows of one value."""
    if field.kind is Kind.FLAG:
        return value is True
    if field.kind is Kind.CHOICE:
        return value if value in choices(field.name) else field.default
    if value is NOTHING:
        return ""
    if isinstance(value, str):
        return value
    if field.kind is Kind.CODES and isinstance(value, list):
        return ", ".join(json.dumps(each) for each in value)
    if field.kind is Kind.VARIABLES and isinstance(value, Mapping):
        return "\n".join(f"{name}={_quoted(text)}" for name, text in value.items())
    return json.dumps(value)


def placeholder(field: Field) -> str:
    """Return what an empty input says: the default."""
    return "" if field.default in (None, "", {}) else f"{as_text(field, field.default)} (default)"


def choices(name: str) -> list[str]:
    """Return the values that a field can have."""
    return list(job_schema()["properties"][name]["enum"])


def _quoted(text: Any) -> str:
    simple = isinstance(text, str) and text == text.strip() and visible(text) == text
    return text if simple and not text.startswith('"') and "\n" not in text else json.dumps(text)


def _plain(field: Field, text: str) -> str:
    """Return a text as a browser gives it back: of line ends it knows one, and none in a field of one line."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if field.kind in (Kind.LINES, Kind.VARIABLES) else text.replace("\n", "")


def _read(field: Field, text: str) -> Any:
    """Return the value of a text. Raises ValueError that says what is wrong."""
    if not text.strip():
        return NOTHING
    match field.kind:
        case Kind.LINES:
            return text
        case Kind.NUMBER:
            return _number(text.strip())
        case Kind.CODES:
            return [_number(each) for each in BLANKS.split(text.strip(", \t")) if each]
        case Kind.VARIABLES:
            return _variables(text)
        case _:
            return text.strip()


def _number(text: str) -> int | float | str:
    found = NUMBER.fullmatch(text)
    return text if found is None else float(text) if found[1] else int(text)


def _variables(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        name, equals, value = line.partition("=")
        if not equals or not name or name != name.strip():
            raise ValueError(f"line {number}: expected NAME=value, without blanks before the =")
        if name in found:
            raise ValueError(f"line {number}: this name is there already; keep one of them")
        found[name] = _unquoted(value.strip(), number)
    return found


def _unquoted(text: str, number: int) -> str:
    if not text.startswith('"'):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, str):
        raise ValueError(f'line {number}: a value that begins with a quote is a JSON string, such as "two\\nlines"')
    return value
