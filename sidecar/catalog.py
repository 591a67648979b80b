"""Keep the definitions in force: what the jobs directory says, but not what a save only passes through.

Valid content acts at once. Invalid content, two files with one name and removals must stand unchanged for the
time `settle` first; until then, and while a changed file is invalid, the last good version stays in force.
Pure bookkeeping over the loader: the caller says when to look, and passes the monotonic time.
"""

from __future__ import annotations

import os
import time
from bisect import insort
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import takewhile
from types import MappingProxyType

from sidecar.config import OF_THE_WORLD, ConfigLoader, digest, display_name, duplicate, is_definition, unlistable
from sidecar.errors import JobFileError, JobsDirectoryError, Problem
from sidecar.model import JobConfig

SETTLE_SECONDS = 0.5  # longer than the gap in an editor's save or between the writes of `cp`
# A kernel stamps files by its tick (up to 10 ms): a file this young when read may change again under the same
# fingerprint, so it is read once more (git calls such an entry racily clean).
YOUNG_SECONDS = 0.1
ANNOUNCED_WITHIN_SECONDS = 2  # later than this an event is not late but lost

Fingerprint = tuple[int, int, int, int]


class ChangeKind(StrEnum):
    """What happened: the first three to a job, the others to a file."""

    REGISTERED = "registered"
    UPDATED = "updated"
    REMOVED = "removed"
    CONFIG_ERROR = "config_error"
    CONFIG_RECOVERED = "config_recovered"


@dataclass(frozen=True, slots=True)
class Definition:
    """A valid definition: the file it came from, the sha256 (hex) of that file's bytes, and what they say."""

    file: str
    sha256: str
    config: JobConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that a look found. `definition` is in force from now on, None if there is none any more.

    An `updated` job whose definition has the sha256 that it had before only moved to another file. `problems` are
    those of a `config_error`; `kept_last_good`: the file's last good version stays in force meanwhile.
    """

    kind: ChangeKind
    file: str
    job_name: str | None = None
    definition: Definition | None = None
    problems: tuple[Problem, ...] = ()
    kept_last_good: bool = False


class State(StrEnum):
    """What a file was when it was last looked at."""

    GOOD = "good"
    BAD = "bad"
    GONE = "gone"


@dataclass(slots=True)
class File:
    """What is known of one file.

    `fingerprint` is that of the content last read, None if it must be read again on the next occasion.
    `sha256` is None if it could not be read. `good` is its last valid content, also while it is invalid or
    gone. `problems` are its own, or that its job is already another file's. `unready` is what it would define if
    there were what it needs, `named` the job that its content names although that is invalid.
    """

    state: State = State.GONE
    fingerprint: Fingerprint | None = None
    sha256: str | None = None
    good: Definition | None = None
    unready: Definition | None = None
    named: str | None = None
    problems: tuple[Problem, ...] = ()


class Catalog:
    """The definitions in force (`jobs`, by job name) and what is wrong with which file (`errors`).

    `unannounced` holds the files whose change the last rescan found although it was more than two seconds old
    and neither hinted at nor already under observation: hints get lost. It means nothing after a rescan for a
    hint that names no file. `wall` returns the wall clock's seconds, which files are stamped with.
    """

    def __init__(self, loader: ConfigLoader, *, wall: Callable[[], float] = time.time) -> None:
        self._loader = loader
        self._directory = loader.jobs_directory
        self._wall = wall
        self._files: dict[str, File] = {}
        self._holders: dict[str, list[str]] = {}  # job name -> files that now hold it, in order
        self._jobs: dict[str, Definition] = {}
        self._errors: dict[str, list[Problem]] = {}
        # Since when; in this order, as the time only grows.
        self._unsettled: dict[str, float] = {}  # files that are gone or whose problems are not visible yet
        self._lingering: dict[str, float] = {}  # jobs in force that no file stands for any more
        self._settle = SETTLE_SECONDS
        self._scanned = False
        self._examined: set[str] = set()
        self._touched: dict[str, None] = {}  # names of jobs to decide again, in order
        self._changes: list[Change] = []
        self.unannounced: frozenset[str] = frozenset()
        self.jobs: Mapping[str, Definition] = MappingProxyType(self._jobs)
        self.errors: Mapping[str, list[Problem]] = MappingProxyType(self._errors)

    def rescan(self, now: float, *, settle: float = SETTLE_SECONDS, hinted: Collection[str] = ()) -> list[Change]:
        """Compare the whole directory with what is known and return what changed.

        Files with another fingerprint and those of `hinted` are read. Raises JobsDirectoryError if the
        directory cannot be listed; nothing has changed then.
        """
        self.unannounced = frozenset()
        listed, listed_at = self._list(now)
        self._settle = settle
        files = self._to_examine(listed, hinted)
        if self._scanned:
            watched = {*hinted, *self._unsettled}
            rewritten = [file for file in files if self._is_rewritten_long_ago(file, listed.get(file), listed_at, now)]
            self.unannounced = frozenset(rewritten) - watched
        else:
            self._scanned = True
            for file in files:
                self._examine(file, now)
        return self._conclude(now)

    def look(self, files: Collection[str], now: float, *, settle: float = SETTLE_SECONDS) -> list[Change]:
        """Read only `files` again, and what is due by now (see `due_again`); return what changed.

        Raises JobsDirectoryError if the directory cannot be listed; nothing has changed then.
        """
        os.close(self._open(now))
        self._settle = settle
        for file in sorted({file for file in files if is_definition(file)}):
            self._examine(file, now)
        for file in self._to_confirm(now):
            if file not in self._examined and self._is_changed(file):
                self._examine(file, now)
        return self._conclude(now)

    def due_again(self) -> float | None:
        """Return the monotonic time of the next `look` (at no file will do), None if all is settled."""
        started = [next(iter(timers.values())) for timers in (self._unsettled, self._lingering) if timers]
        return min(started) + self._settle if started else None

    def unready(self) -> dict[str, Definition]:
        """Return, by sha256, the definitions of files that lack only what is outside of them."""
        found = (known.unready for known in self._files.values() if known.state is State.BAD)
        return {definition.sha256: definition for definition in found if definition is not None}

    def is_kept(self, file: str) -> bool:
        """Return whether `file` is invalid now and its last good version is in force."""
        known = self._files.get(file)
        if known is None or known.state is not State.BAD or known.good is None:
            return False
        return self._jobs.get(known.good.config.name) is known.good

    def _open(self, now: float) -> int:
        try:
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            self._wait_on(now)
            raise unlistable(self._directory, error) from error
        if os.fstat(descriptor).st_nlink == 0:
            # Replaced below a mount: what is left is an empty directory that nobody can ever write to.
            os.close(descriptor)
            self._wait_on(now)
            raise JobsDirectoryError(f"the jobs directory {self._directory} was deleted")
        return descriptor

    def _wait_on(self, now: float) -> None:
        """Let nothing settle that could not be looked at."""
        self._unsettled = dict.fromkeys(self._unsettled, now)
        self._lingering = dict.fromkeys(self._lingering, now)

    def _list(self, now: float) -> tuple[dict[str, Fingerprint | None], float]:
        """Return each definition's fingerprint, and when (wall clock) the directory itself last changed."""
        listed: dict[str, Fingerprint | None] = {}
        descriptor = self._open(now)
        try:
            changed_at = os.fstat(descriptor).st_mtime
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    name = entry.name
                    if is_definition(name):
                        listed[name] = _fingerprint_of(entry)
        except OSError as error:
            self._wait_on(now)
            raise unlistable(self._directory, error) from error
        finally:
            os.close(descriptor)
        return listed, changed_at

    def _is_rewritten_long_ago(self, file: str, fingerprint: Fingerprint | None, listed_at: float, now: float) -> bool:
        """Examine a file; return whether it has other content, and so long that an event should have told."""
        known = self._files.get(file)
        before = None if known is None else replace(known)
        self._examine(file, now)
        changed_at = fingerprint[3] / 1e9 if fingerprint else listed_at
        is_old = self._wall() - changed_at > ANNOUNCED_WITHIN_SECONDS
        return is_old and _is_rewritten(before, self._files.get(file), fingerprint)

    def _to_examine(self, listed: dict[str, Fingerprint | None], hinted: Collection[str]) -> list[str]:
        files = {file for file in hinted if is_definition(file)}
        known = self._files
        for file, fingerprint in listed.items():
            if file not in known or fingerprint is None or known[file].fingerprint != fingerprint:
                files.add(file)
        files.update(known.keys() - listed.keys())
        return sorted(files)

    def _to_confirm(self, now: float) -> list[str]:
        """Return the files to look at before what is due by now settles; for a duplicate name, both."""
        files = self._due(self._unsettled, now)
        names = self._due(self._lingering, now)
        for file in files:
            known = self._files[file]
            if known.state is State.GOOD and known.good is not None:
                names.append(known.good.config.name)
        return [*files, *(self._jobs[name].file for name in names if name in self._jobs)]

    def _is_changed(self, file: str) -> bool:
        known = self._files.get(file)
        if known is None or known.fingerprint is None:
            return True
        try:
            return _fingerprint(os.stat(self._loader.path_of(file))) != known.fingerprint
        except OSError:
            return True

    def _examine(self, file: str, now: float) -> None:
        """Read one file and note what it is now; `_conclude` decides what follows from that."""
        self._examined.add(file)
        known = self._files.get(file)
        try:
            data, status = self._loader.read(file)
        except JobFileError as error:
            if os.path.lexists(self._loader.path_of(file)):
                known = known or self._files.setdefault(file, File())
                known.unready = known.named = None
                self._note_bad(file, known, None, error.problems, now)
            elif known is not None and known.state is not State.GONE:
                self._note_gone(file, known, now)
            return
        if known is None:
            known = self._files[file] = File()
        sha256 = digest(data)
        if known.sha256 != sha256 or _depends_on_world(known.problems):
            try:
                config = self._loader.parse(file, data)
            except JobFileError as error:
                known.unready = Definition(file, sha256, error.unready) if error.unready else None
                known.named = error.job_name
                self._note_bad(file, known, sha256, error.problems, now)
            else:
                self._note_good(file, known, Definition(file, sha256, config))
        is_young = abs(self._wall() - status.st_ctime) < YOUNG_SECONDS
        read_again = is_young or _depends_on_world(known.problems)
        known.fingerprint = None if read_again else _fingerprint(status)

    def _note_good(self, file: str, known: File, good: Definition) -> None:
        self._let_go(file, known)
        known.state, known.sha256, known.problems = State.GOOD, good.sha256, ()
        known.good = good
        insort(self._holders.setdefault(good.config.name, []), file)
        self._touched[good.config.name] = None
        self._unsettled.pop(file, None)

    def _note_bad(self, file: str, known: File, sha256: str | None, problems: Sequence[Problem], now: float) -> None:
        if known.state is not State.BAD:
            self._let_go(file, known)
        if known.state is not State.BAD or known.sha256 != sha256:
            self._unsettled.pop(file, None)  # other content: its time begins now
        known.state, known.sha256, known.fingerprint = State.BAD, sha256, None
        self._show_later(file, known, problems, now)

    def _note_gone(self, file: str, known: File, now: float) -> None:
        self._let_go(file, known)
        known.state, known.sha256, known.fingerprint = State.GONE, None, None
        self._unsettled.pop(file, None)
        self._unsettled[file] = now

    def _let_go(self, file: str, known: File) -> None:
        """Take a file's claim away from its job, which will be decided again."""
        if known.good is None:
            return
        name = known.good.config.name
        self._touched[name] = None
        if known.state is State.GOOD:
            self._holders[name].remove(file)
            if not self._holders[name]:
                del self._holders[name]

    def _show_later(self, file: str, known: File, problems: Sequence[Problem], now: float) -> None:
        """Make problems visible once they stood; nothing is due for those that are visible already."""
        if tuple(problems) != known.problems:
            known.problems = tuple(problems)
            self._unsettled.pop(file, None)
        if list(known.problems) != self._errors.get(display_name(file)):
            self._unsettled.setdefault(file, now)

    def _conclude(self, now: float) -> list[Change]:
        """Decide which definition of each touched job is in force, and let settle what stood long enough."""
        for name in self._touched:
            self._decide(name, now)
        for name in self._due(self._lingering, now):
            self._decide(name, now, may_linger=False)
        for file in self._due(self._unsettled, now):
            self._settle_file(file)
        changes, self._changes = self._changes, []
        self._touched.clear()
        self._examined.clear()
        return changes

    def _decide(self, name: str, now: float, *, may_linger: bool = True) -> None:
        """Put in force what the first file in file-name order says of those that claim this job."""
        current = self._jobs.get(name)
        holders = self._holders.get(name, [])
        kept = current is not None and self._outlives_its_file(current)
        if current is not None and not kept and may_linger and self._lingers(current, holders):
            self._lingering.setdefault(name, now)
            return
        self._lingering.pop(name, None)
        claimants = sorted([current.file, *holders]) if current is not None and kept else holders
        if claimants:
            self._put_in_force(name, claimants[0], current)
            self._refuse_others(name, claimants[0], current, now)
        elif current is not None:
            del self._jobs[name]
            self._report(ChangeKind.REMOVED, current.file, name)

    def _lingers(self, current: Definition, holders: Sequence[str]) -> bool:
        """Return whether a job whose file stands for it no more may yet turn out to be there.

        A file long known as the second of its name takes over only when the first is surely gone. Any other
        may be the first one under its new name: it takes over at once, so that a rename is one change.
        """
        return current.file not in holders and all(self._is_known_duplicate(file) for file in holders)

    def _put_in_force(self, name: str, file: str, current: Definition | None) -> None:
        known = self._files[file]
        definition = known.good
        assert definition is not None  # or the file could not claim a job
        self._jobs[name] = definition
        if current is None:
            self._report(ChangeKind.REGISTERED, file, name, definition=definition)
        elif (file, definition.sha256) != (current.file, current.sha256):
            self._report(ChangeKind.UPDATED, file, name, definition=definition)
        if known.state is State.GOOD:
            known.problems = ()
            self._unsettled.pop(file, None)
            self._forget_error(file, name)

    def _refuse_others(self, name: str, winner: str, current: Definition | None, now: float) -> None:
        """Give all files but `winner` that hold a job's name the problem that it is not theirs."""
        holders = self._holders.get(name, [])
        if current is not None and current.file == winner:
            holders = [file for file in holders if file in self._examined]  # the others have it already
        for file in holders:
            if file != winner:
                self._show_later(file, self._files[file], [duplicate(name, winner)], now)

    def _outlives_its_file(self, definition: Definition) -> bool:
        """Return whether `definition` is the last good version of a file that is invalid now."""
        known = self._files.get(definition.file)
        return known is not None and known.state is State.BAD and known.good is definition

    def _is_known_duplicate(self, file: str) -> bool:
        problems = self._files[file].problems
        return bool(problems) and self._errors.get(display_name(file)) == list(problems)

    def _settle_file(self, file: str) -> None:
        """Let what a file has been for long enough show: it is gone, or these are its problems."""
        del self._unsettled[file]
        known = self._files[file]
        name = known.good.config.name if known.good else known.named
        if known.state is State.GONE:
            del self._files[file]
            self._forget_error(file, name)
            return
        kept = self.is_kept(file)
        self._errors[display_name(file)] = list(known.problems)
        self._report(
            ChangeKind.CONFIG_ERROR,
            file,
            name if kept or known.state is State.GOOD else known.named,
            problems=known.problems,
            kept_last_good=kept,
        )

    def _forget_error(self, file: str, name: str | None) -> None:
        if self._errors.pop(display_name(file), None) is not None:
            self._report(ChangeKind.CONFIG_RECOVERED, file, name)

    def _report(
        self,
        kind: ChangeKind,
        file: str,
        job_name: str | None,
        *,
        definition: Definition | None = None,
        problems: tuple[Problem, ...] = (),
        kept_last_good: bool = False,
    ) -> None:
        self._changes.append(
            Change(
                kind=kind,
                file=display_name(file),
                job_name=job_name,
                definition=definition,
                problems=problems,
                kept_last_good=kept_last_good,
            )
        )

    def _due(self, timers: Mapping[str, float], now: float) -> list[str]:
        """Return what has stood long enough; the timers are in the order in which they began."""
        return list(takewhile(lambda key: timers[key] + self._settle <= now, timers))


def _fingerprint(status: os.stat_result) -> Fingerprint:
    return status.st_ino, status.st_mtime_ns, status.st_size, status.st_ctime_ns


def _fingerprint_of(entry: os.DirEntry[str]) -> Fingerprint | None:
    """Return the fingerprint of what `entry` is or leads to, None if that cannot be said."""
    try:
        return _fingerprint(entry.stat())
    except OSError:
        return None


def _depends_on_world(problems: Sequence[Problem]) -> bool:
    return bool(problems) and any(problem.field in OF_THE_WORLD for problem in problems)


def _is_rewritten(before: File | None, after: File | None, fingerprint: Fingerprint | None) -> bool:
    """Return whether a file has other content now by something that watching it should have shown.

    A changed mode or owner is no such thing: it is not watched for. `fingerprint` is the present one.
    """
    if before is None or after is None:
        return before is not after
    if before.sha256 in (None, after.sha256):  # None: it could not be read, and may be what it was
        return False
    return not (before.fingerprint and fingerprint and before.fingerprint[:3] == fingerprint[:3])
