"""What becomes of runs that may not begin at once: concurrency policies, the limit, the queue."""

import pytest

from tests.harness import HOUR, MINUTE, NOON, play, stamp


def test_forbid_skips_a_scheduled_time_while_the_previous_run_is_going(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        await world.at(NOON + HOUR)
        await world.at(NOON + 2 * HOUR)

    world = play(tmp_path, story)

    skipped = world.lines("job_skipped")
    assert [(line["reason"], line["scheduled_time"], line["count"]) for line in skipped] == [
        ("already_running", stamp(NOON + 2 * HOUR), 1)
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
        stamp(NOON + HOUR),
        stamp(NOON + 3 * HOUR),
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
