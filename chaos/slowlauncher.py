"""Run the scheduler on a disk that is slow: `python -m chaos.slowlauncher SEED SIDECAR-ARGUMENTS …`.

Every fsync takes a part of a second longer, now and then some seconds. The calls are the real ones; only the time is
added, in the process itself, as device-mapper's delay target is not there on every machine.
"""

from __future__ import annotations

import os
import sys
import time
from random import Random
from typing import Any

SPEED = 60
"""How fast the experiment's clock runs: a sleep passes that much faster, too."""

USUAL_SECONDS = (0.0, 0.3)
STALL_SECONDS = 3.0
STALLS = 0.01


def main() -> int:
    """Slow fsync down and run the scheduler."""
    chance, fsync = Random(sys.argv[1]), os.fsync

    def slow_fsync(fd: Any) -> None:
        seconds = STALL_SECONDS if chance.random() < STALLS else chance.uniform(*USUAL_SECONDS)
        time.sleep(seconds * SPEED)
        fsync(fd)

    os.fsync = slow_fsync
    from sidecar.cli import main as sidecar

    return sidecar(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
