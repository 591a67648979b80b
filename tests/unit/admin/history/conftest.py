"""What tests of the history share: one with its own logs directory, which looks at it when it is told to."""

from __future__ import annotations

from pathlib import Path

import pytest

from admin_ui.history import JOURNAL, MAIN_LOG, History


@pytest.fixture
def history(tmp_path: Path):
    (tmp_path / "logs").mkdir()
    history = History(tmp_path / "logs", tmp_path / "data", keep_days=100_000)
    yield history
    history.stop()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / JOURNAL


@pytest.fixture
def main_log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / MAIN_LOG
