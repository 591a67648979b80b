"""Drop requests into `jobs/triggers/`, list them, take answered ones away. What becomes of one, the journal says."""

from __future__ import annotations

import json
import os
import stat
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from admin_ui.errors import FileUnreadable, NotDurable, StorageError, ValidationError
from admin_ui.files import put_back, read_below, read_json, write_new
from admin_ui.model import JOB_NAME, LONGEST_NAME, NOT_IN_A_NAME, REQUEST_ID, iso, on_the_calendar

DIRECTORY = "triggers"
SUFFIX = ".json"
ASIDE = ".answered"
LIMIT_BYTES = 64 * 1024
REMEMBERED_AT_LEAST = timedelta(seconds=1)
"""The least that SCHEDULER_TRIGGER_MAX_AGE_SECONDS can be: for so long the same id is the same request for sure."""

REMEMBERED_BY_DEFAULT = timedelta(hours=1)
"""Its default. What came again within this time is most likely no news to the scheduler."""


class Request(NamedTuple):
    """What tells one request from every other one."""

    request_id: str
    action: str
    job_name: str


class RequestFile(NamedTuple):
    """A request as it lies there. `at` is its file's time, from which its age counts; `requested_by` proves nothing.

    `file_id` is what the scheduler calls the file if it finds it invalid, or no `request_id` in it.
    """

    request: Request
    file: str
    requested_by: str | None
    at: datetime
    file_id: str


AnsweredAt = Callable[[Request], datetime | None]
"""When the scheduler answered a request, as far as is known: perhaps so long ago that it has forgotten it."""


class Requests:
    """The requests below one jobs directory."""

    def __init__(self, jobs_directory: Path) -> None:
        self._directory = jobs_directory / DIRECTORY

    def drop(
        self,
        action: str,
        job_name: str,
        *,
        requested_by: str,
        now: datetime,
        run_id: str | None = None,
        request_id: str | None = None,
    ) -> Request:
        """Write a request and return it. `request_id` is a UUID's text, a new one if it is not given.

        Raises ValidationError for another id, StorageError; nothing was asked for then.
        """
        assert JOB_NAME.fullmatch(job_name), "names are checked before a path is built"
        request_id = str(uuid.uuid4()) if request_id is None else request_id
        if not REQUEST_ID.fullmatch(request_id):
            raise ValidationError({"request_id": "expected the text of a UUID, in small letters"})
        request = Request(request_id, action, job_name)
        given = {
            **request._asdict(),
            "run_id": run_id,
            "requested_by": NOT_IN_A_NAME.sub("?", requested_by)[:LONGEST_NAME] or None,
            "requested_at": iso(now),
        }
        document = {field: value for field, value in given.items() if value is not None}
        data = json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"
        path = self._directory / f"{job_name}-{request.request_id}{SUFFIX}"
        try:
            self._directory.mkdir(exist_ok=True)
            with suppress(NotDurable):  # what is there is seen by the scheduler: it was asked for
                write_new(path, data)
        except OSError as error:
            raise StorageError(f"the request cannot be written: {error.strerror}") from error
        return request

    def clear(self, answered_at: AnsweredAt) -> int:
        """Remove the valid `*.json` requests that were answered and return how many. Raises StorageError.

        Others stay: what somebody touched or wrote in a way that is no request is theirs to remove. A file is moved
        aside and read again before it goes, and put back if it is not the answered one. One that came after the
        answer stays, too: if the scheduler has forgotten the id, it is a new request.
        """
        removed, problem = 0, None
        for name in self._names():
            try:
                removed += self._clear(name, answered_at)
            except (FileNotFoundError, PermissionError):
                pass  # it is gone, or another user's in a folder where each may only remove his own (sticky)
            except OSError as error:
                problem = error
        if problem is not None:
            raise StorageError(f"an answered request cannot be removed: {problem.strerror}") from problem
        return removed

    def unanswered(self, answered_at: AnsweredAt) -> list[RequestFile]:
        """Return the requests that were not answered, touched ones too, oldest first. Raises StorageError.

        An id that was answered a short time before its file came counts as answered: it is the same request.
        """
        visible = (name for name in self._names() if not name.startswith("."))
        found = (self._read(name, name) if name.endswith(SUFFIX) else self._touched(name) for name in visible)
        requests = (file for file in found if file is not None and _asks_for_something(file.request))
        waiting = (
            file
            for file in requests
            if not _is_answered(file, answered_at, REMEMBERED_BY_DEFAULT) and not _is_invalid(file, answered_at)
        )
        return sorted(waiting, key=lambda file: file.at)

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._directory)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"the requests cannot be listed: {error.strerror}") from error

    def _clear(self, name: str, answered_at: AnsweredAt) -> bool:
        """Remove one request if it was answered. Raises OSError."""
        if name.startswith(".") and name.endswith(SUFFIX + ASIDE):
            # Of a service that was killed right after it had moved this one aside.
            return self._settle(name, name[1 : -len(ASIDE)], answered_at)
        if name.startswith(".") or not name.endswith(SUFFIX):
            return False
        found = self._read(name, name)
        if found is None or not _is_answered(found, answered_at):
            return False
        # `cp -p` and mv give a new request an old modification time, but not an old change time. Both moves below make
        # that a new one, so only here can it be asked for.
        came_at = on_the_calendar(os.lstat(self._directory / name).st_ctime)
        if not _is_answered(found._replace(at=came_at), answered_at):
            return False
        aside = f".{name}{ASIDE}"
        os.rename(self._directory / name, self._directory / aside)
        return self._settle(aside, name, answered_at)

    def _settle(self, aside: str, name: str, answered_at: AnsweredAt) -> bool:
        found = self._read(aside, name)
        answered = found is not None and _is_answered(found, answered_at)
        if answered:
            os.unlink(self._directory / aside)
        else:
            put_back(self._directory / aside, self._directory / name)
        return answered

    def _read(self, file: str, name: str) -> RequestFile | None:
        """Return the request that `file` holds, whose name is (or was) `name`; None if it is none."""
        try:
            data, _ = read_below(self._directory, file, LIMIT_BYTES)
            document = read_json(data)
            status = os.lstat(self._directory / file)  # of a link, its own time counts, as for the scheduler
        except (OSError, FileUnreadable, ValueError):
            return None
        if not isinstance(document, dict):
            return None
        file_id = f"{_shown(name)}@{status.st_mtime_ns}"
        request = Request(document.get("request_id", file_id), document.get("action", ""), document.get("job_name", ""))
        requested_by = document.get("requested_by")
        if not all(isinstance(each, str) for each in (*request, requested_by or "")):
            return None
        return RequestFile(request, _shown(name), requested_by, on_the_calendar(status.st_mtime), file_id)

    def _touched(self, name: str) -> RequestFile | None:
        """Return the request that an empty file makes by its name; None if it makes none."""
        try:
            status = os.stat(self._directory / name, follow_symlinks=False)
        except OSError:
            return None
        if status.st_size or not stat.S_ISREG(status.st_mode):
            return None
        file_id = f"{_shown(name)}@{status.st_mtime_ns}"
        return RequestFile(Request(file_id, "run", name), _shown(name), None, on_the_calendar(status.st_mtime), file_id)


def _is_answered(file: RequestFile, answered_at: AnsweredAt, remembered: timedelta = REMEMBERED_AT_LEAST) -> bool:
    """Return whether this file has its answer, and not only one long before it with the same id."""
    at = answered_at(file.request)
    return at is not None and file.at - remembered <= at


def _is_invalid(file: RequestFile, answered_at: AnsweredAt) -> bool:
    """Return whether the scheduler found something wrong in this file; it answers without an action and a job then."""
    return answered_at(Request(file.file_id, "", "")) is not None


def _asks_for_something(request: Request) -> bool:
    """Return whether this has an action and a job; there may be more in the file that the scheduler calls invalid."""
    return request.action in ("run", "cancel") and JOB_NAME.fullmatch(request.job_name) is not None


def _shown(name: str) -> str:
    """Return a file's name as the scheduler writes it: a name is bytes, and the journal holds text."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
