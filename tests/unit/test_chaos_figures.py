"""The table of results in docs/reliability.md."""

from collections import Counter

import pytest

from chaos.__main__ import EXPERIMENTS
from chaos.figures import HEAD, PAGE, row, updated
from chaos.outcome import Size

TEXT = f"Before\n\n{HEAD}\n| --- |\n| `a` | 1 |\n| `b` | 2 |\n\nAfter\n"


def test_row_replaces_the_one_of_the_same_experiment():
    assert updated(TEXT, "a", "| `a` | new |") == TEXT.replace("| `a` | 1 |", "| `a` | new |")


def test_row_of_a_new_experiment_comes_last():
    assert updated(TEXT, "c", "| `c` | new |") == TEXT.replace("| `b` | 2 |", "| `b` | 2 |\n| `c` | new |")


def test_page_without_the_table_is_an_error():
    with pytest.raises(ValueError, match="not in list"):
        updated("no table", "a", "| `a` |")


def test_row_has_what_was_done_and_what_was_found():
    cells = row("a", 7, Counter({"kills": 1234, "checks": 5, "starts": 6, "accepted": 2, "rejected": 1}), 0).split("|")

    assert [cell.strip() for cell in cells[3:-1]] == ["7", "kills: 1,234", "6", "0", "3", "0"]


def test_page_has_a_row_for_every_experiment_and_no_other():
    lines = PAGE.read_text().split("\n")
    rows = lines[lines.index(HEAD) + 2 :]
    named = [line.split("`")[1] for line in rows[: rows.index("")]]

    assert sorted(named) == sorted(EXPERIMENTS)


@pytest.mark.parametrize(("size", "number"), [(Size.TINY, 1), (Size.SHORT, 2), (Size.FULL, 3)])
def test_size_chooses_its_number(size, number):
    assert size.of(1, 2, 3) == number
