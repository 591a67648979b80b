"""The admin service in one process: an application behind the guard, and browsers that ask it."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from admin_ui.app import create_app
from admin_ui.auth import get_user_from_request
from admin_ui.settings import AuthMode, Settings

HOST = "admin.example"
ORIGIN = f"http://{HOST}"
PROXY = "10.0.0.7"
STRANGER = "203.0.113.9"
ANNA = {"x-forwarded-user": "anna", "x-forwarded-groups": "staff, admin"}
VIEWER = {"x-forwarded-user": "victor", "x-forwarded-groups": "staff,Admin,administrators"}
FROM_OUR_PAGE = {"origin": ORIGIN}
AS_A_PAGE = {"accept": "text/html"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def settings_in(folder: Path, **given: Any) -> Settings:
    """Return settings with every directory below `folder`; behind a proxy unless `auth_mode` says otherwise."""
    given = {"auth_mode": AuthMode.PROXY, "trusted_proxies": (ip_network(PROXY),)} | given
    return Settings(
        jobs_dir=folder / "jobs",
        logs_dir=folder / "logs",
        audit_dir=folder / "audit",
        data_dir=folder / "data",
        **given,
    )


def app_in(folder: Path, **given: Any) -> FastAPI:
    """Return the service with a page behind it that answers 200 to whatever reaches it, and notes it."""
    return create_app(settings_in(folder, **given), mount_page=mount_anything)


def mount_anything(app: FastAPI) -> None:
    app.state.reached = []

    async def anything(request: Request) -> Response:
        user = get_user_from_request(request)
        note = {
            "method": request.method,
            "path": request.url.path,
            "url": str(request.url),
            "user": user.username if user else None,
            "source": user.source if user else None,
            "headers": dict(request.headers),
            "body": (await request.body()).decode("utf-8", "replace"),
        }
        app.state.reached.append(note)
        if request.url.path.endswith("/queue/data"):
            return StreamingResponse(iter(["data: 1\n\n", "data: 2\n\n"]), media_type="text/event-stream")
        if request.url.path in ("/", "/ops/"):
            return HTMLResponse("<html><script>1</script><script src=x></script><scripted></html>")
        if request.url.path == "/config":
            open_to_all = {"access-control-allow-origin": "*", "access-control-allow-credentials": "true"}
            return JSONResponse(note, headers=open_to_all)
        return JSONResponse(note)

    app.router.routes.append(Route("/{path:path}", anything, methods=list(METHODS)))


def browser(app: FastAPI, address: str = PROXY, base_url: str = ORIGIN, **headers: str) -> TestClient:
    """Return a client that connects from `address` and sends `headers` with every request."""
    client = TestClient(app, base_url=base_url, client=(address, 50000), follow_redirects=False)
    client.headers.clear()
    client.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return client


def audit_lines(folder: Path) -> list[dict[str, Any]]:
    """Return every line of the audit log, oldest first."""
    file = folder / "audit" / "audit.log"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
