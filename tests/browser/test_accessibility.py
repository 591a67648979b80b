"""No violation of WCAG 2 A and AA that axe-core finds, on any view, in both themes, at both sizes (UI.md 21)."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.admin_stack import DESK, PHONE

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
VIEWS = {
    "jobs": "/",
    "jobs with one selected": "/?view=jobs&job=import-orders",
    "jobs that failed": "/?view=jobs&state=failed",
    "history": "/?view=history",
    "history of one job": "/?view=history&job=import-orders",
    "history with an error": "/?view=history&since=never",
    "logs": "/?view=logs&job=import-orders",
    "new": "/?view=new",
    "edit": "/?view=edit&job=backup-db",
}
LOOKS = [("light", DESK), ("dark", DESK), ("light", PHONE), ("dark", PHONE)]


def violations(page: Page) -> list[str]:
    """Return what axe-core finds: rule, impact and the first elements."""
    found = Axe().run(page, options=RULES).response["violations"]
    return [
        f"{each['id']} ({each['impact']}): " + "; ".join(node["html"][:160] for node in each["nodes"][:3])
        for each in found
    ]


@pytest.mark.parametrize(("theme", "size"), LOOKS, ids=["light desk", "dark desk", "light phone", "dark phone"])
@pytest.mark.parametrize("name", VIEWS)
def test_axe_finds_nothing(visit, name, theme, size):
    page = visit(color_scheme=theme, viewport=size).open(VIEWS[name])
    expect(page.locator("#jobs-header nav")).to_be_visible()
    assert violations(page) == []


@pytest.mark.parametrize(("theme", "size"), LOOKS, ids=["light desk", "dark desk", "light phone", "dark phone"])
def test_axe_finds_nothing_in_a_run_with_its_output_and_in_a_dialog_over_it(visit, scheduler, theme, size):
    run_id = scheduler.lines("job_complete", job_name="import-orders")[0]["run_id"]
    page = visit(color_scheme=theme, viewport=size).open(f"/?view=logs&run={run_id}")
    expect(page.locator("#jobs-logs")).to_contain_text("could not convert string to float")
    assert violations(page) == []
    page.click("#jobs-help")
    expect(page.locator("dialog")).to_be_visible()
    assert violations(page) == []


@pytest.mark.parametrize("width", [390, 360, 1440])
@pytest.mark.parametrize("name", VIEWS)
def test_nothing_sticks_out_sideways(visit, name, width):
    page = visit(viewport={"width": width, "height": 844}).open(VIEWS[name])
    expect(page.locator("#jobs-header nav")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
