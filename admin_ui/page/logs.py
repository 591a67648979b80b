"""The logs: of one run with its whole output, as it is printed; of a job; or the newest runs of all jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from gradio.components import Component

from admin_ui.audit import CANCEL_RUN
from admin_ui.auth import User
from admin_ui.errors import AdminError, JobNotFoundError, RunNotFoundError, ValidationError
from admin_ui.job_files import JobFile
from admin_ui.model import FAILED
from admin_ui.output import STREAMS
from admin_ui.page.address import Address, link, parse
from admin_ui.page.handlers import said
from admin_ui.page.job_log import entries_html, runs_html
from admin_ui.page.markup import NOTHING, Html, html, trouble_html
from admin_ui.page.result import asked, cancelled_by
from admin_ui.page.run_head import Run, head, nothing_printed, streams, unknown
from admin_ui.page.run_output import Panel, length, panel
from admin_ui.page.views import AT_ONCE, QUIET, SECONDS_AT_REST, SECONDS_LIVE, Shown, Tools, area
from admin_ui.queries import Filter, HistoryRow

NEWEST = 100
"""Log entries, or runs, that are shown."""

SHOWN = {"success": "success", "failure": FAILED}
DRAWN = 16  # streams that are kept as HTML: a run that is over is asked for every few seconds
ASKERS = 8  # who may wait for the scheduler's answer at the same time


class LogsView:
    """See View."""

    name = "logs"

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._service = tools.service
        self._drawn = lru_cache(maxsize=DRAWN)(self._draw)

    def build(self) -> None:
        """Make the components and their events."""
        with gr.Row(elem_id="jobs-logs-top"):
            self._head = area("jobs-logs-head")
            again = gr.Button("Run again", elem_id="jobs-logs-again", size="md", scale=0)
            cancel = gr.Button("Cancel run", elem_id="jobs-logs-cancel", size="md", variant="stop", scale=0)
        with gr.Row(elem_id="jobs-logs-tools"):
            job = gr.Dropdown([], label="Job", elem_id="jobs-logs-job", interactive=True)
            shown = gr.Dropdown(
                [("All", "all"), ("Success", "success"), ("Failure", "failure")],
                label="Show",
                elem_id="jobs-logs-show",
                filterable=False,
                interactive=True,
            )
            find = gr.Textbox(label="Search", elem_id="jobs-logs-find", max_length=200, interactive=True)
            refresh = gr.Button("Refresh", elem_id="jobs-logs-refresh", size="md", scale=0)
            self._streams = area("jobs-logs-streams")
        panels = [area(f"jobs-logs-{stream}{part}") for stream in ("stderr", "stdout") for part in ("-bar", "")]
        self.opened: Sequence[Component] = [job, shown, find]
        self.live: Sequence[Component] = [self._head, self._streams, *panels, area("jobs-logs-entries")]
        job.input(None, [job], js="(job) => jobs.logs.choose({job})", **AT_ONCE)
        shown.input(None, [shown], js="(show) => jobs.logs.choose({show})", **AT_ONCE)
        refresh.click(None, js="() => jobs.lookAgain()", **AT_ONCE)
        handlers, go, told = self._tools.handlers, self._tools.go, self._tools.said
        find.input(None, [find], js="(find) => jobs.logs.search(find)", **AT_ONCE)
        waits = {**QUIET, "concurrency_limit": ASKERS}
        cancelling = handlers.acting(self._cancel_run, 0, of_a_job=True)
        triggering = handlers.acting(self._trigger_job, 1, of_a_job=True)
        cancel.click(cancelling, [go], [told], js="() => jobs.logs.askToCancel()", **waits)
        again.click(triggering, [go], [told, go], js="() => jobs.logs.askToRun()", **waits)

    def open(self, user: User, address: Address) -> Sequence[Any]:
        """Return the choices and what is chosen."""
        job = address.get("job")
        choices = [("All jobs", ""), *((name, name) for name in sorted({*self._service.job_names(), job} - {""}))]
        return [gr.update(choices=choices, value=job), address.get("show", "all"), address.get("find")]

    def refresh(self, user: User, address: Address) -> Shown:
        """Return the run that the address names, or the log entries."""
        if not address.get("run"):
            return Shown([NOTHING] * (len(self.live) - 1) + [self._entries(address)])
        row = self._service.get_run(address.get("run"))
        if row is None or row.run_id is None:
            return Shown([unknown(address.get("run")), *[NOTHING] * (len(self.live) - 1)])
        run = self._run(row, row.run_id)
        return Shown(
            [head(run), *self._output(run, row.run_id, address)], SECONDS_LIVE if run.active else SECONDS_AT_REST
        )

    def viewed(self, address: Address) -> tuple[str, str | None]:
        """Return what the audit log says of a look at this."""
        job = address.get("job")
        if address.get("run"):
            try:
                row = self._service.get_run(address.get("run"))
            except AdminError:
                row = None  # the view says what is wrong
            job = row.job_name if row else ""
        return "view_job_logs", job or None

    def _cancel_run(self, user: User, text: str) -> list[Any]:
        row = self._known(text)
        with self._tools.audit.change(user, CANCEL_RUN, row.job_name, {"run_id": row.run_id}) as line_id:
            self._service.cancel_run(row.run_id or "", requested_by=user.username, request_id=line_id)
        return [said(f"{row.job_name}: the scheduler is ending run {row.run_id}.")]

    def _trigger_job(self, user: User, text: str) -> list[Any]:
        row = self._known(text)
        run_id = self._tools.awaited.trigger(user, row.job_name, {"again": row.run_id})
        return [said(f"{row.job_name}: run {run_id} was accepted."), link("logs", run=run_id)]

    def _known(self, text: str) -> HistoryRow:
        run_id = parse(text).get("run")
        row = self._service.get_run(run_id)
        if row is None:
            raise RunNotFoundError(run_id)
        return row

    # One run

    def _run(self, row: HistoryRow, run_id: str) -> Run:
        audit = self._tools.audit
        confirmed = audit.confirmed_by(row.request_id, row.requested_by, job_name=row.job_name)
        earlier = self._service.get_history_page(Filter(job_name=row.job_name, until=row.at), limit=5).rows
        recent = self._service.get_recent(row.job_name)
        newest = self._service.get_history_page(Filter(job_name=row.job_name), limit=5).rows
        file = self._file(row.job_name)
        return Run(
            row=row,
            recent=recent,
            asked=asked(row.trigger, row.requested_by, confirmed=confirmed),
            how=cancelled_by(row, audit.who_cancelled),
            has_file=file is not None,
            zone=_zone(file),
            previous=next((each.run_id for each in earlier if each.run_id), None),
            newest=next((each.run_id for each in newest if each.run_id), None),
        )

    def _file(self, job_name: str) -> JobFile | None:
        try:
            return self._service.get_job(job_name)
        except JobNotFoundError:
            return None

    def _output(self, run: Run, run_id: str, address: Address) -> list[Html]:
        """Return the values of all areas below the head."""
        sizes, lengths = {}, {}
        for stream in ("stderr", "stdout"):
            with self._service.open_output(run_id, stream) as output:
                sizes[stream], lengths[stream] = output.size, length(output)
        if not any(sizes.values()):
            return [NOTHING] * 5 + [html('<p class="empty card">{}</p>', nothing_printed(run.row))]
        chosen = address.get("stream")
        wanted = [chosen] if chosen in STREAMS else [stream for stream in sizes if sizes[stream]]
        panels = [
            self._drawn(run_id, stream, lengths[stream], sizes[stream], address.link(), run.active)
            if stream in wanted
            else Panel(NOTHING, NOTHING)
            for stream in sizes
        ]
        return [streams(address, lengths), *(part for each in panels for part in (each.bar, each.lines)), NOTHING]

    def _draw(self, run_id: str, stream: str, known: str, size: int, text: str, live: bool) -> Panel:
        """Return a panel; what it shows changes with what is `known` of the lines and with the size only."""
        with self._service.open_output(run_id, stream) as output:
            row = self._service.get_run(run_id)
            download = f"download/{row.job_name if row else ''}/{run_id}.{stream}"
            return panel(output, stream, parse(text), download, live=live)

    # A job, or all

    def _is_confirmed(self, entry: Mapping[str, Any]) -> bool:
        request_id, name, action = entry["request_id"], entry["requested_by"], entry["action"]
        return self._tools.audit.confirmed_by(request_id, name, job_name=entry["job_name"] or "", action=action)

    def _entries(self, address: Address) -> Html:
        job, find, status = address.get("job"), address.get("find"), SHOWN.get(address.get("show"))
        try:
            if not job:
                page = self._service.get_history_page(Filter(text=find or None, status=status), limit=NEWEST)
                return runs_html(page.rows, find) + _stopped(page.complete)
            found = self._service.find_job_logs(job, NEWEST, search=find or None, status=status)
        except ValidationError as error:
            return trouble_html(error)
        drawn, count = entries_html(found.entries, find, _zone(self._file(job)), self._is_confirmed)
        query = urlencode({name: text for name, text in (("search", find), ("status", status)) if text})
        download = html('<a class="load" href="download/log/{}.jsonl?{}">Download log</a>', job, query)
        if not drawn:
            download = NOTHING
            nothing = "No entry holds that." if find or status else "There are no log entries of this job yet."
            drawn = html('<p class="empty card">{}</p>', nothing)
        return html(
            '<div class="bar"><h2>{}</h2><span class="dim">{}</span><span class="ways"><a href="{}">history</a></span>'
            "{}</div>"
            '<div class="entries" role="region" tabindex="0" aria-label="Log entries">{}</div>',
            job,
            "all entries, newest first"
            if found.complete and count == len(found.entries)
            else f"the newest {count} entries",
            link("history", job=job),
            download,
            drawn,
        )


def _zone(file: JobFile | None) -> str | None:
    return file.config.timezone if file and file.config else None


def _stopped(complete: bool) -> Html:
    return (
        NOTHING
        if complete
        else html('<p class="notice">The search ran out of time: older runs were not looked at.</p>')
    )
