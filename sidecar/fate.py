"""Say what became of a run, or why it was dropped, by the lines of the journal. Pure: sentences' parts, for `why`."""

from __future__ import annotations

from datetime import datetime

from sidecar.evidence import Entry, Evidence, began_at, first_of, stamp, time_in
from sidecar.human import show_length
from sidecar.ledger import TIMED
from sidecar.model import Reason

ENDS = ("job_complete", "job_skipped", "job_missed")
BEGINNINGS = ("job_start", "job_queued")


def fate(e: Evidence, run_id: str) -> str:
    """Return what became of a run that was asked for."""
    of_run = [line for line in e.journal if line.get("run_id") == run_id]
    start = first_of(of_run, "job_start")
    if start is not None:
        return f"started at {e.second(began_at(start))} {how_it_ended(e, start)}"
    for line in of_run:
        if line["event"] in ("job_skipped", "job_missed"):
            return f"did not start: {why_dropped(e, line)}"
        if line["event"] == "job_complete":
            return f"ended before it began: {outcome(line)}"
    queued = first_of(of_run, "job_queued")
    if queued is None:
        return "has not started yet"
    return f"is queued since {e.second(stamp(queued))}: {queued.get('reason')}"


def how_it_ended(e: Evidence, start: Entry) -> str:
    """Return how the run of a `job_start` line ended, or that it is going: `and ended after 60 s: success`."""
    end = e.end_of(start["run_id"])
    if end is not None:
        length = show_length(float(end.get("duration_seconds") or 0))
        return f"and ended after {length}: {outcome(end)}"
    going = show_length(e.now - (began_at(start)))
    if e.silence is None:
        return f"and is still going, for {going} now"
    return (
        "and has no end in the journal: the scheduler went away while it was going. When it is back it ends what"
        " is left of the run and closes it as interrupted"
    )


def outcome(end: Entry) -> str:
    """Return the status of a `job_complete` line with its code, signal and reason."""
    status, code, number = end.get("status"), end.get("exit_code"), end.get("signal")
    words = str(status)
    if number:
        words += f", ended by signal {number} (exit code {code})"
    elif code is not None:
        words += f", exit code {code}"
    if end.get("reason"):
        words += f" ({end['reason']})"
    return words


def why_dropped(e: Evidence, line: Entry) -> str:
    """Return what a `job_skipped` or `job_missed` line means."""
    when = stamp(line)
    match line.get("reason"):
        case Reason.ALREADY_RUNNING:
            return f"{_going_at(e, when)}, and the job's concurrency_policy is forbid"
        case Reason.PAUSED:
            return f"starts were held by the file PAUSE in the jobs directory{pause_before(e, when)}"
        case Reason.PAST_DEADLINE:
            return f"it could not start by its deadline{_deadline(e)}"
        case Reason.REPLACED:
            return "a newer run of the job took its place (concurrency_policy replace)"
        case Reason.SUPERSEDED if line["event"] == "job_missed":
            return "a later scheduled time was due by then as well, and only the latest one is caught up"
        case Reason.SUPERSEDED if line.get("run_id") and not _was_queued_for_a_time(e, line):
            return "a new scheduled run of the job took its place"
        case Reason.SUPERSEDED:
            return f"the definition was changed at {e.second(when)}, before the run could start"
        case Reason.DISABLED:
            return f"the job was disabled at {e.second(when)}, before the run could start"
        case Reason.REMOVED:
            return f"the job's file was removed by {e.second(when)}, before the run could start"
        case Reason.EXPIRED:
            return "it had waited longer than SCHEDULER_TRIGGER_MAX_AGE_SECONDS for a place, or for what its file lacks"
        case other:
            return str(other)


def _was_queued_for_a_time(e: Evidence, line: Entry) -> bool:
    """Return whether the line's run waited in the queue for a scheduled time, where a retry waits for its own."""
    of_run = (other for other in e.journal if other.get("run_id") == line["run_id"])
    return any(other["event"] == "job_queued" and other.get("trigger") in TIMED for other in of_run)


def _deadline(e: Evidence) -> str:
    if e.definition is None:
        return " (starting_deadline_seconds)"
    length = show_length(e.definition.config.starting_deadline_seconds)
    return f", {length} after it was due (starting_deadline_seconds)"


def _going_at(e: Evidence, when: datetime) -> str:
    """Return which run of the job was going or queued."""
    ended = {line.get("run_id") for line in e.journal if line["event"] in ENDS and stamp(line) <= when}
    begun = [line for line in e.journal if line["event"] in BEGINNINGS and line.get("run_id") and stamp(line) <= when]
    going = [line for line in begun if line["run_id"] not in ended]
    if not going:
        return "another run of the job was going"
    line = going[-1]
    since = e.second(began_at(line))
    if line["event"] == "job_start":
        end = e.end_of(line["run_id"])
        until = "" if end is None else f" (it ended at {e.second(time_in(end, 'end_time') or stamp(end))})"
        return f"run {line['run_id']}, started at {since}, was still going{until}"
    return f"run {line['run_id']} was queued since {since}"


def pause_before(e: Evidence, when: datetime) -> str:
    """Return from when to when the last pause before `when` was, with a space before it; empty if none is known."""
    pauses = [line for line in e.main if line["event"] == "paused" and stamp(line) <= when]
    if not pauses:
        return ""
    since = stamp(pauses[-1])
    ends = (stamp(line) for line in e.main if line["event"] == "resumed" and stamp(line) >= since)
    until = next(ends, None)
    return f" from {e.second(since)}" + ("" if until is None else f" to {e.second(until)}")
