"""No process starts before its time, by clocks that go and processes that are real."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

from sidecar import journal, policy
from sidecar.clock import Clock
from sidecar.scheduler import JobScheduler
from sidecar.settings import Settings

JOBS = 30
MINUTE = timedelta(minutes=1)


class ShiftedClock(Clock):
    """The machine's clocks, the wall clock put forward so that a minute begins in `seconds`."""

    def __init__(self, seconds: float) -> None:
        now = datetime.now(UTC)
        self.minute = now.replace(second=0, microsecond=0) + 2 * MINUTE
        self.shift = self.minute - timedelta(seconds=seconds) - now

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift


def test_no_process_starts_before_its_time(tmp_path, monkeypatch):
    # All are on disk long before: it is the wait for the instant that holds them back, not the work.
    monkeypatch.setattr(policy, "lead", lambda count: policy.LONGEST_LEAD)
    jobs, logs = tmp_path / "jobs", tmp_path / "logs"
    jobs.mkdir()
    logs.mkdir()
    for number in range(JOBS):
        document = {
            "name": f"job{number}",
            "schedule": "* * * * *",
            "command": "date +%s.%N",
            "working_directory": "/",
            "enabled": True,
        }
        (jobs / f"job{number}.json").write_text(json.dumps(document))
    clock = ShiftedClock(seconds=0.5)

    async def run():
        settings = Settings(jobs_dir=jobs, logs_dir=logs, watch="polling")
        scheduler = JobScheduler(jobs, logs, settings=settings, clock=clock)
        task = asyncio.create_task(scheduler.start())
        while len(ends()) < JOBS and not task.done():
            await asyncio.sleep(0.05)
        scheduler.shutdown()
        await task

    def ends():
        return [line for line in journal.entries(logs / journal.JOURNAL) if line["event"] == "job_complete"]

    asyncio.run(asyncio.wait_for(run(), 60))

    due = (clock.minute - clock.shift).timestamp()
    assert len(ends()) == JOBS
    assert [line["trigger"] for line in ends()] == ["schedule"] * JOBS
    assert min(float(line["stdout"]) for line in ends()) >= due
