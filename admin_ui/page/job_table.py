"""The table of all jobs as HTML, and the line of states above it that filters it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache

from admin_ui import cron, words
from admin_ui.model import iso
from admin_ui.overview import Overview, known_zone
from admin_ui.page.address import Address, link
from admin_ui.page.job_rows import CHANGED, SORTS, JobRow, State, counts, usual_seconds
from admin_ui.page.job_state import held_by
from admin_ui.page.markup import NOTHING, Html, breakable, duration, html, join, moment
from admin_ui.page.result import Confirmed, Who, nobody, outcome, unconfirmed, wanted
from admin_ui.queries import MOST_FAILURES, HistoryRow, Recent

ROWS_A_PAGE = 50
LONGEST_REASON = 120
LOADED_LATELY = timedelta(seconds=30)
"""For so long after a save, a row says that the scheduler has taken it up."""

LOOKS = {  # colour and icon of base.css
    State.INVALID: ("bad", "warn"),
    State.REFUSED: ("bad", "warn"),
    State.FAILED: ("bad", "bad"),
    State.RUNNING: ("busy", "busy"),
    State.QUEUED: ("busy", "wait"),
    State.DISABLED: ("off", "off"),
    State.CANCELLED: ("warn", "skip"),
    State.OK: ("ok", "ok"),
    State.NEVER: ("off", "none"),
}
CHIPS = (
    *(State.FAILED, State.INVALID, State.REFUSED, State.RUNNING, State.QUEUED),
    *(State.OK, State.CANCELLED, State.NEVER, State.DISABLED),
)
COLUMNS = {
    "state": "State",
    "job": "Job",
    "last": "Last run",
    "bars": "Last 20",
    "duration": "Took",
    "next": "Next run",
    "schedule": "Schedule",
}
BAR, GAP, TALL, SHORT = 4, 2, 16, 8
"""Pixels of the bars of the last results; one that failed is tall."""


def chips(rows: Sequence[JobRow], address: Address, failed_runs: int) -> Html:
    """Return how many jobs there are of each state, each a link to only those, and how many runs failed in 24 h."""
    found = counts(rows)
    links = [_chip(address, "", len(rows), "job" if len(rows) == 1 else "jobs")]
    links += [_chip(address, each, found[each], each) for each in CHIPS if found[each]]
    if address.get("state") == CHANGED:
        links.append(_chip(address, CHANGED, sum(row.changed is not None for row in rows), "changed outside"))
    label = "run" if failed_runs == 1 else "runs"
    history = link("history", status="failed")
    shown = f"{failed_runs}+" if failed_runs >= MOST_FAILURES else failed_runs
    more = html('<a class="runs" href="{}">{} failed {} in 24 h</a>', history, shown, label)
    return html('<nav class="chips" aria-label="Jobs by state">{}{}</nav>', join(links), more if failed_runs else "")


def table(
    rows: Sequence[JobRow],
    address: Address,
    overview: Overview,
    who: Who = nobody,
    is_confirmed: Confirmed = unconfirmed,
) -> Html:
    """Return one page of rows, which are filtered and sorted already, with links to the other pages."""
    if not rows:
        return _empty(overview, address)
    pages = (len(rows) - 1) // ROWS_A_PAGE + 1
    page = min(_number(address.get("page")), pages)
    first = (page - 1) * ROWS_A_PAGE
    shown = rows[first : first + ROWS_A_PAGE]
    selected = address.get("job")
    # The arrow keys move on from here; Tab comes to the table once, not to each row.
    entry = next((row for row in shown if row.name == selected), shown[0])
    body = join(_row(row, overview, who, is_confirmed, row.name == selected, row is entry) for row in shown)
    return html(
        '<div class="card"><table class="rows jobs" aria-label="Jobs"><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>{}",
        join(_heading(column, label, address) for column, label in COLUMNS.items()),
        body,
        _pages(page, pages, first, len(shown), len(rows), address) if pages > 1 else NOTHING,
    )


def problem(row: JobRow) -> str:
    """Return what is wrong with an invalid or refused file, field by field; nothing for a good one."""
    if row.state is State.REFUSED and row.refused:
        return row.refused.told()
    errors = (row.file.errors if row.file else None) or {}
    return "; ".join(f"{field}: {text}" if field else text for field, text in errors.items())


def _chip(address: Address, state: str, count: int, label: str) -> Html:
    current = Html(' aria-current="true"') if address.get("state") == state else NOTHING
    kind = LOOKS[State(state)][0] if state in LOOKS else ""
    target = address.link(state=state, page="")
    return html('<a class="{}" href="{}"{}><b class="num">{}</b> {}</a>', kind, target, current, count, label)


def _heading(column: str, label: str, address: Address) -> Html:
    if column not in SORTS:
        return html('<th scope="col" class="c-{}">{}</th>', column, label)
    chosen = address.get("sort")
    upwards, downwards = chosen == column, chosen == f"-{column}"
    order = "ascending" if upwards else "descending" if downwards else "none"
    # A third click leads back to the order by urgency.
    target = address.link(sort="" if downwards else f"-{column}" if upwards else column, page="")
    arrow = {"ascending": "▲", "descending": "▼", "none": ""}[order]
    return html(
        '<th scope="col" class="c-{}" aria-sort="{}"><a href="{}">{}<span aria-hidden="true">{}</span></a></th>',
        *(column, order, target, label, arrow),
    )


def _row(row: JobRow, overview: Overview, who: Who, is_confirmed: Confirmed, is_selected: bool, is_entry: bool) -> Html:
    cells = {
        "state": _state(row, overview),
        "job": _job(row),
        "last": _last(row, who) + _asked(row, is_confirmed),
        "bars": _bars(row.recent) if row.recent.results else NOTHING,
        "duration": _duration(row),
        "next": _next(row, overview),
        "schedule": _schedule(row, overview),
    }
    inner = join(
        html(
            '<th scope="row" class="c-job">{}</th>' if column == "job" else '<td class="c-{}">{}</td>',
            *([cell] if column == "job" else [column, cell]),
        )
        for column, cell in cells.items()
    )
    name = "" if row.is_double else row.name
    return html(
        '<tr class="{}" data-job="{}" tabindex="{}" aria-selected="{}">{}</tr>',
        *(row.state, name, 0 if is_entry else -1, "true" if is_selected and name else "false", inner),
    )


def _state(row: JobRow, overview: Overview) -> Html:
    colour, icon = LOOKS[row.state]
    if row.state is State.RUNNING and row.late:
        colour, icon = "warn", "warn"
    line = re.search(r"line \d+", problem(row)) if row.state is State.INVALID else None
    word = f"{row.state}: {line[0]}" if line else row.state
    state = html('<span class="state {}"><span class="icon {}"></span>{}</span>', colour, icon, word)
    notes = join(html('<span class="note">{}</span>', each) for each in _notes(row, overview))
    return state + notes


def _notes(row: JobRow, overview: Overview) -> list[Html | str]:
    """Return what else is to be said of a job's state, a line each."""
    notes: list[Html | str] = []
    if row.missed:
        notes.append(html('<span class="warn">missed {}</span>', moment(row.missed.scheduled_time or row.missed.at)))
    if row.running:
        more = f", {len(row.running)} runs" if len(row.running) > 1 else ""
        prefix = "" if row.state is State.RUNNING else "running "
        notes.append(html("{}{}{}", prefix, _elapsed(row.running[0], row.recent), more))
    if row.queued:
        first = row.queued[0]
        notes.append(html("retry {}" if first.trigger == "retry" else "queued {}", moment(first.at)))
    if row.file is None:
        notes.append("file removed")
    elif row.config and not row.config.enabled and row.state is not State.DISABLED:
        notes.append("disabled")
    if row.kept:
        notes.append("the last good version is in force")
    elif row.refused:
        notes.append("not in force")
    elif not row.loaded:
        notes.append("saved, not loaded yet")
    elif row.config and row.file and row.file.modified and overview.now - row.file.modified < LOADED_LATELY:
        notes.append("loaded by the scheduler")
    return notes


def _elapsed(run: HistoryRow, recent: Recent) -> Html:
    usual = usual_seconds(recent)
    known = html(' data-usual="{}"', round(usual, 1)) if usual else NOTHING
    text = iso(run.at)
    return html('<time datetime="{}" data-elapsed{}>since {} UTC</time>', text, known, text[11:19])


def _job(row: JobRow) -> Html:
    target = link("logs", run=row.run_id) if row.run_id else link("logs", job=row.name)
    is_job = row.name and not row.is_double
    label = breakable(row.label)
    name = html('<a class="name" href="{}">{}</a>', target, label) if is_job else label
    config = row.config
    if config is None:
        return name
    about = html('<span class="about" title="{0}">{0}</span>', config.description) if config.description else NOTHING
    command = html('<code class="clip" title="{}">{}</code>', config.command, " ".join(config.command.split()))
    return html('<span class="what">{} {}</span>{}', name, about, command)


def _last(row: JobRow, who: Who) -> Html:
    if row.state in (State.INVALID, State.REFUSED):
        return html('<span class="reason">{}</span>', problem(row))
    last = row.recent.last
    if last is None:
        return Html('<span class="dim">never run</span>') if row.state is State.DISABLED else NOTHING
    kind = "ok" if last.status == "success" else "warn" if last.status == "cancelled" else "bad"
    how = html('{} <span class="how {}">{}</span>', moment(last.end_time or last.at), kind, outcome(last, who))
    if row.state is not State.FAILED or not last.cause or (last.cause == last.reason and last.status == "timeout"):
        return how
    return html('{}<span class="reason">{}</span>', how, last.cause[:LONGEST_REASON])


def _asked(row: JobRow, is_confirmed: Confirmed) -> Html:
    if not row.asked:
        return NOTHING
    more = f", and {len(row.asked) - 1} more" if len(row.asked) > 1 else ""
    first = wanted(row.asked[0], is_confirmed)
    return html('<span class="note">waiting: {}, not taken up yet{}</span>', first, more)


def _bars(recent: Recent) -> Html:
    """Return the last results as bars, the newest at the right; a failed one is taller, and says when it was."""
    results = recent.results[::-1]
    short, tall, width = "", [], BAR + GAP
    for number, (_, status, at) in enumerate(results):
        if status == "success":
            short += f"M{number * width} {TALL - SHORT}h{BAR}v{SHORT}h-{BAR}z"
        else:
            title = f"{status.replace('_', ' ')}, {iso(at)[:19].replace('T', ' ')} UTC"
            box = Html('<path class="{}" d="M{} 0h{}v{}h-{}z"><title>{}</title></path>')
            kind = "warn" if status == "cancelled" else "bad"
            tall.append(box.format(kind, number * width, BAR, TALL, BAR, title))
    label = f"{len(results) - len(tall)} of {len(results)} ok"
    size = html('width="{}" height="{}" viewBox="0 0 {} {}"', *(len(results) * width, TALL) * 2)
    return html(
        '<svg class="bars" role="img" aria-label="{}" {}><title>{}, the newest at the right</title>{}{}</svg>',
        *(label, size, label, html('<path class="ok" d="{}"/>', short) if short else NOTHING, join(tall)),
    )


def _duration(row: JobRow) -> Html:
    last, usual = row.recent.last, row.recent.median_seconds
    took = html("{}", _brief(last.duration_seconds)) if last and last.duration_seconds is not None else NOTHING
    if usual is None or (usual < 1 and not row.running):
        return took
    return html('{}<span class="note">usually {}</span>', took, _brief(usual))


def _brief(seconds: float) -> str:
    return duration(seconds) if seconds >= 0.05 else "< 0.1 s"


def _next(row: JobRow, overview: Overview) -> Html:
    if row.next is None:
        return Html('<span class="dim">not known</span>') if row.kept else NOTHING
    jitter = (row.config and row.config.jitter_seconds) or 0
    absolute = html(
        '<span class="note">{}{}</span>',
        moment(row.next.at, relative=False, zone=row.next.zone),
        f", up to {duration(jitter)} later" if jitter else "",
    )
    held = held_by(overview)
    if held:
        return html('<span class="warn">{}</span>{}', held, absolute)
    when = moment(row.next.at, zone=row.next.zone)
    return (html("<span>due {}</span>", when) if row.next.at <= overview.now else when) + absolute


def _schedule(row: JobRow, overview: Overview) -> Html:
    config = row.config
    if config is None:
        return NOTHING
    spoken = _in_words(config.schedule, config.timezone or known_zone(overview.scheduler.timezone))
    return html('<code>{}</code><span class="note clip" title="{}">{}</span>', config.schedule, spoken, spoken)


@lru_cache(maxsize=2000)
def _in_words(schedule: str, zone: str) -> str:
    return words.describe(cron.parse(schedule, zone))


def _pages(page: int, pages: int, first: int, count: int, total: int, address: Address) -> Html:
    before = html('<a href="{}">Previous {}</a>', address.link(page=str(page - 1)), ROWS_A_PAGE)
    after = html('<a href="{}">Next {}</a>', address.link(page=str(page + 1)), ROWS_A_PAGE)
    return html(
        '<nav class="pages" aria-label="Pages">{}<span>{} to {} of {}: search for a job, or go on</span>{}</nav>',
        *(before if page > 1 else NOTHING, first + 1, first + count, total, after if page < pages else NOTHING),
    )


def _empty(overview: Overview, address: Address) -> Html:
    if overview.files:
        text = html('No job fits. <a href="{}">Show all</a>', link("jobs"))
    else:
        text = html('There is no job yet. <a href="{}">Create the first one</a>', link("new"))
    return html('<div class="card"><p class="empty">{}</p></div>', text)


def _number(text: str) -> int:
    return max(1, int(text)) if re.fullmatch(r"\d{1,6}", text) else 1
