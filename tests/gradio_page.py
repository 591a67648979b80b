"""The admin service as `python -m admin_ui` starts it, which also says what it serves: `python -m tests.gradio_page`.

A process of its own, as Gradio leaves event loops and sockets open. Prints every path that is served, and every event
of the page, as one line of JSON, then serves on ADMIN_PORT.
"""

import json
import re
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.routing import Mount

from admin_ui.app import create_app
from admin_ui.cli import set_gradio_environment
from admin_ui.job_management_service import JobManagementService
from admin_ui.serving import SHUTDOWN_SECONDS
from admin_ui.settings import from_environment

set_gradio_environment()
from admin_ui.page.mount import mount_page  # noqa: E402  what it imports reads the environment


def served(app: FastAPI) -> list[str]:
    """Return the paths of all routes of the service and of Gradio behind it, with something in every gap."""
    found = set()
    waiting: list[tuple[str, Any]] = [("", route) for route in app.routes]
    while waiting:
        before, route = waiting.pop()
        path = before + getattr(route, "path", "")
        if isinstance(route, Mount):
            waiting += [(path, each) for each in route.routes]
        elif hasattr(route, "effective_candidates"):  # FastAPI's included routers; their paths have the prefix already
            waiting += [(before, each) for each in route.effective_candidates()]
        found.add(re.sub(r"\{[^}]*\}", "abc", path) or "/")
    return sorted(found)


def events(app: FastAPI) -> list[dict[str, Any]]:
    """Return every event that has a handler, with as many values as it takes."""
    blocks = next(route.app.blocks for route in app.routes if isinstance(route, Mount) and hasattr(route.app, "blocks"))
    return [
        {
            "index": number,
            "name": event.fn.__name__,
            "made_by": event.fn.__qualname__,
            "inputs": len(event.inputs),
            "outputs": len(event.outputs),
        }
        for number, event in blocks.fns.items()
        if event.fn is not None
    ]


if __name__ == "__main__":
    settings = from_environment()
    service = JobManagementService(settings.jobs_dir, settings.logs_dir, data_directory=settings.data_dir)
    app = create_app(settings, service=service, mount_page=mount_page)
    print(json.dumps({"paths": served(app), "events": events(app)}), flush=True)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        proxy_headers=False,
        server_header=False,
        log_level="warning",
        ws="none",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
