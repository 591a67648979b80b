"""A clone of this project in a temporary folder, and the compose project that is started from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEVER = "0 0 1 1 *"  # for jobs that run on request only
WAIT_SECONDS = 30.0

Line = dict[str, Any]


def docker(
    *arguments: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None, merged: bool = False
) -> str:
    """Run the docker command and return its stdout, with `merged` its stderr as well.

    Raises AssertionError with both if it fails. The developer's own settings do not reach it: only `environment` and
    what finding the engine needs.
    """
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME") or k.startswith("DOCKER_")}
    kept.update(environment or {})
    done = subprocess.run(["docker", *arguments], cwd=cwd, env=kept, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"docker {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr if merged else done.stdout


def require_engine() -> None:
    """Skip the calling test where no Docker engine with compose answers."""
    for command in (["docker", "version"], ["docker", "compose", "version"]):
        if not shutil.which("docker") or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip(f"no Docker engine: `{' '.join(command)}` does not answer")


def clone(folder: Path, owner: int) -> Path:
    """Copy what git would hand out, with uncommitted work, to `folder`; give it to uid and gid `owner`."""
    if owner != os.geteuid() and os.geteuid() != 0:
        pytest.skip(f"only root can make a clone that belongs to uid {owner}")
    # safe.directory: the checkout may belong to somebody else than the user who tests it.
    git = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listing = [*git, "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    if owner != os.geteuid():
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner, owner)
    return folder


class Stack:
    """A compose project of its own name. `close` removes its containers, networks and images.

    `overlay` is a compose file that comes on top of the project's own. The page's port is any that is free.
    """

    def __init__(self, folder: Path, overlay: str = "", **environment: str) -> None:
        self.folder = folder
        self.jobs = folder / "jobs"
        self.logs = folder / "logs"
        self.project = f"jobs-test-{uuid.uuid4().hex[:12]}"
        self._files = ("-f", "compose.yaml", "-f", overlay) if overlay else ()
        self._environment = {"ADMIN_PORT": "0"} | environment

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` in the clone."""
        command = ("compose", *self._files, "-p", self.project, *arguments)
        return docker(*command, cwd=self.folder, environment=self._environment)

    def up(self, *services: str) -> None:
        """Do what the Quick start says, or start only some services, and wait for the health checks."""
        try:
            self.compose("up", "--detach", "--wait", "--wait-timeout", "300", "--quiet-pull", *services)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.compose('logs', '--no-color')}") from None

    def close(self) -> None:
        self.compose("down", "--timeout", "1", "--volumes", "--rmi", "local", "--remove-orphans")

    def container(self, service: str = "scheduler") -> str:
        """Return the id of the service's container, running or not."""
        return self.compose("ps", "--all", "--quiet", service).strip()

    def inspect(self, template: str, service: str = "scheduler") -> Any:
        """Return what `docker inspect` says of the service's container, decoded."""
        return json.loads(docker("inspect", "--format", "{{json " + template + "}}", self.container(service)))

    def shell(self, script: str, service: str = "scheduler") -> str:
        """Run a script in the service's container, as an operator with `docker compose exec` would."""
        return self.compose("exec", "--no-TTY", service, "sh", "-c", script)

    def shell_as_service(self, script: str, service: str = "admin") -> str:
        """Run a script in the service's container with the service's own user and rights."""
        return self.compose("exec", "--no-TTY", service, "/entrypoint.sh", "", "sh", "-c", script)

    def address(self, service: str, port: int) -> str:
        """Return where a published port is reached on this host."""
        return f"http://{self.compose('port', service, str(port)).strip()}"

    def output(self, service: str) -> str:
        """Return what the service printed since its container was made."""
        return docker("logs", self.container(service), merged=True)

    def from_another_container(self, script: str) -> None:
        """Run a script as the clone's owner in a container that shares only the jobs folder, at /drop."""
        owner = f"{self.jobs.stat().st_uid}:{self.jobs.stat().st_gid}"
        options = ["--rm", "--network", "none", "--user", owner, "--volume", f"{self.jobs}:/drop"]
        docker("run", *options, "--entrypoint", "sh", f"{self.project}-scheduler", "-ec", script)

    def drop_job(self, name: str, command: str, **fields: Any) -> None:
        """Write a job file as an operator's editor would: not atomically."""
        (self.jobs / f"{name}.json").write_text(job(name, command, **fields))

    def run(self, name: str, command: str, **fields: Any) -> Line:
        """Drop a job and a request for it at once, and return its `job_complete` line."""
        self.drop_job(name, command, **fields)
        (self.jobs / "triggers" / name).touch()
        return self.wait_for("job_complete", job_name=name)

    def journal(self, file: str = "scheduler_jobs.log") -> list[Line]:
        """Return the whole lines of a log file, read on the host."""
        path = self.logs / file
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def wait_for(self, event: str, timeout: float = WAIT_SECONDS, **fields: Any) -> Line:
        """Return the first journal line of that event with those fields, as soon as it can be read."""
        deadline = time.monotonic() + timeout
        while True:
            for line in self.journal():
                if {"event": event, **fields}.items() <= line.items():
                    return line
            assert time.monotonic() < deadline, f"no {event} {fields} in {self.journal()}"
            time.sleep(0.05)


def job(name: str, command: str, schedule: str = NEVER, **fields: Any) -> str:
    """Return the text of an enabled job's file."""
    required = {
        "name": name,
        "schedule": schedule,
        "command": command,
        "working_directory": "/tmp",
        "enabled": True,
    }
    return json.dumps(required | fields)


def snapshot(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Return mode, owner, modification time and content of everything below a folder."""

    def read(path: Path) -> tuple[int, int, int, bytes]:
        status = path.lstat()
        return status.st_mode, status.st_uid, status.st_mtime_ns, b"" if path.is_dir() else path.read_bytes()

    return {str(path): read(path) for path in (folder, *sorted(folder.rglob("*")))}


def owners(paths: Iterable[Path]) -> set[int]:
    """Return the uids that the paths belong to."""
    return {path.lstat().st_uid for path in paths}
