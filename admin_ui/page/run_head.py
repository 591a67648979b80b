"""What stands above a run's output: how it ended and why, when, by whom, and the ways to other runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from admin_ui.model import iso
from admin_ui.page.address import Address, link
from admin_ui.page.markup import NOTHING, Html, duration, html, join, moment
from admin_ui.page.result import ended, state, unsaid
from admin_ui.page.run_output import EMPTY
from admin_ui.queries import HistoryRow, Recent

ACTIVE = ("queued", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run and what is to be said of it. `asked`: why it exists; `previous` and `newest` are other runs' ids.

    `how`, if there is more to say than its row does, is what ended it. `zone` is the job's, `has_file` whether the job
    still has one.
    """

    row: HistoryRow
    recent: Recent
    asked: str
    how: str
    zone: str | None
    has_file: bool
    previous: str | None
    newest: str | None

    @property
    def active(self) -> bool:
        """Whether it may still be cancelled."""
        return self.row.status in ACTIVE


def head(run: Run) -> Html:
    """Return everything that is said of a run but its output."""
    row = run.row
    how = run.how or ended(row)
    cause = unsaid(row, how)
    return html(
        '<div class="run {}" data-job="{}" data-run="{}"><h2><a href="{}">{}</a>{}<span class="how">{}</span>'
        '<span class="other">{}</span></h2>{}'
        '<dl class="facts">{}</dl></div>',
        "active" if run.active else "over",
        row.job_name,
        row.run_id,
        link("logs", job=row.job_name),
        row.job_name,
        state(row.status),
        _waiting(row) or how,
        _ways(run),
        html('<p class="cause">{}</p>', cause) if cause else NOTHING,
        join(html("<div><dt>{}</dt><dd>{}</dd></div>", name, value) for name, value in _facts(run) if value),
    )


def nothing_printed(row: HistoryRow) -> str:
    """Return why there is no output at all."""
    if row.status in ("skipped", "missed"):
        return "It never started, so there is no output."
    if row.status == "queued":
        return "It has not started yet; its output appears here."
    return "Nothing printed yet." if row.status == "running" else "It printed nothing."


def unknown(run_id: str) -> Html:
    """Return what is said of a run that the history does not have."""
    text = "There is no run {} in the history: the address is wrong, or it is older than what is kept."
    return html(
        '<div class="run"><p class="trouble" role="alert">{} <a href="{}">Open the history</a></p></div>',
        text.format(run_id),
        link("history"),
    )


def streams(address: Address, lengths: dict[str, str]) -> Html:
    """Return the links that show both streams or one of them; `lengths` says how long each is."""
    chosen = address.get("stream")
    nav = NOTHING
    if chosen or all(length != EMPTY for length in lengths.values()):
        ways = [("", "both"), *((stream, f"{stream} ({length})") for stream, length in lengths.items())]
        nav = html('<nav class="streams" aria-label="Streams">{}</nav>', join(_way(address, *way) for way in ways))
    return nav + Html('<button type="button" id="jobs-logs-wrap" aria-pressed="true">Wrap</button>')


def _way(address: Address, stream: str, words: str) -> Html:
    current = Html(' aria-current="true"') if stream == address.get("stream") else NOTHING
    return html('<a href="{}"{}>{}</a>', address.link(stream=stream, line=""), current, words)


def _waiting(row: HistoryRow) -> Html:
    if row.status != "queued":
        return NOTHING
    if row.trigger == "retry":
        return html("to be tried again {}", moment(row.at))
    return html("{}", row.reason or "for the scheduler to start it")


def _facts(run: Run) -> list[tuple[str, Html | str]]:
    row = run.row
    started = row.status not in ("queued", "skipped", "missed")
    usual = run.recent.median_seconds
    return [
        ("Scheduled", _exact(run, row.scheduled_time)),
        ("Started", _exact(run, row.at) if started else NOTHING),
        ("Ended", _exact(run, row.end_time) if started else NOTHING),
        ("Running for", _elapsed(run) if row.status == "running" else NOTHING),
        ("Took", duration(row.duration_seconds) if started else NOTHING),
        ("Usually", duration(usual) if usual is not None else NOTHING),
        ("Trigger", run.asked),
        ("Attempt", str(row.attempt) if (row.attempt or 1) > 1 else NOTHING),
        ("Next attempt", moment(row.retry_at) if row.retry_at else NOTHING),
        ("Run", html('<span class="mono">{}</span>', row.run_id)),
    ]


def _exact(run: Run, at: datetime | None) -> Html:
    return moment(at, relative=False, zone=run.zone) if at else NOTHING


def _elapsed(run: Run) -> Html:
    """Return a time that the page's script counts along, and turns to a warning when it takes unusually long."""
    late = run.recent.p95_seconds
    usual = html(' data-usual="{}"', round(late, 3)) if late is not None else NOTHING
    at = iso(run.row.at)
    return html('<time datetime="{}" data-elapsed{}>{}</time>', at, usual, at)


def _ways(run: Run) -> Html:
    job = run.row.job_name
    ways = [
        ("previous run", link("logs", run=run.previous) if run.previous else ""),
        ("newest run", link("logs", run=run.newest) if run.newest and run.newest != run.row.run_id else ""),
        ("history", link("history", job=job)),
        ("edit job", link("edit", job=job) if run.has_file else ""),
    ]
    return join((html('<a href="{}">{}</a>', to, words) for words, to in ways if to), " · ")
