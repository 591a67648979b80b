"""What fuzzing begins with, and what it once found, in every run of the tests; and mutations of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.fuzz import CORPUS
from chaos.fuzztargets import CORPORA, TARGETS

FILES = [(target, path) for target in TARGETS for path in sorted((CORPUS / CORPORA.get(target, target)).iterdir())]


@pytest.mark.parametrize(("target", "path"), FILES, ids=lambda each: getattr(each, "name", each))
def test_target_holds_for_every_file_of_its_corpus(target: str, path: Path) -> None:
    TARGETS[target](path.read_bytes())


def test_every_target_has_a_corpus() -> None:
    assert {target for target, _ in FILES} == TARGETS.keys()
