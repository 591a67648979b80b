"""A job's log entries as HTML, newest first; and, without a job, the newest runs of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from admin_ui.model import from_iso
from admin_ui.page.address import link
from admin_ui.page.markup import NOTHING, Html, breakable, duration, html, join, moment
from admin_ui.page.result import PASSED_OVER, asked, ended, ended_entry, state
from admin_ui.page.run_output import marked
from admin_ui.queries import HistoryRow

ROOM = 256_000
"""Characters of HTML that all entries may take."""

LINES = {"stderr": (0, 20), "stdout": (3, 5)}
"""How many lines of a stream are shown of its beginning and of its end."""

LONGEST_LINE = 400
SETTLED = ("job_queued", "job_start")
"""What a run's end tells again."""


EntryConfirmed = Callable[[Mapping[str, Any]], bool]
"""Whether the audit log holds the request that an entry answers, by the name that the entry gives."""


def entries_html(
    entries: Sequence[Mapping[str, Any]], find: str, zone: str | None, is_confirmed: EntryConfirmed
) -> tuple[Html, int]:
    """Return the entries, newest first, and how many of them there was room for."""
    over: set[str] = set()
    drawn: list[Html] = []
    room = ROOM
    for number, entry in enumerate(entries):
        if entry["event"] in SETTLED and entry["run_id"] in over:
            continue
        if entry["event"] in ("job_complete", "job_start"):
            over.add(entry["run_id"])
        drawn.append(_entry(entry, find, zone, is_confirmed))
        room -= len(drawn[-1])
        if room < 0:
            return join(drawn), number + 1
    return join(drawn), len(entries)


def runs_html(rows: Iterable[HistoryRow], find: str) -> Html:
    """Return a table of runs of all jobs, each a link to its output."""
    drawn = join(
        html(
            '<tr><td class="result">{}</td><td class="job"><a href="{}">{}</a></td><td class="num">{}</td>'
            '<td class="why">{}</td></tr>',
            state(row.status),
            link("logs", run=row.run_id, find=find) if row.run_id else link("logs", job=row.job_name),
            breakable(row.job_name),
            moment(row.at),
            marked(row.cause or ended(row) if row.failed else ended(row), find),
        )
        for row in rows
    )
    if not drawn:
        return html('<p class="empty">No run was found.</p>')
    return html(
        '<div class="scroll card"><table class="rows"><thead><tr><th scope="col">Result</th><th scope="col">Job</th>'
        '<th scope="col">When</th><th scope="col">Why</th></tr></thead><tbody>{}</tbody></table></div>',
        drawn,
    )


def excerpt(text: str, find: str, begins: int, ends: int) -> Html:
    """Return the first and the last lines of a text; with `find`, the first lines that hold it, marked."""
    lines = text.removesuffix("\n").split("\n")
    if find:
        shown = [line for line in lines if find.casefold() in line.casefold()][: begins + ends]
        return html("{}", join((_clipped(line, find) for line in shown), "\n"))
    if len(lines) <= begins + ends + 1:
        return join((_clipped(line) for line in lines), "\n")
    gap = html('<span class="more">… {:,} more lines …</span>', len(lines) - begins - ends)
    parts = [*map(_clipped, lines[:begins]), gap, *map(_clipped, lines[-ends:])]
    return join(parts, "\n")


def _clipped(line: str, find: str = "") -> Html:
    start = max(0, line.casefold().find(find.casefold()) - LONGEST_LINE // 2)
    part = line[start : start + LONGEST_LINE].removesuffix("\r")
    return html("{}{}{}", "…" if start else "", marked(part, find), "…" if len(line) > start + LONGEST_LINE else "")


def _entry(entry: Mapping[str, Any], find: str, zone: str | None, is_confirmed: EntryConfirmed) -> Html:
    if entry["event"] == "job_complete":
        return _run(entry, find, zone)
    look, words = _told(entry, zone, is_confirmed)
    to = link("logs", run=entry.get("run_id") or "") if look == "running" else ""
    return html(
        '<article class="event"><p>{} {} <span class="num dim">{}</span>{}</p></article>',
        state(look) if look else NOTHING,
        words,
        moment(from_iso(entry["timestamp"]), relative=False, zone=zone),
        html(' <a href="{}">open run</a>', to) if to else NOTHING,
    )


def _run(entry: Mapping[str, Any], find: str, zone: str | None) -> Html:
    streams = [
        html(
            '<div class="part {0}"><span class="label">{0}</span><pre tabindex="0" aria-label="{0}">{1}</pre></div>',
            stream,
            excerpt(entry[stream], find, *LINES[stream]),
        )
        for stream in ("stderr", "stdout")
        if entry[stream] and find.casefold() in entry[stream].casefold()
    ]
    return html(
        '<article class="{}"><h3>{}<span class="how">{}</span><span class="num dim">{}</span>'
        '<span class="num dim">{}</span><span class="dim">{}</span><a href="{}">open run</a></h3>{}</article>',
        "good" if entry["status"] == "success" else "bad",
        state(entry["status"]),
        marked(ended_entry(entry), find),
        moment(from_iso(entry["start_time"]), relative=False, zone=zone),
        duration(entry["duration_seconds"]),
        "by request" if entry["trigger"] == "manual" else asked(entry["trigger"], None, confirmed=False),
        link("logs", run=entry["run_id"], find=find),
        join(streams),
    )


def _told(entry: Mapping[str, Any], zone: str | None, is_confirmed: EntryConfirmed) -> tuple[str, Html]:
    """Return the state that an entry other than a run's end tells of, if any, and its words."""
    event = entry["event"]
    if event == "job_start":
        return "running", html("started")
    if event == "job_queued":
        return "queued", html("{}", entry["reason"])
    if event in ("job_skipped", "job_missed"):
        why = PASSED_OVER.get(entry["reason"], entry["reason"])
        return event.removeprefix("job_"), html("{}{}", why, _span(entry, zone))
    what = "to cancel" if entry["action"] == "cancel" else "for a run"
    by = entry["requested_by"] or "Somebody"
    if entry["requested_by"] and not is_confirmed(entry):
        by += " (unconfirmed)"
    if event == "trigger_rejected":
        return "rejected", html("{} asked {}: {}", by, what, entry["detail"] or entry["reason"])
    return "", html("{} asked {}.", by, what)


def _span(entry: Mapping[str, Any], zone: str | None) -> Html:
    if entry["count"] < 2 or entry["first_scheduled_time"] is None or entry["scheduled_time"] is None:
        return NOTHING
    first, last = (
        moment(from_iso(entry[name]), relative=False, zone=zone) for name in ("first_scheduled_time", "scheduled_time")
    )
    return html(" ({:,} times from {} to {})", entry["count"], first, last)
