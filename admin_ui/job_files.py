"""The definitions in `jobs/`: list, read, create, change and remove them, one file a job.

A change carries the hash of the version that it was made from; whoever changed the file meanwhile wins.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from admin_ui.errors import (
    ConflictError,
    FileUnreadable,
    JobAlreadyExistsError,
    JobNotFoundError,
    NotDurable,
    StorageError,
    ValidationError,
)
from admin_ui.files import (
    LIMIT_BYTES,
    aside,
    digest,
    put_back,
    read_below,
    read_json,
    sync_folder,
    write_new,
    write_whole,
)
from admin_ui.json_edit import edit
from admin_ui.model import JOB_NAME, JobConfig
from admin_ui.schema import problems

SETTLED_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class JobFile:
    """One definition file as it was read. Invalid ones have `errors` and no `config`; unreadable ones no `sha256`.

    `name` is the job it defines or seems to define. `document`, `text` and `modified`, the time of the last change
    (UTC), are there as far as they can be read.
    """

    file: str
    name: str
    sha256: str | None = None
    text: str | None = None
    document: Mapping[str, Any] | None = None
    config: JobConfig | None = None
    errors: Mapping[str, str] | None = None
    duplicate_of: str | None = None
    modified: datetime | None = None


class JobFiles:
    """The files below one directory. Thread-safe; unchanged files are not read again by a listing.

    `version` counts the changes that were made here. `on_change` hears of each: the job's name and the sha256 of
    what was written, None if the file was removed.
    """

    def __init__(
        self, directory: str | Path, on_change: Callable[[str, str | None], None] = lambda job_name, sha256: None
    ) -> None:
        self.directory = Path(directory)
        self.version = 0
        self._on_change = on_change
        self._changing = threading.Lock()
        self._lock = threading.Lock()
        self._known: dict[str, tuple[tuple[int, ...], JobFile]] = {}

    def list(self) -> list[JobFile]:
        """Return every definition file in file-name order, valid or not. Raises StorageError if there is no list.

        Of several files with one name the first counts; the others say so in `errors` and `duplicate_of`.
        """
        try:
            with os.scandir(self.directory) as listed:
                entries = sorted((each for each in listed if is_definition(each.name)), key=lambda each: each.name)
        except OSError as error:
            raise StorageError(f"the jobs directory cannot be listed: {error.strerror}") from None
        found = [self._look(entry) for entry in entries]
        with self._lock:
            for name in self._known.keys() - {entry.name for entry in entries}:
                del self._known[name]
        first: dict[str, str] = {}
        return [_judged(each, first) for each in found if each is not None]

    def get(self, job_name: str) -> JobFile:
        """Return the file of a job as it is now, an invalid one if there is no valid one. Raises JobNotFoundError."""
        candidates = [each for each in self.list() if each.name == job_name]
        candidates.sort(key=lambda each: each.config is None)
        if not candidates:
            raise JobNotFoundError(job_name)
        return candidates[0]

    def create(self, config: JobConfig) -> JobFile:
        """Write a new definition. Raises ValidationError, JobAlreadyExistsError, StorageError, NotDurable."""
        document = config.to_document()
        _require_valid(document)
        with self._changing:
            taken = next((each for each in self.list() if each.name == config.name), None)
            if taken is not None:
                raise JobAlreadyExistsError(config.name, taken.file)
            file, data = f"{config.name}.json", _written(document)
            try:
                with self._told(config.name, digest(data)):
                    write_new(self.directory / file, data)
            except FileExistsError:
                raise JobAlreadyExistsError(config.name, file) from None
            except OSError as error:
                raise _unwritable(file, error) from None
        return _understood(file, data, datetime.now(UTC))

    def update(
        self,
        job_name: str,
        changes: Mapping[str, Any],
        *,
        expected_sha256: str | None = None,
        remove: Collection[str] = (),
    ) -> JobFile:
        """Change fields of a definition and keep all others as they are written.

        Raises JobNotFoundError, ConflictError, ValidationError (the result would be invalid), StorageError, NotDurable.
        """
        with self._changing:
            current = self._expected(job_name, expected_sha256)
            if current.text is None or current.document is None:
                raise ValidationError(current.errors or {"": "this file cannot be read as a JSON object"})
            wanted = {key: value for key, value in current.document.items() if key not in remove} | dict(changes)
            _require_valid(wanted)
            if wanted["name"] != job_name:
                raise ValidationError({"name": "a job keeps its name; create a new one instead"})
            data = edit(current.text, changes, remove).encode()
            if data == current.text.encode():
                return current
            with self._told(job_name, digest(data)):
                self._replace(current, data)
        return _understood(current.file, data, datetime.now(UTC))

    def delete(self, job_name: str, *, expected_sha256: str | None = None) -> JobFile:
        """Remove a definition and return what it was.

        It is moved aside, read again and put back if it is not the expected one: what a writer put there in the
        last moment is never lost. Raises JobNotFoundError, ConflictError, StorageError, NotDurable.
        """
        with self._changing:
            current = self._expected(job_name, expected_sha256)
            if current.sha256 is None:
                raise StorageError(f"{current.file} is no file that can be read; remove it by hand")
            path = self.directory / current.file
            moved = aside(self.directory)
            try:
                os.rename(path, moved)
                found = self._read(moved.name)
                if found.sha256 == current.sha256:
                    os.unlink(moved)
                else:
                    put_back(moved, path)
            except FileNotFoundError:
                raise JobNotFoundError(job_name) from None
            except OSError as error:
                raise _unwritable(current.file, error) from None
            self._changed(job_name, None)
            if found.sha256 != current.sha256:
                raise ConflictError(current.file, found.text, found.sha256)
            sync_folder(self.directory)
        return current

    @contextmanager
    def _told(self, job_name: str, sha256: str | None) -> Iterator[None]:
        """Tell of a change that is made inside, also of one that may not last."""
        try:
            yield
        except NotDurable:
            self._changed(job_name, sha256)
            raise
        self._changed(job_name, sha256)

    def _changed(self, job_name: str, sha256: str | None) -> None:
        self._on_change(job_name, sha256)
        self.version += 1

    def _replace(self, current: JobFile, data: bytes) -> None:
        path = self.directory / current.file

        def check() -> None:
            # Only this, as the file is replaced next: to understand what it says takes time in which it may change.
            if self._digest(current.file) != current.sha256:
                found = self._read(current.file)
                raise ConflictError(current.file, found.text, found.sha256)

        try:
            if os.path.islink(path):
                raise StorageError(f"{current.file} is a link; change the file that it leads to")
            write_whole(path, data, os.stat(path).st_mode & 0o777, check=check)
        except FileNotFoundError:
            raise ConflictError(current.file, None, None) from None
        except OSError as error:
            raise _unwritable(current.file, error) from None

    def _expected(self, job_name: str, expected_sha256: str | None) -> JobFile:
        try:
            # Read anew: a listing may know a file by its time, which a writer can have set back.
            current = self._read(self.get(job_name).file)
        except (JobNotFoundError, FileNotFoundError):
            if expected_sha256 is not None and JOB_NAME.fullmatch(job_name):
                raise ConflictError(f"{job_name}.json", None, None) from None
            raise JobNotFoundError(job_name) from None
        if expected_sha256 is not None and current.sha256 != expected_sha256:
            raise ConflictError(current.file, current.text, current.sha256)
        return current

    def _look(self, entry: os.DirEntry[str]) -> JobFile | None:
        """Return what a file holds, from memory if it is unchanged; None if it is gone meanwhile."""
        seen = _fingerprint(entry)
        known = self._known.get(entry.name)
        if known is not None and known[0] == seen:
            return known[1]
        try:
            found = self._read(entry.name)
        except FileNotFoundError:
            return None
        with self._lock:
            # A file that was changed just now may change again without another time or size.
            if seen is not None and time.time_ns() - seen[0] > SETTLED_NS:
                self._known[entry.name] = (seen, found)
            else:
                self._known.pop(entry.name, None)
        return found

    def _digest(self, file: str) -> str | None:
        try:
            return digest(read_below(self.directory, file)[0])
        except FileUnreadable:
            return None

    def _read(self, file: str) -> JobFile:
        """Return what a file holds. Raises FileNotFoundError."""
        shown = os.fsencode(file).decode("utf-8", "backslashreplace")
        if shown != file:
            errors = {"": "expected a file name in UTF-8; rename the file"}
            return JobFile(shown, _name_from(shown), errors=errors)
        try:
            data, status = read_below(self.directory, file)
        except FileUnreadable as error:
            return JobFile(file, _name_from(file), errors={"": str(error)})
        return _understood(file, data, _instant(status.st_mtime))


def is_definition(file: str) -> bool:
    """Return whether a file of this name is meant to be a job definition."""
    return file.endswith(".json") and not file.startswith(".")


def _name_from(file: str) -> str:
    stem = file.removesuffix(".json")
    return stem if JOB_NAME.fullmatch(stem) else ""


def _understood(file: str, data: bytes, modified: datetime | None) -> JobFile:
    """Return what a file with this content says."""
    text = data.decode("utf-8", "backslashreplace")
    known = JobFile(file, _name_from(file), digest(data), text, modified=modified)
    try:
        document = read_json(data)
    except ValueError as error:
        return replace(known, errors={"": str(error)})
    errors = problems(document)
    if not isinstance(document, dict):
        return replace(known, errors=errors)
    said = document.get("name")
    if isinstance(said, str) and JOB_NAME.fullmatch(said):
        known = replace(known, name=said)
    if errors:
        return replace(known, document=document, errors=errors)
    return replace(known, document=document, config=JobConfig.from_document(document))


def _judged(found: JobFile, first: dict[str, str]) -> JobFile:
    if found.config is None:
        return found
    holder = first.setdefault(found.name, found.file)
    if holder == found.file:
        return found
    errors = {"name": f"expected another name, this is the job in {holder}"}
    return replace(found, config=None, errors=errors, duplicate_of=holder)


def _require_valid(document: Mapping[str, Any]) -> None:
    errors = problems(document)
    if not errors:
        try:
            data = _written(document)
            read_json(data)
            if len(data) > LIMIT_BYTES:
                errors = {"": f"a definition takes at most {LIMIT_BYTES:,} bytes"}
        except (TypeError, ValueError) as error:  # NaN, half a character: what no JSON file can hold
            errors = {"": f"it cannot be written as JSON: {error}"}
    if errors:
        raise ValidationError(errors)


def _written(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def _fingerprint(entry: os.DirEntry[str]) -> tuple[int, ...] | None:
    """Return what changes with a file's content, and with what a link leads to; first the newest of its times.

    None if that cannot be seen.
    """
    try:
        own = entry.stat(follow_symlinks=False)
        target = entry.stat() if entry.is_symlink() else own
    except OSError:
        return None
    times = (own.st_ctime_ns, target.st_ctime_ns, target.st_mtime_ns)
    return (max(times), *times, own.st_ino, target.st_ino, target.st_size)


def _instant(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError):  # a file's time may be set to any year
        return None


def _unwritable(file: str, error: OSError) -> StorageError:
    return StorageError(f"{file} cannot be written: {error.strerror or error}")
