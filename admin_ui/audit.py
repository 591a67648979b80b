"""The audit log: JSON lines that say who asked for what, from where, and what came of it.

A change is two lines with one id: `requested`, on disk before anything is changed, and its `outcome`. A refusal
and a view are one line each.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from admin_ui.auth import User
from admin_ui.errors import NotDurable, SchedulerSilent, StorageError
from admin_ui.files import sync_folder, write_all
from admin_ui.model import REQUEST_ID, iso

LOG = logging.getLogger(__name__)

FILE_NAME = "audit.log"
MAX_BYTES = 10 << 20
BACKUPS = 20
MOST_REMEMBERED = 4096

TRIGGER_JOB, CANCEL_RUN = "trigger_job", "cancel_run"
OF_REQUESTS = {"run": TRIGGER_JOB, "cancel": CANCEL_RUN}
"""What this log calls what a request asks for."""

Details = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a `requested` line says: who asked for which action on which job."""

    username: str
    action: str
    job_name: str | None


class AuditLog:
    """Appends to `audit.log` in one directory. Thread-safe; each line is whole in the file or not in it at all."""

    def __init__(
        self,
        directory: str | Path,
        *,
        max_bytes: int = MAX_BYTES,
        backups: int = BACKUPS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = Path(directory) / FILE_NAME
        self._max_bytes = max_bytes
        self._backups = backups
        self._now = now
        self._lock = threading.Lock()
        self._known: dict[str, Asked | None] = {}

    def requested(self, user: User, action: str, job_name: str | None, details: Details | None = None) -> str:
        """Note that a change is about to be made; return its id, which may serve as a request's `request_id`.

        The line is on disk on return. Raises StorageError if it is not: then the change must not happen.
        """
        line_id = str(uuid.uuid4())
        line = _line("requested", line_id, user, action, job_name, details)
        self._write(line, durable=True)
        self._remember(line_id, Asked(user.username, action, job_name))
        return line_id

    def outcome(
        self,
        line_id: str,
        user: User,
        action: str,
        job_name: str | None,
        outcome: str,
        details: Details | None = None,
    ) -> bool:
        """Note what came of a requested change; return whether it could be written. The change has been made."""
        return self._try(_line("outcome", line_id, user, action, job_name, details) | {"outcome": outcome})

    def failed(self, line_id: str, user: User, action: str, job_name: str | None, error: BaseException) -> bool:
        """Note which error came of a requested change; return whether it could be written.

        The scheduler's silence is no failure: its request stays, and may be taken up yet. Nor is it one that what was
        done may not last.
        """
        outcome = {SchedulerSilent: "unanswered", NotDurable: "done"}.get(type(error), "failed")
        details = {"error": type(error).__name__, "text": str(error)}
        return self.outcome(line_id, user, action, job_name, outcome, details)

    def refused(self, user: User | None, action: str, why: str, source: str, details: Details | None = None) -> bool:
        """Note that somebody was turned away, None for nobody known; return whether it could be written."""
        who = user or User("", frozenset(), source)
        line = _line("refused", str(uuid.uuid4()), who, action, None, details)
        return self._try(line | {"username": user.username if user else None, "source": source, "why": why})

    def viewed(self, user: User, action: str, job_name: str | None, details: Details | None = None) -> bool:
        """Note that somebody looked at something; return whether it could be written. The view works either way."""
        return self._try(_line("viewed", str(uuid.uuid4()), user, action, job_name, details))

    def log_event(self, username: str, action: str, details: Details | None = None, *, source: str = "") -> bool:
        """Note something in one line, as the original interface does; return whether it could be written."""
        user = User(username, frozenset(), source)
        return self._try(_line("event", str(uuid.uuid4()), user, action, None, details))

    @contextmanager
    def change(self, user: User, action: str, job_name: str | None, details: Details | None = None) -> Iterator[str]:
        """Put both lines around a change; yields the id. The outcome is `done`, or the error, which passes through."""
        line_id = self.requested(user, action, job_name, details)
        try:
            yield line_id
        except BaseException as error:
            self.failed(line_id, user, action, job_name, error)
            raise
        self.outcome(line_id, user, action, job_name, "done")

    def who_asked(self, line_id: str) -> Asked | None:
        """Return what the `requested` line with this id says, None if no line that is kept has it."""
        if not REQUEST_ID.fullmatch(line_id):
            return None
        known = self._known  # `_remember` puts another one in its place now and then
        if line_id in known:
            return known[line_id]
        # What is not found is remembered, too: the line is written before anybody can know its id.
        return self._remember(line_id, self._search(line_id))

    def who_cancelled(self, line_id: str, job_name: str) -> str | None:
        """Return who asked in the line with this id for the end of that job's runs, None if nobody did.

        Anybody who can write a request file can put the id of somebody's other request in it.
        """
        asked = self.who_asked(line_id)
        return asked.username if asked and (asked.action, asked.job_name) == (CANCEL_RUN, job_name) else None

    def confirmed_by(
        self, request_id: str | None, requested_by: str | None, *, job_name: str, action: str | None = "run"
    ) -> bool:
        """Return whether this log holds that request, by that name, for that job and to `run` or `cancel` it.

        Anybody who can write a request file can put any name in it.
        """
        if request_id is None or requested_by is None:
            return False
        return self.who_asked(request_id) == Asked(requested_by, OF_REQUESTS.get(action or "", ""), job_name)

    def _remember(self, line_id: str, asked: Asked | None) -> Asked | None:
        with self._lock:
            if len(self._known) >= MOST_REMEMBERED:
                self._known = {}
            self._known[line_id] = asked
        return asked

    def _try(self, line: dict[str, Any]) -> bool:
        try:
            self._write(line, durable=False)
        except StorageError:
            LOG.exception("an audit line could not be written: %s", _encoded(line))
            return False
        return True

    def _write(self, line: dict[str, Any], *, durable: bool) -> None:
        data = _encoded({"timestamp": iso(self._now())} | line) + b"\n"
        with self._lock:
            try:
                with suppress(OSError):  # then the file grows on, which is better than no line
                    self._rotate(len(data))
                self._append(data, durable=durable)
            except (OSError, NotDurable) as error:
                why = getattr(error, "strerror", None) or error
                raise StorageError(f"the audit log cannot be written: {why}") from error

    def _append(self, data: bytes, *, durable: bool) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, flags, 0o640)
        try:
            size = os.fstat(descriptor).st_size
            try:
                if size and os.pread(descriptor, 1, size - 1) != b"\n":
                    data = b"\n" + data  # a crash cut the last line short
                write_all(descriptor, data)
                if durable:
                    os.fsync(descriptor)
                    if size == 0:
                        sync_folder(self._path.parent)
            except (OSError, NotDurable):
                os.ftruncate(descriptor, size)  # no half line, and none for a change that will not happen
                raise
        finally:
            os.close(descriptor)

    def _rotate(self, more: int) -> None:
        try:
            size = self._path.lstat().st_size
        except FileNotFoundError:
            return
        if size == 0 or size + more <= self._max_bytes:
            return
        names = self._files()
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            if newer.exists():
                os.replace(newer, older)

    def _files(self) -> list[Path]:
        """Return where the current file and the rotated ones lie, newest first."""
        rotated = [self._path.with_name(f"{FILE_NAME}.{number}") for number in range(1, self._backups + 1)]
        return [self._path, *rotated]

    def _search(self, line_id: str) -> Asked | None:
        needle = f'"id": "{line_id}"'.encode()
        with ExitStack() as opened:
            with self._lock:  # a rotation meanwhile would take a file from under its name
                files = [opened.enter_context(file) for file in map(_opened, self._files()) if file is not None]
            for line in chain.from_iterable(_lines_with(file, needle) for file in files):
                if line.get("id") == line_id and line.get("event") == "requested":
                    return Asked(line["username"], line["action"], line["job_name"])
        return None


def _line(
    event: str, line_id: str, user: User, action: str, job_name: str | None, details: Details | None
) -> dict[str, Any]:
    return {
        "event": event,
        "id": line_id,
        "username": user.username,
        "source": user.source,
        "action": action,
        "job_name": job_name,
        "details": dict(details or {}),
    }


def _encoded(line: dict[str, Any]) -> bytes:
    # ASCII only: no text, whatever it holds, can break a line or turn around what stands beside it.
    return json.dumps(line, default=str).encode()


def _opened(path: Path) -> BinaryIO | None:
    try:
        return open(path, "rb")
    except OSError:
        return None  # not there (yet), or nothing that can be read


def _lines_with(file: BinaryIO, needle: bytes) -> Iterator[dict[str, Any]]:
    """Yield the lines of a file that hold `needle`; an empty file has none."""
    try:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = data.find(needle)
            while at >= 0:
                end = data.find(b"\n", at)
                end = len(data) if end < 0 else end
                yield from _parsed(data[data.rfind(b"\n", 0, at) + 1 : end])
                at = data.find(needle, end)
    except (OSError, ValueError):
        return


def _parsed(text: bytes) -> Iterator[dict[str, Any]]:
    try:
        yield json.loads(text)
    except ValueError:
        return  # cut short by a crash
