"""The promise itself: whatever happens, each scheduled time and each request ends once, and nothing starts twice.

Walks over the real scheduler, with a clock and processes of its own: definitions come, change and go, requests are
made and taken back, runs end, time passes, the clock is set, the disk fills up, and the scheduler stops or dies and
starts again. Then the audit judges the journal, and each process is held against it.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import journal, linefile
from sidecar.audit import audit, terms_of, worked_until
from sidecar.audit_events import Terms
from sidecar.audit_files import read_journal
from sidecar.config import ConfigLoader, digest
from sidecar.targets import Launch
from tests.harness import FakeProcess, FakeTarget, World, check_events

JOBS = ("a", "b", "c")
SCHEDULES = ("* * * * *", "*/5 * * * *", "30 12-14 * * *", "0 0 * * *", "59 23 31 12 *")
PAUSES = (0.02, 1, 29, 60, 61, 300, 3_599, 3_601, 4 * 3_600, 86_400)
TIMED = ("schedule", "catch_up")
RETRIES = {"max_attempts": 3, "initial_delay_seconds": 60}
DOWN = (0.1, 65, 7_200)
SETTINGS_BACK_AND_FORTH = (-5 * 3_600, -3 * 3_600, -3_600, -61, -30, -1.5, 0.5, 30, 3_600, 86_400)

Act = Callable[["Walk"], Awaitable[None]]


class Witness(FakeTarget):
    """Starts processes, and notes those whose start was not on disk before.

    While nothing can be written, runs that a schedule asks for may start nevertheless, and no others.
    """

    def __init__(self, walk: Walk) -> None:
        super().__init__(walk.world.leftovers_gone)
        self._walk = walk

    async def start(self, launch: Launch) -> FakeProcess:
        written = {line["run_id"] for line in self._walk.world.lines("job_start")}
        self._walk.started[launch.run_id] += 1
        is_excused = self._walk.world.scheduler.logger.degraded and launch.environment["JOB_TRIGGER"] in TIMED
        if launch.run_id not in written and not is_excused:
            self._walk.unwritten.append(launch.run_id)
        return await super().start(launch)


class Walk:
    """One story, and what has to be remembered of it to judge the journal.

    What somebody does is seen with the next look, which may come only after more of it, or after the scheduler died.
    """

    def __init__(self, root: Path, **settings: Any) -> None:
        self.world = World(root, **settings)
        self.world.new_target = lambda: Witness(self)
        self.triggers = self.world.jobs / "triggers"
        self.pause_file = self.world.jobs / "PAUSE"
        self.started: Counter[str] = Counter()
        self.unwritten: list[str] = []
        self.room: int | None = None
        self.made = 0
        self.seen: set[str] = set()
        self.terms: dict[str, Terms] = {}

    @property
    def going(self) -> list[FakeProcess]:
        return [process for process in self.world.target.processes.values() if not process.ended]

    async def define(self, name: str, **fields: Any) -> None:
        self.world.job(name, **fields)
        data = (self.world.jobs / f"{name}.json").read_bytes()
        self.terms[digest(data)] = terms_of(ConfigLoader(self.world.jobs).parse(f"{name}.json", data), "UTC")

    async def spoil(self, name: str) -> None:
        (self.world.jobs / f"{name}.json").write_text("{")

    async def remove(self, name: str) -> None:
        (self.world.jobs / f"{name}.json").unlink(missing_ok=True)

    async def ask(self, action: str, name: str, files: int) -> None:
        """Make one request, in more than one file maybe."""
        self.made += 1
        for number in range(files):
            self.world.request(f"{self.made}-{number}.json", action, name, request_id=f"request-{self.made}")

    async def clear_requests(self) -> None:
        for file in self.triggers.iterdir():
            file.unlink()

    async def pause(self, on: bool) -> None:
        if on:
            self.pause_file.touch()
        else:
            self.pause_file.unlink(missing_ok=True)

    async def end_one(self, exit_code: int) -> None:
        for process in self.going[:1]:
            process.finish(exit_code, b"x" * 100)
            await self.world._turn()

    async def look(self) -> None:
        await self.world.step()
        if not self.world.scheduler.runs.draining and not self.world.scheduler.logger.degraded:
            self.seen |= {json.loads(file.read_text())["request_id"] for file in self.triggers.glob("[!.]*")}

    async def wait(self, seconds: float) -> None:
        self.world.clock.advance(seconds)
        await self.look()

    async def set_clock(self, seconds: float) -> None:
        self.world.clock.set_wall(self.world.clock.now() + timedelta(seconds=seconds))

    async def fill_disk(self, on: bool, left: int) -> None:
        """Have room for so many bytes more of the logs, or for all."""
        self.room = left if on else None

    def write(self, descriptor: int, data: bytes) -> None:
        """Stand in for `files.write_all` on that disk."""
        fits = data if self.room is None else data[: self.room]
        os.write(descriptor, fits)
        if self.room is not None:
            self.room -= len(fits)
        if len(fits) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def die(self, torn: bool, seconds: float) -> None:
        if self.world.scheduler.logger.degraded:  # the promise does not hold across a crash then
            await self.make_room()
        self.room = None  # else it does not start
        self.world.crash()
        if torn:
            with open(self.world.logs / journal.JOURNAL, "ab") as file:
                file.write(b'{"timestamp": "2026-')
        self.world.clock.advance(seconds)
        await self.world.boot()

    async def restart(self, seconds: float) -> None:
        """Stop the scheduler and let it drain; the next one starts so much later."""
        self.world.scheduler.shutdown()
        await self.look()
        self.world.scheduler.shutdown()  # again: what is going is ended
        await self.make_room()
        assert self.world.scheduler.runs.idle
        self.world.scheduler.logger.close()
        self.world.clock.advance(seconds)
        await self.world.boot()

    async def make_room(self) -> None:
        await self.fill_disk(False, 0)
        await self.look()

    async def come_to_an_end(self) -> None:
        """Leave the scheduler enough time for all that it still owes."""
        await self.pause(False)
        await self.make_room()
        for _ in range(5):
            await self.wait(31)
            while self.going:
                await self.end_one(0)
                await self.look()

    def judge(self) -> None:
        main = list(journal.entries(self.world.logs / journal.MAIN_LOG))
        report = audit(read_journal(self.world.logs), terms=self.terms, worked_until=worked_until(main))
        answers = Counter(line["request_id"] for line in self.world.lines("trigger_accepted", "trigger_rejected"))
        check_events(self.world.logs)

        assert [f"{finding.place}: {finding.rule}: {finding.message}" for finding in report.findings] == []
        assert not report.open
        assert [run_id for run_id, times in self.started.items() if times > 1] == []
        assert self.unwritten == []
        assert set(answers.values()) <= {1}
        assert self.seen <= answers.keys()


jobs = st.sampled_from(JOBS)
definitions = st.fixed_dictionaries(
    {"schedule": st.sampled_from(SCHEDULES)},
    optional={
        "enabled": st.booleans(),
        "concurrency_policy": st.sampled_from(("forbid", "allow", "replace")),
        "retries": st.just(RETRIES),
        "jitter_seconds": st.sampled_from((20, 300)),
        "starting_deadline_seconds": st.sampled_from((0, 30, 100_000)),
    },
)
acts: st.SearchStrategy[Act] = st.one_of(
    st.builds(lambda name, fields: lambda walk: walk.define(name, **fields), jobs, definitions),
    st.builds(lambda name: lambda walk: walk.spoil(name), jobs),
    st.builds(lambda name: lambda walk: walk.remove(name), jobs),
    st.builds(
        lambda action, name, files: lambda walk: walk.ask(action, name, files),
        st.sampled_from(("run", "run", "cancel")),
        jobs,
        st.integers(1, 2),
    ),
    st.just(lambda walk: walk.clear_requests()),
    st.builds(lambda on: lambda walk: walk.pause(on), st.booleans()),
    st.builds(lambda code: lambda walk: walk.end_one(code), st.sampled_from((0, 1))),
    st.just(lambda walk: walk.look()),
    st.builds(lambda seconds: lambda walk: walk.wait(seconds), st.sampled_from(PAUSES)),
    st.builds(lambda seconds: lambda walk: walk.set_clock(seconds), st.sampled_from(SETTINGS_BACK_AND_FORTH)),
    st.builds(lambda on, left: lambda walk: walk.fill_disk(on, left), st.booleans(), st.sampled_from((0, 300, 3_000))),
    st.builds(lambda torn, s: lambda walk: walk.die(torn, s), st.booleans(), st.sampled_from(DOWN)),
    st.builds(lambda s: lambda walk: walk.restart(s), st.sampled_from(DOWN)),
)


async def _take(walk: Walk, steps: list[Act]) -> None:
    await walk.world.boot()
    for name, policy in zip(JOBS, ("forbid", "allow", "replace"), strict=True):
        await walk.define(name, schedule="* * * * *", concurrency_policy=policy, retries=RETRIES)
    for act in steps:
        await act(walk)
    await walk.come_to_an_end()
    walk.world.scheduler.logger.commit()
    walk.world.crash()


# Feature: production-jobs-scheduler: the promise of the design, section 1
@given(
    steps=st.lists(acts, min_size=20, max_size=50),
    limit=st.sampled_from((1, 2, 32)),
    log_bytes=st.sampled_from((4_000, 10**7)),
)
def test_every_time_and_every_request_ends_once_and_nothing_starts_twice(steps, limit, log_bytes):
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as root:
        walk = Walk(Path(root), max_concurrent_runs=limit, log_max_bytes=log_bytes, log_backups=1_000)
        patch.setattr(linefile, "write_all", walk.write)
        asyncio.run(_take(walk, steps))
        walk.judge()
