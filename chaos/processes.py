"""Ten thousand short commands, and commands that misbehave: exit codes, zombies, leftovers, the scheduler's memory."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from chaos.outcome import Outcome, Size
from chaos.world import World, wait_for
from sidecar.audit_events import Entry

CODES = (0, 1, 2, 3, 42, 77, 125, 126, 127, 128, 137, 200, 254, 255)
BATCH = 250
MOST_GROWTH_BYTES = 16 << 20
"""What the scheduler may grow between the first fifth of the short commands and the last one."""

PATIENCE_SECONDS = 600.0
"""A slow disk takes minutes for gigabytes."""

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Wicked:
    """A command that misbehaves, and what its end must say."""

    command: str
    status: str
    exit_code: int | None
    fields: dict[str, Any] = field(default_factory=dict)
    holds: Callable[[Entry], bool] = lambda end: True


SHORT_TIME = {"timeout_seconds": 1, "kill_grace_seconds": 1}
WICKED = {
    "ignores-term": Wicked("trap '' TERM; while :; do sleep 600; done", "timeout", 137, SHORT_TIME),
    "leaves-session": Wicked("setsid sleep 600 & setsid setsid sleep 600 & sleep 600", "timeout", 143, SHORT_TIME),
    "stops-itself": Wicked("kill -STOP $$", "timeout", 143, SHORT_TIME),
    "daemon": Wicked("(setsid sleep 600 &) ; exit 3", "failure", 3, {}, lambda end: end["leftover_processes"] == 1),
    "holds-output": Wicked(
        "sleep 600 & echo done", "success", 0, {}, lambda end: end["leftover_processes"] == 1 and end["stdout_file"]
    ),
    "closes-output": Wicked("exec >&- 2>&- <&-; sleep 0.1; exit 7", "failure", 7),
    "kills-itself": Wicked("kill -KILL $$", "failure", 137, {}, lambda end: end["signal"] == 9),
    "binary": Wicked("head -c 30000 /dev/urandom", "success", 0, {}, lambda end: end["stdout_bytes"] == 30000),
    "endless-line": Wicked(
        "head -c 30000000 /dev/zero | tr '\\0' x", "success", 0, {}, lambda end: end["stdout_bytes"] == 30_000_000
    ),
    "endless-output": Wicked("cat /dev/zero", "output_limit", 143, {"max_output_bytes": 1 << 20}),
    "missing": Wicked("/nowhere/command", "failure", 127),
    "not-executable": Wicked("/etc/passwd", "failure", 126),
    "as-long-as-it-may-be": Wicked(f": {'x' * 130_900}", "success", 0),
    "too-long": Wicked(f": {'x' * (128 << 10)}", "failure", 126, {}, lambda end: "Linux passes on" in end["stderr"]),
    "too-many-arguments": Wicked(
        "/bin/true $(seq 1000000)", "failure", 126, {}, lambda end: "too long" in end["stderr"]
    ),
}


def run_wicked_processes(root: Path, chance: Random, size: Size) -> Outcome:
    """Run many short commands while others misbehave."""
    outcome = Outcome()
    world = World(
        root / "processes",
        SCHEDULER_LOG_MAX_BYTES="1000000",
        SCHEDULER_LOG_BACKUPS="2000",
        SCHEDULER_TRIGGER_MAX_AGE_SECONDS="60",
    )
    for code in CODES:
        world.define(f"code{code}", f"exit {code}", concurrency_policy="allow")
    world.start_and_wait()
    _short_commands(world, chance, outcome, size.of(50, 300, 10_000))
    for _ in range(size.of(1, 1, 5)):
        _misbehave(world, outcome)
        _lose_the_directory(world, outcome)
        with _process_limit() as group:
            if group is None:
                outcome.counts["fork bombs not tried, no cgroup can be made"] += 1
            else:
                _fork_bomb(world, group, outcome)
    if size is Size.FULL:
        _five_gigabytes(world, outcome)
    outcome.expect(_zombies(world) == 0, f"{_zombies(world)} zombies at the end")
    world.settle()
    outcome.expect(world.stop() == 0, "the scheduler did not exit with 0")
    world.judge(outcome, "processes")
    if not outcome.findings:
        world.clear_up()
    return outcome


def _short_commands(world: World, chance: Random, outcome: Outcome, number: int) -> None:
    early, done = 0, 0
    while done < number:
        for each in range(done, min(done + BATCH, number)):
            world.ask(f"code{chance.choice(CODES)}", f"s{each}")
        done = min(done + BATCH, number)
        _wait_for_quiet(world)
        for path in world.triggers.iterdir():
            path.unlink()
        outcome.expect(_zombies(world) == 0, f"{_zombies(world)} zombies after {done} commands")
        if not early and done >= number / 5:
            early = _resident_bytes(world)
    ends = [line for line in world.lines("job_complete") if line["job_name"].startswith("code")]
    wrong = [line["run_id"] for line in ends if line["exit_code"] != int(line["job_name"].removeprefix("code"))]
    outcome.expect(not wrong, f"wrong exit codes: {wrong[:5]}")
    outcome.expect(len(ends) == number, f"{len(ends)} of {number} short commands ended")
    grown = _resident_bytes(world) - early
    outcome.expect(grown < MOST_GROWTH_BYTES, f"the scheduler grew by {grown >> 20} MiB")
    outcome.counts["short commands"] = len(ends)
    outcome.counts["grown by KiB"] = max(0, grown >> 10)
    outcome.counts["resident MiB at the end"] = _resident_bytes(world) >> 20


def _misbehave(world: World, outcome: Outcome) -> None:
    for name, wicked in WICKED.items():
        world.define(name, **{"concurrency_policy": "allow", **wicked.fields}, command=wicked.command)
    ends = _run_all(world, outcome, list(WICKED))
    for name, wicked in WICKED.items():
        end = ends[name]
        said = f"{end['status']}, {end['exit_code']}, {end['leftover_processes']} left, {end['stderr'][-100:]!r}"
        fits = (end["status"], end["exit_code"]) == (wicked.status, wicked.exit_code) and wicked.holds(end)
        outcome.expect(bool(fits), f"{name}: {said}")
        outcome.counts["commands that misbehave"] += 1


def _run_all(world: World, outcome: Outcome, names: list[str]) -> dict[str, Entry]:
    """Ask for one run of each job and return how it ended, by job."""
    outcome.counts["rounds"] += 1
    ids = {f"{name}-{outcome.counts['rounds']}": name for name in names}
    for request_id, name in ids.items():
        world.ask(name, request_id)

    def ends() -> dict[str, Entry]:
        return {ids[e["request_id"]]: e for e in world.lines("job_complete") if e["request_id"] in ids}

    wait_for(lambda: len(ends()) == len(ids), f"the ends of {', '.join(names)[:60]}", PATIENCE_SECONDS)
    return ends()


def _lose_the_directory(world: World, outcome: Outcome) -> None:
    """Remove the working directory under a run: it goes on; the next one cannot start."""
    directory = world.root / "directory"
    directory.mkdir()
    go = world.root / "go"
    world.define("homeless", f"while [ ! -e {go} ]; do sleep 0.05; done; echo on", working_directory=str(directory))
    outcome.counts["rounds"] += 1
    first = f"homeless-{outcome.counts['rounds']}"
    world.ask("homeless", first)
    wait_for(lambda: any(line["request_id"] == first for line in world.lines("job_start")), "the run to begin")
    time.sleep(0.2)
    directory.rmdir()
    go.touch()
    wait_for(lambda: any(line["request_id"] == first for line in world.lines("job_complete")), "the run to end")
    end = next(line for line in world.lines("job_complete") if line["request_id"] == first)
    outcome.expect((end["status"], end["stdout"]) == ("success", "on\n"), f"directory lost: {end['status']}")
    after = _run_all(world, outcome, ["homeless"])["homeless"]
    outcome.expect((after["status"], after["exit_code"]) == ("failure", 127), f"no directory: {after['exit_code']}")
    go.unlink()
    outcome.counts["directories removed"] += 1


@contextlib.contextmanager
def _process_limit() -> Iterator[Path | None]:
    """Give a cgroup (of either version) in which there can be 200 processes, None where none can be made."""
    base = next((path for path in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")) if path.is_dir()), None)
    group = None if base is None else base / f"chaos-{os.getpid()}"
    try:
        if group is not None:
            group.mkdir()
            (group / "pids.max").write_text("200")
    except OSError:
        group = None
    if group is None:
        yield None
        return
    try:
        yield group
    finally:
        wait_for(lambda: not (group / "cgroup.procs").read_text(), "the processes of the bomb to go")
        group.rmdir()


def _fork_bomb(world: World, group: Path, outcome: Outcome) -> None:
    """Let a job start processes that start processes; a job beside it still runs, and the timeout ends them all."""
    bomb = f"echo $$ > {group}/cgroup.procs; bomb() {{ bomb & bomb & wait; }}; bomb 2>/dev/null; sleep 600"
    world.define("bomb", bomb, timeout_seconds=1, kill_grace_seconds=1, concurrency_policy="allow")
    world.define("beside", "echo well")
    ends = _run_all(world, outcome, ["bomb", "beside"])
    bomb_end, beside = ends["bomb"], ends["beside"]
    outcome.expect(bomb_end["status"] == "timeout", f"bomb: {bomb_end['status']}")
    outcome.expect(bomb_end["leftover_processes"] == 0, f"bomb: {bomb_end['leftover_processes']} processes live on")
    outcome.expect(beside["status"] == "success", f"beside the bomb: {beside['status']}")
    outcome.counts["fork bombs"] += 1


def _five_gigabytes(world: World, outcome: Outcome) -> None:
    world.define("five-gigabytes", "head -c 5G /dev/zero", max_output_bytes=9 * GIB)
    before = _resident_bytes(world)
    end = _run_all(world, outcome, ["five-gigabytes"])["five-gigabytes"]
    said = end["status"], end["stdout_bytes"], end["truncated"]
    outcome.expect(said == ("success", 5 * GIB, True), f"5 GiB: {said}")
    grown = _resident_bytes(world) - before
    outcome.expect(grown < MOST_GROWTH_BYTES, f"5 GiB: the scheduler grew by {grown >> 20} MiB")
    shutil.rmtree(world.logs / "output" / "five-gigabytes")
    outcome.counts["GiB written"] += 5


def _wait_for_quiet(world: World) -> None:
    def is_quiet() -> bool:
        time.sleep(0.1)  # each look replays a file of the journal
        return not world.unanswered() and world.is_idle()

    wait_for(is_quiet, "the short commands to end", 300)


def _zombies(world: World) -> int:
    """Return how many dead children the scheduler has not waited for."""
    assert world.process is not None
    children = Path(f"/proc/{world.process.pid}/task/{world.process.pid}/children").read_text().split()
    states = []
    for child in children:
        with contextlib.suppress(OSError):
            states.append(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0])
    return states.count("Z")


def _resident_bytes(world: World) -> int:
    assert world.process is not None
    return int(Path(f"/proc/{world.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
