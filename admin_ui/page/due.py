"""The scheduled time that has come and whose start the job's jitter still delays. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache

from admin_ui import cron
from admin_ui.job_files import JobFile
from admin_ui.overview import Overview, Upcoming
from admin_ui.queries import HistoryRow

MINUTE = timedelta(minutes=1)
LOOKS_BACK = timedelta(days=366)
"""How long before a scheduled time the one before it is looked for: no jitter that anybody uses is longer."""


def due(
    file: JobFile | None, upcoming: Upcoming | None, overview: Overview, last: HistoryRow | None, *, is_going: bool
) -> Upcoming | None:
    """Return the time that is about to be followed by a start, None if there is none.

    By how much a start is delayed, only the scheduler knows: once a run ended after the time, this may have been its
    own, or the reason why it was skipped.
    """
    config = file.config if file else None
    if file is None or config is None or not config.jitter_seconds or upcoming is None or is_going:
        return None
    holds = overview.paused_since is not None or overview.scheduler.status != "alive"
    if holds or not overview.loaded.get(file.name):
        return None
    at = _before(config.schedule, upcoming.zone, upcoming.at)
    since = max((each for each in (file.modified, last and (last.end_time or last.at)) if each), default=None)
    is_delayed = at is not None and at <= overview.now < at + timedelta(seconds=config.jitter_seconds)
    if at is None or not is_delayed or (since is not None and since >= at):
        return None
    return replace(upcoming, at=at)


@lru_cache(maxsize=10_000)
def _before(expression: str, zone: str, at: datetime) -> datetime | None:
    """Return the scheduled time before `at`, which is one itself; None if that is long ago."""
    schedule = cron.parse(expression, zone)
    step = MINUTE
    while schedule.next_after(at - step) >= at:
        step *= 2
        if step > LOOKS_BACK:
            return None
    early, late = at - step, at - step / 2
    while late - early > MINUTE:  # in which there are no two scheduled times
        middle = early + (late - early) / 2
        early, late = (middle, late) if schedule.next_after(middle) < at else (early, middle)
    return schedule.next_after(early)
