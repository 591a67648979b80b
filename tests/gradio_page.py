"""The admin service with a small real Gradio page, as a process: `python -m tests.gradio_page`.

A process of its own, as Gradio leaves event loops and sockets open. Prints every path that is served as one line of
JSON, then serves on ADMIN_PORT.
"""

import json
import re
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.routing import Mount

from admin_ui.app import create_app
from admin_ui.auth import get_user_from_request
from admin_ui.cli import SHUTDOWN_SECONDS, set_gradio_environment
from admin_ui.settings import from_environment


def mount_page(app: FastAPI) -> None:
    """Add a page with a queued and a direct event, both of which say whom they see."""
    set_gradio_environment()
    import gradio

    def who(request: gradio.Request) -> str:
        return repr(get_user_from_request(request))

    with gradio.Blocks() as page:
        shown = gradio.Textbox()
        gradio.Button().click(who, None, shown)
        page.load(who, None, shown, queue=False)
    gradio.mount_gradio_app(app, page, path="/", show_error=False, ssr_mode=False)


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


if __name__ == "__main__":
    settings = from_environment()
    service = create_app(settings, mount_page=mount_page)
    print(json.dumps(served(service)), flush=True)
    uvicorn.run(
        service,
        host=settings.host,
        port=settings.port,
        proxy_headers=False,
        server_header=False,
        log_level="warning",
        ws="none",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
