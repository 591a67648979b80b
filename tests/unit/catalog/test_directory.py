"""The directory as a whole: a ConfigMap that swaps it, one that is away, gone, or may not be listed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sidecar.errors import JobsDirectoryError
from tests.catalog_place import BROKEN, SETTLE, Place, document
from tests.hostile import ordinary_user


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
