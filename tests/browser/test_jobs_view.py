"""The first screen in the browser: what it shows without a click, what can be done there, and with which keys."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.admin_stack import ANNA, CAUSE, DESK, PHONE, Admin, Visit, add_showcase
from tests.daemon import PATIENCE_SECONDS, Daemon, wait_for

MIDDLE = "each => each.getBoundingClientRect().top + each.getBoundingClientRect().height / 2"
FAILED = ("import-orders", "flaky-api", "hostile")


class Own:
    """A pair of services with the showcase and nothing else, for what fits on one screen and what concerns all jobs."""

    def __init__(self, scheduler: Daemon, admin: Admin) -> None:
        self.scheduler = scheduler
        self.admin = admin


@pytest.fixture(scope="module")
def own(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    root: Path = tmp_path_factory.mktemp("own")
    with Daemon(root) as scheduler, Admin(root) as admin:
        add_showcase(scheduler)
        yield Own(scheduler, admin)


@pytest.fixture
def visit_own(browser: Browser, own: Own) -> Iterator[Callable[..., Visit]]:
    made: list[Visit] = []

    def make(**options: Any) -> Visit:
        made.append(Visit(browser, own.admin.url, ANNA, **options))
        return made[-1]

    yield make
    for each in made:
        each.context.close()
        each.check()


def row_of(page: Page, job: str) -> Locator:
    return page.locator(f'#jobs-table tr[data-job="{job}"]')


def select(page: Page, job: str) -> None:
    row_of(page, job).locator(".c-state").click()
    expect(page.locator("#jobs-chosen b")).to_have_text(job)


def agree(page: Page, word: str) -> None:
    page.locator("dialog button", has_text=word).click()


def bottom_of(place: Locator) -> float:
    box = place.bounding_box()
    assert box is not None
    return box["y"] + box["height"]


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_every_failed_job_is_above_the_others_with_its_reason_on_the_first_screen(visit_own, viewport):
    """UI.md 1, 23."""
    page = visit_own(viewport=viewport).open("/")
    expect(page.locator("#jobs-table tr.failed")).to_have_count(len(FAILED))
    jobs = page.locator("#jobs-table tr[data-job]").evaluate_all("rows => rows.map(row => row.dataset.job)")
    assert set(jobs[: len(FAILED)]) == set(FAILED)
    failed = row_of(page, "import-orders")
    expect(failed).to_contain_text("exit 1")
    expect(failed).to_contain_text(re.compile(r"\d+ (s|min) ago"))
    expect(failed.locator(".reason")).to_have_text(CAUSE)
    expect(row_of(page, "flaky-api")).to_contain_text("timeout 0.5 s")
    for job in FAILED:
        assert bottom_of(row_of(page, job)) <= viewport["height"]


def test_the_phone_shows_everything_without_a_sideways_scroll_and_with_targets_for_a_thumb(visit_own):
    """UI.md 23; links within a sentence (the alarm's) are as high as its lines."""
    page = visit_own(viewport=PHONE).open("/?view=jobs&job=train-model")
    expect(page.locator("#jobs-chosen b")).to_have_text("train-model")
    expect(row_of(page, "train-model").locator(".c-duration")).to_be_hidden()  # it has never ended: it took nothing yet
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    small = page.evaluate(
        """() => [...document.querySelectorAll("#jobs a, #jobs button, #jobs input, #jobs select")]
        .filter((each) => each.checkVisibility() && !each.closest(".alarm, #jobs-go, .jobs-unseen, .alone > button"))
        .filter((each) => each.getBoundingClientRect().height < 43.9)
        .map((each) => each.outerHTML.slice(0, 120))"""
    )
    assert not small, small


def test_nothing_superfluous_stands_above_the_first_job(visit_own):
    """UI.md 28. The counts of the states are what somebody comes for; the rest is twelve words at most."""
    page = visit_own().open("/")
    words = page.locator("#jobs-header nav, #jobs-header button, #jobs-toolbar button").all_inner_texts()
    zone = page.locator("#jobs-zone").input_value()
    assert len(" ".join([*words, zone, "Find"]).split()) <= 12
    expect(page.locator("#jobs-jobs button.primary:visible")).to_have_count(0)
    select(page, "backup-db")
    expect(page.locator("#jobs-jobs button.primary:visible")).to_have_count(1)


def test_what_stands_above_the_table_is_in_line(visit_own):
    page = visit_own().open("/")
    middles = [
        page.locator(place).first.evaluate(MIDDLE)
        for place in ("#jobs-toolbar .chips a", "#jobs-find input", "#jobs-refresh")
    ]
    assert max(middles) - min(middles) < 1.5


def test_the_alarm_names_the_failed_jobs_and_one_click_shows_the_whole_stderr(visit_own):
    """UI.md 2 and 3."""
    page = visit_own().open("/")
    alarm = page.locator("#jobs-alarm")
    expect(alarm).to_contain_text(re.compile("(import-orders|flaky-api|hostile).* failed"))
    expect(alarm.locator("button")).to_have_count(0)
    for job in FAILED:
        expect(alarm.locator("a", has_text=job)).to_have_attribute("href", re.compile(r"\?view=logs&run="))
    alarm.locator("a", has_text="import-orders").click()
    shown = page.locator("#jobs-logs")
    expect(shown).to_contain_text("Traceback (most recent call last):")
    expect(shown).to_contain_text(CAUSE)
    assert bottom_of(shown.get_by_text(CAUSE).last) <= DESK["height"]


def test_the_name_of_a_failed_job_leads_to_the_run_that_failed(visit_own):
    page = visit_own().open("/")
    row_of(page, "import-orders").locator("a.name").click()
    expect(page.locator("#jobs-logs")).to_contain_text(CAUSE)
    assert "view=logs&run=" in page.url


def test_each_state_has_a_word_an_icon_and_a_colour_of_its_own(visit_own):
    """UI.md 4, 5 and 22."""
    page = visit_own().open("/")
    words = {
        "import-orders": ("failed", "bad"),
        "broken": ("invalid: line 4", "warn"),
        "train-model": ("running", "busy"),
        "backup-db": ("ok", "ok"),
        "never-run": ("never", "none"),
        "old-cleanup": ("disabled", "off"),
    }
    for job, (word, icon) in words.items():
        state = row_of(page, job).locator(".state")
        expect(state).to_have_text(word)
        expect(state.locator(f".icon.{icon}")).to_be_visible()
    expect(row_of(page, "train-model").locator("time[data-elapsed]")).to_have_text(re.compile(r"\d+ (s|min)"))
    backup = row_of(page, "backup-db")
    expect(backup).to_contain_text("exit 0")
    expect(backup.locator("svg.bars")).to_have_attribute("aria-label", "1 of 1 ok")
    expect(backup.locator(".c-next time[data-relative]")).to_have_text(re.compile(r"in \d+ (d|h|min|s)"))
    page.select_option("#jobs-zone", "job")
    expect(backup.locator(".c-next .note")).to_have_text(re.compile(r"02:30:00 (CES?T|GMT\+[12])"))


def test_a_running_job_turns_to_a_warning_when_it_takes_longer_than_usual(scheduler, visit):
    """UI.md 5."""
    gate = scheduler.jobs.parent / "slow-down"
    scheduler.job("usually-quick", f"[ ! -e {gate} ] || sleep 300", kill_grace_seconds=0.5)
    scheduler.run("usually-quick", "quick-1")
    scheduler.line("job_complete", job_name="usually-quick")
    gate.touch()
    scheduler.run("usually-quick", "quick-2")
    page = visit().open("/?view=jobs&find=usually-quick")
    row = row_of(page, "usually-quick")
    expect(row.locator("time.late")).to_be_visible()
    expect(row.locator(".state.warn")).to_have_text("running")
    expect(page.locator("#jobs-alarm")).to_contain_text("usually-quick is running for unusually long")
    gate.unlink()


def test_hostile_names_commands_and_output_are_seen_as_they_are_and_do_nothing(visit_own):
    """UI.md 15; the visit fails on a dialog and on any script error."""
    page = visit_own().open("/")
    title = page.title()
    row = row_of(page, "hostile")
    expect(row.locator(".reason")).to_have_text(r"<b>bad</b> \x1b[31m${document.title=1}")
    expect(row.locator(".about")).to_contain_text("<script>document.title='evil'</script>")
    assert page.title() == title


def test_chips_and_the_search_filter_and_stand_in_the_address(visit_own):
    page = visit_own().open("/")
    page.locator(".chips a", has_text="failed").first.click()
    expect(page.locator("#jobs-table tr[data-job]")).to_have_count(len(FAILED))
    page.locator("#jobs-find input").press_sequentially("orders")
    expect(page.locator("#jobs-table tr[data-job]")).to_have_count(1)
    expect(page).to_have_url(re.compile("state=failed&find=orders"))
    page.reload()
    expect(page.locator("#jobs-find input")).to_have_value("orders")
    expect(page.locator("#jobs-table tr[data-job]")).to_have_count(1)


def test_the_focus_stays_at_its_job_when_rows_are_redrawn_in_another_order(visit_own):
    page = visit_own().open("/")
    row = page.locator("#jobs-table tr[data-job]").first
    name = row.get_attribute("data-job")
    row.focus()
    page.evaluate("""() => {
        const [first, second] = document.querySelectorAll("#jobs-table tr[data-job]");
        [first.dataset.job, second.dataset.job] = [second.dataset.job, first.dataset.job];
        [first.innerHTML, second.innerHTML] = [second.innerHTML, first.innerHTML];
    }""")
    expect(page.locator("#jobs-table tr[data-job]:focus")).to_have_attribute("data-job", name)
    expect(page.locator("#jobs-table tr[data-job]").nth(1)).to_be_focused()


def test_the_search_follows_what_is_pasted_and_deleted(visit_own):
    page = visit_own().open("/")
    expect(page.locator("#jobs-table tr[data-job]").nth(1)).to_be_visible()
    count = page.locator("#jobs-table tr[data-job]").count()
    box = page.locator("#jobs-find input")
    box.focus()
    page.keyboard.insert_text("orders")  # an input without a key, as a paste is
    expect(page.locator("#jobs-table tr[data-job]")).to_have_count(1)
    box.press("Control+a")
    box.press("Backspace")
    expect(page.locator("#jobs-table tr[data-job]")).to_have_count(count)


def test_the_head_of_a_column_sorts(visit_own):
    page = visit_own().open("/")
    head = page.locator("#jobs-table th.c-job").first
    head.locator("a").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    page.locator("#jobs-table th.c-job").first.locator("a").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    jobs = page.locator("#jobs-table tr[data-job]").evaluate_all("rows => rows.map(row => row.dataset.job)")
    assert jobs == sorted(jobs, reverse=True)


def test_one_key_shows_the_log_of_the_job_that_failed_last(visit_own):
    """UI.md 20: at most three."""
    page = visit_own().open("/")
    expect(page.locator("#jobs-table tr.failed")).to_have_count(len(FAILED))
    page.keyboard.press("f")
    expect(page.locator("#jobs-logs")).to_be_visible()
    assert "view=logs&run=" in page.url


def test_that_key_works_from_another_view_too(visit_own):
    page = visit_own().open("/?view=history")
    expect(page.locator("#jobs-history-rows tr").first).to_be_visible()
    page.keyboard.press("f")
    expect(page).to_have_url(re.compile("view=logs&run="))
    expect(page.locator("#jobs-logs .run.over")).to_be_visible()


def test_the_row_with_the_focus_is_not_behind_the_bar_of_the_selected_job(visit_own):
    page = visit_own(viewport={"width": 1200, "height": 420}).open("/?view=jobs&sort=job&job=backup-db")
    expect(page.locator("#jobs-chosen b")).to_be_visible()
    row_of(page, "backup-db").focus()
    for _ in range(6):
        page.keyboard.press("ArrowDown")
        bar = page.locator("#jobs-actions").bounding_box()
        assert bar is not None
        assert bottom_of(page.locator("#jobs-table tr:focus")) <= bar["y"]


@pytest.mark.parametrize("viewport", [DESK | {"height": 500}, PHONE], ids=["desk", "phone"])
def test_a_row_that_is_selected_stays_where_it_is(visit_own, viewport):
    page = visit_own(viewport=viewport).open("/")
    row = row_of(page, "warm-cache")
    row.evaluate("row => row.scrollIntoView({ block: 'center' })")
    before = bottom_of(row)
    select(page, "warm-cache")
    expect(row).to_have_attribute("aria-selected", "true")
    assert abs(bottom_of(row) - before) < 2


def test_the_ring_of_the_focus_around_a_name_is_not_clipped(visit_own):
    page = visit_own().open("/")
    name = row_of(page, "import-orders").locator("a.name")
    name.focus()
    clips = """name => {
      const isClipped = (around) => getComputedStyle(around).overflow !== "visible";
      const boxes = [...name.closest("table").querySelectorAll("*")].filter((each) => each.contains(name));
      return boxes.some(isClipped);
    }"""
    assert not name.evaluate(clips)


def test_a_name_is_never_cut_and_a_description_has_two_lines_if_it_needs_them(scheduler, visit):
    name = "described_" + "with_a_name_of_many_words" * 2
    scheduler.job(name, "true", description="what it does, and why, " * 9)
    scheduler.job("described-briefly", "true", description="in short")
    page = visit().open("/?view=jobs&find=described")
    long, short = row_of(page, name), row_of(page, "described-briefly")
    side = "each => each.getBoundingClientRect().{}".format
    cell, whole = (long.locator(each).evaluate(side("right")) for each in ("th", "a.name"))
    assert whole <= cell
    assert long.locator("a.name").evaluate("name => name.scrollWidth <= name.clientWidth")
    two, one = (each.locator(".about").evaluate(side("height")) for each in (long, short))
    assert round(two / one) == 2
    beside = {short.locator(each).evaluate(side("top")) for each in ("a.name", ".about")}
    assert len(beside) == 1


def test_the_zone_of_a_schedule_that_takes_many_words_is_seen(scheduler, visit):
    scheduler.job("wordy", "true", schedule="*/30 9-17 * * 1-5", timezone="Asia/Kolkata")
    note = row_of(visit().open("/?view=jobs&find=wordy"), "wordy").locator(".c-schedule .note")
    expect(note).to_contain_text("(Asia/Kolkata)")
    assert note.evaluate("note => note.scrollHeight <= note.clientHeight")


def test_every_action_is_in_reach_of_the_keyboard(visit_own):
    """UI.md 20: the arrows move, Enter selects and leads to the bar, Escape leads back to the row."""
    page = visit_own().open("/?view=jobs&sort=job")
    row_of(page, "backup-db").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(row_of(page, "check-certs")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#jobs-chosen b")).to_have_text("check-certs")
    expect(page.locator("#jobs-run")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    expect(page.locator("dialog button", has_text="Back")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#jobs-run")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#jobs-chosen b")).to_have_count(0)
    expect(row_of(page, "check-certs")).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#jobs-find input")).to_be_focused()


def test_the_focus_and_the_selection_survive_a_refresh(visit_own):
    page = visit_own().open("/?view=jobs&job=vacuum")
    row_of(page, "vacuum").focus()
    stamp = page.locator("#jobs-stamp [data-at]").get_attribute("data-at")
    expect(page.locator("#jobs-stamp [data-at]")).not_to_have_attribute("data-at", stamp or "")
    expect(row_of(page, "vacuum")).to_be_focused()
    expect(row_of(page, "vacuum")).to_have_attribute("aria-selected", "true")


def test_a_run_is_confirmed_acknowledged_followed_and_told(scheduler, admin, visit):
    """UI.md 18."""
    scheduler.job("run-me", "echo hello; exit 3")
    page = visit().open("/?view=jobs&find=run-me")
    select(page, "run-me")
    page.click("#jobs-run")
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("Run run-me now?")
    expect(dialog).to_have_accessible_description("It starts as soon as the scheduler sees this, beside its schedule.")
    expect(dialog.locator("button", has_text="Back")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert scheduler.lines("trigger_accepted", job_name="run-me") == []

    page.click("#jobs-run")
    agree(page, "Run now")
    expect(page.locator(".said")).not_to_have_count(0)  # heard, or even answered
    accepted = scheduler.line("trigger_accepted", job_name="run-me")
    assert accepted["requested_by"] == "anna"
    expect(page).to_have_url(re.compile(f"view=logs&run={accepted['run_ids'][0]}"))
    expect(page.locator("#jobs-said")).to_contain_text("run-me: failure, exit 3")
    expect(page.locator(".said.waiting")).to_have_count(0)

    def audited() -> list[dict[str, Any]]:
        return [line for line in admin.audit() if line["action"] == "trigger_job" and line["job_name"] == "run-me"]

    wait_for(lambda: len(audited()) == 2, "both lines of the audit log")
    asked, outcome = audited()
    assert asked["event"] == "requested" and asked["id"] == outcome["id"] == accepted["request_id"]
    assert outcome["outcome"] == "done" and outcome["details"]["exit_code"] == 3
    assert outcome["details"]["duration"] >= 0


def test_a_double_click_makes_one_request(scheduler, visit):
    """UI.md 18."""
    scheduler.job("run-once", "true", concurrency_policy="allow")
    page = visit().open("/?view=jobs&find=run-once&job=run-once")
    page.click("#jobs-run")
    page.locator("dialog button", has_text="Run now").dblclick()
    expect(page).to_have_url(re.compile("view=logs&run="))
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator("#jobs-said")).to_contain_text("run-once: success, exit 0")
    assert len(scheduler.lines("trigger_accepted", "trigger_rejected", job_name="run-once")) == 1


def test_a_refused_run_says_why_and_is_audited_as_failed(scheduler, admin, visit):
    scheduler.job("refuse-me", "true")
    page = visit().open("/?view=jobs&find=refuse-me&job=refuse-me")
    page.click("#jobs-run")
    expect(page.locator("dialog")).to_be_visible()
    scheduler.job("refuse-me", "true", enabled=False)
    agree(page, "Run now")
    expect(page.locator("#jobs-said")).to_contain_text("refuse-me: the scheduler refused it (disabled)")
    page.locator("#jobs-said").get_by_role("button", name="Close").press("Enter")
    expect(page.locator("#jobs-said .said")).to_be_hidden()
    assert "view=jobs" in page.url
    (outcome,) = [line for line in admin.audit() if line["event"] == "outcome" and line["job_name"] == "refuse-me"]
    assert outcome["outcome"] == "failed" and "enabled: false" in outcome["details"]["text"]


def test_a_cancelled_run_names_who_did_it(scheduler, visit):
    """UI.md 6."""
    scheduler.job("cancel-me", "sleep 300", kill_grace_seconds=0.5)
    scheduler.run("cancel-me", "to-cancel")
    scheduler.line("job_start", job_name="cancel-me")
    page = visit().open("/?view=jobs&find=cancel-me&job=cancel-me")
    expect(page.locator("#jobs-run")).to_be_hidden()
    page.click("#jobs-cancel")
    expect(page.locator("dialog")).to_contain_text("Cancel the run of cancel-me?")
    agree(page, "End the run")
    assert scheduler.line("job_complete", job_name="cancel-me")["status"] == "cancelled"
    expect(row_of(page, "cancel-me")).to_contain_text("cancelled by anna")
    expect(row_of(page, "cancel-me").locator(".state")).to_have_text("cancelled")


def test_a_request_that_no_scheduler_takes_up_is_seen_with_its_job_until_one_does(browser, tmp_path):
    away = Daemon(tmp_path)
    away.job("waits", "echo at last")
    with Admin(tmp_path) as admin:
        anna = Visit(browser, admin.url, ANNA)
        page = anna.open("/?view=jobs&job=waits")
        page.click("#jobs-run")
        agree(page, "Run now")
        row, top = row_of(page, "waits"), page.locator("#jobs-alarm .warn", has_text="Not taken up")
        expect(row).to_contain_text(re.compile(r"waiting: run asked for by anna \d+ s ago, not taken up yet"))
        expect(top).to_contain_text(re.compile(r"waits \(run asked for by anna \d+ s ago\)"))
        with away:
            expect(row.locator(".state")).to_have_text("ok")
            expect(row).not_to_contain_text("waiting")
            expect(top).to_have_count(0)
        anna.context.close()
        anna.check()


def test_a_job_is_disabled_after_a_question_and_enabled_without_one(scheduler, admin, visit):
    scheduler.job("switch-me", "true")
    page = visit().open("/?view=jobs&find=switch-me&job=switch-me")
    expect(page.locator("#jobs-enable")).to_be_hidden()
    page.click("#jobs-disable")
    expect(page.locator("dialog")).to_contain_text("Disable switch-me?")
    agree(page, "Disable")
    expect(row_of(page, "switch-me").locator(".state")).to_have_text("disabled")
    assert json.loads((scheduler.jobs / "switch-me.json").read_text())["enabled"] is False
    expect(page.locator("#jobs-run, #jobs-disable")).to_have_count(2)
    expect(page.locator("#jobs-run")).to_be_hidden()
    page.click("#jobs-enable")
    expect(row_of(page, "switch-me").locator(".state")).to_have_text("never")
    expect(row_of(page, "switch-me")).to_contain_text("loaded by the scheduler")  # UI.md 17
    lines = [line for line in admin.audit() if line["job_name"] == "switch-me" and line["event"] != "viewed"]
    changes = [
        ("disable_job", "requested"),
        ("disable_job", "outcome"),
        ("enable_job", "requested"),
        ("enable_job", "outcome"),
    ]
    assert [(line["action"], line["event"]) for line in lines] == changes


def test_a_job_is_deleted_after_a_question_and_its_history_stays(scheduler, admin, visit):
    scheduler.job("delete-me", "echo once")
    scheduler.run("delete-me", "before-delete")
    scheduler.line("job_complete", job_name="delete-me")
    page = visit().open("/?view=jobs&find=delete-me&job=delete-me")
    page.click("#jobs-delete")
    expect(page.locator("dialog")).to_contain_text("jobs/delete-me.json is removed")
    expect(page.locator("dialog")).to_contain_text("Its history and logs stay")
    agree(page, "Delete")
    expect(page.locator("#jobs-said")).to_contain_text("delete-me is deleted")
    expect(row_of(page, "delete-me")).to_have_count(0)
    expect(page.locator("#jobs-chosen b")).to_have_count(0)
    assert not (scheduler.jobs / "delete-me.json").exists()
    page.goto("/?view=history&job=delete-me")
    expect(page.locator("#jobs-history")).to_contain_text("success")


def test_a_file_that_was_changed_meanwhile_is_not_deleted(scheduler, admin, visit):
    scheduler.job("keep-me", "echo old")
    page = visit().open("/?view=jobs&find=keep-me&job=keep-me")
    page.click("#jobs-delete")
    expect(page.locator("dialog")).to_be_visible()
    scheduler.job("keep-me", "echo new")
    agree(page, "Delete")
    expect(page.locator("#jobs-said")).to_contain_text("changed by somebody else meanwhile")
    assert "echo new" in (scheduler.jobs / "keep-me.json").read_text()
    (outcome,) = [line for line in admin.audit() if line["event"] == "outcome" and line["job_name"] == "keep-me"]
    assert outcome["outcome"] == "failed"


def test_nothing_is_done_to_another_job_than_the_one_that_the_question_named(scheduler, visit):
    scheduler.job("named", "true")
    scheduler.job("selected", "true")
    page = visit().open("/?view=jobs&find=selected&job=selected&sort=job")
    expect(page.locator("#jobs-chosen b")).to_have_text("selected")
    page.evaluate("document.querySelector('#jobs-chosen .chosen').dataset.job = 'named'")
    page.click("#jobs-disable")
    expect(page.locator("dialog")).to_contain_text("Disable named?")
    agree(page, "Disable")
    expect(page.locator("#jobs-said")).to_contain_text("another job was selected meanwhile; nothing was done")
    for name in ("named", "selected"):
        assert json.loads((scheduler.jobs / f"{name}.json").read_text())["enabled"] is True


def test_all_schedules_are_paused_and_resumed_after_a_question(own, visit_own):
    page = visit_own().open("/")
    page.click("#jobs-pause")
    expect(page.locator("dialog")).to_contain_text("No job starts by its schedule")
    agree(page, "Pause all")
    expect(page.locator("#jobs-alarm")).to_contain_text("All schedules are paused")
    expect(row_of(page, "backup-db").locator(".c-next")).to_contain_text("paused")
    assert (own.scheduler.jobs / "PAUSE").exists()
    page.locator("#jobs-alarm button", has_text="Resume").click()
    agree(page, "Resume")
    expect(page.locator("#jobs-alarm")).not_to_contain_text("paused")
    assert not (own.scheduler.jobs / "PAUSE").exists()


def test_a_job_written_by_hand_appears_by_itself_and_is_told_as_changed_outside(scheduler, visit):
    page = visit().open("/?view=jobs&find=by-hand")
    expect(page.locator("#jobs-table")).to_contain_text("No job fits")
    scheduler.job("by-hand", "true")
    expect(row_of(page, "by-hand")).to_contain_text("loaded by the scheduler")
    expect(page.locator("#jobs-alarm .gentle")).to_contain_text("by-hand")


def test_of_a_version_that_only_the_scheduler_refuses_the_page_says_so_and_runs_the_last_good_one(scheduler, visit):
    scheduler.job("not-taken", "echo good version")
    path = scheduler.jobs / "not-taken.json"
    good = json.loads(path.read_text())
    worse = {"working_directory": "/no/such/directory", "command": "echo refused version", "schedule": "* * * * *"}
    path.write_text(json.dumps({**good, **worse}))
    page = visit().open("/?view=jobs&find=not-taken")
    row = row_of(page, "not-taken")
    expect(row.locator(".state")).to_have_text("refused")
    expect(row).to_contain_text("the last good version is in force")
    expect(row).to_contain_text("working_directory: expected")
    expect(row.locator("time, code")).to_have_count(0)
    lines = page.locator("#jobs-alarm li.bad, #jobs-alarm li.warn", has_text="not-taken.json")
    expect(lines).to_have_count(1)
    expect(lines.locator("a")).to_have_attribute("href", "?view=edit&job=not-taken")

    select(page, "not-taken")
    expect(page.locator("#jobs-enable, #jobs-disable")).to_have_count(2)
    expect(page.locator("#jobs-enable:visible, #jobs-disable:visible")).to_have_count(0)
    page.click("#jobs-run")
    expect(page.locator("dialog")).to_contain_text("Its last good version starts")
    agree(page, "Run now")
    assert scheduler.line("job_complete", job_name="not-taken")["stdout"] == "good version\n"
    path.unlink()


def test_the_refresh_button_looks_at_once_and_is_audited_as_a_look(admin, visit):
    page = visit().open("/?view=jobs&find=backup-db")
    expect(row_of(page, "backup-db")).to_be_visible()
    before = sum(line["action"] == "view_jobs" for line in admin.audit())
    page.click("#jobs-refresh")
    wait_for(lambda: sum(line["action"] == "view_jobs" for line in admin.audit()) > before, "one more look")


def test_five_hundred_jobs_come_in_pages_and_are_found(browser, tmp_path):
    """UI.md 25, without its figures."""
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    for number in range(500):
        name = f"job-{number:03}"
        document = {"name": name, "schedule": f"{number % 60} 2 * * *", "command": f"run {name}"}
        (jobs / f"{name}.json").write_text(json.dumps({**document, "working_directory": "/", "enabled": True}))
    with Admin(tmp_path) as admin:
        anna = Visit(browser, admin.url, ANNA)
        page = anna.open("/?view=jobs&sort=job")
        expect(page.locator("#jobs-table tr[data-job]")).to_have_count(50)
        page.locator(".pages a", has_text="Next 50").click()
        expect(page.locator("#jobs-table tr[data-job]").first).to_have_attribute("data-job", "job-050")
        page.locator("#jobs-find input").press_sequentially("job-499")
        expect(page.locator("#jobs-table tr[data-job]")).to_have_count(1)
        expect(row_of(page, "job-499")).to_be_visible()
        anna.context.close()
        anna.check()


def test_a_file_that_was_saved_while_the_scheduler_is_away_says_so(own, visit_own):
    """UI.md 17 and 27. The last one of this pair of services."""
    own.scheduler.process.terminate()
    own.scheduler.process.send_signal(signal.SIGINT)  # a second signal, so that it does not wait for train-model
    own.scheduler.process.wait(PATIENCE_SECONDS)
    own.scheduler.job("saved-later", "true")
    page = visit_own().open("/")
    expect(page.locator("#jobs-alarm")).to_contain_text(re.compile(r"Scheduler stopped \d+ (s|min) ago"))
    expect(row_of(page, "saved-later")).to_contain_text("saved, not loaded yet")
