"""What becomes of scheduled times: runs, skips, misses, queues, pauses, clock jumps, restarts."""

import asyncio
import errno
import os
from datetime import datetime, timedelta

import pytest

from sidecar import health
from sidecar.executor import MOST_HOLDING
from sidecar.model import Status
from sidecar.output import Outputs
from sidecar.policy import MOST_AHEAD, lead
from sidecar.scheduler import EX_OK, EX_SOFTWARE, FIRST_SLICE
from tests.harness import NOON, REFUSED_COMMAND, play

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def at(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


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
    assert [line["scheduled_time"] for line in starts] == [at(NOON + HOUR), at(NOON + 2 * HOUR)]
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
    assert (start["scheduled_time"], start["start_time"]) == (at(NOON + HOUR), at(NOON + HOUR))
    assert start["timestamp"] == at(NOON + HOUR - timedelta(milliseconds=1.5))


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
    assert [line["start_time"] for line in world.lines("job_start")] == [at(NOON + MINUTE), at(NOON + 2 * MINUTE)]
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

    assert [(line["job_name"], line["start_time"]) for line in starts][1:] == [("job", at(NOON + HOUR))]


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

    assert [line["scheduled_time"] for line in play(tmp_path, story).lines("job_start")] == [at(NOON + 2 * HOUR)]


def test_a_changed_schedule_counts_from_the_change(tmp_path):
    async def story(world):
        world.job(schedule="0 * * * *")
        await world.boot()
        world.clock.advance(1800)
        world.job(schedule="45 * * * *")
        await world.step()
        await world.at(NOON + timedelta(minutes=45))

    assert [line["scheduled_time"] for line in play(tmp_path, story).lines("job_start")] == [
        at(NOON + timedelta(minutes=45))
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


# Concurrency policies and the queue


def test_forbid_skips_a_scheduled_time_while_the_previous_run_is_going(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        await world.at(NOON + 2 * HOUR)

    world = play(tmp_path, story)

    skipped = world.lines("job_skipped")
    assert [(line["reason"], line["scheduled_time"], line["count"]) for line in skipped] == [
        ("already_running", at(NOON + 2 * HOUR), 1)
    ]
    assert len(world.lines("job_start")) == 1


def test_forbid_no_longer_sees_a_run_once_its_end_can_be_read(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        await world.finish(world.running[0])
        world.request()
        await world.step()

    assert play(tmp_path, story).names()[-2:] == ["trigger_accepted", "job_start"]


def test_allow_lets_runs_overlap(tmp_path):
    async def story(world):
        world.job(concurrency_policy="allow")
        await world.boot()
        await world.at(NOON + HOUR)
        await world.at(NOON + 2 * HOUR)

        assert len(world.running) == 2

    play(tmp_path, story)


def test_replace_starts_the_new_run_when_the_old_tree_is_dead_and_not_before(tmp_path):
    async def story(world):
        world.job(concurrency_policy="replace")
        await world.boot()
        await world.at(NOON + HOUR)
        (old,) = world.running
        world.target.processes[old].stubborn = True
        await world.at(NOON + 2 * HOUR)

        assert world.running == [old]
        await world.finish(old, 143)
        assert len(world.running) == 1

    world = play(tmp_path, story)

    assert world.names()[:4] == ["job_start", "job_queued", "job_complete", "job_start"]
    ended = world.lines("job_complete")[0]
    assert (ended["status"], ended["reason"].split()[:2]) == ("cancelled", ["replaced", "by"])


def test_a_newer_run_takes_the_place_of_one_that_waits_to_replace(tmp_path):
    async def story(world):
        world.job(concurrency_policy="replace")
        await world.boot()
        await world.at(NOON + HOUR)
        (old,) = world.running
        world.target.processes[old].stubborn = True
        await world.at(NOON + 2 * HOUR)
        await world.at(NOON + 3 * HOUR)
        await world.finish(old, 143)

    world = play(tmp_path, story)

    assert [line["reason"] for line in world.lines("job_skipped")] == ["replaced"]
    assert [line["scheduled_time"] for line in world.lines("job_start")] == [
        at(NOON + HOUR),
        at(NOON + 3 * HOUR),
    ]


def test_runs_beyond_the_most_allowed_are_queued_and_start_in_due_order(tmp_path):
    async def story(world):
        for name in "abcd":
            world.job(name)
        await world.boot()
        await world.at(NOON + HOUR)
        while world.running:
            assert len(world.running) <= 2
            await world.finish(world.running[0])

    world = play(tmp_path, story, max_concurrent_runs=2)

    assert [line["job_name"] for line in world.lines("job_queued")] == ["c", "d"]
    assert [line["job_name"] for line in world.lines("job_start")] == ["a", "b", "c", "d"]


def test_a_request_does_not_overtake_the_queue(tmp_path):
    async def story(world):
        for name in "abc":
            world.job(name)
        await world.boot()
        await world.at(NOON + HOUR)
        world.target.processes[world.running[0]].finish()
        await world._turn()
        world.request(job_name="a")
        await world.step()

    world = play(tmp_path, story, max_concurrent_runs=1)

    assert [line["job_name"] for line in world.lines("job_start")] == ["a", "b"]


def test_a_scheduled_run_that_is_still_queued_at_its_deadline_is_missed(tmp_path):
    async def story(world):
        world.job("long")
        world.job("short", starting_deadline_seconds=60)
        await world.boot()
        await world.at(NOON + HOUR)
        world.clock.advance(62)
        await world.step()

    world = play(tmp_path, story, max_concurrent_runs=1)

    queued, missed = world.lines("job_queued")[0], world.lines("job_missed")[0]
    assert (missed["run_id"], missed["reason"]) == (queued["run_id"], "past_deadline")


@pytest.mark.parametrize(("is_requested", "seconds", "reason"), [(False, 62, "past_deadline"), (True, 3601, "expired")])
def test_a_place_that_becomes_free_too_late_for_who_waits_for_it_starts_nothing(
    tmp_path, is_requested, seconds, reason
):
    async def story(world):
        world.job("long", schedule="0 13 * * *")
        world.job("waits", "0 0 1 1 *" if is_requested else "0 13 * * *", starting_deadline_seconds=60)
        await world.boot()
        await world.at(NOON + HOUR)
        if is_requested:
            world.request(job_name="waits")
            await world.step()
        world.target.processes[world.running[0]].finish()
        await world._turn()
        world.clock.advance(seconds)
        await world.step()

    world = play(tmp_path, story, max_concurrent_runs=1)

    assert [line["reason"] for line in world.lines("job_skipped", "job_missed")] == [reason]
    assert [line["job_name"] for line in world.lines("job_start")] == ["long"]


def test_a_queued_run_counts_as_running_for_forbid(tmp_path):
    async def story(world):
        world.job("long", schedule="0 12 * * *")
        world.job("job", schedule="0 12 * * *")
        world.clock.set_wall(NOON - MINUTE)
        await world.boot()
        await world.at(NOON)
        world.request(job_name="long")
        await world.step()

    world = play(tmp_path, story, max_concurrent_runs=1)

    assert [line["job_name"] for line in world.lines("job_queued")] == ["long"]
    assert [line["reason"] for line in world.lines("trigger_rejected")] == ["already_running"]


@pytest.mark.parametrize(("how", "reason"), [("disable", "disabled"), ("remove", "removed")])
def test_disabling_or_removing_a_job_ends_its_queued_runs(tmp_path, how, reason):
    async def story(world):
        world.job("a")
        world.job("b")
        await world.boot()
        await world.at(NOON + HOUR)
        if how == "disable":
            world.job("b", enabled=False)
        else:
            world.remove_job("b")
        await world.settle()

    world = play(tmp_path, story, max_concurrent_runs=1)

    assert [(line["job_name"], line["reason"]) for line in world.lines("job_skipped")] == [("b", reason)]


@pytest.mark.parametrize("is_down", [False, True])
def test_a_changed_definition_starts_no_queued_run_for_a_time_before_it(tmp_path, is_down):
    async def story(world):
        world.job("a")
        world.job("b")
        world.job("c", schedule="0 0 1 1 *")
        await world.boot()
        await world.at(NOON + HOUR)
        world.request(job_name="c")
        await world.step()
        for name, schedule in (("b", "0 * * * *"), ("c", "0 0 1 1 *")):
            world.job(name, schedule, command="changed")
        if is_down:
            await world.boot()
        else:
            await world.step()
            await world.finish(world.running[0])
        await world.step()

    world = play(tmp_path, story, max_concurrent_runs=1)

    assert [(line["job_name"], line["reason"]) for line in world.lines("job_skipped")] == [("b", "superseded")]
    assert [line["job_name"] for line in world.lines("job_start")] == ["a", "c"]


# Downtime, catch-up, jitter


def test_after_a_short_downtime_the_latest_missed_time_runs_once_as_a_catch_up(tmp_path):
    async def story(world):
        world.job(schedule="*/5 * * * *")
        await world.boot()
        world.clock.advance(16 * 60)
        await world.boot()

    world = play(tmp_path, story)

    (missed,), (start,) = world.lines("job_missed"), world.lines("job_start")
    assert (missed["first_scheduled_time"], missed["scheduled_time"], missed["count"], missed["reason"]) == (
        at(NOON + 5 * MINUTE),
        at(NOON + 10 * MINUTE),
        2,
        "superseded",
    )
    assert (start["trigger"], start["scheduled_time"]) == ("catch_up", at(NOON + 15 * MINUTE))


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
        at(NOON + HOUR),
        at(NOON + 24 * HOUR),
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
    assert [line["scheduled_time"] for line in world.lines("job_start")] == [None, at(NOON + 10 * MINUTE)]


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
    assert (start["trigger"], start["scheduled_time"]) == ("catch_up", at(NOON + HOUR))


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
    assert (start["trigger"], start["scheduled_time"]) == ("schedule", at(NOON + HOUR))


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
    assert (skipped["reason"], skipped["scheduled_time"]) == ("superseded", at(NOON + HOUR))
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


# Pause


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
        at(NOON + 5 * HOUR),
    )
    assert [line["scheduled_time"] for line in world.lines("job_start")] == [at(NOON + 6 * HOUR)]
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

    assert [line["scheduled_time"] for line in world.lines("job_start")] == [at(NOON + HOUR)]
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
    assert (skipped["reason"], skipped["count"], skipped["scheduled_time"]) == ("paused", 2, at(NOON + 2 * HOUR))
    assert [line["scheduled_time"] for line in world.lines("job_start")] == [at(NOON + 3 * HOUR)]


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

    assert [line["scheduled_time"] for line in world.lines("job_skipped")] == [at(NOON + HOUR)]
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


# The clock


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
        at(NOON + HOUR),
        at(NOON + 2 * HOUR),
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
        at(NOON + HOUR),
        at(NOON - 23 * HOUR),
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

    assert [line["scheduled_time"] for line in starts] == [at(NOON + hours * HOUR) for hours in (1, -23, -22)]


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
    assert [line["scheduled_time"] for line in starts] == [at(NOON + HOUR), at(NOON + 2 * HOUR)]


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
    assert [line["scheduled_time"] for line in world.lines("job_start")] == [at(NOON + HOUR), at(NOON - 23 * HOUR)]


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


# Retries


def test_a_failed_run_is_retried_with_growing_delays_until_the_last_attempt(tmp_path):
    async def story(world):
        world.job(schedule="0 0 1 1 *", retries={"max_attempts": 3, "initial_delay_seconds": 10})
        await world.boot()
        world.request()
        await world.step()
        for wait in (10, 20):
            await world.finish(world.running[0], exit_code=3)
            world.clock.advance(wait - 1)
            await world.step()
            assert world.running == []
            world.clock.advance(1)
            await world.step()
        await world.finish(world.running[0], exit_code=3)
        world.clock.advance(3600)
        await world.step()

    world = play(tmp_path, story)

    starts, ends = world.lines("job_start"), world.lines("job_complete")
    first = starts[0]["run_id"]
    assert [(line["run_id"], line["attempt"], line["trigger"]) for line in starts] == [
        (first, 1, "manual"),
        (f"{first}-2", 2, "retry"),
        (f"{first}-3", 3, "retry"),
    ]
    assert {line["first_run_id"] for line in starts} == {first}
    assert [line["retry_at"] is None for line in ends] == [False, False, True]


def test_a_retry_that_was_pending_survives_a_restart(tmp_path):
    async def story(world):
        world.job(schedule="0 0 1 1 *", retries={"initial_delay_seconds": 60})
        await world.boot()
        world.request()
        await world.step()
        await world.finish(world.running[0], exit_code=1)
        await world.boot()
        assert world.running == []
        world.clock.advance(60)
        await world.step()

    assert [line["trigger"] for line in play(tmp_path, story).lines("job_start")] == ["manual", "retry"]


def test_a_new_scheduled_run_supersedes_the_pending_retry(tmp_path):
    async def story(world):
        world.job(retries={"initial_delay_seconds": 3600 * 24, "max_delay_seconds": 3600 * 24})
        await world.boot()
        await world.at(NOON + HOUR)
        await world.finish(world.running[0], exit_code=1)
        await world.at(NOON + 2 * HOUR)

    world = play(tmp_path, story)

    assert world.names() == ["job_start", "job_complete", "job_skipped", "job_start"]
    assert world.lines("job_skipped")[0]["reason"] == "superseded"


def test_a_retry_uses_the_definition_then_in_force(tmp_path):
    async def story(world):
        world.job(schedule="0 0 1 1 *", retries={"initial_delay_seconds": 60})
        await world.boot()
        world.request()
        await world.step()
        await world.finish(world.running[0], exit_code=1)
        world.job(schedule="0 0 1 1 *", retries={"initial_delay_seconds": 60}, command="echo changed")
        await world.step()
        world.clock.advance(60)
        await world.step()

        (run_id,) = world.running
        assert world.target.processes[run_id].launch.command == "echo changed"

    play(tmp_path, story)


def test_a_retry_never_replaces_a_newer_scheduled_run(tmp_path):
    async def story(world):
        world.job(concurrency_policy="replace", retries={"initial_delay_seconds": 5})
        await world.boot()
        await world.at(NOON + HOUR)
        (old,) = world.running
        world.target.processes[old].stubborn = True
        world.scheduler.executor.end(old, Status.TIMEOUT, "ran too long")
        await world.at(NOON + 2 * HOUR)
        await world.finish(old, 143)
        world.clock.advance(6)
        await world.step()

    assert [line["status"] for line in play(tmp_path, story).lines("job_complete")] == ["timeout"]


@pytest.mark.parametrize(("policy", "reason"), [("replace", "replaced"), ("forbid", "already_running")])
def test_a_retry_does_not_end_a_run_that_was_requested_meanwhile(tmp_path, policy, reason):
    async def story(world):
        world.job(schedule="0 0 1 1 *", concurrency_policy=policy, retries={"initial_delay_seconds": 5})
        await world.boot()
        world.request()
        await world.step()
        await world.finish(world.running[0], exit_code=1)
        world.request("r2.json")
        await world.step()
        world.clock.advance(6)
        await world.step()
        await world.finish(world.running[0])

    world = play(tmp_path, story)

    assert [line["status"] for line in world.lines("job_complete")] == ["failure", "success"]
    assert [line["reason"] for line in world.lines("job_skipped")] == [reason]


def test_a_retry_that_the_scheduler_comes_to_after_its_deadline_is_missed(tmp_path):
    async def story(world):
        retries = {"initial_delay_seconds": 5}
        world.job(schedule="0 0 1 1 *", retries=retries, starting_deadline_seconds=60)
        await world.boot()
        world.request()
        await world.step()
        await world.finish(world.running[0], exit_code=1)
        world.clock.advance(5 + 61)
        await world.step()

    world = play(tmp_path, story)

    assert [(line["run_id"][-2:], line["reason"]) for line in world.lines("job_missed")] == [("-2", "past_deadline")]
    assert len(world.lines("job_start")) == 1


def test_superseded_retries_do_not_pile_up(tmp_path):
    async def story(world):
        world.job(schedule="* * * * *", retries={"initial_delay_seconds": 10**9, "max_delay_seconds": 10**9})
        await world.boot()
        for minute in range(1, 200):
            await world.at(NOON + minute * MINUTE)
            await world.finish(world.running[0], exit_code=1)

        assert len(world.scheduler.runs._retry_heap) < 100

    play(tmp_path, story)


def test_disabling_a_job_ends_its_pending_retry(tmp_path):
    async def story(world):
        world.job(retries={"initial_delay_seconds": 60})
        await world.boot()
        world.request()
        await world.step()
        await world.finish(world.running[0], exit_code=1)
        world.job(enabled=False)
        await world.step()
        world.clock.advance(120)
        await world.step()

    world = play(tmp_path, story)

    assert [line["reason"] for line in world.lines("job_skipped")] == ["disabled"]
    assert len(world.lines("job_start")) == 1


@pytest.mark.parametrize(("how", "reason"), [("disable", "disabled"), ("remove", "removed")])
def test_disabling_or_removing_a_job_while_the_scheduler_is_down_ends_what_waits_of_it(tmp_path, how, reason):
    async def story(world):
        world.job("full", schedule="0 0 1 1 *")
        for name in ("retried", "queued"):
            world.job(name, schedule="0 0 1 1 *", retries={"initial_delay_seconds": 5})
        await world.boot()
        world.request("1.json", job_name="retried")
        await world.step()
        await world.finish(world.running[0], exit_code=1)
        world.request("2.json", job_name="full")
        await world.step()
        world.request("3.json", job_name="queued")
        await world.step()
        for name in ("retried", "queued"):
            if how == "disable":
                world.job(name, schedule="0 0 1 1 *", enabled=False)
            else:
                world.remove_job(name)
        await world.boot()
        world.clock.advance(6)
        await world.step()

    world = play(tmp_path, story, max_concurrent_runs=1)

    skipped = [(line["job_name"], line["reason"]) for line in world.lines("job_skipped")]
    assert sorted(skipped) == [("queued", reason), ("retried", reason)]
    assert [line["job_name"] for line in world.lines("job_start")] == ["retried", "full"]


def test_a_pause_holds_retries_and_they_start_when_it_ends(tmp_path):
    async def story(world):
        world.job(schedule="0 0 1 1 *", retries={"initial_delay_seconds": 60})
        await world.boot()
        world.request()
        await world.step()
        await world.finish(world.running[0], exit_code=1)
        (world.jobs / "PAUSE").touch()
        world.clock.advance(7200)
        await world.step()
        assert world.running == []
        (world.jobs / "PAUSE").unlink()
        await world.step()
        assert len(world.running) == 1

    play(tmp_path, story)


# Restart


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
    assert (told[0], told[-1]) == (at(NOON + HOUR), None)


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
        assert world.scheduler._sweep is None
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


def test_a_command_that_cannot_be_started_is_a_failed_run(tmp_path):
    async def story(world):
        world.job(command=REFUSED_COMMAND)
        await world.boot()
        await world.at(NOON + HOUR)

    (end,) = play(tmp_path, story).lines("job_complete")
    assert (end["status"], end["exit_code"], "refused by the test" in end["stderr"]) == ("failure", 126, True)


# Shutdown


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
