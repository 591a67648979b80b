"""The history in a browser: filters that the address holds, rows that lead to their runs, plots, what is new appears.

Most tests look at a journal that is written here, as no scheduler can be hurried to be late or to pass times over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.admin_lines import NOON, accepted, append, checkpoint, complete, failure, skipped, start, time
from tests.admin_stack import ANNA, PHONE, Admin, Visit

ROWS = "#jobs-history-rows tbody tr"
MANY = 120


def ago(minutes: float) -> float:
    """Return so many minutes before now in the seconds that `admin_lines` counts in."""
    return (datetime.now(UTC) - NOON).total_seconds() - 60 * minutes


def told() -> list[dict[str, Any]]:
    """Return a journal with every kind of row."""
    many = [
        complete(f"many-{n}", ago(200 + n), 1 + n % 7, job_name="many", first_run_id=f"many-{n}") for n in range(MANY)
    ]
    usual = [complete(f"usual-{n}", ago(300 + n), 2, job_name="training") for n in range(3)]
    late = time(ago(40) - 30)
    by_anna: dict[str, Any] = {"trigger": "manual", "scheduled_time": None, "request_id": "q-anna"}
    return [
        checkpoint(ago(500)),
        *reversed(many),
        *reversed(usual),
        failure("bad-1", ago(60), job_name="nightly", stderr="no space left\n", stderr_bytes=14, scheduled_time=None),
        failure("bad-2", ago(50), job_name="nightly", stderr="disk\nfull\n", stderr_bytes=10, signal=9, exit_code=137),
        complete("late", ago(40) + 20, 20, job_name="nightly", scheduled_time=late, stdout="NEEDLE\n", stdout_bytes=7),
        skipped(
            ago(10), job_name="nightly", reason="paused", count=7,
            first_scheduled_time=time(ago(35)), scheduled_time=time(ago(11)),
        ),
        accepted("q-anna", "asked", ago(8), job_name="nightly"),
        start("asked", ago(8), job_name="nightly", **by_anna),
        complete("asked", ago(8) + 1, job_name="nightly", **by_anna),
        complete("again", ago(6), job_name="nightly", trigger="retry", attempt=2, first_run_id="late"),
        start("going", ago(5), job_name="training"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    """An admin service on a journal of our own, without a scheduler."""
    root = tmp_path_factory.mktemp("story")
    for folder in ("jobs/triggers", "logs/audit"):
        (root / folder).mkdir(parents=True)
    definition = {"name": "nightly", "schedule": "0 2 * * *", "command": "true", "working_directory": "/"}
    extras = {"enabled": True, "timezone": "Asia/Tokyo", "retries": {"max_attempts": 3}}
    (root / "jobs" / "nightly.json").write_text(json.dumps(definition | extras))
    append(root / "logs" / "scheduler_jobs.log", *told())
    with Admin(root) as admin:
        yield admin


@pytest.fixture
def look(browser: Browser, story: Admin) -> Iterator[Callable[..., Page]]:
    """Open the history of that journal: `look("job=nightly", viewport=PHONE)`."""
    made: list[Visit] = []

    def make(query: str = "", **options: Any) -> Page:
        made.append(Visit(browser, story.url, ANNA, **options))
        page = made[-1].open(f"/?view=history&{query}")
        page.wait_for_selector("#jobs-history-rows .card, #jobs-history-rows .trouble")
        return page

    yield make
    for each in made:
        each.context.close()
    for each in made:
        each.check()


def choose(page: Page, field: str, label: str) -> None:
    page.click(f"#jobs-history-{field} input")
    page.get_by_role("option", name=label, exact=True).click()


def write(page: Page, field: str, text: str) -> None:
    place = page.locator(f"#jobs-history-{field} :is(input, textarea)")
    place.fill("")
    place.press_sequentially(text)


# Rows


def test_a_row_tells_scheduled_started_and_ended_to_the_second_and_how_late_it_was(look):
    """UI.md 7."""
    row = look("job=nightly").locator(ROWS).filter(has_text="30 s late")
    times = row.locator("time").all_text_contents()
    assert len(times) == 3
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", each) for each in times)


def test_times_that_were_passed_over_are_a_row_with_the_reason_and_both_ends(look):
    """UI.md 7."""
    row = look("job=nightly&status=skipped").locator(ROWS)
    expect(row).to_have_count(1)
    expect(row).to_contain_text("\N{MULTIPLICATION SIGN}7")
    expect(row).to_contain_text("all schedules were paused")
    expect(row.locator("td.scheduled time")).to_have_count(2)


def test_a_row_says_what_made_it_fail_and_nothing_green_stands_beside_it(look):
    """UI.md 6."""
    page = look("job=nightly&status=failed")
    expect(page.locator(ROWS)).to_have_count(2)
    expect(page.locator(ROWS).first).to_contain_text(re.compile("failure killed by SIGKILL.*full"))
    expect(page.locator(ROWS).last).to_contain_text(re.compile("failure exit 1.*no space left"))
    expect(page.locator("#jobs-history-rows .ok")).to_have_count(0)


def test_a_request_that_the_audit_log_does_not_know_is_unconfirmed_and_retries_are_counted(look):
    page = look("job=nightly")
    expect(page.locator(ROWS).filter(has_text="by anna (unconfirmed)")).to_have_count(1)
    expect(page.locator(ROWS).filter(has_text="a retry, attempt 2 of 3")).to_have_count(1)


def test_a_change_from_bad_to_good_stands_out(look):
    rows = look("job=nightly").locator(ROWS)
    expect(rows.filter(has_text="recovered")).to_have_count(1)
    expect(rows.filter(has_text="recovered")).to_contain_text("30 s late")
    expect(rows.filter(has_text="recovered")).to_have_class("turn ok")


def test_a_running_row_counts_and_becomes_a_warning_past_the_usual(look):
    """UI.md 5."""
    took = look("status=running").locator("td.took time")
    expect(took).to_have_text(re.compile(r"^\d+ min$"))
    expect(took).to_have_class(re.compile("late"))


def test_columns_that_say_nothing_are_not_there(look):
    """UI.md 28."""
    page = look("job=many")
    expect(page.locator("#jobs-history-rows th")).to_have_text(["Scheduled", "Started", "Ended", "Took", "Result"])
    expect(page.locator("#jobs-history-rows .once")).to_have_text("On every row: Trigger by schedule")


def test_the_zone_of_the_page_counts_for_rows_and_for_plots(look):
    page = look("job=nightly")
    started = page.locator(ROWS).first.locator("td.started time")
    tick = page.locator(".timeline .axis span").first
    before = tick.text_content()
    page.select_option("#jobs-zone", "job")
    expect(started).to_have_text(re.compile(r"GMT\+9|UTC\+9|JST"))
    at = datetime.fromisoformat(str(tick.get_attribute("data-tick")))
    expect(tick).to_contain_text(f"{(at.hour + 9) % 24:02}:{at.minute:02}")
    page.select_option("#jobs-zone", "utc")
    expect(tick).to_have_text(str(before))


def test_the_zone_stays_for_the_rows_that_stay_when_others_go(look):
    page = look()
    rows = page.locator(ROWS)
    before = rows.count()
    page.select_option("#jobs-zone", "browser")
    expect(rows.nth(1).locator("time:not([data-elapsed])").first).to_contain_text("GMT")
    write(page, "since", "220m")
    page.keyboard.press("Enter")
    expect(rows).not_to_have_count(before)
    expect(rows.locator("time", has_text="UTC")).to_have_count(0)


# Filters


def test_filters_stand_in_the_address_and_survive_a_reload(look):
    """UI.md 8 and 9."""
    page = look()
    choose(page, "job", "nightly")
    expect(page.locator("#jobs-history-charts .figures")).to_be_visible()
    choose(page, "status", "Success")
    choose(page, "trigger", "By request")
    write(page, "since", "2h")
    page.keyboard.press("Enter")
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page).to_have_url(re.compile(r"\?view=history&job=nightly&status=success&trigger=manual&since=2h$"))
    page.reload()
    expect(page.locator(ROWS)).to_have_count(1)
    for field, shown in (("job", "nightly"), ("status", "Success"), ("trigger", "By request"), ("since", "2h")):
        expect(page.locator(f"#jobs-history-{field} :is(input, textarea)")).to_have_value(shown)


def test_who_types_into_a_choice_writes_over_what_is_chosen(look):
    page = look()
    job, offered = page.locator("#jobs-history-job input"), page.locator("#jobs-history-job [role=option]")
    job.click()
    page.keyboard.type("night")
    expect(offered).to_have_text([re.compile("nightly")])
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"\?view=history&job=nightly$"))
    page.focus("#jobs-history-again")
    page.keyboard.press("Tab")
    page.keyboard.type("many")
    page.keyboard.press("Tab")
    expect(page).to_have_url(re.compile(r"\?view=history&job=many$"))
    expect(job).to_have_attribute("aria-expanded", "false")
    expect(job).to_have_value("many")


def test_the_list_of_a_choice_leaves_what_is_typed_in_sight(look):
    page = look()
    page.click("#jobs-history-job input")
    page.keyboard.type("night")
    field, shown = page.locator("#jobs-history-job .wrap-inner"), page.get_by_role("listbox")
    expect(shown).to_be_visible()
    ends, begins = (place.bounding_box() for place in (field, shown))
    assert ends is not None and begins is not None
    assert begins["y"] >= ends["y"] + ends["height"] - 1


def test_a_text_is_looked_for_in_the_output_as_it_is_typed(look):
    page = look("job=nightly")
    write(page, "find", "needle")
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator(ROWS)).to_contain_text("30 s late")
    write(page, "find", "not there")
    expect(page.locator("#jobs-history-rows")).to_contain_text("Nothing like this in the history")
    expect(page.locator("#jobs-history-charts figure")).to_have_count(0)


def test_a_time_that_is_none_is_told_at_its_field_when_it_is_left(look):
    page = look("job=nightly")
    shown = page.locator(ROWS).count()
    since = page.locator("#jobs-history-since :is(input, textarea)")
    write(page, "since", "yesterday")
    expect(since).to_have_attribute("aria-invalid", "false")
    page.keyboard.press("Tab")
    expect(page.locator("#jobs-history-since-wrong")).to_contain_text("Write 24h, 7d, 2026-11-25")
    expect(since).to_have_attribute("aria-invalid", "true")
    expect(since).to_have_attribute("aria-describedby", "jobs-history-since-wrong")
    expect(page.locator(ROWS)).to_have_count(0)
    write(page, "since", "1d")
    page.keyboard.press("Tab")
    expect(page.locator(ROWS)).to_have_count(shown)
    expect(since).to_have_attribute("aria-invalid", "false")


def test_on_a_phone_what_is_wrong_is_not_folded_away(look):
    page = look("since=never", viewport=PHONE)
    expect(page.locator("#jobs-history-since-wrong")).to_be_visible()
    page.click("#jobs-history-fold")
    expect(page.locator("#jobs-history-since-wrong")).to_be_hidden()


def test_on_a_phone_a_row_begins_with_its_result_and_its_job_side_by_side(look):
    row = look("status=success", viewport=PHONE).locator(ROWS).first
    state, job = (row.locator(place).bounding_box() for place in ("td.result .state", "td.job a"))
    assert state is not None and job is not None
    middles = [box["y"] + box["height"] / 2 for box in (state, job)]
    assert abs(middles[0] - middles[1]) < 8
    assert job["x"] + job["width"] > PHONE["width"] - 40


def test_a_preset_sets_the_range(look):
    page = look("job=many&until=2020-01-01")
    expect(page.locator("#jobs-history-rows")).to_contain_text("Nothing like this")
    page.click("#jobs-history-above nav >> text=24 h")
    expect(page.locator("#jobs-history-since :is(input, textarea)")).to_have_value("24h")
    expect(page.locator("#jobs-history-until :is(input, textarea)")).to_have_value("")
    expect(page.locator("#jobs-history-above [aria-current]")).to_have_text("24 h")
    expect(page.locator(ROWS)).to_have_count(50)


@pytest.mark.parametrize("query", ["status=nonsense", "trigger=x", "job=../../etc", "before=x", "find=%00"])
def test_an_address_that_means_nothing_is_told_and_nothing_breaks(look, query):
    page = look(query)
    expect(page.locator(":is(#jobs-history-rows .trouble, #jobs-history-filters .wrong)")).to_have_count(1)
    expect(page.locator(ROWS)).to_have_count(0)
    page.click("#jobs-header nav a >> text=History")
    expect(page.locator(ROWS)).to_have_count(50)


def test_a_job_whose_file_is_gone_still_has_its_history(look):
    page = look("job=training")
    expect(page.locator(ROWS)).to_have_count(4)
    expect(page.locator("#jobs-history-job input")).to_have_value("training")


def test_older_rows_are_a_click_away_and_newest_leads_back(look):
    page = look("job=many")
    seen = []
    for count in (50, 50, MANY - 100):
        expect(page.locator(ROWS)).to_have_count(count)
        seen.append(page.locator("td.started time").first.get_attribute("datetime"))
        if count == 50:
            page.click("#jobs-history-rows .pages >> text=Older")
            expect(page.locator("td.started time").first).not_to_have_attribute("datetime", str(seen[-1]))
    assert seen == sorted(seen, reverse=True)
    expect(page.locator("#jobs-history-rows .pages a")).to_have_text(["Newest"])
    page.click("#jobs-history-rows .pages >> text=Newest")
    expect(page.locator("td.started time").first).to_have_attribute("datetime", str(seen[0]))


# Plots


def test_one_job_has_figures_and_a_bar_for_each_run_that_leads_to_it(look):
    page = look("job=many")
    expect(page.locator(".figures")).to_have_text(re.compile(rf"Success100 %Runs{MANY}Average4\.0 s"))
    bars = page.locator(".plot svg a")
    expect(bars).to_have_count(MANY)
    bars.last.locator(".hit").click()
    expect(page).to_have_url(re.compile(r"\?view=logs&run=many-0$"))


def test_all_jobs_share_a_timeline_whose_names_lead_on(look):
    page = look("since=4h")
    expect(page.locator(".timeline li")).to_have_count(3)
    expect(page.locator(".timeline li").first).to_contain_text("nightly")
    expect(page.locator(".timeline .bar.busy")).to_have_count(1)
    expect(page.locator(".plot")).to_have_count(0)
    page.click(".timeline li >> text=many")
    expect(page).to_have_url(re.compile(r"job=many"))
    expect(page.locator(".plot")).to_be_visible()


def test_failed_bars_differ_in_shape_too(look):
    """UI.md 22: told apart in greyscale."""
    page = look("job=nightly")
    fills = page.locator(".timeline .bar").evaluate_all(
        "all => all.map(bar => [bar.classList[1], getComputedStyle(bar).fill])"
    )
    assert {fill for kind, fill in fills if kind == "bad"} == {'url("#jobs-hatch")'}
    heights = page.locator(".timeline .bar").evaluate_all(
        "all => all.map(bar => [bar.classList[1], bar.getAttribute('height')])"
    )
    assert len({tuple(each) for each in heights}) == len({kind for kind, _ in heights}) == 3


# Both real services


def test_a_row_opens_that_runs_own_log(visit, scheduler):
    """UI.md 8."""
    run_id = scheduler.line("job_complete", job_name="import-orders")["run_id"]
    page = visit().open("/?view=history&job=import-orders")
    page.locator(ROWS).filter(has=page.locator(f'a[href="?view=logs&run={run_id}"]')).locator("td.started a").click()
    expect(page).to_have_url(re.compile(re.escape(f"?view=logs&run={run_id}") + "$"))
    expect(page.locator("#jobs-logs")).to_be_visible()


def test_a_hostile_run_is_shown_as_text(visit):
    """UI.md 15."""
    page = visit().open("/?view=history&job=hostile")
    expect(page.locator("#jobs-history-rows")).to_contain_text("<b>bad</b> \\x1b[31m${document.title=1}")
    assert page.title() == "hostile · History · Jobs"


def test_what_a_person_asked_for_here_is_confirmed(visit, scheduler, admin):
    """The name that the journal has is believed as far as the audit log has it."""
    request = "5f0c1c52-6c1e-4b8a-9a50-1d9a0c6a7e11"
    line = {"event": "requested", "id": request, "username": "anna", "action": "trigger_job", "job_name": "asked-for"}
    scheduler.job("asked-for", "true")
    with (admin.logs / "audit" / "audit.log").open("a") as file:
        file.write(json.dumps(line) + "\n")
    scheduler.run("asked-for", request, requested_by="anna")
    scheduler.line("job_complete", job_name="asked-for")
    page = visit().open("/?view=history&job=asked-for")
    expect(page.locator("td.trigger")).to_have_text("by anna")


def test_a_new_run_appears_by_itself_and_the_focus_stays_at_its_run(visit, scheduler):
    scheduler.job("appears", "true")
    scheduler.run("appears", "appears-1")
    scheduler.line("job_complete", request_id="appears-1")
    page = visit().open("/?view=history&job=appears")
    expect(page.locator(ROWS)).to_have_count(1)
    first = page.locator("td.started a")
    run = str(first.get_attribute("href"))
    first.focus()
    scheduler.run("appears", "appears-2")
    expect(page.locator(ROWS)).to_have_count(2, timeout=20_000)
    expect(page.locator("#jobs-history-rows td.started a:focus")).to_have_attribute("href", run)
    expect(page.locator("td.started a").first).not_to_have_attribute("href", run)


def test_what_has_not_changed_is_not_sent_again(look):
    page = look("job=many")
    with page.expect_response(lambda answer: "run/predict" in answer.url) as first:
        page.click("#jobs-history-again")
    with page.expect_response(lambda answer: "run/predict" in answer.url) as second:
        page.click("#jobs-history-again")
    sizes = [len(answer.value.body()) for answer in (first, second)]
    assert min(sizes) < 5_000
    assert "<table" not in second.value.text()


# By keyboard, on a phone


def test_the_first_run_is_reached_by_keyboard_and_the_focus_is_seen(look):
    """UI.md 20."""
    page = look("job=nightly&status=failed")
    page.locator("#jobs-history-find :is(input, textarea)").focus()
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('#jobs-history-rows') !== null"):
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"\?view=logs&run=bad-2"))


@pytest.mark.parametrize("width", [360, 375, 720, 1000, 1440])
def test_the_tab_key_goes_through_the_filters_as_they_are_read_at_any_width(look, width):
    """At 200 % zoom a window of 1440 pixels has 720."""
    page = look(viewport={"width": width, "height": 900})
    if width < 640:
        page.click("#jobs-history-fold")
    page.focus("#jobs-history-again")
    places = []
    for _ in range(6):
        page.keyboard.press("Tab")
        places.append(
            page.evaluate(
                "(({x, y}) => [Math.round(y), x])(document.activeElement.closest('.block').getBoundingClientRect())"
            )
        )
    assert places == sorted(places)
    assert page.evaluate("document.activeElement.closest('#jobs-history-find') !== null")


@pytest.mark.parametrize("query", ["", "job=nightly", "job=many&since=7d", "status=nonsense"])
def test_a_phone_shows_it_all_without_sideways_scroll(look, query):
    """UI.md 23."""
    page = look(query, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_a_narrow_window_shows_all_columns(look):
    page = look("", viewport={"width": 1024, "height": 768})
    expect(page.locator("#jobs-history-rows th")).to_have_count(8)
    assert page.locator("#jobs-history-rows .scroll").evaluate("box => box.scrollWidth <= box.clientWidth")


@pytest.mark.parametrize("width", [720, 1024, 1280], ids="{} px".format)
def test_a_long_reason_has_room_at_any_width(look, width):
    """720 px: what a desk's window has left at 200 %."""
    page = look("", viewport={"width": width, "height": 900})
    reason = page.locator("#jobs-history-rows td.why:not(:empty)").first
    height = reason.evaluate(
        "cell => { cell.textContent = 'disk quota exceeded '.repeat(6); return cell.getBoundingClientRect().height }"
    )
    assert height < 140
    assert page.locator("#jobs-history-rows .scroll").evaluate("box => box.scrollWidth <= box.clientWidth")


def test_on_a_phone_the_filters_are_folded_and_targets_are_large(look):
    """UI.md 23."""
    page = look("job=nightly", viewport=PHONE)
    fold, filters = page.locator("#jobs-history-fold"), page.locator("#jobs-history-filters")
    expect(filters).to_be_hidden()
    expect(fold).to_have_text("Filter (1)")
    fold.click()
    expect(filters).to_be_visible()
    expect(fold).to_have_attribute("aria-expanded", "true")
    small = page.evaluate(
        "[...document.querySelectorAll('#jobs-history :is(a, button, input)')].filter(each => each.checkVisibility()"
        " && !each.closest('svg')).filter(each => (each.closest('.wrap') || each).getBoundingClientRect().height < 44)"
        ".map(each => each.outerHTML)"
    )
    assert small == []
    fold.click()
    expect(filters).to_be_hidden()


def test_in_the_dark_the_plots_are_drawn_for_it(look):
    """UI.md 22."""
    shades = [
        look("job=many", color_scheme=scheme).locator(".plot .bar").first.evaluate("bar => getComputedStyle(bar).fill")
        for scheme in ("light", "dark")
    ]
    assert shades[0] != shades[1]
