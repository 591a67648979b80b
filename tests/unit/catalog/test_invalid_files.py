"""An invalid file: its last good version stays in force, and it becomes an error once it stood."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.catalog_place import BROKEN, Place, document, told
from tests.hostile import HOSTILE, ordinary_user


@pytest.mark.parametrize("look", [Place.look, Place.rescan])
def test_invalid_file_keeps_its_last_good_version_and_becomes_an_error_once_it_stood(
    place: Place, look: Callable[..., list[str]]
) -> None:
    place.write("a.json", BROKEN)

    assert look(place, "a.json") == []
    assert place.wait(0.49) == []
    assert place.wait(0.01) == ["config_error a.json"]
    assert place.commands() == {"backup": "old"}
    (change,) = place.all
    assert change.kept_last_good
    assert change.job_name == "backup"
    assert list(change.problems) == place.catalog.errors["a.json"]
    assert place.catalog.is_kept("a.json")


def test_invalid_file_settles_only_when_it_stood_unchanged(place: Place) -> None:
    for cut in (10, 20, 30, 40):
        place.write("a.json", document(command="new")[:cut])
        assert place.look("a.json") == []
        assert place.wait(0.4) == []
    assert place.wait(0.1) == ["config_error a.json"]


def test_invalid_file_with_the_same_problems_but_other_bytes_begins_to_stand_anew(place: Place) -> None:
    for data in (b"{}", b"{ }", b"{  }"):
        place.write("a.json", data)
        assert place.look("a.json") == []
        assert place.wait(0.4) == []
    assert place.wait(0.1) == ["config_error a.json"]


def test_invalid_file_that_changed_without_a_hint_is_read_again_before_it_becomes_an_error(place: Place) -> None:
    place.write("a.json", BROKEN)
    place.look("a.json")
    place.write("a.json", command="new")

    assert place.wait() == ["updated backup"]
    assert place.catalog.errors == {}


def test_error_is_reported_once_for_the_same_problems(place: Place) -> None:
    place.write("a.json", b"{}")
    place.look("a.json")
    assert place.wait() == ["config_error a.json"]

    place.write("a.json", b" {}")
    assert place.look("a.json") + place.rescan("a.json") + place.wait(5) + place.rescan() == []


def test_error_is_reported_again_when_the_problems_are_others(place: Place) -> None:
    place.write("a.json", b"{}")
    place.look("a.json")
    place.wait()
    place.write("a.json", BROKEN)

    assert place.look("a.json") == []
    assert [problem.field for problem in place.catalog.errors["a.json"]][:1] == ["name"]
    assert place.wait() == ["config_error a.json"]
    assert [problem.field for problem in place.catalog.errors["a.json"]] == [""]


@pytest.mark.parametrize(("command", "expected"), [("new", ["updated backup"]), ("old", [])])
def test_repaired_file_recovers_at_once(place: Place, command: str, expected: list[str]) -> None:
    place.write("a.json", BROKEN)
    place.look("a.json")
    place.wait()
    place.write("a.json", command=command)

    assert place.look("a.json") == [*expected, "config_recovered a.json"]
    assert place.catalog.errors == {}
    assert place.commands() == {"backup": command}


def test_invalid_file_is_skipped_after_a_restart(place: Place) -> None:
    place.write("a.json", BROKEN)
    place.look("a.json")
    place.wait()
    place.restart()

    assert told(place.all) == ["config_error a.json"]
    assert not place.all[0].kept_last_good
    assert place.all[0].job_name is None
    assert place.catalog.jobs == {}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"schedule": "0 24 * * *"}, "backup"),
        ({"working_directory": "/nowhere/at/all"}, "backup"),
        ({"name": "other", "comand": "true"}, "other"),
        ({"name": "no name"}, None),
    ],
)
def test_invalid_file_without_a_good_version_is_about_the_job_that_it_names(
    place: Place, changes: dict[str, Any], name: str | None
) -> None:
    place.write("a.json", **changes)
    place.restart()

    (change,) = place.all
    assert (change.job_name, change.kept_last_good) == (name, False)


def test_invalid_file_with_a_good_version_is_about_the_job_that_is_kept(place: Place) -> None:
    place.write("a.json", name="other", schedule="")
    place.look("a.json")
    place.wait()

    (change,) = place.all
    assert (change.job_name, change.kept_last_good) == ("backup", True)


def test_invalid_file_names_no_job_any_more_once_it_cannot_be_read(place: Place) -> None:
    place.write("a.json", name="other", schedule="")
    place.restart()
    (place.folder / "a.json").unlink()
    (place.folder / "a.json").mkdir()
    place.look("a.json")
    place.wait()

    assert [change.job_name for change in place.all] == ["other", None]


def test_deleted_invalid_file_recovers_and_removes_its_job(place: Place) -> None:
    place.write("a.json", BROKEN)
    place.look("a.json")
    place.wait()
    (place.folder / "a.json").unlink()

    assert place.look("a.json") == []
    assert place.wait() == ["removed backup", "config_recovered a.json"]
    assert (place.catalog.jobs, place.catalog.errors) == ({}, {})


def test_saving_an_invalid_file_again_neither_recovers_nor_repeats_the_error(place: Place) -> None:
    place.write("a.json", BROKEN)
    place.look("a.json")
    place.wait()
    (place.folder / "a.json").unlink()
    place.look("a.json")
    place.wait(0.1)
    place.write("a.json", BROKEN)

    assert place.look("a.json") + place.wait(5) + place.rescan() == []
    assert place.catalog.is_kept("a.json")


def test_missing_working_directory_is_looked_for_on_every_rescan(place: Place, tmp_path: Path) -> None:
    place.write("b.json", name="other", working_directory=str(tmp_path / "data"))
    place.look("b.json")
    assert place.wait() == ["config_error b.json"]
    assert place.rescan() == []
    (tmp_path / "data").mkdir()

    assert place.rescan() == ["registered other", "config_recovered b.json"]


def test_working_directory_that_disappears_later_changes_nothing(place: Place, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    place.write("b.json", name="other", working_directory=str(tmp_path / "data"))
    place.look("b.json")
    (tmp_path / "data").rmdir()
    os.utime(place.folder / "b.json")

    assert place.rescan() + place.look("b.json") + place.wait(5) == []


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_hostile_file_is_one_error_and_recovers_when_it_is_replaced(place: Place, make: Callable[[Path], Any]) -> None:
    path = place.folder / "hostile.json"
    make(path)
    started = time.thread_time()

    assert place.look("hostile.json") == []
    assert place.wait() == ["config_error hostile.json"]
    assert time.thread_time() - started < 1
    assert place.rescan() + place.rescan("hostile.json") + place.wait(5) == []
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    place.write("hostile.json", name="tame")
    assert place.rescan() == ["registered tame", "config_recovered hostile.json"]


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_job_stays_in_force_when_its_file_becomes_hostile(place: Place, make: Callable[[Path], Any]) -> None:
    (place.folder / "a.json").unlink()
    make(place.folder / "a.json")

    assert place.rescan() + place.wait() == ["config_error a.json"]
    assert place.commands() == {"backup": "old"}
    assert place.catalog.is_kept("a.json")


def test_file_without_permission_keeps_its_last_good_version_until_it_can_be_read_again() -> None:
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder, "a.json")
        path.write_bytes(document())
        path.chmod(0o644)
        with ordinary_user():
            place = Place(Path(folder))
        path.chmod(0)
        with ordinary_user():
            assert place.rescan("a.json") + place.wait() == ["config_error a.json"]
            assert place.catalog.is_kept("a.json")
        path.chmod(0o644)
        with ordinary_user():
            assert place.rescan() == ["config_recovered a.json"]


def test_file_name_that_is_not_utf_8_is_an_error_with_a_name_that_can_be_logged(place: Place) -> None:
    with open(os.fsencode(place.folder) + b"/caf\xe9.json", "wb") as file:
        file.write(document("other"))

    assert place.rescan() + place.wait() == ["config_error caf\\xe9.json"]
    assert list(place.catalog.errors) == ["caf\\xe9.json"]
    os.unlink(os.fsencode(place.folder) + b"/caf\xe9.json")
    assert place.rescan() + place.wait() == ["config_recovered caf\\xe9.json"]


def test_file_that_goes_before_its_error_was_told_delays_no_other_file(place: Place) -> None:
    for file in ("a.json", "b.json"):
        place.write(file, BROKEN)
        place.look(file)
        place.wait(0.2)
    (place.folder / "a.json").unlink()
    place.look("a.json")

    assert place.wait(0.3) == ["config_error b.json"]
