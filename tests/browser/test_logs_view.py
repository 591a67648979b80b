"""The logs: a run's output as a person reads it, while it is printed and afterwards; and a job's entries."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.admin_stack import BEN, CAUSE, LINES, NEEDLE_LINE, PHONE, Admin
from tests.daemon import Daemon, wait_for

TICKS = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo tick $i; sleep 0.2; done"
PANEL = "#jobs-logs-{} .log"

AT_REST = """panel => new Promise(done => {
    let [top, frames] = [-1, 0];
    const look = () => {
        frames = panel.scrollTop === top ? frames + 1 : 0;
        top = panel.scrollTop;
        if (frames < 20) requestAnimationFrame(look); else done();
    };
    look();
})"""
"""Waits until the wheel's scrolling has come to its end."""


def run_of(scheduler: Daemon, job_name: str, event: str = "job_complete") -> str:
    """Return the id of a job's (only) run."""
    return str(scheduler.line(event, job_name=job_name)["run_id"])


def start(scheduler: Daemon, job_name: str, command: str, event: str, **fields: Any) -> str:
    """Make a job, run it, and return the run's id once the journal has that event."""
    scheduler.job(job_name, command, kill_grace_seconds=1, **fields)
    scheduler.run(job_name, f"logs-{job_name}", requested_by="test")
    return run_of(scheduler, job_name, event)


def numbers(page: Page, stream: str = "stdout") -> list[int]:
    """Return the line numbers that a panel shows."""
    return [int(text) for text in page.locator(f"{PANEL.format(stream)} > div > a").all_inner_texts()]


def is_seen(page: Page, selector: str) -> bool:
    """Return whether the whole element lies in the window."""
    box = page.locator(selector).bounding_box()
    size = page.viewport_size
    return bool(box and size and box["y"] >= 0 and box["y"] + box["height"] <= size["height"])


def test_a_failed_runs_reason_and_whole_stderr_are_seen_without_scrolling(visit, scheduler):
    """UI.md 2 and 14."""
    page = visit().open(f"/?view=logs&run={run_of(scheduler, 'import-orders')}")
    expect(page.locator("#jobs-logs-head .cause")).to_have_text(CAUSE)
    expect(page.locator("#jobs-logs-head h2")).to_contain_text(re.compile("import-orders.*failure.*exit 1"))
    expect(page.locator(PANEL.format("stderr"))).to_contain_text("Traceback (most recent call last):")
    assert numbers(page, "stderr") == [1, 2, 3, 4, 5, 6]
    assert is_seen(page, PANEL.format("stderr"))
    tops = [page.locator(PANEL.format(stream)).bounding_box()["y"] for stream in ("stderr", "stdout")]
    assert tops == sorted(tops)
    for stream in ("stderr", "stdout"):
        expect(page.get_by_role("heading", name=stream, exact=True)).to_be_visible()


def test_on_a_phone_the_reason_comes_first_and_nothing_moves_sideways(visit, scheduler):
    """UI.md 23."""
    page = visit(viewport=PHONE).open(f"/?view=logs&run={run_of(scheduler, 'import-orders')}")
    expect(page.locator("#jobs-logs-head .cause")).to_have_text(CAUSE)
    assert is_seen(page, "#jobs-logs-head .cause")
    assert page.locator("#jobs-logs .facts time").first.evaluate("time => time.getClientRects().length") == 1
    for address in ("", "&job=import-orders", f"&run={run_of(scheduler, 'hostile')}"):
        page.goto(f"/?view=logs{address}")
        expect(page.locator("#jobs-logs :is(.log, .entries, table)").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_the_targets_of_a_phone_are_large_enough_for_fingers(visit, scheduler):
    """UI.md 23, but for the line numbers: they are as high as a line."""
    page = visit(viewport=PHONE).open(f"/?view=logs&run={run_of(scheduler, 'import-orders')}")
    expect(page.locator(PANEL.format("stderr"))).to_be_visible()
    selector = "#jobs-logs :is(button, input, textarea, a):visible:not(.log a)"
    low = [
        each.evaluate("target => [target.textContent || target.id, target.getBoundingClientRect().height]")
        for each in page.locator(selector).all()
    ]
    assert [target for target in low if target[1] < 44] == []


def test_of_a_long_output_the_end_is_shown_with_true_numbers_and_earlier_leads_to_line_1(visit, scheduler):
    """UI.md 10."""
    page = visit().open(f"/?view=logs&run={run_of(scheduler, 'export-audit')}")
    bar = page.locator("#jobs-logs-stdout-bar")
    expect(bar).to_contain_text(re.compile(rf"showing last 1,000 of {LINES:,} lines \(5\.\d MB\)"))
    assert numbers(page) == list(range(LINES - 999, LINES + 1))
    assert len(page.locator("#jobs-logs").inner_html()) < 512 * 1024
    bar.get_by_text("earlier").click()
    expect(bar).to_contain_text(f"showing lines {LINES - 1999:,}-{LINES - 1000:,} of {LINES:,}")
    bar.get_by_text("first").click()
    expect(bar).to_contain_text(f"showing lines 1-1,000 of {LINES:,}")
    assert numbers(page) == list(range(1, 1001))
    bar.get_by_text("later").click()
    expect(bar).to_contain_text("showing lines 1,001-2,000")
    bar.get_by_text("last", exact=True).click()
    expect(bar).to_contain_text("showing last 1,000")


def test_a_search_looks_through_the_whole_output_and_its_hits_have_context_and_true_numbers(visit, scheduler):
    """UI.md 11."""
    page = visit().open(f"/?view=logs&run={run_of(scheduler, 'export-audit')}")
    page.locator("#jobs-logs-find textarea, #jobs-logs-find input").press_sequentially("needle")
    bar = page.locator("#jobs-logs-stdout-bar")
    expect(bar).to_contain_text(f"1 matching line in {LINES:,} lines")
    expect(page.locator(f"{PANEL.format('stdout')} mark")).to_have_text("NEEDLE")
    assert numbers(page) == list(range(NEEDLE_LINE - 2, NEEDLE_LINE + 3))
    assert "find=needle" in page.url
    page.locator(f"#stdout-{NEEDLE_LINE} a").click()
    line = page.locator(f"#stdout-{NEEDLE_LINE}[aria-current]")
    expect(line).to_be_in_viewport()
    expect(line.locator("mark")).to_have_text("NEEDLE")


def test_no_match_is_said_of_the_whole(visit, scheduler):
    page = visit().open(f"/?view=logs&run={run_of(scheduler, 'export-audit')}&find=not-in-it")
    expect(page.locator("#jobs-logs-stdout-bar")).to_contain_text(f"no match in {LINES:,} lines, 5.")


def test_a_regular_expression_can_be_looked_for_and_a_wrong_one_is_told(visit, scheduler):
    run = run_of(scheduler, "export-audit")
    page = visit().open(f"/?view=logs&run={run}&find=NE+DLE")
    expect(page.locator("#jobs-logs-stdout-bar")).to_contain_text("no match")
    page.get_by_text("as regular expression").click()
    expect(page.locator("#jobs-logs-stdout-bar")).to_contain_text("no match")
    page.goto(f"/?view=logs&run={run}&find=N[E]%2BDLE&regex=1")
    expect(page.locator(f"#stdout-{NEEDLE_LINE}")).to_be_visible()
    page.goto(f"/?view=logs&run={run}&find=(&regex=1")
    expect(page.locator("#jobs-logs-stdout-bar [role=alert]")).to_be_visible()


def test_a_lines_address_shows_it_to_somebody_else_too(visit, scheduler):
    """UI.md 9."""
    address = f"/?view=logs&run={run_of(scheduler, 'export-audit')}&stream=stdout&line={NEEDLE_LINE}"
    for each in (visit(), visit(BEN)):
        page = each.open(address)
        expect(page.locator(f"#stdout-{NEEDLE_LINE}[aria-current]")).to_be_in_viewport()
        expect(page.locator(f"#stdout-{NEEDLE_LINE}")).to_contain_text("NEEDLE here")
        assert page.url.endswith(address)


@pytest.mark.parametrize(
    ("job", "stream"), [("export-audit", "stdout"), ("hostile", "stdout"), ("import-orders", "stderr")]
)
def test_a_download_is_the_exact_bytes_on_the_first_click(visit, scheduler, job, stream):
    """UI.md 12."""
    run = run_of(scheduler, job)
    anna = visit()
    page = anna.open(f"/?view=logs&run={run}")
    with page.expect_download() as begun:
        page.locator(f"#jobs-logs-{stream}-bar .load").click()
    file = scheduler.logs / "output" / job / f"{run}.{stream}"
    kept = scheduler.line("job_complete", run_id=run)[stream].encode()
    expected = file.read_bytes() if file.exists() else kept
    assert hashlib.sha256(Path(begun.value.path()).read_bytes()).digest() == hashlib.sha256(expected).digest()
    assert begun.value.suggested_filename.startswith(f"{job}.{run}.{stream}")
    answer = anna.context.request.get(f"/download/{job}/{run}.{stream}")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("attachment")


def test_hostile_output_is_shown_as_text_and_does_nothing(visit, scheduler):
    """UI.md 15; the visit's check fails for a dialog, a script error or a request off the host."""
    page = visit().open(f"/?view=logs&run={run_of(scheduler, 'hostile')}")
    first = page.locator("#stdout-1")
    for text in (
        "<script>document.title='evil'</script><img src=x onerror=\"document.title='evil'\"></script><script>",
        "${document.title='evil'} {{7*7}}",
        r"\x1b[31mred\x1b[0m \x1b]0;evil\x07 \u202elive\u202c one\x0dtwo \x00 \xff",
    ):
        expect(first).to_contain_text(text)
    expect(page.locator("#stdout-1 .more")).to_contain_text(re.compile("9[0-9]{2},[0-9]{3} more bytes"))
    expect(page.locator("#stdout-2")).to_contain_text("last line")
    expect(page.locator("#jobs-logs-head .cause")).to_have_text(r"<b>bad</b> \x1b[31m${document.title=1}")
    page.goto("/?view=logs&job=hostile&find=evil")
    expect(page.locator("#jobs-logs-entries mark").first).to_have_text("evil")
    assert "evil" not in page.title()
    assert page.locator("#jobs-logs img, #jobs-logs script, #jobs-logs b").count() == 0


def test_a_running_job_is_followed_until_the_reader_scrolls_up_and_again_when_he_wants(visit, scheduler):
    """UI.md 13."""
    run = start(scheduler, "follow", TICKS, "job_start")
    page = visit().open(f"/?view=logs&run={run}")
    panel = page.locator(PANEL.format("stdout"))
    expect(page.locator("#stdout-60")).to_be_in_viewport()
    panel.hover()
    page.mouse.wheel(0, -600)
    notice = page.locator("#jobs-logs-stdout-bar .paused")
    expect(notice).to_contain_text("Not following")
    panel.evaluate(AT_REST)
    last = numbers(page)[-1]
    place = panel.evaluate("panel => panel.scrollTop")
    assert panel.evaluate("panel => panel.scrollHeight - panel.clientHeight - panel.scrollTop") > 300
    expect(notice).to_contain_text(re.compile("[1-9][0-9]* new lines? below"))
    assert numbers(page)[-1] == last
    assert panel.evaluate("panel => panel.scrollTop") == place
    page.keyboard.press("End")
    expect(notice).to_have_count(0)
    expect(page.locator(f"#stdout-{last + 20}")).to_be_in_viewport()


def test_that_a_run_is_not_followed_is_read_out_once_while_lines_come(visit, scheduler):
    run = start(scheduler, "unfollowed", TICKS, "job_start")
    page = visit().open(f"/?view=logs&run={run}&stdout_to=1")
    notice = page.locator("#jobs-logs-stdout-bar .paused")
    status = notice.locator("[role=status]")
    expect(status).to_have_text("Not following.")
    status.evaluate("""status => {
      window.said = 0;
      const look = new MutationObserver(() => (window.said += 1));
      look.observe(status, { childList: true, characterData: true, subtree: true });
    }""")
    before = notice.inner_text()
    expect(notice).not_to_have_text(before)
    assert page.evaluate("[window.said, document.contains(document.querySelector('.paused [role=status]'))]") == [
        0,
        True,
    ]


def test_line_numbers_are_reached_by_keyboard_without_a_stop_for_each_of_them(visit, scheduler):
    page = visit().open(f"/?view=logs&run={run_of(scheduler, 'export-audit')}")
    expect(page.locator(f"#stdout-{LINES}")).to_be_in_viewport()
    panel = page.locator(PANEL.format("stdout"))
    panel.focus()
    page.keyboard.press("Enter")
    first = int(page.locator(":focus").inner_text())
    assert first < LINES
    expect(page.locator(f"#stdout-{first}")).to_be_in_viewport()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    expect(page.locator(f"#stdout-{first - 1} > a")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(f"#stdout-{first - 1}")).to_have_attribute("aria-current", "true")
    assert page.url.endswith(f"&line={first - 1}")
    expect(page.locator(f"#stdout-{first - 1} > a")).to_be_focused()
    page.keyboard.press("Escape")
    expect(panel).to_be_focused()
    assert page.url.endswith(f"&line={first - 1}")


def test_a_long_reason_leaves_the_names_of_the_jobs_whole_in_a_narrow_window(visit, scheduler):
    start(scheduler, "long-reasoned", f"echo {'no-room-left' * 9} >&2; exit 1", "job_complete")
    page = visit(viewport={"width": 720, "height": 450}).open("/?view=logs")
    name = page.locator("#jobs-logs-entries td.job", has_text="long-reasoned").first
    expect(name).to_be_visible()
    assert name.evaluate("cell => cell.querySelector('a').getClientRects().length") == 1
    assert page.locator("#jobs-logs-entries .scroll").evaluate("box => box.scrollWidth <= box.clientWidth")


def test_the_labels_of_the_filters_and_their_fields_stand_in_line(visit):
    page = visit().open("/?view=logs")
    expect(page.locator("#jobs-logs-entries a").first).to_be_visible()
    of = "#jobs-logs-{} " + "{}"
    for part in ("span[data-testid=block-info]", ":is(textarea, .wrap:has(> .wrap-inner))"):
        boxes = [page.locator(of.format(name, part)).bounding_box() for name in ("job", "show", "find")]
        assert len({round(box["y"]) for box in boxes}) == 1
        assert len({round(box["height"]) for box in boxes}) == 1


def test_the_head_turns_from_running_to_the_result_without_a_reload(visit, scheduler, tmp_path):
    go = tmp_path / "go"
    run = start(
        scheduler, "turn", f"echo first; until [ -e {go} ]; do sleep 0.1; done; echo oh no >&2; exit 7", "job_start"
    )
    page = visit().open(f"/?view=logs&run={run}")
    expect(page.locator("#jobs-logs-head h2")).to_contain_text("running")
    expect(page.locator("#jobs-logs-cancel")).to_be_visible()
    expect(page.locator("#jobs-logs-again")).to_be_hidden()
    go.touch()
    expect(page.locator("#jobs-logs-head h2")).to_contain_text(re.compile("failure.*exit 7"))
    expect(page.locator("#jobs-logs-head .cause")).to_have_text("oh no")
    expect(page.locator(PANEL.format("stderr"))).to_contain_text("oh no")
    expect(page.locator("#jobs-logs-cancel")).to_be_hidden()
    expect(page.locator("#jobs-logs-again")).to_be_visible()


def test_a_million_lines_leave_the_page_small(visit, scheduler):
    """UI.md 13: what is in the tab is bounded, whatever was printed."""
    run = start(scheduler, "million", "seq -f 'line %.0f of very many' 1 1000000; sleep 600", "job_start")
    page = visit().open(f"/?view=logs&run={run}")
    expect(page.locator("#stdout-1000000")).to_be_in_viewport()
    expect(page.locator("#jobs-logs-stdout-bar")).to_contain_text("of 1,000,000 lines")
    assert page.locator(f"{PANEL.format('stdout')} > div").count() <= 2000
    assert page.evaluate("performance.memory.usedJSHeapSize") < 200 << 20


def kinds(admin: Admin, job_name: str) -> list[str]:
    """Return which lines the audit log has of Anna's cancels of a job."""
    wanted = ("cancel_run", job_name, "anna")
    return [
        line["event"]
        for line in admin.audit()
        if (line.get("action"), line.get("job_name"), line["username"]) == wanted
    ]


def test_a_cancel_is_asked_first_then_made_once_and_told_with_the_name(visit, scheduler, admin: Admin):
    """UI.md 18, and 6: who ended it."""
    run = start(scheduler, "stop-me", TICKS, "job_start")
    page = visit().open(f"/?view=logs&run={run}")
    page.click("#jobs-logs-cancel")
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("Cancel this run of stop-me?")
    expect(dialog.get_by_text("Back", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    assert scheduler.lines("trigger_accepted", action="cancel", job_name="stop-me") == []
    page.click("#jobs-logs-cancel")
    dialog.get_by_text("Cancel run").dblclick()
    expect(dialog).to_have_count(0)
    expect(page.locator("#jobs-logs-head h2")).to_contain_text(re.compile("cancelled.*by anna"))
    assert len(scheduler.lines("trigger_accepted", "trigger_rejected", action="cancel", job_name="stop-me")) == 1
    wait_for(lambda: "outcome" in kinds(admin, "stop-me"), "the outcome in the audit log")
    assert kinds(admin, "stop-me") == ["requested", "outcome"]


def test_run_again_leads_to_the_new_run_which_says_who_asked(visit, scheduler):
    first = start(scheduler, "again", "echo once more", "job_complete")
    page = visit().open(f"/?view=logs&run={first}")
    expect(page.locator("#jobs-logs-head dl")).to_contain_text("by test (unconfirmed)")
    page.click("#jobs-logs-again")
    page.locator("dialog").get_by_text("Run now").click()
    page.wait_for_url(lambda url: "view=logs" in url and first not in url)
    expect(page.locator("#jobs-logs-head h2")).to_contain_text("success")
    expect(page.locator("#jobs-logs-head dl")).to_contain_text(re.compile("by anna(?! .unconfirmed)"))
    page.get_by_text("previous run").click()
    expect(page.locator("#jobs-logs-head .run")).to_have_attribute("data-run", first)


def test_a_refused_run_again_names_its_job_and_stays_at_the_run(visit, scheduler):
    first = start(scheduler, "not-again", "true", "job_complete")
    scheduler.job("not-again", "true", enabled=False)
    page = visit().open(f"/?view=logs&run={first}")
    page.click("#jobs-logs-again")
    page.locator("dialog").get_by_text("Run now").click()
    expect(page.locator("#jobs-said")).to_contain_text("not-again: the scheduler refused it (disabled)")
    assert first in page.url


@pytest.mark.parametrize("viewport", [{"width": 844, "height": 390}, {"width": 1280, "height": 300}])
def test_a_low_window_still_has_room_for_some_lines(visit, scheduler, viewport):
    page = visit(viewport=viewport).open(f"/?view=logs&run={run_of(scheduler, 'import-orders')}")
    panel = page.locator(PANEL.format("stderr"))
    expect(panel).to_be_visible()
    assert panel.evaluate("(panel) => panel.scrollHeight <= panel.clientHeight")  # the six lines of a traceback
    page.goto(f"/?view=logs&run={run_of(scheduler, 'export-audit')}")
    box = page.locator(PANEL.format("stdout")).bounding_box()
    assert box is not None and box["height"] >= 200


def test_two_long_streams_do_not_stick_out_of_a_phone(visit, scheduler):
    run = start(scheduler, "both-long", "seq 1 20000; seq 1 20000 >&2", "job_complete")
    page = visit(viewport=PHONE).open(f"/?view=logs&run={run}")
    expect(page.locator("#jobs-logs .streams")).to_contain_text("20,000 lines")
    assert page.evaluate("(({scrollWidth, clientWidth}) => scrollWidth - clientWidth)(jobs.byId('jobs'))") == 0


def test_the_end_key_leads_to_the_end_of_the_list_of_runs_too(visit):
    page = visit(viewport={"width": 1000, "height": 300}).open("/?view=logs")
    expect(page.locator("#jobs-logs-entries tbody tr").nth(5)).to_be_attached()
    page.keyboard.press("End")
    page.wait_for_function("scrollY > 0")


def test_a_key_that_is_held_counts_once(visit, scheduler):
    page = visit().open(f"/?view=logs&run={run_of(scheduler, 'import-orders')}")
    wrap = page.locator("#jobs-logs-wrap")
    expect(wrap).to_have_attribute("aria-pressed", "true")
    for _ in range(2):
        page.keyboard.down("w")
    page.keyboard.up("w")
    expect(wrap).to_have_attribute("aria-pressed", "false")


def test_keys_show_errors_only_unwrap_and_download(visit, scheduler):
    """UI.md 14 and 20."""
    page = visit().open(f"/?view=logs&run={run_of(scheduler, 'import-orders')}")
    expect(page.locator(PANEL.format("stdout"))).to_be_visible()
    page.keyboard.press("e")
    expect(page.locator(PANEL.format("stdout"))).to_be_hidden()
    expect(page.locator(PANEL.format("stderr"))).to_be_visible()
    page.keyboard.press("e")
    expect(page.locator(PANEL.format("stdout"))).to_be_visible()
    page.keyboard.press("w")
    expect(page.locator("#jobs-logs-wrap")).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#stderr-1")).to_have_css("white-space", "pre")
    page.reload()
    expect(page.locator("#stderr-1")).to_have_css("white-space", "pre")
    page.click("#jobs-logs-wrap")
    expect(page.locator("#stderr-1")).to_have_css("white-space", "pre-wrap")
    with page.expect_download() as begun:
        page.keyboard.press("d")
    assert ".stdout" in begun.value.suggested_filename


def test_a_jobs_entries_are_searched_filtered_and_downloaded(visit, scheduler):
    start(scheduler, "entries", "echo alpha; echo beta >&2; exit 4", "job_complete")
    scheduler.job("entries", "echo gamma")
    scheduler.run("entries", "logs-entries-2", requested_by="test")
    wait_for(lambda: len(scheduler.lines("job_complete", job_name="entries")) == 2, "the second run")
    anna = visit()
    page = anna.open("/?view=logs")
    expect(page.locator("#jobs-logs-entries tbody tr").first).to_be_visible()
    page.locator("#jobs-logs-job input").click()
    page.get_by_role("option", name="entries", exact=True).click()
    shown = page.locator("#jobs-logs-entries article:not(.event)")
    expect(shown).to_have_count(2)
    expect(shown.nth(0)).to_contain_text("gamma")
    expect(shown.nth(1).locator(".part.stderr .label")).to_have_text("stderr")
    page.locator("#jobs-logs-show input").click()
    page.get_by_role("option", name="Failure").click()
    expect(shown).to_have_count(1)
    expect(shown).to_contain_text(re.compile("failure.*exit 4"))
    assert "show=failure" in page.url
    page.locator("#jobs-logs-find textarea, #jobs-logs-find input").press_sequentially("beta")
    expect(page.locator("#jobs-logs-entries mark")).to_have_text("beta")
    with page.expect_download() as begun:
        page.get_by_text("Download log").click()
    entries = [json.loads(line) for line in Path(begun.value.path()).read_text().splitlines()]
    assert [(entry["status"], entry["stderr"]) for entry in entries] == [("failure", "beta\n")]
    page.reload()
    expect(page.locator("#jobs-logs-entries mark")).to_have_text("beta")
    page.get_by_text("open run").click()
    expect(page.locator("#stderr-1 mark")).to_have_text("beta")


def test_without_a_job_a_text_is_looked_for_in_all_of_them(visit):
    page = visit().open("/?view=logs&find=12,90")
    rows = page.locator("#jobs-logs-entries tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("import-orders")
    expect(rows.locator("mark")).to_have_text("12,90")


@pytest.mark.parametrize("run", ["20200101T000000-0000000000000000", "../../etc/passwd", "%00", "x" * 500])
def test_a_run_that_is_not_known_is_told_with_a_way_on(visit, run):
    page = visit().open(f"/?view=logs&run={run}")
    expect(page.locator("#jobs-logs-head [role=alert]")).to_contain_text("no run")
    page.get_by_text("Open the history").click()
    expect(page.locator("#jobs-history")).to_be_visible()


def test_a_run_without_output_says_so(visit, scheduler):
    page = visit().open(f"/?view=logs&run={start(scheduler, 'silent', 'true', 'job_complete')}")
    expect(page.locator("#jobs-logs-entries")).to_contain_text("It printed nothing.")


def test_a_look_is_one_line_in_the_audit_log_however_long_it_lasts(visit, scheduler, admin: Admin):
    page = visit().open(f"/?view=logs&run={start(scheduler, 'looked-at', 'echo hello', 'job_complete')}")
    expect(page.locator("#stdout-1")).to_contain_text("hello")
    stamp = page.locator("#jobs-stamp [data-at]")
    before = stamp.get_attribute("data-at") or ""
    expect(stamp).not_to_have_attribute("data-at", before)

    def lines() -> list[tuple[str, str]]:
        return [(line["event"], line["action"]) for line in admin.audit() if line.get("job_name") == "looked-at"]

    assert lines() == [("viewed", "view_job_logs")]
    page.keyboard.press("r")
    wait_for(lambda: lines() == [("viewed", "view_job_logs")] * 2, "a line for the look by hand")
