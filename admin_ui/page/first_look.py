"""What the first answer holds beyond Gradio's own page: our style and script, and the first view as plain HTML.

Gradio adds a head of ours only from its script, a second later and without the nonce that scripts need. Pure ASGI.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEAD_ENDS, BODY_BEGINS = re.compile(rb"</head>"), re.compile(rb"<body[^>]*>")


class FirstLook:
    """Puts `head` into the head of the page at `path`, and what `render` returns at the beginning of its body."""

    def __init__(self, app: ASGIApp, path: str, head: str, render: Callable[[Scope], str]) -> None:
        self._app = app
        self._path = path
        self._head = head.encode()
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == self._path:
            render = functools.partial(self._render, scope)
            # Gradio has meanings of its own for some of the query's fields, of which it may fail.
            await self._app({**scope, "query_string": b""}, receive, _Inserting(send, self._head, render))
        else:
            await self._app(scope, receive, send)


class _Inserting:
    """Holds one HTML answer back until it is whole."""

    def __init__(self, send: Send, head: bytes, render: Callable[[], str]) -> None:
        self._send, self._head, self._render = send, head, render
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            self._start = message
            return
        if self._start is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        look = (await asyncio.to_thread(self._render)).encode()
        body = HEAD_ENDS.sub(lambda found: self._head + found[0], bytes(self._body), count=1)
        body = BODY_BEGINS.sub(lambda found: found[0] + look, body, count=1)
        headers = [pair for pair in self._start["headers"] if pair[0].lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
