"""The table of the history: runs and passed-over times, newest first, as HTML. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from admin_ui.model import STATUSES, iso
from admin_ui.page.address import link
from admin_ui.page.markup import NOTHING, Html, breakable, duration, html, join, moment
from admin_ui.page.result import asked, ended, state, unsaid
from admin_ui.queries import HistoryRow

LATE_SECONDS = 1.0
COLUMNS = {
    "job": "Job",
    "scheduled": "Scheduled",
    "started": "Started",
    "ended": "Ended",
    "took": "Took",
    "result": "Result",
    "why": "Why",
    "trigger": "Trigger",
}
ALWAYS = ("scheduled", "started", "ended", "result")
"""Columns that stay if there is anything in them, even if it is the same on all rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What else is known: jobs' zones, jitter, number of attempts, usual seconds; whether who asked is confirmed."""

    zones: Mapping[str, str] = field(default_factory=dict)
    jitter: Mapping[str, float] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
    usual: Mapping[str, float] = field(default_factory=dict)
    is_confirmed: Callable[[HistoryRow], bool] = lambda row: False


def table(rows: Sequence[HistoryRow], known: Known, *, turns: bool, job_is_chosen: bool) -> Html:
    """Return the rows as a table, without columns that say nothing; what is the same on all rows is said once, above.

    With `turns`, the rows are all there was in their time, so that a change from good to bad can be shown.
    """
    changes = _turns(rows) if turns else {}
    names = [row.job_name for row in rows]
    cells = {
        "job": [html('<a href="{}">{}</a>', link("history", job=name), breakable(name)) for name in names],
        "scheduled": [_scheduled(row, known) for row in rows],
        "started": [_started(row, known) for row in rows],
        "ended": [_ended(row, known) for row in rows],
        "took": [_took(row, known) for row in rows],
        "result": [_result(row, changes.get(number)) for number, row in enumerate(rows)],
        "why": [_why(row) for row in rows],
        "trigger": [Html.escape(_trigger(row, known)) for row in rows],
    }
    if job_is_chosen:
        del cells["job"]
    texts = {name: {cell.striptags() for cell in of} for name, of in cells.items()}
    same = {name: of.pop() for name, of in texts.items() if len(rows) > 1 and len(of) == 1 and name not in ALWAYS}
    once = [html("{} <b>{}</b>", COLUMNS[name], text) for name, text in same.items() if text]
    shown = [name for name, of in cells.items() if name not in same and any(of)]
    head = join(html('<th scope="col">{}</th>', COLUMNS[name]) for name in shown)
    body = join(
        html(
            "<tr{}>{}</tr>",
            html(' class="turn {}"', changes[number]) if job_is_chosen and number in changes else NOTHING,
            join(
                html('<td class="{}" data-label="{}">{}</td>', name, COLUMNS[name], cells[name][number])
                for name in shown
            ),
        )
        for number in range(len(rows))
    )
    return html(
        '<div class="card"><p class="once dim">{}</p><div class="scroll"><table class="rows"><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div></div>",
        html("On every row: {}", join(once, ", ")) if once else NOTHING,
        head,
        body,
    )


def _turns(rows: Sequence[HistoryRow]) -> dict[int, str]:
    """Return the numbers of the rows (newest first) whose job ended another way the time before: `bad` or `ok`."""
    newer: dict[str, int] = {}
    turns = {}
    for number, row in enumerate(rows):
        if row.status in STATUSES and row.status != "cancelled":  # which says nothing of the job
            then = newer.get(row.job_name)
            if then is not None and rows[then].failed != row.failed:
                turns[then] = "bad" if rows[then].failed else "ok"
            newer[row.job_name] = number
    return turns


def _scheduled(row: HistoryRow, known: Known) -> Html:
    if row.scheduled_time is None:
        return NOTHING
    last = _moment(row.scheduled_time, row, known)
    if row.first_scheduled_time in (None, row.scheduled_time):
        return last
    return html("{} to {}", _moment(row.first_scheduled_time, row, known), last)


def _started(row: HistoryRow, known: Known) -> Html:
    at = _moment(row.at, row, known)
    if row.status in ("skipped", "missed"):
        return NOTHING if row.scheduled_time else at
    if row.status == "queued":
        return html('<span class="dim">waiting since</span> {}' if row.trigger != "retry" else "due {}", at)
    # A retry is later than its time on purpose.
    scheduled = row.scheduled_time if row.trigger != "retry" else None
    late = (row.at - scheduled).total_seconds() if scheduled else 0.0
    return html(
        '<a href="{}">{}</a>{}',
        link("logs", run=row.run_id or ""),
        at,
        html(' <span class="late">{} late</span>', duration(late))
        if late >= LATE_SECONDS + known.jitter.get(row.job_name, 0)
        else NOTHING,
    )


def _ended(row: HistoryRow, known: Known) -> Html:
    return _moment(row.end_time, row, known) if row.status in STATUSES and row.end_time else NOTHING


def _took(row: HistoryRow, known: Known) -> Html:
    if row.status != "running":
        took = row.duration_seconds
        return html('<span class="num">{}</span>', duration(took)) if took is not None else NOTHING
    usual = known.usual.get(row.job_name)
    return html(
        '<time class="num" datetime="{}" data-elapsed{}></time> <span class="dim">so far</span>',
        iso(row.at),
        html(' data-usual="{}"', usual) if usual else NOTHING,
    )


def _result(row: HistoryRow, turn: str | None) -> Html:
    return html(
        '{}{} <span class="dim">{}</span>{}',
        state(row.status),
        html(' <span class="num">&times;{:,}</span>', row.count) if row.count > 1 else NOTHING,
        ended(row) if row.status in STATUSES else "",
        html(' <span class="tag {}">{}</span>', turn, "began to fail" if turn == "bad" else "recovered")
        if turn
        else NOTHING,
    )


def _why(row: HistoryRow) -> Html:
    if row.status not in STATUSES:
        return Html.escape(ended(row))
    cause = unsaid(row, ended(row))
    if not cause:
        return NOTHING
    if not row.stderr_bytes:
        return Html.escape(cause)
    return html('<a class="said-by" href="{}">{}</a>', link("logs", run=row.run_id or "", stream="stderr"), cause)


def _trigger(row: HistoryRow, known: Known) -> str:
    why = asked(row.trigger, row.requested_by, confirmed=known.is_confirmed(row))
    if row.attempt is None or row.attempt == 1:
        return why
    most = known.attempts.get(row.job_name, 0)
    return f"{why}, attempt {row.attempt}{f' of {most}' if most >= row.attempt else ''}"


def _moment(at: datetime, row: HistoryRow, known: Known) -> Html:
    return moment(at, relative=False, zone=known.zones.get(row.job_name))
