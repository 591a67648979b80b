"""Put the service together: the guard in front, its own few routes, and room for the Gradio page behind them."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from admin_ui.audit import AuditLog
from admin_ui.auth import Authenticator
from admin_ui.auth.jwt import JwtAuthenticator
from admin_ui.auth.password import INITIAL_LASTS, PasswordAuthenticator, PasswordStore
from admin_ui.auth.proxy import ProxyAuthenticator
from admin_ui.download import Download
from admin_ui.guard import Guard
from admin_ui.job_management_service import JobManagementService
from admin_ui.settings import AuthMode, Settings
from admin_ui.sign_in import SignIn

Mount = Callable[[FastAPI], object]

PRINTED_ONCE = """
  Job Management: the first password is

      {password}

  It is printed only this once and good for one sign-in within {hours} hours; a password of your own is set there.
"""


def create_app(
    settings: Settings,
    *,
    service: JobManagementService | None = None,
    mount_page: Mount | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """Return the application, which starts and stops `service` with itself.

    `mount_page` adds the Gradio page at "/"; it finds `settings`, `audit` and `service` in `app.state`.

    Raises SettingsError if a key or the kept password cannot be used.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if service is None:
            yield
            return
        await asyncio.to_thread(service.start)
        try:
            yield
        finally:
            await asyncio.to_thread(service.stop)

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    audit = AuditLog(settings.audit_dir)
    authenticator = authenticator_for(settings, clock)
    app.state.settings, app.state.audit, app.state.service = settings, audit, service
    app.router.routes.append(Route("/healthz", _healthz, methods=["GET"]))
    app.router.routes.extend(Download(settings, audit, service).routes())
    if isinstance(authenticator, PasswordAuthenticator):
        app.router.routes.extend(SignIn(settings, authenticator, audit, clock).routes())
        _print_first_password(authenticator.store, audit)
    if mount_page is not None:
        mount_page(app)
    # The last one that is added is the outermost: nothing may be added after it.
    app.add_middleware(Guard, settings=settings, authenticator=authenticator, audit=audit, clock=clock)
    return app


def authenticator_for(settings: Settings, clock: Callable[[], float]) -> Authenticator:
    """Return the way of signing in that is set. Raises SettingsError if its key or password cannot be used."""
    if settings.auth_mode is AuthMode.PROXY:
        return ProxyAuthenticator(settings.user_header, settings.roles_header)
    if settings.auth_mode is AuthMode.JWT:
        return JwtAuthenticator(settings)
    return PasswordAuthenticator(PasswordStore(settings.data_dir, settings.password_hash), settings.role, clock=clock)


async def _healthz(request: Request) -> Response:
    return PlainTextResponse("ok")


def _print_first_password(store: PasswordStore, audit: AuditLog) -> None:
    password = store.prepare()
    if password is not None:
        hours = int(INITIAL_LASTS.total_seconds() // 3600)
        print(PRINTED_ONCE.format(password=password, hours=hours), file=sys.stderr, flush=True)
        audit.log_event("system", "print_first_password")
