"""When the volume is looked at, and when its events cannot be trusted."""

import asyncio
import os
import threading
import time

from tests.harness import play, until

LOST = "changes were found that no event announced"


def test_polling_mode_expects_no_events_and_misses_none(tmp_path):
    async def story(world):
        await world.boot()
        for number in range(3):
            world.job(f"job{number}")
            long_ago = time.time() - 60
            os.utime(world.jobs / f"job{number}.json", (long_ago, long_ago))
            world.request(f"r{number}.json", job_name=f"job{number}")
            world.clock.advance(60)
            world.scheduler.step()
        assert len(world.scheduler.catalog.jobs) == 3

    world = play(tmp_path, story)

    assert world.main_lines("watch_degraded") == []


# Events that do not come: nobody starts the watcher in the next tests


async def booted(world):
    world.job(schedule="0 0 1 1 *", concurrency_policy="allow")
    await world.boot()


async def a_request_is_seen_at_once(world, woken):
    """Drop a request and wait for nothing but the event that tells of it."""
    woken.clear()
    world.request("1.json")
    await until(lambda: woken)
    world.scheduler.step()
    assert world.names() == ["trigger_accepted", "job_start"]


def unannounced(world, name, seconds):
    """Drop a request, let so much time pass and step; return whether it was found."""
    world.request(name)
    world.clock.advance(seconds)
    world.scheduler.step()
    return name in [line["request_id"] for line in world.lines("trigger_accepted")]


def test_without_events_a_change_is_found_by_the_next_rescan_and_not_before(tmp_path):
    async def story(world):
        await booted(world)

        assert not unannounced(world, "1.json", 29)
        assert unannounced(world, "2.json", 1)

    play(tmp_path, story, watch="inotify")


def test_an_old_change_that_no_event_announced_is_told_once_and_has_the_volume_looked_at_each_second(tmp_path):
    async def story(world):
        await booted(world)
        assert unannounced(world, "1.json", 30)
        assert not unannounced(world, "2.json", 0.9)
        assert unannounced(world, "3.json", 0.1)
        assert unannounced(world, "4.json", 3)

    (told,) = play(tmp_path, story, watch="inotify").main_lines("watch_degraded")
    assert (told["reason"], told["interval_seconds"], told["files"]) == (LOST, 1, ["1.json"])


def test_a_change_so_young_that_its_event_may_be_on_its_way_is_no_lost_one(tmp_path):
    async def story(world):
        await booted(world)
        world.clock.advance(28)
        assert unannounced(world, "1.json", 2)

    assert play(tmp_path, story, watch="inotify").main_lines("watch_degraded") == []


def test_what_a_look_at_everything_finds_that_was_asked_for_is_no_lost_change(tmp_path):
    async def story(world):
        await booted(world)
        world.request("1.json")
        world.clock.advance(10)
        await world.step()

    assert play(tmp_path, story, watch="inotify").main_lines("watch_degraded") == []


def test_what_lay_in_a_directory_that_was_not_there_at_the_start_is_no_lost_change(tmp_path):
    async def story(world):
        away = world.jobs.with_name("away")
        world.job(schedule="0 0 1 1 *")
        world.request("1.json")
        world.jobs.rename(away)
        await world.boot()
        world.scheduler.step()
        assert world.main_lines("scheduler_started") == []
        away.rename(world.jobs)
        world.clock.advance(30)
        world.scheduler.step()

    world = play(tmp_path, story, watch="inotify")

    assert world.names() == ["trigger_accepted", "job_start"]
    assert world.main_lines("watch_degraded") == []


def test_events_are_trusted_again_ten_minutes_after_the_last_change_that_they_did_not_announce(tmp_path):
    async def story(world):
        await booted(world)
        assert unannounced(world, "1.json", 30)
        world.clock.advance(300)
        assert unannounced(world, "2.json", 3)
        world.clock.advance(599)
        world.scheduler.step()
        assert world.main_lines("watch_recovered") == []
        world.clock.advance(1)
        world.scheduler.step()
        assert len(world.main_lines("watch_recovered")) == 1
        assert not unannounced(world, "3.json", 29)
        assert unannounced(world, "4.json", 1)

    world = play(tmp_path, story, watch="inotify")

    assert [line["interval_seconds"] for line in world.main_lines("watch_recovered")] == [30]
    assert len(world.main_lines("watch_degraded")) == 2


# With real events


def test_a_directory_that_cannot_be_watched_is_told_and_watched_as_soon_as_it_can_be(tmp_path):
    async def story(world):
        await booted(world)
        away, woken = world.jobs.with_name("away"), []
        world.jobs.rename(away)
        intake = world.scheduler._intake
        intake.start(asyncio.get_running_loop(), lambda: woken.append(1))
        try:
            world.clock.advance(30)
            world.scheduler.step()
            away.rename(world.jobs)
            world.clock.advance(1)
            world.scheduler.step()
            await until(lambda: woken)
            world.scheduler.step()
            await a_request_is_seen_at_once(world, woken)
        finally:
            intake.stop()

    (told,) = play(tmp_path, story, watch="inotify").main_lines("watch_degraded")
    assert "No such file" in told["reason"]
    assert told["files"] == []


def test_a_directory_in_the_place_of_ours_is_watched_and_no_event_is_missed_in_it(tmp_path):
    async def story(world):
        await booted(world)
        woken = []
        intake = world.scheduler._intake
        intake.start(asyncio.get_running_loop(), lambda: woken.append(1))
        try:
            world.jobs.rename(world.jobs.with_name("away"))
            (world.jobs / "triggers").mkdir(parents=True)
            world.job(schedule="0 0 1 1 *")
            await until(lambda: woken)
            world.clock.advance(30)
            world.scheduler.step()
            await until(lambda: len(woken) > 1)
            world.scheduler.step()
            await a_request_is_seen_at_once(world, woken)
        finally:
            intake.stop()

    assert play(tmp_path, story, watch="inotify").main_lines("watch_degraded") == []


def test_who_asks_for_a_rescan_wakes_the_scheduler(tmp_path):
    async def story(world):
        await booted(world)
        woken = []
        world.scheduler._intake.start(asyncio.get_running_loop(), lambda: woken.append(1))
        world.scheduler.rescan()

        assert woken == [1]

    play(tmp_path, story)


def test_nothing_is_watched_any_more_when_the_scheduler_has_stopped(tmp_path):
    async def story(world):
        before = threading.active_count()
        await booted(world)
        working = asyncio.create_task(world.scheduler.start())
        await until(lambda: threading.active_count() > before)
        world.scheduler.shutdown()
        await working

        assert threading.active_count() == before

    play(tmp_path, story, watch="inotify")
