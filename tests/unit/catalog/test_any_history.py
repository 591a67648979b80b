"""Whatever happened before, a catalog ends as a new one would begin."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sidecar.catalog import Catalog, Change
from sidecar.config import ConfigLoader
from tests.catalog_place import BROKEN, Place, document

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
