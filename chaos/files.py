"""Thousands of definitions, changes and requests, every way of saving a file, and events that do not come."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from chaos.editors import WAYS_TO_SAVE, available
from chaos.fakeclock import FastClock
from chaos.outcome import Outcome, Size
from chaos.world import World, wait_for
from sidecar.config import digest

QUEUE_LENGTH = Path("/proc/sys/fs/inotify/max_queued_events")
WITHOUT_INOTIFY = ("unshare", "-U", "-r", "sh", "-c", 'echo 0 > /proc/sys/user/max_inotify_instances; exec "$@"', "sh")
LOOK_SECONDS = 0.2


def change_files(root: Path, chance: Random, size: Size) -> Outcome:
    """Change files in every way and speed; in the end all that lies there is in force, all that was asked answered."""
    outcome = Outcome()
    parts: dict[str, Callable[[World], None]] = {
        "crowd": lambda world: _crowd(world, outcome, size),
        "editors": lambda world: _save_as_editors_do(world, outcome, size.of(1, 1, 5)),
        "ConfigMap": lambda world: _swap_config_maps(world, outcome, size.of(2, 3, 20)),
        "overflow": lambda world: _without_events(world, chance, outcome, size, events="overflow"),
        "off": lambda world: _without_events(world, chance, outcome, size, events="off"),
        "polling": lambda world: _without_events(world, chance, outcome, size, events="polling"),
        "fight": lambda world: _fight(world, chance, outcome, size),
    }
    _leave_out_what_cannot_be(parts, outcome)
    for name in size.sample(chance, list(parts), 2):
        clock = FastClock(datetime(2026, 3, 28, 22, tzinfo=UTC), 60) if name == "fight" else None
        settings = {"SCHEDULER_WATCH": "polling"} if name == "polling" else {}
        parts[name](World(root / name, clock, **settings))
    return outcome


def _leave_out_what_cannot_be(parts: dict[str, Callable[[World], None]], outcome: Outcome) -> None:
    """Take out what needs more rights than there are."""
    if not os.access(QUEUE_LENGTH, os.W_OK):
        del parts["overflow"]
        outcome.counts["overflow not tried, the kernel's settings cannot be written"] = 1
    if subprocess.run([*WITHOUT_INOTIFY, "true"], capture_output=True, check=False).returncode:
        del parts["off"]
        outcome.counts["inotify not taken away, there are no user namespaces"] = 1


@contextlib.contextmanager
def _judged(world: World, outcome: Outcome, what: str) -> Iterator[None]:
    """Stop and judge the world afterwards."""
    yield
    world.settle()
    outcome.expect(world.stop() == 0, f"{what}: the scheduler did not exit with 0")
    world.judge(outcome, what)
    if not outcome.findings:
        world.clear_up()


def _in_force(world: World, expected: Mapping[str, bytes], what: str) -> float:
    """Wait until exactly these texts are in force, by job name; return the seconds that it took."""
    hashes = {name: digest(text) for name, text in expected.items()}
    began = time.monotonic()

    def are_in_force() -> bool:
        time.sleep(LOOK_SECONDS)
        return {name: record.sha256 for name, record in world.ledger().jobs.items()} == hashes

    wait_for(are_in_force, f"{what} to be in force")
    return time.monotonic() - began


def _write(world: World, texts: Mapping[str, bytes]) -> float:
    """Write definitions by rename, as fast as it goes; return how many a second."""
    return len(texts) / world.put_at_once({world.jobs / f"{name}.json": text for name, text in texts.items()})


def _texts(world: World, number: int, version: str) -> dict[str, bytes]:
    return {
        f"job{each}": world.definition(f"job{each}", concurrency_policy="allow", description=version)
        for each in range(number)
    }


def _crowd(world: World, outcome: Outcome, size: Size) -> None:
    """Many definitions, changes in one second, requests in one second."""
    number, changed, asked = size.of(100, 500, 10_000), size.of(50, 200, 1_000), size.of(50, 300, 5_000)
    with _judged(world, outcome, "crowd"):
        world.start_and_wait()
        texts = _texts(world, number, "first")
        _write(world, texts)
        outcome.counts["ms until all definitions were in force"] = round(1000 * _in_force(world, texts, "all"))
        outcome.counts["definitions"] = len(texts)
        changes = _texts(world, changed, "second")
        outcome.counts["changes a second"] = round(_write(world, changes))
        outcome.counts["ms until all changes were in force"] = round(
            1000 * _in_force(world, texts | changes, "all changes")
        )
        outcome.counts["changes"] += changed
        seconds = world.ask_at_once({f"q{each}": f"job{each % 50}" for each in range(asked)})
        outcome.counts["requests a second"] = round(asked / seconds)
        began = time.monotonic()
        _wait_for_answers(world)
        outcome.counts["ms until all requests were answered"] = round(1000 * (time.monotonic() - began))
        world.kill()
        world.start_and_wait()
        _in_force(world, texts | changes, "all after a restart")


def _wait_for_answers(world: World) -> None:
    def are_answered() -> bool:
        time.sleep(LOOK_SECONDS)
        return not world.unanswered()

    wait_for(are_answered, "all answers", 300)


def _save_as_editors_do(world: World, outcome: Outcome, rounds: int) -> None:
    """Save a definition in every way; the job is never gone and never in error, and the new text is in force."""
    with _judged(world, outcome, "editors"):
        text = world.definition("edited")
        world.put(world.jobs / "edited.json", text)
        world.start_and_wait()
        for number in range(rounds):
            for name, save in WAYS_TO_SAVE.items():
                if not available(name):
                    outcome.counts[f"{name} is not installed"] = 1
                    continue
                text = world.definition("edited", description=f"{name} {number}")
                save(world.jobs / "edited.json", text)
                _in_force(world, {"edited": text}, f"what {name} saved")
                outcome.counts["saves"] += 1
        bad = {"job_removed", "config_error"}
        said = [line for line in world.main_lines() if line["event"] in bad]
        outcome.expect(not said, f"editors: {[(line['event'], line['file']) for line in said]}")
        outcome.counts["ways to save"] = sum(available(name) for name in WAYS_TO_SAVE)


def _swap_config_maps(world: World, outcome: Outcome, rounds: int) -> None:
    """Change all files at once, as Kubernetes does: a link in a dot name is renamed, the files' own names stay."""
    with _judged(world, outcome, "ConfigMap"):
        for number in range(rounds + 1):
            texts = {
                f"job{each}": world.definition(f"job{each}", description=f"swap {number}")
                for each in range(number % 3, 6)
            }
            version = world.jobs / f"..version{number}"
            version.mkdir()
            for name, text in texts.items():
                (version / f"{name}.json").write_bytes(text)
            beside = world.jobs / "..data_tmp"
            beside.symlink_to(version.name)
            os.replace(beside, world.jobs / "..data")
            for name in texts:
                with contextlib.suppress(FileExistsError):
                    (world.jobs / f"{name}.json").symlink_to(f"..data/{name}.json")
            for path in world.jobs.glob("*.json"):
                if path.stem not in texts:
                    path.unlink()
            if number == 0:
                world.start_and_wait()
            _in_force(world, texts, f"swap {number}")
            outcome.counts["ConfigMap swaps"] += 1
        # What settles the world writes below the links.
        for path in list(world.jobs.glob("*.json")):
            text = path.read_bytes()
            path.unlink()
            world.put(path, text)


def _without_events(world: World, chance: Random, outcome: Outcome, size: Size, *, events: str) -> None:
    """Change and ask while events get lost, cannot be had at all, or are not wanted."""
    number = size.of(50, 100, 1_000)
    with _judged(world, outcome, events):
        if events == "overflow":
            with _short_queues():
                world.start_and_wait()
        else:
            world.start_and_wait(prefix=WITHOUT_INOTIFY if events == "off" else ())
        for round_ in range(size.of(1, 1, 5)):
            texts = _texts(world, number, f"round {round_}")
            with _asleep(world) if events == "overflow" else contextlib.nullcontext():
                _write(world, texts)
                for each in range(number // 2):
                    world.ask(f"job{chance.randrange(number)}", f"q{round_}-{each}")
            _in_force(world, texts, f"changes ({events})")
            _wait_for_answers(world)
            outcome.counts[f"changes without events ({events})"] += number
        degraded = any(line["event"] == "watch_degraded" for line in world.main_lines())
        outcome.expect(degraded == (events == "off"), f"{events}: watch_degraded was {'' if degraded else 'not '}said")


@contextlib.contextmanager
def _short_queues() -> Iterator[None]:
    """Have the kernel drop events early, for watchers that begin meanwhile."""
    before = QUEUE_LENGTH.read_text()
    QUEUE_LENGTH.write_text("16")
    try:
        yield
    finally:
        QUEUE_LENGTH.write_text(before)


@contextlib.contextmanager
def _asleep(world: World) -> Iterator[None]:
    """Stop the scheduler meanwhile, so that nobody takes events off their queue."""
    assert world.process is not None
    world.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        world.process.send_signal(signal.SIGCONT)


def _fight(world: World, chance: Random, outcome: Outcome, size: Size) -> None:
    """Two files claim one name and are written, removed and restored all the time, while the job runs each minute."""
    with _judged(world, outcome, "fight"):

        def text(by: str) -> bytes:
            return world.definition(
                "same", schedule="* * * * *", concurrency_policy="allow", description=f"{by} {chance.random()}"
            )

        first, second = world.jobs / "a.json", world.jobs / "b.json"
        acts: tuple[Callable[[], object], ...] = (
            lambda: world.put(first, text("a")),
            lambda: world.put(second, text("b")),
            lambda: first.unlink(missing_ok=True),
            lambda: second.unlink(missing_ok=True),
        )
        world.start_and_wait()
        for _ in range(size.of(20, 60, 500)):
            chance.choices(acts, (4, 4, 1, 1))[0]()
            outcome.counts["blows"] += 1
            time.sleep(chance.uniform(0, 0.12))
        last = text("a")
        world.put(second, text("b"))
        world.put(first, last)
        _in_force(world, {"same": last}, "the first file")
        second.unlink()
