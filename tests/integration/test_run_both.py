"""`make run` without make: both real services under scripts/run_both.py, as one process to whoever started it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.daemon import wait_for

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0  # the admin imports Gradio
NEVER = "0 0 1 1 *"


class Both:
    """The running script, on folders below `root`."""

    def __init__(self, root: Path) -> None:
        self.jobs, self.logs = root / "jobs", root / "logs"
        (self.jobs / "triggers").mkdir(parents=True)
        self.output = root / "output"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        settings = {
            "SCHEDULER_JOBS_DIR": self.jobs,
            "SCHEDULER_LOGS_DIR": self.logs,
            "ADMIN_JOBS_DIR": self.jobs,
            "ADMIN_LOGS_DIR": self.logs,
            "ADMIN_DATA_DIR": root / "data",
            "ADMIN_PORT": self.port,
        }
        environment = {"PATH": os.environ["PATH"], **{name: str(value) for name, value in settings.items()}}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "scripts/run_both.py"], cwd=ROOT, env=environment, stdout=output, stderr=output
            )

    def wait_until_both_work(self) -> None:
        wait_for(lambda: self.events("scheduler_started"), "the scheduler", START_SECONDS)
        wait_for(self._page_answers, "the admin", START_SECONDS)

    def services(self) -> dict[str, int]:
        """Return the process ids of the services that are going, by module."""
        found = {}
        for task in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            for pid in task.read_text().split():
                command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
                found[command[2]] = int(pid)
        return found

    def events(self, event: str) -> list[dict[str, object]]:
        """Return the scheduler's lines of that event."""
        lines = [line for path in self.logs.glob("scheduler_*.log") for line in path.read_text().split("\n")[:-1]]
        return [line for line in map(json.loads, lines) if line["event"] == event]

    def start_job(self, command: str) -> None:
        document = {"name": "job", "schedule": NEVER, "command": command, "enabled": True}
        (self.jobs / "job.json").write_text(json.dumps(document | {"working_directory": "/tmp"}))
        (self.jobs / "triggers/job").touch()
        wait_for(lambda: self.events("job_start"), "the run")

    def exit_code(self) -> int:
        return self.process.wait(START_SECONDS)

    def _page_answers(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().read() == b"ok"
        except OSError:
            return False
        finally:
            connection.close()


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    running = Both(tmp_path)
    try:
        running.wait_until_both_work()
        yield running
    finally:
        left = running.services() if running.process.poll() is None else {}
        for pid in left.values():
            os.kill(pid, signal.SIGKILL)
        running.exit_code()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_signal_ends_both_after_the_drain(both: Both, number: signal.Signals) -> None:
    both.start_job("sleep 1; echo finished")

    both.process.send_signal(number)

    assert both.exit_code() == 0
    (done,) = both.events("job_complete")
    assert (done["status"], done["stdout"]) == ("success", "finished\n")
    assert both.events("scheduler_stopped")


def test_jobs_see_none_of_the_admins_variables(both: Both) -> None:
    both.start_job("env | sed 's/=.*//'")
    wait_for(lambda: both.events("job_complete"), "the run")

    names = str(both.events("job_complete")[0]["stdout"]).split()
    assert "SCHEDULER_LOGS_DIR" in names
    assert [name for name in names if name.startswith("ADMIN_")] == []


def test_death_of_the_admin_ends_the_scheduler_and_is_the_exit_code(both: Both) -> None:
    both.start_job("sleep 1; echo finished")

    os.kill(both.services()["admin_ui"], signal.SIGKILL)

    assert both.exit_code() == 128 + signal.SIGKILL
    assert both.events("job_complete")[0]["status"] == "success"
    assert "the admin ended by itself" in both.output.read_text()


def test_end_of_the_scheduler_ends_the_admin_and_is_never_a_success(both: Both) -> None:
    os.kill(both.services()["sidecar"], signal.SIGTERM)

    assert both.exit_code() == 1
    assert "the scheduler ended by itself" in both.output.read_text()
