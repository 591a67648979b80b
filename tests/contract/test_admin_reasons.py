"""Some of the scheduler's reasons the page says in other words: it has to know them when it reads them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from admin_ui.page.result import outcome
from admin_ui.queries import HistoryRow
from sidecar.clock import Clock
from sidecar.executor import JobExecutor
from sidecar.local import LocalTarget
from sidecar.model import JobConfig
from sidecar.output import Outputs
from tests.harness import play

REQUEST = "7f3e0000-0000-4000-8000-000000000000"


def told(who: dict[tuple[str, str], str], **facts: Any) -> str:
    row = HistoryRow(run_id="r1", job_name="job", failed=True, at=datetime.now(UTC), **facts)
    return outcome(row, lambda request_id, job_name: who.get((request_id, job_name)))


def test_who_cancelled_a_run_is_found_by_the_request_in_its_reason(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        world.request("run.json")
        await world.step()
        world.request("cancel.json", action="cancel", request_id=REQUEST)
        await world.step()

    (end,) = play(tmp_path, story).lines("job_complete")

    assert told({(REQUEST, "job"): "anna"}, status=end["status"], reason=end["reason"]) == "cancelled by anna"


def test_how_long_a_run_was_allowed_to_take_is_read_from_its_reason(tmp_path):
    executor = JobExecutor(LocalTarget(), Outputs(tmp_path), Clock(), {})
    job = JobConfig("job", "* * * * *", "sleep 60", "/", True, timeout_seconds=0.25)
    result = asyncio.run(executor.execute(job))

    assert told({}, status=result.status.value, reason=result.reason) == "timeout 0.25 s"
