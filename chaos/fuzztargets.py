"""What must hold for any bytes: each target takes some, and raises what a fuzzer calls a crash if it does not hold.

Where both services read the same thing they must read it alike. tests/corpus/ has what they are tried on in tests, and
what `chaos.fuzzrunner` begins with.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from admin_ui import cron as admin_cron
from admin_ui import entries
from admin_ui import errors as admin_errors
from admin_ui import files as admin_files
from admin_ui import schema as admin_schema
from admin_ui.follow import Cursor, Follower
from admin_ui.history import History
from sidecar import audit, audit_events, audit_report, cron, journal, requests
from sidecar import files as sidecar_files
from sidecar.config import ConfigLoader
from sidecar.errors import JobFileError, JournalUnusable, ScheduleError
from sidecar.ledger import Ledger

SCHEMAS = Path(__file__).parent.parent / "schemas"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
ZONES = ("UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago")
NOTHING = object()


class Broken(Exception):
    """What must hold for any bytes does not hold for these."""


def check_json(data: bytes) -> None:
    """Both services take the same bytes for JSON, and read the same value."""
    ours, theirs = _value(sidecar_files.read_json, data), _value(admin_files.read_json, data)
    _require((ours is NOTHING) == (theirs is NOTHING), "one of the two reads it")
    _require(repr(ours) == repr(theirs), "they read different values")


def _value(read: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return read(data)
    except ValueError:
        return NOTHING


def check_definition(data: bytes) -> None:
    """The loader takes a definition or says what is wrong with it; what it takes can be written and read again.

    The page's rules agree, but for the directory that has to exist where the scheduler runs.
    """
    loader = ConfigLoader("/nowhere", default_timezone="UTC")
    document = _value(sidecar_files.read_json, data)
    try:
        config = loader.parse("fuzzed.json", data)
    except JobFileError as error:
        _require(error.problems, "refused without a reason")
        if document is not NOTHING and any(problem.field != "working_directory" for problem in error.problems):
            _require(admin_schema.problems(document), f"the page would save what is refused: {error}")
        return
    again = json.dumps(document).encode()
    _require(loader.parse("fuzzed.json", again) == config, "written and read again it is another one")
    wrong = admin_schema.problems(document)
    _require(not wrong, f"the page would refuse what is valid: {wrong}")
    audit.terms_of(config, "UTC")


def check_schedule(data: bytes) -> None:
    """Both services take the same schedules, and expect the same times."""
    text = data[1:].decode("utf-8", "replace")
    zone = ZONES[data[0] % len(ZONES)] if data else "UTC"
    try:
        schedule = cron.parse(text, zone)
    except ScheduleError:
        _require(not admin_cron.is_valid(text), f"only the page takes it: {text!r}")
        return
    _require(admin_cron.is_valid(text), f"only the scheduler takes it: {text!r}")
    theirs, instant = admin_cron.parse(text, zone), NOON
    for _ in range(3):
        instant, before = schedule.next_after(instant), instant
        _require(theirs.next_after(before) == instant > before, f"they expect different times after {before}")
        _require(schedule.span(before, instant) == cron.Span(instant, instant, 1), f"not one time up to {instant}")


def check_request(data: bytes) -> None:
    """The reader takes what the schema of requests allows, and nothing else."""
    document = _value(sidecar_files.read_json, data)
    is_allowed = document is not NOTHING and _requests().is_valid(document)
    try:
        requests.parse(data)
    except ValueError as error:
        _require(not is_allowed, f"refused, though the schema allows it: {error}")
    else:
        _require(is_allowed, "taken, though the schema does not allow it")


@cache
def _requests() -> Draft202012Validator:
    return Draft202012Validator(json.loads((SCHEMAS / "trigger.schema.json").read_text()))


def check_replay(data: bytes) -> None:
    """A scheduler that starts on this journal knows where it is or says that it cannot; its checkpoint is whole."""
    with tempfile.TemporaryDirectory(dir=_fast()) as folder:
        path = Path(folder) / journal.JOURNAL
        path.write_bytes(data)
        lines = [
            audit_events.Line(audit_report.Place(path.name, number), journal.parse_line(line))
            for number, line in enumerate(data.splitlines(keepends=True), 1)
        ]
        for _ in audit_report.as_text(audit.audit(lines)):
            pass
        try:
            ledger = journal.replay(path)
        except JournalUnusable:
            return
    checkpoint = json.dumps(ledger.checkpoint())
    again = Ledger()
    again.apply({"timestamp": "2026-06-01T12:00:00.000000Z", "event": "checkpoint", **json.loads(checkpoint)})
    _require(json.dumps(again.checkpoint()) == checkpoint, "a checkpoint leads to another one")


def check_follower(data: bytes) -> None:
    """The admin's follower gives each whole line once, however the log grows; no line makes its index fail."""
    if not data:
        return
    cut = data[-1] * len(data) // 256
    with tempfile.TemporaryDirectory(dir=_fast()) as folder:
        path = Path(folder) / journal.JOURNAL
        path.write_bytes(data[:cut])
        follower, cursors, found = Follower(path), dict[str, Cursor](), list[bytes]()
        for _ in range(2):
            for batch in follower.read(cursors):
                cursors[batch.cursor.file] = batch.cursor
                found += batch.lines
            path.write_bytes(data)
        # Where what tells the file from others (its beginning) grew in between, it is read again from there on.
        whole = data.split(b"\n")[:-1]
        _require(found[len(found) - len(whole) :] == whole, "lines are lost")
        _require(len(found) <= 2 * len(whole), "lines come more than twice")
        for line in whole:
            entry = entries.parse(line)
            if entry is not None and entry["event"] == "job_complete":
                entries.cause(entry)


def check_index(data: bytes) -> None:
    """Whatever both logs hold, the admin's index takes it up, and once only."""
    with tempfile.TemporaryDirectory(dir=_fast()) as folder:
        root = Path(folder)
        (root / journal.JOURNAL).write_bytes(data)
        (root / journal.MAIN_LOG).write_bytes(data)
        history = History(root, root / "data")
        history._forget_at = math.inf  # what is forgotten for its age may well come again
        try:
            history.poll()
            with history.reading() as connection:
                before = connection.execute("SELECT count(*) FROM lines").fetchone()
            with history.database.write() as connection:
                connection.execute("DELETE FROM cursors")
            for follower in history._followers.values():
                follower.forget()
            with history.reading() as connection:
                again = connection.execute("SELECT count(*) FROM lines").fetchone()
            _require(again == before, f"{before} lines became {again} when they were read again")
        except admin_errors.StorageError as error:
            raise Broken(f"the index cannot take it up: {error}") from error
        finally:
            history.stop()


def _require(holds: object, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)


@cache
def _fast() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


TARGETS: dict[str, Callable[[bytes], None]] = {
    "json": check_json,
    "definition": check_definition,
    "schedule": check_schedule,
    "request": check_request,
    "replay": check_replay,
    "follower": check_follower,
    "index": check_index,
}

CORPORA = {"replay": "journal", "follower": "journal", "index": "journal"}
"""Targets that begin with the files of another folder than their own name's."""
