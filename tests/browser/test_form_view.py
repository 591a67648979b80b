"""The form in the browser: what it says while somebody types, what it writes, and what it never overwrites."""

from __future__ import annotations

import hashlib
import json
import os
import re
from functools import partial

import pytest
from playwright.sync_api import Page, expect

from admin_ui.auth.hashing import ScryptHash
from tests.admin_stack import BEN, HOSTILE, PHONE, Admin, Visit
from tests.daemon import Daemon, wait_for

PRESETS = ("Every 5 minutes", "Hourly", "Daily 02:30", "Weekdays 09:00", "Weekly", "Monthly")


def fill(page: Page, view: str, **texts: str) -> None:
    """Type into fields, once the form has been filled; an underscore in a name stands for the id's dash."""
    expect(page.locator(f"#jobs-{view}-working-directory :is(textarea, input)")).not_to_have_value("")
    for name, text in texts.items():
        field = page.locator(f"#jobs-{view}-{name.replace('_', '-')} :is(textarea, input)")
        field.fill("")
        field.press_sequentially(text)


def save(page: Page, view: str = "edit") -> None:
    page.click(f"#jobs-{view}-save")


def error_at(page: Page, view: str, name: str):
    """Return the message that the field is described by, as a screen reader finds it."""
    field = page.locator(f"#jobs-{view}-{name} :is(textarea, input)")
    expect(field).to_have_attribute("aria-invalid", "true")
    return page.locator(f"#{field.get_attribute('aria-describedby')}")


def written(scheduler, name):
    return json.loads((scheduler.jobs / f"{name}.json").read_text())


def replace_file(scheduler, name, document):
    """Change a definition as somebody with an editor does."""
    path = scheduler.jobs / f"{name}.json"
    beside = path.with_name(f".{name}.by-hand")
    beside.write_text(document if isinstance(document, str) else json.dumps(document))
    os.replace(beside, path)


def test_a_schedule_is_said_in_words_with_its_next_five_runs_as_one_types(visit):
    page = visit().open("/?view=new")
    fill(page, "new", timezone="Europe/Berlin", schedule="30 2 * * *")
    preview = page.locator("#jobs-new-preview")

    expect(preview.locator(".words")).to_have_text("At 02:30 every day (Europe/Berlin)")
    rows = preview.locator("tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.first).to_contain_text(
        re.compile(r"\w{3} \d{4}-\d\d-\d\d.*02:30 CES?T \(\+0[12]:00\).*in \d+ (h|min|s)")
    )


def test_a_preset_fills_the_schedule_and_shows_what_it_means(visit):
    page = visit().open("/?view=new")
    for label in PRESETS:
        page.click(f"#jobs-new-presets >> text={label}")
        expect(page.locator("#jobs-new-preview tbody tr")).to_have_count(5)
    page.click("#jobs-new-presets >> text=Weekdays 09:00")

    expect(page.locator("#jobs-new-preview .words")).to_have_text("At 09:00 on Monday to Friday (UTC)")
    expect(page.locator("#jobs-new-schedule input")).to_have_value("0 9 * * mon-fri")


def test_the_next_runs_are_asked_for_again_when_the_first_of_them_has_passed(visit):
    page = visit().open("/?view=new")
    page.clock.install()
    fill(page, "new", schedule="* * * * *")
    expect(page.locator("#jobs-new-preview .words")).to_contain_text("Every minute")

    with page.expect_request(lambda asked: '"* * * * *"' in (asked.post_data or "")):
        page.clock.fast_forward("01:01")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"schedule": "99 * * * *"}, "minute: write numbers from 0 to 59"),
        ({"schedule": "@daily"}, "write five fields such as 0 0 * * * instead"),
        ({"schedule": "0 0 30 2 *"}, "day of month: this date never comes"),
        ({"schedule": "0 9 * * *", "timezone": "Mars/Base"}, "expected an IANA time zone such as Europe/Berlin or UTC"),
    ],
)
def test_an_impossible_time_is_explained_at_its_field_while_one_types(visit, typed, message):
    page = visit().open("/?view=new")
    fill(page, "new", **typed)

    expect(error_at(page, "new", list(typed)[-1])).to_contain_text(message)
    expect(page.locator("#jobs-new-preview tbody")).to_have_count(0)


def test_four_fields_and_one_save_make_a_job_that_the_scheduler_loads(visit, scheduler, admin):
    page = visit().open("/?view=new")
    fill(page, "new", name="form-create", command="echo made", schedule="15 3 * * *", timezone="Asia/Tokyo")
    page.keyboard.press("Control+Enter")

    expect(page.locator("#jobs-said")).to_contain_text("jobs/form-create.json written")
    expect(page.locator("#jobs-edit-state")).to_contain_text("Loaded by the scheduler")
    expect(page.locator("#jobs-edit-state")).to_contain_text(re.compile(r"Next run in \d+ (h|min|s)"))
    expect(page.locator("#jobs-edit-name input")).to_have_value("form-create")
    expect(page.locator("#jobs-edit-name input")).to_be_disabled()
    assert page.url.endswith("?view=edit&job=form-create")
    document = written(scheduler, "form-create")
    assert document.pop("working_directory").startswith("/")
    assert document == {
        "name": "form-create",
        "schedule": "15 3 * * *",
        "command": "echo made",
        "enabled": True,
        "timezone": "Asia/Tokyo",
    }
    lines = [line for line in admin.audit() if line["action"] == "create_job" and line["job_name"] == "form-create"]
    assert [(line["event"], line.get("outcome")) for line in lines] == [("requested", None), ("outcome", "done")]
    assert lines[0]["details"]["changed"]["schedule"] == {"old": None, "new": "15 3 * * *"}


def test_fields_side_by_side_are_equally_high(visit):
    page = visit().open("/?view=new")
    inputs = [page.locator(f"#jobs-new-{name} input") for name in ("name", "working-directory", "schedule", "timezone")]
    heights = {each.evaluate("each => each.offsetHeight") for each in inputs}
    assert len(heights) == 1


def test_a_double_click_makes_one_job_and_no_error(visit, admin):
    page = visit().open("/?view=new")
    fill(page, "new", name="form-double", command="true", schedule="0 0 1 1 *")
    page.dblclick("#jobs-new-save")

    expect(page.locator("#jobs-edit-state")).to_contain_text("Loaded by the scheduler")
    expect(page.locator("#jobs-new-answer .problems")).to_have_count(0)
    asked = [line for line in admin.audit() if line["job_name"] == "form-double" and line["event"] == "requested"]
    assert [line["action"] for line in asked] == ["create_job"]


def test_what_is_missing_is_said_at_each_field_and_the_first_one_gets_the_focus(visit):
    page = visit().open("/?view=new")
    save(page, "new")

    for name in ("name", "command", "schedule"):
        expect(error_at(page, "new", name)).to_have_text("this field is required")
    expect(page.locator("#jobs-new-name input")).to_be_focused()
    expect(page.locator("#jobs-new-answer [role=alert]")).to_contain_text("Name, Command, Schedule")
    page.locator("#jobs-new-name input").press_sequentially("x")
    expect(page.locator("#jobs-new-name-error")).to_have_text("")
    expect(page.locator("#jobs-new-name input")).to_have_attribute("aria-invalid", "false")


def test_what_is_not_saved_names_a_field_only_until_it_is_changed(visit):
    page = visit().open("/?view=new")
    save(page, "new")
    said = page.locator("#jobs-new-answer .problems")
    expect(said).to_be_visible()
    page.locator("#jobs-new-name input").press_sequentially("x")
    expect(said.locator("span:visible")).to_have_text([", Command", ", Schedule"])
    expect(said.locator("i:visible")).to_have_count(1)
    page.locator("#jobs-new-command textarea").press_sequentially("true")
    page.click("#jobs-new-presets >> text=Hourly")
    expect(said).to_be_hidden()
    page.locator("#jobs-new-name input").fill("")
    save(page, "new")
    expect(said.locator("span:visible")).to_have_text(["Name"])


def test_a_wrong_value_that_is_folded_away_comes_into_view(visit):
    page = visit().open("/?view=new")
    fill(page, "new", name="form-folded", command="true", schedule="0 0 1 1 *")
    expect(page.locator("#jobs-new-timeout-seconds")).to_be_hidden()
    page.click("#jobs-new-fold button")
    fill(page, "new", timeout_seconds="-1", environment="PGHOST")
    page.click("#jobs-new-fold button")
    save(page, "new")

    expect(error_at(page, "new", "timeout-seconds")).to_have_text("expected more than 0")
    expect(error_at(page, "new", "environment")).to_contain_text("line 1: expected NAME=value")
    expect(page.locator("#jobs-new-timeout-seconds input")).to_be_focused()


@pytest.mark.parametrize(("count", "shown"), [(1, 3), (12, 12), (40, 16)])
def test_the_environment_is_as_high_as_its_lines_up_to_a_limit(visit, scheduler, count, shown):
    scheduler.job(f"form-high-{count}", environment={f"NAME_{number}": "value" for number in range(count)})
    page = visit().open(f"/?view=edit&job=form-high-{count}")
    area = page.locator("#jobs-edit-environment textarea")
    expect(area).to_have_value(re.compile("NAME_0"))
    page.click("#jobs-edit-fold button")
    lines = area.evaluate("(area) => (area.clientHeight - 16) / parseFloat(getComputedStyle(area).lineHeight)")
    scrolls = area.evaluate("(area) => getComputedStyle(area).overflowY !== 'hidden'")

    assert (round(lines), scrolls) == (shown, count > shown)


def test_a_name_that_is_taken_asks_for_another_and_leaves_the_file(visit, scheduler):
    before = (scheduler.jobs / "rotate-keys.json").read_bytes()
    page = visit().open("/?view=new")
    fill(page, "new", name="rotate-keys", command="echo other", schedule="0 0 1 1 *")
    save(page, "new")

    expect(error_at(page, "new", "name")).to_contain_text("choose a different name")
    assert (scheduler.jobs / "rotate-keys.json").read_bytes() == before


def test_what_was_half_typed_survives_a_reload_but_for_the_environment(visit):
    page = visit().open("/?view=new")
    fill(page, "new", name="form-draft", command="echo half", timezone="Asia/Tokyo")
    page.click("#jobs-new-fold button")
    fill(page, "new", environment="TOKEN=hush-hush")
    page.reload()

    expect(page.locator("#jobs-new-restored")).to_contain_text("Restored what you had typed")
    expect(page.locator("#jobs-new-name input")).to_have_value("form-draft")
    expect(page.locator("#jobs-new-command textarea")).to_have_value("echo half")
    expect(page.locator("#jobs-new-timezone input")).to_have_value("Asia/Tokyo")
    expect(page.locator("#jobs-new-environment textarea")).to_have_value("")
    assert "hush" not in page.evaluate("JSON.stringify([{...sessionStorage}, {...localStorage}])")
    page.click("#jobs-new-restored >> text=Discard")
    expect(page.locator("#jobs-new-name input")).to_have_value("")
    expect(page.locator("#jobs-new-restored p")).to_have_count(0)
    page.reload()
    expect(page.locator("#jobs-new-name input")).to_have_value("")
    expect(page.locator("#jobs-new-restored p")).to_have_count(0)


def test_signing_out_ends_the_session_and_leaves_no_draft_to_the_next_person(browser, tmp_path):
    secret = "correct horse battery staple"
    hashed = str(ScryptHash.of(secret))
    with Daemon(tmp_path), Admin(tmp_path, ADMIN_AUTH_MODE="password", ADMIN_PASSWORD_HASH=hashed) as own:
        visit = Visit(browser, own.url, {})
        page = visit.page
        page.goto("/?view=new")
        page.get_by_label("Password").fill(secret)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_selector("#jobs-stamp [data-at]", state="attached")
        other = visit.window()
        other.goto("/?view=new")
        other.wait_for_selector("#jobs-stamp [data-at]", state="attached")
        for window in (other, page):
            fill(window, "new", command="echo not for everybody")
            window.wait_for_function("JSON.stringify(sessionStorage).includes('not for everybody')")
        page.get_by_role("button", name="Sign out").click()

        expect(page).to_have_url(re.compile("/sign-in"))
        for window in (other, page):
            window.wait_for_function("Object.keys(sessionStorage).length === 0")
        other.close()
        page.goto("/")
        expect(page).to_have_url(re.compile("/sign-in"))
        visit.context.close()
        visit.check()


def test_a_draft_is_gone_once_it_is_saved(visit):
    page = visit().open("/?view=new")
    fill(page, "new", name="form-saved", command="true", schedule="0 0 1 1 *")
    save(page, "new")
    expect(page.locator("#jobs-edit-state")).to_contain_text("Loaded by the scheduler")
    page.click("#jobs-header nav >> text=New job")

    expect(page.locator("#jobs-new-name input")).to_have_value("")
    expect(page.locator("#jobs-new-restored p")).to_have_count(0)


def test_an_update_changes_what_was_changed_and_keeps_all_else_as_it_was_written(visit, scheduler, admin):
    text = (
        '{\n    "$schema": "../schemas/job.schema.json", "description": "kept",\n    "name": "form-update",\n'
        '    "schedule": "0 0 1 1 *", "command": "echo a\\r\\necho b", "timeout_seconds": 60.0,\n'
        '    "environment": {"A": "hush", "B": "two\\nlines"}, "working_directory": "/", "enabled": true\n}\n'
    )
    scheduler.job("form-update")
    replace_file(scheduler, "form-update", text)
    page = visit().open("/?view=edit&job=form-update")
    expect(page.locator("#jobs-edit-fold")).to_contain_text("set: Description, Time limit, Environment")
    page.click("#jobs-edit-fold button")
    fill(page, "edit", timeout_seconds="", jitter_seconds="5")
    page.locator("#jobs-edit-enabled input").uncheck()
    page.locator("#jobs-edit-environment textarea").press("Control+End")
    page.locator("#jobs-edit-environment textarea").press_sequentially("\nC=also hush")
    save(page)

    expect(page.locator("#jobs-said")).to_contain_text("jobs/form-update.json written")
    expect(page.locator("#jobs-edit-state")).to_contain_text("Loaded by the scheduler")
    expect(page.locator("#jobs-edit-state")).to_contain_text("Disabled")
    changed = json.loads(text) | {"enabled": False, "jitter_seconds": 5}
    del changed["timeout_seconds"]
    changed["environment"]["C"] = "also hush"
    assert written(scheduler, "form-update") == changed
    now = (scheduler.jobs / "form-update.json").read_text()
    assert now.startswith('{\n    "$schema": "../schemas/job.schema.json", "description": "kept",\n    "name"')
    [line] = [line for line in admin.audit() if line["action"] == "update_job" and line["event"] == "requested"][-1:]
    assert line["details"]["changed"] == {
        "enabled": {"old": True, "new": False},
        "timeout_seconds": {"old": 60.0, "new": None},
        "jitter_seconds": {"old": None, "new": 5},
        "environment": {"old": ["A", "B"], "new": ["A", "B", "C"]},
    }
    assert "hush" not in json.dumps(admin.audit())
    fill(page, "edit", jitter_seconds="6")
    save(page)
    wait_for(lambda: written(scheduler, "form-update")["jitter_seconds"] == 6, "a second save of the same form")


def test_saving_what_is_there_already_writes_nothing(visit, scheduler):
    scheduler.job("form-same", "true", description="a")
    before = (scheduler.jobs / "form-same.json").stat()
    page = visit().open("/?view=edit&job=form-same")
    expect(page.locator("#jobs-edit-name input")).to_have_value("form-same")
    save(page)

    expect(page.locator("#jobs-said")).to_contain_text("Nothing to save")
    assert (scheduler.jobs / "form-same.json").stat() == before


def test_two_admins_on_one_job_the_second_sees_both_versions_and_nothing_is_lost(visit, scheduler):
    scheduler.job("form-two", "echo first")
    anna, ben = visit().open("/?view=edit&job=form-two"), visit(BEN).open("/?view=edit&job=form-two")
    expect(ben.locator("#jobs-edit-command textarea")).to_have_value("echo first")
    fill(anna, "edit", command="echo anna")
    save(anna)
    expect(anna.locator("#jobs-said")).to_contain_text("written")
    fill(ben, "edit", command="echo ben")
    save(ben)

    conflict = ben.locator("#jobs-edit-answer .conflict")
    expect(conflict).to_contain_text("was changed by somebody else meanwhile")
    expect(conflict.locator(".differs td").nth(0)).to_contain_text('"command": "echo ben"')
    expect(conflict.locator(".differs td").nth(1)).to_contain_text('"command": "echo anna"')
    expect(ben.locator("#jobs-edit-command textarea")).to_have_value("echo ben")
    assert written(scheduler, "form-two")["command"] == "echo anna"
    conflict.locator("text=Save mine over it").click()
    expect(ben.locator("dialog >> text=Back")).to_be_focused()
    ben.keyboard.press("Escape")
    assert written(scheduler, "form-two")["command"] == "echo anna"
    conflict.locator("text=Save mine over it").click()
    ben.click("dialog >> text=Write")
    expect(ben.locator("#jobs-said")).to_contain_text("jobs/form-two.json written")
    assert written(scheduler, "form-two")["command"] == "echo ben"


def test_no_key_saves_the_form_behind_a_question(visit, scheduler, admin):
    scheduler.job("form-behind", "echo first")
    page = visit().open("/?view=edit&job=form-behind")
    fill(page, "edit", command="echo not yet")
    page.evaluate("void jobs.ask('Sure?', 'Nothing happens.', 'Do')")
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    fill(page, "edit", command="echo now")
    save(page)
    expect(page.locator("#jobs-said")).to_contain_text("jobs/form-behind.json written")
    wait_for(lambda: written(scheduler, "form-behind")["command"] == "echo now", "the save")

    saves = [line for line in admin.audit() if line["job_name"] == "form-behind" and line["event"] == "requested"]
    assert len(saves) == 1


def test_after_a_conflict_the_newer_version_can_be_loaded(visit, scheduler):
    scheduler.job("form-newer", "echo first")
    page = visit().open("/?view=edit&job=form-newer")
    fill(page, "edit", command="echo mine")
    replace_file(scheduler, "form-newer", {**written(scheduler, "form-newer"), "command": "echo by hand"})
    save(page)
    page.click("#jobs-edit-answer >> text=Load the newer version")

    expect(page.locator("#jobs-edit-command textarea")).to_have_value("echo by hand")
    expect(page.locator("#jobs-edit-answer .conflict")).to_have_count(0)
    fill(page, "edit", command="echo mine now")
    save(page)
    expect(page.locator("#jobs-said")).to_contain_text("written")
    assert written(scheduler, "form-newer")["command"] == "echo mine now"


def test_a_draft_of_an_older_version_is_not_written_over_the_newer_one(visit, scheduler):
    scheduler.job("form-old-draft", "echo first")
    page = visit().open("/?view=edit&job=form-old-draft")
    fill(page, "edit", command="echo mine")
    replace_file(scheduler, "form-old-draft", {**written(scheduler, "form-old-draft"), "schedule": "1 1 1 1 *"})
    page.reload()
    expect(page.locator("#jobs-edit-restored")).to_contain_text("Restored what you had typed")
    expect(page.locator("#jobs-edit-news")).to_contain_text("was changed by somebody else")
    save(page)

    expect(page.locator("#jobs-edit-answer .conflict")).to_contain_text("1 1 1 1 *")
    assert written(scheduler, "form-old-draft")["command"] == "echo first"


def test_a_job_that_was_removed_meanwhile_can_be_made_anew_from_what_was_typed(visit, scheduler):
    scheduler.job("form-removed", "echo first")
    page = visit().open("/?view=edit&job=form-removed")
    fill(page, "edit", command="echo again")
    (scheduler.jobs / "form-removed.json").unlink()
    save(page)
    expect(page.locator("#jobs-edit-answer .conflict")).to_contain_text("was removed by somebody else")
    assert not (scheduler.jobs / "form-removed.json").exists()
    page.click("text=Create it anew")
    page.click("dialog >> text=Write")

    expect(page.locator("#jobs-said")).to_contain_text("jobs/form-removed.json written")
    assert written(scheduler, "form-removed")["command"] == "echo again"


def test_an_open_form_tells_that_its_file_was_changed_or_removed_and_keeps_what_was_typed(visit, scheduler):
    scheduler.job("form-news", "echo first")
    page = visit().open("/?view=edit&job=form-news")
    fill(page, "edit", command="echo mine")
    news = page.locator("#jobs-edit-news .notice")
    expect(page.locator("#jobs-edit-state")).to_contain_text("Loaded by the scheduler")
    expect(news).to_be_hidden()
    before = written(scheduler, "form-news")
    replace_file(scheduler, "form-news", {**before, "command": "echo theirs"})
    expect(news).to_contain_text("jobs/form-news.json was changed by somebody else meanwhile")
    page.set_viewport_size({"width": 1440, "height": 500})
    page.locator("#jobs-edit-save").scroll_into_view_if_needed()
    expect(news).to_be_in_viewport()
    replace_file(scheduler, "form-news", before)
    expect(news).to_be_hidden()
    (scheduler.jobs / "form-news.json").unlink()
    expect(news).to_contain_text("The file of form-news was removed by somebody else meanwhile")
    expect(news.locator("button")).to_have_count(0)

    expect(page.locator("#jobs-edit-command textarea")).to_have_value("echo mine")


def test_an_own_save_is_no_news(visit, scheduler):
    def is_saved(command: str) -> bool:
        return bool(written(scheduler, "form-own")["command"] == command)

    scheduler.job("form-own", "echo first")
    page = visit().open("/?view=edit&job=form-own")
    page.evaluate(
        """() => new MutationObserver(() => {
            const news = document.querySelector("#jobs-edit-news .notice");
            if (news && !news.hidden) window.flashed = true;
        }).observe(document, { childList: true, subtree: true, attributes: true })"""
    )
    for command in ("echo second", "echo third"):
        fill(page, "edit", command=command)
        save(page)
        wait_for(partial(is_saved, command), "the save")
        version = hashlib.sha256((scheduler.jobs / "form-own.json").read_bytes()).hexdigest()
        expect(page.locator("#jobs-edit-news .notice")).to_have_attribute("data-version", version)

    assert not page.evaluate("() => window.flashed")


def test_a_file_that_is_no_json_is_shown_with_what_is_wrong_and_without_a_form(visit):
    page = visit().open("/?view=edit&job=broken")

    expect(page.locator("#jobs-edit-about")).to_contain_text("jobs/broken.json is invalid")
    expect(page.locator("#jobs-edit-about")).to_contain_text(
        re.compile("line \\d, column \\d+: the JSON ends too early")
    )
    expect(page.locator("#jobs-edit-about pre")).to_contain_text('"schedule": "99 * * * *"')
    expect(page.locator("#jobs-edit-save")).to_be_hidden()
    expect(page.locator("#jobs-edit-state")).to_contain_text("Invalid")


def test_a_file_with_a_wrong_field_can_be_put_right(visit, scheduler):
    scheduler.job("form-wrong")
    replace_file(scheduler, "form-wrong", {**written(scheduler, "form-wrong"), "timeout_seconds": "soon"})
    page = visit().open("/?view=edit&job=form-wrong")
    expect(page.locator("#jobs-edit-about")).to_contain_text("timeout_seconds: expected a number")
    save(page)
    expect(error_at(page, "edit", "timeout-seconds")).to_have_text("expected a number")
    fill(page, "edit", timeout_seconds="90")
    save(page)

    expect(page.locator("#jobs-said")).to_contain_text("jobs/form-wrong.json written")
    assert written(scheduler, "form-wrong")["timeout_seconds"] == 90


def test_unknown_keys_can_be_removed(visit, scheduler):
    scheduler.job("form-strange")
    strange = {**written(scheduler, "form-strange"), "<img src=x>": 1, "timeout_second": 90}
    replace_file(scheduler, "form-strange", strange)
    page = visit().open("/?view=edit&job=form-strange")
    expect(page.locator("#jobs-edit-about")).to_contain_text("timeout_second: unknown key; did you mean")
    expect(page.locator("#jobs-edit-about")).to_contain_text("Put it right below, where unknown keys can be removed;")
    save(page)
    expect(page.locator("#jobs-edit-answer")).to_contain_text("timeout_second: unknown key")
    page.get_by_label("Remove unknown keys: <img src=x>, timeout_second").check()
    save(page)

    expect(page.locator("#jobs-said")).to_contain_text("jobs/form-strange.json written")
    expect(page.locator("#jobs-edit-about .trouble, #jobs-edit-drop")).to_have_count(0)
    del strange["<img src=x>"], strange["timeout_second"]
    assert written(scheduler, "form-strange") == strange


def test_a_job_that_is_not_there_is_said_and_another_can_be_chosen(visit):
    page = visit().open("/?view=edit&job=never-was")
    expect(page.locator("#jobs-edit-about [role=alert]")).to_contain_text("There is no job called never-was")
    expect(page.locator("#jobs-edit-save")).to_be_hidden()
    page.locator("#jobs-edit-job input").click()
    page.locator("#jobs-edit-job input").press_sequentially("check-c")
    page.locator("#jobs-edit-job input").press("Enter")

    expect(page.locator("#jobs-edit-name input")).to_have_value("check-certs")
    expect(page.locator("#jobs-edit-save")).to_be_visible()
    assert page.url.endswith("?view=edit&job=check-certs")


def test_a_definition_that_the_scheduler_refuses_says_why(visit):
    page = visit().open("/?view=new")
    directory = "/no/such/directory"
    fill(page, "new", name="form-refused", command="true", schedule="0 0 1 1 *", working_directory=directory)
    save(page, "new")

    expect(page.locator("#jobs-said")).to_contain_text("written")
    expect(page.locator("#jobs-edit-state")).to_contain_text("Refused by the scheduler")
    expect(page.locator("#jobs-edit-state")).to_contain_text("working_directory")


def test_hostile_texts_are_shown_and_do_nothing(visit, scheduler):
    text = HOSTILE.decode("utf-8", "replace").replace("\x00", "")
    scheduler.job("form-hostile", text, description=text, environment={"A": text})
    page = visit().open("/?view=edit&job=form-hostile")
    page.click("#jobs-edit-fold button")

    expect(page.locator("#jobs-edit-description input")).to_have_value(re.compile("^<script>document.title"))
    notices = page.locator("#jobs-edit-about .notice")
    expect(notices).to_have_count(2)  # the environment's values are written with escapes
    expect(notices.first).to_contain_text("Command holds characters that are not seen as they are")
    expect(notices.first).to_contain_text("\\x1b[31mred")
    expect(notices.first).to_contain_text("\\u202elive")
    expect(page.locator("#jobs-edit-environment textarea")).to_have_value(re.compile(r"\\u001b\[31mred.*\\u202elive"))
    assert "evil" not in page.title()
    fill(page, "edit", jitter_seconds="1")
    save(page)
    expect(page.locator("#jobs-said")).to_contain_text("jobs/form-hostile.json written")
    document = written(scheduler, "form-hostile")
    assert (document["command"], document["description"], document["jitter_seconds"]) == (text, text, 1)


def test_on_a_phone_the_form_is_one_column_with_large_targets_and_no_sideways_scroll(visit):
    page = visit(viewport=PHONE).open("/?view=new")
    page.click("#jobs-new-fold button")
    expect(page.locator("#jobs-new-environment")).to_be_visible()

    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    targets = page.locator(
        "#jobs-new :is(button, textarea, input:not([type=checkbox], [type=radio])):visible,"
        "#jobs-new label:has([type=checkbox], [type=radio]):visible"
    )
    small = [
        each.evaluate("each => each.outerHTML.slice(0, 120)")
        for each in targets.all()
        if (each.bounding_box() or {"height": 0})["height"] < 43.5
        and each.evaluate("each => !each.closest('.jobs-unseen')")
    ]
    assert small == []
    fields = ("name", "working-directory", "command", "schedule", "timezone")
    boxes = [page.locator(f"#jobs-new-{name}").bounding_box() for name in fields]
    assert len({round(box["x"]) for box in boxes if box}) == 1
