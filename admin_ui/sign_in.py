"""The routes of the stand-alone way in: sign in, choose or change the password, sign out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from admin_ui import pages
from admin_ui.audit import AuditLog
from admin_ui.auth import User, Visitor, get_user_from_request, require_role
from admin_ui.auth.password import (
    BROWSER_COOKIE,
    SESSION_COOKIE,
    SHORTEST,
    PasswordAuthenticator,
    SignInRefused,
)
from admin_ui.auth.sessions import SESSION_SECONDS
from admin_ui.errors import StorageError, ValidationError
from admin_ui.guard import VISITOR_KEY
from admin_ui.origin import over_https
from admin_ui.responses import html
from admin_ui.routes import PLAIN_PATH
from admin_ui.settings import Settings
from admin_ui.sparing import STRANGERS_REFUSALS_A_MINUTE, Sparing

BROWSER_SECONDS = 90 * 24 * 3600
NOTHING_OPENS = (
    "The printed password was used or has expired. Restart the admin service to have a new one printed in its output."
)


class SignIn:
    """The pages and what their forms do. Only the guard's requests come here, so the origin has been checked."""

    def __init__(
        self, settings: Settings, authenticator: PasswordAuthenticator, audit: AuditLog, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._audit = audit
        self._sparing = Sparing(clock, STRANGERS_REFUSALS_A_MINUTE)

    def routes(self) -> list[Route]:
        """Return the routes, to be mounted at the root."""
        return [
            Route("/sign-in", self.page, methods=["GET"]),
            Route("/sign-in", self.submit, methods=["POST"]),
            Route("/sign-out", self.sign_out, methods=["POST"]),
            Route("/password", self.password_page, methods=["GET"]),
            Route("/password", self.change_password, methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        """Show the form, or go on if there is a session."""
        go_on = _local(request.query_params.get("next", ""))
        session = self._authenticator.session(_visitor(request))
        if session and not session.choosing:
            return RedirectResponse(self._url(go_on), 303)
        return self._form(bool(session), go_on)

    async def submit(self, request: Request) -> Response:
        """Sign in, or choose the password if the printed one was given before."""
        fields = await _fields(request)
        go_on = _local(fields.get("next", ""))
        session = self._authenticator.session(_visitor(request))
        if session and session.choosing and "password" not in fields:
            return await self._choose(request, fields, go_on)
        return await self._sign_in(request, fields, go_on)

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        user = get_user_from_request(request)
        self._authenticator.sign_out(_visitor(request))
        if user is not None:
            await self._note(user, "sign_out")
        response = RedirectResponse(self._url("/sign-in"), 303)
        response.delete_cookie(SESSION_COOKIE, path=self._cookie_path, httponly=True, samesite="strict")
        return response

    async def password_page(self, request: Request) -> Response:
        """Show the form for another password."""
        require_role(get_user_from_request(request), self._settings.role)
        return self._change_form()

    async def change_password(self, request: Request) -> Response:
        """Change the password; this browser stays signed in."""
        user = require_role(get_user_from_request(request), self._settings.role)
        fields = await _fields(request)

        async def change() -> str:
            return await self._authenticator.change(_visitor(request), fields.get("password", ""), _new(fields))

        try:
            token = await self._audited(user, "change_password", change)
        except (SignInRefused, ValidationError, StorageError) as error:
            return self._change_form(error)
        return self._signed_in(request, token, "/")

    async def _sign_in(self, request: Request, fields: dict[str, str], go_on: str) -> Response:
        visitor = _visitor(request)
        try:
            token, choosing = await self._authenticator.sign_in(visitor, fields.get("password", ""))
        except (SignInRefused, StorageError) as error:
            details = self._sparing.take()
            if details is not None:
                await asyncio.to_thread(self._audit.refused, None, "sign_in", str(error), visitor.address, details)
            return self._form(False, go_on, error)
        await self._note(self._authenticator.user(visitor), "sign_in")
        if choosing:
            response = RedirectResponse(self._url("/sign-in", go_on), 303)
            self._set_cookie(request, response, SESSION_COOKIE, token)
            return response
        return self._signed_in(request, token, go_on)

    async def _choose(self, request: Request, fields: dict[str, str], go_on: str) -> Response:
        visitor = _visitor(request)

        async def choose() -> str:
            return await self._authenticator.choose(visitor, _new(fields))

        try:
            token = await self._audited(self._authenticator.user(visitor), "choose_password", choose)
        except (SignInRefused, ValidationError, StorageError) as error:
            return self._form(True, go_on, error)
        return self._signed_in(request, token, go_on)

    async def _audited(self, user: User, action: str, change: Callable[[], Awaitable[str]]) -> str:
        """Make a change between its two audit lines. Raises StorageError, before it, if the first cannot be written."""
        line_id = await asyncio.to_thread(self._audit.requested, user, action, None)
        try:
            token = await change()
        except Exception as error:
            await asyncio.to_thread(self._audit.outcome, line_id, user, action, None, "failed", {"error": _text(error)})
            raise
        await asyncio.to_thread(self._audit.outcome, line_id, user, action, None, "done")
        return token

    async def _note(self, user: User, action: str) -> None:
        await asyncio.to_thread(self._audit.log_event, user.username, action, source=user.source)

    def _form(self, choosing: bool, go_on: str, error: Exception | None = None) -> Response:
        problem = _text(error) if error else ""
        status = _status(error) if error else 200
        action = self._url("/sign-in")
        if choosing:
            return html(pages.choose_password(action, go_on, SHORTEST, problem), status)
        note = "" if self._authenticator.store.opens else NOTHING_OPENS
        response = html(pages.sign_in(action, go_on, problem, note), status)
        if isinstance(error, SignInRefused) and error.wait_seconds:
            response.headers["retry-after"] = str(int(error.wait_seconds) + 1)
        return response

    def _change_form(self, error: Exception | None = None) -> Response:
        problem, status = (_text(error), _status(error)) if error else ("", 200)
        return html(pages.change_password(self._url("/password"), self._url("/"), SHORTEST, problem), status)

    def _signed_in(self, request: Request, token: str, go_on: str) -> Response:
        response = RedirectResponse(self._url(go_on), 303)
        self._set_cookie(request, response, SESSION_COOKIE, token)
        mark = self._authenticator.browser_mark()
        self._set_cookie(request, response, BROWSER_COOKIE, mark, BROWSER_SECONDS)
        return response

    def _set_cookie(
        self, request: Request, response: Response, name: str, value: str, lasts: int | None = None
    ) -> None:
        response.set_cookie(
            name,
            value,
            max_age=int(SESSION_SECONDS) if lasts is None else lasts,
            path=self._cookie_path,
            secure=over_https(_visitor(request)),
            httponly=True,
            samesite="strict",
        )

    @property
    def _cookie_path(self) -> str:
        return self._settings.root_path or "/"

    def _url(self, path: str, go_on: str = "/") -> str:
        query = "" if go_on == "/" else f"?{urlencode({'next': go_on})}"
        return self._settings.root_path + path + query


def _visitor(request: Request) -> Visitor:
    visitor = request.scope[VISITOR_KEY]
    assert isinstance(visitor, Visitor)
    return visitor


async def _fields(request: Request) -> dict[str, str]:
    """Return a form's fields, the first value of each."""
    try:
        fields = parse_qs((await request.body()).decode(), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}


def _new(fields: dict[str, str]) -> str:
    """Return the new password. Raises ValidationError if it was not typed twice alike."""
    if fields.get("new_password", "") != fields.get("repeated"):
        raise ValidationError({"password": "The two new passwords differ."})
    return fields.get("new_password", "")


def _local(path: str) -> str:
    """Return a path to go on to, "/" for what would lead elsewhere or round in a circle."""
    place, _, query = path.partition("?")
    leads_on = place.startswith("/") and PLAIN_PATH.match(place) and not place.startswith("/sign-")
    printable = query.isascii() and query.isprintable() and " " not in query and "#" not in query
    return path if leads_on and printable else "/"


def _text(error: Exception) -> str:
    return " ".join(error.errors.values()) if isinstance(error, ValidationError) else str(error)


def _status(error: Exception) -> int:
    if isinstance(error, SignInRefused):
        return 429 if error.wait_seconds else 401
    return 422 if isinstance(error, ValidationError) else 503
