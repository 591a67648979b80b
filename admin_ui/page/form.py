"""The form for a new job, and for one that is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradio.components import Component

from admin_ui.auth import User
from admin_ui.page.address import Address
from admin_ui.page.markup import html
from admin_ui.page.views import Shown, Tools, area


class FormView:
    """See View."""

    def __init__(self, tools: Tools, name: str) -> None:
        self._tools = tools
        self.name = name

    def build(self) -> None:
        """Make the components and their events."""
        self.opened: Sequence[Component] = []
        self.live: Sequence[Component] = [area(f"jobs-{self.name}-shown")]

    def open(self, user: User, address: Address) -> Sequence[Any]:
        """Return the values of the inputs."""
        return []

    def refresh(self, user: User, address: Address) -> Shown:
        """Return what is shown."""
        return Shown([html("<p>{}</p>", address)])

    def viewed(self, address: Address) -> tuple[str, str | None]:
        """Return what the audit log says of a look at this."""
        return "view_job_form", address.get("job") or None
