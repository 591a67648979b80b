"""End all processes of a run, however they try to get away: first asked, then killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from sidecar import proc
from sidecar.family import FAMILY
from sidecar.proc import Stat

KILL_SECONDS = 5.0
"""How long after SIGKILL a process may take to go; what is left then is stuck in the kernel."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.002, 0.05
"""Between two looks at whether a tree is gone."""

MOST_DOUBTS = 10
"""A tree is gone after so many searches that found nobody but could not tell of some process, a stranger's maybe."""

RESCAN_SECONDS = 0.25
"""Between two searches of /proc for new members of a tree that is being ended."""


async def end_tree(run_id: str, grace_seconds: float, *, session: int | None = None) -> int:
    """End every process of a run: SIGTERM, then SIGKILL; return how many live on 5 s after SIGKILL.

    `session` as for `members.find`. What the tree starts meanwhile gets the same signal. Cancelled, it sends
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
        self._members, in_doubt = FAMILY.search(self._run_id, session=self._session, known=known)
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
