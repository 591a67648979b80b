"""Turn job files into JobConfigs, or into every fault that a file has. Owns what a valid definition is.

schemas/job.schema.json says the same as data; what JSON Schema cannot say (that a zone or a directory exists,
that a date ever comes) is decided only here.
"""

from __future__ import annotations

import difflib
import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from sys import intern
from types import MappingProxyType
from typing import Any

from sidecar.cron import parse as parse_schedule
from sidecar.cron import zone_named
from sidecar.errors import FileUnreadable, JobFileError, JobsDirectoryError, Problem, ScheduleError
from sidecar.files import read_json, read_small
from sidecar.model import JOB_NAME, NO_ENVIRONMENT, ConcurrencyPolicy, JobConfig, Retries

BLANK = " \t\r\n"
LARGEST_NUMBER = 10**10
MOST_PROBLEMS = 100  # of one file; a megabyte of wrong keys would make a report that nobody reads
LONGEST_SHOWN = 60  # characters of the file's own text that a problem repeats
OF_THE_WORLD = ("working_directory", "timezone")  # what these need may appear while the file stays as it is
RESERVED_PREFIX = "JOB_"  # the scheduler's own variables
NUL = ("a NUL character", "expected a text without it; no program can be given one")
WORDS = {type(None): "null", dict: "an object", list: "a list"}


def is_definition(file: str) -> bool:
    """Return whether a file of this name in the jobs directory is meant to be a job definition."""
    return file.endswith(".json") and not file.startswith(".")


def is_job_name(text: str) -> bool:
    """Return whether `text` may be the name of a job."""
    return JOB_NAME.fullmatch(text) is not None


def display_name(file: str) -> str:
    """Return a file name as a text that any log can carry: bytes that are not UTF-8 are escaped."""
    return file if file.isascii() else os.fsencode(file).decode("utf-8", "backslashreplace")


class ConfigLoader:
    """Reads the definitions below one directory. Keeps nothing: each call reads the files again.

    `default_timezone` is that of jobs which name none. `on_error(file, message)` hears of each file
    that `load_all_jobs` skips; without it, the standard library's `logging` does.
    """

    def __init__(
        self,
        jobs_directory: str | Path,
        *,
        default_timezone: str = "UTC",
        on_error: Callable[[str, str], None] | None = None,
    ) -> None:
        self.jobs_directory = Path(jobs_directory)
        self._prefix = os.path.join(jobs_directory, "")
        self._default_timezone = default_timezone
        self._on_error = on_error or _log

    def load_all_jobs(self) -> list[JobConfig]:
        """Return the valid definitions in file-name order; the first of several with one name counts.

        Invalid files, and a directory that cannot be listed, are reported through `on_error` and skipped.
        """
        files_by_name: dict[str, str] = {}
        jobs = []
        try:
            listed = self.files()
        except JobsDirectoryError as error:
            self._on_error(str(self.jobs_directory), str(error))
            return []
        for file in listed:
            try:
                config, _ = self.load(file)
                first = files_by_name.setdefault(config.name, file)
                if first != file:
                    raise JobFileError(display_name(file), [duplicate(config.name, first)])
            except JobFileError as error:
                self._on_error(error.file, "; ".join(map(str, error.problems)))
            else:
                jobs.append(config)
        return jobs

    def path_of(self, file: str) -> str:
        """Return where the file of this name lies."""
        return self._prefix + file

    def files(self) -> list[str]:
        """Return the names of all definition files, in order. Raises JobsDirectoryError."""
        try:
            return sorted(filter(is_definition, os.listdir(self.jobs_directory)))
        except OSError as error:
            raise unlistable(self.jobs_directory, error) from error

    def load(self, file: str) -> tuple[JobConfig, str]:
        """Return the definition in `file` and the sha256 (hex) of its bytes. Raises JobFileError."""
        data, _ = self.read(file)
        return self.parse(file, data), digest(data)

    def read(self, file: str) -> tuple[bytes, os.stat_result]:
        """Return the bytes of `file` and its status from before the reading. Raises JobFileError."""
        try:
            file.encode()
        except UnicodeEncodeError:
            wanted = "expected a file name in UTF-8; rename the file"
            raise JobFileError(display_name(file), [Problem("", "", wanted)]) from None
        try:
            return read_small(self.path_of(file))
        except FileUnreadable as error:
            raise JobFileError(file, [Problem("", "", str(error))]) from None

    def parse(self, file: str, data: bytes) -> JobConfig:
        """Return the definition that `data` holds. Raises JobFileError with every problem of it.

        Touches no file but for asking whether `working_directory` and the time zone exist.
        """
        problems = _Problems()
        values = self._values(data, problems)
        if problems.found:
            unready = _unready(values, problems.found)
            raise JobFileError(display_name(file), problems.found, unready, values.get("name"))
        return JobConfig(**values)

    def _values(self, data: bytes, problems: _Problems) -> dict[str, Any]:
        try:
            document = read_json(data)
        except ValueError as error:
            problems.add("", "", str(error))
            return {}
        if type(document) is not dict:
            problems.add("", show(document), "expected one JSON object")
            return {}
        values = _read_fields(problems, "", document, FIELDS)
        values.pop("$schema", None)
        for field in REQUIRED:
            if field not in document:
                problems.add(field, "nothing", "this field is required")
        if "schedule" in values:
            zone = values.get("timezone", self._default_timezone)
            try:
                parse_schedule(values["schedule"], zone)
            except ScheduleError as error:
                problems.add("schedule", "", str(error))
        return values


def _log(file: str, message: str) -> None:
    logging.getLogger(__name__).error("%s: %s", file, message)


def digest(data: bytes) -> str:
    """Return the sha256 by which one version of a definition is told from another, in hex."""
    return hashlib.sha256(data, usedforsecurity=False).hexdigest()


def duplicate(name: str, first: str) -> Problem:
    """Return the problem of a file whose job name is already that of the file `first`."""
    return Problem("name", show(name), f"expected another name, this is the job in {display_name(first)}")


def unlistable(directory: Path, error: OSError) -> JobsDirectoryError:
    """Return the error for a jobs directory that cannot be listed; it says what to do."""
    if isinstance(error, FileNotFoundError):
        return JobsDirectoryError(f"the jobs directory {directory} does not exist; create it")
    if isinstance(error, NotADirectoryError):
        return JobsDirectoryError(f"the jobs directory {directory} is not a directory; name another one")
    return JobsDirectoryError(f"the jobs directory {directory} cannot be listed: {os.strerror(error.errno or 0)}")


def show(value: object) -> str:
    """Return a JSON value as a problem shows it: a scalar shortened, of a list or object only its kind."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(value) if len(value) <= LONGEST_SHOWN else f"{value[:LONGEST_SHOWN]!r}…"
    return WORDS.get(type(value)) or _shorten(repr(value))


def kind(value: object) -> str:
    """Return only what sort of JSON value this is, for values that must not be repeated."""
    if isinstance(value, str):
        return "a text"
    return WORDS.get(type(value)) or ("true or false" if isinstance(value, bool) else "a number")


def _unready(values: dict[str, Any], problems: Sequence[Problem]) -> JobConfig | None:
    if any(problem.field not in OF_THE_WORLD for problem in problems):
        return None
    return JobConfig(**{"working_directory": "", **values})


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


class _Problems:
    """The faults of one file, the first hundred of them and the news that there are more."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    @property
    def full(self) -> bool:
        return len(self.found) > MOST_PROBLEMS

    def add(self, field: str, found: str, wanted: str) -> None:
        if len(self.found) < MOST_PROBLEMS:
            self.found.append(Problem(field, found, wanted))
        elif not self.full:
            self.found.append(Problem("", "", f"there are more than these {MOST_PROBLEMS} problems"))


Reader = Callable[[_Problems, str, Any], Any]
"""Checks one field's value and returns what the field holds; ignored if it added a problem."""


def _read_fields(
    problems: _Problems, prefix: str, document: dict[str, Any], readers: Mapping[str, Reader]
) -> dict[str, Any]:
    """Return the values of the known fields of `document` that have no problem."""
    values = {}
    for key, value in document.items():
        reader, before = readers.get(key), len(problems.found)
        if before and problems.full:
            break  # a reader that can add nothing more could not say that a value is unusable
        if reader is None:
            _add_unknown(problems, prefix, key, readers)
        else:
            value = reader(problems, prefix + key, value)
            if len(problems.found) == before:
                values[key] = value
    return values


def _add_unknown(problems: _Problems, prefix: str, key: str, known: Mapping[str, Reader]) -> None:
    """Add a key that means nothing here. Its value is not shown: it may be a misspelled environment."""
    meant = None
    if len(key) <= LONGEST_SHOWN:
        plain = key.lower().replace("-", "_")
        begun = [name for name in known if len(plain) > 2 and name.startswith(plain)]
        meant = next(iter(begun or difflib.get_close_matches(plain, known, n=1)), None)
    hint = f"did you mean {meant}?" if meant else "remove it"
    problems.add(prefix + _show_key(key), "", f"unknown key; {hint}")


def _show_key(key: str) -> str:
    return key if key.isprintable() and 0 < len(key) <= LONGEST_SHOWN else show(key)


def _text(problems: _Problems, field: str, value: Any) -> Any:
    if type(value) is not str:
        problems.add(field, show(value), "expected a text")
    elif "\0" in value:
        problems.add(field, *NUL)
    return value


def _shared_text(problems: _Problems, field: str, value: Any) -> Any:
    """Read a text that many jobs have in common; it is kept in memory once."""
    value = _text(problems, field, value)
    return intern(value) if type(value) is str else value


def _filled_text(problems: _Problems, field: str, value: Any) -> Any:
    if type(value) is str and not value.strip(BLANK):
        problems.add(field, show(value), "expected a text that is not empty")
        return value
    return _text(problems, field, value)


def _name(problems: _Problems, field: str, value: Any) -> Any:
    if type(value) is not str or not JOB_NAME.fullmatch(value):
        problems.add(field, show(value), "expected 1 to 64 of the characters A-Z, a-z, 0-9, _ and -")
    return value


def _directory(problems: _Problems, field: str, value: Any) -> Any:
    before = len(problems.found)
    value = _filled_text(problems, field, value)
    if len(problems.found) > before:
        return value
    if not os.path.isdir(value):
        problems.add(field, show(value), "expected a directory that exists")
    return intern(value)


def _zone(problems: _Problems, field: str, value: Any) -> Any:
    try:
        return intern(zone_named(value).key)
    except ScheduleError:
        problems.add(field, show(value), "expected an IANA time zone such as Europe/Berlin or UTC")
        return value


def _flag(problems: _Problems, field: str, value: Any) -> Any:
    if type(value) is not bool:
        problems.add(field, show(value), "expected true or false")
    return value


def _policy(problems: _Problems, field: str, value: Any) -> Any:
    try:
        return ConcurrencyPolicy(value)
    except ValueError:
        problems.add(field, show(value), "expected forbid, allow or replace")
        return value


def _number(minimum: int, *, above: bool = False) -> Reader:
    """Return the reader of a number from `minimum` (or above it) to 10^10."""
    bound = "above" if above else "of at least"
    wanted = f"expected a number {bound} {minimum} and at most {LARGEST_NUMBER}"

    def read(problems: _Problems, field: str, value: Any) -> Any:
        is_number = type(value) is int or type(value) is float  # not bool, which is an int in Python only
        if not is_number or not minimum <= value <= LARGEST_NUMBER or (above and value == minimum):
            problems.add(field, show(value), wanted)
        return value

    return read


def _whole(minimum: int, maximum: int = LARGEST_NUMBER) -> Reader:
    """Return the reader of a whole number; 3.0 is one, as in JSON Schema."""
    wanted = f"expected a whole number from {minimum} to {maximum}"

    def read(problems: _Problems, field: str, value: Any) -> Any:
        is_whole = type(value) is int or (type(value) is float and value.is_integer())
        if not is_whole or not minimum <= value <= maximum:
            problems.add(field, show(value), wanted)
            return value
        return int(value)

    return read


_exit_code = _whole(0, 255)


def _exit_codes(problems: _Problems, field: str, value: Any) -> Any:
    if type(value) is not list or not value:
        found = "an empty list" if value == [] else show(value)
        problems.add(field, found, "expected a list of one or more exit codes")
        return value
    codes = []
    for index, code in enumerate(value):
        codes.append(_exit_code(problems, f"{field}[{index}]", code))
        if problems.full:
            break
    return (0,) if codes == [0] else tuple(codes)  # the one object, for all jobs


def _environment(problems: _Problems, field: str, value: Any) -> Any:
    """Read the variables. Nothing of a value is ever shown but its kind: it may be a secret."""
    if type(value) is not dict:
        problems.add(field, kind(value), "expected an object of texts")
        return value
    for name, text in value.items():
        if fault := _name_fault(name):
            # What follows a `=` was probably meant as the value.
            problems.add(f"{field}.{_show_key(name.partition('=')[0])}", "", fault)
        elif type(text) is not str:
            problems.add(f"{field}.{_show_key(name)}", kind(text), "expected a text")
        elif "\0" in text:
            problems.add(f"{field}.{_show_key(name)}", *NUL)
        if problems.full:
            break
    if not value:
        return NO_ENVIRONMENT
    return MappingProxyType({intern(name): text for name, text in value.items()})


def _name_fault(name: str) -> str:
    if not name:
        return "expected a variable's name, found an empty one"
    if "=" in name:
        return "expected a variable's name without ="
    if "\0" in name:
        return "expected a variable's name without NUL characters"
    if name.startswith(RESERVED_PREFIX):
        return f"names beginning {RESERVED_PREFIX} are the scheduler's own; choose another one"
    return ""


def _retries(problems: _Problems, field: str, value: Any) -> Any:
    if type(value) is not dict:
        problems.add(field, show(value), 'expected an object such as {"max_attempts": 3}')
        return value
    before = len(problems.found)
    values = _read_fields(problems, f"{field}.", value, RETRY_FIELDS)
    return value if len(problems.found) > before else Retries(**values)


RETRY_FIELDS: Mapping[str, Reader] = {
    "max_attempts": _whole(1),
    "initial_delay_seconds": _number(0),
    "multiplier": _number(1),  # below 1 each attempt would follow sooner than the one before
    "max_delay_seconds": _number(0),
}
FIELDS: Mapping[str, Reader] = {
    "$schema": _text,
    "name": _name,
    "schedule": _shared_text,
    "command": _filled_text,
    "working_directory": _directory,
    "enabled": _flag,
    "description": _text,
    "timezone": _zone,
    "timeout_seconds": _number(0, above=True),
    "kill_grace_seconds": _number(0),
    "concurrency_policy": _policy,
    "starting_deadline_seconds": _number(0),
    "jitter_seconds": _number(0),
    "retries": _retries,
    "success_exit_codes": _exit_codes,
    "environment": _environment,
    "max_output_bytes": _whole(0),
}
REQUIRED = ("name", "schedule", "command", "working_directory", "enabled")
