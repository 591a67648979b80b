"""Which changes an event should have announced."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sidecar.errors import JobsDirectoryError
from tests.catalog_place import BROKEN, Place, document
from tests.hostile import ordinary_user


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
