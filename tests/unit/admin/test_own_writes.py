"""Which files others changed: lately, and not into what this service wrote last."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from admin_ui import own_writes
from admin_ui.job_files import JobFile
from admin_ui.own_writes import FILE_NAME, OwnWrites

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def file(name: str, sha256: str, hours: float = 1, **more) -> JobFile:
    """Return a file that was changed so many hours ago."""
    return JobFile(f"{name}.json", name, sha256, modified=NOW - timedelta(hours=hours), **more)


def names(writes: OwnWrites, *files: JobFile) -> list[str]:
    return list(writes.changed_outside(files, NOW))


def test_what_others_changed_or_added_within_a_day_is_told_newest_first(tmp_path):
    writes = OwnWrites(tmp_path)
    writes.note("changed", "a")
    writes.note("own", "a")

    changed = writes.changed_outside(
        [file("added", "c", 23.9), file("changed", "b", 2), file("old", "d", 24.1), file("own", "a")], NOW
    )
    assert list(changed) == ["changed", "added"]
    assert changed["changed"] == NOW - timedelta(hours=2)


def test_a_file_that_only_has_a_new_time_was_not_changed(tmp_path):
    writes = OwnWrites(tmp_path)
    writes.note("job", "a")

    assert names(writes, file("job", "a", 0)) == []


def test_what_was_removed_here_and_is_there_again_was_added_by_others(tmp_path):
    writes = OwnWrites(tmp_path)
    writes.note("job", "a")
    writes.note("job", None)

    assert names(writes, file("job", "a")) == ["job"]


@pytest.mark.parametrize(
    "each",
    [
        file("job", "b", duplicate_of="first.json"),
        JobFile("odd.json", "", "b", modified=NOW),
        JobFile("fifo.json", "fifo", None),
    ],
)
def test_files_that_are_no_job_s_own_or_cannot_be_read_are_left_to_the_invalid_ones(tmp_path, each):
    assert names(OwnWrites(tmp_path), each) == []


def test_what_was_written_is_known_after_a_restart(tmp_path):
    OwnWrites(tmp_path).note("job", "a")

    assert names(OwnWrites(tmp_path), file("job", "a"), file("other", "b")) == ["other"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"job": 5}', "\x00"])
def test_a_damaged_memory_is_begun_anew(tmp_path, text):
    (tmp_path / FILE_NAME).write_text(text)
    writes = OwnWrites(tmp_path)
    assert names(writes, file("job", "a")) == ["job"]
    writes.note("job", "a")

    assert names(OwnWrites(tmp_path), file("job", "a")) == []


def test_a_memory_that_cannot_be_written_costs_only_the_memory(tmp_path, caplog):
    data = tmp_path / "data"
    data.write_text("in the way")
    writes = OwnWrites(data)
    writes.note("job", "a")

    assert names(writes, file("job", "a")) == []
    assert "cannot be kept" in caplog.text


@pytest.mark.usefixtures("folders_cannot_be_synced")
def test_a_memory_that_may_not_last_costs_no_more(tmp_path, caplog):
    OwnWrites(tmp_path).note("job", "0" * 64)

    assert "cannot be kept" in caplog.text


def test_only_the_jobs_written_last_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(own_writes, "MOST_REMEMBERED", 2)
    writes = OwnWrites(tmp_path)
    for name in ("a", "b", "a", "c"):
        writes.note(name, "x")

    assert json.loads((tmp_path / FILE_NAME).read_text()) == {"a": "x", "c": "x"}


def test_the_memory_is_a_file_of_the_data_directory_only(tmp_path):
    OwnWrites(tmp_path / "data").note("job", "a")

    assert [path.name for path in Path(tmp_path / "data").iterdir()] == [FILE_NAME]
