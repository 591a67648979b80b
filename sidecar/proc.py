"""What /proc says of processes: images have no ps. Facts only; whose process it is, others decide."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection, Iterator
from typing import NamedTuple

RUN_ID_VARIABLE = "JOB_RUN_ID"
PF_KTHREAD = 0x00200000  # linux/sched.h


class Stat(NamedTuple):
    """One process as /proc/PID/stat shows it. `start` (clock ticks after boot) tells it from a later one.

    It is not `settled` in the middle of execve(2) and of its exit, when it has no environment.
    """

    pid: int
    state: str
    parent: int
    session: int
    threads: int
    start: int
    settled: bool = True

    @property
    def living(self) -> bool:
        """Whether it still runs. A leader whose other threads go on looks like a zombie, but is none."""
        return self.state not in "ZX" or self.threads > 1


def read_stat(pid: int) -> Stat | None:
    """Return what /proc says of a process, None if there is none or it may not be seen."""
    data = _read(f"/proc/{pid}/stat")
    # The command's name stands in parentheses and may hold anything, also spaces and parentheses.
    fields = data[data.rfind(b")") + 2 :].split()
    if len(fields) < 20:
        return None
    return Stat(
        pid=pid,
        state=fields[0].decode(),
        parent=int(fields[1]),
        session=int(fields[3]),
        threads=int(fields[17]),
        start=int(fields[19]),
        settled=fields[48:49] != [b"0"] or bool(int(fields[6]) & PF_KTHREAD),
    )


def run_id_of(process: Stat) -> str | None:
    """Return the run id in a process's environment; None for a zombie, which has none, and for strangers.

    Returns "" where that cannot be told at the moment: the process is in the middle of execve(2). The `setsid sleep`
    that a shell leaves behind is in its second execve just when the shell ends, so this is not rare.
    """
    if not process.living:
        return None
    data = b""
    # Empty and settled: it has no environment, or the execve(2) ended between the two looks. The second read tells.
    for _ in range(2):
        try:
            data = _contents(f"/proc/{process.pid}/environ")
        except OSError as error:
            _raise_if_exhausted(error)
            return None
        if data:
            break
        now = read_stat(process.pid)
        if now is None or not now.living:
            return None
        if not now.settled:
            return ""
    prefix = b"%s=" % RUN_ID_VARIABLE.encode()
    for entry in data.split(b"\0"):
        if entry.startswith(prefix):
            return entry[len(prefix) :].decode("utf-8", "surrogateescape")
    return None


def all_processes() -> Iterator[Stat]:
    """Yield all that may be seen. Raises OSError if /proc cannot be read for want of descriptors or memory."""
    for name in os.listdir("/proc"):
        if name.isdecimal():
            stat = read_stat(int(name))
            if stat is not None:
                yield stat


def held(files: Collection[tuple[int, int]]) -> Iterator[set[tuple[int, int]]]:
    """Yield, process by process, which of the files, (device, inode) each, it has open.

    An iterator so that the caller can pause between processes. Those of other users cannot be looked into.
    """
    for stat in all_processes():
        found: set[tuple[int, int]] = set()
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(f"/proc/{stat.pid}/fd"):
                with contextlib.suppress(OSError):
                    there = os.stat(f"/proc/{stat.pid}/fd/{descriptor}")
                    found.add((there.st_dev, there.st_ino))
        yield found.intersection(files)


def _read(path: str) -> bytes:
    """Return a /proc file's content, nothing if the process is gone or not ours to look at.

    Raises OSError where it may well be there: no descriptor or memory is free.
    """
    try:
        return _contents(path)
    except OSError as error:
        _raise_if_exhausted(error)
        return b""


def _raise_if_exhausted(error: OSError) -> None:
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        raise error


def _contents(path: str) -> bytes:
    data = b""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while piece := os.read(descriptor, 65536):
            data += piece
    finally:
        os.close(descriptor)
    return data
