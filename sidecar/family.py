"""The children of this process: the shells that it started, and what their runs left behind.

This process adopts what its runs leave behind (PR_SET_CHILD_SUBREAPER in prctl(2)), so that a look at its own
children tells whether a run left anything.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sidecar import members, proc
from sidecar.proc import Stat

UNCLAIMED_SECONDS = 60.0
"""A dead child of unknown origin is left this long to whoever may have started it, then reaped."""

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class _Orphan(NamedTuple):
    run_id: str
    session: int
    start: int


class Family:
    """The children of this process: the shells that it started and the orphans that it adopted.

    Other code here may have children of its own, which are not ours to reap. A child counts as adopted only
    if its session or its environment says which run it is from or, dead and in a foreign session, if nobody
    waited for it for a minute.
    """

    def __init__(self) -> None:
        self._shells: dict[int, str] = {}
        self._orphans: dict[int, _Orphan] = {}
        self._unclaimed: dict[int, float] = {}
        self._children = -1
        self._adopts = False
        self._shell_names: set[bytes] = set()  # the same pids, as the kernel lists them
        self._unsettled = False

    def adopt_orphans(self) -> None:
        """Become the parent of what runs leave behind, and able to list it.

        Where the kernel lacks either, `left_by` searches all of /proc instead.
        """
        if self._children >= 0:
            return
        libc = ctypes.CDLL(None)
        if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            return
        # Adopted processes become children of the main thread, and so are those that it starts itself.
        with contextlib.suppress(OSError):
            path = f"/proc/self/task/{os.getpid()}/children"
            self._children = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._adopts = True

    def add(self, shell: int, run_id: str) -> None:
        """Note a shell that was just started, so that it is never taken for an orphan."""
        self._shells[shell] = run_id
        self._shell_names.add(b"%d" % shell)

    def remove(self, shell: int) -> None:
        """Forget a shell that was reaped."""
        del self._shells[shell]
        self._shell_names.discard(b"%d" % shell)

    def give_up(self, shell: int) -> None:
        """Treat a shell that could not be killed as an orphan: it is reaped when it dies at last."""
        run_id = self._shells[shell]
        self.remove(shell)
        stat = proc.read_stat(shell)
        if stat is not None:
            self.claim(run_id, [stat])

    def claim(self, run_id: str, processes: Iterable[Stat]) -> None:
        """Note processes that are known to be a run's: should they be left to this process, it may reap them."""
        for process in processes:
            if process.pid not in self._shells:
                self._orphans[process.pid] = _Orphan(run_id, process.session, process.start)

    def search(
        self, run_id: str, *, session: int | None = None, known: Mapping[int, int] | None = None
    ) -> tuple[dict[int, Stat], bool]:
        """Return what `members.find` does, which here can tell every shell."""
        return members.find(run_id, session=session, known=known or {}, shells=self._shells)

    def left_by(self, shell: int) -> int | None:
        """Return how many processes of the shell's run live on, None if that cannot be told at the moment.

        Call it when the shell is dead and not yet reaped: its children are adopted then, and its pid, which
        names the session, cannot be another's.
        """
        run_id = self._shells[shell]
        known: dict[int, int] = {}
        if self._adopts:
            if not self._meet_orphans():
                return 0
            known = {pid: orphan.start for pid, orphan in self._orphans.items() if orphan.run_id == run_id}
            if self._unsettled:
                return None
            if not known:
                return 0
        found, unsettled = self.search(run_id, session=shell, known=known)
        return None if unsettled and not self._adopts else len(found)

    def has_only_shells(self) -> bool:
        """Return whether this process has no children but shells, so that those that are dead by now left nothing.

        One look tells it of a thousand shells that ended together, where `left_by` would list all children for each.
        """
        return self._adopts and not self._meet_orphans()

    def reap_orphans(self) -> None:
        """Reap adopted processes that have died, as `left_by` does too. Cheap."""
        if self._adopts:
            self._meet_orphans()

    def _meet_orphans(self) -> bool:
        """Find out about children that are no shells, reap the dead ones; return whether there were any."""
        listed = self._list_children()
        others = {int(pid) for pid in listed.split() if pid not in self._shell_names}
        if not others:
            self._orphans.clear()
            self._unclaimed.clear()
            return False
        # What is no child any more was reaped, and its pid may be anybody's.
        self._orphans = {pid: orphan for pid, orphan in self._orphans.items() if pid in others}
        self._unclaimed = {pid: since for pid, since in self._unclaimed.items() if pid in others}
        self._unsettled = False
        own_session = os.getsid(0)
        for pid in others:
            stat = proc.read_stat(pid)
            if stat is not None and stat.session != own_session:
                self._meet(stat)
        return True

    def _meet(self, child: Stat) -> None:
        known = self._orphans.get(child.pid)
        if known is None or known.start != child.start:
            self._orphans.pop(child.pid, None)
            run_id = self._run_of(child)
            if run_id == "":
                self._unsettled = True
            elif run_id is not None:
                self._orphans[child.pid] = _Orphan(run_id, child.session, child.start)
        if not child.living and (child.pid in self._orphans or self._is_unclaimed(child.pid)):
            self._reap(child.pid)

    def _run_of(self, child: Stat) -> str | None:
        """Return the run that a child came from, None if nothing tells, "" if nothing tells at the moment."""
        if child.session in self._shells:
            return self._shells[child.session]
        for orphan in self._orphans.values():
            if orphan.session == child.session:
                return orphan.run_id
        run_id = proc.run_id_of(child)
        # If this scheduler itself runs as somebody's job, whatever it starts carries that job's id.
        return None if run_id == os.environ.get(proc.RUN_ID_VARIABLE) else run_id

    def _is_unclaimed(self, pid: int) -> bool:
        now = time.monotonic()
        return now - self._unclaimed.setdefault(pid, now) > UNCLAIMED_SECONDS

    def _reap(self, pid: int) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        self._orphans.pop(pid, None)
        self._unclaimed.pop(pid, None)

    def _list_children(self) -> bytes:
        listed = b""
        while piece := os.pread(self._children, 65536, len(listed)):
            listed += piece
        return listed


FAMILY = Family()
"""One for the whole process, as its children are: two would take each other's shells for orphans."""
