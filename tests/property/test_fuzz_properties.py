"""The fuzzing targets on mutations that hypothesis draws: no coverage to guide it, but in every run of the tests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.fuzz import CORPUS
from chaos.fuzztargets import CORPORA, TARGETS

snippets = st.sampled_from(
    (
        b"\n",
        b'"',
        b"{",
        b"}",
        b"[]",
        b"null",
        b"-1",
        b"1e9",
        b"true",
        b'"event":',
        b"\xff",
        b"\0",
        b"\\ud800",
        b"9" * 30,
    )
) | st.binary(max_size=4)


def seeds(target: str) -> list[bytes]:
    return [path.read_bytes()[:6000] for path in sorted((CORPUS / CORPORA.get(target, target)).iterdir())]


@st.composite
def mutated(draw: st.DrawFn, target: str) -> bytes:
    """A file of the corpus with pieces replaced, removed, added or repeated."""
    data = draw(st.sampled_from(seeds(target)))
    for _ in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 60))
        piece = draw(snippets | st.just(data[start : start + length] * 2))
        data = data[:start] + piece + data[start + length :]
    return data


# Feature: production-jobs-scheduler, Robustness: whatever others write, readers say what it is and never fail
@pytest.mark.parametrize("target", TARGETS)
@given(data=st.data())
def test_target_holds_for_mutations_of_its_corpus(target: str, data: st.DataObject) -> None:
    TARGETS[target](data.draw(mutated(target)))
