"""What tests of the catalog share: a directory with one job in force."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.catalog_place import Place, document


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a directory with one job, loaded."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "a.json").write_bytes(document(command="old"))
    place = Place(tmp_path / "jobs")
    place.all.clear()
    return place
