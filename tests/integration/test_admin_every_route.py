"""The guard in a real process, in front of the page: every route and every event that is served, asked as anybody."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from admin_ui.routes import find, routes_for
from admin_ui.settings import AuthMode
from tests.admin_web import ANNA, METHODS, VIEWER

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
GUARDED = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
Answer = tuple[int, dict[str, str], str]


class Service:
    """A service in a process of its own, asked over one connection at a time."""

    def __init__(self, process: subprocess.Popen[str], environment: dict[str, str]) -> None:
        self.process = process
        self.environment = environment
        self.host = f"127.0.0.1:{environment['ADMIN_PORT']}"
        self.audit = Path(environment["ADMIN_AUDIT_DIR"])
        self.paths: list[str] = []
        self.events: list[dict[str, Any]] = []

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Return status, headers and text; the answer is read to its end, or to the end of the first event."""
        connection = HTTPConnection(self.host, timeout=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"origin": f"http://{self.host}", "content-type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            given = {name.lower(): value for name, value in answer.getheaders()}
            endless = given.get("content-type", "").startswith("text/event-stream") and method == "GET"
            text = "".join(events(answer)) if endless else answer.read().decode("utf-8", "replace")
            return answer.status, given, text
        finally:
            connection.close()

    def health(self) -> int:
        """Return what the health command says."""
        command = [sys.executable, "-m", "admin_ui", "health"]
        run = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, check=False, timeout=30)
        return run.returncode

    def wait(self) -> None:
        """Return once the service answers."""
        end = time.monotonic() + START_SECONDS
        while self.health() != 0:
            assert self.process.poll() is None and time.monotonic() < end


def events(answer) -> Iterator[str]:
    """Yield the lines of a stream of events up to the one that ends a run."""
    for line in answer:
        yield line.decode()
        if b"process_completed" in line:
            return


@contextmanager
def started(folder: Path, module: str, **settings: str) -> Iterator[Service]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {f"ADMIN_{name}_DIR": str(folder / name.lower()) for name in ("JOBS", "LOGS", "DATA", "AUDIT")}
    environment = os.environ | folders | settings | {"ADMIN_PORT": str(port)}
    with (
        (folder / "stderr").open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", module], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            yield Service(process, environment)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {"ADMIN_AUTH_MODE": "proxy", "ADMIN_TRUSTED_PROXIES": "127.0.0.1"}
    with started(tmp_path_factory.mktemp("page"), "tests.gradio_page", **settings) as service:
        assert service.process.stdout is not None
        told = json.loads(service.process.stdout.readline())
        service.paths, service.events = told["paths"], told["events"]
        service.wait()
        yield service


def test_every_route_of_gradio_is_closed_to_nobody_and_to_a_viewer(page):
    assert len(page.paths) > 50
    assert {"/config", "/gradio_api/queue/join", "/gradio_api/upload", "/healthz"} <= set(page.paths)
    for path in page.paths:
        for method in GUARDED:
            expected = (200, 200) if path == "/healthz" and method in ("GET", "HEAD") else (401, 403)
            assert (page.ask(method, path)[0], page.ask(method, path, **VIEWER)[0]) == expected, (method, path)


def test_every_route_of_gradio_that_the_page_does_not_need_does_not_exist_for_an_admin(page):
    listed = routes_for(AuthMode.PROXY)
    closed = [(method, path) for path in page.paths for method in METHODS if not find(listed, method, path)]

    assert len(closed) > 300
    for method, path in closed:
        assert page.ask(method, path, **ANNA)[0] == 404, (method, path)


def test_every_event_is_refused_to_nobody_and_to_a_viewer_queued_or_not(page):
    assert len(page.events) > 10
    for event in page.events:
        call = {"fn_index": event["index"], "data": [None] * event["inputs"], "session_hash": "abc"}
        for path in ("/gradio_api/run/predict", "/gradio_api/queue/join"):
            answers = [page.ask("POST", path, call, **who)[0] for who in ({}, VIEWER)]
            assert answers == [401, 403], (path, event)


def test_every_event_checks_the_role_itself_too(page):
    """Should the page ever be served without the guard, nobody could do anything."""
    assert {event["made_by"] for event in page.events} == {
        "Handlers.showing.<locals>.handler",
        "Handlers.acting.<locals>.handler",
    }


def test_events_see_the_user_of_the_guard_and_no_other_queued_or_not(page):
    first = next(event for event in page.events if event["name"] == "open_view")
    call = {"fn_index": first["index"], "data": ["?view=history&job=direct"], "session_hash": "abc"}
    assert page.ask("POST", "/gradio_api/run/predict", call, **ANNA, x_gradio_user="root")[0] == 200
    call["data"] = ["?view=history&job=queued"]
    page.ask("POST", "/gradio_api/queue/join", call, **ANNA, x_gradio_user="root")
    _, headers, told = page.ask("GET", "/gradio_api/queue/data?session_hash=abc", **ANNA)

    assert '"success":true' in told
    assert headers["x-accel-buffering"] == "no"
    lines = [json.loads(line) for line in (page.audit / "audit.log").read_text().splitlines()]
    assert {line["job_name"]: line["username"] for line in lines if line["event"] == "viewed"} == {
        "direct": "anna",
        "queued": "anna",
    }


def test_the_page_runs_its_own_scripts_only_and_names_no_other_host_as_its_root(page):
    forged = {"x_gradio_server": "http://evil.example"}
    _, headers, text = page.ask("GET", "/", **ANNA, **forged)
    nonce = re.findall(r"'nonce-([^']+)'", headers["content-security-policy"])[0]

    assert text.count("<script") == text.count(f'<script nonce="{nonce}"') > 0
    assert "evil.example" not in text


def test_an_open_page_does_not_hold_the_shutdown_up(tmp_path):
    settings = {"ADMIN_AUTH_MODE": "proxy", "ADMIN_TRUSTED_PROXIES": "127.0.0.1"}
    with started(tmp_path, "tests.gradio_page", **settings) as service:
        service.wait()
        heartbeat = HTTPConnection(service.host, timeout=20)
        heartbeat.request("GET", "/gradio_api/heartbeat/abc", headers=ANNA)
        assert heartbeat.getresponse().status == 200
        service.process.send_signal(signal.SIGTERM)
        service.process.communicate(timeout=10)
        heartbeat.close()


def test_the_service_starts_answers_prints_its_password_once_and_stops(tmp_path):
    with started(tmp_path, "admin_ui") as service:
        service.wait()
        assert service.ask("GET", "/", accept="text/html")[0] == 303
        service.process.send_signal(signal.SIGTERM)
        service.process.communicate(timeout=30)

    assert (tmp_path / "stderr").read_text().count("the first password is") == 1
    assert service.health() == 1


def test_the_service_does_not_start_with_settings_that_make_no_sense(tmp_path):
    with started(tmp_path, "admin_ui", ADMIN_AUTH_MODE="proxy") as service:
        assert service.process.wait(timeout=START_SECONDS) == 2
    assert (tmp_path / "stderr").read_text().startswith("ADMIN_TRUSTED_PROXIES: ")


def test_a_hash_of_a_password_can_be_made_and_is_accepted_as_a_setting(tmp_path):
    command = [sys.executable, "-m", "admin_ui", "hash-password"]
    made = subprocess.run(
        command, cwd=ROOT, input="correct horse battery\n", capture_output=True, text=True, check=True, timeout=60
    )
    assert "$" not in made.stdout

    with started(tmp_path, "admin_ui", ADMIN_PASSWORD_HASH=made.stdout.strip()) as service:
        service.wait()
    assert "first password" not in (tmp_path / "stderr").read_text()
