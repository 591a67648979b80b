"""Definition files: listed whatever they are, changed field by field, never overwritten unseen."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from admin_ui import job_files
from admin_ui.errors import (
    ConflictError,
    JobAlreadyExistsError,
    JobNotFoundError,
    NotDurable,
    StorageError,
    ValidationError,
)
from admin_ui.files import read_below
from admin_ui.job_files import JobFiles
from admin_ui.json_edit import edit
from admin_ui.model import JobConfig
from tests.hostile import HOSTILE

CONFIG = JobConfig("job", "0 2 * * *", "true", "/", True)
STYLED = """{
    "enabled" : true,   "name": "job",
\t"$schema": "../job.schema.json",
    "timeout_seconds": 1.50e2, "schedule": "0 2 * * *",
    "command": "echo \\u00fc",

    "working_directory": "/"
}"""


@pytest.fixture
def files(tmp_path: Path) -> JobFiles:
    return JobFiles(tmp_path)


def put(files: JobFiles, text: str = STYLED, name: str = "job.json") -> Path:
    path = files.directory / name
    path.write_text(text)
    return path


def test_a_created_definition_is_listed_with_its_hash(files):
    made = files.create(CONFIG)

    (listed,) = files.list()
    assert replace(listed, modified=made.modified) == made
    assert made.config == CONFIG
    assert made.sha256 is not None
    assert os.listdir(files.directory) == ["job.json"]


# Whether a working directory exists, only the scheduler can say.
@pytest.mark.parametrize("kind", sorted(HOSTILE.keys() - {"a long directory"}))
def test_a_hostile_file_is_listed_as_invalid_and_hides_no_other(files, kind):
    HOSTILE[kind](files.directory / "hostile.json")
    files.create(CONFIG)

    listed = files.list()

    assert [each.name for each in listed] == ["hostile", "job"]
    assert listed[0].errors and listed[0].config is None
    assert listed[1].config == CONFIG


def test_a_file_whose_name_is_not_utf_8_is_listed_as_invalid(files):
    (Path(os.fsdecode(os.fsencode(files.directory) + b"/\xff.json"))).write_text("{}")

    assert [each.file for each in files.list()] == ["\\xff.json"]


def test_hidden_and_other_files_are_no_definitions(files):
    put(files, name=".job.json")
    put(files, name="notes.txt")

    assert files.list() == []


def test_of_two_files_with_one_name_the_first_counts(files):
    put(files, name="b.json")
    put(files, name="a.json")

    first, second = files.list()

    assert first.config is not None
    assert (second.config, second.duplicate_of) == (None, "a.json")
    assert second.errors == {"name": "expected another name, this is the job in a.json"}
    assert files.get("job").file == "a.json"


def test_a_listing_sees_a_change_of_the_same_size_and_time(files):
    path = put(files)
    os.utime(path, (1, 1))
    assert files.list()[0].config.enabled
    put(files, STYLED.replace(" : true,", " :false,"))
    os.utime(path, (1, 1))

    assert not files.list()[0].config.enabled


def test_a_directory_that_is_missing_is_an_error_that_says_so(tmp_path):
    with pytest.raises(StorageError, match="cannot be listed"):
        JobFiles(tmp_path / "none").list()


@pytest.mark.parametrize("file", ["job.json", "other.json"])
def test_creating_never_overwrites(files, file):
    path = put(files, name=file)

    with pytest.raises(JobAlreadyExistsError) as caught:
        files.create(CONFIG)

    assert caught.value.file == file
    assert path.read_text() == STYLED


def test_creating_where_an_unlisted_thing_lies_never_overwrites(files, monkeypatch):
    put(files, "not a job")
    monkeypatch.setattr(files, "list", list)

    with pytest.raises(JobAlreadyExistsError):
        files.create(CONFIG)

    assert (files.directory / "job.json").read_text() == "not a job"


@pytest.mark.parametrize("name", ["", "../job", "a/b", ".", "..", "a\n", "a b", "x" * 65, "\0"])
def test_a_bad_name_never_becomes_a_path(files, name):
    with pytest.raises(ValidationError) as caught:
        files.create(JobConfig(name, "0 2 * * *", "true", "/", True))

    assert list(caught.value.errors) == ["name"]
    assert os.listdir(files.directory) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {1}, object()])
def test_what_json_cannot_hold_is_refused(files, value):
    with pytest.raises(ValidationError):
        files.create(JobConfig("job", "0 2 * * *", "true", "/", True, extras={"$schema": value}))

    assert os.listdir(files.directory) == []


def test_a_change_keeps_every_other_byte(files):
    put(files)

    files.update("job", {"enabled": False})

    assert (files.directory / "job.json").read_text() == STYLED.replace(" : true,", " : false,")


def test_an_update_that_changes_nothing_leaves_the_file_alone(files):
    before = put(files).stat().st_ino

    files.update("job", {"enabled": True})

    assert (files.directory / "job.json").stat().st_ino == before


def test_an_update_keeps_the_mode_of_the_file(files):
    put(files).chmod(0o640)

    files.update("job", {"enabled": False})

    assert (files.directory / "job.json").stat().st_mode & 0o777 == 0o640


def test_a_field_can_be_added_and_removed(files):
    put(files)

    added = files.update("job", {"timezone": "Europe/Berlin"}, remove=["timeout_seconds"])

    assert added.config.timezone == "Europe/Berlin"
    assert added.config.timeout_seconds is None
    assert added.config.extras == {"$schema": "../job.schema.json"}


@pytest.mark.parametrize(
    ("changes", "remove", "field"),
    [({"schedule": "x"}, (), "schedule"), ({}, ("command",), "command"), ({"name": "other"}, (), "name")],
)
def test_an_update_to_something_invalid_changes_nothing(files, changes, remove, field):
    put(files)

    with pytest.raises(ValidationError) as caught:
        files.update("job", changes, remove=remove)

    assert list(caught.value.errors) == [field]
    assert (files.directory / "job.json").read_text() == STYLED


def disable(files: JobFiles, expected_sha256: str | None = None) -> None:
    files.update("job", {"enabled": False}, expected_sha256=expected_sha256)


def delete(files: JobFiles, expected_sha256: str | None = None) -> None:
    files.delete("job", expected_sha256=expected_sha256)


@pytest.mark.parametrize("change", [disable, delete])
def test_a_file_that_somebody_changed_is_not_touched(files, change):
    put(files)
    seen = files.get("job").sha256
    newer = STYLED.replace("0 2", "0 3")
    put(files, newer)

    with pytest.raises(ConflictError) as caught:
        change(files, seen)

    assert (caught.value.newer, caught.value.newer_hash) == (newer, files.get("job").sha256)
    assert (files.directory / "job.json").read_text() == newer


@pytest.mark.parametrize("change", [disable, delete])
def test_a_change_in_the_last_moment_wins(files, change, monkeypatch):
    put(files)
    newer = STYLED.replace("0 2", "0 3")
    real, calls = files._read, []

    def read(file):
        calls.append(file)
        found = real(file)
        if len(calls) == 2:  # the last look before the file is touched: somebody writes right after it
            put(files, newer)
        return found

    monkeypatch.setattr(files, "_read", read)
    with pytest.raises(ConflictError):
        change(files)

    assert os.listdir(files.directory) == ["job.json"]
    assert (files.directory / "job.json").read_text() == newer


def test_a_file_that_was_removed_meanwhile_is_a_conflict_for_who_knew_it_and_not_found_for_others(files):
    with pytest.raises(ConflictError) as caught:
        files.update("job", {"enabled": True}, expected_sha256="0" * 64)
    assert caught.value.newer is None
    with pytest.raises(JobNotFoundError):
        files.update("job", {"enabled": True})


@pytest.mark.parametrize(
    ("change", "look"),
    [
        (disable, 2),  # the one after the listing
        (delete, 2),
        (disable, 3),  # the last one, with everything written but the name
    ],
)
def test_a_file_that_goes_between_two_looks_is_a_conflict(files, change, look, monkeypatch):
    put(files)
    seen = files.get("job").sha256
    put(files)  # young, so that the listing reads it again
    calls = []

    def read(directory, file):
        calls.append(file)
        if len(calls) == look:
            (directory / "job.json").unlink()
        return read_below(directory, file)

    monkeypatch.setattr(job_files, "read_below", read)
    with pytest.raises(ConflictError):
        change(files, seen)
    assert len(calls) == look
    assert os.listdir(files.directory) == []


def test_nothing_takes_time_between_the_last_look_at_a_file_and_its_replacement(files, monkeypatch):
    put(files)
    seen = files.get("job").sha256
    looks: list[str] = []  # of the listing, before the change, and the last one

    def understood(*arguments):
        if len(looks) == 3:
            looks.clear()
            (files.directory / "job.json").write_text("by hand")
        return understand(*arguments)

    def read(directory, file):
        looks.append(file)
        return read_below(directory, file)

    understand = job_files._understood
    monkeypatch.setattr(job_files, "_understood", understood)
    monkeypatch.setattr(job_files, "read_below", read)
    disable(files, seen)

    assert (files.directory / "job.json").read_text() == "by hand"


def test_a_link_is_shown_but_not_written_through(files, tmp_path):
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "job.json").write_text(STYLED)
    (tmp_path / "job.json").symlink_to("..data/job.json")
    assert files.get("job").config is not None

    with pytest.raises(StorageError, match="is a link"):
        files.update("job", {"enabled": False})

    assert (tmp_path / "..data" / "job.json").read_text() == STYLED


def test_deleting_returns_what_it_was_and_leaves_nothing(files):
    put(files)

    gone = files.delete("job")

    assert gone.text == STYLED
    assert os.listdir(files.directory) == []


def test_what_cannot_be_read_is_not_deleted(files):
    (files.directory / "job.json").mkdir()

    with pytest.raises(StorageError):
        files.delete("job")

    assert os.listdir(files.directory) == ["job.json"]


@pytest.mark.usefixtures("folders_cannot_be_synced")
def test_what_is_done_but_may_not_last_is_told_as_that(tmp_path):
    told = []
    files = JobFiles(tmp_path, lambda job_name, sha256: told.append(sha256))
    with pytest.raises(NotDurable, match="it is done, but a power cut may undo it"):
        files.create(CONFIG)
    created = files.get("job")
    with pytest.raises(NotDurable):
        files.update("job", {"enabled": False})
    updated = files.get("job")
    with pytest.raises(NotDurable):
        files.delete("job")

    assert (created.config, updated.config) == (CONFIG, replace(CONFIG, enabled=False))
    assert os.listdir(tmp_path) == []
    assert (told, files.version) == ([created.sha256, updated.sha256, None], 3)


@pytest.mark.usefixtures("folders_cannot_be_synced")
def test_a_conflict_is_told_first_where_nothing_lasts(files, monkeypatch):
    put(files)
    real = os.rename

    def rename(old, new):
        put(files, STYLED.replace("0 2", "0 3"))
        real(old, new)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(ConflictError):
        files.delete("job")

    assert os.listdir(files.directory) == ["job.json"]


def test_of_many_who_create_one_job_at_once_one_succeeds(tmp_path):
    outcomes: list[str] = []

    def create(number: int) -> None:
        try:
            JobFiles(tmp_path).create(JobConfig("job", "0 2 * * *", f"echo {number}", "/", True))
            outcomes.append("made")
        except JobAlreadyExistsError:
            outcomes.append("refused")

    threads = [threading.Thread(target=create, args=(number,)) for number in range(16)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert sorted(outcomes) == ["made"] + ["refused"] * 15
    assert os.listdir(tmp_path) == ["job.json"]


def test_of_many_changes_at_once_none_is_lost(files):
    put(files)
    fields: list[dict[str, object]] = [
        {"description": "d"},
        {"timezone": "UTC"},
        {"jitter_seconds": 5},
        {"kill_grace_seconds": 5},
    ]
    threads = [threading.Thread(target=files.update, args=("job", each)) for each in fields]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    document = json.loads((files.directory / "job.json").read_text())
    assert all(each.items() <= document.items() for each in fields)


@pytest.mark.parametrize(
    ("text", "changes", "remove", "result"),
    [
        ('{"a":1,"b":2}', {"b": 3}, (), '{"a":1,"b":3}'),
        ('{"a":1,"b":2}', {}, ("a",), '{"b":2}'),
        ('{"a":1,"b":2}', {}, ("b",), '{"a":1}'),
        ('{"a":1}', {}, ("a",), "{}"),
        ('{"a": 1}', {"b": "ü"}, (), '{"a": 1,"b": "\\u00fc"}'),
        ('{\n  "ä": 1\n}\n', {"b": "ü"}, (), '{\n  "ä": 1,\n  "b": "ü"\n}\n'),
        ('{\n\t"a": [1,\n2],\n\t"b": {}\n}', {"a": 1}, (), '{\n\t"a": 1,\n\t"b": {}\n}'),
        ('{\n  "a": 1\n}', {"a": {"x": 1}}, (), '{\n  "a": {\n    "x": 1\n  }\n}'),
        ('{"a": 1}', {"a": True}, (), '{"a": true}'),
        ('{"a\\"}{": "}", "b": 1}', {"b": 2}, (), '{"a\\"}{": "}", "b": 2}'),
        ("{}", {"a": 1}, (), '{\n  "a": 1\n}\n'),
    ],
)
def test_editing_changes_only_what_it_should(text, changes, remove, result):
    assert edit(text, changes, remove) == result
