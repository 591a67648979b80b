"""The first view: what is wrong, all jobs with what needs somebody first, what can be done with the selected one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import gradio as gr
from gradio.components import Component

from admin_ui.audit import AuditLog
from admin_ui.auth import User
from admin_ui.job_management_service import JobManagementService
from admin_ui.overview import MOST_UPCOMING, Overview
from admin_ui.page import job_state
from admin_ui.page.actions import Actions
from admin_ui.page.address import Address
from admin_ui.page.alarm import alarm
from admin_ui.page.job_rows import JobRow, chosen, job_names, job_rows
from admin_ui.page.job_table import chips, table
from admin_ui.page.markup import Html, html
from admin_ui.page.views import AT_ONCE, SECONDS_AT_REST, SECONDS_LIVE, Shown, Tools, area
from admin_ui.queries import Filter
from admin_ui.requests import RequestFile

SECONDS_RUNNING = 2.0
MISSED_OF, MOST_MISSED = timedelta(hours=24), 500


@dataclass(frozen=True, slots=True)
class Look:
    """What there was to see at one moment: all jobs, and those of them that the address asks for."""

    overview: Overview
    rows: Sequence[JobRow]
    shown: Sequence[JobRow]
    address: Address

    def parts(self, audit: AuditLog) -> list[Html]:
        """Return the three parts of the view as HTML: what is wrong, the states to filter by, the table."""
        failed_runs = sum(count for _, count in self.overview.failed)

        def is_confirmed(file: RequestFile) -> bool:
            request_id, action, job_name = file.request
            return audit.confirmed_by(request_id, file.requested_by, job_name=job_name, action=action)

        return [
            alarm(self.overview, self.rows, audit.who_cancelled, is_confirmed),
            chips(self.rows, self.address, failed_runs),
            table(self.shown, self.address, self.overview, audit.who_cancelled, is_confirmed),
        ]

    def selected(self) -> JobRow | None:
        """Return the row of the job that the address names."""
        name = self.address.get("job")
        return next((row for row in self.rows if name and row.name == name and not row.is_double), None)

    def again_after(self) -> float:
        """Return in how many seconds it is worth another look."""
        files = (row.file for row in self.rows if row.file and not row.loaded)
        if any(row.queued for row in self.rows) or any(job_state.is_waiting(file, self.overview) for file in files):
            return SECONDS_LIVE
        return SECONDS_RUNNING if self.overview.running else SECONDS_AT_REST


def look(service: JobManagementService, address: Address) -> Look:
    """Return what there is to see now. Raises StorageError."""
    overview = service.overview(upcoming=MOST_UPCOMING)
    missed = service.get_history_page(Filter(status="missed", since=overview.now - MISSED_OF), limit=MOST_MISSED)
    rows = job_rows(overview, service.get_recents(job_names(overview)), missed.rows)
    return Look(overview, rows, chosen(rows, address), address)


def jobs_html(service: JobManagementService, audit: AuditLog, address: Address) -> Html:
    """Return the view as the first answer has it, without what needs a script. Raises StorageError."""
    wrong, states, rows = look(service, address).parts(audit)
    return html('{}<div class="jobs-toolbar">{}</div>{}', wrong, states, rows)


def viewed(address: Address) -> tuple[str, str | None]:
    """Return what the audit log says of a look at the jobs."""
    return "view_jobs", address.get("job") or None


class JobsView:
    """See View."""

    name = "jobs"

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._actions = Actions(tools)

    def build(self) -> None:
        """Make the components and their events."""
        wrong = area("jobs-alarm")
        with gr.Row(elem_id="jobs-toolbar", elem_classes="jobs-toolbar"):
            states = area("jobs-chips")
            find = gr.Textbox(
                label="Find",
                placeholder="Find",
                container=False,
                show_label=False,
                max_lines=1,
                elem_id="jobs-find",
                interactive=True,
            )
            again = gr.Button("Refresh", size="sm", elem_id="jobs-refresh")
        rows = area("jobs-table")
        self._actions.build_bar()
        self._actions.build_pause()
        self.opened: Sequence[Component] = [find]
        self.live: Sequence[Component] = [wrong, states, rows, *self._actions.live]
        find.input(None, [find], js="(find) => jobs.narrow({find, page: ''})", **AT_ONCE)
        again.click(None, js="() => jobs.lookAgain()", **AT_ONCE)

    def open(self, user: User, address: Address) -> Sequence[Any]:
        """Return the search text."""
        return [address.get("find")]

    def refresh(self, user: User, address: Address) -> Shown:
        """Return all parts, and what can be done with the selected job."""
        seen = look(self._tools.service, address)
        actions = self._actions.values(seen.selected(), is_paused=seen.overview.paused_since is not None)
        return Shown([*seen.parts(self._tools.audit), *actions], seen.again_after())

    def viewed(self, address: Address) -> tuple[str, str | None]:
        """Return what the audit log says of a look at this."""
        return viewed(address)
