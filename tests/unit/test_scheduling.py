"""What becomes of scheduled times while all goes well: each has its run, decided ahead, alone or by the thousand."""

import asyncio
import os
from datetime import timedelta

import pytest

from sidecar.executor import MOST_HOLDING
from sidecar.output import Outputs
from sidecar.policy import MOST_AHEAD, lead
from sidecar.scheduler import FIRST_SLICE
from tests.harness import HOUR, MINUTE, NOON, play, stamp


def test_a_job_runs_once_at_each_scheduled_time(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        for hour in (1, 2):
            await world.at(NOON + hour * HOUR)
            await world.step(3)
            await world.finish(world.running[0])

    world = play(tmp_path, story)

    starts = world.lines("job_start")
    assert [line["scheduled_time"] for line in starts] == [stamp(NOON + HOUR), stamp(NOON + 2 * HOUR)]
    assert {line["trigger"] for line in starts} == {"schedule"}
    assert [line["status"] for line in world.lines("job_complete")] == ["success", "success"]


def test_the_start_line_comes_before_the_process_and_names_its_definition(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        world.clock.advance(3600)
        world.scheduler.step()

        assert world.names() == ["job_start"]
        assert world.target.processes == {}
        assert world.lines()[0]["sha256"] == world.scheduler.catalog.jobs["job"].sha256

    play(tmp_path, story)


def test_what_is_due_in_a_moment_is_on_disk_ahead_and_starts_at_its_instant(tmp_path, monkeypatch):
    slept = []

    async def story(world):
        world.job()
        await world.boot()
        world.clock.advance(HOUR.total_seconds() - 0.0023)
        await world.step()
        assert world.names() == []

        def sleep(seconds):
            assert world.names() == ["job_start"]
            assert world.target.processes == {}
            assert len(list((world.logs / "output" / "job").iterdir())) == 2
            slept.append(seconds)
            world.clock.advance(seconds)

        monkeypatch.setattr("time.sleep", sleep)
        world.clock.advance(0.0008)
        await world.step()

        assert world.clock.now() == NOON + HOUR
        assert len(world.target.processes) == 1

    world = play(tmp_path, story)

    assert slept == [pytest.approx(0.0015)]
    [start] = world.lines("job_start")
    assert (start["scheduled_time"], start["start_time"]) == (stamp(NOON + HOUR), stamp(NOON + HOUR))
    assert start["timestamp"] == stamp(NOON + HOUR - timedelta(milliseconds=1.5))


def test_sleeps_that_end_late_by_a_thousandth_of_their_length_leave_the_time_that_is_needed_ahead(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        world.clock.advance(HOUR.total_seconds() - 0.9)
        await world.step()
        sleeps = 0
        while (wait := world.scheduler._seconds_to_wait()) > 0:
            world.clock.advance(1.001 * wait)
            sleeps += 1

        late = world.clock.now() - (NOON + HOUR - lead(1))
        assert timedelta(0) <= late < timedelta(milliseconds=0.1)
        assert sleeps < 5

    play(tmp_path, story)


def test_no_start_waits_for_output_files_that_take_longer_than_there_is_time_ahead(tmp_path, monkeypatch):
    async def story(world):
        for number in range(10):
            world.job(f"job{number}")
        await world.boot()
        outputs = world.scheduler._outputs
        open_files, opened_at = outputs.open, []

        def slowly(*names):
            opened_at.append(world.clock.now())
            world.clock.advance(0.001)
            return open_files(*names)

        outputs.open = slowly
        monkeypatch.setattr("time.sleep", lambda _: pytest.fail("there is no time left"))
        world.clock.advance(HOUR.total_seconds() - 0.003)
        world.scheduler.step()
        assert opened_at == [NOON + HOUR - timedelta(milliseconds=left) for left in (3, 2, 1)]

        await world._turn()
        assert len(opened_at) == len(world.target.processes) == 10

    play(tmp_path, story)


def test_of_more_runs_than_are_decided_ahead_the_first_are_prepared_and_none_starts_before_its_instant(
    tmp_path, monkeypatch
):
    async def story(world):
        for number in range(2 * MOST_AHEAD):
            world.job(f"job{number}")
        await world.boot()
        opened = []

        def sleep(seconds):
            assert world.target.processes == {}
            opened.append(len(list((world.logs / "output").glob("job*/*"))))
            world.clock.advance(seconds)

        monkeypatch.setattr("time.sleep", sleep)
        world.clock.advance(HOUR.total_seconds() - 0.001)
        working = asyncio.create_task(world.scheduler.loop())
        await world._turn()
        working.cancel()

        assert opened == [2 * MOST_HOLDING]
        assert len(world.target.processes) == MOST_AHEAD

    world = play(tmp_path, story, max_concurrent_runs=MOST_AHEAD)

    assert [len(world.lines(event)) for event in ("job_start", "job_queued")] == [MOST_AHEAD, MOST_AHEAD]


def test_a_run_that_is_cancelled_before_its_instant_comes_leaves_no_output_file_open(tmp_path):
    async def story(world):
        world.job("timed")
        world.job("asked", schedule="0 0 1 1 *")
        await world.boot()
        world.clock.advance(HOUR.total_seconds() - 0.001)
        world.request("1.json", job_name="asked")
        world.request("2.json", action="cancel", job_name="asked")
        await world.step()
        (timed,) = world.running
        await world.finish(timed)

        links = [f"/proc/self/fd/{descriptor}" for descriptor in os.listdir("/proc/self/fd")]
        open_files = [os.readlink(link) for link in links if os.path.lexists(link)]
        assert [file for file in open_files if file.startswith(str(world.logs / "output"))] == []

    ends = play(tmp_path, story).lines("job_complete")

    assert [(line["job_name"], line["status"]) for line in ends] == [("asked", "cancelled"), ("timed", "success")]


@pytest.mark.parametrize("policy", ["forbid", "replace", "allow"])
def test_what_would_not_begin_at_once_is_decided_at_its_instant(tmp_path, policy):
    async def story(world):
        world.job(schedule="* * * * *", concurrency_policy=policy)
        await world.boot()
        await world.at(NOON + MINUTE)
        [first] = world.running
        world.clock.advance(MINUTE.total_seconds() - 0.001)
        await world.step()
        assert world.names() == ["job_start"]

        await world.finish(first)
        await world.at(NOON + 2 * MINUTE)

    world = play(tmp_path, story)

    assert world.names() == ["job_start", "job_complete", "job_start"]
    assert [line["start_time"] for line in world.lines("job_start")] == [stamp(NOON + MINUTE), stamp(NOON + 2 * MINUTE)]
    assert world.lines("job_complete")[0]["status"] == "success"


def test_a_place_that_becomes_free_just_before_an_instant_starts_nothing_before_it(tmp_path):
    async def story(world):
        world.job("long", schedule="0 12 * * *")
        world.job("job")
        await world.boot()
        world.request("r1.json", job_name="long")
        await world.step()
        [going] = world.running
        world.clock.advance(HOUR.total_seconds() - 0.001)
        await world.step()
        await world.finish(going)
        await world.at(NOON + HOUR)

    starts = play(tmp_path, story, max_concurrent_runs=1).lines("job_start")

    assert [(line["job_name"], line["start_time"]) for line in starts][1:] == [("job", stamp(NOON + HOUR))]


def test_what_was_written_ahead_is_not_repeated_after_a_crash(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        world.clock.advance(HOUR.total_seconds() - 0.001)
        world.scheduler.step()
        await world.boot()
        await world.at(NOON + HOUR)
        await world.at(NOON + HOUR + MINUTE)

    world = play(tmp_path, story)

    assert world.names() == ["job_start", "job_complete"]
    assert world.lines()[1]["status"] == "interrupted"


def test_a_new_definition_starts_nothing_at_once_or_for_a_time_before_it(tmp_path):
    async def story(world):
        await world.boot()
        world.clock.advance(3600 + 30)
        world.job()
        await world.step()

        assert world.names() == []
        await world.at(NOON + 2 * HOUR)

    assert [line["scheduled_time"] for line in play(tmp_path, story).lines("job_start")] == [stamp(NOON + 2 * HOUR)]


def test_a_changed_schedule_counts_from_the_change(tmp_path):
    async def story(world):
        world.job(schedule="0 * * * *")
        await world.boot()
        world.clock.advance(1800)
        world.job(schedule="45 * * * *")
        await world.step()
        await world.at(NOON + timedelta(minutes=45))

    assert [line["scheduled_time"] for line in play(tmp_path, story).lines("job_start")] == [
        stamp(NOON + timedelta(minutes=45))
    ]


def test_what_ended_runs_leave_is_removed_after_all_that_is_due_has_begun(tmp_path, monkeypatch):
    begun = []

    async def story(world):
        world.job("early", schedule="59 12 * * *")
        for number in range(3 * FIRST_SLICE):
            world.job(f"job{number}")
        await world.boot()
        discard = Outputs.discard

        def spy(self, files):
            if files:
                begun.append((len(world.lines("job_start")), sorted(files)))
            discard(self, files)

        monkeypatch.setattr(Outputs, "discard", spy)
        await world.at(NOON + timedelta(minutes=59))
        (early,) = world.running
        world.target.processes[early].finish()
        await world._turn()
        world.clock.advance(60)
        world.scheduler.step()
        begun.append(early)

    play(tmp_path, story, max_concurrent_runs=1000)

    *discarded, early = begun
    assert discarded == [(1 + 3 * FIRST_SLICE, [f"output/early/{early}.stderr", f"output/early/{early}.stdout"])]


def test_a_disabled_job_is_never_started(tmp_path):
    async def story(world):
        world.job(enabled=False)
        await world.boot()
        await world.at(NOON + 2 * HOUR)

    assert play(tmp_path, story).names() == []


def test_a_run_goes_on_as_it_began_when_its_definition_is_removed(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        world.remove_job()
        await world.settle()

        assert len(world.running) == 1
        await world.finish(world.running[0])

    world = play(tmp_path, story)

    assert world.lines("job_complete")[0]["status"] == "success"
    assert len(world.main_lines("job_removed")) == 1


def test_of_many_runs_due_together_the_first_start_before_the_last_are_recorded(tmp_path):
    async def story(world):
        for number in range(100):
            world.job(f"job{number}")
        await world.boot()
        world.clock.advance(3600)
        start, recorded = world.target.start, []

        async def noting(launch):
            recorded.append(len(world.lines("job_start")))
            return await start(launch)

        world.target.start = noting
        working = asyncio.create_task(world.scheduler.loop())
        await world._turn()
        working.cancel()

        assert len(recorded) == 100
        assert recorded[0] < recorded[-1] == 100
        assert all(lines > started for started, lines in enumerate(recorded))

    play(tmp_path, story, max_concurrent_runs=100)


def test_a_shutdown_in_the_middle_of_a_storm_leaves_the_rest_to_the_next_scheduler(tmp_path):
    async def story(world):
        for number in range(100):
            world.job(f"job{number}")
        await world.boot()
        world.clock.advance(3600)
        working = asyncio.create_task(world.scheduler.loop())
        await asyncio.sleep(0)
        world.scheduler.shutdown()
        await world._turn()
        begun = len(world.lines("job_start"))
        working.cancel()

        assert 0 < begun < 100
        await world.boot()
        await world.step()
        assert len(world.lines("job_start")) == 100

    play(tmp_path, story, max_concurrent_runs=200)
