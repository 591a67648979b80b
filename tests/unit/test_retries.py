"""What becomes of runs that failed."""

import pytest

from sidecar.model import Status
from tests.harness import HOUR, MINUTE, NOON, play


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
        due = []
        for minute in range(1, 200):
            await world.at(NOON + minute * MINUTE)
            await world.finish(world.running[0], exit_code=1)
            due.append(world.scheduler.runs.next_retry_at())

        assert due[-1] > due[0] + 100 * MINUTE.total_seconds()  # that of the first ones would be sooner

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
