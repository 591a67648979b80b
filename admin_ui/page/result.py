"""A run's state and how it ended, in the words of the files, each with an icon of its own shape."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping
from typing import Any

from admin_ui.model import LONGEST_NAME
from admin_ui.page.markup import Html, html, moment
from admin_ui.queries import HistoryRow
from admin_ui.requests import DIRECTORY, RequestFile

LOOKS = {  # colour and icon of base.css
    "success": ("ok", "ok"),
    "failure": ("bad", "bad"),
    "timeout": ("bad", "bad"),
    "output_limit": ("bad", "bad"),
    "interrupted": ("bad", "bad"),
    "cancelled": ("warn", "warn"),
    "missed": ("warn", "warn"),
    "running": ("busy", "busy"),
    "queued": ("busy", "wait"),
    "skipped": ("off", "skip"),
    "rejected": ("warn", "warn"),
}
PASSED_OVER = {
    "already_running": "another run of the job was going or queued",
    "paused": "all schedules were paused",
    "past_deadline": "it could not start within its deadline",
    "replaced": "a newer run took its place",
    "superseded": "a later time was due as well, or the definition was changed",
    "disabled": "the job was disabled before it could start",
    "removed": "the job was deleted before it could start",
    "expired": "no place was free for as long as a request may wait",
}
CANCELLED_BY = re.compile(r"cancelled by request ([0-9a-f-]{36})")
Who = Callable[[str, str], str | None]
"""Who asked, in the request of this id, for the end of this job's runs, as the audit log has it."""

Confirmed = Callable[[RequestFile], bool]
"""Whether the audit log has a request by the name that stands in its file."""

TRIGGERS = {"schedule": "by schedule", "retry": "a retry", "catch_up": "catching up on a missed time"}


def nobody(request_id: str, job_name: str) -> str | None:
    """Know of nobody."""
    return None


def unconfirmed(file: RequestFile) -> bool:
    """Know of no request."""
    return False


def state(status: str) -> Html:
    """Return a status as icon and word."""
    colour, icon = LOOKS.get(status, ("off", "none"))
    word = status.replace("_", " ")
    return html('<span class="state {}"><span class="icon {}"></span>{}</span>', colour, icon, word)


def ended(row: HistoryRow) -> str:
    """Return what made a run's status, such as `exit 1` or `ran longer than 2 s`; nothing for one that goes on."""
    return _ending(row.status, row.exit_code, row.signal, row.reason, row.cpu_seconds)


def ended_entry(entry: Mapping[str, Any]) -> str:
    """Return what `ended` does, of a `job_complete` entry."""
    facts = ("status", "exit_code", "signal", "reason", "cpu_seconds")
    return _ending(*(entry[name] for name in facts))


def unsaid(row: HistoryRow, how: str) -> str | None:
    """Return why a run failed where `how` does not say so already, by itself or as the reason that it ends with."""
    if not row.failed or not row.cause or row.cause == how:
        return None
    return None if row.cause == row.reason and how.endswith(row.cause) else row.cause


def outcome(row: HistoryRow, who: Who = nobody) -> str:
    """Return what a run came to where no state stands beside it: `exit 1`, `timeout 2 s`, `cancelled by anna`."""
    match row.status:
        case "success" | "failure":
            return _exited(row.exit_code, row.signal, row.reason, row.cpu_seconds)
        case "timeout" if row.reason:
            return f"timeout {row.reason.removeprefix('ran longer than ')}"
        case "cancelled":
            return f"cancelled {cancelled_by(row, who)}".rstrip()
        case _:
            return row.status.replace("_", " ")


def cancelled_by(row: HistoryRow, who: Who) -> str:
    """Return `by anna` of a run that she cancelled; nothing if that is not known."""
    request = CANCELLED_BY.match(row.reason or "")
    name = who(request[1], row.job_name) if request else None
    return f"by {name}" if name else ""


def asked(trigger: str | None, requested_by: str | None, *, confirmed: bool) -> str:
    """Return why there is a run: `by schedule`, `by anna`, and `(unconfirmed)` if the audit log has no such request."""
    if trigger != "manual":
        return TRIGGERS.get(trigger or "", "")
    if not requested_by:
        return "by a request without a name"
    return f"by {requested_by}" if confirmed else f"by {requested_by} (unconfirmed)"


def wanted(file: RequestFile, is_confirmed: Confirmed) -> Html:
    """Return what a request asks for that nobody has answered yet: `run asked for by anna 12 s ago`."""
    name = (file.requested_by or "")[:LONGEST_NAME]
    by = f"{asked('manual', name, confirmed=is_confirmed(file))} " if name else ""
    where = f"jobs/{DIRECTORY}/{file.file}"
    return html('<span title="{}">{} asked for {}{}</span>', where, file.request.action, by, moment(file.at))


def _ending(
    status: str, exit_code: int | None, killed_by: int | None, reason: str | None, cpu_seconds: float | None
) -> str:
    if status in ("success", "failure"):
        how = _exited(exit_code, killed_by, reason, cpu_seconds)
        # What refused a start is all of its stderr, so it is shown as the cause.
        return f"{how}; {reason}" if reason and not _is_refused(exit_code, reason, cpu_seconds) else how
    if status in ("skipped", "missed"):
        return PASSED_OVER.get(reason or "", reason or "")
    return reason or ""


def _exited(exit_code: int | None, killed_by: int | None, reason: str | None, cpu_seconds: float | None) -> str:
    if killed_by:
        return f"killed by {_name(killed_by)}"
    if exit_code is None:
        return "exit code unknown"
    return f"start refused, exit {exit_code}" if _is_refused(exit_code, reason, cpu_seconds) else f"exit {exit_code}"


def _is_refused(exit_code: int | None, reason: str | None, cpu_seconds: float | None) -> bool:
    """Return whether a failed run never was a process: its code was not waited for, so no processor time came with it.

    One that did run has a reason, too, if it ended while no room was left for output.
    """
    return bool(reason) and exit_code is not None and cpu_seconds is None


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
