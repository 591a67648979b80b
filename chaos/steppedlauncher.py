"""Run the scheduler where only the wall clock is faked: `python -m chaos.steppedlauncher SIDECAR-ARGUMENTS …`.

libfaketime 0.9.10 lets clock_nanosleep(2), by which Python sleeps, fail with EINVAL there. select(2) works.
"""

from __future__ import annotations

import select
import sys
import time
from typing import Any


def main() -> int:
    """Have `time.sleep` wait by select(2) and run the scheduler."""

    def sleep(seconds: Any) -> None:
        select.select((), (), (), seconds)

    time.sleep = sleep
    from sidecar.cli import main as sidecar

    return sidecar(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
