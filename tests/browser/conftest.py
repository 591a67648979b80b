"""One browser and one pair of services with the showcase for all tests that only look; a visit for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.admin_stack import ANNA, Admin, Visit, add_showcase, chromium, chromium_path
from tests.daemon import Daemon


@pytest.fixture(scope="package")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """The scheduler of the shared pair."""
    chromium_path()
    root: Path = tmp_path_factory.mktemp("shared")
    with Daemon(root) as daemon:
        add_showcase(daemon)
        yield daemon


@pytest.fixture(scope="package")
def admin(scheduler: Daemon) -> Iterator[Admin]:
    """The admin service of the shared pair. A test that changes a job makes one of its own name."""
    with Admin(scheduler.jobs.parent) as admin:
        yield admin


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    with chromium() as found:
        yield found


@pytest.fixture
def visit(browser: Browser, admin: Admin) -> Iterator[Callable[..., Visit]]:
    """Make a visit: `visit()` is Anna's, at a desk; `visit(BEN, viewport=PHONE, color_scheme="dark")` another one."""
    made: list[Visit] = []

    def make(headers: dict[str, str] = ANNA, **options: Any) -> Visit:
        made.append(Visit(browser, admin.url, headers, **options))
        return made[-1]

    yield make
    for each in made:
        each.context.close()
    for each in made:
        each.check()
