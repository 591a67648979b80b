"""A jobs directory with its catalog and its two clocks, and the ways in which programs save a file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sidecar.catalog import Catalog, Change
from sidecar.config import ConfigLoader
from tests.strategies import written

BROKEN = b'{"name": "backup", "sched'
SETTLE = 0.5


def document(name: str = "backup", **changes: Any) -> bytes:
    return written(
        {
            "name": name,
            "schedule": "0 2 * * *",
            "command": "true",
            "working_directory": "/",
            "enabled": True,
            **changes,
        }
    )


class Place:
    """A jobs directory, its catalog, and the two clocks: `age` is how much older than they are files look."""

    def __init__(self, folder: Path, age: float = 10) -> None:
        self.folder = folder
        self.age = age
        self.now = 1000.0
        self.all: list[Change] = []
        self.restart()

    def restart(self) -> None:
        """Begin again as a new process does."""
        self.catalog = Catalog(ConfigLoader(self.folder), wall=lambda: time.time() + self.age)
        self.all = self.catalog.rescan(self.now, settle=0)

    def write(self, file: str, data: bytes | None = None, **changes: Any) -> None:
        (self.folder / file).write_bytes(document(**changes) if data is None else data)

    def look(self, *files: str) -> list[str]:
        return self._noted(self.catalog.look(files, self.now))

    def rescan(self, *hinted: str) -> list[str]:
        return self._noted(self.catalog.rescan(self.now, hinted=hinted))

    def wait(self, seconds: float = SETTLE) -> list[str]:
        """Let time pass, as a caller does that looks when something is due."""
        until = self.now + seconds
        told = []
        while (due := self.catalog.due_again()) is not None and due <= until:
            self.now = due
            told += self.look()
        self.now = until
        return told

    def commands(self) -> dict[str, str]:
        """What is in force: the command of each job."""
        return {name: definition.config.command for name, definition in self.catalog.jobs.items()}

    def files(self) -> dict[str, str]:
        """What is in force: the file of each job."""
        return {name: definition.file for name, definition in self.catalog.jobs.items()}

    def _noted(self, changes: list[Change]) -> list[str]:
        self.all += changes
        return told(changes)


def told(changes: list[Change]) -> list[str]:
    return [f"{change.kind} {change.job_name if 'config' not in change.kind else change.file}" for change in changes]


def truncate_and_write(folder: Path) -> Iterator[str]:
    (folder / "a.json").write_bytes(b"")
    yield "a.json"
    (folder / "a.json").write_bytes(document(command="new")[:40])
    yield "a.json"
    (folder / "a.json").write_bytes(document(command="new"))
    yield "a.json"


def save_as_vim_does(folder: Path) -> Iterator[str]:
    os.rename(folder / "a.json", folder / "a.json~")
    yield "a.json"
    (folder / "a.json").write_bytes(b"")
    yield "a.json"
    (folder / "a.json").write_bytes(document(command="new"))
    yield "a.json"
    os.unlink(folder / "a.json~")
    yield "a.json~"


def rename_over(folder: Path) -> Iterator[str]:
    (folder / ".a.json.tmp").write_bytes(document(command="new"))
    yield ".a.json.tmp"
    os.replace(folder / ".a.json.tmp", folder / "a.json")
    yield "a.json"


def delete_and_write(folder: Path) -> Iterator[str]:
    os.unlink(folder / "a.json")
    yield "a.json"
    (folder / "a.json").write_bytes(document(command="new"))
    yield "a.json"


def move_from_another_file_system(folder: Path) -> Iterator[str]:
    os.unlink(folder / "a.json")
    yield "a.json"
    with (folder / "a.json").open("wb", buffering=0) as file:
        for byte in document(command="new"):
            file.write(bytes((byte,)))
            yield "a.json"


def link_to_another_file(folder: Path) -> Iterator[str]:
    (folder / "a.json.new").write_bytes(document(command="new"))
    yield "a.json.new"
    os.unlink(folder / "a.json")
    yield "a.json"
    (folder / "a.json").symlink_to("a.json.new")
    yield "a.json"


SAVES = [
    truncate_and_write,
    save_as_vim_does,
    rename_over,
    delete_and_write,
    move_from_another_file_system,
    link_to_another_file,
]

Save = Callable[[Path], Iterator[str]]
