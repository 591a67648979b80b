"""Run the scheduler, but kill this process at the n-th call that changes the disk or starts a process.

`python -m chaos.launcher N before|after|torn SIDECAR-ARGUMENTS …`. Counted are fsync, rename, replace, unlink,
truncate and write to regular files, and the start of a command. `torn` kills half-way through a write, after any other
call. Without reaching the n-th call it is an ordinary scheduler.
"""

from __future__ import annotations

import atexit
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from typing import Any

CALLS = ("fsync", "rename", "replace", "unlink", "ftruncate")


class Trap:
    """Counts calls and kills the process at the n-th."""

    def __init__(self, at: int, when: str) -> None:
        self._at = at
        self._when = when
        self._calls = 0

    def tell(self) -> None:
        """Say how many calls there were."""
        print(f"CALLS {self._calls}", file=sys.stderr)

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call, watched."""

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._calls += 1
            if self._calls != self._at:
                return call(*args, **kwargs)
            if self._when != "before":
                call(*args, **kwargs)
            return _die(name)

        return watched

    def around_write(self, write: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
        """Return os.write, watched where it goes to a regular file."""

        def watched(descriptor: int, data: Any) -> int:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return write(descriptor, data)
            self._calls += 1
            if self._calls != self._at:
                return write(descriptor, data)
            if self._when == "torn":
                write(descriptor, data[: len(data) // 2])
            elif self._when == "after":
                write(descriptor, data)
            return int(_die("write"))

        return watched


def _die(name: str) -> Any:
    os.write(2, f"KILLED AT {name}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    """Set the trap and run the scheduler."""
    trap = Trap(int(sys.argv[1]), sys.argv[2])
    atexit.register(trap.tell)
    for name in CALLS:
        setattr(os, name, trap.around(name, getattr(os, name)))
    os.write = trap.around_write(os.write)
    subprocess.Popen.__init__ = trap.around("spawn", subprocess.Popen.__init__)  # type: ignore[method-assign]  # a trap
    from sidecar.cli import main as sidecar

    return sidecar(sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
