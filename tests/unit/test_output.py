"""Where output goes, what is found of it later, which files stay, and what the sweep takes away."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sidecar.errors import StartError
from sidecar.model import JobResult, Status
from sidecar.output import Outputs, Swept
from sidecar.streams import Stream, Streams

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = 86400
LIMIT = 1000


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return Outputs(tmp_path, LIMIT)


@pytest.fixture
def streams(outputs: Outputs) -> Iterator[Streams]:
    with outputs.open("job", "run-1") as streams:
        yield streams


# Files


def test_output_files_lie_where_the_contract_says_and_only_their_group_may_read_them(
    streams: Streams, tmp_path: Path
) -> None:
    directory = tmp_path / "output" / "job"

    assert sorted(path.name for path in directory.iterdir()) == ["run-1.stderr", "run-1.stdout"]
    assert all(path.stat().st_mode & 0o777 == 0o640 for path in directory.iterdir())
    assert [path.stat().st_mode & 0o777 for path in (directory, directory.parent)] == [0o750, 0o750]


def test_run_cannot_start_when_its_output_has_nowhere_to_go(outputs: Outputs, tmp_path: Path) -> None:
    (tmp_path / "output").write_text("not a directory")

    with pytest.raises(StartError, match="output file cannot be created: Not a directory") as raised:
        outputs.open("job", "run-1")
    assert raised.value.exit_code == 126


def test_no_descriptor_stays_open_when_the_second_file_cannot_be_created(outputs: Outputs, tmp_path: Path) -> None:
    (tmp_path / "output/job/run-1.stderr").mkdir(parents=True)
    before = os.listdir("/proc/self/fd")

    with pytest.raises(StartError, match="Is a directory"):
        outputs.open("job", "run-1")
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("link", ["output/job", "output/job/run-1.stdout"])
def test_symbolic_link_below_the_output_directory_is_not_followed(outputs: Outputs, tmp_path: Path, link: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / link).symlink_to(elsewhere if link == "output/job" else elsewhere / "file")

    with pytest.raises(StartError):
        outputs.open("job", "run-1")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["..", "a/b", "", ".hidden", "a\0b", "x" * 300])
def test_name_that_is_no_safe_path_component_is_refused(outputs: Outputs, name: str) -> None:
    with pytest.raises(StartError, match="cannot be the name"):
        outputs.open(name, "run-1")
    with pytest.raises(StartError, match="cannot be the name"):
        outputs.open("job", name)
    assert outputs.recall("job", name, is_held=False) == (Stream(), Stream())


# Recalling


def test_recall_shows_what_an_earlier_scheduler_left(outputs: Outputs) -> None:
    with outputs.open("job", "run-1") as streams:
        os.write(streams.stdout, b"out")
        os.write(streams.stderr, b"err" * LIMIT)
    stdout, stderr = outputs.recall("job", "run-1", is_held=False)

    assert stdout == Stream("out", 3)
    assert (stderr.size, stderr.truncated, stderr.file) == (3 * LIMIT, True, "output/job/run-1.stderr")


def test_recall_of_a_run_without_files_is_empty(outputs: Outputs) -> None:
    assert outputs.recall("job", "run-1", is_held=False) == (Stream(), Stream())


def test_recall_does_not_block_on_a_fifo(outputs: Outputs, tmp_path: Path) -> None:
    (tmp_path / "output/job").mkdir(parents=True)
    os.mkfifo(tmp_path / "output/job/run-1.stdout")

    assert outputs.recall("job", "run-1", is_held=False)[0].size == 0


# Discarding


def result(**fields: Any) -> JobResult:
    return JobResult(
        job_name="job",
        run_id="run-1",
        start_time=NOW,
        end_time=NOW,
        duration_seconds=0.0,
        exit_code=0,
        status=Status.SUCCESS,
        **fields,
    )


def test_only_files_that_the_result_does_not_name_are_to_be_discarded(outputs: Outputs) -> None:
    assert outputs.settle(result()) == ["output/job/run-1.stdout", "output/job/run-1.stderr"]
    assert outputs.settle(result(stdout_file="output/job/run-1.stdout")) == ["output/job/run-1.stderr"]


def test_a_spare_in_a_folder_that_was_removed_is_not_left_behind(outputs: Outputs, tmp_path: Path) -> None:
    for run_id in ("run-0", "run-1"):
        with outputs.open("job", run_id):
            pass
        if run_id == "run-0":
            outputs.discard([f"output/job/run-0.{stream}" for stream in ("stdout", "stderr")])
    assert len(os.listdir(tmp_path / "output/.spare")) == 2
    shutil.rmtree(tmp_path / "output/job")
    outputs.discard(outputs.settle(result()))

    assert os.listdir(tmp_path / "output/.spare") == []


def test_a_file_that_is_kept_is_no_spare_any_more(outputs: Outputs, tmp_path: Path) -> None:
    for run_id in ("run-0", "run-1"):
        with outputs.open("job", run_id):
            pass
        if run_id == "run-0":
            outputs.discard([f"output/job/run-0.{stream}" for stream in ("stdout", "stderr")])
    outputs.discard(outputs.settle(result(stdout_file="output/job/run-1.stdout")))

    assert os.listdir(tmp_path / "output/job") == ["run-1.stdout"]
    assert len(os.listdir(tmp_path / "output/.spare")) == 1


def test_discard_removes_files_and_does_not_mind_missing_ones(outputs: Outputs, tmp_path: Path) -> None:
    with outputs.open("job", "run-1"):
        pass
    outputs.discard(["output/job/run-1.stdout", "output/gone/run-9.stdout"])

    assert [path.name for path in (tmp_path / "output/job").iterdir()] == ["run-1.stderr"]


def test_discard_does_not_leave_the_output_directory(outputs: Outputs, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "run-1.stdout").touch()
    (tmp_path / "output").mkdir()
    (tmp_path / "output/job").symlink_to(elsewhere)
    outputs.discard(["output/job/run-1.stdout"])

    assert (elsewhere / "run-1.stdout").exists()


# The sweep


def store(root: Path, job: str, run_id: str, *, age_days: float = 0, size: int = 10) -> Path:
    """Write a run's stdout file of that age and size."""
    path = root / "output" / job / f"{run_id}.stdout"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    modified = NOW.timestamp() - age_days * DAY
    os.utime(path, (modified, modified))
    return path


def sweep(
    outputs: Outputs,
    keep: tuple[str, ...] = (),
    *,
    max_age_days: float = 1e6,
    max_runs: int = 10**6,
    max_bytes: int = 10**12,
) -> Swept:
    return asyncio.run(outputs.sweep(NOW, keep, max_age_days=max_age_days, max_runs=max_runs, max_bytes=max_bytes))


def left(root: Path) -> list[str]:
    paths = root.glob("output/**/*")
    return sorted(str(path.relative_to(root / "output")) for path in paths if path.is_symlink() or not path.is_dir())


def test_sweep_of_nothing_does_nothing(outputs: Outputs) -> None:
    assert sweep(outputs) == Swept()


def test_sweep_does_nothing_where_a_job_put_something_else_in_the_trees_place(outputs: Outputs, tmp_path: Path) -> None:
    (tmp_path / "output").touch()
    assert sweep(outputs) == Swept()

    (tmp_path / "output").unlink()
    (tmp_path / "output").symlink_to("output")
    assert sweep(outputs) == Swept()


def test_sweep_removes_what_is_older_than_the_age_limit(outputs: Outputs, tmp_path: Path) -> None:
    store(tmp_path, "job", "old", age_days=30.1)
    store(tmp_path, "job", "new", age_days=29.9)

    assert sweep(outputs, max_age_days=30) == Swept(files=2, size=20, removed=1)
    assert left(tmp_path) == ["job/new.stdout"]


def test_sweep_keeps_the_newest_runs_of_each_job(outputs: Outputs, tmp_path: Path) -> None:
    for number in range(5):
        store(tmp_path, "first", f"run-{number}", age_days=number)
        store(tmp_path, "first", f"run-{number}", age_days=number).rename(
            tmp_path / f"output/first/run-{number}.stderr"
        )
        store(tmp_path, "first", f"run-{number}", age_days=number)
    store(tmp_path, "second", "run-9", age_days=9)
    sweep(outputs, max_runs=2)

    assert left(tmp_path) == [
        "first/run-0.stderr",
        "first/run-0.stdout",
        "first/run-1.stderr",
        "first/run-1.stdout",
        "second/run-9.stdout",
    ]


def test_sweep_removes_the_oldest_first_until_the_total_fits(outputs: Outputs, tmp_path: Path) -> None:
    for number in range(5):
        store(tmp_path, f"job-{number % 2}", f"run-{number}", age_days=number, size=100)
    sweep(outputs, max_bytes=250)

    assert left(tmp_path) == ["job-0/run-0.stdout", "job-1/run-1.stdout"]


def test_sweep_never_touches_a_run_that_is_going(outputs: Outputs, tmp_path: Path) -> None:
    store(tmp_path, "job", "going", age_days=99, size=1000)
    store(tmp_path, "job", "ended", age_days=98)

    assert sweep(outputs, ("going",), max_age_days=1, max_runs=1, max_bytes=0).removed == 1
    assert left(tmp_path) == ["job/going.stdout"]


def test_sweep_counts_what_a_run_that_is_going_holds_as_there_also_if_it_is_old(
    outputs: Outputs, tmp_path: Path
) -> None:
    store(tmp_path, "job", "going", age_days=99, size=1000)
    store(tmp_path, "job", "ended", size=100)
    sweep(outputs, ("going",), max_age_days=1, max_bytes=500)

    assert left(tmp_path) == ["job/going.stdout"]


def test_sweep_leaves_the_folder_of_the_spares(outputs: Outputs, tmp_path: Path) -> None:
    with outputs.open("job", "run-1"):
        pass
    os.utime(tmp_path / "output/.spare", (0, 0))
    sweep(outputs, max_age_days=1e4)
    outputs.discard(outputs.settle(result()))

    assert len(os.listdir(tmp_path / "output/.spare")) == 2


def test_sweep_truncates_a_file_that_a_process_still_holds(outputs: Outputs, tmp_path: Path) -> None:
    path = store(tmp_path, "job", "held", age_days=99)
    with path.open("ab") as holder:
        first = sweep(outputs, max_age_days=1)
        holder.write(b"more")
        holder.flush()

        assert first == Swept(files=1, size=10, truncated=1)
        assert path.read_bytes() == b"more"
    os.utime(path, (0, 0))
    assert sweep(outputs, max_age_days=1).removed == 1


def test_sweep_follows_no_links_and_leaves_strange_files_alone(outputs: Outputs, tmp_path: Path) -> None:
    elsewhere = store(tmp_path / "elsewhere", "job", "run-1", age_days=99)
    store(tmp_path, "job", "ours", age_days=99)
    output = tmp_path / "output"
    (output / "linked").symlink_to(elsewhere.parent)
    (output / "job/link.stdout").symlink_to(elsewhere)
    for strange in ("job/notes.txt", "job/.hidden.stdout", "stray.stdout"):
        (output / strange).touch()
        os.utime(output / strange, (0, 0))
    os.mkfifo(output / "job/fifo.stdout")
    (output / "job/directory.stdout").mkdir()
    sweep(outputs, max_age_days=1, max_runs=1, max_bytes=0)

    assert elsewhere.exists()
    assert left(tmp_path) == [
        "job/.hidden.stdout",
        "job/fifo.stdout",
        "job/link.stdout",
        "job/notes.txt",
        "linked",
        "stray.stdout",
    ]


def test_sweep_removes_empty_directories_in_which_nothing_happened_for_long(outputs: Outputs, tmp_path: Path) -> None:
    store(tmp_path, "full", "run-1")
    store(tmp_path, "emptied", "run-2", age_days=99)
    for name in ("empty", "forgotten"):
        (tmp_path / "output" / name).mkdir()
    for name in ("full", "forgotten"):
        os.utime(tmp_path / "output" / name, (0, 0))
    sweep(outputs, max_age_days=1)

    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == ["emptied", "empty", "full"]


def test_run_can_start_after_its_directory_was_removed(outputs: Outputs, tmp_path: Path) -> None:
    store(tmp_path, "job", "run-1", age_days=99)
    sweep(outputs, max_age_days=1)
    os.utime(tmp_path / "output/job", (0, 0))
    sweep(outputs, max_age_days=1)
    assert not (tmp_path / "output/job").exists()

    with outputs.open("job", "run-2") as streams:
        os.write(streams.stdout, b"text")
        assert streams.capture(is_held=False)[0].text == "text"


def test_sweep_lets_other_work_run_in_between(outputs: Outputs, tmp_path: Path) -> None:
    for number in range(3000):
        store(tmp_path, "job", f"run-{number}", age_days=number % 100)

    async def turns() -> int:
        keep: set[str] = set()
        limits = {"max_age_days": 50, "max_runs": 10**6, "max_bytes": 10**12}
        task = asyncio.create_task(outputs.sweep(NOW, keep, **limits))
        count = 0
        while not task.done():
            await asyncio.sleep(0)
            count += 1
        return count

    assert asyncio.run(turns()) >= 3000 / 200
    assert len(left(tmp_path)) == 1530


def test_run_that_begins_during_a_sweep_is_safe_as_soon_as_it_is_in_keep(outputs: Outputs, tmp_path: Path) -> None:
    store(tmp_path, "job", "run-1", age_days=99)
    keep: set[str] = set()

    async def begin_during_the_sweep() -> None:
        sweeping = outputs.sweep(NOW + timedelta(days=1), keep, max_age_days=1, max_runs=1, max_bytes=0)
        task = asyncio.create_task(sweeping)
        await asyncio.sleep(0)
        keep.add("run-1")
        await task

    asyncio.run(begin_during_the_sweep())

    assert left(tmp_path) == ["job/run-1.stdout"]
