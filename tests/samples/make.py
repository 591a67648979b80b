"""`python -m tests.samples.make`: write what this version leaves behind to tests/samples/VERSION/, once a release.

A killed scheduler's jobs and logs with every event of the journal in several files, a run that was going, one that
was queued and a retry that was due; and `expected.json`, what this version made of them. Later versions have to read
the same out of them: tests/integration/test_upgrade.py. Needs faketime, so that every sample is from one night.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from chaos.fakeclock import FastClock
from chaos.world import World, end_processes, wait_for
from sidecar import __version__
from sidecar.ledger import Ledger
from tests.harness import EVENT_SCHEMA

SAMPLES = Path(__file__).parent
SPEED = 60
JOURNALED = (
    *("trigger_accepted", "trigger_rejected", "job_queued", "job_start", "job_complete"),
    *("job_skipped", "job_missed", "checkpoint"),
)


def main() -> int:
    """Play the story and keep its files."""
    target = SAMPLES / __version__
    if target.exists():
        print(f"{target} is there already; a released version's sample never changes", file=sys.stderr)
        return 1
    root = Path(tempfile.mkdtemp(prefix="sample-"))
    clock = FastClock(datetime(2026, 3, 28, 22, tzinfo=UTC), SPEED)
    world = World(
        root,
        clock,
        SCHEDULER_LOG_MAX_BYTES="12000",
        SCHEDULER_LOG_BACKUPS="50",
        SCHEDULER_MAX_CONCURRENT_RUNS="2",
    )
    try:
        _play(world, clock)
        for folder in ("jobs", "logs"):
            shutil.copytree(root / folder, target / folder)
        (target / "logs" / ".lock").unlink()
        (target / "expected.json").write_text(json.dumps(summary(world.ledger()), indent=1) + "\n")
    finally:
        end_processes(root)
    missing = set(JOURNALED) - {line["event"] for line in world.lines(*JOURNALED)}
    assert not missing, f"the sample lacks {missing}; the events are those of {EVENT_SCHEMA.name}"
    shutil.rmtree(root)
    return 0


def summary(ledger: Ledger) -> dict[str, Any]:
    """Return what has to be read out of a sample: runs by state, answers, and each job's place in time."""
    document = ledger.checkpoint()
    runs = {state: sorted(run["run_id"] for run in document[state]) for state in ("open", "pending", "retries")}
    return {**runs, "answers": sorted(document["answers"]), "jobs": document["jobs"]}


def _play(world: World, clock: FastClock) -> None:
    world.define("minutely", "echo line; echo error >&2", schedule="* * * * *", concurrency_policy="allow")
    world.define("hourly", schedule="0 * * * *", starting_deadline_seconds=0, timezone="Europe/Berlin")
    world.define("slow", "sleep 600", retries={"max_attempts": 2, "initial_delay_seconds": 0})
    world.define("fails", "exit 3", retries={"max_attempts": 2, "initial_delay_seconds": 3600})
    world.define("late", "sleep 600", timeout_seconds=30)
    world.define("talks", "head -c 100000 /dev/zero | tr '\\0' x")
    world.define("floods", "head -c 2000 /dev/zero; sleep 600", max_output_bytes=1000)
    world.define("disabled", enabled=False)
    (world.jobs / "broken.json").write_text('{"name": "broken"}')
    world.start_and_wait()
    for name in ("talks", "floods", "late", "fails"):
        world.ask(name, f"first-{name}")
    world.ask("disabled", "refused")
    world.touch("minutely")
    _wait_for_ends(world, 5)
    world.ask("slow", "first-slow")
    _wait_for_starts(world, "slow", 1)
    world.ask("slow", "cancel-slow", "cancel")
    _wait_for_ends(world, 6)
    wait_for(lambda: any(line["trigger"] == "schedule" for line in world.lines("job_start")), "a scheduled run")
    (world.jobs / "PAUSE").touch()
    wait_for(lambda: any(line["event"] == "paused" for line in world.main_lines()), "the pause")
    time.sleep(1.5)  # a time or two of the fast clock pass
    (world.jobs / "PAUSE").unlink()
    wait_for(lambda: world.lines("job_skipped"), "the times of the pause")
    world.ask("slow", "second-slow")
    _wait_for_starts(world, "slow", 2)
    world.kill()  # its end will be `interrupted`
    clock.forward(timedelta(minutes=70))
    world.start_and_wait()
    wait_for(lambda: world.lines("job_missed"), "the times of the night")
    _wait_for_starts(world, "slow", 3)
    world.ask("late", "second-late")
    _wait_for_starts(world, "late", 2)
    world.ask("talks", "waits")
    wait_for(lambda: any(line["job_name"] == "talks" for line in world.lines("job_queued")), "a queued run")
    world.kill()


def _wait_for_ends(world: World, number: int) -> None:
    wait_for(lambda: len(world.lines("job_complete")) >= number, f"{number} ends")


def _wait_for_starts(world: World, job_name: str, number: int) -> None:
    wait_for(
        lambda: sum(line["job_name"] == job_name for line in world.lines("job_start")) >= number,
        f"start {number} of {job_name}",
    )


if __name__ == "__main__":
    sys.exit(main())
