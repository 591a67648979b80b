"""Which processes belong to a run, and how to end them.

A process belongs to a run if it is in the session of the run's shell, carries the run's `JOB_RUN_ID` in its
environment, or descends from one that does. This process adopts what its runs leave behind
(PR_SET_CHILD_SUBREAPER in prctl(2)), so that a look at its own children tells whether a run left anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from sidecar import proc
from sidecar.proc import Stat

KILL_SECONDS = 5.0
"""How long after SIGKILL a process may take to go; what is left then is stuck in the kernel."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.002, 0.05
"""Between two looks at whether a tree is gone."""

MOST_DOUBTS = 10
"""A tree is gone after so many searches that found nobody but could not tell of some process, a stranger's maybe."""

RESCAN_SECONDS = 0.25
"""Between two searches of /proc for new members of a tree that is being ended."""

UNCLAIMED_SECONDS = 60.0
"""A dead child of unknown origin is left this long to whoever may have started it, then reaped."""

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def members(run_id: str, *, session: int | None = None, known: Mapping[int, int] | None = None) -> dict[int, Stat]:
    """Return the living processes of a run by pid: never this process, never pid 1.

    `session` is the pid of the run's shell where that is certain: while it is an unreaped child of ours, its
    pid cannot be another's. `known` are members found before, pid to start. Costs about 30 µs for each process
    there is. Raises OSError if /proc cannot be read for want of descriptors or memory.
    """
    return _search(run_id, session, known or {})[0]


def _search(run_id: str, session: int | None, known: Mapping[int, int]) -> tuple[dict[int, Stat], bool]:
    """Return `members`, and whether there may be more: some process cannot be told from one at the moment."""
    processes = {stat.pid: stat for stat in proc.all_processes()}
    strangers = {0, os.getsid(0), *(stat.session for stat in processes.values() if stat.pid == 1)}
    itself = {1, os.getpid()}
    found, unsettled = set(), set()
    for pid, stat in processes.items():
        if pid in itself:
            continue
        if stat.session == session or known.get(pid) == stat.start:
            found.add(pid)
            continue
        carried = proc.run_id_of(stat)
        if carried == run_id:
            found.add(pid)
        elif carried == "" and not FAMILY.is_shell(pid):
            unsettled.add(pid)
    # A session that one of them leads or joined began in the run, as every shell starts in a new one.
    sessions = {processes[pid].session for pid in found} - strangers
    found |= {pid for pid, stat in processes.items() if stat.session in sessions}
    found = _with_descendants(found, processes, itself)
    return {pid: processes[pid] for pid in found if processes[pid].living}, not unsettled <= found


async def end_tree(run_id: str, grace_seconds: float, *, session: int | None = None) -> int:
    """End every process of a run: SIGTERM, then SIGKILL; return how many live on 5 s after SIGKILL.

    `session` as for `members`. What the tree starts meanwhile gets the same signal. Cancelled, it sends
    SIGKILL to what is left and does not wait.
    """
    tree = _Tree(run_id, session)
    try:
        if await _gone_within(tree, grace_seconds, signal.SIGTERM):
            return 0
        if await _gone_within(tree, KILL_SECONDS, signal.SIGKILL):
            return 0
        return max(1, tree.count)  # also if nobody could look: better one too many, which keeps the output files
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            tree.find()
        tree.send(signal.SIGKILL)
        raise
    finally:
        FAMILY.claim(run_id, tree.seen.values())


async def _gone_within(tree: _Tree, seconds: float, number: signal.Signals) -> bool:
    clock = asyncio.get_running_loop().time
    deadline, pause, find_at = clock() + seconds, FIRST_PAUSE_SECONDS, 0.0
    while True:
        # Only a fresh search may say that nothing is left: the last known member may have forked and gone.
        # A search that fails (no descriptor is free) says nothing; the group can be signalled all the same.
        with contextlib.suppress(OSError):
            if clock() >= find_at or not tree.lives():
                began = clock()
                tree.find()
                find_at = clock() + max(RESCAN_SECONDS, 50 * (clock() - began))
                if tree.is_gone:
                    return True
        tree.send(number)
        if clock() >= deadline:
            return False
        await asyncio.sleep(max(0.0, min(pause, deadline - clock())))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


class _Tree:
    """The members of one run that were alive at the last look, and what was sent to each.

    `seen` are all that there ever were.
    """

    def __init__(self, run_id: str, session: int | None) -> None:
        self.seen: dict[int, Stat] = {}
        self._run_id = run_id
        self._session = session
        self._members: dict[int, Stat] = {}
        self._doubts = 0
        self._sent: set[tuple[int, int, int]] = set()

    @property
    def is_gone(self) -> bool:
        """Whether the last searches found nobody, and nobody who may still turn out to be one."""
        return not self._members and not 0 < self._doubts <= MOST_DOUBTS

    @property
    def count(self) -> int:
        return len(self._members)

    def find(self) -> None:
        """Search for the members anew."""
        known = {stat.pid: stat.start for stat in self._members.values()}
        self._members, in_doubt = _search(self._run_id, self._session, known)
        self._doubts = self._doubts + 1 if in_doubt and not self._members else 0
        self.seen.update(self._members)

    def lives(self) -> bool:
        """Forget the known members that are gone; return whether any is left."""
        now = {pid: proc.read_stat(pid) for pid in self._members}
        self._members = {
            pid: stat
            for pid, stat in now.items()
            if stat is not None and stat.living and stat.start == self._members[pid].start
        }
        return bool(self._members)

    def send(self, number: signal.Signals) -> None:
        """Send the signal to each member, SIGTERM only once; SIGKILL also to the shell's group as a whole."""
        if number is signal.SIGKILL and self._session is not None:
            # A process that forks all the time would stay ahead of any list; the group is hit as one.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._session, number)
        # Parents first: a shell that waits for a child must not see its end before its own signal.
        for stat in sorted(self._members.values(), key=lambda stat: (stat.start, stat.pid)):
            key = (stat.pid, stat.start, number)
            if number is not signal.SIGKILL and key in self._sent:
                continue
            with contextlib.suppress(OSError):  # no descriptor is free to look with; the next round tries again
                _send(stat, number)
                self._sent.add(key)


def _send(member: Stat, number: signal.Signals) -> None:
    """Signal exactly that process. The descriptor holds the pid while the start time is compared.

    Raises OSError if it was not signalled: it is gone, or no descriptor is free.
    """
    descriptor = os.pidfd_open(member.pid)
    try:
        now = proc.read_stat(member.pid)
        if now is None or now.start != member.start:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(descriptor, number)
            if now.state == "T":  # a stopped process would see SIGTERM only when somebody continues it
                signal.pidfd_send_signal(descriptor, signal.SIGCONT)
    finally:
        os.close(descriptor)


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

    def is_shell(self, pid: int) -> bool:
        """Return whether this is a shell that was started here and is not reaped yet."""
        return pid in self._shells

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

    def claim(self, run_id: str, members: Iterable[Stat]) -> None:
        """Note processes that are known to be a run's: should they be left to this process, it may reap them."""
        for member in members:
            if member.pid not in self._shells:
                self._orphans[member.pid] = _Orphan(run_id, member.session, member.start)

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
        found, unsettled = _search(run_id, shell, known)
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


def _with_descendants(found: set[int], processes: Mapping[int, Stat], barred: Collection[int]) -> set[int]:
    children: dict[int, list[int]] = {}
    for stat in processes.values():
        children.setdefault(stat.parent, []).append(stat.pid)
    reached, queue = set(found), list(found)
    while queue:
        for child in children.get(queue.pop(), ()):
            if child not in reached and child not in barred:
                reached.add(child)
                queue.append(child)
    return reached
