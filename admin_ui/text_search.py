"""Search the index for a text: by its parts of three characters or, for a shorter one, through the newest lines."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from typing import Any

from admin_ui.errors import ValidationError
from admin_ui.model import FAILED, FAILURES, STATUSES

SHORTEST_INDEXED = 3  # characters: the index holds every sequence of three
SEARCH_SECONDS = 1.0
NEWEST_SEARCHED = 5000
"""Of a shorter text than the index knows, so many of the newest lines are looked through."""

LONGEST_SEARCH = 200


def has_text(needle: str, *texts: str) -> bool:
    """Return whether one of the texts has the needle, whatever the case (`needle` is casefolded). Called from SQL."""
    return any(needle in text.casefold() for text in texts)


class Hits:
    """Rows of lines that hold a text, newest first. Stops, no longer `complete`, when its time is over.

    `narrow` are the job and the status that `condition` asks for, if any: the index knows them as facts.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        columns: str,
        condition: str,
        values: list[Any],
        text: str,
        narrow: tuple[str | None, str | None],
        tables: str = "lines",
        seconds: float = SEARCH_SECONDS,
    ) -> None:
        if len(text) > LONGEST_SEARCH or "\0" in text:
            raise ValidationError({"search": f"write at most {LONGEST_SEARCH} characters, none of them NUL"})
        self.complete = True
        self._deadline = time.monotonic() + seconds
        self._indexed = len(text) >= SHORTEST_INDEXED
        verified = "has_text(?, lines.facts, lines.stdout, lines.stderr)"
        if self._indexed:
            match = " AND ".join([_phrase(text), *_facts(*narrow)])
            source, values = f"texts CROSS JOIN {tables}", [match, *values]
            condition = f"texts MATCH ? AND lines.seq = texts.rowid AND {condition}"
            order = "texts.rowid"
        else:
            source, order = tables, "lines.seq"
            condition = f"lines.facts <> '' AND {condition}"
        self._rows = connection.execute(
            f"SELECT {verified}, {columns} FROM {source} WHERE {condition} ORDER BY {order} DESC",
            (text.casefold(), *values),
        )

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for number, row in enumerate(self._rows):
            if (not self._indexed and number >= NEWEST_SEARCHED) or time.monotonic() > self._deadline:
                self.complete = False
                return
            if row[0]:
                yield row[1:]


def _facts(job_name: str | None, status: str | None) -> Iterator[str]:
    """Yield what narrows a search to lines of this job and status, as far as the index can."""
    if job_name is not None and len(job_name) >= SHORTEST_INDEXED:
        yield f"facts : {_phrase(job_name)}"
    statuses = list(FAILURES) if status == FAILED else [each for each in STATUSES if each == status]
    if statuses:
        yield f"facts : ({' OR '.join(map(_phrase, statuses))})"


def _phrase(text: str) -> str:
    escaped = text.replace('"', '""')
    return f'"{escaped}"'
