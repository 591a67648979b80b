"""Schedules go on while the journal cannot be written: what has to wait for it is in nobody's way."""

import asyncio
from datetime import timedelta

import pytest

from tests.harness import HOUR, MINUTE, NOON, play

RETRIES = {"max_attempts": 9, "initial_delay_seconds": 30, "multiplier": 1}


async def fill(world, disk):
    """Fill the disk and let the scheduler notice, by a run of a job that no test looks at."""
    disk.full = True
    world.job("other", schedule="* * * * *", concurrency_policy="allow")
    await world.step()
    await world.at(world.clock.now() + MINUTE)
    assert world.scheduler.logger.degraded
    world.remove_job("other")
    await world.settle()
    for process in world.target.processes.values():
        if process.launch.environment["JOB_NAME"] == "other":
            process.finish()
    await world.step()


def of_job(world, *events):
    return [line for line in world.lines(*events) if line["job_name"] == "job"]


def ends(world):
    return [(line["trigger"], line["status"]) for line in of_job(world, "job_complete")]


def assert_each_start_has_one_end(world):
    started, ended = ([line["run_id"] for line in world.lines(e)] for e in ("job_start", "job_complete"))
    assert sorted(started) == sorted(ended)


async def with_a_held_retry(world, disk, **fields):
    """Have a retry come due in the moment in which the disk is full: it has a start line and no process."""
    world.job(**{"schedule": "* * * * *", "retries": RETRIES, **fields})
    await world.boot()
    await world.at(NOON + MINUTE)
    await world.finish(world.running[0], exit_code=1)
    disk.full = True
    await world.at(NOON + MINUTE + timedelta(seconds=31))
    assert world.scheduler.logger.degraded
    assert (len(world.running), len(world.target.processes)) == (1, 1)


def test_a_retry_that_is_held_as_the_disk_fills_up_makes_way_for_its_jobs_schedule(tmp_path, disk):
    async def story(world):
        await with_a_held_retry(world, disk)
        await world.at(NOON + 2 * MINUTE)
        assert len(world.target.processes) == 2
        disk.full = False
        await world.finish(world.running[0])

    world = play(tmp_path, story)

    assert world.lines("job_skipped") == []
    assert ends(world) == [("schedule", "failure"), ("retry", "cancelled"), ("schedule", "success")]
    assert world.lines("job_complete")[1]["reason"].startswith("superseded by ")
    assert_each_start_has_one_end(world)


def test_a_retry_that_is_held_makes_way_for_a_run_that_replaces(tmp_path, disk):
    async def story(world):
        await with_a_held_retry(world, disk, concurrency_policy="replace")
        await world.at(NOON + 2 * MINUTE)

        assert len(world.target.processes) == 2

    assert play(tmp_path, story).lines("job_queued") == []


def test_a_held_request_goes_on_waiting_beside_its_jobs_schedule_where_runs_may_overlap(tmp_path, disk):
    async def story(world):
        world.job(schedule="* * * * *", concurrency_policy="allow")
        await world.boot()
        disk.full = True
        world.request()
        await world.step()
        await world.at(NOON + MINUTE)
        assert len(world.target.processes) == 1
        disk.full = False
        await world.step()

        assert len(world.target.processes) == 2

    play(tmp_path, story)


def test_a_retry_that_comes_due_on_a_full_disk_stays_pending_and_is_superseded_by_the_next_run(tmp_path, disk):
    async def story(world):
        world.job(retries=RETRIES)
        await world.boot()
        await fill(world, disk)
        await world.at(NOON + HOUR)
        await world.finish(world.running[0], exit_code=1)
        world.clock.advance(31)
        await world.step()
        assert world.running == []
        assert world.scheduler._seconds_to_wait() > 0
        await world.at(NOON + 2 * HOUR)
        assert len(world.running) == 1
        disk.full = False
        await world.step()

    world = play(tmp_path, story)

    assert [line["trigger"] for line in of_job(world, "job_start")] == ["schedule", "schedule"]
    assert [line["reason"] for line in of_job(world, "job_skipped")] == ["superseded"]


def test_a_retry_that_came_due_on_a_full_disk_starts_when_there_is_room_again(tmp_path, disk):
    async def story(world):
        world.job(retries=RETRIES)
        await world.boot()
        await world.at(NOON + HOUR)
        await fill(world, disk)
        await world.finish(world.running[0], exit_code=1)
        world.clock.advance(31)
        await world.step()
        assert world.running == []
        disk.full = False
        await world.step()

    assert [line["trigger"] for line in of_job(play(tmp_path, story), "job_start")] == ["schedule", "retry"]


def test_a_held_run_takes_no_place_from_those_that_are_scheduled(tmp_path, disk):
    async def story(world):
        world.job("b", schedule="2 12 * * *")
        await with_a_held_retry(world, disk, schedule="1 12 * * *")
        await world.at(NOON + 2 * MINUTE)

        assert len(world.target.processes) == 2

    assert play(tmp_path, story, max_concurrent_runs=1).lines("job_queued") == []


def test_a_held_run_that_finds_no_place_when_there_is_room_on_the_disk_waits_for_one(tmp_path, disk):
    async def story(world):
        world.job("b", schedule="2 12 * * *")
        await with_a_held_retry(world, disk, schedule="1 12 * * *")
        await world.at(NOON + 2 * MINUTE)
        disk.full = False
        await world.step()
        assert len(world.target.processes) == 2
        world.request(job_name="job")
        await world.step()
        await world.finish(world.running[-1])
        assert len(world.target.processes) == 3

    world = play(tmp_path, story, max_concurrent_runs=1)

    assert [line["reason"] for line in world.lines("trigger_rejected")] == ["already_running"]
    assert [line["trigger"] for line in world.lines("job_start")] == ["schedule", "retry", "schedule"]


def test_a_request_that_is_held_for_longer_than_requests_may_wait_is_cancelled(tmp_path, disk):
    async def story(world):
        world.job(schedule="0 0 1 1 *")
        await world.boot()
        disk.full = True
        world.request()
        await world.step()
        world.clock.advance(3601)
        await world.step()
        disk.full = False
        await world.step()
        assert world.target.processes == {}

    world = play(tmp_path, story)

    assert world.names() == ["trigger_accepted", "job_start", "job_complete"]
    assert ends(world) == [("manual", "cancelled")]


def test_a_retry_that_is_held_past_its_deadline_is_cancelled(tmp_path, disk):
    async def story(world):
        await with_a_held_retry(world, disk, schedule="1 12 * * *", starting_deadline_seconds=60)
        world.clock.advance(61)
        await world.step()
        disk.full = False
        await world.step()

    assert ends(play(tmp_path, story)) == [("schedule", "failure"), ("retry", "cancelled")]


def test_a_request_that_was_queued_when_the_disk_filled_up_does_not_block_its_jobs_schedule(tmp_path, disk):
    async def story(world):
        world.job()
        world.job("long", schedule="20 12 * * *")
        world.job("tick", schedule="40 12 * * *", starting_deadline_seconds=3600)
        await world.boot()
        await world.at(NOON + 20 * MINUTE)
        world.request()
        await world.step()
        disk.full = True
        await world.at(NOON + 40 * MINUTE)
        for _ in ("long", "tick"):
            await world.finish(world.running[0])
        assert world.running == []
        await world.at(NOON + HOUR)
        assert len(world.running) == 1
        disk.full = False
        await world.finish(world.running[0])
        await world.step()

    world = play(tmp_path, story, max_concurrent_runs=1)

    assert [line["trigger"] for line in of_job(world, "job_start")] == ["schedule", "manual"]


def test_a_held_run_does_not_keep_the_scheduler_from_stopping(tmp_path, disk):
    async def story(world):
        await with_a_held_retry(world, disk, schedule="1 12 * * *")
        world.scheduler.shutdown("test")
        assert world.scheduler.runs.idle
        disk.full = False
        await world.step()
        assert len(world.target.processes) == 1

    world = play(tmp_path, story)

    assert ends(world) == [("schedule", "failure"), ("retry", "interrupted")]
    assert_each_start_has_one_end(world)


def test_what_a_run_printed_stays_in_its_files_until_its_end_is_on_disk(tmp_path, disk):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        output = world.logs / "output" / "job"
        disk.full = True
        await world.finish(world.running[0], output=b"printed")
        assert [path.stat().st_size for path in sorted(output.iterdir())] == [0, 7]
        disk.full = False
        await world.step()
        assert list(output.iterdir()) == []

    assert [line["stdout"] for line in play(tmp_path, story).lines("job_complete")] == ["printed"]


@pytest.mark.parametrize("is_full", [False, True])
def test_a_run_that_was_decided_in_the_pass_of_a_crash_is_begun_if_that_can_be_written(tmp_path, disk, is_full):
    async def story(world):
        def fail(now):
            raise OverflowError("date value out of range")

        world.job(schedule="0 0 1 1 *")
        await world.boot()
        world.scheduler.runs.step = fail
        disk.full = is_full
        world.request()
        world.scheduler.rescan()
        working = asyncio.create_task(world.scheduler.start())
        while not (working.done() or world.target.processes):
            await asyncio.sleep(0.01)
        assert (world.target.processes == {}) == is_full
        for process in world.target.processes.values():
            process.finish()
        await working

    world = play(tmp_path, story)

    assert [line["status"] for line in world.lines("job_complete")] == [] if is_full else ["success"]
    assert len(world.main_lines("scheduler_stopped")) == 1


def test_removing_a_job_ends_its_held_run(tmp_path, disk):
    async def story(world):
        await with_a_held_retry(world, disk, schedule="1 12 * * *")
        world.remove_job()
        await world.settle()
        disk.full = False
        await world.step()

    assert ends(play(tmp_path, story)) == [("schedule", "failure"), ("retry", "cancelled")]


def test_a_request_that_was_replaced_before_its_start_could_be_written_is_ended_and_not_held(tmp_path, disk):
    async def story(world):
        world.job(schedule="* * * * *", concurrency_policy="replace")
        await world.boot()
        disk.full = True
        world.request()
        await world.at(NOON + MINUTE)

        assert len(world.target.processes) == 1

    assert ends(play(tmp_path, story)) == []
