"""Where a command runs: the protocol that every kind of place keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What to start. `environment` is complete; `stdout` and `stderr` are the caller's descriptors."""

    run_id: str
    command: str
    working_directory: str
    environment: dict[str, str]
    stdout: int
    stderr: int


@dataclass(frozen=True, slots=True)
class Exit:
    """How a shell ended: its exact code, or 128+N and `signal` N.

    `exit_code` is None where nobody knows it: the shell could not be killed, or somebody else waited for it.
    """

    exit_code: int | None
    signal: int | None = None
    cpu_seconds: float | None = None
    max_rss_bytes: int | None = None


class Process(Protocol):
    """One run's shell and everything it started."""

    @property
    def ended(self) -> bool:
        """Whether the shell is known to have ended: `wait` returns in a moment."""

    @property
    def open_files(self) -> str:
        """A directory whose entries lead to the files that the living shell has open, also if they were removed."""

    async def wait(self) -> Exit:
        """Return how the shell ended, as soon as it has, whatever it leaves behind. One waiter at a time."""

    def leftovers(self) -> int:
        """Return how many processes outlived the shell or, after `end`, could not be ended."""

    async def end(self, grace_seconds: float) -> int:
        """End the whole tree: SIGTERM, then SIGKILL; return how many live on 5 s after SIGKILL.

        `wait` returns once this has, with an unknown exit code if even the shell lives on. Cancelled, it
        sends SIGKILL to what is left and does not wait.
        """


class Target(Protocol):
    """A place where commands run."""

    async def start(self, launch: Launch) -> Process:
        """Start `/bin/sh -c command`. Raises StartError: there is no process."""

    async def end_run(self, run_id: str, grace_seconds: float) -> int:
        """End what still lives of a run of an earlier scheduler; return how many processes could not be."""
