"""How requests are answered: each once, by the rules, and never forgotten."""

import asyncio
import errno
import os
from datetime import timedelta

import pytest

from sidecar import requests
from sidecar.journal import JOURNAL, replay
from tests.harness import NOON, play


async def booted(world, **fields):
    world.job(**fields)
    await world.boot()


def answers(world):
    events = ("trigger_accepted", "trigger_rejected")
    return [(line["file"], line.get("reason", "accepted")) for line in world.lines(*events)]


def test_a_run_request_is_accepted_and_its_run_starts(tmp_path):
    async def story(world):
        await booted(world)
        world.request(requested_by="ada")
        await world.step()

    world = play(tmp_path, story)

    accepted, start = world.lines("trigger_accepted", "job_start")
    assert (accepted["requested_by"], accepted["requested_uid"]) == ("ada", os.getuid())
    assert accepted["run_ids"] == [accepted["run_id"]] == [start["run_id"]]
    assert (start["trigger"], start["request_id"], start["scheduled_time"]) == ("manual", "r1.json", None)


def test_a_request_is_answered_once_however_often_it_is_seen_and_across_restarts(tmp_path):
    async def story(world):
        await booted(world, concurrency_policy="allow")
        world.request()
        await world.step(3)
        await world.boot()
        await world.step(3)
        world.request("copy.json", request_id="r1.json")
        await world.step(3)

    assert answers(play(tmp_path, story)) == [("r1.json", "accepted")]


def test_an_answer_is_remembered_while_the_file_exists_also_beyond_its_age(tmp_path):
    async def story(world):
        await booted(world, schedule="0 0 1 1 *", concurrency_policy="allow")
        world.request()
        await world.step()
        world.clock.advance(24 * 3600)
        await world.step(2)
        await world.boot()
        await world.step(2)

    assert answers(play(tmp_path, story)) == [("r1.json", "accepted")]


def test_an_answer_is_forgotten_when_its_file_is_gone_and_it_is_old(tmp_path):
    async def story(world):
        await booted(world, schedule="0 0 1 1 *")
        world.request()
        await world.step()
        (world.jobs / "triggers" / "r1.json").unlink()
        await world.step()
        assert world.scheduler.ledger.answers
        world.clock.advance(3700)
        await world.step()

        assert not world.scheduler.ledger.answers

    play(tmp_path, story)


def test_touching_a_jobs_name_is_a_request_and_touching_it_again_another(tmp_path):
    async def story(world):
        await booted(world, concurrency_policy="allow")
        path = world.jobs / "triggers" / "job"
        for second in (1, 2):
            path.touch()
            os.utime(path, (world.clock.now().timestamp(), world.clock.now().timestamp() + second))
            await world.step()
            world.clock.advance(0.1)
            await world.step(2)

    world = play(tmp_path, story)

    assert answers(world) == [("job", "accepted"), ("job", "accepted")]
    assert len({line["request_id"] for line in world.lines("trigger_accepted")}) == 2


@pytest.mark.parametrize(
    ("fields", "reason", "detail"),
    [
        ({"job_name": "nothing"}, "unknown_job", "no job is called nothing"),
        ({"job_name": "off"}, "disabled", "off.json has enabled: false"),
        (
            {"job_name": "job", "action": "cancel"},
            "not_running",
            "no run of job is going, queued or to be retried",
        ),
        ({"job_name": "nothing", "action": "cancel"}, "unknown_job", "no job is called nothing"),
        (
            {"job_name": "job", "action": "cancel", "run_id": "gone"},
            "not_running",
            "run gone of job is neither going nor queued nor to be retried",
        ),
    ],
)
def test_a_request_that_makes_no_sense_is_rejected_with_its_reason(tmp_path, fields, reason, detail):
    async def story(world):
        world.job("off", enabled=False)
        await booted(world)
        world.request(**fields)
        await world.step()

    world = play(tmp_path, story)

    assert answers(world) == [("r1.json", reason)]
    assert world.lines("trigger_rejected")[0]["detail"] == detail


def test_a_file_that_is_no_request_is_answered_invalid_after_it_stood(tmp_path):
    async def story(world):
        await booted(world)
        (world.jobs / "triggers" / "x.json").write_text("{")
        await world.settle()

    (line,) = play(tmp_path, story).lines("trigger_rejected")
    assert (line["reason"], line["action"], line["job_name"]) == ("invalid", None, None)


def test_a_request_that_is_too_old_when_first_seen_has_expired(tmp_path):
    async def story(world):
        await booted(world)
        world.request()
        world.clock.advance(3601)
        await world.step()

    assert answers(play(tmp_path, story)) == [("r1.json", "expired")]


def test_a_request_from_the_future_counts_as_made_now(tmp_path):
    async def story(world):
        await booted(world)
        world.clock.advance(3600)
        world.request()
        world.clock.set_wall(NOON)
        await world.step()

    assert answers(play(tmp_path, story)) == [("r1.json", "accepted")]


def test_definitions_are_looked_at_again_before_a_job_is_called_unknown_or_disabled(tmp_path):
    async def story(world):
        world.job("off", enabled=False)
        await world.boot()
        world.job("off", enabled=True, description="switched on")
        world.job("new")
        # Only the requests are looked at, as when their event comes first.
        world.request("1.json", job_name="off")
        world.request("2.json", job_name="new")
        world.scheduler._intake._requests = {"1.json", "2.json"}
        world.scheduler.step()

    assert answers(play(tmp_path, story)) == [("1.json", "accepted"), ("2.json", "accepted")]


def test_an_accepted_request_whose_run_waits_longer_than_its_age_is_skipped_as_expired(tmp_path):
    async def story(world):
        world.job("long", schedule="0 0 1 1 *")
        await booted(world, schedule="0 0 1 1 *")
        world.request("1.json", job_name="long")
        await world.step()
        world.request("2.json")
        await world.step()
        world.clock.advance(3601)
        await world.step()

    world = play(tmp_path, story, max_concurrent_runs=1)

    (skipped,) = world.lines("job_skipped")
    assert (skipped["reason"], skipped["request_id"]) == ("expired", "2.json")


def test_an_accepted_request_that_had_not_started_at_a_crash_starts_afterwards(tmp_path):
    async def story(world):
        world.job("long", schedule="0 0 1 1 *")
        await booted(world, schedule="0 0 1 1 *")
        world.request("1.json", job_name="long")
        await world.step()
        world.request("2.json")
        await world.step()
        await world.boot()
        await world.step()

    world = play(tmp_path, story, max_concurrent_runs=1)

    assert [line["request_id"] for line in world.lines("job_start")] == ["1.json", "2.json"]


# Cancel


def test_a_cancel_ends_the_run_that_it_names(tmp_path):
    async def story(world):
        await booted(world, concurrency_policy="allow")
        world.request("1.json")
        world.request("2.json")
        await world.step()
        world.request("c.json", action="cancel", run_id=world.running[0])
        await world.step()

        assert len(world.running) == 1

    world = play(tmp_path, story)

    cancelled = [line for line in world.lines("job_complete") if line["status"] == "cancelled"]
    assert [line["request_id"] for line in cancelled] == ["1.json"]
    assert "c.json" in cancelled[0]["reason"]


def test_a_cancel_of_a_job_ends_all_of_its_runs_also_of_a_deleted_one(tmp_path):
    async def story(world):
        await booted(world, concurrency_policy="allow")
        world.request("1.json")
        world.request("2.json")
        await world.step()
        world.remove_job()
        await world.settle()
        world.request("c.json", action="cancel")
        await world.step()

        assert world.running == []

    world = play(tmp_path, story)

    assert len(world.lines("trigger_accepted")[-1]["run_ids"]) == 2


def test_a_cancelled_queued_run_ends_without_having_started(tmp_path):
    async def story(world):
        world.job("long")
        await booted(world)
        world.request("1.json", job_name="long")
        await world.step()
        world.request("2.json")
        await world.step()
        world.request("c.json", action="cancel")
        await world.step()

    world = play(tmp_path, story, max_concurrent_runs=1)

    end = world.lines("job_complete")[0]
    assert (end["status"], end["exit_code"], end["request_id"]) == ("cancelled", None, "2.json")
    assert [line["request_id"] for line in world.lines("job_start")] == ["1.json"]


@pytest.mark.parametrize("by_first_run_id", [True, False])
def test_a_cancelled_retry_never_starts(tmp_path, by_first_run_id):
    async def story(world):
        await booted(world, schedule="0 0 1 1 *", retries={"initial_delay_seconds": 60})
        world.request()
        await world.step()
        (run_id,) = world.running
        await world.finish(run_id, exit_code=1)
        world.request("c.json", action="cancel", run_id=run_id if by_first_run_id else f"{run_id}-2")
        await world.step()
        world.clock.advance(60)
        await world.step()

    world = play(tmp_path, story)

    assert [line["status"] for line in world.lines("job_complete")] == ["failure", "cancelled"]
    assert len(world.lines("job_start")) == 1


def test_a_request_waits_for_the_end_of_what_a_crash_left(tmp_path):
    async def story(world):
        world.job()
        await world.boot()
        world.request("1.json")
        await world.step()
        world.request("2.json")
        world.leftovers_gone = asyncio.Event()
        await world.boot()
        await world.step()
        assert len(world.lines("trigger_accepted", "trigger_rejected")) == 1
        world.leftovers_gone.set()
        await world.step(2)

    world = play(tmp_path, story)

    assert world.lines("trigger_rejected") == []
    assert [line["request_id"] for line in world.lines("job_start")] == ["1.json", "2.json"]
    assert world.names().index("job_complete") < world.names().index("trigger_accepted", 2)


def test_a_cancel_that_comes_too_late_for_the_run_is_not_too_late_for_its_retry(tmp_path):
    async def story(world):
        world.job(retries={"max_attempts": 3, "initial_delay_seconds": 1})
        await world.boot()
        world.request("1.json")
        await world.step()
        [run_id] = world.running
        world.target.processes[run_id].finish(1)
        world.request("c.json", action="cancel", run_id=run_id)
        world.scheduler.rescan()
        world.scheduler.step()  # its shell is dead, which nobody has noticed yet
        await world.step()
        world.clock.advance(10)
        await world.step()

    world = play(tmp_path, story)

    assert [line["status"] for line in world.lines("trigger_accepted", "job_complete") if "status" in line] == [
        "failure"
    ]
    assert len(world.lines("trigger_accepted")) == 2
    assert world.lines("job_complete")[0]["retry_at"] is None
    assert len(world.lines("job_start")) == 1


def test_an_accepted_cancel_holds_although_a_crash_came_before_its_runs_end_was_written(tmp_path):
    async def story(world):
        world.job("long", schedule="0 0 1 1 *")
        await booted(world, schedule="0 0 1 1 *")
        world.request("1.json", job_name="long")
        await world.step()
        world.request("2.json")
        await world.step()
        world.request("c.json", action="cancel")
        await world.step()
        journal = world.logs / "scheduler_jobs.log"
        *kept, ended = journal.read_bytes().splitlines(keepends=True)
        assert b'"cancelled"' in ended and b'"trigger_accepted"' in kept[-1]
        journal.write_bytes(b"".join(kept))
        await world.boot()
        await world.step()

    world = play(tmp_path, story, max_concurrent_runs=1)

    cancelled = [line["request_id"] for line in world.lines("job_complete") if line["status"] == "cancelled"]
    assert cancelled == ["2.json"]
    assert "2.json" not in [line["request_id"] for line in world.lines("job_start")]


# Draining


def test_while_draining_run_requests_stay_unanswered_for_the_next_scheduler(tmp_path):
    async def story(world):
        await booted(world, concurrency_policy="allow")
        world.request("1.json")
        await world.step()
        world.scheduler.shutdown("test")
        world.request("2.json")
        await world.step(2)
        assert answers(world) == [("1.json", "accepted")]
        await world.finish(world.running[0])
        await world.boot()

    assert answers(play(tmp_path, story)) == [("1.json", "accepted"), ("2.json", "accepted")]


def test_while_draining_cancels_still_work(tmp_path):
    async def story(world):
        await booted(world)
        world.request("1.json")
        await world.step()
        world.scheduler.shutdown("test")
        world.request("c.json", action="cancel")
        await world.step()

        assert world.scheduler.runs.idle

    assert [line["status"] for line in play(tmp_path, story).lines("job_complete")] == ["cancelled"]


async def after_an_answered_file_went(world):
    """Have a request answered, let its file lie there for two hours, remove it, and start a new scheduler."""
    await booted(world, schedule="0 0 1 1 *")
    world.request()
    await world.step()
    await world.finish(world.running[0])
    world.clock.advance(7200)
    await world.step()
    (world.jobs / "triggers" / "r1.json").unlink()
    await world.step()


@pytest.mark.parametrize("restarts", [False, True])
def test_an_answer_is_remembered_for_an_hour_after_its_file_went_and_no_longer(tmp_path, restarts):
    async def story(world):
        await after_an_answered_file_went(world)
        if restarts:
            await world.boot()
        for _ in range(119):
            world.clock.advance(30)
            await world.step()
        world.request()
        await world.step()
        assert len(answers(world)) == 1
        (world.jobs / "triggers" / "r1.json").unlink()
        await world.step()
        for _ in range(124):
            world.clock.advance(30)
            await world.step()
        assert world.scheduler.ledger.answers == {}

    play(tmp_path, story)


# A journal that cannot be written


def test_requests_stay_unanswered_while_the_journal_cannot_be_written(tmp_path, disk):
    async def story(world):
        await booted(world, schedule="* * * * *")
        disk.full = True
        await world.at(NOON + timedelta(minutes=1))
        assert world.scheduler.logger.degraded
        world.request()
        await world.step(2)
        assert len(world.target.processes) == 1
        disk.full = False
        await world.finish(world.running[0])
        await world.step()

    world = play(tmp_path, story)

    assert answers(world) == [("r1.json", "accepted")]
    assert len(world.main_lines("journal_degraded")) == len(world.main_lines("journal_recovered")) == 1


def test_a_scheduled_run_goes_on_while_the_journal_cannot_be_written_and_its_lines_come_later(tmp_path, disk):
    async def story(world):
        await booted(world, schedule="* * * * *")
        disk.full = True
        await world.at(NOON + timedelta(minutes=1))
        assert len(world.target.processes) == 1
        await world.finish(world.running[0])
        assert world.lines() == []
        disk.full = False
        await world.step()

    assert play(tmp_path, story).names() == ["job_start", "job_complete"]


def test_a_request_whose_answer_could_not_be_written_runs_only_when_it_is(tmp_path, disk):
    async def story(world):
        await booted(world)
        disk.full = True
        world.request()
        await world.step(2)
        assert world.target.processes == {}
        assert world.lines() == []
        disk.full = False
        await world.step()

        assert len(world.target.processes) == 1

    assert play(tmp_path, story).names() == ["trigger_accepted", "job_start"]


def test_a_retry_whose_start_could_not_be_written_runs_only_when_it_is(tmp_path, disk):
    async def story(world):
        await booted(world, schedule="0 0 1 1 *", retries={"initial_delay_seconds": 60})
        world.request()
        await world.step()
        await world.finish(world.running[0], exit_code=1)
        disk.full = True
        world.clock.advance(61)
        await world.step()
        assert len(world.target.processes) == 1
        disk.full = False
        await world.step()

        assert len(world.target.processes) == 2

    play(tmp_path, story)


def test_a_request_whose_answer_was_never_written_is_taken_by_the_next_scheduler(tmp_path, disk):
    async def story(world):
        await booted(world)
        disk.full = True
        world.request()
        await world.step(2)
        disk.full = False
        await world.boot()
        await world.step()

        assert len(world.target.processes) == 1

    assert answers(play(tmp_path, story)) == [("r1.json", "accepted")]


def test_a_request_that_was_seen_in_time_has_not_expired_when_the_journal_works_again(tmp_path, disk):
    async def story(world):
        world.job("a", schedule="0 0 1 1 *")
        await booted(world, schedule="* * * * *")
        disk.full = True
        await world.at(NOON + timedelta(minutes=1))
        world.request(job_name="a")
        await world.step()
        world.clock.advance(4000)
        await world.step()
        disk.full = False
        await world.step(2)

    assert answers(play(tmp_path, story)) == [("r1.json", "accepted")]


def test_lines_that_were_lost_are_made_up_for_by_a_checkpoint_that_knows_them_all(tmp_path, disk, monkeypatch):
    monkeypatch.setattr("sidecar.linefile.MAX_WAITING_BYTES", 2000)

    async def story(world):
        await booted(world, schedule="* * * * *", concurrency_policy="allow")
        disk.full = True
        for minute in range(1, 15):
            await world.at(NOON + timedelta(minutes=minute))
            await world.finish(world.running[0])
        disk.full = False
        await world.at(NOON + timedelta(minutes=15))
        replayed = replay(world.logs / JOURNAL)
        assert [run.run_id for run in replayed.open] == world.running

    play(tmp_path, story)


def test_answers_are_kept_beside_a_file_that_cannot_be_judged(tmp_path, monkeypatch):
    real = requests._status

    def status(path):
        if path.name == "bad.json":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path)

    async def story(world):
        await booted(world, schedule="0 0 1 1 *")
        await world.step()
        monkeypatch.setattr(requests, "_status", status)
        (world.jobs / "triggers" / "bad.json").write_text("{}")
        world.request()
        await world.step()
        await world.finish(world.running[0])
        world.clock.advance(7200)
        await world.step()

        assert world.scheduler.ledger.answers

    play(tmp_path, story)


def test_no_heartbeat_is_left_while_the_journal_cannot_be_written(tmp_path, disk):
    async def story(world):
        await booted(world)
        heartbeat = world.logs / ".heartbeat"
        assert heartbeat.exists()
        disk.full = True
        world.request()
        await world.step()
        assert not heartbeat.exists()
        disk.full = False
        await world.step()

        assert heartbeat.exists()

    play(tmp_path, story)
