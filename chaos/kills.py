"""kill -9 at random instants while schedules fire each second, requests arrive and definitions change."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from chaos.fakeclock import FastClock
from chaos.outcome import Outcome, Size
from chaos.world import World

SPEED = 60
"""A minute passes in a second: `* * * * *` fires each second of an experiment."""

KILLS_A_WORLD = 30

JOBS: dict[str, dict[str, Any]] = {
    "quick": {"concurrency_policy": "allow"},
    "forbid": {"command": "sleep 0.4"},
    "replace": {"command": "sleep 0.8", "concurrency_policy": "replace", "kill_grace_seconds": 5},
    "flaky": {"command": "exit $(($$ % 2))", "retries": {"max_attempts": 3, "initial_delay_seconds": 10}},
    "tree": {"command": "setsid sleep 0.3 & sleep 0.2", "retries": {"max_attempts": 2, "initial_delay_seconds": 1}},
    "stubborn": {"command": "trap '' TERM; sleep 0.5; sleep 0.5", "timeout_seconds": 20, "kill_grace_seconds": 10},
    "hurried": {"starting_deadline_seconds": 0, "jitter_seconds": 30},
}
SCHEDULES = ("* * * * *", "*/2 * * * *", "*/3 * * * *", "1-59/2 * * * *")


def kill_at_random(root: Path, chance: Random, size: Size) -> Outcome:
    """Kill schedulers, in several worlds, and judge each world's journal."""
    outcome, kills = Outcome(), size.of(4, 30, 330)
    for number in range(0, kills, KILLS_A_WORLD):
        clock = FastClock(datetime(2026, 3, 28, 22, tzinfo=UTC), SPEED)
        world = World(
            root / f"kills{number}",
            clock,
            SCHEDULER_MAX_CONCURRENT_RUNS=str(chance.choice((2, 4, 32))),
            SCHEDULER_LOG_MAX_BYTES=str(chance.choice((20_000, 100_000))),
            SCHEDULER_LOG_BACKUPS="2000",
            SCHEDULER_WATCH=chance.choice(("inotify", "inotify", "polling")),
        )
        _Storm(world, chance, outcome).play(min(KILLS_A_WORLD, kills - number))
        world.judge(outcome, f"world {number // KILLS_A_WORLD}")
        if not outcome.findings:
            world.clear_up()
    return outcome


class _Storm:
    def __init__(self, world: World, chance: Random, outcome: Outcome) -> None:
        self._world = world
        self._chance = chance
        self._outcome = outcome
        self._requests = 0

    def play(self, kills: int) -> None:
        for name in JOBS:
            self._define(name)
        for _ in range(kills):
            self._world.start()
            early = self._chance.random() < 0.3
            self._act_until(time.monotonic() + self._chance.uniform(0.05, 0.5) if early else self._late())
            self._world.kill()
            self._outcome.counts["kills"] += 1
        self._finish()

    def _late(self) -> float:
        return time.monotonic() + self._chance.uniform(0.5, 2.5)

    def _finish(self) -> None:
        pause = self._world.jobs / "PAUSE"
        pause.unlink(missing_ok=True)
        for name in JOBS:
            self._define(name)
        self._world.start_and_wait()
        self._act_until(time.monotonic() + 1)
        pause.unlink(missing_ok=True)
        self._world.settle()
        self._outcome.expect(self._world.stop() == 0, "the last scheduler did not exit with 0")

    def _act_until(self, deadline: float) -> None:
        acts = (
            (30, self._ask),
            (6, self._ask_twice),
            (6, self._touch),
            (8, self._cancel),
            (8, self._change),
            (1, self._break),
            (1, self._remove),
            (2, self._toggle_pause),
            (3, self._take_away_an_answered_request),
        )
        while time.monotonic() < deadline:
            self._chance.choices([act for _, act in acts], [weight for weight, _ in acts])[0]()
            time.sleep(self._chance.uniform(0, 0.08))

    def _any_job(self) -> str:
        return self._chance.choice(list(JOBS))

    def _next_id(self) -> str:
        self._requests += 1
        self._outcome.counts["requests"] += 1
        return f"q{self._requests}"

    def _define(self, name: str, **fields: Any) -> None:
        schedule = self._chance.choice(SCHEDULES)
        self._world.define(name, **{"schedule": schedule, **JOBS[name], **fields})

    def _ask(self) -> None:
        self._world.ask(self._any_job(), self._next_id())

    def _ask_twice(self) -> None:
        job_name, request_id = self._any_job(), self._next_id()
        self._world.ask(job_name, request_id)
        path = self._world.triggers / f"{request_id}.json"
        os.replace(self._copy(path), path.with_name(f"{request_id}-again.json"))

    def _copy(self, path: Path) -> Path:
        copy = path.with_name(f".{path.name}.copy")
        copy.write_bytes(path.read_bytes())
        os.utime(copy, ns=(path.stat().st_mtime_ns,) * 2)
        return copy

    def _touch(self) -> None:
        # Touched again before it is read it would be one request, so each job's file is touched once.
        name = self._any_job()
        if not (self._world.triggers / name).exists():
            self._outcome.counts["requests"] += 1
            self._world.touch(name)

    def _cancel(self) -> None:
        self._world.ask(self._any_job(), self._next_id(), "cancel")

    def _change(self) -> None:
        enabled = self._chance.random() < 0.9
        self._define(self._any_job(), enabled=enabled, description=f"change {self._chance.random()}")
        self._outcome.counts["definition changes"] += 1

    def _break(self) -> None:
        (self._world.jobs / f"{self._any_job()}.json").write_text('{"name": "broken", "schedule": "61 * * * *"}')
        self._outcome.counts["definition changes"] += 1

    def _remove(self) -> None:
        (self._world.jobs / f"{self._any_job()}.json").unlink(missing_ok=True)
        self._outcome.counts["definition changes"] += 1

    def _toggle_pause(self) -> None:
        pause = self._world.jobs / "PAUSE"
        if pause.exists():
            pause.unlink()
        else:
            pause.touch()

    def _take_away_an_answered_request(self) -> None:
        try:
            answers = self._world.ledger().answers
        except (OSError, json.JSONDecodeError):
            return
        answered = [path for key, path in self._world.asked.items() if key in answers and path.exists()]
        if answered:
            self._chance.choice(answered).unlink()
            self._outcome.counts["answered requests removed"] += 1
