"""The real scheduler as a child process on temporary directories."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from sidecar import journal
from tests.harness import check_events

T = TypeVar("T")
PATIENCE_SECONDS = 20.0


def wait_for(look: Callable[[], T], what: str, patience: float = PATIENCE_SECONDS) -> T:
    """Return what `look` gives as soon as that is true; fail, saying what was waited for, when it never is."""
    deadline = time.monotonic() + patience
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {patience:.0f} s for {what}"
        time.sleep(0.01)


class Daemon:
    """`python -m sidecar start` on `root/jobs` and `root/logs`; killed at the end if it still runs."""

    def __init__(self, root: Path, *flags: str, **environment: str) -> None:
        self.jobs, self.logs = root / "jobs", root / "logs"
        self.triggers = self.jobs / "triggers"
        self.triggers.mkdir(parents=True, exist_ok=True)
        self._flags = flags
        self._environment = {"PATH": os.environ["PATH"], **environment}
        self._stderr = root / "stderr"
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            # Two different ones: of two equal signals that are pending, the kernel keeps one.
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        check_events(self.logs)

    def start(self, *, wait: bool = True) -> None:
        """Start it; with `wait`, until it says that it has started."""
        before = len(self.main_lines("scheduler_started"))
        command = [
            sys.executable,
            "-m",
            "sidecar",
            "start",
            "--jobs",
            str(self.jobs),
            "--logs",
            str(self.logs),
        ]
        with self._stderr.open("ab") as stderr:
            self.process = subprocess.Popen(
                [*command, *self._flags], env=self._environment, stdout=subprocess.DEVNULL, stderr=stderr
            )
        if wait:
            wait_for(
                lambda: len(self.main_lines("scheduler_started")) > before or self.process.poll() is not None,
                "the scheduler to start",
            )
            assert self.process.poll() is None, self.stderr()

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """Kill it as a crash or the OOM killer would."""
        self.process.kill()
        self.process.wait()

    def stderr(self) -> str:
        """Return what it has written to stderr."""
        return self._stderr.read_text()

    def job(self, name: str = "job", command: str = "true", schedule: str = "0 0 1 1 *", **fields: Any) -> None:
        """Write a definition by rename and wait until it is in force."""
        document = {"name": name, "schedule": schedule, "command": command, "working_directory": "/"}
        path = self.jobs / f"{name}.json"
        beside = path.with_name(f".{path.name}")
        beside.write_text(json.dumps({**document, "enabled": True, **fields}))
        known = len(self.main_lines("job_registered", "job_updated"))
        os.replace(beside, path)
        if hasattr(self, "process") and self.process.poll() is None:
            wait_for(lambda: len(self.main_lines("job_registered", "job_updated")) > known, f"{name} to be known")

    def run(self, job_name: str = "job", request_id: str = "q1", **fields: Any) -> None:
        """Drop a request by rename."""
        beside = self.triggers / f".{request_id}"
        beside.write_text(json.dumps({"action": "run", "job_name": job_name, "request_id": request_id, **fields}))
        os.replace(beside, self.triggers / f"{request_id}.json")

    def lines(self, *events: str, **fields: Any) -> list[dict[str, Any]]:
        """Return the journal's lines of these events that have these fields, over all of its files."""
        files = reversed(journal.files(self.logs / journal.JOURNAL))
        found = [line for file in files for line in journal.entries(file)]
        return [line for line in found if line["event"] in events and fields.items() <= line.items()]

    def main_lines(self, *events: str) -> list[dict[str, Any]]:
        """Return the main log's lines of these events."""
        files = reversed(journal.files(self.logs / journal.MAIN_LOG))
        return [line for file in files for line in journal.entries(file) if line["event"] in events]

    def line(self, event: str, patience: float = PATIENCE_SECONDS, **fields: Any) -> dict[str, Any]:
        """Wait for a journal line and return it."""
        return wait_for(lambda: self.lines(event, **fields), f"{event} {fields}", patience)[0]

    def main_line(self, event: str, **fields: Any) -> dict[str, Any]:
        """Wait for a line of the main log and return it."""
        return wait_for(
            lambda: [line for line in self.main_lines(event) if fields.items() <= line.items()],
            f"{event} {fields}",
        )[0]
