"""Run commands in this container: a shell a run, in a session of its own, its end told by a pidfd."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import select
import signal
import subprocess
from types import FrameType

from sidecar.errors import StartError
from sidecar.family import FAMILY
from sidecar.targets import Exit, Launch
from sidecar.tree import end_tree

SHELL = "/bin/sh"

LONGEST_ARGUMENT_BYTES = 32 * 4096 - 1
"""MAX_ARG_STRLEN in execve(2), less the final NUL."""

LOOKS, LOOK_PAUSE_SECONDS = 8, 0.002
"""How often and how soon again to look for what a shell left behind, while that cannot be told."""

INHERITED = signal.valid_signals() - {signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ}
"""Signals that stay ignored in a command if they are here; what Python itself ignores, Popen sets right."""

EXHAUSTED = {
    errno.EAGAIN: "no more processes can be started here (the container's pids limit, or ulimit -u)",
    errno.ENOMEM: "there is not enough memory to start a process",
    errno.EMFILE: "this scheduler has too many files open (ulimit -n)",
    errno.ENFILE: "this machine has too many files open (fs.file-max)",
}


def _ignore(number: int, frame: FrameType | None) -> None:
    """Ignore a signal as SIG_IGN does, which a shell's `&` leaves to what it starts, but not in what we start."""


class LocalTarget:
    """Starts commands as children of this process. Its event loop should run in the main thread."""

    def __init__(self, shell: str = SHELL) -> None:
        self._shell = shell
        self._ends = _Ends()
        self._nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            # Inherited from a careless parent, it would make the kernel drop every exit status (wait(2)).
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in INHERITED:
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, _ignore)
        FAMILY.adopt_orphans()

    async def start(self, launch: Launch) -> LocalProcess:
        """Start the command. Raises StartError: there is no process."""
        return self._start(launch)

    async def end_run(self, run_id: str, grace_seconds: float) -> int:
        """End what still lives of a run of an earlier scheduler; return how many processes could not be."""
        living = await end_tree(run_id, grace_seconds)
        with contextlib.suppress(OSError):  # no descriptor is free to look with; the heartbeat reaps them
            FAMILY.reap_orphans()
        return living

    def _start(self, launch: Launch) -> LocalProcess:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            # No preexec_fn: with one, Popen would fork, which copies our page tables, and not vfork.
            popen = subprocess.Popen(
                [self._shell, "-c", launch.command],
                cwd=launch.working_directory,
                env=launch.environment,
                stdin=self._nothing,
                stdout=launch.stdout,
                stderr=launch.stderr,
                start_new_session=True,
                close_fds=True,
            )
        except (OSError, ValueError) as error:
            raise _start_error(error, launch, self._shell) from error
        # Popen is not to wait for it: its end comes by pidfd, its resource use only with wait4(2).
        popen.returncode = 0
        try:
            process = LocalProcess(popen.pid, launch.run_id, peak, self._ends)
        except OSError as error:
            os.killpg(popen.pid, signal.SIGKILL)
            os.waitpid(popen.pid, 0)
            raise _start_error(error, launch, self._shell) from error
        FAMILY.add(popen.pid, launch.run_id)
        return process


class _Ends:
    """Tells processes that their shell is dead, by a pidfd each; to the event loop all of them are one descriptor.

    A thousand readers of the loop would cost 12 us a run more.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, LocalProcess] = {}

    def watch(self, process: LocalProcess) -> int:
        """Watch the process's shell and return its pidfd, for `forget`. Raises OSError."""
        pidfd = os.pidfd_open(process.pid)
        try:
            self._epoll.register(pidfd, select.EPOLLIN)
            if not self._watched:
                asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._look)
        except OSError:
            os.close(pidfd)
            raise
        self._watched[pidfd] = process
        return pidfd

    def forget(self, pidfd: int) -> None:
        """Watch no longer, and close the pidfd."""
        del self._watched[pidfd]
        self._epoll.unregister(pidfd)
        os.close(pidfd)
        if not self._watched:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())

    def _look(self) -> None:
        dead = [self._watched[pidfd] for pidfd, _ in self._epoll.poll(0)]
        for process in dead:
            process.let_go()
        nothing = False
        with contextlib.suppress(OSError):  # no descriptor or memory is free to look with
            nothing = len(dead) > 1 and FAMILY.has_only_shells()
        for process in dead:
            process.look_behind(nothing=nothing)


class LocalProcess:
    """One shell and its tree.

    Until a tree that is being ended is gone, the shell's zombie is not reaped: so its pid, which names the session
    and the group, cannot become another process's.
    """

    def __init__(self, pid: int, run_id: str, own_peak: int, ends: _Ends) -> None:
        self.pid = pid
        self._run_id = run_id
        self._own_peak = own_peak
        self._ends = ends
        self._leftovers = 0
        self._ending = False
        self._exit: Exit | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._pidfd = ends.watch(self)

    @property
    def ended(self) -> bool:
        """Whether the shell is known to have ended: `wait` returns in a moment."""
        return self._pidfd < 0

    @property
    def open_files(self) -> str:
        """A directory whose entries lead to the files that the living shell has open, also if they were removed."""
        return f"/proc/{self.pid}/fd"

    async def wait(self) -> Exit:
        """Return how the shell ended, as soon as it has, whatever it leaves behind."""
        while self._exit is None:
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._exit

    def leftovers(self) -> int:
        """Return how many processes outlived the shell or, after `end`, could not be ended."""
        return self._leftovers

    async def end(self, grace_seconds: float) -> int:
        """End the whole tree: SIGTERM, then SIGKILL; return how many live on 5 s after SIGKILL."""
        if self._exit is None:
            self._ending = True
            try:
                self._leftovers = await end_tree(self._run_id, grace_seconds, session=self.pid)
            finally:
                self._settle()
        return self._leftovers

    def let_go(self) -> None:
        """Watch the shell no longer: it is dead, or as good as that."""
        if self._pidfd >= 0:
            self._ends.forget(self._pidfd)
            self._pidfd = -1

    def look_behind(self, looks: int = LOOKS, *, nothing: bool = False) -> None:
        """Count what the dead shell left, at most `looks` times until that can be told; `nothing`: that is known."""
        if self._ending:
            return
        left = 0 if nothing else self._count_leftovers()
        if left is None and looks > 1:
            self._loop.call_later(LOOK_PAUSE_SECONDS, self.look_behind, looks - 1)
            return
        # Nobody can tell: better one too many, which keeps the output files.
        self._leftovers = 1 if left is None else left
        self._settle()

    def _count_leftovers(self) -> int | None:
        with contextlib.suppress(OSError):  # no descriptor is free to look with
            return FAMILY.left_by(self.pid)
        return None

    def _settle(self) -> None:
        """Reap the shell, if it is dead, and tell who waits."""
        if self._exit is not None:
            return
        if self._ending:
            with contextlib.suppress(OSError):  # no descriptor is free; a later call reaps them
                FAMILY.reap_orphans()
        self.let_go()
        self._exit = self._reap()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _reap(self) -> Exit:
        try:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        except ChildProcessError:
            FAMILY.remove(self.pid)
            return Exit(None)
        if pid == 0:
            FAMILY.give_up(self.pid)
            return Exit(None)
        FAMILY.remove(self.pid)
        code = os.waitstatus_to_exitcode(status)
        # A child starts from its parent's peak, as it uses the parent's memory until exec (exec_mmap in the
        # kernel's fs/exec.c). A peak that is not above ours therefore says nothing about the job.
        peak = usage.ru_maxrss * 1024 if usage.ru_maxrss > self._own_peak else None
        return Exit(
            exit_code=code if code >= 0 else 128 - code,
            signal=None if code >= 0 else -code,
            cpu_seconds=round(usage.ru_utime + usage.ru_stime, 6),
            max_rss_bytes=peak,
        )


def _start_error(error: OSError | ValueError, launch: Launch, shell: str) -> StartError:
    """Say why there is no process, with a shell's code for it: 127 not found, 126 cannot be run."""
    if isinstance(error, ValueError):
        return StartError(126, f"the command, directory or environment cannot be passed on: {error}")
    if error.errno in EXHAUSTED:
        return StartError(126, f"{EXHAUSTED[error.errno]}: {error.strerror}")
    if error.errno == errno.E2BIG:
        return StartError(126, _too_long(launch))
    missing = error.errno == errno.ENOENT
    if error.filename == shell:
        problem = "there is no shell" if missing else "the shell cannot be run"
        return StartError(127 if missing else 126, f"{problem} {shell}: {error.strerror}")
    if error.filename is None:
        return StartError(126, f"the command cannot be started: {error.strerror}")
    problem = "does not exist" if missing else "cannot be entered"
    where = f"working_directory {launch.working_directory!r}"
    return StartError(127 if missing else 126, f"{where} {problem}: {error.strerror}")


def _too_long(launch: Launch) -> str:
    size = len(os.fsencode(launch.command))
    if size > LONGEST_ARGUMENT_BYTES:
        return (
            f"the command is {size} bytes long and Linux passes on at most {LONGEST_ARGUMENT_BYTES}: "
            "put it into a script and run that"
        )
    return "command and environment together are longer than Linux passes on (execve(2)): make them shorter"
