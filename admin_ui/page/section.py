"""Job Management as one Gradio section: the views, of which one is shown, and the way from one to another."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import gradio as gr

from admin_ui.audit import AuditLog
from admin_ui.auth import User
from admin_ui.errors import AdminError
from admin_ui.job_management_service import JobManagementService
from admin_ui.model import iso
from admin_ui.page.address import FIRST_VIEW, parse
from admin_ui.page.alarm import of_the_scheduler
from admin_ui.page.awaited import Awaited
from admin_ui.page.form import FormView
from admin_ui.page.handlers import Handlers
from admin_ui.page.header import Account, header
from admin_ui.page.history import HistoryView
from admin_ui.page.jobs import JobsView, jobs_html, viewed
from admin_ui.page.logs import LogsView
from admin_ui.page.looks import Looks
from admin_ui.page.markup import NOTHING, Html, html, join, trouble_html
from admin_ui.page.views import AT_ONCE, Shown, Tools, View, area

LABEL = "Job Management"
BY_HAND, ALL = "click", "all"
"""Behind the address's `#`: a person asks to look again, and no timer; what was shown before does not count."""

MOMENT = Html('<p class="empty">One moment …</p>')


def create_jobs_section(
    service: JobManagementService,
    audit: AuditLog,
    *,
    role: str = "admin",
    open: bool = False,
    account: Account | None = None,
    looks: Looks | None = None,
) -> gr.Accordion:
    """Create the section in the current Blocks: collapsed, as a part of a larger page has it, unless `open`.

    The page around it needs `assets.head()` in its head, and the guard, or another setter of the user, in front.
    `account` is where this service's own sign-in is used; `looks` is that of `first_view`, if that is used.
    """
    section: gr.Accordion = gr.Accordion(LABEL, open=open, elem_id="jobs", elem_classes="alone" if open else None)
    with section:
        parts = _Section(service, audit, role, account or Account(), looks or Looks(audit))
        parts.build(section, is_open=open)
    return section


def first_view(
    user: User, service: JobManagementService, audit: AuditLog, looks: Looks, query: str, account: Account
) -> Html:
    """Return the first view as plain HTML, of the others only the header; never raises AdminError."""
    address = parse(query)
    action, job_name = viewed(address)
    table = MOMENT
    if address.view == FIRST_VIEW:
        told = looks.loaded(user, action, job_name)
        try:
            table = join([NOTHING if told else _not_told(), jobs_html(service, audit, address)])
        except AdminError as error:
            table = trouble_html(error)
    return html('<div id="jobs-first">{}<main>{}</main></div>', header(user, address, account), table)


class _Section:
    """The components that belong to no view. The page's script knows their ids."""

    def __init__(
        self, service: JobManagementService, audit: AuditLog, role: str, account: Account, looks: Looks
    ) -> None:
        self._service = service
        self._looks = looks
        self._account = account
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

    def build(self, section: gr.Accordion, *, is_open: bool) -> None:
        """Make all components inside the section and connect them."""
        self._header = area("jobs-header")
        self._trouble = area("jobs-trouble")
        for view in self._views:
            with gr.Column(elem_id=f"jobs-{view.name}", elem_classes="jobs-view"):
                view.build()
        self._stamp = area("jobs-stamp")
        self._seen = gr.State({})
        for view in self._views:
            self._connect(view)
        begins = section.expand  # what is closed has nothing to fill yet
        if is_open:
            context = gr.context.Context.root_block
            assert context is not None
            begins = context.load
        begins(None, js="() => jobs.openWhenDrawn()", **AT_ONCE)
        self._go.change(None, [self._go], [self._go], js="jobs.arrive", **AT_ONCE)

    def _connect(self, view: View) -> None:
        """Make the two unseen buttons by which the page's script asks for a view.

        Each has the outputs of that one view: Gradio makes every output of an event anew, also one that is skipped.
        """

        def open_view(user: User, text: str) -> list[Any]:
            return self._open(view, user, text)

        def refresh(user: User, text: str, seen: dict[str, str]) -> list[Any]:
            text, _, how = text.partition("#")
            address = parse(text)
            look = self._looks.opened if BY_HAND in how.split() else self._looks.goes_on
            told = look(user, *view.viewed(address), address.get("run"))
            known = {} if ALL in how.split() else seen or {}
            return self._live(view, user, text, known, NOTHING if told else _not_told())

        showing, own = self._handlers.showing, [self._trouble, self._stamp, self._seen]
        opening, again = (
            gr.Button(elem_id=f"jobs-{what}-{view.name}", elem_classes="jobs-unseen") for what in ("open", "again")
        )
        # The script gives the address that the browser shows; what a hidden field says may be older.
        opening.click(
            showing(open_view),
            [self._go],
            [self._header, *view.opened, *own, *view.live],
            js="() => [jobs.opens()]",
            trigger_mode="always_last",
            **AT_ONCE,
        )
        again.click(
            showing(refresh),
            [self._go, self._seen],
            [*own, *view.live],
            js="(go, seen) => [jobs.asking(), seen]",
            **AT_ONCE,
        )

    def _open(self, view: View, user: User, text: str) -> list[Any]:
        """Fill a view as the address has it, and its inputs."""
        address = parse(text)
        action, job_name = view.viewed(address)
        told = self._looks.opened(user, action, job_name, address.get("run"))
        trouble = NOTHING if told else _not_told()
        try:
            opened = list(view.open(user, address))
        except AdminError as error:
            opened, trouble = [gr.skip()] * len(view.opened), trouble_html(error)
        # Where no refresh writes over it, the script finds what was opened last.
        mark = html('<span data-opened="{}" data-at="{}"></span>', text, iso(datetime.now(UTC)))
        head = header(user, address, self._account) + mark
        return [head, *opened, *self._live(view, user, text, {}, trouble)]

    def _live(self, view: View, user: User, text: str, seen: dict[str, str], trouble: Html) -> list[Any]:
        """Return trouble, stamp, what is seen now, and what may have changed in the view; what has not is not sent."""
        address = parse(text)
        try:
            shown = view.refresh(user, address)
            if view.name != FIRST_VIEW:  # which tells it among other things
                trouble = join([trouble, of_the_scheduler(self._service.overview())])
        except AdminError as error:
            shown = Shown([gr.skip()] * len(view.live))
            trouble = trouble or trouble_html(error)
        news = {f"{view.name}{number}": _digest(value) for number, value in enumerate(shown.values)}
        fresh = [
            gr.skip() if seen.get(name) == digest else value
            for (name, digest), value in zip(news.items(), shown.values, strict=True)
        ]
        stamp = html(
            '<span data-at="{}" data-of="{}" data-next="{}"></span>', iso(datetime.now(UTC)), text, shown.again_after
        )
        return [trouble, stamp, news, *fresh]


def _digest(value: Any) -> str:
    return hashlib.blake2b(repr(value).encode(), digest_size=16).hexdigest()


def _not_told() -> Html:
    return trouble_html("This was not written to the audit log: it cannot be written.")
