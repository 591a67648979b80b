"""What an audit can find in a journal, where that is collected, and how the report reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sidecar.human import count


class Rule(StrEnum):
    """What can be wrong."""

    NO_CHECKPOINT = "no_checkpoint"
    STARTED_TWICE = "started_twice"
    STARTED_UNASKED = "started_unasked"
    STARTED_AFTER_END = "started_after_end"
    OVERLAPPED = "overlapped"
    ENDED_TWICE = "ended_twice"
    ENDED_UNSTARTED = "ended_unstarted"
    PASSED_OVER_WRONGLY = "passed_over_wrongly"
    ANSWERED_TWICE = "answered_twice"
    ANSWER_FORGOTTEN = "answer_forgotten"
    TIME_STARTED_TWICE = "time_started_twice"
    TIME_ACCOUNTED_TWICE = "time_accounted_twice"
    TIME_UNACCOUNTED = "time_unaccounted"
    TIME_UNSCHEDULED = "time_unscheduled"
    LINES_MISSING = "lines_missing"
    EVIDENCE_TWICE = "evidence_twice"
    EVIDENCE_UNKNOWN = "evidence_unknown"
    EVIDENCE_MISSING = "evidence_missing"


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file; lines count from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken promise, and where it shows."""

    place: Place
    rule: Rule
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """The findings, in the order of their lines; runs without an end and accepted ones without a start; counts."""

    findings: Sequence[Finding]
    open: Mapping[str, Place]
    waiting: Mapping[str, Place]
    counts: Mapping[str, int]


class Findings:
    """Collects findings and counts, and doubts: lines that seem to be missing and may still follow."""

    def __init__(self) -> None:
        self.found: list[Finding] = []
        self.counts: Counter[str] = Counter()
        self._doubts: dict[str, Finding] = {}

    def add(self, place: Place, rule: Rule, message: str) -> None:
        """Note what is wrong."""
        self.found.append(Finding(place, rule, message))

    def doubt(self, about: str, place: Place, message: str) -> None:
        """Note that lines about a run or a job seem to be missing."""
        self._doubts[about] = Finding(place, Rule.LINES_MISSING, message)

    def clear_doubt(self, about: str) -> None:
        """Drop the doubt, if there is one: a line has come."""
        self._doubts.pop(about, None)

    def confirm_doubts(self) -> None:
        """Make all doubts findings: the lines cannot follow any more."""
        self.found += self._doubts.values()
        self._doubts.clear()


def as_text(report: Report) -> Iterator[str]:
    """Yield the findings as a compiler would print them, what is still to end, and a summary."""
    for finding in report.findings:
        yield f"{finding.place}: {finding.rule}: {finding.message}"
    for run_id, place in report.open.items():
        yield f"{place}: open: run {run_id} has no end yet"
    for run_id, place in report.waiting.items():
        yield f"{place}: waiting: run {run_id} has neither started nor ended yet"
    n = report.counts
    yield (
        f"{count(n['lines'], 'line')} in {count(n['files'], 'file')}: {count(n['starts'], 'start')},"
        f" {count(n['ends'], 'end')}, {len(report.open)} open, {len(report.waiting)} waiting;"
        f" {count(n['times'], 'scheduled time')} ({n['times_compared']:,} compared with their schedule);"
        f" {count(n['accepted'] + n['rejected'], 'request')} ({n['accepted']:,} accepted, {n['rejected']:,} rejected);"
        f" {count(n['evidence'], 'line')} of evidence; {count(n['torn_lines'], 'torn line')};"
        f" {count(len(report.findings), 'finding')}"
    )


def as_document(report: Report) -> dict[str, Any]:
    """Return the report as JSON has it."""
    return {
        "clean": not report.findings,
        "findings": [
            {"file": f.place.file, "line": f.place.line, "rule": f.rule, "message": f.message} for f in report.findings
        ],
        "open": {run_id: str(place) for run_id, place in report.open.items()},
        "waiting": {run_id: str(place) for run_id, place in report.waiting.items()},
        "counts": dict(report.counts),
    }
