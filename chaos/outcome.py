"""What an experiment reports: what was done how often, and what was found to be wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Size(IntEnum):
    """How much of an experiment is done: seconds of it in every run of the tests, some of it by hand, or all."""

    TINY = 0
    SHORT = 1
    FULL = 2

    def of(self, tiny: int, short: int, full: int) -> int:
        """Return the number of this size."""
        return (tiny, short, full)[self]

    def sample(self, chance: Random, items: Sequence[T], tiny: int, short: int | None = None) -> Sequence[T]:
        """Return so many of the items, in their order; all in the full size, and in the short one without a number."""
        number = (tiny, len(items) if short is None else short, len(items))[self]
        chosen = sorted(chance.sample(range(len(items)), min(number, len(items))))
        return [items[index] for index in chosen]


class CannotRun(Exception):
    """An experiment needs something that this machine lacks; nothing was started."""


@dataclass(slots=True)
class Outcome:
    """Counts of what happened, and everything that must not have happened, a line each."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Count a check and note what is wrong if it fails."""
        self.counts["checks"] += 1
        if not holds:
            self.findings.append(otherwise)
