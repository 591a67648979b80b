"""The commands: start the service, ask for its health, hash a password."""

from __future__ import annotations

import argparse
import ctypes
import getpass
import http.client
import logging
import os
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from admin_ui.auth.hashing import ScryptHash
from admin_ui.auth.password import LONGEST, SHORTEST
from admin_ui.deferred import defer
from admin_ui.errors import AdminError, SettingsError
from admin_ui.exit_codes import EX_FAILED, EX_OK, EX_USAGE
from admin_ui.settings import Settings, from_environment

HEALTH_TIMEOUT_SECONDS = 5
M_TRIM_THRESHOLD, M_ARENA_MAX = -1, -8  # malloc.h
TRIM_BYTES = 128 << 10
OPEN_FILES = 12_000
"""Where the system lets us: a log may have 10,000 files, which are open at once for a moment. No more than that, as
strangers may hold connections for 20 s, each with the beginning of a request."""

GRADIO_ENVIRONMENT = {
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000",  # else each action has pandas sum up all events before it
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_MCP_SERVER": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_SHARE": "False",
    "GRADIO_SSR_MODE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
}
"""No telemetry, no other hosts. Gradio reads these when it is imported."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m admin_ui", description=__doc__)
    parser.add_argument(
        "command", nargs="?", default="start", choices=("start", "health", "hash-password"), help="default: start"
    )
    command = parser.parse_args(arguments).command
    try:
        if command == "hash-password":
            return _hash_password()
        settings = from_environment()
        return _health(settings) if command == "health" else _start(settings)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return EX_USAGE
    except AdminError as error:
        print(error, file=sys.stderr)
        return EX_FAILED


def _start(settings: Settings) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    set_gradio_environment()
    defer("pandas")  # 35 MiB of memory
    _have_one_heap()
    raise_file_limit()
    # Only now: these import what reads the environment.
    from fastapi import FastAPI

    from admin_ui.app import create_app
    from admin_ui.job_management_service import JobManagementService
    from admin_ui.page.mount import mount_page
    from admin_ui.serving import serve

    def make_app() -> FastAPI:
        service = JobManagementService(
            settings.jobs_dir, settings.logs_dir, data_directory=settings.data_dir, keep_days=settings.keep_days
        )
        return create_app(settings, service=service, mount_page=mount_page)

    return serve(make_app, settings.host, settings.port, (settings.jobs_dir, settings.logs_dir))


def set_gradio_environment() -> None:
    """Set what Gradio reads when it is imported, whatever was there."""
    os.environ.update(GRADIO_ENVIRONMENT)
    os.environ["GRADIO_TEMP_DIR"] = str(Path(tempfile.gettempdir()) / "gradio")


def _have_one_heap() -> None:
    """Have all threads share one heap, and give back what is free at its end: a tenth less memory after a day's use.

    By itself glibc has up to eight heaps a core, each with its own leftovers (mallopt(3)). Other C libraries have
    other ways.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_TRIM_THRESHOLD, TRIM_BYTES)


def raise_file_limit() -> None:
    """Raise how many files may be open at once: services and containers often begin with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, hard), hard))


def _health(settings: Settings) -> int:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    connection = http.client.HTTPConnection(host, settings.port, timeout=HEALTH_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse().read(16)
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer from {host}:{settings.port}: {error}", file=sys.stderr)
        return EX_FAILED
    finally:
        connection.close()
    print(answer.decode("ascii", "replace"))
    return EX_OK if answer == b"ok" else EX_FAILED


def _hash_password() -> int:
    """Print the hash of a password that is typed, or comes in one line on standard input, for ADMIN_PASSWORD_HASH."""
    password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not SHORTEST <= len(password) <= LONGEST:
        print(f"a password has {SHORTEST} to {LONGEST} characters", file=sys.stderr)
        return EX_FAILED
    print(ScryptHash.of(password))
    return EX_OK
