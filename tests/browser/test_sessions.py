"""What ends under an open page, the session or the service: it is said at once, and nothing that was typed is lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from admin_ui.auth.hashing import ScryptHash
from tests.admin_stack import ANNA, Admin, Visit
from tests.daemon import Daemon

PASSWORD = "correct horse battery staple"
AT_ONCE_MS = 3000  # less than the ten seconds after which silence is told of


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    """A page that asks for the password itself, with one job."""
    root = tmp_path_factory.mktemp("password")
    settings = {"ADMIN_AUTH_MODE": "password", "ADMIN_PASSWORD_HASH": str(ScryptHash.of(PASSWORD))}
    with Daemon(root) as scheduler, Admin(root, **settings) as admin:
        scheduler.job("backup", "true")
        yield admin


@pytest.fixture
def enter(browser, own) -> Iterator[Callable[[str], Visit]]:
    """Make a visit that begins with signing in and is then at an address."""
    made: list[Visit] = []

    def make(address: str) -> Visit:
        made.append(Visit(browser, own.url, {}))
        made[-1].page.goto(address)
        sign_in(made[-1].page)
        return made[-1]

    yield make
    for each in made:
        each.context.close()


def sign_in(page: Page) -> None:
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    is_drawn(page)


def is_drawn(page: Page) -> None:
    page.wait_for_selector("#jobs-stamp [data-at]", state="attached")


def type_a_job(page: Page, name: str) -> None:
    page.locator("#jobs-new-name input").fill(name)
    page.click("#jobs-new-fold button")
    page.locator("#jobs-new-environment textarea").fill("TOKEN=hush-hush")
    page.wait_for_function("(name) => JSON.stringify({...sessionStorage}).includes(name)", arg=name)


def test_an_action_without_a_session_is_told_at_once_and_leads_to_the_sign_in_and_back(enter, own):
    visit = enter("/?view=jobs&job=backup")
    page = visit.page
    page.click("#jobs-run")
    visit.context.clear_cookies()
    page.click("dialog >> text=Run now")

    expect(page.locator("#jobs-silent")).to_contain_text("not carried out", timeout=AT_ONCE_MS)
    expect(page.locator(".said.waiting")).to_have_count(0)
    expect(page).to_have_url(re.compile("/sign-in"))
    sign_in(page)
    assert page.url == f"{own.url}/?view=jobs&job=backup"
    expect(page.locator("#jobs-chosen")).to_contain_text("backup")
    assert "trigger_job" not in [line["action"] for line in own.audit()]


def test_a_half_typed_form_is_not_left_for_the_sign_in_before_its_writer_wants(enter):
    visit = enter("/?view=new")
    page = visit.page
    type_a_job(page, "half-typed")
    visit.context.clear_cookies()
    page.click("#jobs-new-save")

    expect(page.locator("#jobs-silent")).to_contain_text("First copy what would be lost", timeout=AT_ONCE_MS)
    expect(page.locator("#jobs-silent")).to_be_in_viewport()
    page.wait_for_timeout(AT_ONCE_MS)
    expect(page.locator("#jobs-new-environment textarea")).to_have_value("TOKEN=hush-hush")
    page.click("#jobs-silent >> text=Sign in")
    sign_in(page)
    expect(page.locator("#jobs-new-name input")).to_have_value("half-typed")
    assert "hush" not in page.evaluate("JSON.stringify([{...sessionStorage}, {...localStorage}])")


def test_who_signed_in_again_elsewhere_goes_on_where_he_was(enter):
    visit = enter("/?view=new")
    page = visit.page
    type_a_job(page, "goes-on")
    visit.context.clear_cookies()
    page.click("#jobs-new-save")
    expect(page.locator("#jobs-silent")).to_be_visible()
    other = visit.window()
    other.goto("/")
    sign_in(other)

    expect(page.locator("#jobs-silent")).to_have_count(0)
    expect(page.locator("#jobs-new-environment textarea")).to_have_value("TOKEN=hush-hush")


def test_a_sign_out_brings_every_window_to_the_sign_in_also_one_with_a_half_typed_form(enter):
    visit = enter("/?view=history")
    looking, typing = visit.window(), visit.window()
    for window, address in ((looking, "/?view=logs"), (typing, "/?view=new")):
        window.goto(address)
        is_drawn(window)
    type_a_job(typing, "not-for-everybody")
    visit.page.get_by_role("button", name="Sign out").click()

    for window in (visit.page, looking, typing):
        expect(window).to_have_url(re.compile("/sign-in"))
    sign_in(looking)
    assert looking.url.endswith("/?view=logs")
    typing.goto("/?view=new")
    is_drawn(typing)
    expect(typing.locator("#jobs-new-name input")).to_have_value("")
    visit.check()


def test_a_restart_leaves_a_half_typed_form_until_its_writer_has_copied_it(browser, tmp_path):
    with Daemon(tmp_path), Admin(tmp_path) as admin:
        visit = Visit(browser, admin.url, ANNA)
        page = visit.open("/?view=new")
        type_a_job(page, "half-typed")
        admin.stop()
        expect(page.locator("#jobs-silent")).to_contain_text("No answer")
        admin.start()

        expect(page.locator("#jobs-silent")).to_contain_text("was restarted")
        expect(page.locator("#jobs-silent")).to_contain_text("First copy what would be lost")
        expect(page.locator("#jobs-new-environment textarea")).to_have_value("TOKEN=hush-hush")
        page.click("#jobs-silent >> text=Reload")
        expect(page.locator("#jobs-new-restored")).to_contain_text("Restored what you had typed")
        expect(page.locator("#jobs-silent")).to_have_count(0)
        visit.context.close()
