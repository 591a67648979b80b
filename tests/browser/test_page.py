"""The page as a whole: it opens, its address says what it shows, it keeps up, and it says when it cannot."""

from __future__ import annotations

import re
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.admin_stack import ANNA, BEN, PHONE, VIEWER, Admin, Visit
from tests.daemon import Daemon, wait_for


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


def test_an_address_shows_the_same_thing_in_another_window_and_after_a_reload(visit):
    anna = visit()
    page = anna.open("/?view=history&job=import-orders&status=failure")
    expect(page.locator("#jobs-history")).to_be_visible()
    page.reload()
    expect(page.locator("#jobs-header [aria-current]")).to_have_text("History")
    assert page.url.endswith("?view=history&job=import-orders&status=failure")


def test_the_title_names_the_job_the_run_and_the_view_and_nothing_that_is_no_name(visit, scheduler):
    scheduler.job("titled", "echo done")
    scheduler.run("titled", "titled-q")
    run_id = scheduler.line("job_start", job_name="titled")["run_id"]
    page = visit().open("/")
    expect(page).to_have_title("Jobs")
    for address, title in {
        "/?view=jobs&job=titled": "titled · Jobs",
        "/?view=history&job=titled": "titled · History · Jobs",
        f"/?view=logs&run={run_id}": f"titled · {run_id} · Logs · Jobs",
        "/?view=edit&job=titled": "titled · Edit job · Jobs",
        "/?view=history&job=evil%20%3Cb%3E%E2%80%AE": "History · Jobs",
    }.items():
        page.evaluate("(address) => jobs.go(address)", address.removeprefix("/"))
        expect(page).to_have_title(title)


@pytest.mark.parametrize("address", ["/?view=nothing", "/?view=jobs&page=x&page=y", "/?" + "a=1&" * 500, "/?view=%00"])
def test_an_address_that_nobody_made_leads_to_the_first_view(visit, address):
    page = visit().open(address)
    expect(page.locator("#jobs-header")).to_contain_text("History")
    expect(page.locator("#jobs-table")).to_contain_text("import-orders")
    expect(page.locator("#jobs-table")).to_be_visible()


def test_the_first_view_is_there_before_gradios_scripts(visit):
    """UI.md 24: the table is in the first answer; this page has no other script at all."""
    anna = visit()
    anna.page.route(re.compile("/assets/|/static/"), lambda route: route.abort())
    anna.page.goto("/")
    expect(anna.page.locator("#jobs-first")).to_contain_text("import-orders")
    expect(anna.page.locator("#jobs-first")).to_contain_text("could not convert string to float")
    anna.problems.clear()  # the scripts that were held back


def test_a_first_view_that_gradios_scripts_never_take_over_says_so(visit):
    anna = visit()
    anna.page.route(re.compile("/assets/|/static/"), lambda route: route.abort())
    anna.page.clock.install()
    anna.page.goto("/")
    expect(anna.page.locator("#jobs-first")).to_contain_text("import-orders")
    anna.page.clock.run_for(9_000)
    expect(anna.page.locator("#jobs-silent")).to_have_count(0)
    anna.page.clock.run_for(5_000)
    expect(anna.page.locator("#jobs-silent")).to_contain_text("has not finished loading")
    anna.page.unroute_all()
    anna.page.click("#jobs-silent button")
    expect(anna.page.locator("#jobs-first")).to_have_count(0)
    expect(anna.page.locator("#jobs-silent")).to_have_count(0)
    anna.problems.clear()  # the scripts that were held back


def test_the_first_view_gives_way_to_the_live_one(visit):
    page = visit().open("/")
    expect(page.locator("#jobs-first")).to_have_count(0)
    expect(page.locator("#jobs-table")).to_be_visible()


COUNT_FRAMES = """(() => {
  const request = window.requestAnimationFrame;
  window.framesAsked = 0;
  window.requestAnimationFrame = (act) => {
    window.framesAsked += 1;
    return request.call(window, act);
  };
})()"""
FEW_FRAMES = """() => {
  const asked = window.framesAsked - window.framesBefore;
  window.framesBefore = window.framesAsked;
  return asked < 20;
}"""


def test_a_page_at_rest_does_not_draw_in_each_frame(visit):
    """Gradio's first sign of loading asks for sixty frames a second for good."""
    anna = visit()
    anna.page.add_init_script(COUNT_FRAMES)
    page = anna.open("/")
    page.evaluate("window.framesBefore = -1000")
    page.wait_for_function(FEW_FRAMES, polling=1000)


def test_times_are_told_in_the_zone_that_is_chosen_and_remembered(visit):
    page = visit().open("/?view=history&job=backup-db")
    first = page.locator("#jobs-history time").first
    expect(first).to_contain_text("UTC")
    page.select_option("#jobs-zone", "browser")
    expect(first).to_contain_text(re.compile("E[SD]T|GMT.[45]"))  # the window is in New York
    page.reload()
    expect(page.locator("#jobs-zone")).to_have_value("browser")
    expect(first).to_contain_text(re.compile("E[SD]T|GMT.[45]"))


def test_the_choice_of_a_time_zone_looks_like_one(visit):
    page = visit().open("/")
    assert page.locator("#jobs-zone").evaluate("zone => getComputedStyle(zone).appearance") == "auto"


MUST_KEEP_NOTHING = """for (const store of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, store, { get() { throw new DOMException("Access is denied", "SecurityError"); } });
}"""


def test_a_browser_that_must_keep_nothing_for_the_page_keeps_it_until_the_page_is_loaded_anew(visit, scheduler):
    anna = visit()
    anna.page.add_init_script(MUST_KEEP_NOTHING)
    page = anna.open("/?view=history&job=backup-db")
    page.select_option("#jobs-zone", "browser")
    expect(page.locator("#jobs-history time").first).to_contain_text(re.compile("E[SD]T|GMT.[45]"))
    page.keyboard.press("n")
    name = page.locator("#jobs-new-name :is(textarea, input)")
    expect(page.locator("#jobs-new-working-directory :is(textarea, input)")).not_to_have_value("")
    name.press_sequentially("kept-by-the-page")
    page.click("#jobs-header nav a >> text=Jobs")
    page.click("#jobs-header nav a >> text=New job")
    expect(page.locator("#jobs-new-restored")).to_contain_text("Restored what you had typed")
    expect(name).to_have_value("kept-by-the-page")


def test_a_question_mark_lists_the_keys_and_escape_gives_the_focus_back(visit):
    page = visit().open("/")
    page.focus("#jobs-help")
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_contain_text("history")
    expect(page.locator("dialog")).to_contain_text("from the row of one job to the next")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator("#jobs-help")).to_be_focused()
    page.keyboard.press("h")
    expect(page.locator("#jobs-history")).to_be_visible()


def test_keys_of_one_letter_can_be_turned_off_and_the_others_stay(visit):
    """WCAG 2.1.4."""
    page = visit().open("/?view=jobs&job=backup-db")
    expect(page.locator("#jobs-chosen b")).to_be_visible()
    page.click("#jobs-help")
    page.get_by_label("Keys of one character are on").uncheck()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    page.keyboard.press("h")
    page.keyboard.press("Escape")
    expect(page.locator("#jobs-chosen b")).to_have_count(0)
    expect(page.locator("#jobs-jobs")).to_be_visible()
    page.click("#jobs-help")
    page.get_by_label("Keys of one character are on").check()
    page.keyboard.press("Escape")
    page.keyboard.press("h")
    expect(page.locator("#jobs-history")).to_be_visible()


def test_a_browser_whose_clock_is_wrong_still_tells_how_long_ago_things_were(visit):
    anna = visit()
    anna.page.clock.install(time=datetime.now(UTC) - timedelta(minutes=20))
    page = anna.open("/?view=jobs&find=import-orders")
    row = page.locator('#jobs-table tr[data-job="import-orders"]')
    expect(row.locator(".c-last time")).to_have_text(re.compile(r"^\d+ (s|min) ago$"))


def test_a_click_beside_the_list_of_keys_closes_it(visit):
    page = visit().open("/")
    page.click("#jobs-help")
    expect(page.locator("dialog")).to_be_visible()
    page.wait_for_timeout(600)  # a second click before that belongs to the first one
    page.mouse.click(5, 5)
    expect(page.locator("dialog")).to_have_count(0)


def test_a_view_is_read_from_its_top_wherever_the_link_to_it_stood(visit):
    page = visit(viewport=PHONE).open("/?view=history")
    expect(page.locator("#jobs-history-rows tbody tr").nth(5)).to_be_visible()
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    assert page.evaluate("scrollY") > PHONE["height"]
    page.evaluate("jobs.go('?view=new')")
    expect(page.locator("#jobs-new-save")).to_be_visible()
    expect(page.locator("#jobs-header nav")).to_be_in_viewport()


def test_the_page_follows_the_system_from_light_to_dark(visit):
    light, dark = visit(color_scheme="light").open("/"), visit(color_scheme="dark").open("/")
    colours = [page.evaluate("getComputedStyle(document.body).backgroundColor") for page in (light, dark)]
    shades = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]
    assert shades[0] > 600 and shades[1] < 120


def test_somebody_without_the_role_sees_a_true_403_and_nothing_else(visit):
    victor = visit(VIEWER)
    answer = victor.page.goto("/")
    assert answer is not None and answer.status == 403
    expect(victor.page.locator("body")).to_contain_text("signed in as victor")
    expect(victor.page.locator("#jobs, #jobs-first, input, form")).to_have_count(0)
    victor.problems.clear()  # the browser tells of the 403 itself


def test_nobody_gets_a_401_on_every_address(visit):
    nobody = visit({})
    for address in ("/", "/?view=logs", "/config", "/gradio_api/queue/data?session_hash=a"):
        answer = nobody.page.goto(address)
        assert answer is not None and answer.status == 401
    nobody.problems.clear()


def test_what_is_read_out_of_a_silence_stands_still_while_its_age_counts_on(visit):
    """A screen reader reads an alert again whenever its text changes."""
    anna = visit()
    anna.page.clock.install()
    page = anna.open("/?view=history")
    page.route("**/gradio_api/run/predict**", lambda route: None)
    page.evaluate("jobs.refresh()")
    page.clock.run_for(12_000)
    silent, read_out = page.locator("#jobs-silent"), page.get_by_role("alert").filter(has_text="No answer")
    expect(silent).to_contain_text(re.compile(r"\d+ s"))
    told, seen = read_out.text_content(), silent.text_content()
    page.clock.run_for(3_000)

    assert silent.text_content() != seen
    assert read_out.text_content() == told
    page.unroute_all()


def test_a_session_that_ends_is_said_within_some_seconds(visit):
    """UI.md 27, and a silent 401 is Gradio's answer otherwise."""
    anna = visit()
    page = anna.open("/")
    anna.context.set_extra_http_headers({})
    expect(page.locator("#jobs-silent")).to_contain_text("Your session has ended", timeout=10_000)
    expect(page.locator("#jobs-silent button")).to_have_text("Sign in")
    anna.context.set_extra_http_headers(ANNA)
    expect(page.locator("#jobs-silent")).to_have_count(0, timeout=60_000)
    anna.problems.clear()  # the 401s


def test_a_page_whose_session_has_ended_asks_seldom_as_each_refusal_is_a_line_in_the_audit_log(visit):
    anna = visit()
    page = anna.open("/")
    refused = []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status == 401 else None)
    anna.context.set_extra_http_headers({})
    expect(page.locator("#jobs-silent")).to_be_visible()
    page.wait_for_timeout(14_000)

    assert 1 <= len(refused) <= 4, refused
    anna.problems.clear()  # the 401s


@pytest.mark.parametrize(("end", "word"), [(Daemon.stop, "stopped"), (Daemon.kill, "silent")])
def test_a_scheduler_that_ended_is_said_at_the_top(browser, tmp_path, end, word):
    """UI.md 27."""
    with Daemon(tmp_path) as scheduler, Admin(tmp_path) as admin:
        scheduler.job("job", "true")
        anna = Visit(browser, admin.url, ANNA)
        page = anna.open("/")
        expect(page.locator("#jobs-table")).to_contain_text("job")
        expect(page.locator("#jobs-jobs")).not_to_contain_text(f"Scheduler {word}")
        end(scheduler)
        told = re.compile(f"Scheduler {word}.*what you see is that old")
        expect(page.locator("#jobs-jobs")).to_contain_text(told, timeout=15_000)
        page.click("#jobs-header nav a >> text=History")
        expect(page.locator("#jobs-trouble")).to_contain_text(told)
        anna.context.close()
        anna.check()


def test_an_audit_log_that_cannot_be_written_is_said_and_looking_still_works(browser, tmp_path):
    with Daemon(tmp_path) as scheduler, Admin(tmp_path) as admin:
        scheduler.job("job", "true")
        wait_for(lambda: (tmp_path / "logs" / "audit").is_dir(), "the audit folder")
        audit = tmp_path / "logs" / "audit"
        audit.rename(tmp_path / "elsewhere")
        Path(audit).write_text("a file where the folder was")
        anna = Visit(browser, admin.url, ANNA)
        page = anna.open("/?view=history")
        expect(page.locator("#jobs-trouble")).to_contain_text("audit log")
        anna.context.close()
        anna.check()


def test_the_page_ends_with_the_service_and_works_again_when_it_is_back(browser, tmp_path):
    with Daemon(tmp_path) as scheduler, Admin(tmp_path) as admin:
        scheduler.job("job", "true")
        anna = Visit(browser, admin.url, ANNA)
        page = anna.open("/")
        admin.stop()
        expect(page.locator("#jobs-silent")).to_be_visible(timeout=30_000)
        admin.start()
        expect(page.locator("#jobs-silent")).to_have_count(0, timeout=40_000)
        expect(page.locator("#jobs-table")).to_contain_text("job")
        anna.context.close()


def test_a_page_load_is_one_line_in_the_audit_log_with_its_scripts_or_without(browser, tmp_path):
    with Daemon(tmp_path), Admin(tmp_path) as own:
        urllib.request.urlopen(urllib.request.Request(f"{own.url}/", headers=ANNA)).close()
        assert [line["action"] for line in own.audit()] == ["view_jobs"]
        visit = Visit(browser, own.url, BEN)
        page = visit.open("/")
        expect(page.locator("#jobs-first")).to_have_count(0)
        visit.context.close()

        assert [(line["username"], line["action"]) for line in own.audit()] == [
            ("anna", "view_jobs"),
            ("ben", "view_jobs"),
        ]


def test_in_a_larger_page_the_section_is_closed_and_takes_only_its_own_links_and_keys(browser, tmp_path):
    with Daemon(tmp_path) as scheduler, Admin(tmp_path, "examples.own_page") as admin:
        scheduler.job("job", "true")
        anna = Visit(browser, admin.url, ANNA)
        page = anna.page
        page.goto("/")
        expect(page).to_have_title("Shop")
        expect(page.get_by_text("Job Management")).to_be_visible()
        expect(page.locator("#jobs-table")).to_be_hidden()
        page.keyboard.press("n")
        page.click("#own-link")
        expect(page).to_have_url(re.compile(r"/\?page=2$"))

        page.click("text=Job Management")
        expect(page.locator("#jobs-header [aria-current]")).to_have_text("Jobs")
        page.locator("#jobs-table tr[data-job=job]").focus()
        page.keyboard.press("h")
        expect(page.locator("#jobs-history")).to_be_visible()
        page.click("#jobs-header nav a >> text=Jobs")
        expect(page.locator("#jobs-table")).to_be_visible()
        expect(page).to_have_title("Shop")

        page.click("text=Job Management")
        expect(page.locator("#jobs-table")).to_be_hidden()
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.evaluate("jobs.refresh()")
        page.wait_for_timeout(500)
        assert asked == []
        with page.expect_request("**/run/predict**"):
            page.click("text=Job Management")
        expect(page.locator("#jobs-table")).to_be_visible()
        anna.context.close()
        anna.check()


def test_in_a_larger_page_what_happens_beside_the_section_leaves_a_form_in_it_alone(browser, tmp_path):
    with Daemon(tmp_path) as scheduler, Admin(tmp_path, "examples.own_page") as admin:
        scheduler.job("job", "true")
        before = (scheduler.jobs / "job.json").read_bytes()
        anna = Visit(browser, admin.url, ANNA)
        page = anna.page
        page.goto("/?view=edit&job=job")
        page.click("text=Job Management")
        expect(page.locator("#jobs-edit-command textarea")).to_have_value("true")
        page.click("#jobs-edit-fold button")
        environment = page.locator("#jobs-edit-environment textarea")
        environment.fill("TOKEN=hush-hush")
        page.wait_for_function("Object.keys(sessionStorage).length > 0")
        page.evaluate("""() => {
            document.body.prepend(Object.assign(document.createElement("textarea"), { id: "note" }));
            addEventListener("popstate", () => (window.popped = true));
        }""")
        page.evaluate("location.hash = 'terms'")
        page.wait_for_function("window.popped")
        page.press("#note", "Control+Enter")
        page.evaluate("jobs.refresh()")
        expect(page.locator("#jobs-edit-news [data-version]")).to_have_count(1)
        stamp = page.locator("#jobs-stamp [data-at]")
        expect(stamp).not_to_have_attribute("data-at", stamp.get_attribute("data-at") or "")

        expect(environment).to_have_value("TOKEN=hush-hush")
        assert (scheduler.jobs / "job.json").read_bytes() == before
        anna.context.close()
        anna.check()
