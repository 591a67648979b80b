"""Which file a job belongs to: renamed files, jobs that change their name, two files with one."""

from __future__ import annotations

import itertools
import os

import pytest

from tests.catalog_place import BROKEN, SAVES, Place, Save, told


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


def test_job_whose_file_names_another_one_is_removed_once_that_stood(place: Place) -> None:
    place.write("a.json", name="other")

    assert place.look("a.json") == ["registered other"]
    assert place.wait() == ["removed backup"]
    assert place.catalog.due_again() is None
