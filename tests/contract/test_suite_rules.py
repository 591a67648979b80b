"""The suite's own promises: groups by folder, no silent skip, and failures that can be repeated."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GROUPS = ("unit", "property", "contract", "integration", "browser", "docker")
BY_TWO = ("-n", "2")  # as `make test` does
PROPERTY_THAT_FAILS = """
from hypothesis import given, strategies as st

@given(st.integers(min_value=0))
def test_small(number):
    assert number < 1234
"""


def run_suite(root: Path, *arguments: str, require_all: bool) -> subprocess.CompletedProcess[str]:
    """Run a suite of its own below `root` under this project's rules."""
    shutil.copy(ROOT / "pyproject.toml", root)
    shutil.copy(ROOT / "tests" / "conftest.py", root / "tests")
    environment = {**os.environ, "REQUIRE_ALL_GROUPS": "1" if require_all else ""}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Return a project with one passing test in every group that must be there."""
    for group in GROUPS:
        (tmp_path / "tests" / group).mkdir(parents=True)
        (tmp_path / "tests" / group / f"test_{group}.py").write_text("def test_passes(): pass\n")
    return tmp_path


@pytest.mark.parametrize("how", [(), BY_TWO])
def test_complete_run_succeeds_when_every_group_is_required(suite: Path, how: tuple[str, ...]) -> None:
    result = run_suite(suite, *how, require_all=True)

    assert result.returncode == 0, result.stdout


def test_group_is_the_folder_of_the_test(suite: Path) -> None:
    result = run_suite(suite, "-m", "contract", "-v", require_all=False)

    assert re.findall(r"tests/(\w+)/test_\w+.py::\w+ PASSED", result.stdout) == ["contract"]


def test_the_engines_tests_come_first_and_the_browsers_last(suite: Path) -> None:
    result = run_suite(suite, "-v", require_all=False)

    order = re.findall(r"tests/(\w+)/test_\w+.py::\w+ PASSED", result.stdout)
    assert sorted(order) == sorted(GROUPS) and (order[0], order[-1]) == ("docker", "browser")


def test_of_two_processes_one_has_all_tests_of_the_engine(suite: Path) -> None:
    for name in ("test_a.py", "test_b.py", "test_c.py"):
        (suite / "tests" / "docker" / name).write_text("import os\n\ndef test_tells(): print('by', os.getpid())\n")

    result = run_suite(suite, *BY_TWO, "-rP", require_all=False)

    told = re.findall(r"^by (\d+)$", result.stdout, re.MULTILINE)
    assert len(told) == 3 and len(set(told)) == 1, result.stdout


@pytest.mark.parametrize("how", [(), BY_TWO])
def test_run_fails_when_a_required_group_did_not_run(suite: Path, how: tuple[str, ...]) -> None:
    shutil.rmtree(suite / "tests" / "docker")

    result = run_suite(suite, *how, require_all=True)

    assert result.returncode == 1
    assert "no test of the group 'docker' passed" in result.stdout


@pytest.mark.parametrize("how", [(), BY_TWO])
@pytest.mark.parametrize(("require_all", "code"), [(True, 1), (False, 0)])
def test_skipped_test_fails_the_run_only_when_every_group_is_required(
    suite: Path, require_all: bool, code: int, how: tuple[str, ...]
) -> None:
    (suite / "tests" / "unit" / "test_skips.py").write_text(
        "import pytest\n\ndef test_absent():\n    pytest.skip('nothing there')\n"
    )

    result = run_suite(suite, *how, require_all=require_all)

    assert result.returncode == code, result.stdout


@pytest.mark.parametrize("how", [(), BY_TWO])
def test_failing_example_is_printed_with_a_seed_that_repeats_it(suite: Path, how: tuple[str, ...]) -> None:
    (suite / "tests" / "property" / "test_small.py").write_text(PROPERTY_THAT_FAILS)
    first = run_suite(suite, *how, require_all=False)
    seed = re.findall(r"--hypothesis-seed=\d+", first.stdout)[-1]
    shutil.rmtree(suite / ".hypothesis", ignore_errors=True)

    again = run_suite(suite, seed, require_all=False)

    assert "@reproduce_failure(" in first.stdout
    assert re.findall(r"number=\d+", again.stdout) == re.findall(r"number=\d+", first.stdout)
