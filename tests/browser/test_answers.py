"""What the page does with answers that come late, pass one another, or never come."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from playwright.sync_api import expect

from tests.daemon import wait_for

HOLD_BACK = """(named) => {
  const real = window.fetch;
  const released = new Promise((release) => (window.release = release));
  window.held = window.asked = 0;
  window.fetch = async (...asked) => {
    window.asked += 1;
    const answer = await real(...asked);
    if (!String(asked[1]?.body).includes(named)) return answer;
    window.held += 1;
    await released;
    return answer;
  };
}"""
NO_TIMER = """() => {
  const real = window.setTimeout;
  window.setTimeout = (act, delay, ...more) => (delay >= 1000 ? 0 : real(act, delay, ...more));
}"""


def test_an_answer_that_comes_after_that_of_the_next_view_leaves_the_header_right(visit):
    page = visit().open("/?view=history")
    page.evaluate(HOLD_BACK, "view=jobs&job=backup-db")
    page.evaluate("jobs.go('?view=jobs&job=backup-db')")
    page.wait_for_function("window.held")
    page.evaluate("jobs.go('?view=history&job=import-orders')")
    expect(page.locator("#jobs-history-rows")).not_to_contain_text("backup-db")
    page.evaluate("window.release()")
    expect(page.locator("#jobs-jobs .chosen")).to_have_attribute("data-job", "backup-db")  # it came

    expect(page.locator("#jobs-header [aria-current]")).to_have_text("History")
    expect(page.locator("#jobs-header h1")).to_have_text("History")
    expect(page).to_have_title("import-orders · History · Jobs")


def test_a_refresh_that_is_late_does_not_put_the_rows_of_another_address_back(visit):
    page = visit().open("/?view=history&job=backup-db")
    rows = page.locator("#jobs-history-rows")
    failed = "could not convert string to float"
    expect(rows).not_to_contain_text(failed)
    page.evaluate(HOLD_BACK, "view=history&job=backup-db")
    page.evaluate("jobs.refresh()")
    page.wait_for_function("window.held")
    page.evaluate(NO_TIMER)  # which would put it right some seconds later
    page.evaluate("jobs.go('?view=history&job=import-orders')")
    expect(rows).to_contain_text(failed)
    asked = page.evaluate("window.asked")
    page.evaluate("window.release()")
    page.wait_for_function("(before) => window.asked > before", arg=asked)

    expect(rows).to_contain_text(failed)


LOSE = """() => {
  const real = window.fetch;
  window.lost = 0;
  window.losing = true;
  window.fetch = async (...asked) => {
    const answer = await real(...asked);
    if (!window.losing || !String(asked[0]).includes("run/predict")) return answer;
    window.lost += 1;
    return new Response("<html>Bad gateway</html>", { status: 502 });
  };
}"""


def test_news_whose_answer_was_lost_is_in_the_next_one(visit, scheduler, admin):
    """What the server sent is not what the page has: nothing else would change here for a day."""
    scheduler.job("lost-news", "true")
    scheduler.run("lost-news", "lost-news-1")
    scheduler.line("job_complete", job_name="lost-news")
    anna = visit()
    page = anna.open("/?view=history&job=lost-news")
    rows = page.locator("#jobs-history-rows tbody tr")
    expect(rows).to_have_count(1)
    page.evaluate(LOSE)
    page.evaluate(NO_TIMER)
    scheduler.run("lost-news", "lost-news-2")
    wait_for(lambda: len(scheduler.lines("job_complete", job_name="lost-news")) == 2, "the second run")
    before = page.evaluate("window.lost")
    page.evaluate("jobs.refresh()")
    page.wait_for_function("(before) => window.lost > before", arg=before)
    page.evaluate("window.losing = false")
    # As the timer would: Gradio asks nothing before it is done with the lost answer.
    page.wait_for_function(
        "jobs.refresh(), document.querySelectorAll('#jobs-history-rows tbody tr').length === 2", polling=500
    )

    expect(rows).to_have_count(2)
    anna.problems.clear()  # the lost answers


def test_who_has_gone_on_is_not_taken_away_by_the_answer_to_an_action(visit, scheduler):
    scheduler.job("started-and-left", "true")
    page = visit().open("/?view=jobs&job=started-and-left")
    page.evaluate(HOLD_BACK, "confirmed=started-and-left")
    page.click("#jobs-run")
    page.locator("dialog button", has_text="Run now").click()
    page.wait_for_function("window.held")
    page.evaluate("jobs.go('?view=edit&job=started-and-left')")
    expect(page.locator("#jobs-edit-command textarea")).to_have_value("true")
    page.fill("#jobs-edit-command textarea", "echo typed")
    page.evaluate("window.release()")
    expect(page.locator("#jobs-said")).to_contain_text("started-and-left")

    expect(page.locator("#jobs-edit-command textarea")).to_have_value("echo typed")
    assert "view=edit" in page.url


def test_a_late_answer_takes_the_focus_from_nobody_who_has_gone_on(visit):
    page = visit().open("/?view=jobs&sort=job")
    row = page.locator('#jobs-table tr[data-job="backup-db"]')
    page.evaluate(HOLD_BACK, "job=backup-db")
    row.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("window.held")
    page.keyboard.press("/")
    page.keyboard.type("vac")
    page.evaluate("window.release()")
    expect(page.locator("#jobs-chosen b")).to_have_text("backup-db")
    page.wait_for_function("document.querySelector('#jobs-stamp [data-of$=\"find=vac\"]')")

    expect(page.locator("#jobs-find input")).to_be_focused()
    expect(page.locator("#jobs-find input")).to_have_value("vac")


def test_what_is_typed_while_the_next_jobs_form_is_on_its_way_is_no_draft_of_that_job(visit, scheduler):
    scheduler.job("form-left", "echo left")
    scheduler.job("form-next", "echo next")
    page = visit().open("/?view=edit&job=form-left")
    command = page.locator("#jobs-edit-command textarea")
    expect(command).to_have_value("echo left")
    page.evaluate(HOLD_BACK, "view=edit&job=form-next")
    page.evaluate("jobs.go('?view=edit&job=form-next')")
    page.wait_for_function("window.held")
    command.press("End")
    page.keyboard.type(" typed")
    page.wait_for_function("JSON.stringify({...sessionStorage}).includes('left typed')")
    page.evaluate("window.release()")

    expect(page.locator("#jobs-edit-name input")).to_have_value("form-next")
    expect(command).to_have_value("echo next")
    expect(page.locator("#jobs-edit-restored p")).to_have_count(0)
    page.go_back()
    expect(command).to_have_value("echo left typed")


def test_an_action_that_is_never_answered_is_told_so(visit, scheduler):
    scheduler.job("never-answered", "true")
    anna = visit()
    anna.page.clock.install()
    page = anna.open("/?view=jobs&job=never-answered")
    page.route(
        "**/gradio_api/run/predict**",
        lambda route: None if "confirmed" in route.request.post_data else route.fallback(),
    )
    page.click("#jobs-run")
    page.locator("dialog button", has_text="Run now").click()
    expect(page.locator(".said.waiting")).to_contain_text("never-answered: asked")
    page.clock.fast_forward(16_000)
    expect(page.locator(".said.waiting")).to_have_count(0)
    expect(page.locator("body > .said.bad")).to_contain_text("never-answered: no answer")
    page.locator("body > .said.bad").get_by_role("button", name="Close").click()
    expect(page.locator("body > .said.bad")).to_be_hidden()
    page.unroute_all()


def test_a_save_that_is_never_answered_is_told_so(visit, scheduler):
    scheduler.job("never-saved", "echo first")
    anna = visit()
    anna.page.clock.install()
    page = anna.open("/?view=edit&job=never-saved")
    command = page.locator("#jobs-edit-command textarea")
    expect(command).to_have_value("echo first")
    command.fill("echo second")
    page.route(
        "**/gradio_api/run/predict**",
        lambda route: None if "echo second" in route.request.post_data else route.fallback(),
    )
    page.click("#jobs-edit-save")
    expect(page.locator(".said.waiting")).to_contain_text("never-saved: asked")
    page.clock.fast_forward(16_000)
    expect(page.locator("body > .said.bad")).to_contain_text("never-saved: no answer")
    page.unroute_all()


def test_of_a_save_without_a_session_nothing_is_said_but_that(visit, scheduler):
    scheduler.job("no-session", "echo first")
    anna = visit()
    anna.page.clock.install()
    page = anna.open("/?view=edit&job=no-session")
    command = page.locator("#jobs-edit-command textarea")
    expect(command).to_have_value("echo first")
    command.fill("echo second")
    anna.context.set_extra_http_headers({})
    page.click("#jobs-edit-save")
    expect(page.locator("#jobs-silent")).to_contain_text("not carried out")
    page.clock.fast_forward(16_000)
    page.clock.run_for(1_000)
    expect(page.locator("#jobs-silent")).to_contain_text("not carried out")
    expect(page.locator(".said")).to_have_count(0)
    anna.problems.clear()  # the 401s


def test_a_refused_save_is_an_answer(visit):
    page = visit().open("/?view=new")
    expect(page.locator("#jobs-new-working-directory input")).not_to_have_value("")
    page.click("#jobs-new-save")
    expect(page.locator("#jobs-new-answer .problems")).to_be_visible()
    expect(page.locator(".said")).to_have_count(0)


def test_what_an_address_says_besides_is_no_part_of_what_was_confirmed(visit, scheduler):
    scheduler.job("confirmed-job", "true")
    page = visit().open("/?view=jobs&job=confirmed-job&runs=20260101T000000-0000000000000000&sha256=x&confirmed=other")
    page.evaluate("void (window.acted = jobs.act('cancel'))")
    page.locator("dialog button", has_text="End the run").click()
    (sent,) = page.evaluate("window.acted")

    pairs = parse_qsl(sent.removeprefix("?"), keep_blank_values=True)
    assert len(pairs) == len(dict(pairs))
    assert dict(pairs)["confirmed"] == "confirmed-job" and dict(pairs)["runs"] == ""
    assert re.fullmatch("[0-9a-f]{64}", dict(pairs)["sha256"])


KNOWS_NO_TOKYO = """Intl.DateTimeFormat = new Proxy(Intl.DateTimeFormat, {
  construct(real, asked) {
    if (asked[1]?.timeZone === "Asia/Tokyo") throw new RangeError("Invalid time zone specified");
    return new real(...asked);
  },
});"""


def test_a_zone_that_the_browser_does_not_know_is_told_in_utc(visit, scheduler):
    """The server's list of zones may be newer than the browser's."""
    scheduler.job("in-tokyo", "true", timezone="Asia/Tokyo")
    scheduler.run("in-tokyo", "in-tokyo-1")
    scheduler.line("job_complete", job_name="in-tokyo")
    anna = visit()
    anna.page.add_init_script(KNOWS_NO_TOKYO)
    page = anna.open("/?view=jobs&job=in-tokyo")
    page.select_option("#jobs-zone", "job")
    page.evaluate("jobs.go('?view=history&job=in-tokyo')")
    expect(page.locator("#jobs-history-rows time").first).to_contain_text(re.compile(r"^\d{4}-\d\d-\d\d .* UTC$"))
    expect(page).to_have_title("in-tokyo · History · Jobs")


HIDE = """(isHidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_window_that_was_hidden_gives_no_alarm_while_it_asks_for_the_first_time(visit):
    anna = visit()
    anna.page.clock.install()
    page = anna.open("/?view=history&job=backup-db")
    page.evaluate(HIDE, True)
    page.clock.fast_forward(300_000)
    page.evaluate(HOLD_BACK, "view=history")
    page.evaluate(HIDE, False)
    page.wait_for_function("window.held")
    page.clock.run_for(5_000)
    expect(page.locator("#jobs-silent")).to_have_count(0)
    page.clock.run_for(8_000)
    expect(page.locator("#jobs-silent")).to_contain_text("No answer from this page's server")
    page.evaluate("window.release()")
    expect(page.locator("#jobs-silent")).to_have_count(0)


def test_a_view_whose_filling_was_lost_is_filled_by_the_next_one(visit):
    """The form of another job stood below the address for good, and nothing was said of it."""
    anna = visit()
    page = anna.open("/?view=edit&job=backup-db")
    command = page.locator("#jobs-edit-command textarea")
    expect(command).to_have_value(re.compile("dumping"))
    lost: list[str] = []

    def lose_one(route):
        if lost or "job=import-orders" not in route.request.post_data:
            return route.fallback()
        lost.append(route.request.post_data)
        return route.fulfill(status=502, body="<html>Bad gateway</html>")

    page.route("**/gradio_api/run/predict**", lose_one)
    page.evaluate("jobs.go('?view=edit&job=import-orders')")

    expect(command).to_have_value(re.compile("reading orders"))
    assert lost
    page.unroute_all()
    anna.problems.clear()  # the lost answer


def test_what_is_typed_into_a_filter_before_its_view_is_filled_stays(visit):
    page = visit().open("/?view=history")
    page.evaluate("jobs.go('?view=jobs')")
    find = page.locator("#jobs-find :is(input, textarea)")
    expect(page.locator("#jobs-table tr[data-job]").first).to_be_visible()
    page.evaluate("jobs.go('?view=history')")
    expect(page.locator("#jobs-history-rows tr").first).to_be_visible()
    page.evaluate(HOLD_BACK, '["?view=jobs"]')
    page.keyboard.press("/")
    page.wait_for_function("window.held")
    find.press_sequentially("backup")
    page.evaluate("window.release()")
    page.wait_for_function("document.querySelector('#jobs-stamp [data-of$=\"find=backup\"]')")

    expect(find).to_have_value("backup")
    expect(page.locator("#jobs-table tr[data-job]")).to_have_count(1)
    assert "find=backup" in page.url
