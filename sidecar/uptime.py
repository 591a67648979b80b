"""Say what kept the scheduler from starting anything at a time: it was down, draining, asleep, or the clock jumped.

Pure. The main log's signs of life are all that is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from sidecar.evidence import Entry, Evidence, stamp
from sidecar.health import STALE_SECONDS
from sidecar.human import show_length

TURNS = ("scheduler_started", "scheduler_stopping", "scheduler_stopped", "scheduler_crashed")
LIFE = ("heartbeat", *TURNS)

SILENCE = timedelta(seconds=STALE_SECONDS)
"""Without a sign of life for so long the scheduler did not work."""


def stopping(main: Iterable[Entry]) -> Entry | None:
    """Return the line by which the scheduler said that it stops if it has not said since that it has: it drains."""
    turn = None
    for line in main:
        if line["event"] in TURNS:
            turn = line
    return turn if turn is not None and turn["event"] == "scheduler_stopping" else None


def what_held_it_up(e: Evidence, at: datetime) -> Iterator[str]:
    """Yield why nothing was started at a time that was taken up late or not at all."""
    for line in e.main:
        seconds = float(line.get("seconds") or 0) if line["event"] == "clock_jump" else 0.0
        if seconds > 0 and stamp(line) - timedelta(seconds=seconds + 2) <= at <= stamp(line):
            jump = f"{show_length(seconds)} at {e.second(stamp(line))}"
            yield f"The clock jumped over this time: forward by {jump}. It was set, or the machine slept."
            return
    life = [line for line in e.main if line["event"] in LIFE]
    before = next((line for line in reversed(life) if stamp(line) <= at), None)
    after = next((line for line in life if stamp(line) > at), None)
    turn = next((line for line in reversed(life) if line["event"] != "heartbeat" and stamp(line) <= at), None)
    if before is None and after is not None and after["event"] != "scheduler_started":
        return
    if turn is not None and turn["event"] == "scheduler_stopping":
        draining = f"stopping since {e.second(stamp(turn))} ({turn.get('reason')})"
        yield f"The scheduler was {draining}: it lets runs end then and starts none.{_back(e, life, at)}"
    elif after is not None and after["event"] == "scheduler_started":
        yield f"The scheduler was not running: {_last_seen(e, before)}.{_back(e, life, at)}"
    elif after is None and (e.silence or before is None):
        now = f" ({e.silence})" if e.silence else ""
        yield f"The scheduler gives no sign of life{now}: {_last_seen(e, before)}."
    elif before is not None and after is not None and stamp(after) - stamp(before) > SILENCE:
        gap = f"from {e.second(stamp(before))} to {e.second(stamp(after))}"
        yield f"The scheduler gave no sign of life {gap}: it was stopped, or had no processor time."


def _last_seen(e: Evidence, before: Entry | None) -> str:
    if before is None:
        return "its main log has nothing from before"
    when = e.second(stamp(before))
    if before["event"] == "scheduler_stopped":
        return f"it stopped at {when} ({before.get('reason')})"
    if before["event"] == "scheduler_crashed":
        return f"it crashed at {when} ({before.get('reason')})"
    return f"its last sign of life is from {when}, and it did not say that it stopped (killed, or a power cut)"


def _back(e: Evidence, life: Sequence[Entry], at: datetime) -> str:
    starts = (stamp(line) for line in life if line["event"] == "scheduler_started" and stamp(line) > at)
    back = next(starts, None)
    return "" if back is None else f" It was started again at {e.second(back)}."
