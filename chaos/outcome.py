"""What an experiment reports: what was done how often, and what was found to be wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


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
