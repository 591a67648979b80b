"""Read the journal back: its files in order, its whole lines, and the ledger they amount to. Reads only."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

from sidecar.errors import JournalUnusable
from sidecar.ledger import Ledger

JOURNAL = "scheduler_jobs.log"
MAIN_LOG = "scheduler_main.log"
ROTATIONS_MEANWHILE = 10
OF_A_RUN = ("job_queued", "job_start", "job_complete")
NAMES = ("run_id", "job_name", "first_run_id", "request_id", "sha256")
MOST_ATTEMPTS = 10**12
MARK = b'"event": "checkpoint"'


def files(path: Path) -> list[Path]:
    """Return a log's existing files, newest first: `path`, `path.1`, `path.2` …"""
    pattern = re.compile(re.escape(path.name) + r"\.([0-9]+)")
    numbered = ((pattern.fullmatch(entry.name), entry) for entry in path.parent.glob(f"{path.name}.*"))
    backups = sorted((int(match[1]), entry) for match, entry in numbered if match)
    return [entry for entry in (path, *(entry for _, entry in backups)) if entry.is_file()]


def open_all(path: Path, stack: ExitStack) -> list[tuple[str, BinaryIO]]:
    """Open a log's files and return them with their names, newest first: a rotation meanwhile hides none of them."""
    opened: list[tuple[str, BinaryIO]] = []
    for each in files(path):
        with suppress(FileNotFoundError):
            file = stack.enter_context(each.open("rb"))
            if not any(os.path.sameopenfile(file.fileno(), other.fileno()) for _, other in opened):
                opened.append((each.name, file))
    return opened


def entries(path: Path, offset: int = 0) -> Iterator[dict[str, Any]]:
    """Yield one file's lines from `offset` on, as dictionaries, without those that do not parse (they were torn)."""
    with path.open("rb") as lines:
        lines.seek(offset)
        for line in lines:
            entry = parse_line(line)
            if entry is not None:
                yield entry


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Return the line as a dictionary that has an `event`, or None for anything else."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("event"), str) else None


def replay(path: Path) -> Ledger:
    """Return the ledger as of the last whole line, from the newest complete checkpoint onwards.

    No checkpoint anywhere is a first start: an empty ledger. Raises JournalUnusable if a file cannot be read or
    holds a checkpoint that a newer version wrote.
    """
    for _ in range(ROTATIONS_MEANWHILE):
        try:
            return _replay(path)
        except FileNotFoundError:
            continue  # rotated between the listing and the reading
        except OSError as error:
            raise JournalUnusable(f"cannot read {error.filename}: {error.strerror}") from error
    raise JournalUnusable(f"cannot read {path}: it is being rotated all the time")


def _replay(path: Path) -> Ledger:
    ledger = Ledger()
    for entry in _since_newest_checkpoint(path):
        _apply(ledger, entry)
    return ledger


def _apply(ledger: Ledger, entry: dict[str, Any]) -> None:
    try:
        if entry["event"] != "checkpoint":
            _require_names(entry)
        ledger.apply(entry)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        if entry["event"] == "checkpoint":
            raise JournalUnusable(f"the journal's checkpoint cannot be used: {error}") from error
        # Somebody else's line in our file: like a torn one, it must not keep the scheduler from starting.


def _require_names(entry: dict[str, Any]) -> None:
    """Raise TypeError or ValueError unless what names runs, jobs and requests are texts that can be written again."""
    is_needed = entry["event"] in OF_A_RUN or (entry["event"], entry.get("action")) == ("trigger_accepted", "run")
    for field in NAMES:
        name = entry.get(field)
        if name is None and not (is_needed and field in entry and field != "request_id"):
            continue
        if type(name) is not str:
            raise TypeError(f"{field} is no text")
        name.encode()
    attempt = entry.get("attempt", 1)
    if type(attempt) is not int or not 0 < attempt <= MOST_ATTEMPTS:
        raise ValueError("attempt is no number of a run")


def _since_newest_checkpoint(path: Path) -> Iterator[dict[str, Any]]:
    newer: list[Path] = []
    for file in files(path):
        offset = _newest_checkpoint(file)
        if offset is not None:
            yield from entries(file, offset)
            for later in reversed(newer):
                yield from entries(later)
            return
        newer.append(file)


def _newest_checkpoint(file: Path) -> int | None:
    """Return where in the file the last full checkpoint begins."""
    offset, found = 0, None
    with file.open("rb") as lines:
        for line in lines:
            if MARK in line:
                entry = parse_line(line)
                if entry is not None and entry["event"] == "checkpoint" and entry.get("full") is True:
                    found = offset
            offset += len(line)
    return found
