"""What becomes of scheduled times when the clock is set."""

import asyncio
import os
from datetime import timedelta

import pytest

from tests.harness import HOUR, MINUTE, NOON, play, stamp


def test_a_clock_that_goes_back_by_less_than_three_hours_runs_no_time_twice(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        await world.finish(world.running[0])
        world.clock.set_wall(NOON - HOUR)
        for minutes in range(0, 121, 30):
            await world.at(NOON - HOUR + timedelta(minutes=minutes))
        assert len(world.lines("job_start")) == 1
        await world.at(NOON + 2 * HOUR)

    world = play(tmp_path, story)

    assert [line["scheduled_time"] for line in world.lines("job_start")] == [
        stamp(NOON + HOUR),
        stamp(NOON + 2 * HOUR),
    ]
    (jump,) = world.main_lines("clock_jump")
    assert (jump["seconds"], jump["reanchored"]) == (-7200, False)


def test_a_clock_that_goes_back_by_more_begins_every_schedule_anew(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        await world.finish(world.running[0])
        world.clock.set_wall(NOON - 24 * HOUR)
        await world.step()
        await world.at(NOON - 23 * HOUR)

    world = play(tmp_path, story)

    assert [line["scheduled_time"] for line in world.lines("job_start")] == [
        stamp(NOON + HOUR),
        stamp(NOON - 23 * HOUR),
    ]
    assert world.main_lines("clock_jump")[0]["reanchored"]


def test_a_run_that_was_queued_before_schedules_began_anew_takes_no_time_from_them(tmp_path):
    async def story(world):
        world.job("long", schedule="0 0 1 1 *")
        world.job()
        await world.boot()
        world.request(job_name="long")
        await world.step()
        await world.at(NOON + HOUR)
        world.clock.set_wall(NOON - 24 * HOUR)
        await world.step()
        for hours in (24, 23, 22):
            await world.finish(world.running[0])
            await world.at(NOON - hours * HOUR)

    starts = play(tmp_path, story, max_concurrent_runs=1).lines("job_start")[1:]

    assert [line["scheduled_time"] for line in starts] == [stamp(NOON + hours * HOUR) for hours in (1, -23, -22)]


def test_the_last_small_step_beyond_three_hours_begins_every_schedule_anew(tmp_path):
    async def story(world):
        world.job(schedule="*/10 * * * *")
        await world.boot()
        await world.at(NOON + 4 * HOUR)
        await world.finish(world.running[0])
        for back in (timedelta(hours=2, minutes=59, seconds=59.8), timedelta(seconds=0.9)):
            world.clock.set_wall(world.clock.now() - back)
            await world.step()
        await world.at(NOON + HOUR + 10 * MINUTE)

    assert len(play(tmp_path, story).lines("job_start")) == 2


def test_small_steps_back_add_up(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        for hours in (2, 4):
            world.clock.set_wall(NOON - hours * HOUR)
            await world.step()

    assert [line["reanchored"] for line in play(tmp_path, story).main_lines("clock_jump")] == [False, True]


def test_a_clock_set_back_while_the_scheduler_was_down_begins_every_schedule_anew(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        await world.finish(world.running[0])
        world.clock.set_wall(NOON - 24 * HOUR)
        await world.boot()
        await world.at(NOON - 23 * HOUR)

    assert len(play(tmp_path, story).lines("job_start")) == 2


def test_a_clock_that_jumps_forward_makes_a_catch_up_of_the_latest_time(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        world.clock.set_wall(NOON + 5 * HOUR + MINUTE)
        await world.step()

    world = play(tmp_path, story)

    assert [(line["reason"], line["count"]) for line in world.lines("job_missed")] == [("superseded", 4)]
    assert [line["trigger"] for line in world.lines("job_start")] == ["catch_up"]
    assert world.main_lines("clock_jump")[0]["seconds"] == 5 * 3600 + 60


def test_a_definition_that_changes_while_the_clock_catches_up_runs_no_time_twice(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        await world.finish(world.running[0])
        world.clock.set_wall(NOON + timedelta(minutes=30))
        world.job(description="changed")
        await world.step()
        await world.at(NOON + HOUR + MINUTE)
        assert len(world.lines("job_start")) == 1
        await world.at(NOON + 2 * HOUR)

    assert len(play(tmp_path, story).lines("job_start")) == 2


def test_a_definition_that_changed_while_the_scheduler_was_down_and_the_clock_was_set_runs_no_time_twice(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        await world.finish(world.running[0])
        world.clock.set_wall(NOON + timedelta(minutes=30))
        world.job(description="changed")
        await world.boot()
        await world.at(NOON + HOUR + MINUTE)

    assert len(play(tmp_path, story).lines("job_start")) == 1


def test_small_steps_back_add_up_across_restarts(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        await world.finish(world.running[0])
        for hours in (2, 4):
            world.clock.set_wall(NOON + HOUR - hours * HOUR)
            await world.boot()
        await world.at(NOON - 2 * HOUR)

    world = play(tmp_path, story)

    assert len(world.lines("job_start")) == 2
    assert [line["reanchored"] for line in world.main_lines("clock_jump")] == [True]


@pytest.mark.parametrize("rotates", [False, True])
def test_a_job_that_is_put_back_while_the_clock_catches_up_runs_no_time_twice_across_a_restart(tmp_path, rotates):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        await world.finish(world.running[0])
        world.remove_job()
        await world.settle()
        world.clock.set_wall(NOON + 50 * MINUTE)
        await world.step()
        if rotates:
            world.scheduler.logger._journal_file.doRollover()
        await world.boot()
        world.job()
        await world.step()
        await world.at(NOON + HOUR)
        assert world.running == []
        await world.at(NOON + 2 * HOUR)

    starts = play(tmp_path, story).lines("job_start")
    assert [line["scheduled_time"] for line in starts] == [stamp(NOON + HOUR), stamp(NOON + 2 * HOUR)]


@pytest.mark.parametrize("rotates", [False, True])
def test_schedules_that_began_anew_are_believed_after_a_restart(tmp_path, rotates):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        await world.finish(world.running[0])
        world.clock.set_wall(NOON - 24 * HOUR)
        await world.step()
        if rotates:
            world.scheduler.logger._journal_file.doRollover()
        world.job(description="changed")
        await world.boot()
        await world.at(NOON - 23 * HOUR)

    world = play(tmp_path, story)

    assert len(world.main_lines("clock_jump")) == 1
    assert [line["scheduled_time"] for line in world.lines("job_start")] == [
        stamp(NOON + HOUR),
        stamp(NOON - 23 * HOUR),
    ]


def test_a_pending_retry_waits_no_longer_than_its_delay_when_the_clock_was_put_back(tmp_path):
    async def story(world):
        world.job(schedule="0 0 1 1 *", retries={"initial_delay_seconds": 60, "max_delay_seconds": 60})
        await world.boot()
        world.request()
        await world.step()
        await world.finish(world.running[0], exit_code=1)
        world.clock.set_wall(NOON - 2 * HOUR)
        await world.boot()
        world.clock.advance(61)
        await world.step()

    assert [line["trigger"] for line in play(tmp_path, story).lines("job_start")] == ["manual", "retry"]


@pytest.mark.parametrize("restarted", [False, True])
def test_output_grows_not_too_old_by_a_clock_that_went_ahead_until_a_day_has_passed(tmp_path, restarted):
    async def story(world):
        world.job(schedule="0 0 1 1 *")
        await world.boot()
        world.request()
        await world.step()
        (run_id,) = world.running
        await world.finish(run_id, output=b"x" * 100)
        kept = world.logs / "output" / "job" / f"{run_id}.stdout"
        os.utime(kept, (NOON.timestamp(), NOON.timestamp()))
        world.clock.set_wall(NOON + timedelta(days=60))
        await (world.boot() if restarted else world.step())
        for hours in (1, 22):
            world.clock.advance(hours=hours)
            await world.step()
            await world.scheduler._sweeper.task
            assert kept.exists()
        world.clock.advance(hours=1, seconds=1)
        await world.step()
        await world.scheduler._sweeper.task

        assert not kept.exists()

    play(tmp_path, story, inline_output_bytes=10)


def test_a_time_that_waits_for_what_a_crash_left_does_not_wait_for_a_clock_that_was_set_back_meanwhile(tmp_path):
    async def story(world):
        world.job(schedule="* * * * *")
        await world.boot()
        await world.at(NOON + MINUTE)
        world.clock.advance(hours=2)
        world.leftovers_gone = asyncio.Event()
        await world.boot()
        world.clock.set_wall(NOON + HOUR)
        await world.step()
        world.leftovers_gone.set()
        await world.step()
        world.clock.advance(0.1)
        await world.step()

    world = play(tmp_path, story)

    assert [line["scheduled_time"] for line in world.lines("job_start")] == [stamp(NOON + MINUTE), stamp(NOON + HOUR)]


@pytest.mark.parametrize("back", [2 * HOUR, 24 * HOUR])
def test_a_request_runs_once_when_the_clock_goes_back_and_forward_again_while_its_file_is_there(tmp_path, back):
    async def story(world):
        world.job(schedule="0 0 1 1 *")
        await world.boot()
        world.request()
        await world.step()
        await world.finish(world.running[0])
        world.clock.set_wall(NOON - back)
        await world.at(NOON - back + MINUTE)
        (world.jobs / "triggers" / "r1.json").unlink()
        await world.at(NOON - back + 2 * MINUTE)
        world.clock.set_wall(NOON + 5 * MINUTE)
        await world.at(NOON + 6 * MINUTE)
        world.request()
        await world.step()

    assert play(tmp_path, story).names() == ["trigger_accepted", "job_start", "job_complete"]
