"""The admin's files and index: killed in the middle of a save, an index that is lost or damaged, logs that rotate."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from admin_ui.errors import AdminError, SchedulerSilent
from admin_ui.history import INDEX, JOURNAL
from admin_ui.job_management_service import ANSWER_SECONDS, JobManagementService
from admin_ui.model import JobConfig
from admin_ui.queries import Filter
from chaos.outcome import Outcome, Size
from chaos.world import wait_for
from tests import admin_lines

AT_ONCE = 20
WAITED_FOR_ANSWER_SECONDS = ANSWER_SECONDS + 20


def fault_the_admin(root: Path, chance: Random, size: Size) -> Outcome:
    """Kill it while it saves, take its index away, rotate the logs behind its back, and never answer."""
    outcome = Outcome()
    _kill_while_it_saves(root / "saves", chance, outcome, size.of(4, 15, 300))
    _damage_the_index(root / "index", chance, outcome, size.of(3, 8, 100))
    _rotate_behind_its_back(root / "rotated", chance, outcome, size.of(4, 20, 200))
    if size > Size.TINY:
        _never_answer(root / "silent", outcome)
    return outcome


# Saves


def _kill_while_it_saves(root: Path, chance: Random, outcome: Outcome, kills: int) -> None:
    """Every definition is a whole one at all times, and what a killed save leaves behind is cleared away later."""
    jobs = root / "jobs"
    (jobs / "triggers").mkdir(parents=True)
    left = 0
    for number in range(kills):
        command = [sys.executable, "-m", "chaos.saver", str(jobs), str(chance.random())]
        with subprocess.Popen(command, cwd=Path(__file__).parent.parent) as process:
            _wait_for_change(jobs, _state(jobs))
            time.sleep(chance.uniform(0, 0.05))
            process.kill()
        outcome.counts["kills while saving"] += 1
        for path in jobs.glob("*.json"):
            torn = _what_is_torn(path)
            outcome.expect(torn is None, f"kill {number}: {path.name}: {torn}")
        left = sum(path.name.startswith(".") for path in jobs.iterdir())
    outcome.counts["files left by killed saves"] = left
    mine = jobs / ".mine.tmp"
    mine.touch()
    service = JobManagementService(jobs, root / "logs")
    outcome.expect(service.clear_leftovers() == 0, "files of saves that may still go on were removed")
    service.clear_leftovers(0)
    service.stop()
    names = {path.name for path in jobs.iterdir() if path.name.startswith(".")}
    outcome.expect(names == {mine.name}, f"left behind for good, or removed wrongly: {sorted(names)}")
    _clear(root, outcome)


def _state(jobs: Path) -> frozenset[str]:
    """Return what tells two states of the directory apart; every save makes a new file."""
    return frozenset(f"{entry.name} {entry.inode()}" for entry in os.scandir(jobs) if entry.name.endswith(".json"))


def _wait_for_change(jobs: Path, before: frozenset[str]) -> None:
    wait_for(lambda: _state(jobs) != before, "the first save")


def _what_is_torn(path: Path) -> str | None:
    try:
        text = json.loads(path.read_bytes())["environment"]["TEXT"]
    except (ValueError, KeyError) as error:
        return repr(error)
    first, _, rest = text.partition(" ")
    return None if rest.endswith(f" {first}") else "of two versions"


# The index


class _Logs:
    """A journal that grows by one ended run at a time, and the service that follows it."""

    def __init__(self, root: Path) -> None:
        self.logs, self.data = root / "logs", root / "data"
        self.logs.mkdir(parents=True)
        (root / "jobs").mkdir()
        self.journal = self.logs / JOURNAL
        self.written = 0
        self._root = root

    def service(self) -> JobManagementService:
        """Return a service on these files; not started."""
        return JobManagementService(self._root / "jobs", self.logs, data_directory=self.data, keep_days=100_000)

    def append(self, number: int) -> None:
        """Let so many runs end."""
        runs = range(self.written, self.written + number)
        with self.journal.open("ab") as file:
            file.write(
                admin_lines.data(*(admin_lines.complete(f"r{each}", each, stdout=f"text{each}") for each in runs))
            )
        self.written += number

    def rotate(self) -> None:
        """Shift the files as the scheduler does."""
        numbers = sorted(int(path.suffix[1:]) for path in self.logs.glob(f"{JOURNAL}.*"))
        for number in reversed(numbers):
            os.rename(f"{self.journal}.{number}", f"{self.journal}.{number + 1}")
        os.rename(self.journal, f"{self.journal}.1")
        self.journal.touch()

    def problem(self, service: JobManagementService) -> str | None:
        """Return what the history lacks or has twice, None if it has every run once."""
        found = [result.run_id for result in service.get_job_history("job", self.written + 10)]
        if len(found) != self.written or set(found) != {f"r{each}" for each in range(self.written)}:
            return f"{len(found)} of {self.written} runs"
        if self.written and not service.get_history_page(Filter(text=f"text{self.written - 1}")).rows:
            return "the newest output is not found"
        return None


def _damage_the_index(root: Path, chance: Random, outcome: Outcome, rounds: int) -> None:
    """Remove, cut, overwrite and replace the index while it works and while it is down; it comes back whole."""
    world = _Logs(root)
    world.append(20)
    service = world.service()
    service.start()
    for number in range(rounds):
        is_down = chance.random() < 0.4
        if is_down:
            service.stop()
        damage = chance.choice(DAMAGES)
        damage(world.data / INDEX, chance)
        outcome.counts[f"index {damage.__name__.strip('_').replace('_', ' ')}"] += 1
        outcome.counts["times the index was damaged"] += 1
        if is_down:
            service = world.service()
            service.start()
        world.append(chance.randint(1, 30))
        _expect_history(world, service, outcome, f"damage {number} ({damage.__name__}, {'down' if is_down else 'up'})")
    service.stop()
    _clear(root, outcome)


def _expect_history(world: _Logs, service: JobManagementService, outcome: Outcome, what: str) -> None:
    """Wait until the history is whole."""
    said: list[str | None] = [None]

    def is_whole() -> bool:
        try:
            said[0] = world.problem(service)
        except AdminError as error:
            said[0] = str(error)
        return said[0] is None

    try:
        wait_for(is_whole, f"the history after {what}", 30)
    except Exception as error:
        outcome.findings.append(f"{error}: {said[0]}")
    outcome.counts["histories compared"] += 1


def _removed(index: Path, chance: Random) -> None:
    for suffix in chance.choice((("",), ("-wal",), ("", "-wal", "-shm"))):
        Path(f"{index}{suffix}").unlink(missing_ok=True)


def _cut(index: Path, chance: Random) -> None:
    if index.exists():
        os.truncate(index, chance.randrange(index.stat().st_size + 1))


def _overwritten(index: Path, chance: Random) -> None:
    if index.exists():
        with index.open("r+b") as file:
            file.seek(chance.randrange(max(1, index.stat().st_size)))
            file.write(chance.randbytes(20_000))


def _replaced(index: Path, chance: Random) -> None:
    other = index.with_name("other")
    other.write_bytes(chance.choice((b"", b"no database\n" * 1000, chance.randbytes(50_000))))
    os.replace(other, index)


def _directory_removed(index: Path, _: Random) -> None:
    shutil.rmtree(index.parent, ignore_errors=True)


DAMAGES: tuple[Callable[[Path, Random], None], ...] = (_removed, _cut, _overwritten, _replaced, _directory_removed)


def _rotate_behind_its_back(root: Path, chance: Random, outcome: Outcome, rounds: int) -> None:
    """Rotate once or often, in the middle of what was read, while it is down or works: every run is there once."""
    world = _Logs(root)
    world.append(5)
    service = world.service()
    service.start()
    for number in range(rounds):
        is_down = chance.random() < 0.6
        if is_down:
            service.stop()
        for _ in range(chance.randint(1, 3)):
            world.append(chance.randint(0, 5))
            world.rotate()
            outcome.counts["rotations"] += 1
        world.append(chance.randint(1, 5))
        if is_down:
            service = world.service()
            service.start()
        _expect_history(world, service, outcome, f"rotation {number}")
    service.stop()
    _clear(root, outcome)


# The scheduler


def _never_answer(root: Path, outcome: Outcome) -> None:
    """Trigger many times at once without a scheduler: each is told, none hangs, and the rest of the service works."""
    world = _Logs(root)
    service = world.service()
    service.create_job(JobConfig("job", "0 0 1 1 *", "true", "/", True))
    service.start()
    looks, done = 0, threading.Event()

    def trigger() -> bool:
        try:
            service.trigger_job("job", requested_by="anna")
        except SchedulerSilent:
            return True
        return False

    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = [pool.submit(trigger) for _ in range(AT_ONCE)]
        for each in asked:
            each.add_done_callback(lambda _: done.set())
        while not done.is_set():
            service.overview()
            looks += 1
            time.sleep(0.05)
        told = [each.result(WAITED_FOR_ANSWER_SECONDS) for each in asked]
    outcome.expect(all(told), f"{told.count(False)} of {AT_ONCE} were not told that the scheduler is silent")
    files = len(list((root / "jobs" / "triggers").glob("*.json")))
    outcome.expect(files == AT_ONCE, f"{files} of {AT_ONCE} requests are left for a scheduler to come")
    outcome.expect(looks > 10, "the overview was not there meanwhile")
    outcome.counts["requests without an answer"] += AT_ONCE
    service.stop()
    _clear(root, outcome)


def _clear(root: Path, outcome: Outcome) -> None:
    if not outcome.findings:
        shutil.rmtree(root)
