"""Job Management as a section of a page of your own. Beside a scheduler: `.venv/bin/python -m examples.own_page`."""

import uvicorn
from fastapi import FastAPI

from admin_ui.app import create_app
from admin_ui.cli import set_gradio_environment
from admin_ui.job_management_service import JobManagementService
from admin_ui.settings import from_environment

set_gradio_environment()
import gradio as gr  # noqa: E402  what it imports reads the environment

from admin_ui.page import assets  # noqa: E402  it imports gradio
from admin_ui.page.first_look import FirstLook  # noqa: E402  it imports gradio
from admin_ui.page.section import create_jobs_section  # noqa: E402  it imports gradio


def mount(app: FastAPI) -> None:
    """Mount a shop's page, with the section below it. `create_app` puts the sign-in in front of all of it."""
    with gr.Blocks(title="Shop", analytics_enabled=False) as page:
        gr.HTML('<a id="own-link" href="?page=2">the next page of the shop</a>')
        create_jobs_section(app.state.service, app.state.audit, role=app.state.settings.role)
    gr.mount_gradio_app(app, page, path="/", ssr_mode=False)
    # The section's own style and script; no first view in front, as the section is closed.
    app.add_middleware(FirstLook, path="/", head=assets.head(), render=lambda scope: "")


if __name__ == "__main__":
    settings = from_environment()
    service = JobManagementService(
        settings.jobs_dir, settings.logs_dir, data_directory=settings.data_dir, keep_days=settings.keep_days
    )
    app = create_app(settings, service=service, mount_page=mount)
    uvicorn.run(app, host=settings.host, port=settings.port, log_level="warning", timeout_graceful_shutdown=5)
