"""Output files of runs: opened for the shell to write into, shown in the journal, removed when they are old.

`logs/output/<job>/<run_id>.stdout|.stderr`. Below `logs/output` no symbolic link leads to any other file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from sidecar.errors import StartError
from sidecar.model import JobResult
from sidecar.proc import held
from sidecar.spares import DIRECTORY_MODE, Spares
from sidecar.streams import Stream, Streams, capture, unreadable

DIRECTORY = "output"
STREAMS = ("stdout", "stderr")
SPARES = ".spare"  # no job can be called so

SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
OUTPUT_FILE = re.compile(rf"({SAFE_NAME.pattern})\.({'|'.join(STREAMS)})")
JOB_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

FILES_A_SLICE = 200
"""The sweep lets other work run after so many files, about every millisecond."""


class _Stored(NamedTuple):
    """The output files of one run on disk; `files` are (name, device, inode)."""

    modified: float
    job_name: str
    run_id: str
    size: int
    files: list[tuple[str, int, int]]


@dataclass(slots=True)
class Swept:
    """What a sweep found and did; sizes in bytes."""

    files: int = 0
    size: int = 0
    removed: int = 0
    truncated: int = 0


class Outputs:
    """The tree `logs/output`. `inline_bytes` is how much of a stream the journal may hold."""

    def __init__(self, logs_dir: str | Path, inline_bytes: int = 32 * 1024) -> None:
        self._logs = os.fspath(logs_dir)
        self._root = f"{self._logs}/{DIRECTORY}"
        self._inline_bytes = inline_bytes
        self._spares = Spares(f"{self._root}/{SPARES}")

    def open(self, job_name: str, run_id: str) -> Streams:
        """Create and open the files of a run. Raises StartError (126): output has nowhere to go."""
        if not _are_safe(job_name, run_id):
            raise StartError(126, f"{job_name!r}, {run_id!r} cannot be the name of an output file")
        files = _files(job_name, run_id)
        try:
            directory = self._open_directory(job_name)
            try:
                stdout, stderr = self._open_both([file.rpartition("/")[2] for file in files], directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise StartError(126, f"the output file cannot be created: {error.strerror}") from error
        return Streams((stdout, stderr), self._logs, files, self._inline_bytes)

    def recall(self, job_name: str, run_id: str, *, is_held: bool) -> tuple[Stream, Stream]:
        """Return what the files of an earlier scheduler's run hold; one that is not there counts as empty."""
        if not _are_safe(job_name, run_id):
            return Stream(), Stream()
        stdout, stderr = (self._recall(file, is_held) for file in _files(job_name, run_id))
        return stdout, stderr

    def settle(self, result: JobResult) -> list[str]:
        """Keep the files that the run's result names; return the others, to be discarded once it is on disk."""
        if not _are_safe(result.job_name, result.run_id):
            return []
        kept = (result.stdout_file, result.stderr_file)
        files = _files(result.job_name, result.run_id)
        for file in files:
            if file in kept:
                self._spares.keep(file.rpartition("/")[2])
        return [file for file in files if file not in kept]

    def discard(self, files: Iterable[str]) -> None:
        """Remove output files, named as `settle` does. Never fails: the sweep comes by later."""
        for job_name, of_one_job in groupby(files, key=lambda file: file.split("/")[1]):
            names = [file.rpartition("/")[2] for file in of_one_job]
            with contextlib.suppress(OSError), self._directory(job_name) as directory:
                for name in names:
                    with contextlib.suppress(FileNotFoundError):
                        self._spares.put_away(name, directory)
            for name in names:
                self._spares.keep(name)  # where a job removed its folder, so that none was put away

    async def sweep(
        self,
        now: datetime,
        keep: Collection[str],
        *,
        max_age_days: float,
        max_runs: int,
        max_bytes: int,
    ) -> Swept:
        """Remove what is too old, too many for its job, or too much altogether (the oldest first).

        `keep` are the ids of the runs that are going; it may change meanwhile. A file that a process still
        holds is truncated instead. Other work goes on in between. Files that are not ours are left alone.
        """
        stored = [run async for run in self._stored()]
        swept = Swept(files=sum(len(run.files) for run in stored), size=sum(run.size for run in stored))
        oldest = now.timestamp() - max_age_days * timedelta(days=1).total_seconds()
        doomed = _doomed(stored, keep, oldest=oldest, max_runs=max_runs, max_bytes=max_bytes)
        holding = await _held({(device, inode) for run in doomed for _, device, inode in run.files})
        for number, run in enumerate(doomed):
            if run.run_id not in keep:
                self._remove(run, holding, swept)
            if number % FILES_A_SLICE == 0:
                await asyncio.sleep(0)
        await self._remove_empty_directories(oldest)
        return swept

    def has_room(self) -> bool:
        """Return whether another byte could be written, as far as that can be told."""
        try:
            status = os.statvfs(self._root)
        except OSError:
            return True
        return (status.f_bfree if os.geteuid() == 0 else status.f_bavail) > 0

    def _open_directory(self, job_name: str) -> int:
        path = f"{self._root}/{job_name}"
        try:
            return os.open(path, JOB_DIRECTORY_FLAGS)
        except FileNotFoundError:
            os.makedirs(self._root, DIRECTORY_MODE, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, DIRECTORY_MODE)
            return os.open(path, JOB_DIRECTORY_FLAGS)

    def _open_both(self, names: list[str], directory: int) -> tuple[int, int]:
        stdout = self._spares.open(names[0], directory)
        try:
            return stdout, self._spares.open(names[1], directory)
        except OSError:
            os.close(stdout)
            raise

    @contextlib.contextmanager
    def _directory(self, job_name: str) -> Iterator[int]:
        directory = os.open(f"{self._root}/{job_name}", JOB_DIRECTORY_FLAGS)
        try:
            yield directory
        finally:
            os.close(directory)

    def _recall(self, file: str, is_held: bool) -> Stream:
        _, job_name, name = file.split("/")
        try:
            with self._directory(job_name) as directory:
                # Without O_NONBLOCK a FIFO in the file's place would block the scheduler.
                flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptor = os.open(name, flags, dir_fd=directory)
        except FileNotFoundError:
            return Stream()
        except OSError as error:
            return Stream(text=unreadable(error), truncated=True, file=file)
        try:
            return capture(descriptor, file, self._inline_bytes, is_held)
        finally:
            os.close(descriptor)

    async def _stored(self) -> AsyncIterator[_Stored]:
        for job_name in self._job_names():
            runs: dict[str, _Stored] = {}
            with (
                contextlib.suppress(OSError),
                self._directory(job_name) as directory,
                os.scandir(directory) as entries,
            ):
                for number, entry in enumerate(entries):
                    _add(runs, job_name, entry)
                    if number % FILES_A_SLICE == 0:
                        await asyncio.sleep(0)
            for run in runs.values():
                yield run

    def _job_names(self) -> list[str]:
        try:
            with os.scandir(self._root) as entries:
                return [
                    entry.name
                    for entry in entries
                    if SAFE_NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
                ]
        except OSError:  # not there yet, or something that a job put in its place
            return []

    def _remove(self, run: _Stored, holding: Collection[tuple[int, int]], swept: Swept) -> None:
        with contextlib.suppress(OSError), self._directory(run.job_name) as directory:
            for name, device, inode in run.files:
                if (device, inode) not in holding:
                    os.unlink(name, dir_fd=directory)
                    swept.removed += 1
                elif run.size:
                    flags = os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
                    os.close(os.open(name, flags, dir_fd=directory))
                    swept.truncated += 1

    async def _remove_empty_directories(self, oldest: float) -> None:
        """Remove the directories in which nothing has happened since `oldest`.

        The other jobs would only make theirs anew, which is a sixth of what starting a run costs.
        """
        for number, job_name in enumerate(self._job_names()):
            if number % FILES_A_SLICE == 0:
                await asyncio.sleep(0)
            directory = f"{self._root}/{job_name}"
            with contextlib.suppress(OSError):  # not empty, mostly
                if os.lstat(directory).st_mtime < oldest:
                    os.rmdir(directory)


def _files(job_name: str, run_id: str) -> tuple[str, str]:
    """Return the names of both files, relative to the logs directory."""
    stdout, stderr = (f"{DIRECTORY}/{job_name}/{run_id}.{stream}" for stream in STREAMS)
    return stdout, stderr


def _are_safe(*names: str) -> bool:
    """Return whether the names can be parts of a path. Ours always are; a journal line may hold anything."""
    return all(SAFE_NAME.fullmatch(name) for name in names)


def _add(runs: dict[str, _Stored], job_name: str, entry: os.DirEntry[str]) -> None:
    match = OUTPUT_FILE.fullmatch(entry.name)
    if match is None or not entry.is_file(follow_symlinks=False):
        return
    try:
        stat = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    run_id = match[1]
    modified, size, files = 0.0, 0, list[tuple[str, int, int]]()
    if run_id in runs:
        modified, _, _, size, files = runs[run_id]
    files.append((entry.name, stat.st_dev, stat.st_ino))
    runs[run_id] = _Stored(max(modified, stat.st_mtime), job_name, run_id, size + stat.st_size, files)


def _doomed(
    stored: list[_Stored], keep: Collection[str], *, oldest: float, max_runs: int, max_bytes: int
) -> list[_Stored]:
    """Return what has to go. Runs in `keep` count, for their job and in the total, but stay."""
    total = sum(run.size for run in stored)
    newer: dict[str, int] = {}
    remaining, doomed = [], []
    for run in sorted(stored, key=attrgetter("modified"), reverse=True):
        newer[run.job_name] = newer.get(run.job_name, 0) + 1
        if run.run_id in keep:
            continue
        if run.modified < oldest or newer[run.job_name] > max_runs:
            doomed.append(run)
            total -= run.size
        else:
            remaining.append(run)
    for run in reversed(remaining):
        if total <= max_bytes:
            break
        doomed.append(run)
        total -= run.size
    return doomed


async def _held(files: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    found: set[tuple[int, int]] = set()
    if files:
        for of_one_process in held(files):
            found |= of_one_process
            await asyncio.sleep(0)
    return found
