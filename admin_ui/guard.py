"""In front of everything: who asks, may he, does the request exist, does it come from our own page. Pure ASGI.

What gets through carries the user in its scope and nothing that a client could have forged: no forwarded
headers, no identity headers, no cookies.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from admin_ui.audit import AuditLog
from admin_ui.auth import USER_KEY, Authenticator, AuthUnavailable, NotBelieved, User, Visitor, require_role
from admin_ui.auth.proxy import SECRET_HEADER, Peers
from admin_ui.errors import NotAuthorized
from admin_ui.files import read_json
from admin_ui.origin import SAFE_METHODS, cross_site
from admin_ui.responses import GuardedSend, is_page_view, refusal, to_sign_in
from admin_ui.routes import HEALTH, Kind, Route, find, routes_for
from admin_ui.settings import AuthMode, Settings
from admin_ui.sparing import REFUSALS_A_MINUTE, STRANGERS_REFUSALS_A_MINUTE, Sparing

LOG = logging.getLogger(__name__)

VISITOR_KEY = "admin_ui.visitor"
SESSION_HASH = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
MOST_SESSION_HASHES = 10_000
MOST_QUERY_FIELDS = 1000  # Gradio repeats the query of the page in each request
MOST_OF_A_TEXT = 200
BODY_SECONDS = 30.0
"""A whole body must be here by then; what Gradio sends takes milliseconds. Answers may take as long as they like."""

# None of them means anything behind the guard, where it has been judged, and Gradio believes some of them.
NEVER_PASSED_ON = {"authorization", "cookie", "forwarded", "host", "x-gradio-server", "x-real-ip", SECRET_HEADER}


class Refused(Exception):
    """This request gets no further; `response` is what it gets instead."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class Guard:
    """The ASGI application in front of the others."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        authenticator: Authenticator,
        audit: AuditLog,
        clock: Callable[[], float] = time.monotonic,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._app = app
        self._settings = settings
        self._authenticator = authenticator
        self._audit = audit
        self._body_seconds = body_seconds
        self._peers = Peers(settings.trusted_proxies, settings.proxy_secret)
        self._routes = routes_for(settings.auth_mode)
        self._owners = SessionOwners()
        self._of_users = Sparing(clock, REFUSALS_A_MINUTE)
        self._of_nobody = Sparing(clock, STRANGERS_REFUSALS_A_MINUTE)
        self._not_believed = Sparing(clock, STRANGERS_REFUSALS_A_MINUTE)
        self._dropped = NEVER_PASSED_ON | {
            name.lower() for name in (settings.user_header, settings.roles_header, settings.jwt_header)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":  # nothing here uses them
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = self._path_below_root(scope)
        route = find(self._routes, scope["method"], path)
        guarded = GuardedSend(send, route.kind if route else None, path, packed=_takes_gzip(scope))
        try:
            try:
                inner, receive = await self._admit(scope, receive, path, route)
            except Refused as refused:
                await refused.response(scope, receive, guarded)
                return
            await self._app(inner, receive, guarded)
        except Exception as error:
            if guarded.started and isinstance(error.__cause__, HTTPException):
                # So Gradio ends the events of a session it does not know, as one from before a restart.
                LOG.info("an answer was broken off: %s %s: %s", scope["method"], path, error.__cause__)
                return
            reference = secrets.token_hex(4)
            LOG.exception("a request failed, reference %s: %s %s", reference, scope["method"], path)
            if not guarded.started:
                text = f"Something failed, reference {reference}. The service's log says what."
                await PlainTextResponse(text, 500)(scope, receive, GuardedSend(send, None, path))

    async def _admit(self, scope: Scope, receive: Receive, path: str, route: Route | None) -> tuple[Scope, Receive]:
        """Return what the application sees of a request that may pass. Raises Refused for every other one."""
        if route is HEALTH:
            return self._cleaned(scope, path, route, None, None), receive
        visitor = await self._visitor(scope)
        user = await self._user(scope, visitor, path, route)
        if route is None:
            raise Refused(refusal(visitor, 404, "Not found", "There is nothing at this address."))
        await self._check_origin(scope, visitor, user)
        if route.kind is Kind.PAGE and scope["path"] == self._settings.root_path:
            # From there the page's own links, which are relative, would lead out of the sub-path.
            query = scope.get("query_string", b"").decode("latin-1")
            raise Refused(RedirectResponse(f"{self._settings.root_path}/" + (f"?{query}" if query else "")))
        if scope["method"] not in SAFE_METHODS:
            body = await self._whole_body(receive, route.max_body, visitor)
            receive = _replayed(body, receive)
        else:
            body = b""
        if route.kind is Kind.EVENTS and user is not None:
            await self._check_session_hash(scope, visitor, user, path, body)
        return self._cleaned(scope, path, route, visitor, user), receive

    def _path_below_root(self, scope: Scope) -> str:
        """Return the path below the root path, whether or not the proxy took that away; "" for one that is odd."""
        path, raw = scope["path"], scope.get("raw_path", b"")
        if b"%" in raw or b"//" in raw or "//" in path:
            return ""
        root = self._settings.root_path
        below = path.removeprefix(root) if root and (path + "/").startswith(root + "/") else path
        return below or "/"

    async def _visitor(self, scope: Scope) -> Visitor:
        try:
            return self._peers.visitor(scope)
        except NotBelieved as error:
            peer = (scope.get("client") or ("", 0))[0]
            await self._refuse(None, scope, str(error), peer, self._not_believed)
            raise Refused(PlainTextResponse(f"Bad request: {error}.", 400)) from None

    async def _user(self, scope: Scope, visitor: Visitor, path: str, route: Route | None) -> User | None:
        """Return the user, who has the role; None is possible on open routes only."""
        try:
            user = await self._authenticator.authenticate(visitor)
        except AuthUnavailable as error:
            await self._refuse(None, scope, str(error), visitor.address, self._of_nobody)
            raise Refused(refusal(visitor, 503, "Sign-in is not possible at the moment", str(error))) from None
        except NotBelieved as error:
            await self._refuse(None, scope, str(error), visitor.address, self._not_believed)
            raise Refused(self._to_nobody(visitor)) from None
        if route is not None and route.kind is Kind.OPEN:
            return user
        if user is None:
            if self._leads_to_sign_in(scope, visitor, path):
                query = scope.get("query_string", b"").decode("latin-1")
                raise Refused(to_sign_in(visitor, self._settings.root_path, path, query))
            await self._refuse(None, scope, "not signed in", visitor.address, self._of_nobody)
            raise Refused(self._to_nobody(visitor))
        try:
            return require_role(user, self._settings.role)
        except NotAuthorized as error:
            await self._refuse(user, scope, str(error), visitor.address)
            text = f"You are signed in as {user.username}. Only people with the role {self._settings.role} get in here."
            raise Refused(refusal(visitor, 403, "No access", text)) from None

    def _leads_to_sign_in(self, scope: Scope, visitor: Visitor, path: str) -> bool:
        """Return whether this is the view of a page, by somebody whom the own sign-in page can help."""
        own_sign_in = self._settings.auth_mode is AuthMode.PASSWORD
        return own_sign_in and scope["method"] in SAFE_METHODS and path != "" and is_page_view(visitor)

    def _to_nobody(self, visitor: Visitor) -> Response:
        own_sign_in = self._settings.auth_mode is AuthMode.PASSWORD
        text = "Sign in again." if own_sign_in else "Sign in to the application first, then come back."
        response = refusal(visitor, 401, "You are not signed in", text)
        if self._settings.auth_mode is AuthMode.JWT and not self._settings.jwt_cookie:
            response.headers["www-authenticate"] = "Bearer"
        return response

    async def _check_origin(self, scope: Scope, visitor: Visitor, user: User | None) -> None:
        try:
            why = cross_site(scope["method"], visitor)
        except NotBelieved as error:
            why = str(error)
        if why is not None:
            await self._refuse(user, scope, f"cross-site request: {why}", visitor.address)
            hint = "If a proxy is in between, it must pass the Host header on as it is."
            raise Refused(refusal(visitor, 403, "Cross-site request refused", f"The request was refused: {why}.", hint))

    async def _whole_body(self, receive: Receive, most: int, visitor: Visitor) -> bytes:
        """Return the body. Raises Refused if it is too large, or not here in time: its connection is closed then."""
        try:
            async with asyncio.timeout(self._body_seconds):
                return await _body(receive, most, visitor)
        except TimeoutError:
            text = f"The whole of it must be here within {self._body_seconds:g} s."
            response = refusal(visitor, 408, "Too slow", text)
            response.headers["connection"] = "close"
            raise Refused(response) from None

    async def _check_session_hash(self, scope: Scope, visitor: Visitor, user: User, path: str, body: bytes) -> None:
        """Let nobody near another user's Gradio session: its hash is a bearer token that Gradio binds to no one."""
        try:
            claimed = _session_hashes(scope, path, body)
        except ValueError as error:
            await self._refuse(user, scope, f"cannot be read: {error}", visitor.address)
            raise Refused(refusal(visitor, 400, "Bad request", f"The request cannot be read: {error}.")) from None
        if not all(self._owners.claim(each, user.username) for each in claimed):
            await self._refuse(user, scope, "the page session belongs to another user", visitor.address)
            raise Refused(refusal(visitor, 403, "No access", "This page belongs to another user; load it again."))

    async def _refuse(
        self, user: User | None, scope: Scope, why: str, source: str, sparing: Sparing | None = None
    ) -> None:
        # On an open route also a stranger can be refused for what only users are refused for elsewhere.
        sparing = sparing or (self._of_users if user else self._not_believed)
        details = sparing.take(user.username if user else "")
        if details is not None:
            # As it was asked for: a decoded path may hold anything.
            path = self._path_below_root(scope) or scope.get("raw_path", b"").decode("latin-1")
            action = f"{scope['method']} {path}"
            await asyncio.to_thread(self._audit.refused, user, _short(action), _short(why), source, details)

    def _cleaned(self, scope: Scope, path: str, route: Route, visitor: Visitor | None, user: User | None) -> Scope:
        """Return the scope as the application gets it: what a proxy told is in it as if there were no proxy."""
        root = self._settings.root_path
        # Compression would hide the page's scripts from the nonce.
        dropped = self._dropped | {"accept-encoding"} if route.kind is Kind.PAGE else self._dropped
        headers = [
            (name, value)
            for name, value in scope["headers"]
            if name.lower().decode("latin-1") not in dropped and not name.lower().startswith(b"x-forwarded-")
        ]
        changed: dict[str, Any] = {"path": root + path, "raw_path": (root + path).encode(), "root_path": root}
        if visitor is not None:
            headers.append((b"host", visitor.host.encode()))
            changed["scheme"] = "https" if visitor.secure else "http"
            changed["client"] = (visitor.address, 0)
        return {**scope, **changed, "headers": headers, USER_KEY: user, VISITOR_KEY: visitor}


class SessionOwners:
    """Whose a Gradio session is: that of whoever used its hash first. Bounded; the longest unused is forgotten."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str, str] = OrderedDict()

    def claim(self, session_hash: str, username: str) -> bool:
        """Return whether the session is the user's, which one that nobody has becomes."""
        owner = self._owners.setdefault(session_hash, username)
        self._owners.move_to_end(session_hash)
        if len(self._owners) > MOST_SESSION_HASHES:
            self._owners.popitem(last=False)
        return owner == username


def _short(text: str) -> str:
    # Escaped before it is cut: in the line a character may take twelve bytes.
    return text.encode("ascii", "backslashreplace").decode()[:MOST_OF_A_TEXT]


async def _body(receive: Receive, most: int, visitor: Visitor) -> bytes:
    """Return the whole body. Raises Refused if it is larger, without reading the rest."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(Response(status_code=400))
        body += message.get("body", b"")
        if len(body) > most:
            raise Refused(refusal(visitor, 413, "Too large", f"At most {most:,} bytes are taken here."))
        if not message.get("more_body"):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def _takes_gzip(scope: Scope) -> bool:
    """Return whether the client names gzip among the encodings that it takes, and does not rule it out (RFC 9110)."""
    named = b",".join(value for name, value in scope["headers"] if name.lower() == b"accept-encoding")
    wanted = (each.replace(" ", "").lower() for each in named.decode("latin-1").split(","))
    return any(each == "gzip" or (each.startswith("gzip;q=") and each[7:].strip("0.") != "") for each in wanted)


def _session_hashes(scope: Scope, path: str, body: bytes) -> list[str]:
    """Return the session hashes that a request names anywhere. Raises ValueError for one that is none."""
    query = parse_qs(
        scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_QUERY_FIELDS
    )
    found: list[Any] = query.get("session_hash", [])
    if path.startswith("/gradio_api/heartbeat/"):
        found.append(path.rpartition("/")[2])
    elif scope["method"] == "POST":
        document = read_json(body)  # strict: a key that is there twice could be read in two ways
        if not isinstance(document, dict):
            raise ValueError("expected a JSON object")
        if document.get("session_hash") is not None:
            found.append(document["session_hash"])
    if not all(isinstance(each, str) and SESSION_HASH.match(each) for each in found):
        raise ValueError("expected a session hash of letters and digits")
    return found
