"""What the service need not hold to show any of its views."""

from __future__ import annotations

from pathlib import Path


def test_no_view_and_no_action_needs_pandas(visit, admin, scheduler):
    scheduler.job("modest", "echo done")
    for view in ("history", "logs&job=import-orders", "new", "edit&job=import-orders"):
        page = visit().open(f"/?view={view}")
        page.wait_for_selector("#jobs-stamp [data-at]", state="attached")
    page = visit().open("/?view=jobs&job=modest")
    page.click("#jobs-run")
    page.locator("dialog").get_by_text("Run now").click()
    page.wait_for_selector("#jobs-logs-head h2:has-text('modest')")
    assert admin.process is not None
    loaded = Path(f"/proc/{admin.process.pid}/maps").read_text()

    assert "/numpy/" in loaded
    assert "/pandas/" not in loaded
