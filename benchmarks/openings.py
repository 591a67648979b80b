"""Measure 7, memory: what many openings of the page, one after another, leave in the admin service.

One real page load is noted on the wire; then the same requests are made by HTTP, each time as another session that
lives, refreshes once and goes, as a browser's does.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Request

from benchmarks import machine
from benchmarks.report import Figures
from benchmarks.systems import SystemFailed, admin_service
from tests.admin_stack import ANNA, Admin, Visit, add_showcase, chromium, find_chromium
from tests.daemon import Daemon

UNTIL_REFRESHED_MS = 5_000
HEARTBEAT = "/gradio_api/heartbeat/"
SESSION = "session_hash"
REST_SECONDS = 10.0
STEPS = 10


def measure(root: Path, openings: int) -> Iterator[tuple[str, str, Figures]]:
    """Yield the memory of the service, idle and after every tenth of so many openings."""
    if find_chromium() is None:
        raise SystemFailed("no Chromium on this machine")
    with Daemon(root) as scheduler, admin_service(root) as admin:
        add_showcase(scheduler)
        assert admin.process is not None
        figures = {"RSS MiB before": machine.memory(admin.process.pid)}
        asked = _noted(admin)
        for step in range(1, STEPS + 1):
            for _ in range(openings // STEPS):
                _open(admin, asked)
            time.sleep(REST_SECONDS)
            figures[f"RSS MiB after {openings * step // STEPS:,}"] = machine.memory(admin.process.pid)
        yield f"admin page, opened {openings:,} times", "admin service", figures


def _noted(admin: Admin) -> list[tuple[str, str, Any]]:
    """Return method, path and document of each request of one page load and one refresh, without the files."""
    seen: list[Request] = []
    with chromium() as browser:
        visit = Visit(browser, admin.url, ANNA)
        visit.page.on("request", lambda request: seen.append(request))
        visit.open("/")
        visit.page.wait_for_timeout(UNTIL_REFRESHED_MS)
        visit.context.close()
    noted = []
    for request in seen:
        path = urlsplit(request.url).path
        if not path.startswith(("/assets/", "/static/")):
            noted.append((request.method, path, request.post_data_json if request.post_data else None))
    return noted


def _open(admin: Admin, asked: list[tuple[str, str, Any]]) -> None:
    session, living = secrets.token_hex(5), None
    headers = {**ANNA, "Origin": admin.url, "Content-Type": "application/json"}
    for method, path, document in asked:
        connection = HTTPConnection("127.0.0.1", admin.port, timeout=60)
        if path.startswith(HEARTBEAT):
            connection.request(method, HEARTBEAT + session, headers=headers)
            living = connection
            if connection.getresponse().status != 200:
                raise SystemFailed("the service refuses the session")
            continue
        body = None if document is None else json.dumps({**document, SESSION: session})
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status != 200:
            raise SystemFailed(f"{method} {path} is answered with {answer.status}")
    if living is None:
        raise SystemFailed("the page has begun no session")
    living.close()
