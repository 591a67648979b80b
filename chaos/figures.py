"""The table of results in docs/reliability.md: each run of an experiment in its full form replaces that one's row."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from chaos.outcome import Outcome

PAGE = Path(__file__).parent.parent / "docs" / "reliability.md"
HEAD = "| experiment | date | seed | what was done | runs | scheduled times compared | requests answered | findings |"
BACKGROUND = frozenset(
    (
        *("checks", "starts", "ends", "times", "times_compared", "accepted", "rejected", "requests", "files", "rounds"),
        *("torn_lines", "evidence", "status_interrupted", "job_missed", "job_skipped", "reanchored", "journals judged"),
    )
)
"""Counts that every experiment has, or that have a column of their own."""


def write(name: str, seed: int, outcome: Outcome, page: Path = PAGE) -> None:
    """Put the row of an experiment into the page, in the place of its old one or at the table's end."""
    page.write_text(updated(page.read_text(), name, row(name, seed, outcome.counts, len(outcome.findings))))


def row(name: str, seed: int, counts: Mapping[str, int], findings: int) -> str:
    """Return the row of an experiment that ran today."""
    done = ", ".join(f"{key}: {value:,}" for key, value in counts.items() if value and key not in BACKGROUND)
    answered = counts.get("accepted", 0) + counts.get("rejected", 0)
    numbers = (counts.get("starts", 0), counts.get("times_compared", 0), answered, findings)
    cells = (f"`{name}`", f"{datetime.now(UTC):%Y-%m-%d}", str(seed), done, *(f"{number:,}" for number in numbers))
    return f"| {' | '.join(cells)} |"


def updated(text: str, name: str, new: str) -> str:
    """Return the page's text with the row put in. Raises ValueError if there is no table."""
    lines = text.split("\n")
    first = lines.index(HEAD) + 2
    last = next(
        number for number in range(first, len(lines) + 1) if not lines[number : number + 1] or not lines[number]
    )
    rows = lines[first:last]
    place = next((number for number, each in enumerate(rows) if each.startswith(f"| `{name}` |")), len(rows))
    return "\n".join([*lines[:first], *rows[:place], new, *rows[place + 1 :], *lines[last:]])
