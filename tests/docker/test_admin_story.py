"""An admin's first day, in a real browser on the composed stack: from the printed password to a deleted job."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.admin_stack import Visit, chromium, chromium_path
from tests.docker.page import PASSWORD, PORT, printed_password
from tests.docker.stack import NEVER, Stack, clone, require_engine

pytestmark = pytest.mark.timeout(600)

COMMAND = "echo counting; for i in 1 2 3; do echo step $i; sleep 1; done; echo counted"
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    require_engine()
    chromium_path()
    running = Stack(clone(tmp_path_factory.mktemp("clone"), owner=1000))
    try:
        running.up()
        yield running
    finally:
        running.close()


def sign_in(page: Page, stack: Stack) -> None:
    page.goto("/?view=history")
    expect(page).to_have_url(re.compile(r"/sign-in\?next="))
    page.get_by_label("Password").fill(printed_password(stack))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password again").fill(PASSWORD)
    page.get_by_role("button").click()
    expect(page).to_have_url(re.compile(r"/\?view=history$"))  # what was asked for before


def create_job(page: Page, name: str) -> None:
    page.get_by_role("link", name="New job").click()
    form = page.locator("#jobs-new-form")
    # The directory that most jobs have: when it is there, the form has been filled and may be typed into.
    expect(form.locator("#jobs-new-working-directory").locator("input, textarea")).to_have_value("/tmp")
    for field, text in (("name", name), ("command", COMMAND), ("schedule", NEVER)):
        form.locator(f"#jobs-new-{field}").locator("input, textarea").fill(text)
    expect(page.locator("#jobs-new-preview")).to_contain_text("January")
    page.get_by_role("button", name="Create job").click()
    expect(page).to_have_url(re.compile(rf"\?view=edit&job={name}$"))


def act(page: Page, name: str, action: str) -> None:
    """Select a job, press one of its buttons and say yes."""
    page.get_by_role("link", name="Jobs", exact=True).click()
    page.locator(f"#jobs-table tr[data-job={name}] td").last.click()
    page.locator("#jobs-actions").get_by_role("button", name=action).click()
    page.get_by_role("dialog").get_by_role("button", name=action).click()


def audited(stack: Stack) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (stack.logs / "audit/audit.log").read_text().splitlines()]


def test_admin_creates_runs_watches_and_deletes_a_job(stack: Stack) -> None:
    with chromium() as browser:
        visit = Visit(browser, stack.address("admin", PORT), {})
        page = visit.page
        page.set_default_timeout(PATIENCE_MS)
        sign_in(page, stack)

        create_job(page, "count")
        act(page, "count", "Run now")
        output = page.locator("#jobs-logs-stdout")
        expect(output).to_contain_text("step 1")  # the address has led to the run, and it is followed
        expect(output).to_contain_text("counted")
        done = stack.wait_for("job_complete", job_name="count")
        assert (done["status"], done["trigger"]) == ("success", "manual")

        page.get_by_role("link", name="History", exact=True).click()
        row = page.locator("#jobs-history").get_by_role("row").filter(has_text="count")
        expect(row).to_contain_text("success")

        act(page, "count", "Delete")
        expect(page.locator("#jobs-table tr[data-job=count]")).to_have_count(0)
        assert not (stack.jobs / "count.json").exists()

        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_url(re.compile(r"/sign-in$"))
        page.goto("/")
        expect(page).to_have_url(re.compile(r"/sign-in$"))
        visit.context.close()
        assert visit.problems == []

    lines = audited(stack)
    asked = {line["id"]: line["action"] for line in lines if line["event"] == "requested"}
    done_for = {line["id"] for line in lines if line["event"] == "outcome" and line["outcome"] == "done"}
    assert list(asked.values()) == ["choose_password", "create_job", "trigger_job", "delete_job"]
    assert set(asked) <= done_for
    accepted = stack.wait_for("trigger_accepted", job_name="count")
    assert (asked[accepted["request_id"]], accepted["requested_by"]) == ("trigger_job", "admin")
    assert accepted["run_id"] == done["run_id"]
