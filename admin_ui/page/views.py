"""What a view is to the section that holds it, and what all views are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gradio as gr
from gradio.components import Component

from admin_ui.audit import AuditLog
from admin_ui.auth import User
from admin_ui.job_management_service import JobManagementService
from admin_ui.page.address import Address
from admin_ui.page.awaited import Awaited
from admin_ui.page.handlers import Handlers

SECONDS_AT_REST = 5.0
SECONDS_LIVE = 1.0


# Gradio's ways of being called by other programs are off, and there is no sign of work for what takes milliseconds.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
AT_ONCE: dict[str, Any] = {**QUIET, "queue": False}
"""For events that are answered in milliseconds: they pass by Gradio's queue. QUIET alone is for those that wait."""


def area(elem_id: str, **more: Any) -> gr.HTML:
    """Return a place for HTML that is made here (markup.py), drawn as it is."""
    return gr.HTML(elem_id=elem_id, apply_default_css=False, padding=False, js_on_load=None, **more)


@dataclass(frozen=True, slots=True)
class Tools:
    """What every view works with. An event with `go` as an output leads to the address that it is given.

    `said` is the first output of whatever acts.
    """

    service: JobManagementService
    audit: AuditLog
    awaited: Awaited
    handlers: Handlers
    go: gr.Textbox
    said: gr.HTML


@dataclass(frozen=True, slots=True)
class Shown:
    """The values of a view's `live` components, and after how many seconds they are to be asked for again."""

    values: Sequence[Any]
    again_after: float = SECONDS_AT_REST


class View(Protocol):
    """One part of the page, shown alone. Its components are made in `build`, inside its own column.

    `opened` are filled once, when the address leads here (what a person types into must not be overwritten later);
    `live` are filled then, too, and again every few seconds as long as the view is looked at.
    """

    name: str
    opened: Sequence[Component]
    live: Sequence[Component]

    def build(self) -> None:
        """Make the components and their events."""
        ...

    def open(self, user: User, address: Address) -> Sequence[Any]:
        """Return the values of `opened`. Raises AdminError, whose text is shown."""
        ...

    def refresh(self, user: User, address: Address) -> Shown:
        """Return the values of `live`. Raises AdminError, whose text is shown."""
        ...

    def viewed(self, address: Address) -> tuple[str, str | None]:
        """Return the action and the job for the audit log."""
        ...
