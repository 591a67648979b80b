"""What /proc tells of a running system, and waiting for things to happen."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PATIENCE_SECONDS = 60.0
TICKS = os.sysconf("SC_CLK_TCK")


def wait_for(look: Callable[[], object], patience: float = PATIENCE_SECONDS, pause: float = 0.002) -> bool:
    """Look until there is something; return whether there was within `patience` seconds."""
    deadline = time.monotonic() + patience
    while not look():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def memory(pid: int, field: str = "VmRSS") -> float:
    """Return MiB from /proc/PID/status (VmRSS, VmHWM, RssAnon, VmSwap) or, for Pss, from smaps_rollup."""
    file = "smaps_rollup" if field == "Pss" else "status"
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def tree_cpu(pid: int) -> float:
    """Return the CPU seconds of a process, of its living descendants, and of those that were waited for."""
    return sum(sum(map(int, _stat(each)[11:15])) for each in _tree(pid)) / TICKS


def own_cpu(pid: int) -> float:
    """Return the CPU seconds of a process's threads, to the nanosecond."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in _tasks(pid)) / 1e9


def wake_ups(pid: int) -> int:
    """Return how often the threads of a process have gone to sleep by themselves."""
    prefix = "voluntary_ctxt_switches:"
    lines = (line for task in _tasks(pid) for line in (task / "status").read_text().splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith(prefix))


def describe() -> str:
    """Say in one line which machine this is."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "unknown processor",
    )
    system = os.uname()
    load = os.getloadavg()[2]
    return f"{os.cpu_count()} cores ({model}), {system.sysname} {system.release}, load average {load:.1f} at the end"


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def _tree(pid: int) -> Iterator[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            fields = _stat(int(entry.name))
            if fields:
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    waiting = [pid]
    while waiting:
        each = waiting.pop()
        yield each
        waiting += parents.get(each, [])


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on; a process that is gone has none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
