"""The page of its own: the section, open, in a Gradio app at "/" behind the guard."""

from __future__ import annotations

import gradio as gr
from fastapi import FastAPI
from starlette.types import Scope

from admin_ui.auth import USER_KEY
from admin_ui.page import assets
from admin_ui.page.first_look import FirstLook
from admin_ui.page.header import Account
from admin_ui.page.looks import Looks
from admin_ui.page.section import create_jobs_section, first_view
from admin_ui.page.theme import theme
from admin_ui.settings import AuthMode, Settings

SESSIONS_KEPT = 50
"""Gradio keeps some 400 KB for each page that was opened; the longest unused go. So many admins may look at once."""

WAITING = 64
QUEUE_SECONDS = 0.05
"""How often Gradio looks for queued events. By itself it does so each millisecond: 8 % of a core for nothing."""


def mount_page(app: FastAPI) -> None:
    """Mount the page at "/" of an application that `create_app` made; its guard comes in front afterwards."""
    settings, service, audit = app.state.settings, app.state.service, app.state.audit
    account = account_of(settings)
    looks = Looks(audit)
    with gr.Blocks(analytics_enabled=False, title="Jobs", fill_width=True) as page:
        create_jobs_section(service, audit, role=settings.role, open=True, account=account, looks=looks)

    def render(scope: Scope) -> str:
        user = scope.get(USER_KEY)
        query = scope["query_string"].decode("latin-1")
        return first_view(user, service, audit, looks, query, account) if user else ""

    page.state_session_capacity = SESSIONS_KEPT
    page.queue(max_size=WAITING, api_open=False)
    page._queue.sleep_when_free = QUEUE_SECONDS
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        root_path=settings.root_path or None,
        app_kwargs={"openapi_url": None},
        footer_links=[],
        run_history=False,
        show_error=True,  # our own errors only: no other gets out of a handler
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        theme=theme(),
    )
    app.add_middleware(FirstLook, path=settings.root_path + "/", head=assets.head(), render=render)


def account_of(settings: Settings) -> Account:
    """Return what of the sign-in is this service's own: nothing behind a proxy or with an application's tokens."""
    if settings.auth_mode is not AuthMode.PASSWORD:
        return Account()
    password = "" if settings.password_hash else f"{settings.root_path}/password"  # that one is changed where it is set
    return Account(f"{settings.root_path}/sign-out", password)
