"""Lines to stdout or stderr that can never block the scheduler: what does not fit at once is dropped."""

from __future__ import annotations

import contextlib
import os
import select


class Console:
    """Best-effort line output to one descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._torn = False

    def write(self, line: str) -> None:
        """Write the line and a newline, or drop (the rest of) it where the reader does not keep up.

        A pipe that polls as writable takes PIPE_BUF bytes without blocking (pipe(7)), so no more than that goes
        at once. Setting O_NONBLOCK instead would reach everyone who shares the descriptor, a shell's terminal too.
        """
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        if self._torn:
            data = b"\n" + data
        with contextlib.suppress(OSError):
            for start in range(0, len(data), select.PIPE_BUF):
                ready = self._poll.poll(0)
                if not ready or not ready[0][1] & select.POLLOUT:
                    self._torn = self._torn or start > 0
                    return
                os.write(self._descriptor, data[start : start + select.PIPE_BUF])
            self._torn = False
