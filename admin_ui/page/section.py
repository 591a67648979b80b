"""Job Management as one Gradio section: the views, of which one is shown, and the way from one to another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import gradio as gr
from gradio.components import Component

from admin_ui.audit import AuditLog
from admin_ui.auth import User
from admin_ui.errors import AdminError
from admin_ui.job_management_service import JobManagementService
from admin_ui.model import JOB_NAME, iso
from admin_ui.page.address import FIRST_VIEW, Address, parse
from admin_ui.page.alarm import of_the_scheduler
from admin_ui.page.awaited import Awaited
from admin_ui.page.form import FormView
from admin_ui.page.handlers import Handlers
from admin_ui.page.header import header
from admin_ui.page.history import HistoryView
from admin_ui.page.jobs import JobsView, jobs_html
from admin_ui.page.logs import LogsView
from admin_ui.page.markup import NOTHING, Html, html, join
from admin_ui.page.views import AT_ONCE, Shown, Tools, View, area

LABEL = "Job Management"
MOMENT = Html('<p class="empty">One moment …</p>')


def create_jobs_section(
    service: JobManagementService, audit: AuditLog, *, role: str = "admin", open: bool = False, sign_out: str = ""
) -> gr.Accordion:
    """Create the section in the current Blocks: collapsed, as a part of a larger page has it, unless `open`.

    The page around it needs `assets.head()` in its head, and the guard, or another setter of the user, in front.
    `sign_out` is the path that ends the session, if there is one.
    """
    section: gr.Accordion = gr.Accordion(LABEL, open=open, elem_id="jobs", elem_classes="alone" if open else None)
    with section:
        _Section(service, audit, role, sign_out).build()
    return section


def first_view(user: User, service: JobManagementService, audit: AuditLog, query: str, sign_out: str) -> Html:
    """Return the first view as plain HTML, of the others only the header; never raises AdminError."""
    address = parse(query)
    try:
        table = jobs_html(service, audit, address) if address.view == FIRST_VIEW else MOMENT
    except AdminError as error:
        table = _trouble(str(error))
    return html('<div id="jobs-first">{}<main>{}</main></div>', header(user, address, sign_out), table)


class _Section:
    """The components that belong to no view. The page's script knows their ids."""

    def __init__(self, service: JobManagementService, audit: AuditLog, role: str, sign_out: str) -> None:
        self._service = service
        self._audit = audit
        self._sign_out = sign_out
        self._handlers = Handlers(audit, role)
        go = gr.Textbox(elem_id="jobs-go", show_label=False, container=False, interactive=True)
        tools = Tools(service, audit, Awaited(service, audit), self._handlers, go, area("jobs-said"))
        self._go = go
        self._views: tuple[View, ...] = (
            JobsView(tools),
            HistoryView(tools),
            LogsView(tools),
            FormView(tools, "new"),
            FormView(tools, "edit"),
        )

    def build(self) -> None:
        """Make all components and connect them."""
        self._header = area("jobs-header")
        self._trouble = area("jobs-trouble")
        for view in self._views:
            with gr.Column(elem_id=f"jobs-{view.name}", elem_classes="jobs-view"):
                view.build()
        self._stamp = area("jobs-stamp")
        again = gr.Button("Refresh", elem_id="jobs-again", elem_classes="jobs-unseen")
        seen = gr.State({})
        # The script gives the address that the browser shows; what a hidden field says may be older.
        here = "() => [jobs.address()]"
        own: list[Component] = [self._header, self._trouble, self._stamp, seen]
        opened = [each for view in self._views for each in view.opened]
        live = [each for view in self._views for each in view.live]
        go = self._go
        open_view = self._handlers.showing(self.open_view)
        refresh = self._handlers.showing(self.refresh)
        context = gr.context.Context.root_block
        assert context is not None
        context.load(open_view, [go], [*own, *opened, *live], js=here, **AT_ONCE)
        go.change(open_view, [go], [*own, *opened, *live], js="jobs.arrive", trigger_mode="always_last", **AT_ONCE)
        again.click(refresh, [go, seen], [*own[1:], *live], js="(go, seen) => [jobs.address(), seen]", **AT_ONCE)

    def open_view(self, user: User, text: str) -> list[Any]:
        """Fill the view that an address names. Its inputs are filled, too."""
        address = parse(text)
        current = self._named(address.view)
        action, job_name = current.viewed(address)
        told = self._audit.viewed(user, action, job_name if job_name and JOB_NAME.fullmatch(job_name) else None)
        trouble = NOTHING if told else _trouble("This was not written to the audit log: it cannot be written.")
        try:
            filled = list(current.open(user, address))
        except AdminError as error:
            filled, trouble = [gr.skip()] * len(current.opened), _trouble(str(error))
        opened = [filled if view is current else [gr.skip()] * len(view.opened) for view in self._views]
        return [header(user, address, self._sign_out), *self._live(user, address, current, {}, trouble, opened)]

    def refresh(self, user: User, text: str, seen: dict[str, str]) -> list[Any]:
        """Fill again what may have changed in the view that is looked at; what has not is not sent."""
        address = parse(text)
        return self._live(user, address, self._named(address.view), seen or {}, NOTHING, [])

    def _live(
        self,
        user: User,
        address: Address,
        current: View,
        seen: dict[str, str],
        trouble: Html,
        opened: Sequence[Sequence[Any]],
    ) -> list[Any]:
        """Return the values of trouble, stamp and seen, of the inputs, and of all that is live."""
        try:
            shown = current.refresh(user, address)
            if current.name != FIRST_VIEW:  # which tells it among other things
                trouble = join([trouble, of_the_scheduler(self._service.overview())])
        except AdminError as error:
            shown = Shown([gr.skip()] * len(current.live))
            trouble = trouble or _trouble(str(error))
        news = {f"{current.name}{number}": _digest(value) for number, value in enumerate(shown.values)}
        fresh = [
            gr.skip() if seen.get(name) == digest else value
            for (name, digest), value in zip(news.items(), shown.values, strict=True)
        ]
        live = [fresh if view is current else [gr.skip()] * len(view.live) for view in self._views]
        stamp = html('<span data-at="{}" data-next="{}"></span>', iso(datetime.now(UTC)), shown.again_after)
        return [trouble, stamp, news, *(each for part in [*opened, *live] for each in part)]

    def _named(self, name: str) -> View:
        by_name = {view.name: view for view in self._views}
        return by_name.get(name, by_name[FIRST_VIEW])


def _digest(value: Any) -> str:
    return hashlib.blake2b(repr(value).encode(), digest_size=16).hexdigest()


def _trouble(text: str) -> Html:
    return html('<p class="trouble" role="alert">{}</p>', text)
