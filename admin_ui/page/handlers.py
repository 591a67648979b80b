"""Between Gradio and our own functions: the role is checked for each call, and no error is silent or tells too much."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Any

import gradio as gr

from admin_ui.audit import AuditLog
from admin_ui.auth import User, get_user_from_request, require_role
from admin_ui.errors import AdminError, NotAuthorized
from admin_ui.page.address import parse
from admin_ui.page.markup import NOTHING, Html, html

LOG = logging.getLogger(__name__)
CLOSE = Html('<button type="button" aria-label="Close">&times;</button>')
"""A good message goes by itself; another one stays until somebody closes it."""


class Handlers:
    """Makes Gradio handlers of functions that take the user first and then the inputs' values."""

    def __init__(self, audit: AuditLog, role: str) -> None:
        self._audit = audit
        self._role = role

    def showing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the handler of a function that only shows something, and deals with every AdminError itself."""

        def handler(request: gr.Request, *values: Any) -> Any:
            try:
                return function(self._user(request, function.__name__), *values)
            except NotAuthorized as error:
                raise gr.Error(f"403: {Html.escape(error)}", print_exception=False) from error
            except gr.Error:
                raise
            except Exception as error:
                raise gr.Error(_unforeseen(function), print_exception=False) from error

        handler.__name__ = function.__name__
        return handler

    def acting(self, function: Callable[..., list[Any]], outputs: int, *, of_a_job: bool = False) -> Callable[..., Any]:
        """Return the handler of a function that does something: its first value is the message that says what.

        What goes wrong is that message, and the other `outputs` stay as they are. With `of_a_job`, the first input is
        an address whose `confirmed` is the job, which the message begins with: who asked may be elsewhere by now.
        """

        def wrong(text: str, values: tuple[Any, ...]) -> Html:
            job_name = parse(values[0]).get("confirmed") if of_a_job else ""
            return said(f"{job_name}: {text}" if job_name else text, good=False)

        def results(request: gr.Request, *values: Any) -> list[Any]:
            unchanged = [gr.skip() for _ in range(outputs)]
            try:
                return function(self._user(request, function.__name__), *values)
            except NotAuthorized as error:
                return [said(f"403: {error}", good=False), *unchanged]
            except AdminError as error:
                return [wrong(str(error), values), *unchanged]
            except Exception:
                return [wrong(_unforeseen(function), values), *unchanged]

        def handler(request: gr.Request, *values: Any) -> Any:
            made = results(request, *values)
            return made if outputs else made[0]  # of an event with one output, a list would be that output's value

        handler.__name__ = function.__name__
        return handler

    def _user(self, request: gr.Request, action: str) -> User:
        user = get_user_from_request(request)
        try:
            return require_role(user, self._role)
        except NotAuthorized as error:
            client = getattr(request, "client", None)
            self._audit.refused(user, action.strip("_"), str(error), client.host if client else "")
            raise


def said(text: str | Html, *, good: bool = True) -> Html:
    """Return a message for the page's place for messages; the same text twice is two messages."""
    kind, role = ("good", "status") if good else ("bad", "alert")
    template = '<p class="said {}" role="{}" data-id="{}">{}{}</p>'
    return html(template, kind, role, secrets.token_hex(4), text, NOTHING if good else CLOSE)


def _unforeseen(function: Callable[..., Any]) -> str:
    reference = secrets.token_hex(4)
    LOG.exception("a handler failed, reference %s: %s", reference, function.__name__)
    return f"Something failed, reference {reference}. The service's log says what."
