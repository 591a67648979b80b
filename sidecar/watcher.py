"""Notice changes in the jobs directory. It only hints: which name to look at, never what is there."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import Literal

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)

from sidecar.model import PAUSE

TRIGGERS = "triggers"
SWAPPED = "..data"
"""The link that a Kubernetes ConfigMap mount renames into place; the files' own names see no event then."""

MOST_NAMES = 1000
"""Names that wait for the loop; beyond it one hint for everything costs less, and no more memory."""

STOP_SECONDS = 2.0

MASK = Mask(
    InotifyConstants.IN_CREATE
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MODIFY
    | InotifyConstants.IN_ATTRIB
    | InotifyConstants.IN_MOVE
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_MOVE_SELF
    | InotifyConstants.IN_ONLYDIR
)
"""Neither opening nor reading: our own look at a file must not make the next event (inotify(7))."""

RootState = Literal["same", "replaced", "dead"]


class HintKind(StrEnum):
    """What may have changed."""

    DEFINITION = "definition"
    REQUEST = "request"
    PAUSE = "pause"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class Hint:
    """Something may have changed: the file `name` in `jobs/` (definition) or `jobs/triggers/` (request).

    `pause` and `everything` name no file; `everything` includes all other kinds.
    """

    kind: HintKind
    name: str = ""


EVERYTHING = Hint(HintKind.EVERYTHING)


def root_state(directory: Path, known: os.stat_result) -> RootState:
    """Return whether `directory` still is the directory that `known` describes.

    `dead`: deleted, yet still there, as under a bind mount whose source was replaced; only a restart of the
    container mounts the new one. A directory that cannot be looked at, or is missing, counts as the same:
    nothing has taken its place yet. If a new directory has the old inode number, `Watcher.problem` tells.
    """
    try:
        status = os.stat(directory)
    except OSError:
        return "same"
    if status.st_nlink == 0 < known.st_nlink:  # some file systems count no links at all
        return "dead"
    return "same" if os.path.samestat(status, known) else "replaced"


class Watcher:
    """Tells `on_hint`, in the event loop's thread, which names in the jobs directory to look at.

    Hints may come too often or without need; they can also fail to come (network file systems, lost events),
    so that only a regular rescan makes sure. `mode` is `inotify` or `polling`; in the latter there are none.

    Uses watchdog's inotify reader without its observer on top: that one holds back a file moved away, and
    every event after it, for 0.5 s in hope of the move's other half, and does not tell when events were lost.
    """

    def __init__(self, jobs_dir: Path, on_hint: Callable[[Hint], None], *, mode: str) -> None:
        self._jobs_dir = jobs_dir
        self._on_hint = on_hint
        self._mode = mode
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watch: _Watch | None = None
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why not every change is announced though it should be; None in polling mode and when not started."""
        return self._problem if self._watch is None else self._watch.problem

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; call it before the first listing, so that nothing falls in between. Never raises OSError."""
        self._loop = loop
        if self._mode == "polling" or self._watch is not None:
            return
        mailbox = _Mailbox(loop, self._on_hint)
        try:
            self._watch = _Watch(self._jobs_dir, mailbox)
            self._problem = None
        except (OSError, RuntimeError) as error:  # RuntimeError: no thread to be had
            self._problem = _explain(self._jobs_dir, error)

    def stop(self) -> None:
        """End watching; no hint comes after it. Waits at most 2 s for the reader's thread."""
        if self._watch is not None:
            self._watch.close()
        self._watch = self._problem = None

    def rewatch(self) -> None:
        """Watch anew what lies at the path now, and hint at everything if that works.

        For a directory that was replaced, or to try again after a problem. Does nothing in polling mode.
        """
        if self._loop is None or self._mode == "polling":
            return
        self.stop()
        self.start(self._loop)
        if self._watch is not None and self._watch.problem is None:
            self._watch.mailbox.put(EVERYTHING)


class _Mailbox:
    """Collects hints from the reader's thread and wakes the loop once for all that came meanwhile."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_hint: Callable[[Hint], None]) -> None:
        self._loop = loop
        self._on_hint = on_hint
        self._lock = Lock()
        self._hints: dict[Hint, None] = {}
        self._closed = False

    def put(self, hint: Hint) -> None:
        """Add a hint, from any thread."""
        with self._lock:
            if self._closed or hint in self._hints or EVERYTHING in self._hints:
                return
            is_first = not self._hints
            if hint == EVERYTHING or len(self._hints) >= MOST_NAMES:
                self._hints = {EVERYTHING: None}
            else:
                self._hints[hint] = None
        if is_first:
            with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                self._loop.call_soon_threadsafe(self._deliver)

    def close(self) -> None:
        """Drop what waits and all that comes."""
        with self._lock:
            self._closed = True
            self._hints = {}

    def _deliver(self) -> None:
        with self._lock:
            hints, self._hints = self._hints, {}
        for hint in hints:
            self._on_hint(hint)


class _Watch:
    """One inotify instance over `jobs/` and `jobs/triggers/`; its reader's thread turns events into hints."""

    def __init__(self, jobs_dir: Path, mailbox: _Mailbox) -> None:
        """Raises OSError or RuntimeError: `jobs_dir` cannot be watched."""
        self.mailbox = mailbox
        self._lost: str | None = None
        self._triggers_problem: str | None = None
        self._triggers_watch: WatchDescriptor | None = None
        self._triggers_path = jobs_dir / TRIGGERS
        self._triggers_lock = Lock()
        self._root = _Directory(self._on_jobs, self._on_jobs_lost, self._on_overflow)
        self._triggers = _Directory(self._on_triggers, self._on_triggers_lost, self._on_overflow)
        self._reader = InotifyFD()
        self._reader.start()
        try:
            _add(self._reader, jobs_dir, self._root)
        except OSError:
            self.close()
            raise
        self._follow_triggers()

    @property
    def problem(self) -> str | None:
        """Why not every change is announced, or None."""
        if not self._reader.is_alive():
            return "the thread that reads inotify events has ended"
        return self._lost or self._triggers_problem

    def close(self) -> None:
        """Stop the reader and wait for its thread, 2 s at most."""
        self.mailbox.close()
        self._reader.stop()
        self._reader.join(STOP_SECONDS)

    def _on_jobs(self, event: InotifyEvent) -> None:
        name = os.fsdecode(event.name)
        if event.is_move_self:
            self._lost = "the jobs directory was moved away"
        if name == TRIGGERS:
            self._follow_triggers()
            self.mailbox.put(EVERYTHING)
        elif name.startswith(".") and name != SWAPPED:
            return
        elif name in ("", SWAPPED) or event.is_directory:
            self.mailbox.put(EVERYTHING)
        elif name == PAUSE:
            self.mailbox.put(Hint(HintKind.PAUSE))
        elif name.endswith(".json"):
            self.mailbox.put(Hint(HintKind.DEFINITION, name))

    def _on_triggers(self, event: InotifyEvent) -> None:
        name = os.fsdecode(event.name)
        if not name:
            self.mailbox.put(EVERYTHING)
        elif not name.startswith("."):
            self.mailbox.put(Hint(HintKind.REQUEST, name))

    def _on_jobs_lost(self, _: WatchDescriptor) -> None:
        self._lost = "the jobs directory was deleted or unmounted"
        self.mailbox.put(EVERYTHING)

    def _on_triggers_lost(self, watch: WatchDescriptor) -> None:
        with self._triggers_lock:
            if watch == self._triggers_watch:
                self._triggers_watch = None
        self.mailbox.put(EVERYTHING)

    def _on_overflow(self) -> None:
        # Among the lost events may be the coming or going of triggers/.
        self._follow_triggers()
        self.mailbox.put(EVERYTHING)

    def _follow_triggers(self) -> None:
        """Watch what lies at `jobs/triggers` now, and nothing that lay there before."""
        with self._triggers_lock:
            if self._triggers_watch is not None:
                self._reader.remove_callbacks([(self._triggers_watch, self._triggers.id)])
            self._triggers_watch = self._triggers_problem = None
            try:
                self._triggers_watch = _add(self._reader, self._triggers_path, self._triggers)
            except (FileNotFoundError, NotADirectoryError):
                pass  # its coming is an event in jobs/
            except OSError as error:
                self._triggers_problem = _explain(self._triggers_path, error)


class _Directory:
    """What watchdog calls for one watched directory (its `WatchCallback`)."""

    def __init__(
        self,
        on_event: Callable[[InotifyEvent], None],
        on_lost: Callable[[WatchDescriptor], None],
        on_overflow: Callable[[], None],
    ) -> None:
        self.id = CallbackId(id(self))
        self._on_event = on_event
        self._on_lost = on_lost
        self._on_overflow = on_overflow

    def on_event(self, event: InotifyEvent) -> None:
        """Something happened to the file `event.name`; without a name, to the directory itself."""
        self._on_event(event)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """The directory is gone."""
        self._on_lost(wd)

    def on_queue_overflow(self) -> None:
        """Events came faster than they were read; the kernel dropped some (fs.inotify.max_queued_events)."""
        self._on_overflow()


def _add(reader: InotifyFD, path: Path, directory: _Directory) -> WatchDescriptor:
    watch = reader.add_callback(os.fsencode(path), MASK, directory, directory.id)
    if watch < 0:  # watchdog says nothing about EACCES
        reader.remove_callbacks([(watch, directory.id)])
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return watch


def _explain(path: Path, error: OSError | RuntimeError) -> str:
    """Say why `path` is not watched."""
    why = str(error)
    if isinstance(error, OSError):
        limits = {errno.EMFILE: "max_user_instances", errno.ENOSPC: "max_user_watches"}
        limit = limits.get(error.errno or 0)
        why = f"{error.strerror}; raise fs.inotify.{limit} on the host" if limit else str(error.strerror)
    return f"cannot watch {path}: {why}"
