"""Read the requests in `jobs/triggers/`, and write one. What becomes of a request is decided elsewhere."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sidecar.clock import iso
from sidecar.errors import FileUnreadable
from sidecar.files import read_json, read_small, write_whole
from sidecar.model import JOB_NAME, STEERING, Action, Request

LIMIT_BYTES = 64 * 1024
SUFFIX = ".json"

TOUCH_SECONDS = 0.05
"""How long a request that is known by its modification time must have stood unchanged: touch(1), `cp -p` and
tar(1) set a file's time after they made it, and a look in between would make two requests of one."""

PROBLEM_SECONDS = 0.5
"""How long anything else must have stood unchanged to be called invalid: it may still be being written."""

AGAIN_SECONDS = 0.5
"""When to look again at a file that could not be read for a reason that lies not with the file."""

NOT_THE_FILES_FAULT = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EIO, errno.ESTALE, errno.ETIMEDOUT)
)
GONE = frozenset((errno.ENOENT, errno.ENOTDIR))

FIELDS = ("action", "job_name", "request_id", "run_id", "requested_by", "requested_at")
LONGEST = {"request_id": 128, "run_id": 128, "requested_by": 256, "requested_at": 64}
"""In characters."""

UNPRINTABLE = re.compile(rf"[\x00-\x1f{STEERING}]")
TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})")
LONGEST_SHOWN = 60
MOST_PROBLEMS = 10
"""Of one request: each is told in the journal, and what is no request at all may have thousands."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Fingerprint = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a request document says; field names are those of the file."""

    action: Action
    job_name: str
    request_id: str | None = None
    run_id: str | None = None
    requested_by: str | None = None
    requested_at: str | None = None


def parse(data: bytes) -> Document:
    """Return what a `NAME.json` says. Raises ValueError that names what is wrong with it."""
    document = read_json(data)
    if not isinstance(document, dict):
        raise ValueError(f"expected a JSON object, found {_shown(document)}")
    problems = list(_problems(document))
    if len(problems) > MOST_PROBLEMS:
        problems[MOST_PROBLEMS:] = [f"and {len(problems) - MOST_PROBLEMS} more"]
    if problems:
        raise ValueError("; ".join(problems))
    return Document(**{**document, "action": Action(document["action"])})


def drop(
    directory: Path,
    action: Action,
    job_name: str,
    request_id: str | None,
    requested_by: str | None,
    now: datetime,
    *,
    run_id: str | None = None,
) -> Path:
    """Write a request into `directory` (made if only it is missing) and return its path.

    The same `request_id` again is the same request. Raises ValueError for what the reader would refuse, and
    OSError; nothing was asked for then.
    """
    given = {
        "action": str(action),
        "job_name": job_name,
        "request_id": request_id,
        "run_id": run_id,
        "requested_by": requested_by,
        "requested_at": iso(now),
    }
    document = {field: value for field, value in given.items() if value is not None}
    data = json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"
    parse(data)
    directory.mkdir(exist_ok=True)
    path = directory / f"{job_name}-{secrets.token_hex(8)}{SUFFIX}"
    write_whole(path, data)
    return path


@dataclass(frozen=True, slots=True)
class _File:
    """A visible file as it was last seen; `since` (monotonic seconds) is when it was first seen so."""

    fingerprint: Fingerprint
    age_order: tuple[int, str]
    request: Request
    since: float
    settle_seconds: float
    is_touch: bool


class _NotNow(Exception):
    """A file cannot be judged at the moment, through no fault of its own; look again in so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class Inbox:
    """Finds the requests in one directory and tells which are ready to be answered.

    It only reads, and remembers what it read by the files' fingerprints, so answered files that lie there
    cost no more than a look. Whether a request was answered before this process began, the caller knows.
    `is_job_name` tells whether there is a job of that name: an empty file is taken sooner then.
    `present` holds the keys of all files that the last complete listing saw, and of those looked at since; it is
    None before the first one.
    """

    def __init__(self, directory: Path, *, is_job_name: Callable[[str], bool]) -> None:
        self.present: set[str] | None = None
        self._directory = directory
        self._is_job_name = is_job_name
        self._files: dict[str, _File] = {}
        self._open: set[str] = set()
        self._answered: set[str] = set()
        self._look_at: dict[str, float] = {}

    def look(self, names: Collection[str] | None, now: float) -> list[Request]:
        """Return the requests that are ready and not `answered`, oldest first; of equal ones only the oldest.

        Looks at `names`, at what is due to be looked at again by `now` (monotonic seconds), and once more at
        what was returned before and got no answer, as an overwritten or removed file asks for nothing.
        None looks at every file; a directory that cannot be listed, or is missing, makes nothing forgotten.
        """
        self._open = {name for name in self._open if self._files[name].request.key not in self._answered}
        if names is not None or not self._look_at_all(now):
            due = [name for name, at in self._look_at.items() if at <= now]
            for name in {*(names or ()), *due, *self._open}:
                if not name.startswith("."):
                    self._look_at_one(name, now)
                    if self.present is not None and name in self._files:
                        self.present.add(self._files[name].request.key)
        return self._ready()

    def answered(self, key: str) -> None:
        """Note that the request with this key has its answer: it is not returned while its file is there."""
        self._answered.add(key)

    def due_again(self) -> float | None:
        """Return the monotonic time at which to call `look` again (no name needs to be given), or None."""
        return min(self._look_at.values(), default=None)

    def _look_at_all(self, now: float) -> bool:
        try:
            with os.scandir(self._directory) as entries:
                names = [entry.name for entry in entries if not entry.name.startswith(".")]
        except OSError:
            return False
        judged = [self._look_at_one(name, now) for name in names]
        for gone in (self._files.keys() | self._look_at.keys()) - set(names):
            self._forget(gone)
        keys = {file.request.key for file in self._files.values()}
        if all(judged):
            self.present = keys
            self._answered &= self.present
        elif self.present is not None:
            # What could not be judged may be any of the others; what is new is there for sure.
            self.present = self.present | keys
        return True

    def _look_at_one(self, name: str, now: float) -> bool:
        """Bring what is known of one file up to date; return whether that could be done."""
        path = self._directory / name
        try:
            status, target = _status(path)
            file = self._files.get(name)
            if file is None or file.fingerprint != _fingerprint(status, target):
                self._open.discard(name)
                file = self._files[name] = _read(path, status, target, now)
        except _NotNow as trouble:
            self._open.discard(name)
            self._look_at[name] = now + trouble.seconds
            return False
        except OSError as error:
            if error.errno in GONE:
                self._forget(name)
                return True
            self._open.discard(name)
            self._look_at[name] = now + AGAIN_SECONDS
            return False
        self._settle(name, file, now)
        return True

    def _settle(self, name: str, file: _File, now: float) -> None:
        if name in self._open:
            return
        wait = file.settle_seconds
        if file.is_touch and not self._is_job_name(name):
            wait = PROBLEM_SECONDS  # its definition may be on the way
        if now < file.since + wait:
            self._look_at[name] = file.since + wait
        else:
            self._look_at.pop(name, None)
            if file.request.key not in self._answered:
                self._open.add(name)

    def _forget(self, name: str) -> None:
        self._files.pop(name, None)
        self._look_at.pop(name, None)
        self._open.discard(name)

    def _ready(self) -> list[Request]:
        files = sorted((self._files[name] for name in self._open), key=lambda file: file.age_order)
        requests: dict[str, Request] = {}
        for file in files:
            requests.setdefault(file.request.key, file.request)
        return list(requests.values())


def _status(path: Path) -> tuple[os.stat_result, os.stat_result | None]:
    """Return what lies at the path, and where a link leads (None: nowhere), else the same again."""
    status = os.lstat(path)
    if not stat.S_ISLNK(status.st_mode):
        return status, status
    try:
        return status, os.stat(path)
    except OSError:
        return status, None


def _fingerprint(status: os.stat_result, target: os.stat_result | None) -> Fingerprint:
    own = (status.st_ino, status.st_mtime_ns, status.st_size, status.st_ctime_ns)
    if target is status:
        return own
    return (*own, *(_fingerprint(target, target) if target else ()))


def _read(path: Path, status: os.stat_result, target: os.stat_result | None, now: float) -> _File:
    """Return what a file asks for. Raises _NotNow, or OSError if it is gone meanwhile.

    Of a link, its own owner and time count: it is the link that somebody put there.
    """
    file = os.fsencode(path.name).decode("utf-8", "backslashreplace")
    request = Request(
        file=file,
        request_id=f"{file}@{status.st_mtime_ns}",
        modified_at=_instant(status.st_mtime_ns),
        owner_uid=status.st_uid,
    )
    settle_seconds, is_touch = TOUCH_SECONDS, False
    try:
        if _is_empty(target) and JOB_NAME.fullmatch(path.name):
            request = replace(request, action=Action.RUN, job_name=path.name)
            is_touch = True
        else:
            document = _read_document(path, target)
            request = replace(
                request,
                action=document.action,
                job_name=document.job_name,
                run_id=document.run_id,
                requested_by=document.requested_by,
                request_id=document.request_id or request.request_id,
            )
            if document.request_id is not None:
                settle_seconds = 0
    except ValueError as problem:
        request = replace(request, problem=str(problem))
        settle_seconds = PROBLEM_SECONDS
    fingerprint = _fingerprint(status, target)
    if _fingerprint(*_status(path)) != fingerprint:
        # What was read belongs to no time that a later look would find.
        raise _NotNow(TOUCH_SECONDS)
    return _File(
        fingerprint=fingerprint,
        age_order=(status.st_mtime_ns, path.name),
        request=request,
        since=now,
        settle_seconds=settle_seconds,
        is_touch=is_touch,
    )


def _read_document(path: Path, target: os.stat_result | None) -> Document:
    """Raises ValueError: the file is no request document. Raises _NotNow."""
    if _is_empty(target):
        if path.name.endswith(SUFFIX):
            raise ValueError('the file is empty; write {"action": "run", "job_name": "NAME"}')
        raise ValueError("an empty file asks for a run of the job it is named after; this is no job's name")
    if target is not None and stat.S_ISREG(target.st_mode) and not path.name.endswith(SUFFIX):
        raise ValueError(f"a file with content must be a JSON document and called NAME{SUFFIX}")
    try:
        data, _ = read_small(path, LIMIT_BYTES)
    except FileUnreadable as error:
        cause = error.__context__
        if isinstance(cause, OSError) and cause.errno in NOT_THE_FILES_FAULT:
            raise _NotNow(AGAIN_SECONDS) from None
        raise ValueError(str(error)) from None
    if not path.name.endswith(SUFFIX):
        raise _NotNow(TOUCH_SECONDS)
    return parse(data)


def _is_empty(status: os.stat_result | None) -> bool:
    return status is not None and stat.S_ISREG(status.st_mode) and status.st_size == 0


def _instant(nanoseconds: int) -> datetime:
    try:
        return EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:  # some file systems hold any 64-bit time
        return datetime.max.replace(tzinfo=UTC) if nanoseconds > 0 else datetime.min.replace(tzinfo=UTC)


def _problems(document: dict[str, Any]) -> Iterator[str]:
    for key in document:
        if key not in FIELDS:
            yield f"{_shown(key)} is an unknown key (known: {', '.join(FIELDS)})"
    action = document.get("action")
    if action not in tuple(Action):
        yield f'action: expected "run" or "cancel", found {_found(document, "action")}'
    job_name = document.get("job_name")
    if not isinstance(job_name, str) or not JOB_NAME.fullmatch(job_name):
        found = _found(document, "job_name")
        yield f"job_name: expected 1 to 64 characters of A-Z a-z 0-9 _ -, found {found}"
    for key, longest in LONGEST.items():
        if key in document and not _is_text(document[key], longest):
            found = _shown(document[key])
            yield f"{key}: expected 1 to {longest} characters without control characters, found {found}"
    if action == Action.RUN and "run_id" in document:
        yield "run_id: only a cancel names a run, so leave it out"
    moment = document.get("requested_at")
    if isinstance(moment, str) and not TIMESTAMP.fullmatch(moment):
        yield f"requested_at: expected a time such as 2026-01-31T09:00:00Z, found {_shown(moment)}"


def _is_text(value: object, longest: int) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= longest and not UNPRINTABLE.search(value)


def _found(document: dict[str, Any], key: str) -> str:
    return _shown(document[key]) if key in document else "nothing"


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"
