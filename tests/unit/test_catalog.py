from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.catalog import Catalog, Change
from sidecar.config import ConfigLoader
from sidecar.errors import JobsDirectoryError
from tests.hostile import HOSTILE, ordinary_user
from tests.strategies import written

BROKEN = b'{"name": "backup", "sched'
SETTLE = 0.5


def document(name: str = "backup", **changes: Any) -> bytes:
    return written(
        {
            "name": name,
            "schedule": "0 2 * * *",
            "command": "true",
            "working_directory": "/",
            "enabled": True,
            **changes,
        }
    )


class Place:
    """A jobs directory, its catalog, and the two clocks: `age` is how much older than they are files look."""

    def __init__(self, folder: Path, age: float = 10) -> None:
        self.folder = folder
        self.age = age
        self.now = 1000.0
        self.all: list[Change] = []
        self.restart()

    def restart(self) -> None:
        """Begin again as a new process does."""
        self.catalog = Catalog(ConfigLoader(self.folder), wall=lambda: time.time() + self.age)
        self.all = self.catalog.rescan(self.now, settle=0)

    def write(self, file: str, data: bytes | None = None, **changes: Any) -> None:
        (self.folder / file).write_bytes(document(**changes) if data is None else data)

    def look(self, *files: str) -> list[str]:
        return self._noted(self.catalog.look(files, self.now))

    def rescan(self, *hinted: str) -> list[str]:
        return self._noted(self.catalog.rescan(self.now, hinted=hinted))

    def wait(self, seconds: float = SETTLE) -> list[str]:
        """Let time pass, as a caller does that looks when something is due."""
        until = self.now + seconds
        told = []
        while (due := self.catalog.due_again()) is not None and due <= until:
            self.now = due
            told += self.look()
        self.now = until
        return told

    def commands(self) -> dict[str, str]:
        """What is in force: the command of each job."""
        return {name: definition.config.command for name, definition in self.catalog.jobs.items()}

    def files(self) -> dict[str, str]:
        """What is in force: the file of each job."""
        return {name: definition.file for name, definition in self.catalog.jobs.items()}

    def _noted(self, changes: list[Change]) -> list[str]:
        self.all += changes
        return told(changes)


def told(changes: list[Change]) -> list[str]:
    return [f"{change.kind} {change.job_name if 'config' not in change.kind else change.file}" for change in changes]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a directory with one job, loaded."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "a.json").write_bytes(document(command="old"))
    place = Place(tmp_path / "jobs")
    place.all.clear()
    return place


def truncate_and_write(folder: Path) -> Iterator[str]:
    (folder / "a.json").write_bytes(b"")
    yield "a.json"
    (folder / "a.json").write_bytes(document(command="new")[:40])
    yield "a.json"
    (folder / "a.json").write_bytes(document(command="new"))
    yield "a.json"


def save_as_vim_does(folder: Path) -> Iterator[str]:
    os.rename(folder / "a.json", folder / "a.json~")
    yield "a.json"
    (folder / "a.json").write_bytes(b"")
    yield "a.json"
    (folder / "a.json").write_bytes(document(command="new"))
    yield "a.json"
    os.unlink(folder / "a.json~")
    yield "a.json~"


def rename_over(folder: Path) -> Iterator[str]:
    (folder / ".a.json.tmp").write_bytes(document(command="new"))
    yield ".a.json.tmp"
    os.replace(folder / ".a.json.tmp", folder / "a.json")
    yield "a.json"


def delete_and_write(folder: Path) -> Iterator[str]:
    os.unlink(folder / "a.json")
    yield "a.json"
    (folder / "a.json").write_bytes(document(command="new"))
    yield "a.json"


def move_from_another_file_system(folder: Path) -> Iterator[str]:
    os.unlink(folder / "a.json")
    yield "a.json"
    with (folder / "a.json").open("wb", buffering=0) as file:
        for byte in document(command="new"):
            file.write(bytes((byte,)))
            yield "a.json"


def link_to_another_file(folder: Path) -> Iterator[str]:
    (folder / "a.json.new").write_bytes(document(command="new"))
    yield "a.json.new"
    os.unlink(folder / "a.json")
    yield "a.json"
    (folder / "a.json").symlink_to("a.json.new")
    yield "a.json"


SAVES = [
    truncate_and_write,
    save_as_vim_does,
    rename_over,
    delete_and_write,
    move_from_another_file_system,
    link_to_another_file,
]
WAYS: dict[str, Callable[[Place, str], list[str]]] = {
    "each hint is looked at": lambda place, file: place.look(file),
    "each hint is a rescan": lambda place, file: place.rescan(file),
    "rescans without hints": lambda place, file: place.rescan(),
    "hints come late": lambda place, file: [],
}
Save = Callable[[Path], Iterator[str]]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("save", SAVES)
def test_save_is_one_clean_update_however_it_is_made_and_seen(
    place: Place, save: Save, way: Callable[[Place, str], list[str]]
) -> None:
    seen = []
    for file in save(place.folder):
        seen += way(place, file)
        seen += place.wait(0.001)
    seen += place.look("a.json") + place.wait(5) + place.rescan()

    assert seen == ["updated backup"]
    assert place.commands() == {"backup": "new"}


def test_catalog_registers_every_job_at_once_when_nothing_has_to_settle(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.json").write_bytes(document(name))
    (tmp_path / "bad.json").write_bytes(BROKEN)
    (tmp_path / "d.json").write_bytes(document("a"))

    place = Place(tmp_path)

    assert told(place.all) == [
        "registered a", "registered b", "registered c", "config_error bad.json", "config_error d.json",
    ]  # fmt: skip
    assert place.catalog.due_again() is None


def test_new_file_is_registered_at_once(place: Place) -> None:
    place.write("b.json", name="other")

    assert place.look("b.json") == ["registered other"]
    assert place.catalog.due_again() is None


def test_change_tells_file_job_and_definition(place: Place) -> None:
    place.write("a.json", command="new")
    place.look("a.json")

    (change,) = place.all
    assert (change.file, change.job_name) == ("a.json", "backup")
    assert change.definition is place.catalog.jobs["backup"]


def test_look_reads_only_the_files_it_is_given(place: Place) -> None:
    place.write("b.json", name="other")
    place.write("a.json", command="new")

    assert place.look("b.json", "triggers", ".hidden.json", "gone.json") == ["registered other"]
    assert place.commands()["backup"] == "old"


@pytest.mark.parametrize("look", [Place.look, Place.rescan])
def test_touched_file_is_no_change(place: Place, look: Callable[..., list[str]]) -> None:
    os.utime(place.folder / "a.json")
    (place.folder / "a.json").chmod(0o600)
    place.write("a.json", command="old")

    assert look(place, "a.json") == []
    assert place.rescan() == []


def test_hinted_file_is_read_even_when_its_fingerprint_is_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.catalog._fingerprint", lambda status: (1, 2, 3, 4))
    place.restart()
    place.write("a.json", command="new")

    assert place.rescan() == []
    assert place.rescan("a.json") == ["updated backup"]


def test_file_that_was_young_when_it_was_read_is_read_once_more(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.catalog._fingerprint", lambda status: (1, 2, 3, 4))
    place.age = 0
    place.restart()
    place.write("a.json", command="new")
    place.age = 10

    assert place.rescan() == ["updated backup"]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list that grows by the name of each file that is read."""
    reads: list[str] = []
    read = ConfigLoader.read

    def counted(loader: ConfigLoader, file: str) -> tuple[bytes, os.stat_result]:
        reads.append(file)
        return read(loader, file)

    monkeypatch.setattr(ConfigLoader, "read", counted)
    return reads


def test_unchanged_files_are_not_read_again(place: Place, reads: list[str]) -> None:
    for number in range(50):
        place.write(f"{number}.json", name=f"job{number}")
    place.rescan()
    reads.clear()
    place.rescan()
    place.write("7.json", name="job7", command="new")
    place.look("7.json")
    place.rescan()

    assert reads == ["7.json"]


def test_a_look_reads_what_becomes_an_error_once_more_and_nothing_that_is_as_it_was(
    place: Place, reads: list[str]
) -> None:
    place.write("b.json", name="other", working_directory="/nowhere")
    place.write("c.json", command="second")
    place.look("b.json", "c.json")
    reads.clear()
    place.now += SETTLE

    assert place.look("b.json") == ["config_error b.json", "config_error c.json"]
    assert reads == ["b.json"]


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


@pytest.mark.parametrize("look", [Place.look, Place.rescan])
def test_deleted_file_removes_its_job_once_it_stayed_away(place: Place, look: Callable[..., list[str]]) -> None:
    (place.folder / "a.json").unlink()

    assert look(place, "a.json") == []
    assert place.commands() == {"backup": "old"}
    assert place.wait() == ["removed backup"]
    assert place.catalog.jobs == {}
    assert place.all[0].definition is None
    assert place.catalog.due_again() is None


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


@pytest.mark.parametrize("target", ["0.json", "z.json"])
@pytest.mark.parametrize("hints", [["old", "new"], ["new", "old"], ["both"], ["old"], ["new"], ["rescan"]], ids=str)
def test_renamed_file_is_one_update_with_the_same_digest(place: Place, target: str, hints: list[str]) -> None:
    before = place.catalog.jobs["backup"]
    os.rename(place.folder / "a.json", place.folder / target)

    seen = []
    for hint in hints:
        files = {"old": ["a.json"], "new": [target], "both": ["a.json", target]}.get(hint)
        seen += place.rescan() if files is None else place.look(*files)
        seen += place.wait(0.1)
    seen += place.wait(0.2) + place.rescan() + place.wait(5)

    assert seen == ["updated backup"]
    assert place.files() == {"backup": target}
    (change,) = place.all
    assert change.definition is not None
    assert (change.file, change.definition.sha256) == (target, before.sha256)


def test_renamed_file_is_one_update_when_only_its_new_name_was_ever_hinted_at(place: Place) -> None:
    os.rename(place.folder / "a.json", place.folder / "b.json")

    assert place.look("b.json") + place.wait(5) == ["updated backup"]
    assert place.files() == {"backup": "b.json"}


def test_job_stays_when_its_file_returned_to_its_name_without_a_hint(place: Place) -> None:
    place.write("a.json", name="other")
    place.look("a.json")
    place.write("a.json", command="longer")

    assert place.wait(5) == ["updated backup", "removed other"]


def test_renamed_and_changed_file_is_one_update(place: Place) -> None:
    (place.folder / "a.json").unlink()
    place.write("b.json", command="new")

    assert place.rescan() + place.wait(5) == ["updated backup"]
    assert place.commands() == {"backup": "new"}


def test_repair_under_another_file_name_updates_the_job_and_clears_the_error(place: Place) -> None:
    place.write("a.json", BROKEN)
    place.look("a.json")
    place.wait()
    (place.folder / "a.json").unlink()
    place.write("b.json", command="new")

    assert place.look("a.json", "b.json") == ["updated backup"]
    assert place.wait() == ["config_recovered a.json"]
    assert place.files() == {"backup": "b.json"}


@pytest.mark.parametrize("order", list(itertools.permutations(["a.json", "b.json"])), ids=str)
@pytest.mark.parametrize("stepwise", [True, False])
def test_files_that_swap_their_names_are_two_updates(place: Place, order: list[str], stepwise: bool) -> None:
    place.write("b.json", name="other")
    place.look("b.json")
    place.all.clear()
    before = {name: definition.sha256 for name, definition in place.catalog.jobs.items()}

    for source, target in (("a.json", ".swap"), ("b.json", "a.json"), (".swap", "b.json")):
        os.rename(place.folder / source, place.folder / target)
        if stepwise:
            place.look(source, target)
            place.wait(0.01)
    for file in order:
        place.look(file)
        place.wait(0.01)
    place.wait(5)
    place.rescan()

    assert sorted(told(place.all)) == ["updated backup", "updated other"]
    assert {c.job_name: c.definition and c.definition.sha256 for c in place.all} == before
    assert place.files() == {"backup": "b.json", "other": "a.json"}


def test_job_that_changes_its_name_is_registered_at_once_and_removed_once_it_stayed_away(place: Place) -> None:
    place.write("a.json", name="other")

    assert place.look("a.json") == ["registered other"]
    assert place.wait() == ["removed backup"]
    assert place.files() == {"other": "a.json"}


def test_second_file_with_a_name_is_an_error_once_it_stood(place: Place) -> None:
    place.write("b.json", command="second")

    assert place.look("b.json") == []
    assert place.wait() == ["config_error b.json"]
    assert place.commands() == {"backup": "old"}
    assert place.rescan() + place.wait(5) + place.rescan("a.json", "b.json") == []
    (change,) = place.all
    assert (change.job_name, change.kept_last_good) == ("backup", False)
    assert "a.json" in str(change.problems[0])


def test_file_that_comes_first_takes_the_name_over_at_once(place: Place) -> None:
    place.write("0.json", command="first")

    assert place.look("0.json") == ["updated backup"]
    assert place.wait() == ["config_error a.json"]
    assert place.commands() == {"backup": "first"}


def test_first_file_of_a_name_can_be_changed_while_a_second_is_in_error(place: Place) -> None:
    place.write("b.json", command="second")
    place.look("b.json")
    place.wait()
    place.write("a.json", command="new")

    assert place.look("a.json") + place.wait(5) == ["updated backup"]


@pytest.mark.parametrize("save", SAVES)
def test_saving_the_first_file_of_a_name_does_not_let_the_second_in(place: Place, save: Save) -> None:
    place.write("b.json", command="second")
    place.look("b.json")
    place.wait()

    seen = []
    for file in save(place.folder):
        seen += place.look(file) + place.wait(0.001)
    seen += place.wait(5) + place.rescan()

    assert seen == ["updated backup"]
    assert place.commands() == {"backup": "new"}


def test_second_file_takes_the_name_over_when_the_first_stayed_away(place: Place) -> None:
    place.write("b.json", command="second")
    place.look("b.json")
    place.wait()
    (place.folder / "a.json").unlink()

    assert place.look("a.json") == []
    assert place.wait() == ["updated backup", "config_recovered b.json"]
    assert place.commands() == {"backup": "second"}


def test_second_file_takes_the_name_over_when_the_first_changes_its_own(place: Place) -> None:
    place.write("b.json", command="second")
    place.look("b.json")
    place.wait()
    place.write("a.json", name="other")

    assert place.look("a.json") + place.wait() == ["registered other", "updated backup", "config_recovered b.json"]
    assert place.files() == {"backup": "b.json", "other": "a.json"}


def test_second_file_recovers_at_once_when_it_gets_another_name(place: Place) -> None:
    place.write("b.json", command="second")
    place.look("b.json")
    place.wait()
    place.write("b.json", name="other")

    assert place.look("b.json") == ["registered other", "config_recovered b.json"]


def test_third_file_with_a_name_is_told_when_another_one_is_first(place: Place) -> None:
    for file in ("b.json", "c.json"):
        place.write(file, command=file)
    place.look("b.json", "c.json")
    assert place.wait() == ["config_error b.json", "config_error c.json"]
    (place.folder / "a.json").unlink()
    place.look("a.json")

    assert place.wait(5) == ["updated backup", "config_recovered b.json", "config_error c.json"]
    assert "b.json" in str(place.catalog.errors["c.json"][0])


def test_file_kept_by_its_last_good_version_still_claims_its_name(place: Place) -> None:
    place.write("a.json", BROKEN)
    place.look("a.json")
    place.wait()
    place.write("b.json", command="second")

    assert place.look("b.json") + place.wait() == ["config_error b.json"]
    assert place.commands() == {"backup": "old"}
    (place.folder / "a.json").unlink()
    assert place.look("a.json") + place.wait() == [
        "updated backup", "config_recovered b.json", "config_recovered a.json",
    ]  # fmt: skip
    assert place.commands() == {"backup": "second"}


def test_valid_file_that_comes_first_ends_the_claim_of_a_kept_one(place: Place) -> None:
    place.write("a.json", BROKEN)
    place.look("a.json")
    place.wait()
    place.write("0.json", command="first")

    assert place.look("0.json") == ["updated backup"]
    assert not place.catalog.is_kept("a.json")
    place.write("a.json", b"{}")
    assert place.look("a.json") + place.wait() == ["config_error a.json"]
    assert (place.all[-1].kept_last_good, place.all[-1].job_name) == (False, None)
    (place.folder / "0.json").unlink()
    assert place.look("0.json") + place.wait() == ["removed backup"]


def test_second_file_that_became_invalid_does_not_take_the_name_over(place: Place) -> None:
    place.write("b.json", command="second")
    place.look("b.json")
    place.wait()
    place.write("b.json", BROKEN)
    place.look("b.json")
    assert place.wait() == ["config_error b.json"]
    (place.folder / "a.json").unlink()

    assert place.look("a.json") + place.wait() == ["removed backup"]


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


def test_permissions_are_nothing_to_announce() -> None:
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder, "a.json")
        path.write_bytes(document())
        place = Place(Path(folder))
        for mode in (0, 0o644):
            path.chmod(mode)
            with ordinary_user():
                place.rescan()
                assert place.catalog.unannounced == set()
                place.wait(5)


def test_file_name_that_is_not_utf_8_is_an_error_with_a_name_that_can_be_logged(place: Place) -> None:
    with open(os.fsencode(place.folder) + b"/caf\xe9.json", "wb") as file:
        file.write(document("other"))

    assert place.rescan() + place.wait() == ["config_error caf\\xe9.json"]
    assert list(place.catalog.errors) == ["caf\\xe9.json"]
    os.unlink(os.fsencode(place.folder) + b"/caf\xe9.json")
    assert place.rescan() + place.wait() == ["config_recovered caf\\xe9.json"]


class ConfigMap:
    """A directory as Kubernetes mounts one: each file is a link through `..data`, which is swapped as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.version = 0

    def publish(self, **files: bytes) -> None:
        self.version += 1
        data = self.folder / f"..version_{self.version}"
        data.mkdir()
        for name, content in files.items():
            (data / f"{name}.json").write_bytes(content)
        (self.folder / "..data_tmp").symlink_to(data.name)
        os.rename(self.folder / "..data_tmp", self.folder / "..data")
        for name in files:
            if not (self.folder / f"{name}.json").is_symlink():
                (self.folder / f"{name}.json").symlink_to(f"..data/{name}.json")
        for link in self.folder.glob("*.json"):
            if link.stem not in files:
                link.unlink()
        shutil.rmtree(self.folder / f"..version_{self.version - 1}", ignore_errors=True)


def test_config_map_swap_is_one_update_of_what_it_changed(tmp_path: Path) -> None:
    volume = ConfigMap(tmp_path)
    volume.publish(same=document("same"), changed=document("changed"), gone=document("gone"))
    place = Place(tmp_path)
    volume.publish(same=document("same"), changed=document("changed", command="new"), more=document("more"))

    assert place.rescan() == ["updated changed", "registered more"]
    assert place.wait(5) + place.rescan() == ["removed gone"]
    assert place.catalog.errors == {}


def test_config_map_swap_is_noticed_through_a_hint_of_one_file(tmp_path: Path) -> None:
    volume = ConfigMap(tmp_path)
    volume.publish(k=document("k"))
    place = Place(tmp_path)
    volume.publish(k=document("k", command="new"))

    assert place.look("k.json") + place.rescan() == ["updated k"]


@pytest.mark.parametrize("look", [Place.look, Place.rescan])
def test_directory_that_is_away_for_a_while_changes_nothing(place: Place, look: Callable[..., list[str]]) -> None:
    place.write("b.json", BROKEN)
    place.rescan()
    place.wait()
    errors = dict(place.catalog.errors)
    place.folder.rename(place.folder.with_name("away"))

    for _ in range(3):
        with pytest.raises(JobsDirectoryError, match="does not exist"):
            look(place, "a.json")
        place.now += 60

    assert (place.commands(), place.catalog.errors) == ({"backup": "old"}, errors)
    place.folder.with_name("away").rename(place.folder)
    assert place.rescan() + place.wait(5) == []


def test_nothing_settles_while_the_directory_is_away(place: Place) -> None:
    (place.folder / "a.json").rename(place.folder.with_name("a.json"))
    place.look("a.json")
    place.folder.rename(place.folder.with_name("away"))
    place.now += 60
    with pytest.raises(JobsDirectoryError):
        place.look()

    assert place.catalog.due_again() == place.now + SETTLE
    place.folder.with_name("away").rename(place.folder)
    place.folder.with_name("a.json").rename(place.folder / "a.json")
    assert place.wait(5) == []


def test_directory_that_was_deleted_below_a_mount_changes_nothing(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    (jobs / "a.json").write_bytes(document())
    descriptor = os.open(jobs, os.O_RDONLY)
    try:
        # What a bind mount of a deleted directory is: it can be opened and listed, and is empty for ever.
        place = Place(Path(f"/proc/self/fd/{descriptor}"))
        shutil.rmtree(jobs)

        with pytest.raises(JobsDirectoryError, match="was deleted"):
            place.rescan()
        with pytest.raises(JobsDirectoryError, match="was deleted"):
            place.look("a.json")
        assert list(place.catalog.jobs) == ["backup"]
    finally:
        os.close(descriptor)


def test_directory_that_may_not_be_listed_changes_nothing() -> None:
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        Path(folder, "a.json").write_bytes(document())
        place = Place(Path(folder))
        os.chmod(folder, 0o711)
        with ordinary_user():
            if os.access(folder, os.R_OK, effective_ids=True):
                os.chmod(folder, 0o311)
            with pytest.raises(JobsDirectoryError, match="cannot be listed: Permission denied"):
                place.rescan()
        os.chmod(folder, 0o755)

        assert place.rescan() + place.wait(5) == []


def test_due_again_is_the_time_of_the_oldest_unsettled_thing(place: Place) -> None:
    place.write("b.json", BROKEN)
    place.look("b.json")
    begun = place.now
    place.wait(0.2)
    (place.folder / "a.json").unlink()
    place.look("a.json")

    assert place.catalog.due_again() == begun + SETTLE
    assert place.wait(0.3) == ["config_error b.json"]
    assert place.catalog.due_again() == begun + 0.2 + SETTLE


def test_file_that_goes_before_its_error_was_told_delays_no_other_file(place: Place) -> None:
    for file in ("a.json", "b.json"):
        place.write(file, BROKEN)
        place.look(file)
        place.wait(0.2)
    (place.folder / "a.json").unlink()
    place.look("a.json")

    assert place.wait(0.3) == ["config_error b.json"]


def test_job_whose_file_names_another_one_is_removed_once_that_stood(place: Place) -> None:
    place.write("a.json", name="other")

    assert place.look("a.json") == ["registered other"]
    assert place.wait() == ["removed backup"]
    assert place.catalog.due_again() is None


def rewrite(folder: Path) -> None:
    (folder / "a.json").write_bytes(document(command="longer"))


def break_it(folder: Path) -> None:
    (folder / "a.json").write_bytes(BROKEN)


def add(folder: Path) -> None:
    (folder / "b.json").write_bytes(document("other"))


def delete(folder: Path) -> None:
    (folder / "a.json").unlink()


CHANGES = {rewrite: "a.json", break_it: "a.json", add: "b.json", delete: "a.json"}


@pytest.mark.parametrize(("change", "file"), CHANGES.items())
@pytest.mark.parametrize(
    ("age", "hints", "is_lost"), [(10, [], True), (1, [], False), (10, ["a.json", "b.json"], False)]
)
def test_change_is_unannounced_when_it_is_old_and_no_hint_named_it(
    place: Place, change: Callable[[Path], None], file: str, age: float, hints: Collection[str], is_lost: bool
) -> None:
    change(place.folder)
    place.age = age
    place.rescan(*hints)

    assert place.catalog.unannounced == ({file} if is_lost else set())
    place.age = 100
    place.rescan()
    assert place.catalog.unannounced == set()


@pytest.mark.parametrize(("change", "file"), CHANGES.items())
def test_change_is_announced_when_a_hint_was_looked_at_before_the_rescan(
    place: Place, change: Callable[[Path], None], file: str
) -> None:
    change(place.folder)
    place.look(file)
    place.rescan()

    assert place.catalog.unannounced == set()


def test_change_of_a_file_that_is_under_observation_is_not_unannounced(place: Place) -> None:
    place.write("a.json", BROKEN)
    place.look("a.json")
    place.write("a.json", command="new")
    place.rescan()

    assert place.catalog.unannounced == set()


def test_nothing_is_unannounced_while_the_directory_is_away(place: Place) -> None:
    rewrite(place.folder)
    place.rescan()
    place.folder.rename(place.folder.with_name("away"))
    with pytest.raises(JobsDirectoryError):
        place.rescan()

    assert place.catalog.unannounced == set()


def test_first_rescan_finds_nothing_unannounced(place: Place) -> None:
    assert place.catalog.unannounced == set()


def test_changed_mode_owner_or_time_is_nothing_to_announce(place: Place) -> None:
    (place.folder / "a.json").chmod(0o600)
    os.utime(place.folder / "a.json")
    place.rescan()

    assert place.catalog.unannounced == set()


FILES = ("a.json", "b.json", "c.json", "d.json")
contents = st.one_of(
    st.just(BROKEN),
    st.just(b"{}"),
    st.builds(document, st.sampled_from(("x", "y", "z")), command=st.sampled_from(("1", "2"))),
)
steps = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(FILES), contents),
    st.tuples(st.just("delete"), st.sampled_from(FILES), st.none()),
    st.tuples(st.just("rename"), st.sampled_from(FILES), st.sampled_from(FILES)),
    st.tuples(st.just("look"), st.sampled_from(FILES), st.sampled_from(FILES)),
    st.tuples(st.just("rescan"), st.none(), st.none()),
    st.tuples(st.just("wait"), st.sampled_from((0.1, 0.3, 0.6)), st.none()),
)


def do(place: Place, step: tuple[str, Any, Any]) -> None:
    action, what, more = step
    if action == "write":
        place.write(what, more)
    elif action == "delete":
        (place.folder / what).unlink(missing_ok=True)
    elif action == "rename" and (place.folder / what).exists():
        os.replace(place.folder / what, place.folder / more)
    elif action == "look":
        place.look(what, more)
    elif action == "rescan":
        place.rescan()
    elif action == "wait":
        place.wait(what)


def replay(changes: list[Change]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what somebody believes who hears of nothing but the changes."""
    jobs: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for change in changes:
        if change.kind == "config_error":
            assert errors.get(change.file) != list(change.problems), "told twice"
            errors[change.file] = list(change.problems)
        elif change.kind == "config_recovered":
            del errors[change.file]
        else:
            before = jobs.pop(change.job_name or "", None)
            assert (change.kind == "registered") == (before is None)
            assert (change.kind == "removed") == (change.definition is None)
            if change.definition is not None:
                jobs[change.definition.config.name] = change.definition
    return jobs, errors


@given(st.lists(steps, max_size=25))
def test_catalog_ends_as_a_new_one_would_begin_whatever_happened_before(history: list[tuple[str, Any, Any]]) -> None:
    with TemporaryDirectory() as folder:
        place = Place(Path(folder), age=0)  # young files are read again, whatever the clock of this kernel's files
        for step in history:
            do(place, step)
            assert replay(place.all) == (place.catalog.jobs, place.catalog.errors)
        place.rescan()
        place.wait(5)
        place.rescan()
        place.wait(5)
        assert place.catalog.due_again() is None
        kept = {d.file for d in place.catalog.jobs.values() if place.catalog.is_kept(d.file)}
        for file in kept:  # the one thing that a new catalog cannot know
            (place.folder / file).unlink()
        place.rescan()
        place.wait(5)

        fresh = Catalog(ConfigLoader(folder))
        fresh.rescan(0, settle=0)

        assert place.catalog.jobs == fresh.jobs
        assert place.catalog.errors == fresh.errors
        assert replay(place.all) == (place.catalog.jobs, place.catalog.errors)
