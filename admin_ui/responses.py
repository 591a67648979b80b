"""What every answer carries, whoever wrote it, and the answers of the guard itself."""

from __future__ import annotations

import gzip
import re
import secrets
from collections.abc import Mapping
from urllib.parse import quote

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import Message, Send

from admin_ui import pages
from admin_ui.auth import Visitor
from admin_ui.routes import Kind

ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer a browser says `Origin: null` in our own forms
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
# Gradio builds functions from text in gr.HTML and Vega, hence unsafe-eval; what the nonce stops is scripts in data.
POLICY = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
SCRIPT = re.compile(rb"<script(?=[\s>])")
GZIP_LEVEL = 5  # 240 KB become 33 in 4 ms; the highest one would save 1 more
FOREVER = "private, max-age=31536000, immutable"  # the names of these files hold a hash of their content


class GuardedSend:
    """Passes an answer on with the headers of this service; only HTML pages are held back, to put the nonce in.

    `packed`: whoever asks takes gzip. A page is packed here, to a seventh, as nothing before it may do so.
    """

    def __init__(self, send: Send, kind: Kind | None, path: str, *, packed: bool = False) -> None:
        self._send = send
        self._kind = kind
        self._path = path
        self._packed = packed
        self._nonce = secrets.token_urlsafe(16)
        self._held: Message | None = None
        self._body = bytearray()
        self.started = False

    async def __call__(self, message: Message) -> None:
        """Send, or hold back, one message."""
        if message["type"] == "http.response.start":
            headers = self._headers(message)
            message = {**message, "headers": list(_raw(headers, message))}
            if self._kind is Kind.PAGE and headers.get("content-type", "").startswith("text/html"):
                self._held = message
                return
            self.started = True
        elif self._held is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            await self._release()
            return
        await self._send(message)

    async def _release(self) -> None:
        body = SCRIPT.sub(f'<script nonce="{self._nonce}"'.encode(), bytes(self._body))
        start, self._held = self._held, None
        assert start is not None
        headers = [pair for pair in start["headers"] if pair[0] != b"content-length"]
        if self._packed:
            body = gzip.compress(body, GZIP_LEVEL, mtime=0)
            headers.append((b"content-encoding", b"gzip"))
        headers.append((b"content-length", str(len(body)).encode()))
        self.started = True
        await self._send({**start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _headers(self, message: Message) -> dict[str, str]:
        """Return the headers to set: ours, and those of the answer that may stand in for ours."""
        given = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message["headers"]}
        content_type = given.get("content-type", "")
        ours = ALWAYS | {"cache-control": self._caching(message["status"])}
        ours["content-security-policy"] = given.get("content-security-policy") or POLICY.format(nonce=self._nonce)
        if content_type.startswith("text/event-stream"):
            ours["x-accel-buffering"] = "no"  # nginx holds small events back otherwise
        return given | ours

    def _caching(self, status: int) -> str:
        if self._kind is not Kind.FIXED or status not in (200, 206, 304):
            return "no-store"
        return FOREVER if self._path.startswith("/assets/") else "private, no-cache"


def _raw(headers: Mapping[str, str], message: Message) -> list[tuple[bytes, bytes]]:
    """Return the headers as ASGI has them. Cookies may be several; no answer opens itself to other sites."""
    cookies = [(name, value) for name, value in message["headers"] if name.lower() == b"set-cookie"]
    kept = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in headers.items()
        if name not in ("set-cookie", "server") and not name.startswith("access-control-")
    ]
    return kept + cookies


def refusal(visitor: Visitor, status: int, title: str, *paragraphs: str) -> Response:
    """Return a refusal as the visitor can read it: a page in a browser's window, JSON for anything else."""
    if is_page_view(visitor):
        return html(pages.message(title, *paragraphs), status)
    return JSONResponse({"detail": " ".join((f"{title}.", *paragraphs))}, status)


def html(text: str, status: int = 200) -> Response:
    """Return one of our own pages, under their stricter policy."""
    return HTMLResponse(text, status, {"content-security-policy": pages.POLICY})


def to_sign_in(visitor: Visitor, root_path: str, path: str, query: str) -> Response:
    """Return the way to the sign-in page, from which the path that was asked for is reached."""
    wanted = path + (f"?{query}" if query else "")
    target = f"{root_path}/sign-in" + (f"?next={quote(wanted, safe='/')}" if wanted != "/" else "")
    if ("sec-fetch-site", "cross-site") in visitor.headers:
        # A link on another site: the browser holds a SameSite=Strict cookie back until a page of ours goes on.
        return html(pages.message("Job Management", "One moment.", go_to=target), 401)
    return RedirectResponse(target, 303)


def is_page_view(visitor: Visitor) -> bool:
    """Return whether a person looks at the answer, rather than a script."""
    accept = ",".join(value for name, value in visitor.headers if name == "accept")
    mode = [value for name, value in visitor.headers if name == "sec-fetch-mode"]
    return "text/html" in accept and mode in ([], ["navigate"])
