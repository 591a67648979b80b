"""The watcher: real files, real inotify; every wait is for a hint and has a limit."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import shutil
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, InotifyFD, WatchDescriptor

from sidecar.watcher import EVERYTHING, MOST_NAMES, Hint, HintKind, Watcher, root_state

LIMIT_SECONDS = 5.0
PAUSE = Hint(HintKind.PAUSE)


class Hints:
    """What the watcher told the loop, and a way to wait for it."""

    def __init__(self) -> None:
        self.all: list[Hint] = []
        self.threads: set[int] = set()
        self._came = asyncio.Event()

    def __call__(self, hint: Hint) -> None:
        self.all.append(hint)
        self.threads.add(threading.get_ident())
        self._came.set()

    async def until(self, *wanted: Hint) -> list[Hint]:
        """Return the hints up to the first that is one of `wanted`, which comes last, and forget them."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while not set(wanted) & set(self.all):
                self._came.clear()
                await self._came.wait()
        end = min(self.all.index(hint) for hint in wanted if hint in self.all) + 1
        found, self.all = self.all[:end], self.all[end:]
        return found


Story = Callable[[Path, Watcher, Hints], Coroutine[Any, Any, None]]


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    path = tmp_path / "jobs"
    (path / "triggers").mkdir(parents=True)
    return path


def watching(jobs: Path, story: Story, *, mode: str = "inotify") -> None:
    """Run `story` with a started watcher."""

    async def run() -> None:
        hints = Hints()
        watcher = Watcher(jobs, hints, mode=mode)
        watcher.start(asyncio.get_running_loop())
        try:
            await story(jobs, watcher, hints)
        finally:
            watcher.stop()

    asyncio.run(run())


async def since_fence(jobs: Path, hints: Hints) -> set[Hint]:
    """Return the hints of all that was done before, by adding one that can only come after them."""
    found: set[Hint] = set()
    for number in itertools.count():
        fence = Hint(HintKind.DEFINITION, f"fence-{number}.json")
        (jobs / ".fence").touch()
        (jobs / ".fence").rename(jobs / fence.name)
        found.update(await hints.until(fence, EVERYTHING))  # the latter swallows what comes in the same turn
        if fence in found:
            return {hint for hint in found if not hint.name.startswith("fence")}
    raise AssertionError


def write(path: Path) -> None:
    path.write_text("{}")


def replace(path: Path) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text("{}")
    temporary.replace(path)


def move_in(path: Path) -> None:
    outside = path.parents[1] / "outside"
    outside.write_text("{}")
    outside.rename(path)


def move_out(path: Path) -> None:
    path.rename(path.parents[1] / "moved-out")


def hard_link(path: Path) -> None:
    outside = path.parents[1] / "outside"
    outside.write_text("{}")
    path.hardlink_to(outside)


@pytest.mark.parametrize("act", [write, replace, move_in, hard_link, lambda path: path.symlink_to("nowhere")])
@pytest.mark.parametrize(
    ("where", "hint"),
    [
        ("a.json", Hint(HintKind.DEFINITION, "a.json")),
        ("triggers/nightly", Hint(HintKind.REQUEST, "nightly")),
        ("triggers/a.json", Hint(HintKind.REQUEST, "a.json")),
        ("PAUSE", PAUSE),
    ],
)
def test_file_that_appears_is_hinted(jobs: Path, where: str, hint: Hint, act: Callable[[Path], None]) -> None:
    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        act(jobs / where)
        await hints.until(hint)

    watching(jobs, story)


@pytest.mark.parametrize(
    "act",
    [
        write,
        replace,
        Path.unlink,
        os.utime,
        move_out,
        lambda path: path.chmod(0o600),
        lambda path: path.rename(path.with_name(".hidden")),
        lambda path: os.truncate(path, 0),
    ],
)
@pytest.mark.parametrize(
    ("where", "hint"),
    [
        ("a.json", Hint(HintKind.DEFINITION, "a.json")),
        ("triggers/nightly", Hint(HintKind.REQUEST, "nightly")),
        ("PAUSE", PAUSE),
    ],
)
def test_file_that_changes_or_goes_is_hinted(jobs: Path, where: str, hint: Hint, act: Callable[[Path], None]) -> None:
    write(jobs / where)

    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        act(jobs / where)
        await hints.until(hint)

    watching(jobs, story)


def test_file_still_being_written_is_hinted_before_it_is_closed(jobs: Path) -> None:
    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        with (jobs / "a.json").open("wb", buffering=0) as file:
            await hints.until(Hint(HintKind.DEFINITION, "a.json"))
            file.write(b"{}")
            await hints.until(Hint(HintKind.DEFINITION, "a.json"))

    watching(jobs, story)


def test_move_inside_the_directory_hints_both_names(jobs: Path) -> None:
    write(jobs / "a.json")

    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        (jobs / "a.json").rename(jobs / "b.json")

        expected = {Hint(HintKind.DEFINITION, "a.json"), Hint(HintKind.DEFINITION, "b.json")}
        assert await since_fence(jobs, hints) == expected

    watching(jobs, story)


def test_file_moved_away_does_not_hold_back_what_follows(jobs: Path) -> None:
    write(jobs / "triggers" / "old")

    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        move_out(jobs / "triggers" / "old")
        replace(jobs / "triggers" / "new.json")
        async with asyncio.timeout(0.4):  # watchdog's own observer waits 0.5 s for the move's other half
            await hints.until(Hint(HintKind.REQUEST, "new.json"))

    watching(jobs, story)


def test_reading_and_listing_make_no_hint(jobs: Path) -> None:
    for name in ("a.json", "PAUSE", "triggers/nightly"):
        write(jobs / name)

    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        for name in ("a.json", "PAUSE", "triggers/nightly"):
            (jobs / name).read_text()
            (jobs / name).stat()
        os.listdir(jobs)
        os.listdir(jobs / "triggers")

        assert await since_fence(jobs, hints) == set()

    watching(jobs, story)


@pytest.mark.parametrize("name", [".a.json", ".git", "..data_tmp", "notes.txt", "a.json~", "triggers/.a.json.tmp"])
def test_names_that_mean_nothing_make_no_hint(jobs: Path, name: str) -> None:
    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        write(jobs / name)
        (jobs / name).unlink()

        assert await since_fence(jobs, hints) == set()

    watching(jobs, story)


def test_config_map_swap_hints_everything(jobs: Path) -> None:
    (jobs / "..data_tmp").symlink_to("..2026_01_31")

    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        (jobs / "..data_tmp").rename(jobs / "..data")
        await hints.until(EVERYTHING)

    watching(jobs, story)


@pytest.mark.parametrize("where", ["sub", "sub.json", "PAUSE"])
def test_directory_in_jobs_hints_everything(jobs: Path, where: str) -> None:
    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        (jobs / where).mkdir()
        await hints.until(EVERYTHING)

    watching(jobs, story)


def test_directory_in_triggers_hints_its_name(jobs: Path) -> None:
    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        (jobs / "triggers" / "sub").mkdir()

        assert await since_fence(jobs, hints) == {Hint(HintKind.REQUEST, "sub")}

    watching(jobs, story)


def test_hints_come_in_the_loops_thread(jobs: Path) -> None:
    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        await since_fence(jobs, hints)

        assert hints.threads == {threading.get_ident()}

    watching(jobs, story)


# triggers/ comes and goes


def test_triggers_directory_made_later_is_watched(jobs: Path) -> None:
    (jobs / "triggers").rmdir()

    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        assert watcher.problem is None
        (jobs / "triggers").mkdir()
        await hints.until(EVERYTHING)
        replace(jobs / "triggers" / "a.json")
        await hints.until(Hint(HintKind.REQUEST, "a.json"))

    watching(jobs, story)


def remove(triggers: Path) -> None:
    shutil.rmtree(triggers)


def move_aside(triggers: Path) -> None:
    triggers.rename(triggers.with_name(".old"))


@pytest.mark.parametrize("lose", [remove, move_aside])
def test_triggers_directory_made_anew_is_watched_again(jobs: Path, lose: Callable[[Path], None]) -> None:
    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        for name in ("1.json", "2.json", "3.json"):
            lose(jobs / "triggers")
            (jobs / "triggers").mkdir()
            assert EVERYTHING in await since_fence(jobs, hints)
            replace(jobs / "triggers" / name)
            await hints.until(Hint(HintKind.REQUEST, name))
            shutil.rmtree(jobs / ".old", ignore_errors=True)

        assert watcher.problem is None

    watching(jobs, story)


def test_triggers_directory_moved_away_is_not_followed(jobs: Path) -> None:
    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        move_aside(jobs / "triggers")
        await hints.until(EVERYTHING)
        write(jobs / ".old" / "a.json")

        assert await since_fence(jobs, hints) <= {EVERYTHING}

    watching(jobs, story)


def test_triggers_may_be_a_link_to_a_directory(jobs: Path, tmp_path: Path) -> None:
    (jobs / "triggers").rename(tmp_path / "elsewhere")
    (jobs / "triggers").symlink_to(tmp_path / "elsewhere")

    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        write(tmp_path / "elsewhere" / "a.json")
        await hints.until(Hint(HintKind.REQUEST, "a.json"))

    watching(jobs, story)


def test_file_in_place_of_triggers_is_no_problem_and_a_directory_after_it_is_watched(jobs: Path) -> None:
    (jobs / "triggers").rmdir()
    (jobs / "triggers").touch()

    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        assert watcher.problem is None
        (jobs / "triggers").unlink()
        (jobs / "triggers").mkdir()
        await since_fence(jobs, hints)
        write(jobs / "triggers" / "a.json")
        await hints.until(Hint(HintKind.REQUEST, "a.json"))

    watching(jobs, story)


# jobs/ comes and goes


def test_deleted_root_is_told_and_rewatch_takes_the_new_one(jobs: Path) -> None:
    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        shutil.rmtree(jobs)
        while (lost := watcher.problem) is None:
            await hints.until(EVERYTHING)
        watcher.rewatch()
        still_missing = watcher.problem
        (jobs / "triggers").mkdir(parents=True)
        watcher.rewatch()

        await hints.until(EVERYTHING)
        write(jobs / "triggers" / "a.json")
        await hints.until(Hint(HintKind.REQUEST, "a.json"))
        assert watcher.problem is None
        assert "deleted" in (lost or "")
        assert "No such file" in (still_missing or "")

    watching(jobs, story)


def test_root_moved_away_is_told(jobs: Path) -> None:
    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        move_aside(jobs)
        await hints.until(EVERYTHING)

        assert "moved away" in (watcher.problem or "")

    watching(jobs, story)


def test_root_state_is_same_while_nothing_took_its_place(jobs: Path) -> None:
    known = os.stat(jobs)
    write(jobs / "a.json")
    same = root_state(jobs, known)
    shutil.rmtree(jobs)

    assert (same, root_state(jobs, known)) == ("same", "same")


def test_root_state_is_replaced_when_another_directory_is_there(jobs: Path) -> None:
    known = os.stat(jobs)
    jobs.rename(jobs.with_name("away"))
    jobs.mkdir()

    assert root_state(jobs, known) == "replaced"


def test_root_state_is_dead_for_a_deleted_directory_that_is_still_reached(jobs: Path) -> None:
    known = os.stat(jobs)
    descriptor = os.open(jobs, os.O_RDONLY)
    try:
        shutil.rmtree(jobs)

        # As a bind mount does, the descriptor still leads to the directory that lost its last link.
        assert root_state(Path(f"/proc/self/fd/{descriptor}"), known) == "dead"
    finally:
        os.close(descriptor)


# Without inotify


def test_polling_watches_nothing(jobs: Path) -> None:
    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        threads = threading.active_count()
        watcher.rewatch()

        assert watcher.problem is None
        assert threading.active_count() == threads

    watching(jobs, story, mode="polling")


def test_missing_root_is_a_problem_and_not_an_error(tmp_path: Path) -> None:
    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        assert watcher.problem == f"cannot watch {jobs}: No such file or directory"

    watching(tmp_path / "jobs", story)


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.EMFILE, "max_user_instances"), (errno.ENOSPC, "max_user_watches")]
)
def test_exhausted_inotify_is_a_problem_that_names_the_limit(
    jobs: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    def refuse(_: InotifyFD) -> int:
        raise OSError(number, "limit reached")

    monkeypatch.setattr(InotifyFD, "_create_inotify_fd", refuse)

    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        assert watcher.problem == f"cannot watch {jobs}: limit reached; raise fs.inotify.{advice} on the host"

    watching(jobs, story)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_unwatched_triggers_are_a_problem_while_definitions_are_still_hinted(
    jobs: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    add_callback = InotifyFD.add_callback

    def refuse_triggers(self: InotifyFD, path: bytes, *rest: Any) -> WatchDescriptor:
        if not path.endswith(b"/triggers"):
            return add_callback(self, path, *rest)
        if number == errno.EACCES:
            return WatchDescriptor(-1)  # what watchdog makes of it
        raise OSError(number, "limit reached")

    with monkeypatch.context() as patch:
        patch.setattr(InotifyFD, "add_callback", refuse_triggers)

        async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
            assert f"cannot watch {jobs / 'triggers'}" in (watcher.problem or "")
            await since_fence(jobs, hints)
            watcher.rewatch()
            assert await since_fence(jobs, hints) == set()  # a hint would make the caller try again at once
            patch.undo()
            watcher.rewatch()
            await hints.until(EVERYTHING)
            assert watcher.problem is None

        watching(jobs, story)


def test_reader_that_died_is_a_problem(jobs: Path) -> None:
    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        assert watcher._watch is not None
        watcher._watch._reader.stop()
        watcher._watch._reader.join(LIMIT_SECONDS)

        assert watcher.problem == "the thread that reads inotify events has ended"

    watching(jobs, story)


# Bursts and ends


def test_burst_is_one_hint_for_everything(jobs: Path) -> None:
    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        done = threading.Event()

        def burst() -> None:
            for number in range(MOST_NAMES + 200):
                (jobs / f"{number}.json").touch()
            assert watcher._watch is not None
            limit = time.monotonic() + LIMIT_SECONDS
            while watcher._watch.mailbox._hints != {EVERYTHING: None} and time.monotonic() < limit:
                time.sleep(0.001)
            done.set()

        threading.Thread(target=burst, daemon=True).start()
        assert done.wait(2 * LIMIT_SECONDS)  # the loop stands still meanwhile, as under load
        assert hints.all == []
        assert await hints.until(EVERYTHING) == [EVERYTHING]

    watching(jobs, story)


def test_waiting_hints_stay_bounded_and_wake_the_loop_once(jobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        loop = asyncio.get_running_loop()
        wake = Mock(wraps=loop.call_soon_threadsafe)
        monkeypatch.setattr(loop, "call_soon_threadsafe", wake)
        assert watcher._watch is not None
        most = 0
        for number in range(100_000):
            watcher._watch.mailbox.put(Hint(HintKind.REQUEST, f"{number}.json"))
            most = max(most, len(watcher._watch.mailbox._hints))

        assert await hints.until(EVERYTHING) == [EVERYTHING]
        assert most <= MOST_NAMES
        assert wake.call_count == 1

    watching(jobs, story)


def test_lost_events_hint_everything_and_find_new_triggers(jobs: Path) -> None:
    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        assert watcher._watch is not None
        overflow = InotifyEvent(WatchDescriptor(-1), InotifyConstants.IN_Q_OVERFLOW, 0, b"")
        watcher._watch._reader.handle_event(overflow)
        await hints.until(EVERYTHING)
        write(jobs / "triggers" / "a.json")
        await hints.until(Hint(HintKind.REQUEST, "a.json"))

    watching(jobs, story)


def test_stop_ends_the_thread_and_the_hints_and_may_come_twice(jobs: Path) -> None:
    before = {thread.ident for thread in threading.enumerate()}

    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        write(jobs / "a.json")
        watcher.stop()
        watcher.stop()
        await asyncio.sleep(0)

        assert hints.all == []

    watching(jobs, story)

    assert {thread.ident for thread in threading.enumerate()} <= before


def test_starting_and_stopping_leaves_no_descriptor_behind(jobs: Path) -> None:
    watching(jobs, since_start)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        watching(jobs, since_start)

    assert len(os.listdir("/proc/self/fd")) == before


async def since_start(jobs: Path, watcher: Watcher, hints: Hints) -> None:
    watcher.rewatch()
    await hints.until(EVERYTHING)


def test_its_threads_never_keep_the_process_alive(jobs: Path) -> None:
    async def story(jobs: Path, watcher: Watcher, hints: Hints) -> None:
        started = [t for t in threading.enumerate() if t is not threading.main_thread()]

        assert started
        assert all(thread.daemon for thread in started)

    watching(jobs, story)


def test_hint_after_the_loop_was_closed_is_dropped(jobs: Path) -> None:
    loop = asyncio.new_event_loop()
    watcher = Watcher(jobs, lambda hint: None, mode="inotify")
    watcher.start(loop)
    loop.close()
    assert watcher._watch is not None

    watcher._watch.mailbox.put(EVERYTHING)
    watcher.stop()
