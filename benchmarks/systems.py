"""The systems that are measured side by side: how each is given its jobs, started and stopped.

`phase` is the second of the minute at which a system starts its jobs. Those that can be told use one of their own,
so that several can be measured in the same minute without being in each other's way.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks import machine, workshop
from tests.admin_stack import Admin

REPOSITORY = workshop.HERE.parent
EVERY_MINUTE = "* * * * *"
JOBS_A_FILE = 500
START_SECONDS = 120.0


class SystemFailed(Exception):
    """A system did not start; what was to be measured together with it is lost, the rest is not."""


class Job(NamedTuple):
    """What every system can be told to do."""

    name: str
    schedule: str
    command: str


@dataclass
class System(ABC):
    """One system. `environment` is added to that of the process."""

    name: str
    phase: int = 0
    warm_up_minutes: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    def missing(self) -> str | None:
        """Return why it cannot be measured here, or None."""
        return None

    @abstractmethod
    def command(self, root: Path, jobs: Sequence[Job]) -> list[str]:
        """Write the jobs below `root` and return the command that starts the system on them."""

    def ready(self, root: Path) -> bool | None:
        """Return whether all jobs are scheduled; None for a system that does not tell."""
        return "ready" in (root / "said").read_text()

    @contextmanager
    def running(self, root: Path, jobs: Sequence[Job]) -> Iterator[subprocess.Popen[bytes]]:
        """Give the system its jobs and start it."""
        with self.started(root, self.command(root, jobs)) as process:
            yield process

    @contextmanager
    def started(self, root: Path, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
        """Start the system, wait until it is ready (or for 3 s, where it does not tell), and end it at last."""
        with (root / "said").open("wb") as said, (root / "warned").open("wb") as warned:
            process = subprocess.Popen(
                command, stdout=said, stderr=warned, cwd=REPOSITORY, env={**os.environ, **self.environment}
            )
            try:
                if self.ready(root) is None:
                    time.sleep(3)
                elif not machine.wait_for(lambda: self.ready(root) or process.poll() is not None, START_SECONDS):
                    raise SystemFailed(f"{self.name} was not ready within {START_SECONDS:.0f} s")
                if process.poll() is not None:
                    raise SystemFailed(f"{self.name} ended: {(root / 'warned').read_text()[-500:]}")
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


class Product(System):
    """This scheduler, as the image has it: with the locked packages and no others, and with bytecode."""

    def missing(self) -> str | None:
        """Return whether its packages cannot be installed."""
        return None if workshop.product_python() else "its packages cannot be installed"

    def command(self, root: Path, jobs: Sequence[Job]) -> list[str]:
        """Write one file a job."""
        (root / "jobs" / "triggers").mkdir(parents=True, exist_ok=True)
        for job in jobs:
            write_job(root, job)
        return [str(workshop.product_python()), "-m", "sidecar", "start", *self.directories(root)]

    @staticmethod
    def directories(root: Path) -> list[str]:
        """Return the arguments that name the volumes."""
        return ["--jobs", str(root / "jobs"), "--logs", str(root / "logs")]

    def ready(self, root: Path) -> bool | None:
        """Return whether the main log says so."""
        log = root / "logs" / "scheduler_main.log"
        return log.exists() and b'"scheduler_started"' in log.read_bytes()


def admin_service(root: Path, **environment: str) -> Admin:
    """Return the admin service, not yet started, as its image has it. Raises SystemFailed without its packages."""
    python = workshop.admin_python()
    if python is None:
        raise SystemFailed("the admin service's packages cannot be installed")
    return Admin(root, python=python, **environment)


def write_job(root: Path, job: Job, **more: object) -> None:
    """Write or replace the definition of one job of the product, whole."""
    document = {"name": job.name, "schedule": job.schedule, "command": job.command, "enabled": True}
    beside = root / "jobs" / f".{job.name}"
    beside.write_text(json.dumps({**document, "working_directory": "/", **more}))
    beside.replace(root / "jobs" / f"{job.name}.json")


class FloorC(System):
    """The least that any scheduler must do, in C."""

    def missing(self) -> str | None:
        """Return whether there is no compiler."""
        return None if workshop.compiled("floor") else "there is no C compiler"

    def command(self, root: Path, jobs: Sequence[Job]) -> list[str]:
        """Write the commands of the jobs that are due each minute."""
        return [str(workshop.compiled("floor")), str(_due_commands(root, jobs)), str(self.phase)]


class FloorPython(System):
    """The same in plain Python."""

    def missing(self) -> str | None:
        """Return whether the product's Python is missing."""
        return None if workshop.product_python() else "there is no environment for it"

    def command(self, root: Path, jobs: Sequence[Job]) -> list[str]:
        """Write the commands of the jobs that are due each minute."""
        program = str(workshop.PROGRAMS / "floor.py")
        return [str(workshop.product_python()), program, str(_due_commands(root, jobs)), str(self.phase)]


class Script(System):
    """A script of ours around a library, from the environment of the peers."""

    def missing(self) -> str | None:
        """Return whether the library cannot be installed."""
        return None if workshop.peers_python() else "it cannot be installed"

    def command(self, root: Path, jobs: Sequence[Job]) -> list[str]:
        """Write the jobs as JSON."""
        (root / "jobs.json").write_text(json.dumps([(job.schedule, job.command) for job in jobs]))
        program = workshop.PROGRAMS / f"{self.name.lower()}_jobs.py"
        return [str(workshop.peers_python()), str(program), str(root / "jobs.json"), str(self.phase)]


class Yacron(System):
    """yacron, and cronstable, which understands the same file. It need not read what jobs print (`captures`)."""

    port = 0
    captures = False

    def missing(self) -> str | None:
        """Return whether it cannot be installed."""
        return None if workshop.peers_python() else "it cannot be installed"

    def command(self, root: Path, jobs: Sequence[Job]) -> list[str]:
        """Write the YAML file; JSON strings are YAML."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        lines = ["web:", "  listen:", f"    - http://127.0.0.1:{self.port}", "jobs:"]
        for job in jobs:
            lines += [f"  - name: {job.name}", f"    command: {json.dumps(job.command)}"]
            lines += [f"    schedule: {json.dumps(job.schedule)}", f"    captureStdout: {json.dumps(self.captures)}"]
        (root / "jobs.yaml").write_text("\n".join(lines) + "\n")
        python = workshop.peers_python()
        assert python is not None
        return [str(python.with_name(self.name)), "-c", str(root / "jobs.yaml")]

    def ready(self, root: Path) -> bool | None:
        """Return whether its HTTP interface answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/version", timeout=5):
                return True
        except OSError:
            return False


class Busybox(System):
    """crond of busybox."""

    def missing(self) -> str | None:
        """Return whether it is not installed."""
        if shutil.which("busybox"):
            applets = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout
            if "crond" in applets.split():
                return None
        return "not installed (apt install busybox-static; busybox alone has no crond)"

    def command(self, root: Path, jobs: Sequence[Job]) -> list[str]:
        """Write a crontab in a directory of its own."""
        tabs = root / "tabs"
        tabs.mkdir(mode=0o755)
        (tabs / "root").write_text("".join(f"{job.schedule} {job.command}\n" for job in jobs))
        return ["busybox", "crond", "-f", "-c", str(tabs), "-L", "/dev/null"]

    def ready(self, root: Path) -> bool | None:
        """It does not tell."""
        return None


class Cron(System):
    """Debian's cron, with a mount namespace in which all its files are ours."""

    def missing(self) -> str | None:
        """Return whether it is not installed, or needs rights that we lack."""
        if not shutil.which("cron"):
            return "not installed (apt install cron)"
        return None if os.geteuid() == 0 and shutil.which("unshare") else "needs root and unshare(1)"

    def command(self, root: Path, jobs: Sequence[Job]) -> list[str]:
        """Write files for /etc/cron.d and hide everything else of the machine's cron."""
        for empty in ("cron.d", "spool", "run"):
            (root / empty).mkdir()
        (root / "crontab").touch()
        for first in range(0, len(jobs), JOBS_A_FILE):
            text = "".join(f"{job.schedule} root {job.command}\n" for job in jobs[first : first + JOBS_A_FILE])
            (root / "cron.d" / f"part{first}").write_text(text)
        mounts = {"cron.d": "/etc/cron.d", "crontab": "/etc/crontab", "spool": "/var/spool/cron", "run": "/run"}
        script = " && ".join(f"mount --bind {root / ours} {theirs}" for ours, theirs in mounts.items())
        (root / "spool" / "crontabs").mkdir()
        return ["unshare", "--mount", "sh", "-c", f"{script} && exec cron -f"]

    def ready(self, root: Path) -> bool | None:
        """It does not tell."""
        return None


def _due_commands(root: Path, jobs: Sequence[Job]) -> Path:
    file = root / "commands"
    file.write_text("".join(f"{job.command}\n" for job in jobs if job.schedule == EVERY_MINUTE))
    return file


PRODUCT = Product("this scheduler", warm_up_minutes=1, environment={"SCHEDULER_MAX_CONCURRENT_RUNS": "1000"})
FLOOR_C = FloorC("floor in C", phase=20)
FLOOR_PYTHON = FloorPython("floor in Python", phase=30)
APSCHEDULER = Script("APScheduler", phase=40)
SCHEDULE = Script("schedule", phase=50)
YACRON, CRONSTABLE = Yacron("yacron"), Yacron("cronstable")
BUSYBOX, CRON = Busybox("busybox crond"), Cron("Debian cron")
SYSTEMS = (FLOOR_C, FLOOR_PYTHON, PRODUCT, CRONSTABLE, YACRON, APSCHEDULER, SCHEDULE, BUSYBOX, CRON)
