"""What the admin's index answers, and some more lines to feed it with."""

from __future__ import annotations

from datetime import timedelta

from admin_ui import queries
from admin_ui.history import History
from admin_ui.queries import Filter
from admin_ui.scheduler_state import scheduler_state
from tests.admin_lines import NOON, accepted, line

DAY = 86_400


def page(history: History, **which) -> list[str | None]:
    with history.database.read() as connection:
        return [row.run_id for row in queries.page(connection, Filter(**which), 100).rows]


def row(history: History, run_id: str) -> queries.HistoryRow:
    with history.database.read() as connection:
        found = queries.run(connection, run_id)
    assert found is not None
    return found


def state(history: History, seconds: float = 0, heartbeat: float | None = None, lost: float | None = None):
    beat, lost_at = (None if each is None else NOON + timedelta(seconds=each) for each in (heartbeat, lost))
    with history.database.read() as connection:
        return scheduler_state(connection, NOON + timedelta(seconds=seconds), beat, lost_at)


def started(seconds: float, config_errors: int = 0):
    return line("scheduler_started", seconds, timezone="Europe/Berlin", version="1", config_errors=config_errors)


def heartbeat(seconds: float):
    return line("heartbeat", seconds, running=0, queued=0, next_run_at=None)


def rejected(request_id: str):
    return accepted(request_id, "r9") | {"event": "trigger_rejected", "reason": "disabled", "detail": ""}
