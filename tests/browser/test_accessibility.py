"""No violation of WCAG 2 A and AA that axe-core finds, on any view, in both themes, at both sizes (UI.md 21, 23)."""

from __future__ import annotations

from importlib.resources import files

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.admin_stack import DESK, PHONE

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
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
    "edit of a broken file": "/?view=edit&job=broken",
}
SIZES: tuple[ViewportSize, ...] = (DESK, PHONE)


def check(page: Page) -> None:
    """Fail for what axe-core finds, and for what sticks out sideways, in each theme and size."""
    page.evaluate(AXE)
    for size in SIZES:
        page.set_viewport_size(size)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            found = page.evaluate("options => axe.run(document, options)", RULES)["violations"]
            told = [f"{each['id']}: {[node['html'][:200] for node in each['nodes'][:3]]}" for each in found]
            assert told == [], (theme, size)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_accessible_and_as_wide_as_the_window(visit, name):
    page = visit().open(VIEWS[name])
    expect(page.locator("#jobs-header nav")).to_be_visible()
    check(page)


def test_where_the_system_chooses_the_colours_icons_and_what_is_chosen_are_still_seen(visit):
    page = visit(forced_colors="active").open("/?view=jobs&job=import-orders")
    expect(page.locator("#jobs-chosen b")).to_be_visible()
    page_is = page.evaluate("getComputedStyle(document.body).backgroundColor")
    expect(page.locator("#jobs-table .icon.bad").first).not_to_have_css("background-color", page_is)
    for chosen in ("#jobs-header [aria-current]", "#jobs-chips [aria-current]", "#jobs-table [aria-selected=true]"):
        expect(page.locator(chosen)).to_have_css("outline-style", "solid")


@pytest.mark.parametrize(
    ("address", "block", "ring"),
    [
        ("/?view=new", "#jobs-new-command", "textarea"),
        ("/?view=new", "#jobs-new-enabled", "input"),
        ("/", "#jobs-find", "input"),
        ("/?view=logs", "#jobs-logs-show", ".wrap:has(> .wrap-inner)"),
    ],
)
def test_what_is_typed_or_chosen_into_has_the_ring_of_the_focus_and_nothing_cuts_it(visit, address, block, ring):
    """UI.md 20. Of itself, Gradio says the focus of a text box with a border as thin as without."""
    page = visit().open(address)
    page.locator(f"{block} :is(input, textarea)").press("Shift")  # a key: after the mouse, a checkbox shows no ring
    expect(page.locator(f"{block} {ring}")).to_have_css("outline-style", "solid")
    expect(page.locator(f"{block} {ring}")).to_have_css("outline-width", "3px")
    expect(page.locator(block)).to_have_css("overflow", "visible")


def test_the_longest_name_does_not_stick_out_of_a_small_phone(visit, scheduler):
    """UI.md 23. The section, if anything does, scrolls by itself and not with the page."""
    name = "the_longest_name_that_a_job_can_have_is_of_this_many_characters_"
    scheduler.job(name, "true")
    phone = visit(viewport={"width": 375, "height": 812})
    places = {"jobs": "#jobs-chosen", "history": "#jobs-history-rows", "logs": "#jobs-logs h2", "edit": ".file-state"}
    for view, place in places.items():
        page = phone.open(f"/?view={view}&job={name}")
        expect(page.locator(place).filter(visible=True)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 375, view
        assert page.evaluate("(({scrollWidth, clientWidth}) => scrollWidth - clientWidth)(jobs.byId('jobs'))") == 0, (
            view
        )
    (scheduler.jobs / f"{name}.json").unlink()


def test_a_run_with_its_output_and_a_dialog_over_it_are_accessible(visit, scheduler):
    run_id = scheduler.lines("job_complete", job_name="import-orders")[0]["run_id"]
    page = visit().open(f"/?view=logs&run={run_id}")
    expect(page.locator("#jobs-logs")).to_contain_text("could not convert string to float")
    check(page)
    page.set_viewport_size(DESK)  # a phone has no keys
    page.click("#jobs-help")
    expect(page.locator("dialog")).to_be_visible()
    check(page)


def test_a_message_over_the_page_is_accessible(visit, scheduler):
    scheduler.job("said", "true")
    page = visit().open("/?view=edit&job=said")
    expect(page.locator("#jobs-edit textarea").first).not_to_have_value("")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#jobs-said .said")).to_be_visible()
    check(page)


def test_what_is_said_of_a_session_that_has_ended_is_accessible(visit):
    anna = visit()
    page = anna.open("/?view=new")
    anna.context.set_extra_http_headers({})
    expect(page.locator("#jobs-silent button")).to_be_visible()
    check(page)
    anna.problems.clear()  # the 401s
