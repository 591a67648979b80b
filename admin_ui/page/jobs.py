"""The first view: what failed, what runs, what comes, and all jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from admin_ui.auth import User
from admin_ui.job_management_service import JobManagementService
from admin_ui.page.address import Address, link, parse
from admin_ui.page.markup import Html, html, join, moment
from admin_ui.page.views import AT_ONCE, Shown, Tools, area


class JobsView:
    """See View."""

    name = "jobs"

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def build(self) -> None:
        """Make the components and their events."""
        self._find = gr.Textbox(label="Find", elem_id="jobs-find", interactive=True)
        self._table = area("jobs-table")
        self._find.input(
            self._tools.handlers.showing(self._filter),
            [self._find],
            [self._table],
            js="(find) => [jobs.changed({find})]",
            trigger_mode="always_last",
            **AT_ONCE,
        )
        self.opened: Sequence[Component] = [self._find]
        self.live: Sequence[Component] = [self._table]

    def _filter(self, user: User, text: str) -> Html:
        return jobs_html(self._tools.service, parse(text))

    def open(self, user: User, address: Address) -> Sequence[Any]:
        """Return the search text."""
        return [address.get("find")]

    def refresh(self, user: User, address: Address) -> Shown:
        """Return the table."""
        return Shown([jobs_html(self._tools.service, address)])

    def viewed(self, address: Address) -> tuple[str, str | None]:
        """Return what the audit log says of a look at this."""
        return "view_jobs", None


def jobs_html(service: JobManagementService, address: Address) -> Html:
    """Return everything below the controls. Raises StorageError."""
    overview = service.overview()
    rows = join(
        html(
            '<tr><td><a href="{}">{}</a></td><td>{}</td></tr>',
            link("jobs", job=each.job_name),
            each.job_name,
            moment(each.at),
        )
        for each in overview.upcoming
    )
    return html("<table>{}</table>", rows)
