"""What becomes of scheduled times, retries and requests while the file PAUSE is there."""

from datetime import timedelta

from tests.harness import HOUR, NOON, play, stamp


def test_a_pause_is_one_skipped_line_a_job(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        (world.jobs / "PAUSE").touch()
        await world.step()
        for hour in range(1, 6):
            await world.at(NOON + hour * HOUR)
        assert world.names() == []
        (world.jobs / "PAUSE").unlink()
        await world.step()
        await world.at(NOON + 6 * HOUR)

    world = play(tmp_path, story)

    (skipped,) = world.lines("job_skipped")
    assert (skipped["reason"], skipped["count"], skipped["scheduled_time"]) == (
        "paused",
        5,
        stamp(NOON + 5 * HOUR),
    )
    assert [line["scheduled_time"] for line in world.lines("job_start")] == [stamp(NOON + 6 * HOUR)]
    assert len(world.main_lines("paused")) == len(world.main_lines("resumed")) == 1


def test_a_pause_that_ends_before_the_jitter_does_leaves_the_time_to_its_run(tmp_path):
    async def story(world):
        world.job(jitter_seconds=1800)
        await world.boot()
        await world.at(NOON + HOUR + timedelta(seconds=5))
        due = world.scheduler.agenda.next_at()
        (world.jobs / "PAUSE").touch()
        await world.step()
        (world.jobs / "PAUSE").unlink()
        await world.step()
        assert world.scheduler.agenda.next_at() == due
        await world.at(due)

    world = play(tmp_path, story)

    assert [line["scheduled_time"] for line in world.lines("job_start")] == [stamp(NOON + HOUR)]
    assert world.lines("job_skipped") == []


def test_a_pause_skips_what_was_due_in_it_and_not_the_time_whose_jitter_is_still_to_come(tmp_path):
    async def story(world):
        world.job(jitter_seconds=1800)
        await world.boot()
        (world.jobs / "PAUSE").touch()
        await world.step()
        await world.at(NOON + 3 * HOUR + timedelta(seconds=5))
        (world.jobs / "PAUSE").unlink()
        await world.step()
        await world.at(world.scheduler.agenda.next_at())

    world = play(tmp_path, story)

    (skipped,) = world.lines("job_skipped")
    assert (skipped["reason"], skipped["count"], skipped["scheduled_time"]) == ("paused", 2, stamp(NOON + 2 * HOUR))
    assert [line["scheduled_time"] for line in world.lines("job_start")] == [stamp(NOON + 3 * HOUR)]


def test_a_pause_skips_a_time_whose_jitter_ended_in_it(tmp_path):
    async def story(world):
        world.job(jitter_seconds=1800)
        await world.boot()
        await world.at(NOON + HOUR + timedelta(seconds=5))
        (world.jobs / "PAUSE").touch()
        await world.step()
        await world.at(NOON + HOUR + timedelta(minutes=31))
        (world.jobs / "PAUSE").unlink()
        await world.step()

    world = play(tmp_path, story)

    assert [line["scheduled_time"] for line in world.lines("job_skipped")] == [stamp(NOON + HOUR)]
    assert world.lines("job_start") == []


def test_a_pause_lets_requested_runs_start(tmp_path):
    async def story(world):
        world.job()
        (world.jobs / "PAUSE").touch()
        await world.boot()
        world.request()
        await world.step()

    assert play(tmp_path, story).names() == ["trigger_accepted", "job_start"]


def test_a_pause_holds_catch_up_runs(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        (world.jobs / "PAUSE").touch()
        world.clock.advance(3600 + 60)
        await world.boot()
        (world.jobs / "PAUSE").unlink()
        await world.step()

    assert [line["reason"] for line in play(tmp_path, story).lines()] == ["paused"]


def test_disabling_a_job_during_a_pause_accounts_for_the_times_it_held_back(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        (world.jobs / "PAUSE").touch()
        await world.step()
        await world.at(NOON + 2 * HOUR)
        world.job(enabled=False)
        await world.step()

    (skipped,) = play(tmp_path, story).lines("job_skipped")
    assert (skipped["reason"], skipped["count"]) == ("paused", 2)


def test_a_jobs_directory_that_cannot_be_looked_at_ends_no_pause(tmp_path):
    async def story(world):
        world.job()
        (world.jobs / "PAUSE").touch()
        await world.boot()
        away = world.jobs.with_name("away")
        world.jobs.rename(away)
        await world.at(NOON + HOUR)
        assert world.scheduler.agenda.paused
        away.rename(world.jobs)

    assert play(tmp_path, story).main_lines("resumed") == []
