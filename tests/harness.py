"""A scheduler in temporary directories with a clock that tests move and processes that tests end."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from sidecar import journal
from sidecar.clock import Clock
from sidecar.errors import StartError
from sidecar.scheduler import JobScheduler
from sidecar.settings import Settings
from sidecar.targets import Exit, Launch

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
REFUSED_COMMAND = "refused"


async def until(condition: Callable[[], object]) -> None:
    """Wait for what real processes or files bring about; 30 s at most."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def stamp(moment: datetime) -> str:
    """Return an instant as the logs have it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


EVENT_SCHEMA = Path(__file__).parent.parent / "schemas" / "event.schema.json"


@cache
def event_validator(event: str) -> Draft202012Validator:
    """Return the validator of one event's lines (the whole schema tries every event's rules on every line)."""
    schema = json.loads(EVENT_SCHEMA.read_text())
    assert event in schema["properties"]["event"]["enum"], f"{event} is not in the contract"
    return Draft202012Validator({"$ref": f"#/$defs/{event}", "$defs": schema["$defs"]})


def check_events(logs: Path) -> None:
    """Hold every line that a scheduler wrote in `logs` against the contract."""
    for name in (journal.JOURNAL, journal.MAIN_LOG):
        for file in journal.files(logs / name):
            for line in journal.entries(file):
                problem = next(event_validator(line["event"]).iter_errors(line), None)
                assert problem is None, f"{line['event']}: {problem}"


class FakeClock(Clock):
    """Both clocks stand still until they are moved."""

    def __init__(self, now: datetime = NOON) -> None:
        self._now = now
        self._monotonic = 1_000_000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float = 0, **more: float) -> None:
        """Let time pass."""
        passed = timedelta(seconds=seconds, **more)
        self._now += passed
        self._monotonic += passed.total_seconds()

    def set_wall(self, now: datetime) -> None:
        """Set the wall clock, as an operator or NTP does."""
        self._now = now


class FakeProcess:
    """A process that runs until the test, or a signal, ends it."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.stubborn = False
        self._stdout: int | None = os.dup(launch.stdout)  # a process has its own
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    def finish(self, exit_code: int = 0, output: bytes = b"") -> None:
        """End the process by itself."""
        if not self._exit.done() and self._stdout is not None:
            os.write(self._stdout, output)
            self._end(Exit(exit_code=exit_code, signal=None, cpu_seconds=0.01, max_rss_bytes=1 << 20))

    @property
    def ended(self) -> bool:
        return self._exit.done()

    @property
    def open_files(self) -> str:
        return "/nowhere"

    async def wait(self) -> Exit:
        return await asyncio.shield(self._exit)

    def leftovers(self) -> int:
        return 0

    async def end(self, grace_seconds: float) -> int:
        if self.stubborn:
            await asyncio.shield(self._exit)
        if not self._exit.done():
            self._end(Exit(exit_code=143, signal=15, cpu_seconds=0.01, max_rss_bytes=1 << 20))
        return 0

    def vanish(self) -> None:
        """Let nothing of it be left, and nobody hear of it."""
        if self._stdout is not None:
            os.close(self._stdout)
            self._stdout = None

    def _end(self, how: Exit) -> None:
        self.vanish()
        self._exit.set_result(how)


class FakeTarget:
    """Starts fake processes; `processes` has them by run id, in the order of their start."""

    def __init__(self, leftovers_gone: asyncio.Event | None = None) -> None:
        self.leftovers_gone = leftovers_gone
        self.processes: dict[str, FakeProcess] = {}
        self.ended: list[str] = []

    async def start(self, launch: Launch) -> FakeProcess:
        if launch.command == REFUSED_COMMAND:
            raise StartError(126, "refused by the test")
        self.processes[launch.run_id] = FakeProcess(launch)
        return self.processes[launch.run_id]

    async def end_run(self, run_id: str, grace_seconds: float) -> int:
        self.ended.append(run_id)
        if self.leftovers_gone is not None:
            await self.leftovers_gone.wait()
        return 0


class World:
    """The directories, the clock, and the scheduler that lives in them at the moment."""

    def __init__(self, root: Path, *, watch: str = "polling", **settings: Any) -> None:
        self.jobs, self.logs = root / "jobs", root / "logs"
        (self.jobs / "triggers").mkdir(parents=True)
        self.logs.mkdir()
        self.clock = FakeClock()
        self.target = FakeTarget()
        # Nobody starts the watcher here: `step` looks at everything.
        self.settings = Settings(jobs_dir=self.jobs, logs_dir=self.logs, watch=watch, **settings)
        self.new_target = lambda: FakeTarget(self.leftovers_gone)
        self.scheduler: JobScheduler
        self.leftovers_gone: asyncio.Event | None = None
        """Set beforehand, a scheduler that boots has to wait for it before what the last one left is dead."""

        self._length: int | None = None

    # What an operator does

    def job(self, name: str = "job", schedule: str = "0 * * * *", **fields: Any) -> None:
        """Write a definition."""
        document = {
            "name": name,
            "schedule": schedule,
            "command": "true",
            "working_directory": "/",
            "enabled": True,
            **fields,
        }
        self._put(self.jobs / f"{name}.json", json.dumps(document))

    def remove_job(self, name: str = "job") -> None:
        """Delete a definition, and let the time pass that a removal has to stand."""
        (self.jobs / f"{name}.json").unlink()

    def request(self, name: str = "r1.json", action: str = "run", job_name: str = "job", **fields: Any) -> None:
        """Drop a request document; it names itself so that it acts at once."""
        document = {"action": action, "job_name": job_name, "request_id": name, **fields}
        self._put(self.jobs / "triggers" / name, json.dumps(document))

    def _put(self, path: Path, text: str) -> None:
        beside = path.with_name(f".{path.name}")
        beside.write_text(text)
        moment = self.clock.now().timestamp()
        os.utime(beside, (moment, moment))
        os.replace(beside, path)

    # The scheduler

    async def boot(self) -> None:
        """Start a scheduler, as after a crash if there was one already."""
        self.target = self.new_target()
        self.scheduler = JobScheduler(
            self.jobs, self.logs, settings=self.settings, clock=self.clock, target=self.target, environment={}
        )
        await self.step()

    def crash(self) -> None:
        """Let the scheduler and all that it started die, with what is not on disk; `boot` starts the next one."""
        for process in self.target.processes.values():
            process.vanish()
        self.scheduler.logger.abandon("the scheduler died")
        self.scheduler.logger.close()

    async def step(self, times: int = 1) -> None:
        """Let the scheduler look at everything, and let what it started go as far as it can."""
        for _ in range(times):
            self.scheduler.rescan()
            self.scheduler.step()
            await self._turn()
        self.scheduler.step()
        await self._turn()

    async def at(self, moment: datetime) -> None:
        """Let time pass until `moment` and step."""
        self.clock.advance((moment - self.clock.now()).total_seconds())
        await self.step()

    async def settle(self) -> None:
        """Let invalid files and removals stand for as long as they have to."""
        await self.step()
        self.clock.advance(0.6)
        await self.step()

    async def finish(self, run_id: str, exit_code: int = 0, output: bytes = b"") -> None:
        """End a run's process and let the scheduler notice."""
        self.target.processes[run_id].finish(exit_code, output)
        await self.step()

    async def _turn(self) -> None:
        for _ in range(25):
            await asyncio.sleep(0)

    # What can be seen

    def end(self) -> None:
        """Have `lines` leave out what comes from now on: the story is over, the rest is clearing up."""
        self._length = len(self.lines())

    @property
    def running(self) -> list[str]:
        """The ids of the runs that are going."""
        return [run.run_id for run in self.scheduler.ledger.open]

    def lines(self, *events: str) -> list[dict[str, Any]]:
        """Return the journal's lines, those of `events` only if any are named; checkpoints never."""
        files = reversed(journal.files(self.logs / journal.JOURNAL))
        found = [line for file in files for line in journal.entries(file)]
        wanted = [line for line in found if line["event"] != "checkpoint"][: self._length]
        return [line for line in wanted if line["event"] in events] if events else wanted

    def main_lines(self, *events: str) -> list[dict[str, Any]]:
        """Return the main log's lines of these events."""
        return [line for line in journal.entries(self.logs / journal.MAIN_LOG) if line["event"] in events]

    def names(self) -> list[str]:
        """Return the journal's events in order."""
        return [line["event"] for line in self.lines()]


def play(root: Path, story: Callable[[World], Awaitable[None]], **settings: Any) -> World:
    """Run a story in a fresh world and return the world."""
    world = World(root, **settings)

    async def run() -> None:
        await story(world)
        world.scheduler.logger.commit()
        world.end()
        for process in world.target.processes.values():
            process.stubborn = False
            process.finish()
        await world._turn()
        world.scheduler.logger.close()

    asyncio.run(run())
    check_events(world.logs)
    return world
