"""The journal's lines as the audit judges them: each with the terms of its time and what is known of older lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sidecar.audit_report import Findings, Place, Rule
from sidecar.clock import from_iso
from sidecar.cron import Schedule

Entry = Mapping[str, Any]

SLACK = timedelta(seconds=65)
"""A working scheduler has a line for a scheduled time this long after it was due, at the latest."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the journal; `entry` is None for one that does not parse (it was torn, or is somebody else's)."""

    place: Place
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a definition asks for. `schedule` is None for a disabled one; `slack` is how late a line may be."""

    schedule: Schedule | None
    may_overlap: bool
    slack: timedelta = SLACK


@dataclass(frozen=True, slots=True)
class Event:
    """A line that parses; `newest` is the latest time so far, `terms` are those of its time by definitions' sha256.

    A journal that was taken away is begun anew from memory: its checkpoint then knows of lines that had not been
    written yet and follow it. They are older than the checkpoint, which is what they are `foretold_by`.

    `knows_the_past` is whether all older lines are known, so that what this one refers to must be among them. Not
    before the first checkpoint. Nor in what that one foretold: whoever emptied the journal took the rest away.
    """

    place: Place
    entry: Entry
    moment: datetime
    newest: datetime
    terms: Mapping[str, Terms]
    foretold_by: Place | None
    knows_the_past: bool

    def __getitem__(self, field: str) -> Any:
        return self.entry[field]

    def contradicts(self, before: Place | None) -> bool:
        """Return whether what is known from `before`, if anything is, rules this line out rather than foretells it."""
        return before is not None and before != self.foretold_by


class Events:
    """Makes events of lines, oldest first; `oldest` is the time of the first one."""

    def __init__(self, terms: Sequence[tuple[datetime, Mapping[str, Terms]]], findings: Findings) -> None:
        self._terms = terms
        self._findings = findings
        self._file = ""
        self._first_checkpoint: Place | None = None
        self._checkpoint: Event | None = None
        self._newest: datetime | None = None
        self.oldest: datetime | None = None

    def read(self, line: Line) -> Event:
        """Return the line as an event. Raises KeyError, TypeError or ValueError if it is none."""
        place, entry = line.place, line.entry
        if entry is None or not all(isinstance(entry.get(field), str | None) for field in ("job_name", "run_id")):
            raise ValueError(f"{place}: the line is torn or somebody else's")
        moment = from_iso(entry["timestamp"])
        if place.file != self._file:
            self._file = place.file
            self._findings.counts["files"] += 1
            if entry["event"] != "checkpoint" or not entry.get("full"):
                self._findings.add(place, Rule.NO_CHECKPOINT, "the file does not begin with a checkpoint")
        self.oldest = self.oldest or moment
        self._newest = max(self._newest or moment, moment)
        latest = self._checkpoint
        foretold_by = latest.place if latest is not None and moment <= latest.moment else None
        knows_the_past = self._first_checkpoint not in (None, foretold_by)
        return Event(place, entry, moment, self._newest, self.terms_at(moment), foretold_by, knows_the_past)

    def follow(self, checkpoint: Event) -> None:
        """Take note that the lines to come follow this full checkpoint."""
        self._first_checkpoint = self._first_checkpoint or checkpoint.place
        self._checkpoint = checkpoint

    def terms_at(self, moment: datetime) -> Mapping[str, Terms]:
        """Return the terms that were in force."""
        return next((terms for since, terms in reversed(self._terms) if since <= moment), self._terms[0][1])
