"""Serving: the address is had before anything begins, and a folder that was deleted under its mount is noticed.

Who asks for nothing holds no connection.
"""

import asyncio
import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from admin_ui import serving
from admin_ui.cli import raise_file_limit
from admin_ui.errors import SettingsError
from admin_ui.exit_codes import EX_IOERR
from admin_ui.serving import close_unused, is_dead, listen, serve
from tests.daemon import wait_for

HEAD = b"HTTP/1.1\r\nHost: here\r\n"


def test_an_address_that_is_taken_is_told_before_anything_is_made():
    def make_app():
        raise AssertionError("made although it cannot be served")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"ADMIN_PORT: cannot listen on 127\.0\.0\.1, port {port}: Address"):
            serve(make_app, "127.0.0.1", port, ())


def test_a_host_that_is_none_of_ours_is_told():
    with pytest.raises(SettingsError, match=r"ADMIN_HOST: nowhere\.invalid is no address"):
        listen("nowhere.invalid", 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_kinds_of_addresses_are_listened_on(host):
    with listen(host, 0) as listener, socket.create_connection((host, listener.getsockname()[1])):
        pass


def test_a_directory_that_is_there_or_missing_is_not_dead(tmp_path):
    assert not is_dead(tmp_path)
    assert not is_dead(tmp_path / "missing")


def test_a_directory_that_was_deleted_and_is_there_all_the_same_is_dead(tmp_path):
    (tmp_path / "mounted").mkdir()
    descriptor = os.open(tmp_path / "mounted", os.O_RDONLY)
    (tmp_path / "mounted").rmdir()
    try:
        assert is_dead(Path(f"/proc/self/fd/{descriptor}"))
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("sent", "is_closed"),
    [
        (b"", True),
        (b"GET /at-once " + HEAD, True),
        (b"GET /at-once " + HEAD + b"\r\nGET /at-once " + HEAD, True),
        (b"POST /at-once " + HEAD + b"Content-Length: 100\r\n\r\nhalf", True),
        (b"GET /events " + HEAD + b"\r\n", False),
        (b"GET /at-once " + HEAD + b"\r\nGET /events " + HEAD + b"\r\n", False),
    ],
)
def test_a_connection_on_which_nothing_is_asked_is_closed_at_the_second_look(sent, is_closed):
    asyncio.run(look_twice(sent, is_closed))


async def look_twice(sent: bytes, is_closed: bool) -> None:
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", ws="none", log_level="warning"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(sent)
        for _ in range(sent.count(b"\r\n\r\n")):
            await reader.readuntil(b"the answer")
        while not server.server_state.connections:
            await asyncio.sleep(0.01)
        (connection,) = server.server_state.connections

        before = close_unused([connection], {})
        assert not connection.transport.is_closing()
        close_unused([connection], before)
        assert connection.transport.is_closing() is is_closed

        writer.close()
        server.should_exit = True
        await serving


def test_a_connection_on_which_nobody_reads_the_answers_is_closed():
    asyncio.run(read_nothing())


async def read_nothing() -> None:
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", ws="none", log_level="warning"))
    serving_task = asyncio.create_task(server.serve(sockets=[listener]))
    async with asyncio.timeout(60):
        _, writer = await asyncio.open_connection(*listener.getsockname(), limit=1)  # of what is read ahead
        stands = False
        while not stands:
            writer.write(b"GET /large " + HEAD + b"\r\n")
            await asyncio.sleep(0.01)
            stands = any(each.transport.get_write_buffer_size() for each in server.server_state.connections)
        (connection,) = server.server_state.connections
        seen: dict[Any, Any] = {}
        for _ in range(serving.UNREAD_LOOKS):
            assert not connection.transport.is_closing()
            seen = close_unused([connection], seen)
        assert connection.transport.is_closing()

        writer.transport.abort()
        server.should_exit = True
        await serving_task


async def app(scope, receive, send):
    goes_on = scope["path"] == "/events"
    answer = b"large" * 1_000_000 if scope["path"] == "/large" else b"the answer"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": answer, "more_body": goes_on})
    while goes_on and (await receive())["type"] != "http.disconnect":
        pass


@contextmanager
def served(folder: Path, codes: list[int]) -> Iterator[int]:
    """Serve nothing, give the port, and end it by the loss of a folder."""
    mounted = folder / "mounted"
    mounted.mkdir()
    descriptor = os.open(mounted, os.O_RDONLY)
    with listen("127.0.0.1", 0) as free:
        port = int(free.getsockname()[1])
    thread = threading.Thread(
        target=lambda: codes.append(serve(FastAPI, "127.0.0.1", port, [Path(f"/proc/self/fd/{descriptor}")]))
    )
    thread.start()
    try:
        wait_for(lambda: is_listening(port), "the service")
        yield port
    finally:
        mounted.rmdir()
        thread.join()
        os.close(descriptor)


def test_the_service_looks_for_both_while_it_serves(tmp_path, monkeypatch):
    monkeypatch.setattr(serving, "LOOK_SECONDS", 0)
    codes: list[int] = []
    with (
        served(tmp_path, codes) as port,
        socket.create_connection(("127.0.0.1", port), timeout=30) as held,
    ):
        held.sendall(b"GET /at-once " + HEAD)
        assert held.recv(1) == b""

    assert codes == [EX_IOERR]


def test_the_beginning_of_a_request_takes_no_more_than_a_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(serving, "LOOK_SECONDS", 0)
    monkeypatch.setattr(serving, "UNUSED_LOOKS", 1 << 30)
    with (
        served(tmp_path, []) as port,
        socket.create_connection(("127.0.0.1", port), timeout=30) as asking,
    ):
        asking.sendall(b"GET / " + HEAD + b"Cookie: " + b"x" * serving.HEAD_BYTES)
        assert asking.recv(100).startswith(b"HTTP/1.1 400 ")


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_connection_that_was_used_since_the_last_look_is_kept():
    connection = Connection()
    before = close_unused([connection], {})
    connection.cycle = Cycle()
    after = close_unused([connection], before)

    assert not connection.is_closed
    assert len(before) == len(after) == 1


@pytest.mark.parametrize("is_complete", [True, False])
def test_a_connection_whose_answer_is_read_however_slowly_is_kept(is_complete):
    connection = Connection()
    connection.cycle = Cycle()
    connection.cycle.response_complete = is_complete
    seen: dict[Any, Any] = {}
    for connection.unread in [5, 4] * serving.UNREAD_LOOKS + [3] * (serving.UNREAD_LOOKS - 1):
        seen = close_unused([connection], seen)

    assert not connection.is_closed
    close_unused([connection], seen)
    assert connection.is_closed


class Cycle:
    response_complete = True


class Connection:
    """What uvicorn has of a connection, as far as it matters here."""

    cycle: Cycle | None = None
    is_closed = False
    unread = 0

    @property
    def transport(self):
        return self

    def get_write_buffer_size(self) -> int:
        return self.unread

    def abort(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(("soft", "raised"), [(256, True), (1 << 14, False)])
def test_more_files_may_be_open_than_a_service_usually_begins_with(soft, raised):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = min(soft, before[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        raise_file_limit()

        assert (resource.getrlimit(resource.RLIMIT_NOFILE)[0] > soft) == (raised and before[1] > soft)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
