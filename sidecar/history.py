"""Read the logs for people while the scheduler writes and rotates them. Never writes, holds no lock."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Generator, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import Any, BinaryIO

from sidecar import journal
from sidecar.clock import from_iso
from sidecar.evidence import time_in

Entry = dict[str, Any]

LARGEST_NUMBER = 10**10  # as in job files; no duration, count or jump of ours is larger

NEEDED = {
    "job_queued": ("job_name", "run_id"),
    "job_start": ("job_name", "run_id"),
    "job_complete": ("job_name", "run_id", "status"),
    "job_skipped": ("job_name",),
    "job_missed": ("job_name",),
}
NEEDED_TIMES = {"job_complete": ("timestamp", "end_time")}
"""The fields that the readers of an event cannot do without; of every event its timestamp."""

KINDS: Mapping[str, type | UnionType] = {
    "job_name": str,
    "run_id": str,
    "status": str,
    "attempt": int,
    "count": int,
    "duration_seconds": int | float,
    "seconds": int | float,
    "errors": list | str,
}
"""What a field holds, in whatever event it stands, unless it is null."""

KEPT_BYTES = 1 << 20
"""So much of what was read is compared with what is there, before more is read."""


def entries(path: Path, containing: Collection[bytes] = ()) -> Generator[Entry, None, None]:
    """Yield the entries of a log and of all its rotated files, oldest first.

    With `containing`, only those whose line holds at least one of these byte strings; the others are not even
    parsed. Raises OSError for a file that is there and cannot be read.
    """
    with contextlib.ExitStack() as stack:
        for _, file in reversed(journal.open_all(path, stack)):
            yield from _entries(file, containing)


def oldest(path: Path) -> datetime | None:
    """Return the time of the oldest line that there still is, None if there is none. Raises OSError."""
    with contextlib.closing(entries(path)) as lines:
        first = next(lines, None)
    return None if first is None else from_iso(first["timestamp"])


def newest_by_job(path: Path, event: str, jobs: Collection[str]) -> dict[str, Entry]:
    """Return the newest `event` entry of each of the jobs; looks no further back than it has to."""
    marks = (b'"event": "%s"' % event.encode(),)
    missing, found = set(jobs), {}
    with contextlib.ExitStack() as stack:
        for _, file in journal.open_all(path, stack):
            here = {e["job_name"]: e for e in _entries(file, marks) if e["event"] == event and e.get("job_name")}
            found.update({name: here[name] for name in missing & here.keys()})
            missing -= here.keys()
            if not missing:
                break
    return found


def is_usable(entry: Entry) -> bool:
    """Return whether the entry has a time, as every line of ours has, and what its readers need of its event.

    Jobs can write into the logs as well; what they wrote there must keep nobody from reading the rest.
    """
    event = entry["event"]
    if any(time_in(entry, field) is None for field in NEEDED_TIMES.get(event, ("timestamp",))):
        return False
    if any(entry.get(field) is None for field in NEEDED.get(event, ())):
        return False
    return all(_is_sound(entry[field], kind) for field, kind in KINDS.items() if entry.get(field) is not None)


class Follower:
    """Yields what is appended to a log from now on, through any number of rotations.

    What is cut off behind it (a write that failed is) and written again is one and the same; anything else in its
    place is new.
    """

    def __init__(self, path: Path) -> None:
        """Begin at the end of the log, or at the beginning of one that is not there yet. Raises OSError."""
        self._path = path
        self._file: BinaryIO | None = None
        self._position = 0
        self._known = b""
        with contextlib.suppress(FileNotFoundError):
            self._file = path.open("rb", buffering=0)
            end = self._file.seek(0, os.SEEK_END)
            self._file.seek(max(0, end - KEPT_BYTES))
            self._known = self._file.read()
            self._position = self._file.tell()

    def new_entries(self) -> list[Entry]:
        """Return the whole lines that were added since the last call. Raises OSError."""
        found = self._rest()
        for newer in self._newer_files():
            found += self._rest()  # what came in between the last look and the rotation
            self._switch_to(newer)
            found += self._rest()
        return found

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _newer_files(self) -> list[BinaryIO]:
        """Return the files that took our file's place, oldest first; all there are if ours is gone altogether."""
        newer: list[BinaryIO] = []
        for path in journal.files(self._path):
            with contextlib.suppress(FileNotFoundError):
                file = path.open("rb", buffering=0)
                if self._file is not None and os.path.sameopenfile(file.fileno(), self._file.fileno()):
                    file.close()
                    break
                # It moved on between the two looks.
                if newer and os.path.sameopenfile(file.fileno(), newer[-1].fileno()):
                    file.close()
                    continue
                newer.append(file)
        return newer[::-1]

    def _switch_to(self, file: BinaryIO) -> None:
        self.close()
        self._file, self._position, self._known = file, 0, b""

    def _rest(self) -> list[Entry]:
        """Return the whole lines from here to the end; half a line is left for the next time."""
        if self._file is None:
            return []
        if os.fstat(self._file.fileno()).st_size == self._position:
            return []
        start = self._position - len(self._known)
        self._file.seek(start)
        there = self._file.read()
        if self._known.startswith(there):
            return []  # cut off: what comes in its place will show
        begin = len(self._known) if there.startswith(self._known) else _common_lines(self._known, there)
        end = there.rfind(b"\n") + 1
        self._position, self._known = start + end, there[max(0, end - KEPT_BYTES) : end]
        parsed = (journal.parse_line(line) for line in there[begin:end].split(b"\n"))
        return [entry for entry in parsed if entry is not None and is_usable(entry)]


def _common_lines(one: bytes, other: bytes) -> int:
    """Return how long the whole lines are that both begin with."""
    length = 0
    for line, its_like in zip(one.split(b"\n"), other.split(b"\n"), strict=False):
        if line != its_like:
            break
        length += len(line) + 1
    return length


def _entries(file: BinaryIO, containing: Collection[bytes]) -> Iterator[Entry]:
    for line in file:
        if not containing or any(mark in line for mark in containing):
            entry = journal.parse_line(line)
            if entry is not None and is_usable(entry):
                yield entry


def _is_sound(value: object, kind: type | UnionType) -> bool:
    if isinstance(value, int | float) and not abs(value) <= LARGEST_NUMBER:  # nor is NaN
        return False
    return isinstance(value, kind)
