"""The logs volume fails: full, without inodes, read-only; the journal is removed, truncated, replaced, moved away.

Needs root, to mount file systems. What is expected is the contract's section on a journal that cannot be written.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from chaos.fakeclock import FastClock
from chaos.outcome import CannotRun, Outcome, Size
from chaos.world import World, wait_for
from sidecar import health, journal

SPEED = 60
BEGIN = datetime(2026, 3, 28, 22, tzinfo=UTC)
STANDS_STILL_SECONDS = 1.5


def break_the_disk(root: Path, chance: Random, size: Size) -> Outcome:
    """Play every disk fault, several times over in the full size, each in a world of its own. Raises CannotRun."""
    if os.geteuid() != 0:
        raise CannotRun("only root may mount file systems")
    outcome = Outcome()
    faults: tuple[Callable[[Path, Random, Outcome], None], ...] = (
        fill_it,
        fill_and_kill,
        use_up_inodes,
        make_read_only_for_good,
        start_on_read_only,
        forbid_writing,
        remove_journal,
        truncate_journal,
        replace_journal,
        move_journal_away,
        copy_and_truncate_journal,
        remove_directory,
    )
    for fault in size.sample(chance, faults, 2):
        for number in range(size.of(1, 1, 5)):
            try:
                fault(root / f"{fault.__name__}{number}", chance, outcome)
            except Exception as error:
                outcome.findings.append(f"{fault.__name__}: {error!r}")
            outcome.counts[fault.__name__.replace("_", " ")] += 1
    return outcome


@contextlib.contextmanager
def _world(root: Path, *, options: str = "", **settings: str) -> Iterator[World]:
    """A world with jobs whose logs, with `options`, are a file system of their own (tmpfs, or ext4 on a loop)."""
    world = World(root, FastClock(BEGIN, SPEED), SCHEDULER_LOG_BACKUPS="2000", **settings)
    world.logs.mkdir(exist_ok=True)
    if options == "ext4":
        image = root / "image"
        with image.open("wb") as file:
            file.truncate(16 << 20)
        _call("mkfs.ext4", "-q", str(image))
        _call("mount", "-o", "loop", str(image), str(world.logs))
    elif options:
        _call("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(world.logs))
    world.define("minutely", schedule="* * * * *", concurrency_policy="allow")
    world.define("again", "exit 1", retries={"max_attempts": 2, "initial_delay_seconds": 10})
    world.define("talks", "head -c 3000 /dev/zero | tr '\\0' x", concurrency_policy="allow")
    try:
        yield world
    finally:
        world.kill()
        if options:
            subprocess.run(["umount", "-l", str(world.logs)], check=False)
        world.clear_up()


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=30)


def _fill(directory: Path) -> Path:
    """Write until the file system is full; return the file that fills it."""
    filler = directory / "filler"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for size in (65536, 4096, 512, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(descriptor, b"x" * size)
    finally:
        os.close(descriptor)
    return filler


def _work(world: World, prefix: str, number: int = 5) -> None:
    for each in range(number):
        world.ask("talks" if each % 2 else "again", f"{prefix}{each}")


def _finish(world: World, outcome: Outcome, what: str, *, whole: bool = True) -> None:
    _work(world, "z")
    world.settle()
    wait_for((world.logs / health.HEARTBEAT).exists, f"a heartbeat afterwards ({what})")
    outcome.expect(world.stop() == 0, f"{what}: the scheduler did not exit with 0")
    world.judge(outcome, what, whole=whole)


def _is_degraded(world: World) -> bool:
    return "journal_degraded" in world.stderr() or any(e["event"] == "journal_degraded" for e in world.main_lines())


def _expect_no_answers(world: World, outcome: Outcome, what: str) -> None:
    """While the journal cannot be written, requests stay unanswered on disk, and are not run."""
    before = world.evidence.read_text()
    keys = [f"d{number}" for number in range(5)]
    for key in keys:
        world.ask("again", key)
    time.sleep(STANDS_STILL_SECONDS)
    answered = {line["request_id"] for line in world.lines("trigger_accepted", "trigger_rejected")}
    outcome.expect(not answered & set(keys), f"{what}: a request was answered that could not be written down")
    outcome.expect(not (world.logs / health.HEARTBEAT).exists(), f"{what}: the health check does not fail")
    outcome.counts["runs while degraded"] += len(world.evidence.read_text().split()) - len(before.split())


def fill_it(root: Path, chance: Random, outcome: Outcome) -> None:
    """The file system is full for a while, then has room again."""
    with _world(root, options="size=2m", SCHEDULER_LOG_MAX_BYTES="30000") as world:
        world.start_and_wait()
        _work(world, "a")
        time.sleep(chance.uniform(0, 1))
        filler = _fill(world.logs)
        wait_for(lambda: _is_degraded(world), "the journal to be degraded")
        _fill(world.logs)
        _expect_no_answers(world, outcome, "full")
        filler.unlink()
        _finish(world, outcome, "full")


def fill_and_kill(root: Path, chance: Random, outcome: Outcome) -> None:
    """The scheduler is killed while the file system is full, and started again while it is and when it is not.

    At most once does not hold for scheduled runs across a crash in that state, so there are none.
    """
    with _world(root, options="size=2m") as world:
        world.define("minutely", schedule="0 0 1 1 *")
        world.start_and_wait()
        _work(world, "a")
        wait_for(lambda: not world.unanswered() and world.is_idle(), "a quiet moment")
        filler = _fill(world.logs)
        for number in range(20):  # the file's last page still has room
            if not _is_degraded(world):
                world.ask("again", f"n{number}")
                time.sleep(chance.uniform(0.1, 0.5))
        wait_for(lambda: _is_degraded(world), "the journal to be degraded")
        _fill(world.logs)
        _expect_no_answers(world, outcome, "full and killed")
        world.kill()
        process = world.start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        outcome.counts[f"start on a full disk: {process.returncode or 'works, degraded'}"] += 1
        outcome.expect(not (world.logs / health.HEARTBEAT).exists(), "full and killed: healthy after a start")
        world.kill()
        filler.unlink()
        world.start_and_wait()
        _finish(world, outcome, "full and killed")


def use_up_inodes(root: Path, chance: Random, outcome: Outcome) -> None:
    """No file can be created: no output file, no rotated journal. Existing ones can be written."""
    with _world(root, options="size=8m,nr_inodes=60", SCHEDULER_LOG_MAX_BYTES="30000") as world:
        world.start_and_wait()
        _work(world, "a")
        time.sleep(chance.uniform(0, 1))
        hogs = []
        with contextlib.suppress(OSError):
            for number in range(100):
                hogs.append(world.logs / f"hog{number}")
                hogs[-1].touch()
        _work(world, "b", 20)
        wait_for(lambda: not world.unanswered(), "answers without inodes")
        time.sleep(STANDS_STILL_SECONDS)
        for hog in hogs:
            hog.unlink(missing_ok=True)
        codes = [line["exit_code"] for line in world.lines("job_complete")]
        outcome.counts["runs that could not start"] += codes.count(126)
        _finish(world, outcome, "no inodes")


def make_read_only_for_good(root: Path, chance: Random, outcome: Outcome) -> None:
    """The kernel makes a broken file system read-only; the scheduler is stopped, it is mounted again and goes on."""
    with _world(root, options="ext4") as world:
        world.start_and_wait()
        _work(world, "a")
        wait_for(lambda: not world.unanswered() and world.is_idle(), "a quiet moment")
        world.define("minutely", schedule="0 0 1 1 *")
        time.sleep(0.5)
        _call("mount", "-o", "remount,abort", str(world.logs))
        before = world.evidence.read_text()
        for number in range(3):
            world.ask("again", f"d{number}")
        time.sleep(STANDS_STILL_SECONDS)
        outcome.expect(_is_degraded(world), "read-only: journal_degraded was not said")
        outcome.expect(world.evidence.read_text() == before, "read-only: a request was run that has no answer")
        world.kill()
        _call("umount", str(world.logs))
        _call("mount", "-o", "loop", str(root / "image"), str(world.logs))
        world.start_and_wait()
        _finish(world, outcome, "read-only")


def start_on_read_only(root: Path, _: Random, outcome: Outcome) -> None:
    """A scheduler that cannot write says so and exits with 73."""
    with _world(root, options="size=2m") as world:
        world.start_and_wait()
        _work(world, "a")
        world.settle()
        world.stop()
        _call("mount", "-o", "remount,ro", str(world.logs))
        code = world.start().wait(30)
        outcome.expect(code == 73, f"read-only start: exit code {code}, expected 73")
        outcome.expect("Read-only file system" in world.stderr(), "read-only start: it does not say why")
        _call("mount", "-o", "remount,rw", str(world.logs))
        world.start_and_wait()
        _finish(world, outcome, "read-only start")


def forbid_writing(root: Path, chance: Random, outcome: Outcome) -> None:
    """Every write to the open journal fails (the immutable attribute), then works again."""
    with _world(root, options="ext4") as world:
        world.start_and_wait()
        _work(world, "a")
        time.sleep(chance.uniform(0, 1))
        _call("chattr", "+i", str(world.logs / journal.JOURNAL))
        wait_for(lambda: _is_degraded(world), "the journal to be degraded")
        _expect_no_answers(world, outcome, "immutable")
        _call("chattr", "-i", str(world.logs / journal.JOURNAL))
        _finish(world, outcome, "immutable")


def _meddle(root: Path, chance: Random, outcome: Outcome, what: str, meddle: Callable[[Path], None]) -> None:
    """Let somebody do something to the journal while work goes on; nothing asked may be lost or run twice."""
    with _world(root) as world:
        world.start_and_wait()
        _work(world, "a")
        time.sleep(chance.uniform(0.2, 1.5))
        meddle(world.logs / journal.JOURNAL)
        _work(world, "b")
        wait_for(lambda: not world.unanswered(), "answers afterwards")
        if chance.random() < 0.5:
            world.kill()
            world.start_and_wait()
        _finish(world, outcome, what, whole=False)
        ran = world.evidence.read_text().split()
        outcome.expect(len(ran) == len(set(ran)), f"{what}: a run left evidence twice")
        expected = {f"{prefix}{number}" for prefix in "abz" for number in range(5)}
        started = [line["request_id"] for line in world.lines("job_start") if line["trigger"] == "manual"]
        outcome.expect(len(started) == len(set(started)), f"{what}: a request was started twice")
        unknown = {key.split()[2] for key in world.unanswered()} & expected
        outcome.expect(not unknown, f"{what}: forgotten: {unknown}")


def remove_journal(root: Path, chance: Random, outcome: Outcome) -> None:
    """The journal is removed: it is begun anew from memory."""
    _meddle(root, chance, outcome, "removed", lambda path: path.unlink())


def truncate_journal(root: Path, chance: Random, outcome: Outcome) -> None:
    """The journal is emptied in place."""
    _meddle(root, chance, outcome, "truncated", lambda path: os.truncate(path, 0))


def replace_journal(root: Path, chance: Random, outcome: Outcome) -> None:
    """Another file takes the journal's place."""

    def meddle(path: Path) -> None:
        other = path.with_name("other")
        other.write_text("not ours\n")
        os.replace(other, path)

    _meddle(root, chance, outcome, "replaced", meddle)


def move_journal_away(root: Path, chance: Random, outcome: Outcome) -> None:
    """The journal is rotated as logrotate(8) does it by default: moved to another name."""
    _meddle(root, chance, outcome, "moved away", lambda path: os.rename(path, path.with_name("moved")))


def copy_and_truncate_journal(root: Path, chance: Random, outcome: Outcome) -> None:
    """The journal is rotated as logrotate's copytruncate does it."""

    def meddle(path: Path) -> None:
        shutil.copy(path, path.with_name("copied"))
        os.truncate(path, 0)

    _meddle(root, chance, outcome, "copied and truncated", meddle)


def remove_directory(root: Path, chance: Random, outcome: Outcome) -> None:
    """The whole logs directory is removed."""

    def meddle(path: Path) -> None:
        for _ in range(100):
            try:
                shutil.rmtree(path.parent)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                    raise
            if not path.parent.exists():
                return

    _meddle(root, chance, outcome, "directory removed", meddle)
