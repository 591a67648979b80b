"""The page as a whole: it opens, its address says what it shows, it keeps up, and it says when it cannot."""

from __future__ import annotations

from playwright.sync_api import expect


def test_a_click_leads_to_a_view_and_back_leads_back(visit):
    page = visit().open("/")
    page.click("#jobs-header nav a >> text=History")
    expect(page.locator("#jobs-header [aria-current]")).to_have_text("History")
    assert page.url.endswith("?view=history")
    expect(page.locator("#jobs-history")).to_be_visible()
    expect(page.locator("#jobs-jobs")).to_be_hidden()
    page.go_back()
    expect(page.locator("#jobs-header [aria-current]")).to_have_text("Jobs")
    expect(page.locator("#jobs-jobs")).to_be_visible()
