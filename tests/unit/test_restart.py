"""What a scheduler takes over from the one before it."""

import asyncio
import os

import pytest

from sidecar import health
from sidecar.journal import JOURNAL
from tests.harness import HOUR, MINUTE, NOON, REFUSED_COMMAND, play, stamp


def test_a_run_that_was_going_at_a_crash_is_ended_and_closed_as_interrupted(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        (run_id,) = world.running
        await world.boot()

        assert world.target.ended == [run_id]

    world = play(tmp_path, story)

    (end,) = world.lines("job_complete")
    assert (end["status"], end["exit_code"]) == ("interrupted", None)
    assert len(world.lines("job_start")) == 1


def test_an_interrupted_run_is_retried_if_the_job_asks_for_retries(tmp_path):
    async def story(world):
        world.job(retries={"initial_delay_seconds": 60})
        await world.boot()
        await world.at(NOON + HOUR)
        await world.boot()
        world.clock.advance(60)
        await world.step()

    assert [line["trigger"] for line in play(tmp_path, story).lines("job_start")] == ["schedule", "retry"]


def test_a_run_with_an_accepted_cancel_is_closed_as_cancelled_after_a_crash(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        world.target.processes[world.running[0]].stubborn = True
        world.request("c.json", action="cancel")
        await world.step()
        await world.boot()

    assert [line["status"] for line in play(tmp_path, story).lines("job_complete")] == ["cancelled"]


def test_a_time_missed_in_the_crash_runs_although_the_last_run_was_open(tmp_path):
    async def story(world):
        world.job(schedule="*/5 * * * *")
        await world.boot()
        await world.at(NOON + 5 * MINUTE)
        world.clock.advance(310)
        await world.boot()
        world.clock.advance(0.1)
        await world.step()

    world = play(tmp_path, story)

    assert [line["trigger"] for line in world.lines("job_start")] == ["schedule", "catch_up"]
    assert world.lines("job_skipped") == []


@pytest.mark.parametrize(("policy", "waits"), [("allow", False), ("forbid", True), ("replace", True)])
def test_only_where_runs_may_not_overlap_a_time_waits_for_the_end_of_what_a_crash_left(tmp_path, policy, waits):
    async def story(world):
        world.job(schedule="*/5 * * * *", concurrency_policy=policy, starting_deadline_seconds=0)
        await world.boot()
        await world.at(NOON + 5 * MINUTE)
        (left,) = world.running
        world.clock.advance(299)
        world.leftovers_gone = asyncio.Event()
        await world.boot()
        world.clock.advance(1)
        await world.step()
        assert (world.running == [left]) == waits
        assert world.scheduler._seconds_to_wait() > 0
        world.leftovers_gone.set()
        await world.step()
        world.clock.advance(0.1)
        await world.step()

    world = play(tmp_path, story)

    assert [line["trigger"] for line in world.lines("job_start")] == ["schedule", "schedule"]
    assert world.lines("job_missed") == []


def test_a_retry_waits_for_the_end_of_what_a_crash_left(tmp_path):
    async def story(world):
        world.job(schedule="0 0 1 1 *", retries={"initial_delay_seconds": 5})
        await world.boot()
        world.request()
        await world.step()
        await world.finish(world.running[0], exit_code=1)
        world.request("r2.json")
        await world.step()
        world.leftovers_gone = asyncio.Event()
        await world.boot()
        world.clock.advance(6)
        await world.step()
        assert world.lines("job_skipped") == []
        world.leftovers_gone.set()
        await world.step()
        world.clock.advance(0.1)
        await world.step()

    world = play(tmp_path, story)

    assert [line["trigger"] for line in world.lines("job_start")] == ["manual", "manual", "retry"]
    assert world.lines("job_skipped") == []


def test_a_queued_run_starts_after_a_restart(tmp_path):
    async def story(world):
        world.job("a")
        world.job("b")
        await world.boot()
        await world.at(NOON + HOUR)
        await world.boot()
        await world.step()

    world = play(tmp_path, story, max_concurrent_runs=1)

    assert [line["job_name"] for line in world.lines("job_start")] == ["a", "b"]
    assert world.lines("job_start")[1]["run_id"] == world.lines("job_queued")[0]["run_id"]


def test_a_jobs_directory_that_cannot_be_listed_at_start_forgets_nothing(tmp_path):
    async def story(world):
        world.job("a")
        world.job("b")
        await world.boot()
        await world.at(NOON + HOUR)
        world.jobs.rename(world.jobs.with_name("elsewhere"))
        await world.boot()
        await world.step(3)
        assert world.lines("job_skipped") == []
        assert health.problem(world.logs) is not None
        world.jobs.with_name("elsewhere").rename(world.jobs)
        await world.step(3)
        assert health.problem(world.logs) is None

    world = play(tmp_path, story, max_concurrent_runs=1)

    assert [line["job_name"] for line in world.lines("job_start")] == ["a", "b"]


def test_a_heartbeat_tells_of_no_next_run_while_the_scheduler_drains(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        world.scheduler.shutdown()
        world.clock.advance(31)
        await world.step()

    told = [line["next_run_at"] for line in play(tmp_path, story).main_lines("heartbeat")]
    assert (told[0], told[-1]) == (stamp(NOON + HOUR), None)


def test_old_output_is_not_swept_before_the_open_runs_are_taken_over(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        output = world.logs / "output" / "job" / f"{world.running[0]}.stdout"
        os.utime(output, (1, 1))
        away = world.jobs.with_name("away")
        world.jobs.rename(away)
        await world.boot()
        world.clock.advance(61)
        await world.step()
        assert world.scheduler._sweeper.task is None
        away.rename(world.jobs)

    play(tmp_path, story)


def test_a_hint_while_the_jobs_directory_is_away_changes_nothing(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        away = world.jobs.with_name("elsewhere")
        world.jobs.rename(away)
        world.scheduler._intake._definitions = {"job.json"}
        world.scheduler.step()
        assert len(world.main_lines("config_error")) == 1
        await world.step()
        assert list(world.scheduler.catalog.jobs) == ["job"]
        away.rename(world.jobs)
        await world.step()

    world = play(tmp_path, story)

    assert len(world.main_lines("config_error")) == len(world.main_lines("config_recovered")) == 1
    assert world.main_lines("job_removed") == []


def test_a_journal_that_was_removed_while_nothing_happened_is_begun_anew_before_a_crash_can_need_it(tmp_path):
    async def story(world):
        world.job(schedule="0 0 1 1 *")
        await world.boot()
        world.request()
        await world.step()
        await world.finish(world.running[0])
        (world.logs / JOURNAL).unlink()
        world.clock.advance(31)
        await world.step()
        assert health.problem(world.logs) is None
        await world.boot()

    assert play(tmp_path, story).lines("trigger_accepted", "job_start") == []


def test_a_command_that_cannot_be_started_is_a_failed_run(tmp_path):
    async def story(world):
        world.job(command=REFUSED_COMMAND)
        await world.boot()
        await world.at(NOON + HOUR)

    (end,) = play(tmp_path, story).lines("job_complete")
    assert (end["status"], end["exit_code"], "refused by the test" in end["stderr"]) == ("failure", 126, True)
