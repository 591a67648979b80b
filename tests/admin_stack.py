"""Both real services as processes on one folder, the browsers that look at them, and jobs that show every state."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, ViewportSize, expect, sync_playwright

from tests.daemon import Daemon, wait_for

ANNA = {"X-Forwarded-User": "anna", "X-Forwarded-Groups": "staff,admin"}
BEN = {"X-Forwarded-User": "ben", "X-Forwarded-Groups": "admin"}
VIEWER = {"X-Forwarded-User": "victor", "X-Forwarded-Groups": "staff"}
START_SECONDS = 60.0
PATIENCE_MS = 30_000
"""How long a busy machine may take for what a quiet one does at once."""

expect.set_options(timeout=PATIENCE_MS)
DESK, PHONE = ViewportSize(width=1440, height=900), ViewportSize(width=390, height=844)

TRACEBACK = """Traceback (most recent call last):
  File "/app/import_orders.py", line 41, in <module>
    main()
  File "/app/import_orders.py", line 29, in main
    total += float(row["amount"])
ValueError: could not convert string to float: '12,90'"""
CAUSE = "ValueError: could not convert string to float: '12,90'"
HOSTILE = (
    b"<script>document.title='evil'</script><img src=x onerror=\"document.title='evil'\"></script><script>"
    b"${document.title='evil'} {{7*7}} \x1b[31mred\x1b[0m \x1b]0;evil\x07 \xe2\x80\xaelive\xe2\x80\xac "
    b"one\rtwo \x00 \xff "
)
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first is Chromium without the windows around a page, which nobody sees here: a fifth faster."""
IFA_F_TENTATIVE = 0x40  # linux/if_addr.h
NEEDLE_LINE, LINES = 25_000, 50_901


class Admin:
    """`python -m admin_ui` behind a proxy on loopback that is this test; ended with `stop`."""

    def __init__(
        self, root: Path, module: str = "admin_ui", python: str | Path = sys.executable, **environment: str
    ) -> None:
        self.root = root
        self._command = [python, "-m", module]
        self.jobs, self.logs, self.data = root / "jobs", root / "logs", root / "data"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._output = root / "admin.out"
        self._environment = {
            "PATH": os.environ["PATH"],
            "ADMIN_JOBS_DIR": str(self.jobs),
            "ADMIN_LOGS_DIR": str(self.logs),
            "ADMIN_AUDIT_DIR": str(self.logs / "audit"),
            "ADMIN_DATA_DIR": str(self.data),
            "ADMIN_HOST": "127.0.0.1",
            "ADMIN_PORT": str(self.port),
            "ADMIN_AUTH_MODE": "proxy",
            "ADMIN_TRUSTED_PROXIES": "127.0.0.1",
            "TMPDIR": str(root),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers."""
        for folder in (self.jobs / "triggers", self.logs / "audit"):
            folder.mkdir(parents=True, exist_ok=True)
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(self._command, env=self._environment, stdout=output, stderr=output)
        try:
            wait_for(self.answers, "the admin service to answer", START_SECONDS)
        except AssertionError:
            self.stop()
            raise

    def answers(self) -> bool:
        """Return whether it is there."""
        assert self.process is not None
        assert self.process.poll() is None, self.output()
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return bool(answer.read() == b"ok")
        except OSError:
            return False

    def stop(self) -> None:
        """End it as `docker stop` does."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(START_SECONDS)

    def output(self) -> str:
        """Return what it has printed."""
        return self._output.read_text() if self._output.exists() else ""

    def audit(self) -> list[dict[str, Any]]:
        """Return the lines of the audit log, oldest first."""
        file = self.logs / "audit" / "audit.log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def add_showcase(scheduler: Daemon) -> None:
    """Add jobs in every state, run each once, and leave `train-model` running."""
    ends = {
        "backup-db": "echo dumping; sleep 0.3; echo done",
        "check-certs": "echo all certificates valid",
        "rotate-keys": "echo ok",
        "send-digest": "echo 37 mails",
        "sync-crm": "echo synced 412 rows",
        "vacuum": "true",
        "warm-cache": "echo warmed",
        "import-orders": f"echo reading orders.csv; cat >&2 <<'END'\n{TRACEBACK}\nEND\nexit 1",
        "export-audit": f"seq -f 'line %.0f {'x' * 90}' 1 {NEEDLE_LINE - 1}; echo NEEDLE here;"
        f" seq -f 'line %.0f {'x' * 90}' {NEEDLE_LINE + 1} {LINES}",
        "hostile": "cat hostile.bin; head -c 1000000 /dev/zero | tr '\\0' z; echo; echo last line;"
        " printf '<b>bad</b> \\033[31m${document.title=1}\\n' >&2; exit 3",
        "flaky-api": "echo trying; sleep 60",
    }
    (scheduler.jobs.parent / "hostile.bin").write_bytes(HOSTILE)
    more: dict[str, dict[str, Any]] = {
        "backup-db": {"timezone": "Europe/Berlin", "schedule": "30 2 1 1 *"},
        "import-orders": {"description": "Reads the shop's orders", "schedule": "0 9 1 1 *"},
        "flaky-api": {"timeout_seconds": 0.5, "kill_grace_seconds": 0.5},
        "hostile": {"description": HOSTILE.decode("latin-1").replace("\x00", "")[:100].replace("\r", "")},
    }
    for name, command in ends.items():
        fields = {"working_directory": str(scheduler.jobs.parent)} | more.get(name, {})
        scheduler.job(name, command, **fields)
    train = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo epoch $i loss 0.$i; sleep 1; done"
    scheduler.job("train-model", train, timeout_seconds=7200, kill_grace_seconds=1)
    scheduler.job("old-cleanup", "echo never", schedule="0 3 * * *", enabled=False)
    scheduler.job("never-run", "echo later")
    (scheduler.jobs / "broken.json").write_text('{\n  "name": "broken",\n  "schedule": "99 * * * *",\n')
    for name in (*ends, "train-model"):
        scheduler.run(name, f"showcase-{name}", requested_by="showcase")
    for name in ends:
        scheduler.line("job_complete", job_name=name)
    scheduler.line("job_start", job_name="train-model")
    wait_for(lambda: scheduler.main_lines("config_error"), "the broken file to be told of")


def find_chromium() -> str | None:
    """Return where the browser is, None where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def chromium_path() -> str:
    """Return where the browser is; skip the calling test where there is none."""
    found = find_chromium()
    if found is None:
        pytest.skip("no Chromium on this machine: install Debian's package chromium-headless-shell, or chromium")
    return found


def has_settled_addresses() -> bool:
    """Return whether no address of this machine is still on probation.

    One is for a second or two after a container starts, and Chromium breaks off what it loads when that ends.
    """
    lines = Path("/proc/net/if_inet6").read_text().splitlines() if Path("/proc/net/if_inet6").exists() else []
    return not any(int(line.split()[4], 16) & IFA_F_TENTATIVE for line in lines)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give a headless browser."""
    path = chromium_path()
    wait_for(has_settled_addresses, "the machine's addresses to settle")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A browser window of somebody who is signed in. Afterwards `check` fails for any script error or odd request."""

    def __init__(self, browser: Browser, url: str, headers: dict[str, str], **options: Any) -> None:
        options = {"viewport": DESK, "timezone_id": "America/New_York", "locale": "en-US"} | options
        self.context: BrowserContext = browser.new_context(base_url=url, extra_http_headers=headers, **options)
        self.context.set_default_timeout(PATIENCE_MS)
        self._url = url
        self.problems: list[str] = []
        self.page = self.window()

    def window(self) -> Page:
        """Return one more window of the same person."""
        page, ours = self.context.new_page(), (self._url, "data:", "blob:")
        page.on("pageerror", lambda error: self._note(f"script error: {error}"))
        page.on("console", lambda said: self._note(f"console: {said.text}") if said.type == "error" else None)
        page.on("dialog", self._dismiss)
        page.on("request", lambda asked: None if asked.url.startswith(ours) else self._note(asked.url))
        return page

    def open(self, address: str = "/") -> Page:
        """Go to an address of the page and return once Gradio has drawn it."""
        self.page.goto(address)
        self.page.wait_for_selector("#jobs-stamp [data-at]", state="attached", timeout=2 * PATIENCE_MS)
        return self.page

    def _note(self, problem: str) -> None:
        self.problems.append(problem)

    def _dismiss(self, dialog: Dialog) -> None:
        self._note(f"dialog: {dialog.message}")
        dialog.dismiss()

    def check(self) -> None:
        """Fail for what no visit may see."""
        assert not self.problems, self.problems
