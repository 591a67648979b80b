"""The history: which runs there were, how they ended and how long they took, and which times were passed over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import gradio as gr
from gradio.components import Component

from admin_ui.auth import User
from admin_ui.errors import AdminError, ValidationError
from admin_ui.overview import known_zone
from admin_ui.page import charts, history_filter, history_rows
from admin_ui.page.address import Address
from admin_ui.page.history_filter import FIELDS, PRESETS, Question
from admin_ui.page.history_rows import Known
from admin_ui.page.markup import NOTHING, Html, html, join, moment, trouble_html
from admin_ui.page.timeline import MOST_BARS, begun_before, timeline
from admin_ui.page.views import AT_ONCE, Shown, Tools, area
from admin_ui.queries import HistoryRow, Page

PAGE_ROWS = 50
TIMELINE_OF = timedelta(hours=24)
TYPED = ("since", "until", "find")


class HistoryView:
    """See View. The names of the inputs are those of the address's fields."""

    name = "history"

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def build(self) -> None:
        """Make the filters, and a place for what is said of each that is typed, for the charts and for the table."""
        self._above = area("jobs-history-above")
        with gr.Row(elem_id="jobs-history-filters"):
            job = gr.Dropdown([], label="Job", allow_custom_value=True, interactive=True, elem_id="jobs-history-job")
            status = _choice("Result", history_filter.RESULTS, "jobs-history-status")
            trigger = _choice("Trigger", history_filter.TRIGGERS, "jobs-history-trigger")
            since, since_wrong = _typed("From (UTC)", "24h, 2026-11-25 14:00", "jobs-history-since")
            until, until_wrong = _typed("To (UTC)", "now", "jobs-history-until")
            find, find_wrong = _typed("Text", "in output, reasons, names", "jobs-history-find")
        self._charts = area("jobs-history-charts")
        self._rows = area("jobs-history-rows")
        self.opened: Sequence[Component] = [job, status, trigger, since, until, find]
        self.live: Sequence[Component] = [
            self._above,
            *(since_wrong, until_wrong, find_wrong),
            self._charts,
            self._rows,
        ]
        # A time counts when it is written to its end: half of one is no mistake yet.
        self._on("job", job, job.input)
        self._on("status", status, status.input)
        self._on("trigger", trigger, trigger.input)
        self._on("since", since, since.submit, since.blur)
        self._on("until", until, until.submit, until.blur)
        self._on("find", find, find.input)

    def _on(self, field: str, component: Component, *events: Any) -> None:
        gr.on(events, None, [component], js=f"(text) => jobs.history.narrow('{field}', text)", **AT_ONCE)

    def open(self, user: User, address: Address) -> Sequence[Any]:
        """Return the values of the filters."""
        job = address.get("job")
        jobs = [("All", ""), *((name, name) for name in sorted({*self._tools.service.job_names(), job} - {""}))]
        status, trigger = address.get("status"), address.get("trigger")
        return [
            gr.Dropdown(choices=jobs, value=job),
            status if status in history_filter.RESULTS.values() else "",
            trigger if trigger in history_filter.TRIGGERS.values() else "",
            *(address.get(field) for field in TYPED),
        ]

    def refresh(self, user: User, address: Address) -> Shown:
        """Return what is above the filters, what is wrong with each, the charts and the rows."""
        now = datetime.now(UTC)
        asked = history_filter.question(address, now)
        wrong = [
            html('<p class="wrong">{}</p>', asked.errors[field]) if field in asked.errors else NOTHING
            for field in TYPED
        ]
        try:
            plots, rows = self._found(address, asked, now)
        except AdminError as error:
            plots, rows = NOTHING, trouble_html(error)
        return Shown([_above(address), *wrong, plots, rows])

    def viewed(self, address: Address) -> tuple[str, str | None]:
        """Return what the audit log says of a look at this."""
        return "view_job_history", address.get("job") or None

    def _found(self, address: Address, asked: Question, now: datetime) -> tuple[Html, Html]:
        if not asked.errors.keys() <= set(TYPED):
            raise ValidationError(asked.errors)
        if asked.errors:
            return NOTHING, _empty("Nothing is shown until the filter can be read.")
        page = self._tools.service.get_history_page(asked.which, limit=PAGE_ROWS, before=asked.before)
        if not page.rows:
            nothing = "Nothing like this in the history" if any(map(address.get, FIELDS)) else "Nothing has run yet"
            return NOTHING, join([_empty(f"{nothing}."), _older(address, page)])
        known = self._known(page.rows)
        turns = not (asked.which.status or asked.which.trigger or asked.which.text)
        shown = history_rows.table(page.rows, known, turns=turns, job_is_chosen=bool(asked.which.job_name))
        return self._charts_of(address, asked, page, known, now), join([shown, _older(address, page)])

    def _charts_of(self, address: Address, asked: Question, page: Page, known: Known, now: datetime) -> Html:
        """Return the plots: of the newest runs that match, or of this page's where that is not the newest one."""
        which, rows, service = asked.which, page.rows, self._tools.service
        drawn, since = page, rows[-1].at
        if not (asked.before or which.text):
            ranged = replace(which, since=which.since or now - TIMELINE_OF)
            found = service.get_history_page(ranged, limit=MOST_BARS)
            found = replace(found, rows=found.rows + begun_before(service.overview(upcoming=0).running, ranged))
            if found.rows:
                drawn, since = found, ranged.since or since
        newest = max(row.end_time or row.at for row in rows)
        end = newest if asked.before or which.text else min(which.until or now, now)
        zone = known.zones.get(which.job_name) if which.job_name else None
        parts = [timeline(drawn.rows, address, since, end, older=drawn.more is not None, zone=zone)]
        if which.job_name:
            plotted = page
            if page.more and not which.text:
                plotted = service.get_history_page(which, limit=charts.MOST_PLOTTED, before=asked.before)
            of = charts.figures(plotted.rows)
            if of:
                parts = [
                    charts.figures_html(of, more=plotted.more is not None),
                    charts.duration_plot(plotted.rows, of, zone),
                    *parts,
                ]
        return join([charts.HATCH, *parts])

    def _known(self, rows: Sequence[HistoryRow]) -> Known:
        service, audit = self._tools.service, self._tools.audit
        overview = service.overview(upcoming=0)
        configs = {file.name: file.config for file in overview.files if file.config is not None}
        zone = known_zone(overview.scheduler.timezone)
        running = {row.job_name for row in rows if row.status == "running"}
        usual = {name: of.p95_seconds for name, of in service.get_recents(running).items()}
        return Known(
            zones={row.job_name: zone for row in rows}
            | {name: config.timezone for name, config in configs.items() if config.timezone},
            attempts={
                name: int(config.retries.get("max_attempts", service.defaults()["retries.max_attempts"]))
                for name, config in configs.items()
                if config.retries is not None
            },
            jitter={name: config.jitter_seconds for name, config in configs.items() if config.jitter_seconds},
            usual={name: seconds for name, seconds in usual.items() if seconds},
            is_confirmed=lambda row: audit.confirmed_by(row.request_id, row.requested_by, job_name=row.job_name),
        )


def _choice(label: str, choices: dict[str, str], elem_id: str) -> gr.Dropdown:
    return gr.Dropdown(
        list(choices.items()), value="", label=label, filterable=False, interactive=True, elem_id=elem_id
    )


def _typed(label: str, example: str, elem_id: str) -> tuple[gr.Textbox, gr.HTML]:
    """Return an input and, below it, the place for what is wrong with its text."""
    with gr.Column(min_width=120):
        text = gr.Textbox(label=label, placeholder=example, max_lines=1, interactive=True, elem_id=elem_id)
        return text, area(f"{elem_id}-wrong")


def _above(address: Address) -> Html:
    """Return the line of presets, and what a phone has instead of the filters."""
    since = "" if address.get("until") else address.get("since")
    presets = join(
        html(
            '<a href="{}"{}>{}</a>',
            address.link(since=text, until="", before=""),
            Html(' aria-current="true"') if since == text and not address.get("until") else NOTHING,
            label,
        )
        for text, label in PRESETS
    )
    used = sum(bool(address.get(field)) for field in FIELDS)
    return html(
        '<div class="presets"><nav aria-label="Time range">{}</nav><span class="aside"><button type="button"'
        ' id="jobs-history-fold" aria-controls="jobs-history-filters" aria-expanded="false">Filter{}</button>'
        '<button type="button" id="jobs-history-again">Refresh</button></span></div>',
        presets,
        f" ({used})" if used else "",
    )


def _older(address: Address, page: Page) -> Html:
    parts = []
    if not page.complete:
        older = html("older than {}", moment(page.rows[-1].at, relative=False)) if page.rows else "older"
        parts.append(html('<p class="notice">The search took too long: what is {} was not looked at.</p>', older))
    links = []
    if address.get("before"):
        links.append(html('<a href="{}">Newest</a>', address.link(before="")))
    if page.more:
        links.append(html('<a href="{}" rel="next">Older</a>', address.link(before=page.more)))
    if links:
        parts.append(html('<nav class="pages" aria-label="Pages">{}</nav>', join(links)))
    return join(parts)


def _empty(text: str) -> Html:
    return html('<p class="card empty">{}</p>', text)
