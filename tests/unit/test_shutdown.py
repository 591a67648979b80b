"""How a scheduler ends: asked to, or by an error."""

import asyncio
import errno
from datetime import datetime, timedelta

import pytest

from sidecar import health
from sidecar.exit_codes import EX_OK, EX_SOFTWARE
from tests.harness import HOUR, NOON, play


def test_a_shutdown_starts_nothing_more_and_waits_for_what_is_going(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        world.scheduler.shutdown("test")
        await world.at(NOON + HOUR + timedelta(minutes=4))
        assert not world.scheduler.runs.idle
        await world.finish(world.running[0])

        assert world.scheduler.runs.idle

    assert [line["status"] for line in play(tmp_path, story).lines("job_complete")] == ["success"]


def test_a_shutdown_ends_what_is_still_going_after_its_grace(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        world.scheduler.shutdown("test")
        world.clock.advance(301)
        await world.step()

        assert world.scheduler.runs.idle

    assert [line["status"] for line in play(tmp_path, story).lines("job_complete")] == ["interrupted"]


def test_a_retry_that_comes_due_while_draining_does_not_keep_the_loop_busy(tmp_path):
    async def story(world):
        world.job("a", schedule="0 0 1 1 *", retries={"initial_delay_seconds": 5})
        world.job("b", schedule="0 0 1 1 *")
        await world.boot()
        world.request("a.json", job_name="a")
        await world.step()
        await world.finish(world.running[0], exit_code=1)
        world.request("b.json", job_name="b")
        await world.step()
        world.scheduler.shutdown("test")
        world.clock.advance(10)
        await world.step()

        assert world.scheduler._seconds_to_wait() > 0

    play(tmp_path, story)


def test_a_scheduler_that_has_stopped_is_not_taken_for_one_that_works(tmp_path):
    async def story(world):
        await world.boot()
        working = asyncio.create_task(world.scheduler.start())
        world.clock.advance(31)
        await world._turn()
        assert health.problem(world.logs) is None
        world.scheduler.shutdown()
        await working

        assert health.problem(world.logs) is not None

    play(tmp_path, story)


def test_a_stop_is_over_as_soon_as_the_last_run_is(tmp_path, monkeypatch):
    monkeypatch.setattr("sidecar.scheduler.LONGEST_SLEEP_SECONDS", 3600)

    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        working = asyncio.create_task(world.scheduler.start())
        await world._turn()
        world.scheduler.shutdown()
        await world._turn()
        world.target.processes[world.running[0]].finish()

        await asyncio.wait_for(working, 10)

    play(tmp_path, story, watch="inotify")


def test_a_second_shutdown_ends_what_is_going_now(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        world.scheduler.shutdown("test")
        world.scheduler.shutdown("test")
        await world.step()

        assert world.scheduler.runs.idle

    assert [line["status"] for line in play(tmp_path, story).lines("job_complete")] == ["interrupted"]


def test_a_crash_whose_cause_lasts_leaves_the_runs_to_end_with_their_lines(tmp_path):
    async def story(world):
        failures = asyncio.Queue[datetime]()

        def fail(now):
            failures.put_nowait(now)
            raise OverflowError("date value out of range")

        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        (run_id,) = world.running
        world.scheduler._heartbeat = fail
        world.clock.advance(60)
        working = asyncio.create_task(world.scheduler.start())
        await failures.get()
        world.clock.advance(60)
        await failures.get()
        world.target.processes[run_id].finish()
        await working

        assert world.scheduler.exit_code == EX_SOFTWARE

    world = play(tmp_path, story)

    assert [line["status"] for line in world.lines("job_complete")] == ["success"]
    assert len(world.main_lines("scheduler_crashed")) == 2
    assert world.main_lines("scheduler_stopped")


@pytest.mark.parametrize("context", [{"message": "odd"}, {"message": "odd", "exception": ValueError("odd")}])
def test_what_the_event_loop_complains_of_is_a_crash(tmp_path, context):
    async def story(world):
        await world.boot()
        working = asyncio.create_task(world.scheduler.start())
        await world._turn()
        asyncio.get_running_loop().call_exception_handler(context)
        await working

        assert world.scheduler.exit_code == EX_SOFTWARE

    (crash,) = play(tmp_path, story).main_lines("scheduler_crashed")
    assert crash["reason"] == repr(context.get("exception", RuntimeError("odd")))


def test_an_error_at_the_end_of_the_very_last_run_is_told_too(tmp_path):
    async def story(world):
        def fail(result):
            raise OverflowError("date value out of range")

        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        world.scheduler._outputs.settle = fail
        working = asyncio.create_task(world.scheduler.start())
        await world._turn()
        world.scheduler.shutdown()
        world.target.processes[world.running[0]].finish()
        await working

        assert world.scheduler.exit_code == EX_SOFTWARE

    assert len(play(tmp_path, story).main_lines("scheduler_crashed")) == 1


def test_a_sweep_of_old_output_that_fails_is_tried_again_and_no_crash(tmp_path):
    async def story(world):
        swept = asyncio.Queue[int]()

        async def fail(*_, **limits):
            swept.put_nowait(limits["max_runs"])
            raise OSError(errno.EMFILE, "Too many open files")

        await world.boot()
        world.scheduler._outputs.sweep = fail
        working = asyncio.create_task(world.scheduler.start())
        for _ in range(2):
            world.clock.advance(minutes=11)
            world.scheduler.wake()
            await swept.get()
        world.scheduler.shutdown()
        await working

        assert world.scheduler.exit_code == EX_OK

    assert play(tmp_path, story).main_lines("scheduler_crashed") == []
