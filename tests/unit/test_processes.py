"""Who belongs to a run, and how its processes are ended: real processes, facts from /proc."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sidecar import family, proc, tree
from sidecar.family import FAMILY, Family
from sidecar.proc import read_stat, run_id_of
from sidecar.tree import end_tree
from tests.processes import members

PATH = os.environ["PATH"]


@pytest.fixture(autouse=True, scope="module")
def adopting() -> None:
    FAMILY.adopt_orphans()


@pytest.fixture
def run_id(request: pytest.FixtureRequest) -> Iterator[str]:
    """A run id of this test alone; whatever still carries it afterwards is killed and reaped."""
    name = f"{request.node.name[:60]}-{time.monotonic_ns()}"
    yield name
    for pid in members(name):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not members(name))
    FAMILY.reap_orphans()


def shell(run_id: str, command: str) -> subprocess.Popen[bytes]:
    """Start a shell as the local target does; the family knows it."""
    popen = subprocess.Popen(
        ["/bin/sh", "-c", command],
        env={"PATH": PATH, "JOB_RUN_ID": run_id},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    FAMILY.add(popen.pid, run_id)
    return popen


def reap(popen: subprocess.Popen[bytes]) -> int:
    until(lambda: is_zombie(popen.pid))
    FAMILY.reap_orphans()
    code = popen.wait(timeout=30)
    FAMILY.remove(popen.pid)
    return code


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition that other processes bring about."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited 30 s in vain"
        time.sleep(0.005)


@contextlib.contextmanager
def one_free_descriptor() -> Iterator[None]:
    """Have this process reach its limit of open files but for one."""
    taken = [os.open(os.devnull, os.O_RDONLY)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 8, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)


def carried_by(pid: int) -> str | None:
    stat = read_stat(pid)
    return None if stat is None else run_id_of(stat)


def is_zombie(pid: int) -> bool:
    stat = read_stat(pid)
    return stat is not None and not stat.living


# Facts


def test_stat_is_read_right_when_the_command_name_holds_spaces_and_parentheses(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as popen:
        until(lambda: Path(f"/proc/{popen.pid}/comm").read_text() == "a) R 1 (b\n")
        stat = read_stat(popen.pid)
        popen.kill()

    assert stat is not None
    assert (stat.parent, stat.session, stat.living) == (os.getpid(), os.getsid(0), True)


def test_stat_is_none_for_a_pid_that_nobody_has() -> None:
    assert read_stat(2**22 + 1) is None


def test_zombie_does_not_count_as_living() -> None:
    with subprocess.Popen(["/bin/true"]) as popen:
        until(lambda: is_zombie(popen.pid))


def test_process_whose_leading_thread_has_ended_counts_as_living() -> None:
    script = """if True:
        import ctypes, threading, time
        threading.Thread(target=time.sleep, args=(60,)).start()
        print(flush=True)
        ctypes.CDLL(None).pthread_exit(None)
    """
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as popen:
        assert popen.stdout is not None
        popen.stdout.readline()
        until(lambda: (stat := read_stat(popen.pid)) is None or stat.state == "Z")
        stat = read_stat(popen.pid)
        popen.kill()

    assert stat is not None
    assert stat.living


class Unsettled:
    """Makes one process look as in the middle of execve(2), as often as is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pid: int, times: int) -> None:
        self._pid, self.times = pid, times
        self._contents, self._read_stat = proc._contents, proc.read_stat
        monkeypatch.setattr(proc, "_contents", self.contents)
        monkeypatch.setattr(proc, "read_stat", self.read_stat)

    def contents(self, path: str) -> bytes:
        if path == f"/proc/{self._pid}/environ" and self.times > 0:
            self.times -= 1
            return b""
        return self._contents(path)

    def read_stat(self, pid: int) -> proc.Stat | None:
        stat = self._read_stat(pid)
        return stat._replace(settled=False) if stat is not None and pid == self._pid else stat


def test_nothing_is_said_of_a_process_in_the_middle_of_execve(monkeypatch: pytest.MonkeyPatch, run_id: str) -> None:
    popen = shell(run_id, "sleep 60")
    until(lambda: carried_by(popen.pid) == run_id)
    Unsettled(monkeypatch, popen.pid, times=1)

    assert [carried_by(popen.pid), carried_by(popen.pid)] == ["", run_id]
    asyncio.run(end_tree(run_id, 0, session=popen.pid))
    reap(popen)


def test_process_without_any_environment_is_a_stranger() -> None:
    with subprocess.Popen(["/bin/sleep", "60"], env={}) as popen:
        until(lambda: name_of(popen.pid) == "sleep")
        until(lambda: carried_by(popen.pid) is None)
        popen.kill()


# Members


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("sleep 60", id="shell"),
        pytest.param("sleep 60 & wait", id="child"),
        pytest.param("setsid sleep 60 & wait", id="left the session"),
        pytest.param("env -i sleep 60 & wait", id="without the environment"),
        pytest.param("setsid env -i sh -c 'sleep 60; :' & wait", id="without both, by its parent"),
        pytest.param("(sleep 60 &) ; wait; sleep 60", id="orphan in the session"),
        pytest.param("(setsid sleep 60 &) ; sleep 60", id="orphan in another session"),
    ],
)
def test_members_finds_every_process_of_the_run(run_id: str, command: str) -> None:
    popen = shell(run_id, command)

    until(lambda: any(name_of(pid) == "sleep" for pid in members(run_id, session=popen.pid)))
    assert popen.pid in members(run_id, session=popen.pid)
    asyncio.run(end_tree(run_id, 0, session=popen.pid))
    reap(popen)


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@pytest.mark.parametrize("other", ["run-1", "run-12", "un-123", "run-1234", "JOB_RUN_ID=run-123"])
def test_members_finds_only_the_exact_run_id(other: str) -> None:
    environment = {"JOB_RUN_ID": other, "OTHER_JOB_RUN_ID": "run-123", "X": "y JOB_RUN_ID=run-123"}
    with subprocess.Popen(["/bin/sleep", "60"], env=environment, start_new_session=True) as popen:
        until(lambda: carried_by(popen.pid) == other)
        found = members("run-123")
        popen.kill()

    assert found == {}


def test_members_leaves_out_the_process_that_asks_even_if_it_carries_the_run_id() -> None:
    script = "from sidecar.family import FAMILY; print(len(FAMILY.search('mine')[0]))"
    environment = {**os.environ, "JOB_RUN_ID": "mine"}
    printed = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True)

    assert printed == "0\n"


def test_members_leaves_out_others_in_the_session_of_the_process_that_asks() -> None:
    with subprocess.Popen(["/bin/sleep", "60"], env={"JOB_RUN_ID": "in-our-session"}) as popen:
        until(lambda: popen.pid in members("in-our-session"))
        found = members("in-our-session")
        popen.kill()

    assert set(found) == {popen.pid}


# Ending


def test_ending_a_tree_leaves_nothing_and_lets_it_end_in_its_own_way(run_id: str, tmp_path: Path) -> None:
    popen = shell(run_id, f"trap 'echo bye > {tmp_path}/bye; exit 7' TERM; setsid sleep 60 & sleep 60 & wait")
    until(lambda: sum(name_of(pid) == "sleep" for pid in members(run_id)) == 2)
    living = asyncio.run(end_tree(run_id, 30, session=popen.pid))

    assert living == 0
    assert members(run_id, session=popen.pid) == {}
    assert reap(popen) == 7
    assert (tmp_path / "bye").read_text() == "bye\n"


def test_ending_kills_what_ignores_sigterm_when_the_grace_is_over(run_id: str) -> None:
    popen = shell(run_id, "trap '' TERM; setsid sh -c 'while :; do sleep 0.1; done' & while :; do sleep 0.1; done")
    until(lambda: len(members(run_id)) >= 3)
    began = time.monotonic()
    living = asyncio.run(end_tree(run_id, 0.3, session=popen.pid))
    seconds = time.monotonic() - began

    assert living == 0
    assert reap(popen) == -signal.SIGKILL
    assert 0.3 <= seconds < 4


def test_ending_wakes_stopped_processes_so_that_they_see_sigterm(run_id: str, tmp_path: Path) -> None:
    command = f"trap 'echo seen > {tmp_path}/seen; exit' TERM; kill -STOP $$; sleep 60 & wait"
    popen = shell(run_id, command)
    until(lambda: (stat := read_stat(popen.pid)) is not None and stat.state == "T")
    asyncio.run(end_tree(run_id, 30, session=popen.pid))
    reap(popen)

    assert (tmp_path / "seen").exists()


def test_ending_reaches_what_is_started_while_the_tree_ends(run_id: str) -> None:
    popen = shell(run_id, "trap 'setsid sleep 61 & sleep 0.1; exit 3' TERM; sleep 60 & wait")
    until(lambda: any(name_of(pid) == "sleep" for pid in members(run_id)))
    living = asyncio.run(end_tree(run_id, 30, session=popen.pid))

    assert living == 0
    assert members(run_id) == {}
    assert reap(popen) == 3


def test_ending_wins_against_a_tree_that_forks_all_the_time(run_id: str) -> None:
    popen = shell(run_id, "trap '' TERM; f() { sleep 0.05; f & f; }; f")
    until(lambda: len(members(run_id)) > 8)
    living = asyncio.run(end_tree(run_id, 0, session=popen.pid))

    assert living == 0
    reap(popen)


def test_ending_signals_once_with_sigterm(run_id: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    popen = shell(
        run_id,
        f"trap 'echo term >> {log}' TERM; echo > {log}.on; n=0; while [ $n -lt 12 ]; do sleep 0.1; n=$((n+1)); done",
    )
    until(lambda: Path(f"{log}.on").exists())
    asyncio.run(end_tree(run_id, 30, session=popen.pid))
    reap(popen)

    assert log.read_text() == "term\n"


def test_ending_that_is_cancelled_kills_at_once(run_id: str) -> None:
    popen = shell(run_id, "trap '' TERM; sleep 60 & wait; sleep 60")
    until(lambda: len(members(run_id)) == 2)

    async def cancelled() -> None:
        task = asyncio.create_task(end_tree(run_id, 60, session=popen.pid))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancelled())

    assert reap(popen) == -signal.SIGKILL
    until(lambda: not members(run_id))


def test_ending_reports_what_cannot_be_killed(run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    popen = shell(run_id, "sleep 60 & wait")
    until(lambda: len(members(run_id)) == 2)
    monkeypatch.setattr(tree, "KILL_SECONDS", 0.1)
    with monkeypatch.context() as stuck:
        stuck.setattr(signal, "pidfd_send_signal", lambda *_: None)
        stuck.setattr(os, "killpg", lambda *_: None)
        living = asyncio.run(end_tree(run_id, 0, session=popen.pid))

    assert living == 2
    asyncio.run(end_tree(run_id, 0, session=popen.pid))
    reap(popen)


def test_ending_outlasts_a_want_of_descriptors(run_id: str, tmp_path: Path) -> None:
    command = f"trap 'echo bye > {tmp_path}/bye; exit 7' TERM; echo > {tmp_path}/on; while :; do sleep 0.05; done"
    popen = shell(run_id, command)
    until((tmp_path / "on").exists)

    async def end() -> int:
        with one_free_descriptor():
            ending = asyncio.create_task(end_tree(run_id, 30, session=popen.pid))
            await asyncio.sleep(0.1)
        return await ending

    assert asyncio.run(end()) == 0
    assert reap(popen) == 7
    assert (tmp_path / "bye").exists()


def test_tree_that_could_never_be_searched_for_counts_as_living(run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    popen = shell(run_id, "sleep 60")
    monkeypatch.setattr(tree, "KILL_SECONDS", 0.1)
    monkeypatch.setattr(FAMILY, "search", refuse)

    assert asyncio.run(end_tree(run_id, 0, session=popen.pid)) == 1
    monkeypatch.undo()
    assert reap(popen) == -signal.SIGKILL


def test_signal_spares_a_process_that_took_over_the_pid() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as popen:
        stat = read_stat(popen.pid)
        assert stat is not None
        tree._send(stat._replace(start=stat.start - 1), signal.SIGKILL)
        survived = popen.poll() is None
        popen.kill()

    assert survived


def test_processes_of_an_earlier_scheduler_are_ended_without_knowing_their_shell(run_id: str) -> None:
    command = "setsid sh -c 'trap \"\" TERM; sleep 60; :' & env -i sleep 62 & wait"
    popen = shell(run_id, command)
    until(lambda: sum(name_of(pid) == "sleep" for pid in members(run_id)) == 2)
    living = asyncio.run(end_tree(run_id, 0.2))

    assert living == 0
    assert members(run_id, session=popen.pid) == {}
    reap(popen)


# The family


def test_left_behind_is_only_counted_once_it_can_be_told(monkeypatch: pytest.MonkeyPatch, run_id: str) -> None:
    popen = shell(run_id, "setsid sleep 60 & exec sleep 61")
    until(lambda: sum(name_of(pid) == "sleep" for pid in members(run_id)) == 2)
    (orphan,) = set(members(run_id)) - {popen.pid}
    popen.kill()
    until(lambda: is_zombie(popen.pid))
    Unsettled(monkeypatch, orphan, times=2)

    assert [FAMILY.left_by(popen.pid) for _ in range(3)] == [None, None, 1]
    asyncio.run(end_tree(run_id, 0, session=popen.pid))
    reap(popen)


def test_tree_is_not_taken_for_gone_while_a_process_cannot_be_told(
    monkeypatch: pytest.MonkeyPatch, run_id: str
) -> None:
    popen = shell(run_id, "setsid sleep 60 & exec sleep 61")
    until(lambda: sum(name_of(pid) == "sleep" for pid in members(run_id)) == 2)
    (orphan,) = set(members(run_id)) - {popen.pid}
    popen.kill()
    until(lambda: is_zombie(popen.pid))
    Unsettled(monkeypatch, orphan, times=3)

    assert asyncio.run(end_tree(run_id, 30, session=popen.pid)) == 0
    assert is_zombie(orphan)
    reap(popen)


def test_nothing_is_left_by_a_shell_without_children(run_id: str) -> None:
    popen = shell(run_id, ":")
    until(lambda: is_zombie(popen.pid))

    assert FAMILY.left_by(popen.pid) == 0
    reap(popen)


@pytest.mark.parametrize(
    ("command", "sleeping", "count"),
    [
        pytest.param("sleep 60 &", 1, 1, id="in the session"),
        pytest.param("sh -c 'sleep 60 & sleep 60 & wait' &", 2, 3, id="with children"),
        pytest.param("(setsid sleep 60 &)", 1, 1, id="in another session"),
        pytest.param("env -i sleep 60 &", 1, 1, id="without the environment"),
    ],
)
@pytest.mark.parametrize("adopts", [pytest.param(True, id="adopting"), pytest.param(False, id="searching")])
def test_family_counts_what_a_shell_leaves_behind(
    run_id: str, command: str, sleeping: int, count: int, adopts: bool
) -> None:
    popen = shell(run_id, f"{command}\nexec sleep 61")
    sleepers = sleeping + 1
    until(lambda: sum(name_of(pid) == "sleep" for pid in members(run_id, session=popen.pid)) == sleepers)
    popen.kill()
    until(lambda: is_zombie(popen.pid))
    ours = FAMILY
    if not adopts:
        ours = Family()
        ours.add(popen.pid, run_id)

    assert ours.left_by(popen.pid) == count
    asyncio.run(end_tree(run_id, 0, session=popen.pid))
    reap(popen)


def test_process_whose_exec_ends_between_two_looks_is_told_by_the_second(
    run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    popen = shell(run_id, "sleep 60")
    until(lambda: carried_by(popen.pid) == run_id)  # Popen returns in the middle of execve(2)
    stat = read_stat(popen.pid)
    assert stat is not None
    real, looks = proc._contents, []

    def contents(path: str) -> bytes:
        looks.append(path)
        return b"" if len(looks) == 1 else real(path)

    monkeypatch.setattr(proc, "_contents", contents)

    assert run_id_of(stat) == run_id
    popen.kill()
    reap(popen)


def test_leftover_of_one_run_is_not_counted_to_another(run_id: str) -> None:
    first = shell(run_id, "sleep 60 & exit 0")
    until(lambda: is_zombie(first.pid) and FAMILY.left_by(first.pid) == 1)
    reap(first)
    second = shell(f"{run_id}-second", ":")
    until(lambda: is_zombie(second.pid))

    assert FAMILY.left_by(second.pid) == 0
    reap(second)


def test_adopted_orphan_is_reaped_when_it_dies(run_id: str) -> None:
    popen = shell(run_id, "setsid sleep 60 & exit 0")
    until(lambda: is_zombie(popen.pid))
    until(lambda: FAMILY.left_by(popen.pid))
    (orphan,) = members(run_id)
    reap(popen)
    os.kill(orphan, signal.SIGKILL)
    until(lambda: is_zombie(orphan))
    FAMILY.reap_orphans()

    assert read_stat(orphan) is None


def test_orphan_that_died_before_its_shell_is_reaped_with_it(run_id: str) -> None:
    before = zombies_of_ours()  # what other tests left is reaped in its own time
    popen = shell(run_id, "sleep 0 & sleep 60 & kill -9 $$")
    until(lambda: is_zombie(popen.pid))
    until(lambda: FAMILY.left_by(popen.pid) == 1)
    reap(popen)

    assert zombies_of_ours() - before == set()


def test_no_zombie_is_left_of_a_tree_that_was_ended(run_id: str) -> None:
    before = zombies_of_ours()  # what other tests left is reaped in its own time
    popen = shell(run_id, "setsid sh -c 'sleep 60 & wait' & setsid sleep 60 & sleep 60")
    until(lambda: sum(name_of(pid) == "sleep" for pid in members(run_id)) == 3)
    asyncio.run(end_tree(run_id, 30, session=popen.pid))
    reap(popen)

    assert zombies_of_ours() - before == set()


def zombies_of_ours() -> set[int]:
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {int(pid) for pid in listed if is_zombie(int(pid))}


@pytest.mark.parametrize("own_session", [False, True])
def test_children_that_other_code_started_are_never_reaped(own_session: bool) -> None:
    with subprocess.Popen(["/bin/sh", "-c", "exit 5"], start_new_session=own_session) as popen:
        until(lambda: is_zombie(popen.pid))
        FAMILY.reap_orphans()

        assert popen.wait() == 5


def test_dead_child_that_nobody_waits_for_is_reaped_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    popen = subprocess.Popen(["/bin/sh", "-c", "exit 5"], start_new_session=True)
    until(lambda: is_zombie(popen.pid))
    FAMILY.reap_orphans()
    assert is_zombie(popen.pid)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + family.UNCLAIMED_SECONDS + 1)
    FAMILY.reap_orphans()

    assert read_stat(popen.pid) is None
    popen.returncode = 5


def test_shell_that_could_not_be_killed_is_reaped_when_it_dies_at_last(run_id: str) -> None:
    popen = shell(run_id, "sleep 60")
    FAMILY.give_up(popen.pid)
    popen.kill()
    until(lambda: is_zombie(popen.pid))
    FAMILY.reap_orphans()

    assert read_stat(popen.pid) is None
    popen.returncode = 0
