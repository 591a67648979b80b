"""Valid content acts at once, a removal once it stood, and nothing is read without need."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.config import ConfigLoader
from tests.catalog_place import BROKEN, SAVES, SETTLE, Place, Save, document, told

WAYS: dict[str, Callable[[Place, str], list[str]]] = {
    "each hint is looked at": lambda place, file: place.look(file),
    "each hint is a rescan": lambda place, file: place.rescan(file),
    "rescans without hints": lambda place, file: place.rescan(),
    "hints come late": lambda place, file: [],
}


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
def test_deleted_file_removes_its_job_once_it_stayed_away(place: Place, look: Callable[..., list[str]]) -> None:
    (place.folder / "a.json").unlink()

    assert look(place, "a.json") == []
    assert place.commands() == {"backup": "old"}
    assert place.wait() == ["removed backup"]
    assert place.catalog.jobs == {}
    assert place.all[0].definition is None
    assert place.catalog.due_again() is None


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
