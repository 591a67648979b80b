"""Serve the application: the address is taken before anything else begins, and a folder that is gone ends it.

Nobody holds a connection on which nothing is asked or read: uvicorn itself waits for either without end.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from admin_ui.errors import SettingsError
from admin_ui.exit_codes import EX_FAILED, EX_IOERR, EX_OK

# A browser's open event stream would hold the shutdown up for ever; a container gets 10 s by default.
SHUTDOWN_SECONDS = 3
LOOK_SECONDS = 10
UNUSED_LOOKS = 2
UNREAD_LOOKS = 7
"""At the last of so many looks at which nothing was different, a connection is closed."""

BACKLOG = 2048
HEAD_BYTES = 32 << 10
"""Of a request line and its headers: twice the longest token. So much each connection may have us keep in memory."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there. Raises SettingsError that names what cannot be had."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise SettingsError(f"ADMIN_HOST: {host} is no address of this machine: {error.strerror}") from None
    try:
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise SettingsError(f"ADMIN_HOST, ADMIN_PORT: cannot listen on {host}, port {port}: {reason}") from None


def serve(make_app: Callable[[], FastAPI], host: str, port: int, directories: Sequence[Path]) -> int:
    """Serve what `make_app` returns until a signal comes; return the exit code.

    74 if one of the directories was deleted under its mount: only a restarted container sees what took its place.
    Raises SettingsError if it cannot listen.
    """
    lost: list[Path] = []
    unused: dict[Any, Any] = {}
    with listen(host, port) as listener:

        async def look() -> None:
            nonlocal unused
            unused = close_unused(server.server_state.connections, unused)
            lost.extend([each for each in directories if await asyncio.to_thread(is_dead, each)])
            server.should_exit = server.should_exit or bool(lost)

        # The guard judges forwarded headers; uvicorn must leave them, and the address of the peer, as they are.
        config = uvicorn.Config(
            make_app(),
            proxy_headers=False,
            server_header=False,
            access_log=False,
            ws="none",
            h11_max_incomplete_event_size=HEAD_BYTES,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            callback_notify=look,
            timeout_notify=LOOK_SECONDS,
        )
        server = uvicorn.Server(config)
        server.run(sockets=[listener])
    if lost:
        uvicorn.server.logger.error("%s was replaced under its mount: a restart finds the new one", lost[0])
        return EX_IOERR
    return EX_OK if server.started else EX_FAILED


def close_unused(connections: Iterable[Any], before: Mapping[Any, Any]) -> dict[Any, Any]:
    """Close uvicorn's connections that stand still: on which no request is answered, or nobody reads the answer.

    `before` is what the look before returned. What stands between two requests for longer than uvicorn's own 5 s is one
    that is sent in half, or in drops; enough of either kind would take all descriptors that there are. An answer
    may take as long as it likes.
    """
    found = {}
    for each in connections:
        state = each.cycle, each.transport.get_write_buffer_size()
        if state[1] or each.cycle is None or each.cycle.response_complete:
            known, looks = before.get(each, (None, 0))
            looks = looks + 1 if known == state else 1
            found[each] = state, looks
            if looks == (UNREAD_LOOKS if state[1] else UNUSED_LOOKS):
                each.transport.abort()
    return found


def is_dead(directory: Path) -> bool:
    """Return whether the directory was deleted and is there all the same, as under a bind mount."""
    try:
        return os.stat(directory).st_nlink == 0
    except OSError:
        return False
