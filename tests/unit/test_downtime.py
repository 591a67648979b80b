"""What becomes of scheduled times while no scheduler looks: catch-up, misses, jobs that are unready; and jitter."""

from datetime import timedelta

import pytest

from tests.harness import HOUR, MINUTE, NOON, play, stamp


def test_after_a_short_downtime_the_latest_missed_time_runs_once_as_a_catch_up(tmp_path):
    async def story(world):
        world.job(schedule="*/5 * * * *")
        await world.boot()
        world.clock.advance(16 * 60)
        await world.boot()

    world = play(tmp_path, story)

    (missed,), (start,) = world.lines("job_missed"), world.lines("job_start")
    assert (missed["first_scheduled_time"], missed["scheduled_time"], missed["count"], missed["reason"]) == (
        stamp(NOON + 5 * MINUTE),
        stamp(NOON + 10 * MINUTE),
        2,
        "superseded",
    )
    assert (start["trigger"], start["scheduled_time"]) == ("catch_up", stamp(NOON + 15 * MINUTE))


def test_after_a_long_downtime_all_times_are_one_missed_line(tmp_path):
    async def story(world):
        world.job(schedule="0 * * * *")
        await world.boot()
        world.clock.advance(24 * 3600 + 1800)
        await world.boot()

    world = play(tmp_path, story)

    (missed,) = world.lines("job_missed")
    assert (missed["count"], missed["reason"]) == (24, "past_deadline")
    assert (missed["first_scheduled_time"], missed["scheduled_time"]) == (
        stamp(NOON + HOUR),
        stamp(NOON + 24 * HOUR),
    )
    assert world.lines("job_start") == []


def test_a_time_before_a_crash_that_has_its_line_is_not_run_again(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        await world.finish(world.running[0])
        await world.boot()
        await world.step(3)

    assert len(play(tmp_path, story).lines("job_start")) == 1


def test_a_definition_that_changed_while_the_scheduler_was_down_counts_from_the_start(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        world.clock.advance(3600 + 60)
        world.job(description="changed")
        await world.boot()

    assert play(tmp_path, story).names() == []


def test_a_job_whose_directory_is_mounted_late_goes_on_where_it_was(tmp_path):
    late = tmp_path / "late"

    async def story(world):
        late.mkdir()
        world.job("timed", "5 12 * * *", working_directory=str(late))
        world.job("asked", "0 0 1 1 *", working_directory=str(late))
        world.job("retried", "0 0 1 1 *", working_directory=str(late), retries={"initial_delay_seconds": 5})
        world.job("full", "0 0 1 1 *")
        await world.boot()
        world.request("r1.json", job_name="retried")
        await world.step()
        await world.finish(world.running[0], exit_code=1)
        world.request("r2.json", job_name="full")
        world.request("r3.json", job_name="asked")
        await world.step()
        late.rmdir()
        world.clock.advance(6 * 60)
        await world.boot()
        await world.step(3)
        assert [line["job_name"] for line in world.lines("job_start")] == ["retried", "full"]
        late.mkdir()
        for _ in range(10):
            await world.step()
            for run_id in world.running:
                await world.finish(run_id)
            world.clock.advance(1)

    world = play(tmp_path, story, max_concurrent_runs=1)

    starts = [(line["job_name"], line["trigger"]) for line in world.lines("job_start")]
    assert sorted(starts[2:]) == [("asked", "manual"), ("retried", "retry"), ("timed", "catch_up")]
    assert world.lines("job_skipped", "job_missed") == []


def test_a_retry_that_came_due_while_its_job_was_unready_runs_with_a_changed_file_too(tmp_path):
    late = tmp_path / "late"
    retries = {"initial_delay_seconds": 5}

    async def story(world):
        late.mkdir()
        world.job(schedule="0 0 1 1 *", working_directory=str(late), retries=retries)
        await world.boot()
        world.request()
        await world.step()
        await world.finish(world.running[0], exit_code=1)
        late.rmdir()
        await world.boot()
        world.clock.advance(6)
        await world.step()
        world.job(schedule="0 0 1 1 *", working_directory="/", retries=retries)
        await world.step()

    assert [line["trigger"] for line in play(tmp_path, story).lines("job_start")] == ["manual", "retry"]


@pytest.mark.parametrize("retries", [{"max_attempts": 2, "initial_delay_seconds": 30}, None])
def test_a_run_that_a_crash_interrupted_is_retried_if_its_job_asks_for_it_also_where_it_is_unready(tmp_path, retries):
    late = tmp_path / "late"

    async def story(world):
        late.mkdir()
        world.job(schedule="0 0 1 1 *", working_directory=str(late), **({"retries": retries} if retries else {}))
        await world.boot()
        world.request()
        await world.step()
        late.rmdir()
        await world.boot()
        await world.at(NOON + MINUTE)
        late.mkdir()
        await world.step()

    world = play(tmp_path, story)

    assert world.lines("job_complete")[0]["retry_at"] == (stamp(NOON + MINUTE / 2) if retries else None)
    assert [line["trigger"] for line in world.lines("job_start")] == (["manual", "retry"] if retries else ["manual"])


def test_a_job_that_was_unready_at_a_start_and_goes_is_removed(tmp_path):
    late = tmp_path / "late"

    async def story(world):
        late.mkdir()
        world.job("full", "0 0 1 1 *")
        world.job(schedule="*/5 * * * *", working_directory=str(late))
        await world.boot()
        world.request("r1.json", job_name="full")
        world.request("r2.json")
        await world.step()
        late.rmdir()
        await world.boot()
        world.remove_job()
        await world.settle()
        late.mkdir()
        await world.at(NOON + 5 * MINUTE)
        world.job(schedule="*/5 * * * *", working_directory=str(late))
        await world.step()
        await world.at(NOON + 10 * MINUTE)

    world = play(tmp_path, story, max_concurrent_runs=1)

    assert [(line["job_name"], line["reason"]) for line in world.lines("job_skipped")] == [("job", "removed")]
    assert [line["scheduled_time"] for line in world.lines("job_start")] == [None, stamp(NOON + 10 * MINUTE)]


def test_a_request_for_a_job_that_stays_unready_expires(tmp_path):
    late = tmp_path / "late"

    async def story(world):
        late.mkdir()
        world.job("full", "0 0 1 1 *")
        world.job(schedule="0 0 1 1 *", working_directory=str(late))
        await world.boot()
        world.request("r1.json", job_name="full")
        world.request("r2.json")
        await world.step()
        late.rmdir()
        await world.boot()
        world.clock.advance(3602)
        await world.step()

    (skipped,) = play(tmp_path, story, max_concurrent_runs=1).lines("job_skipped")
    assert skipped["reason"] == "expired"


def test_a_job_that_was_defined_just_before_a_crash_is_accounted_for_from_then(tmp_path):
    async def story(world):
        await world.boot()
        world.job()
        await world.step()
        world.clock.advance(3600 + 60)
        await world.boot()

    (start,) = play(tmp_path, story).lines("job_start")
    assert (start["trigger"], start["scheduled_time"]) == ("catch_up", stamp(NOON + HOUR))


def test_jitter_delays_the_start_and_not_the_scheduled_time(tmp_path):
    async def story(world):
        world.job(jitter_seconds=1800)
        await world.boot()
        await world.at(NOON + HOUR)
        due = world.scheduler.agenda.next_at()

        assert NOON + HOUR < due < NOON + HOUR + timedelta(minutes=30)
        assert world.names() == []
        await world.at(due)

    (start,) = play(tmp_path, story).lines("job_start")
    assert (start["trigger"], start["scheduled_time"]) == ("schedule", stamp(NOON + HOUR))


def test_a_time_that_waits_for_its_jitter_is_skipped_when_the_definition_changes(tmp_path):
    async def story(world):
        world.job(jitter_seconds=1800)
        await world.boot()
        await world.at(NOON + HOUR)
        world.job(jitter_seconds=1800, description="changed")
        await world.step()
        await world.at(NOON + HOUR + timedelta(minutes=31))

    world = play(tmp_path, story)

    (skipped,) = world.lines("job_skipped")
    assert (skipped["reason"], skipped["scheduled_time"]) == ("superseded", stamp(NOON + HOUR))
    assert world.lines("job_start") == []


def test_a_time_that_waits_for_its_jitter_still_runs_after_a_restart(tmp_path):
    async def story(world):
        world.job(jitter_seconds=1800)
        await world.boot()
        await world.at(NOON + HOUR)
        due = world.scheduler.agenda.next_at()
        await world.boot()

        assert world.scheduler.agenda.next_at() == due

    play(tmp_path, story)
