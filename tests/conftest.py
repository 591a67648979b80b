"""Rules for the whole suite: what a test's group is, how property tests draw, when a run counts as complete.

A test's group is the folder it lies in. `make test` runs two tests at a time. An engine that makes or removes a network
ends what a browser is loading just then, so the tests of the engine come first and those of the browser last.

With REQUIRE_ALL_GROUPS=1 (.ci/run sets it) a skipped test, or a group without a test that passed, fails the run, so
that "green" cannot mean "did not run".
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

HERE = Path(__file__).parent
GROUPS = ("unit", "property", "contract", "integration", "browser", "docker")
REQUIRED_GROUPS = GROUPS
EXPERIMENT = "tests/integration/test_chaos.py::test_experiment_finds_nothing"
WITH_THE_ENGINE = ("tests/docker/", f"{EXPERIMENT}[container]", f"{EXPERIMENT}[volume]")
WITH_A_BROWSER = ("tests/browser/", f"{EXPERIMENT}[browsers]")
"""How the names of these tests begin."""
REQUIRE_ALL = os.environ.get("REQUIRE_ALL_GROUPS", "") not in ("", "0")

# print_blob: a failure prints the decorator that replays exactly its example. A search for new examples belongs to
# `make test`; CI judges a change, so it tries the same ones each time.
settings.register_profile("suite", max_examples=100, deadline=None, print_blob=True, derandomize=False)
settings.register_profile("ci", settings.get_profile("suite"), derandomize=True)
settings.load_profile("ci" if REQUIRE_ALL else "suite")

passed: Counter[str] = Counter()
skipped: list[str] = []


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Draw the property tests' seed here, before the plugin reads it, so that it can be named."""
    if config.option.hypothesis_seed is None and not settings().derandomize:
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(1 << 32))


def pytest_report_header(config: pytest.Config) -> str:
    return repeated_by(config)


def repeated_by(config: pytest.Config) -> str:
    """Return how to try the same examples again."""
    seed = config.option.hypothesis_seed
    how = "the same each time" if seed is None else f"repeat with --hypothesis-seed={seed}"
    return f"property tests: {how}"


def group_of(path: Path) -> str | None:
    """Return the group a test file belongs to, None for one outside the groups' folders."""
    folder = path.relative_to(HERE).parts[0] if path.is_relative_to(HERE) else ""
    return folder if folder in GROUPS else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        group = group_of(item.path)
        if group is None:
            raise pytest.UsageError(f"{item.nodeid} lies outside the folders of the groups: {', '.join(GROUPS)}")
        item.add_marker(group)
        item.user_properties.append(("group", group))
    items.sort(key=lambda item: place(item.nodeid))


def place(nodeid: str) -> int:
    """Return whether a test is of the first, of those between, or of the last."""
    return 0 if nodeid.startswith(WITH_THE_ENGINE) else 2 if nodeid.startswith(WITH_A_BROWSER) else 1


class InOrder(LoadScopeScheduling):
    """Gives each process a file at a time, in order, but all tests of the engine to one of them."""

    def _split_scope(self, nodeid: str) -> str:
        which = place(nodeid)
        return "engine" if which == 0 else f"{which} {nodeid.partition('::')[0]}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> InOrder:
    config.option.loadscopereorder = False
    return InOrder(config, log)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        skipped.append(report.nodeid)
    elif report.when == "call" and report.passed:
        passed[str(dict(report.user_properties)["group"])] += 1


def incomplete() -> list[str]:
    """Return why this run does not count as the whole suite, a line for each reason."""
    missing = [f"no test of the group {group!r} passed" for group in REQUIRED_GROUPS if not passed[group]]
    return [*missing, *(f"skipped: {nodeid}" for nodeid in skipped)]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    is_worker = hasattr(session.config, "workerinput")  # which has a part of the tests only
    if REQUIRE_ALL and not is_worker and exitstatus == pytest.ExitCode.OK and incomplete():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if terminalreporter.stats.get("failed"):
        terminalreporter.write_line(repeated_by(config))
    if REQUIRE_ALL and incomplete():
        terminalreporter.section("REQUIRE_ALL_GROUPS: this run is not the whole suite", red=True)
        for line in incomplete():
            terminalreporter.write_line(line)
