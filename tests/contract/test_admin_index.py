"""The admin's index and the scheduler's ledger say the same of every run, in whatever pieces the journal is read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from admin_ui import queries
from admin_ui.history import JOURNAL, History
from sidecar.ledger import Ledger
from sidecar.model import Run
from tests.admin_lines import accepted, append, complete, failure, line, run, skipped, start, time

BACKUPS = 3


class Scheduler:
    """Writes the lines of made-up runs; its own memory is the ledger."""

    def __init__(self, journal: Path) -> None:
        self.ledger = Ledger()
        self._journal = journal
        self._second = 0

    def do(self, move: str, which: int) -> None:
        """Make a move, if there is a run that it can be made with."""
        self._second += 1
        second, new = self._second, f"r{self._second}"
        waiting, going = [*self.ledger.pending, *self.ledger.retries], [*self.ledger.open]
        match move:
            case "accept":
                self._write(accepted(f"q{second}", new, second))
            case "queue":
                self._write(line("job_queued", second, **run(new, reason="no place")))
            case "start":
                chosen = waiting[which % len(waiting)] if waiting else None
                self._write(start(chosen.run_id, second, **_facts(chosen)) if chosen else start(new, second))
            case "pass over" if waiting:
                self._write(skipped(second, run_id=waiting[which % len(waiting)].run_id, reason="replaced"))
            case "end" if going:
                chosen = going[which % len(going)]
                self._write(complete(chosen.run_id, second, **_facts(chosen)))
            case "fail" if going:
                chosen = going[which % len(going)]
                self._write(failure(chosen.run_id, second, retry_at=time(second + 60), **_facts(chosen)))

    def rotate(self, *, lose: bool) -> None:
        """Go on in a new file; with `lose`, somebody has removed all that there were."""
        names = [self._journal, *(Path(f"{self._journal}.{number}") for number in range(1, BACKUPS + 1))]
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            if newer.exists():
                os.replace(newer, older)
        for name in names if lose else ():
            name.unlink(missing_ok=True)
        append(self._journal, line("checkpoint", self._second, **self.ledger.checkpoint()))

    def _write(self, entry: dict[str, Any]) -> None:
        append(self._journal, entry)
        self.ledger.apply(entry)


def _facts(of: Run) -> dict[str, Any]:
    return {
        "trigger": str(of.trigger),
        "attempt": of.attempt,
        "first_run_id": of.first_run_id,
        "request_id": of.request_id,
    }


moves = st.sampled_from(
    ("accept", "queue", "start", "start", "pass over", "end", "fail", "read", "restart", "rotate", "lose")
)


@given(st.lists(st.tuples(moves, st.integers(0, 5)), max_size=50))
@example([("accept", 0), ("read", 0), ("start", 0), ("lose", 0)])
@example([("start", 0), ("fail", 0), ("read", 0), ("start", 0), ("rotate", 0), ("rotate", 0), ("lose", 0)])
@example([("start", 0), ("accept", 0), ("read", 0), ("end", 0), ("pass over", 0), ("lose", 0)])
def test_runs_that_are_going_or_wait_are_those_of_the_ledger(story):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "logs").mkdir()
        scheduler = Scheduler(root / "logs" / JOURNAL)
        scheduler.rotate(lose=False)
        history = History(root / "logs", root / "data", keep_days=100_000)
        for move, which in story:
            if move == "read":
                history.poll()
            elif move == "restart":
                history.stop()
                history = History(root / "logs", root / "data", keep_days=100_000)
            elif move in ("rotate", "lose"):
                scheduler.rotate(lose=move == "lose")
            else:
                scheduler.do(move, which)
        history.poll()
        with history.database.read() as connection:
            going, waiting = (
                {row.run_id for row in queries.active(connection, status)} for status in ("running", "queued")
            )
        history.stop()

    assert going == {each.run_id for each in scheduler.ledger.open}
    assert waiting == {each.run_id for each in (*scheduler.ledger.pending, *scheduler.ledger.retries)}
