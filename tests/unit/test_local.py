"""Commands as children of this process: how they start, how they end, what is known of them."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from sidecar.errors import StartError
from sidecar.family import FAMILY
from sidecar.local import LONGEST_ARGUMENT_BYTES, LocalProcess, LocalTarget
from sidecar.proc import read_stat
from sidecar.targets import Exit, Launch
from tests.harness import until
from tests.processes import members

ENVIRONMENT = {"PATH": os.environ["PATH"]}
UNCATCHABLE = {signal.SIGKILL, signal.SIGSTOP}
NOT_DEADLY = {
    *(signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH),
    *(signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
}


class Shells:
    """Starts commands with their output in a file, on a local target."""

    def __init__(self, directory: Path, shell: str = "/bin/sh") -> None:
        self._target = LocalTarget(shell)
        self._path = directory / "output"
        self._count = 0

    async def start(self, command: str, **fields: Any) -> LocalProcess:
        self._count += 1
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        given = {"run_id": f"local-{time.monotonic_ns()}", "working_directory": "/", **fields}
        given["environment"] = {"JOB_RUN_ID": given["run_id"], **given.get("environment", ENVIRONMENT)}
        try:
            return await self._target.start(Launch(command=command, stdout=descriptor, stderr=descriptor, **given))
        finally:
            os.close(descriptor)

    async def run(self, command: str, **fields: Any) -> Exit:
        return await (await self.start(command, **fields)).wait()

    def output(self) -> str:
        return self._path.read_text()


@pytest.fixture
def shells(tmp_path: Path) -> Shells:
    return Shells(tmp_path)


def start_error(shells: Shells, command: str = ":", **fields: Any) -> StartError:
    with pytest.raises(StartError) as raised:
        asyncio.run(shells.run(command, **fields))
    return raised.value


# Ends


def test_every_exit_code_is_exact(shells: Shells) -> None:
    async def all_codes() -> list[Exit]:
        processes = [await shells.start(f"exit {code}") for code in range(256)]
        return [await process.wait() for process in processes]

    ends = asyncio.run(all_codes())

    assert [end.exit_code for end in ends] == list(range(256))
    assert {end.signal for end in ends} == {None}


@pytest.mark.parametrize("number", sorted(signal.valid_signals() - NOT_DEADLY))
def test_end_by_a_signal_is_128_plus_its_number(shells: Shells, number: int) -> None:
    # Not with the shell's own kill: dash knows no real-time signals. Python ignores or handles a few itself.
    reset = "" if number in UNCATCHABLE else f"signal.signal({number}, signal.SIG_DFL); "
    command = f"ulimit -c 0; exec {sys.executable} -c 'import os, signal; {reset}os.kill(os.getpid(), {number})'"
    end = asyncio.run(shells.run(command))

    assert (end.exit_code, end.signal) == (128 + number, number)


def test_exit_code_above_128_is_not_taken_for_a_signal(shells: Shells) -> None:
    end = asyncio.run(shells.run("exit 137"))

    assert (end.exit_code, end.signal) == (137, None)


@pytest.mark.parametrize(("command", "code"), [("no-such-command-here", 127), ("/etc/passwd", 126), ("if", 2)])
def test_shell_reports_commands_that_it_cannot_run(shells: Shells, command: str, code: int) -> None:
    assert asyncio.run(shells.run(command)).exit_code == code


def test_processor_time_covers_the_children(shells: Shells) -> None:
    command = "(i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done); :"
    end = asyncio.run(shells.run(command))
    idle = asyncio.run(shells.run("sleep 0.05"))

    assert end.cpu_seconds is not None
    assert idle.cpu_seconds is not None
    assert end.cpu_seconds > idle.cpu_seconds
    assert idle.cpu_seconds < 0.05


def test_peak_memory_is_that_of_the_largest_process(shells: Shells) -> None:
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    size = own + (64 << 20)
    end = asyncio.run(shells.run(f"{sys.executable} -c 'bytearray({size})'; :"))

    assert end.max_rss_bytes is not None
    assert size <= end.max_rss_bytes < size + (64 << 20)


def test_peak_memory_is_unknown_where_the_kernel_shows_only_the_schedulers_own(shells: Shells) -> None:
    assert asyncio.run(shells.run(":")).max_rss_bytes is None


def test_exit_status_that_somebody_else_took_is_unknown(shells: Shells) -> None:
    async def stolen() -> Exit:
        process = await shells.start("exit 3")
        os.waitpid(process.pid, 0)
        return await process.wait()

    assert asyncio.run(stolen()) == Exit(None)


def test_exit_codes_are_known_also_if_the_scheduler_was_started_with_sigchld_ignored(tmp_path: Path) -> None:
    script = f"""if True:
        import asyncio, pathlib, signal
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        from tests.unit.test_local import Shells
        print(asyncio.run(Shells(pathlib.Path({str(tmp_path)!r})).run("exit 3")).exit_code)
    """
    printed = subprocess.check_output([sys.executable, "-c", script], text=True)

    assert printed == "3\n"


# Surroundings


def test_command_runs_in_its_directory_and_sees_exactly_its_environment(shells: Shells, tmp_path: Path) -> None:
    given = {"working_directory": str(tmp_path), "environment": {**ENVIRONMENT, "GREETING": "grüß\ndich"}}
    asyncio.run(shells.run("pwd; env -0 | tr '\\0' '|' ", **given))

    directory, variables = shells.output().split("\n", 1)
    assert directory == str(tmp_path)
    assert {entry.split("=")[0] for entry in variables.split("|") if entry} <= {
        "PATH",
        "GREETING",
        "PWD",
        "_",
        "OLDPWD",
        "JOB_RUN_ID",
    }
    assert "GREETING=grüß\ndich|" in variables


def test_relative_directory_is_relative_to_the_schedulers_own(
    shells: Shells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    asyncio.run(shells.run("pwd", working_directory="below"))

    assert shells.output() == f"{tmp_path}/below\n"


def test_shell_leads_a_session_of_its_own_and_reads_nothing(shells: Shells) -> None:
    async def look() -> tuple[int, int, int]:
        process = await shells.start("read line; echo $?; readlink /proc/self/fd/0; sleep 60")
        await until(lambda: "null" in shells.output())
        stat = read_stat(process.pid)
        assert stat is not None
        await process.end(0)
        return process.pid, stat.session, os.getsid(0)

    pid, session, ours = asyncio.run(look())

    assert session == pid != ours
    assert shells.output() == "1\n/dev/null\n"


def test_command_inherits_no_descriptor_of_the_scheduler(shells: Shells, tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        asyncio.run(shells.run("for fd in /proc/$$/fd/*; do readlink $fd; done"))

    assert "secret" not in shells.output()


def test_command_sees_default_signal_handling(shells: Shells) -> None:
    asyncio.run(shells.run("grep -E '^Sig(Blk|Ign)' /proc/self/status"))

    # glibc's posix_spawn, which make uses, leaves the two signals that are its own (32 and 33) ignored.
    _, blocked, _, ignored = shells.output().split()
    assert int(blocked, 16) == 0
    assert int(ignored, 16) & ~(0b11 << 31) == 0


def test_command_does_not_inherit_what_the_scheduler_was_started_to_ignore(tmp_path: Path) -> None:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        shells = Shells(tmp_path)
        asyncio.run(shells.run("grep ^SigIgn /proc/self/status"))
        os.kill(os.getpid(), signal.SIGQUIT)  # which would end this process, were it not ignored here still
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

    ignored = int(shells.output().split()[1], 16)
    assert ignored & (1 << signal.SIGINT - 1 | 1 << signal.SIGQUIT - 1) == 0


# Starts that fail


def test_missing_shell_is_127(tmp_path: Path) -> None:
    error = start_error(Shells(tmp_path, "/no/such/sh"))

    assert (error.exit_code, str(error)) == (127, "there is no shell /no/such/sh: No such file or directory")


def test_shell_that_is_not_executable_is_126(tmp_path: Path) -> None:
    error = start_error(Shells(tmp_path, "/etc/passwd"))

    assert (error.exit_code, str(error)) == (126, "the shell cannot be run /etc/passwd: Permission denied")


def test_missing_directory_is_127(shells: Shells) -> None:
    error = start_error(shells, working_directory="/no/such/place")

    assert error.exit_code == 127
    assert str(error) == "working_directory '/no/such/place' does not exist: No such file or directory"


def test_directory_that_is_a_file_is_126(shells: Shells) -> None:
    error = start_error(shells, working_directory="/etc/passwd")

    assert error.exit_code == 126
    assert str(error) == "working_directory '/etc/passwd' cannot be entered: Not a directory"


def test_longest_command_that_linux_takes_runs(shells: Shells) -> None:
    command = "exit 3 #" + "x" * (LONGEST_ARGUMENT_BYTES - 8)

    assert asyncio.run(shells.run(command)).exit_code == 3


def test_longer_command_is_126_and_says_what_to_do(shells: Shells) -> None:
    error = start_error(shells, "exit 3 #" + "x" * (LONGEST_ARGUMENT_BYTES - 7))

    assert error.exit_code == 126
    assert str(error).startswith("the command is 131072 bytes long and Linux passes on at most 131071: put it")


def test_environment_that_is_too_large_is_126(shells: Shells) -> None:
    error = start_error(shells, environment={"BIG": "x" * 200_000})

    assert error.exit_code == 126
    assert "environment" in str(error)


@pytest.mark.parametrize("command", ["echo \0", "echo \ud800"])
def test_command_that_cannot_be_passed_on_is_126(shells: Shells, command: str) -> None:
    assert start_error(shells, command).exit_code == 126


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EAGAIN, "no more processes"),
        (errno.ENOMEM, "not enough memory"),
        (errno.EMFILE, "too many files open"),
        (errno.ENFILE, "too many files open"),
        (errno.ENOSYS, "cannot be started"),
    ],
)
def test_want_of_resources_is_126_and_named(
    shells: Shells, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    error = start_error(shells)

    assert error.exit_code == 126
    assert words in str(error)


def test_directory_that_may_not_be_entered_is_126(shells: Shells, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/private")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    error = start_error(shells, working_directory="/private")

    assert error.exit_code == 126
    assert str(error) == "working_directory '/private' cannot be entered: Permission denied"


def test_shell_whose_end_could_not_be_noticed_is_killed_and_not_started(
    shells: Shells, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int) -> int:
        pids.append(pid)
        raise OSError(errno.EMFILE, "Too many open files")

    pids: list[int] = []
    monkeypatch.setattr(os, "pidfd_open", refuse)

    assert start_error(shells, "sleep 60").exit_code == 126
    assert read_stat(pids[0]) is None


# What is left, and ending it


@pytest.mark.parametrize("command", ["sleep 60 &", "setsid sleep 60 &", "(sleep 60 &) ; sleep 60 >/dev/null 2>&1 &"])
def test_wait_returns_at_once_although_children_hold_the_output(shells: Shells, command: str) -> None:
    async def run() -> tuple[Exit, float, int, int]:
        process = await shells.start(f"{command}\ndate +%s.%N; exit 4", run_id="holding")
        how = await process.wait()
        late = time.time() - float(shells.output())
        found = len(members("holding"))
        await LocalTarget().end_run("holding", 0)
        return how, late, process.leftovers(), found

    how, late, leftovers, found = asyncio.run(run())

    assert how.exit_code == 4
    assert leftovers == found == command.count("sleep")
    assert late < 1  # a hang would be a minute; how little it is, the benchmarks measure


def test_shells_that_end_together_while_no_descriptor_is_free_have_their_codes(
    shells: Shells, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> bool:
        raise OSError(errno.EMFILE, "Too many open files")

    async def run() -> list[int | None]:
        processes = [await shells.start(f"exit {code}") for code in (3, 4)]
        for process in processes:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        monkeypatch.setattr(FAMILY, "has_only_shells", refuse)
        return [(await process.wait()).exit_code for process in processes]

    assert asyncio.run(run()) == [3, 4]


def test_nothing_is_left_by_a_command_that_waits_for_its_children(shells: Shells) -> None:
    async def run() -> int:
        process = await shells.start("true & setsid true & wait; true | true")
        await process.wait()
        return process.leftovers()

    assert asyncio.run(run()) == 0


def test_ending_ends_the_whole_tree_and_the_wait(shells: Shells) -> None:
    async def run() -> tuple[int, Exit, set[int]]:
        process = await shells.start("setsid sleep 60 & sleep 60 & wait", run_id="ended")
        await until(lambda: len(members("ended")) == 3)
        living = await process.end(30)
        return living, await process.wait(), set(members("ended"))

    living, how, left = asyncio.run(run())

    assert (living, left) == (0, set())
    assert (how.exit_code, how.signal) == (143, 15)


def test_shell_that_cannot_be_killed_ends_the_wait_with_an_unknown_code(
    shells: Shells, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> tuple[int, Exit]:
        process = await shells.start("exec sleep 60")
        with monkeypatch.context() as stuck:
            stuck.setattr("sidecar.tree.KILL_SECONDS", 0.05)
            stuck.setattr(signal, "pidfd_send_signal", lambda *_: None)
            stuck.setattr(os, "killpg", lambda *_: None)
            living = await process.end(0)
        os.kill(process.pid, signal.SIGKILL)
        return living, await process.wait()

    assert asyncio.run(run()) == (1, Exit(None))


def test_ending_a_process_that_has_ended_does_nothing(shells: Shells) -> None:
    async def run() -> int:
        process = await shells.start("exit 3")
        await process.wait()
        assert process.ended
        return await process.end(0)

    assert asyncio.run(run()) == 0


def test_second_end_can_be_more_impatient_than_the_first(shells: Shells) -> None:
    async def run() -> tuple[list[int], Exit]:
        process = await shells.start("trap '' TERM; echo on; while :; do sleep 0.1; done")
        await until(lambda: shells.output() == "on\n")
        living = await asyncio.gather(process.end(60), process.end(0))
        return list(living), await process.wait()

    living, how = asyncio.run(run())

    assert living == [0, 0]
    assert how.signal == signal.SIGKILL


def test_descriptors_and_zombies_do_not_pile_up(shells: Shells) -> None:
    def state() -> tuple[int, int]:
        gc.collect()  # else the descriptors of earlier tests' targets may go in between
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return len(os.listdir("/proc/self/fd")), len(children)

    async def many() -> tuple[tuple[int, int], tuple[int, int]]:
        await shells.run(":")
        before = state()
        for _ in range(10):
            runs: list[Awaitable[Exit]] = [shells.run("exit 0") for _ in range(20)]
            await asyncio.gather(*runs)
        return before, state()

    before, after = asyncio.run(many())

    assert after == before
