"""One scheduler a logs directory."""

import asyncio
import os
import shutil
import subprocess
import sys

import pytest

from sidecar.errors import AlreadyRunning
from sidecar.exit_codes import EX_TEMPFAIL
from sidecar.lock import Lock
from tests.harness import play


@pytest.fixture
def lock(tmp_path):
    lock = Lock(tmp_path)
    yield lock
    lock.release()


def test_a_second_lock_is_refused_while_the_first_is_held(lock, tmp_path):
    lock.acquire()

    with pytest.raises(AlreadyRunning, match=r"\.lock"):
        Lock(tmp_path).acquire()


def test_a_lock_is_free_again_after_release(lock, tmp_path):
    lock.acquire()
    assert not Lock(tmp_path).is_free()
    lock.release()

    assert Lock(tmp_path).is_free()


def test_looking_whether_the_lock_is_free_creates_nothing(tmp_path):
    assert Lock(tmp_path).is_free()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_free(lock, tmp_path):
    code = "import sys, time; from pathlib import Path; from sidecar.lock import Lock\n"
    code += "Lock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        assert not lock.is_free()
        holder.kill()
        holder.wait()

    lock.acquire()


def test_the_lock_is_not_inherited_by_a_child(lock, tmp_path):
    lock.acquire()
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        lock.release()
        free = Lock(tmp_path).is_free()
        child.kill()

    assert free


@pytest.mark.parametrize("meddle", [os.remove, lambda path: os.replace(_other(path), path)])
def test_a_lock_whose_path_was_removed_or_replaced_is_no_longer_ours(lock, tmp_path, meddle):
    lock.acquire()
    assert lock.is_ours()

    meddle(tmp_path / ".lock")

    assert not lock.is_ours()


def test_acquire_takes_the_new_file_when_ours_was_removed(lock, tmp_path):
    lock.acquire()
    os.remove(tmp_path / ".lock")
    lock.acquire()

    assert lock.is_ours()


def test_a_held_lock_is_not_free_when_its_file_was_removed(lock, tmp_path):
    standby = Lock(tmp_path)
    lock.acquire()
    assert not standby.is_free()
    os.remove(tmp_path / ".lock")
    assert not standby.is_free()
    lock.acquire()
    assert not standby.is_free()
    lock.release()

    assert standby.is_free()


@pytest.mark.parametrize("removed", ["place/logs/.lock", "place/logs", "place"])
def test_a_scheduler_whose_lock_is_removed_takes_it_anew_and_goes_on(tmp_path, removed):
    async def story(world):
        await world.boot()
        lock = world.scheduler._lock = Lock(world.logs)
        lock.acquire()
        path = tmp_path / removed
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        world.scheduler.step()

        assert lock.is_ours()
        assert not world.scheduler.runs.draining
        lock.release()

    play(tmp_path / "place", story)


def test_a_scheduler_that_lost_its_lock_to_another_writes_nothing_more(tmp_path, capfd):
    async def story(world):
        world.job(schedule="0 0 1 1 *", retries={"initial_delay_seconds": 0})
        await world.boot()
        loser = world.scheduler
        loser._lock = Lock(world.logs)
        loser._lock.acquire()
        world.request()
        await world.step()
        lost = world.target.processes[world.running[0]]
        (world.logs / ".lock").unlink()
        lock = Lock(world.logs)
        lock.acquire()
        await world.boot()
        await world.step()
        await world.finish(world.running[0])
        written = written_in(world.logs)
        loser.step()
        assert loser.runs.draining
        working = asyncio.create_task(loser.start())
        await world._turn()
        world.request("c.json", "cancel")
        loser.rescan()
        lost.finish(143)
        await working
        assert loser.exit_code == EX_TEMPFAIL
        assert written_in(world.logs) == written
        lock.release()
        await world.boot()
        world.clock.advance(1)
        await world.step()

    world = play(tmp_path, story)

    assert [line["trigger"] for line in world.lines("job_start")] == ["manual", "retry"]
    assert '"event": "job_complete"' in capfd.readouterr().err


def written_in(logs):
    return {path.name: (path.read_bytes(), path.stat().st_mtime) for path in logs.iterdir() if path.is_file()}


def _other(path):
    other = path.with_name("other")
    other.write_text("")
    return other
