"""Which living processes belong to a run, as a search of /proc tells.

A process belongs to a run if it is in the session of the run's shell, carries the run's `JOB_RUN_ID` in its
environment, or descends from one that does.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from sidecar import proc
from sidecar.proc import Stat


def find(
    run_id: str, *, session: int | None, known: Mapping[int, int], shells: Collection[int]
) -> tuple[dict[int, Stat], bool]:
    """Return the living processes of a run by pid, never this process nor pid 1; and whether there may be more.

    There may be where some process cannot be told from one at the moment; the `shells`, by pid, always can be.
    `session` is the pid of the run's shell where that is certain: while it is an unreaped child of ours, its pid
    cannot be another's. `known` are members found before, pid to start. Costs about 30 µs for each process there is.
    Raises OSError if /proc cannot be read for want of descriptors or memory.
    """
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
        elif carried == "" and pid not in shells:
            unsettled.add(pid)
    # A session that one of them leads or joined began in the run, as every shell starts in a new one.
    sessions = {processes[pid].session for pid in found} - strangers
    found |= {pid for pid, stat in processes.items() if stat.session in sessions}
    found = _with_descendants(found, processes, itself)
    return {pid: processes[pid] for pid in found if processes[pid].living}, not unsettled <= found


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
