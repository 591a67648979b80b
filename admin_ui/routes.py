"""Every request that gets through the guard, in one table; what is not in it does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from admin_ui.settings import AuthMode

FORM_BYTES = 4 << 10
EVENT_BYTES = 2 << 20  # a job file has at most 1 MiB, and JSON inside JSON grows

# Neither `%` nor `//`, `..`, `\\`: nothing that two readers could understand differently.
PLAIN_PATH = re.compile(r"(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._~@=+,-]+)*/?\Z")


class Kind(Enum):
    """What the guard does with a route beyond checking who asks."""

    OPEN = auto()  # answered to anybody
    PLAIN = auto()
    PAGE = auto()  # HTML whose scripts get the response's nonce
    FIXED = auto()  # files that change only with the version
    EVENTS = auto()  # belongs to one Gradio session: its hash is in the query, the path or the body


@dataclass(frozen=True, slots=True)
class Route:
    """Requests of one kind. Paths are those below ADMIN_ROOT_PATH."""

    methods: tuple[str, ...]
    pattern: re.Pattern[str]
    kind: Kind
    max_body: int = 0


def _route(methods: str, pattern: str, kind: Kind, max_body: int = 0) -> Route:
    return Route(tuple(methods.split()), re.compile(pattern), kind, max_body)


HEALTH = _route("GET HEAD", "/healthz", Kind.OPEN)
DOWNLOAD = _route("GET HEAD", r"/download/[A-Za-z0-9_-]{1,64}/[A-Za-z0-9_-]{1,128}\.(stdout|stderr)", Kind.PLAIN)
LOG_DOWNLOAD = _route("GET HEAD", r"/download/log/[A-Za-z0-9_-]{1,64}\.jsonl", Kind.PLAIN)

# Gradio serves many more (uploads, files, API pages, other people's files by address); none of them is needed.
GRADIO = (
    _route("GET HEAD", "/", Kind.PAGE),
    _route("GET", "/config|/gradio_api/startup-events", Kind.PLAIN),
    # Gradio looks its files up as they are named: a name no file system can have would be an error of the service.
    _route("GET", "/(theme.css|favicon.ico|manifest.json)|/(assets|static)/.{1,200}", Kind.FIXED),
    _route("GET", "/gradio_api/queue/data|/gradio_api/heartbeat/[^/]+", Kind.EVENTS),
    _route("POST", "/gradio_api/(queue/join|run/predict|cancel|reset)", Kind.EVENTS, EVENT_BYTES),
)

PASSWORD = (
    _route("GET POST", "/sign-in", Kind.OPEN, FORM_BYTES),
    _route("POST", "/sign-out", Kind.OPEN),
    _route("GET POST", "/password", Kind.PLAIN, FORM_BYTES),
)


def routes_for(mode: AuthMode) -> tuple[Route, ...]:
    """Return the routes that exist with a way of signing in."""
    return (HEALTH, DOWNLOAD, LOG_DOWNLOAD, *GRADIO, *(PASSWORD if mode is AuthMode.PASSWORD else ()))


def find(routes: Iterable[Route], method: str, path: str) -> Route | None:
    """Return the route of a request, None for one that does not exist."""
    if not PLAIN_PATH.match(path):
        return None
    return next((route for route in routes if method in route.methods and route.pattern.fullmatch(path)), None)
