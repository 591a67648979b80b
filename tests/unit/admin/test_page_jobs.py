"""The first view's HTML: what stands at the top, which job comes first, and what a row says of it."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from admin_ui.job_files import JobFile
from admin_ui.model import FAILURES, JobConfig
from admin_ui.overview import Overview, Upcoming, refusals
from admin_ui.page.address import Address, parse
from admin_ui.page.alarm import alarm
from admin_ui.page.job_rows import JobRow, State, chosen, job_names, job_rows
from admin_ui.page.job_table import ROWS_A_PAGE, chips, table
from admin_ui.page.jobs import look
from admin_ui.page.result import outcome
from admin_ui.queries import MOST_FAILURES, Filter, HistoryRow, Page, Recent
from admin_ui.requests import Request, RequestFile
from admin_ui.scheduler_state import ConfigProblem, SchedulerState

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
LONG_AGO = NOON - timedelta(days=3)
REQUEST = "0b5e0f6e-3f4c-4a55-9d0e-7e4b1c2d3f4a"


def ago(seconds: float) -> datetime:
    return NOON - timedelta(seconds=seconds)


def job(name: str, **fields: Any) -> JobFile:
    config = JobConfig(name, "*/5 * * * *", fields.pop("command", "true"), "/", fields.pop("enabled", True), **fields)
    return JobFile(f"{name}.json", name, "ab" * 32, "{}", {}, config, modified=LONG_AGO)


def invalid(file: str = "broken.json", **errors: str) -> JobFile:
    said = errors or {"": "line 4, column 1: the JSON ends too early; write the rest"}
    return JobFile(file, file.removesuffix(".json"), "ab" * 32, "{", errors=said, modified=LONG_AGO)


def refusal(name: str, field: str = "timezone", found: str = "Mars", wanted: str = "expected a zone") -> ConfigProblem:
    return ConfigProblem(
        file=f"{name}.json", job_name=name, problems=((field, found, wanted),), kept_last_good=True, at=NOON
    )


def run(job_name: str, status: str = "failure", at: datetime = NOON, **fields: Any) -> HistoryRow:
    failed = status in FAILURES
    ended: dict[str, Any] = {"end_time": at, "exit_code": int(status != "success"), "duration_seconds": 2}
    known = {} if status in ("running", "queued") else ended
    return HistoryRow(
        run_id=f"{job_name}-run", job_name=job_name, status=status, failed=failed, at=at, **{**known, **fields}
    )


def request(job_name: str, requested_by: str | None, at: datetime) -> RequestFile:
    file = f"{job_name}-request.json"
    return RequestFile(Request(REQUEST, "run", job_name), file, requested_by, at, f"{file}@5")


def recent(last: HistoryRow, *statuses: str, median: float | None = None, p95: float | None = None) -> Recent:
    results = [(f"r{number}", status, NOON) for number, status in enumerate(statuses or (last.status,))]
    return Recent(last, tuple(results), median, p95)


def seen(*files: JobFile, **changes: Any) -> Overview:
    state: dict[str, Any] = {"journal_problem": None, "watch_problem": None, "config_errors": ()}
    state |= {"status": "alive", "last_seen": NOON, "timezone": "UTC"}
    scheduler = SchedulerState(**state | changes.pop("scheduler", {}))
    facts: dict[str, Any] = {
        "files": list(files),
        "running": [],
        "queued": [],
        "failed": [],
        "unanswered": [],
        "upcoming": [],
        "invalid_files": [each for each in files if each.config is None],
        "loaded": {},
        "refused": refusals(files, {}, scheduler, NOON),
        "changed_outside": {},
        "now": NOON,
        "scheduler": scheduler,
        "paused_since": None,
        "index_problem": None,
        "skipped_lines": 0,
    }
    return Overview(**facts | changes)


def shown(overview: Overview, address: str = "", /, **recents: Recent) -> str:
    fields = dict(pair.split("=", 1) for pair in address.split("&") if pair)
    rows = job_rows(overview, {name.replace("_", "-"): each for name, each in recents.items()})
    where = Address("jobs", fields)
    return table(chosen(rows, where), where, overview)


def text(markup: str) -> str:
    """Return what is to be read, without tags and titles."""
    without = re.sub(r"<title>.*?</title>", "", markup)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", without))).strip()


def order(markup: str) -> list[str]:
    return re.findall(r'data-job="([^"]*)"', markup)


def test_failed_jobs_come_first_the_newest_before_the_others_then_invalid_then_running_then_by_the_next_run():
    files = [job("later"), job("sooner"), invalid(), job("busy"), job("old-failure"), job("new-failure")]
    times = {"later": 300, "sooner": 60}
    overview = seen(
        *files,
        running=[run("busy", "running")],
        upcoming=[Upcoming(job_name=name, at=NOON + timedelta(seconds=s), zone="UTC") for name, s in times.items()],
    )
    ends = {"old_failure": recent(run("old-failure", at=ago(90))), "new_failure": recent(run("new-failure"))}

    assert order(shown(overview, **ends)) == ["new-failure", "old-failure", "broken", "busy", "sooner", "later"]


def test_a_job_that_failed_stays_with_the_failed_ones_while_it_runs_again():
    overview = seen(job("a"), running=[run("a", "running")])
    (row,) = job_rows(overview, {"a": recent(run("a"))})

    assert row.state is State.FAILED
    assert "running since" in text(shown(overview, a=recent(run("a"))))


def test_a_row_of_a_failed_job_has_the_word_that_made_it_fail_and_the_reason_without_a_click():
    cause = "ValueError: could not convert string to float: '12,90'"
    found = shown(seen(job("import-orders")), import_orders=recent(run("import-orders", cause=cause)))

    assert "exit 1" in text(found) and cause in text(found)
    assert 'href="?view=logs&amp;run=import-orders-run"' in found
    assert 'class="state ok"' not in found and "icon ok" not in found


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"exit_code": 3}, "exit 3"),
        ({"status": "success", "exit_code": 0}, "exit 0"),
        ({"exit_code": 137, "signal": 9}, "killed by SIGKILL"),
        ({"exit_code": 166, "signal": 38}, "killed by signal 38"),
        ({"exit_code": 127, "reason": "no such directory"}, "start refused, exit 127"),
        ({"exit_code": 127, "reason": "no room was left", "cpu_seconds": 0.1}, "exit 127"),
        ({"exit_code": 153, "signal": 25, "reason": "no room was left", "cpu_seconds": 0.1}, "killed by SIGXFSZ"),
        ({"exit_code": None, "reason": "no room was left"}, "exit code unknown"),
        ({"status": "timeout", "reason": "ran longer than 3600 s", "signal": 15}, "timeout 3600 s"),
        ({"status": "cancelled", "reason": f"cancelled by request {REQUEST}"}, "cancelled by anna"),
        ({"status": "cancelled", "reason": "cancelled by request unknown"}, "cancelled"),
        ({"status": "interrupted"}, "interrupted"),
        ({"status": "output_limit"}, "output limit"),
    ],
)
def test_an_end_is_said_in_a_few_words(fields, words):
    assert (
        outcome(run("a", **fields), lambda request_id, job_name: {(REQUEST, "a"): "anna"}.get((request_id, job_name)))
        == words
    )


def test_each_state_has_a_word_of_its_own():
    files = [job("never"), job("off", enabled=False), invalid(), job("waits"), job("runs"), job("good"), job("killed")]
    overview = seen(*files, running=[run("runs", "running")], queued=[run("waits", "queued")])
    found = shown(overview, good=recent(run("good", "success")), killed=recent(run("killed", "cancelled")))
    words = re.findall(r'<span class="icon \w+"></span>([^<]+)</span>', found)

    assert sorted(words) == sorted(["never", "disabled", "invalid: line 4", "queued", "running", "ok", "cancelled"])


def test_a_retry_says_when():
    overview = seen(job("a"), queued=[run("a", "queued", NOON + timedelta(seconds=40), trigger="retry")])

    assert "retry 2026-11-25 12:00:40 UTC" in text(shown(overview, a=recent(run("a"))))


def test_a_running_job_says_since_when_and_what_is_usual_and_is_late_past_the_95th_percentile():
    known = recent(run("a", "success"), median=60, p95=90)
    in_time = seen(job("a"), running=[run("a", "running", ago(80))])
    late = seen(job("a"), running=[run("a", "running", ago(100))])

    assert 'data-elapsed data-usual="90"' in shown(in_time, a=known)
    assert "usually 1 min 00 s" in text(shown(in_time, a=known))
    assert alarm(in_time, job_rows(in_time, {"a": known})) == ""
    assert "state warn" in shown(late, a=known)
    assert text(alarm(late, job_rows(late, {"a": known}))) == "a is running for unusually long"


def test_a_run_of_moments_is_not_late_at_once():
    overview = seen(job("a"), running=[run("a", "running", ago(3))])
    (row,) = job_rows(overview, {"a": recent(run("a", "success"), median=0.1, p95=0.2)})

    assert not row.late


def test_bars_say_in_words_how_many_were_ok_and_when_the_others_failed():
    statuses = ["failure", *["success"] * 17, "timeout", "cancelled"]
    found = shown(seen(job("a")), a=recent(run("a"), *statuses))

    assert 'aria-label="17 of 20 ok"' in found
    assert found.count('<path class="ok"') == 1 and found.count('<path class="bad"') == 2
    assert "<title>failure, 2026-11-25 12:00:00 UTC</title>" in found


def test_a_row_says_the_next_run_relative_and_absolute_in_the_zone_of_the_job():
    at = datetime(2026, 11, 26, 1, 30, tzinfo=UTC)
    overview = seen(job("a", timezone="Europe/Berlin"), upcoming=[Upcoming(job_name="a", at=at, zone="Europe/Berlin")])
    found = shown(overview)

    assert found.count('data-zone="Europe/Berlin"') == 2 and found.count("data-relative") == 1
    assert "Every 5 minutes (Europe/Berlin)" in text(found)
    assert "paused 2026-11-26 01:30:00 UTC" in text(
        shown(seen(*overview.files, upcoming=overview.upcoming, paused_since=NOON))
    )


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("stopping", "scheduler stopping"),
        ("stopped", "scheduler stopped"),
        ("crashed", "scheduler crashed"),
        ("silent", "scheduler silent"),
        ("unknown", "no scheduler"),
    ],
)
def test_no_next_run_is_counted_down_to_while_no_scheduler_starts_it(status, told):
    coming = [Upcoming(job_name="a", at=NOON, zone="UTC")]
    found = shown(seen(job("a"), upcoming=coming, scheduler={"status": status}, paused_since=NOON))

    assert f"{told} 2026-11-25 12:00:00 UTC" in text(found)
    assert "data-relative" not in found


def test_a_row_says_by_how_much_jitter_may_delay_the_next_run():
    coming = Upcoming(job_name="a", at=NOON, zone="UTC")
    spread, exact = (shown(seen(job("a", jitter_seconds=each), upcoming=[coming])) for each in (600, 0))

    assert "12:00:00 UTC , up to 10 min 00 s later" in text(spread)
    assert "later" not in text(exact)


def test_a_time_that_has_come_is_due_while_jitter_delays_its_start():
    coming = Upcoming(job_name="a", at=ago(30), zone="UTC")

    assert "due 2026-11-25 11:59:30 UTC" in text(shown(seen(job("a", jitter_seconds=60), upcoming=[coming])))


def test_a_saved_file_is_told_apart_from_a_loaded_one():
    saved = JobFile("a.json", "a", "ab" * 32, "{}", {}, job("a").config, modified=ago(2))

    assert "saved, not loaded yet" in text(shown(seen(saved, loaded={"a": False})))
    assert "loaded by the scheduler" in text(shown(seen(saved, loaded={"a": True})))
    assert "loaded" not in text(shown(seen(job("a"), loaded={"a": True})))


def test_a_request_that_waits_is_told_with_its_job_and_after_some_seconds_at_the_top():
    mine = request("a", "anna", ago(60))
    overview = seen(job("a"), unanswered=[mine, request("a", "eve", ago(50)), request("b", None, ago(3))])
    rows = job_rows(overview, {})

    def is_confirmed(file: RequestFile) -> bool:
        return file is mine

    by_anna = "run asked for by anna 2026-11-25 11:59:00 UTC"
    told = text(table(rows, Address(), overview, is_confirmed=is_confirmed))
    top = alarm(overview, rows, is_confirmed=is_confirmed)
    assert f"waiting: {by_anna} , not taken up yet, and 1 more" in told
    assert f"Not taken up by the scheduler yet: a ( {by_anna} ), a ( run asked for by eve (unconfirmed)" in text(top)
    assert "jobs/triggers/a-request.json" in top and ">b<" not in top


def test_a_request_without_a_name_says_only_when():
    overview = seen(job("a"), unanswered=[request("a", None, ago(3))])

    assert "waiting: run asked for 2026-11-25 11:59:57 UTC" in text(shown(overview))


def test_a_job_whose_file_is_gone_stays_while_it_runs():
    overview = seen(running=[run("gone", "running")])

    assert job_names(overview) == ["gone"]
    assert "file removed" in text(shown(overview))


DOUBLE = JobFile("b.json", "a", "cd" * 32, "{}", {}, None, {"name": "expected another name"}, "a.json")


def missed(job_name: str, at: datetime, **fields: Any) -> HistoryRow:
    """Return a time that was missed; its line was written at noon."""
    facts = {"run_id": None, "status": "missed", "failed": False, "at": NOON, "scheduled_time": at, **fields}
    return HistoryRow(job_name=job_name, **facts)


def test_a_missed_time_is_told_before_what_goes_well_until_the_job_runs_again():
    overview = seen(job("backup"), job("caught-up"), job("fine"), job("off", enabled=False))
    ends = {
        "backup": recent(run("backup", "success", ago(90_000))),
        "caught-up": recent(run("caught-up", "success", ago(1), end_time=NOON)),
    }
    names = ("backup", "caught-up", "off")
    rows = job_rows(overview, ends, [missed(name, ago(seconds)) for seconds in (600, 1200) for name in names])
    found = table(rows, Address(), overview)

    assert order(found) == ["backup", "caught-up", "fine", "off"]
    assert text(found).count("missed") == 1 and "ok missed 2026-11-25 11:50:00 UTC" in text(found)
    assert text(alarm(overview, rows)) == "backup missed its time and has not run since"
    assert 'href="?view=history&amp;job=backup&amp;status=missed"' in alarm(overview, rows)


def test_many_missed_times_are_counted():
    overview = seen(*(job(f"job-{number}") for number in range(30)))
    rows = job_rows(overview, {}, [missed(f"job-{number}", ago(60)) for number in range(30)])

    assert text(alarm(overview, rows)).endswith("and 22 more missed their times and have not run since")


def test_the_times_that_were_missed_in_the_last_day_are_looked_for():
    asked = []

    def get_history_page(which: Filter, *, limit: int) -> Page:
        asked.append(which)
        return Page((missed("a", ago(60)),), None)

    overview = seen(job("a"))
    service = SimpleNamespace(
        overview=lambda upcoming: overview, get_recents=lambda names: {}, get_history_page=get_history_page
    )
    (row,) = look(cast(Any, service), Address()).rows

    assert asked == [Filter(status="missed", since=NOON - timedelta(days=1))]
    assert row.missed is not None


def test_a_second_file_of_the_same_name_is_a_row_of_its_own_that_cannot_be_selected():
    found = shown(seen(job("a"), DOUBLE), "job=a")

    assert order(found) == ["", "a"]
    assert found.count('aria-selected="true"') == 1


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ([job("a"), DOUBLE], "b.json"),
        ([invalid("a.json"), replace(job("a"), file="b.json")], "a.json"),
        ([replace(invalid("b.json"), name="a"), invalid("a.json")], "b.json"),
    ],
)
def test_a_file_whose_name_leads_to_another_one_is_called_by_its_own_and_nothing_leads_to_the_other(files, named):
    overview = seen(*files, running=[run("a", "running")], changed_outside={"a": ago(60)})
    rows = job_rows(overview, {"a": recent(run("a", "success"))})
    (double,) = [row for row in rows if row.is_double]
    found = table([double], Address(), overview)

    assert text(found).count(named) == 1 and "running" not in text(found) and "<a" not in found.partition("<tbody>")[2]
    assert f'<a href="?view=jobs&amp;state=invalid">{named}</a> is invalid' in alarm(overview, rows)
    assert text(alarm(overview, rows)).count("Changed outside this page: a 2026-11-25 11:59:00 UTC") == 1


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("state=failed", ["bad"]),
        ("state=disabled", ["off"]),
        ("state=running", ["busy"]),
        ("state=nonsense", []),
        ("find=BAD", ["bad"]),
        ("find=psql", ["off"]),
        ("find=orders", ["busy"]),
        ("find=psql&state=failed", []),
        ("sort=job", ["bad", "busy", "off"]),
        ("sort=-job", ["off", "busy", "bad"]),
        ("sort=-last", ["busy", "bad", "off"]),
        ("sort=last", ["bad", "busy", "off"]),
        ("sort=nonsense", ["bad", "busy", "off"]),
    ],
)
def test_rows_are_filtered_and_sorted_by_the_address(address, names):
    files = [job("off", enabled=False, command="psql -c x"), job("busy", description="Reads Orders"), job("bad")]
    overview = seen(*files, running=[run("busy", "running")])
    ends = {"bad": recent(run("bad", at=ago(60))), "busy": recent(run("busy", "success", ago(5)))}

    assert order(shown(overview, address, **ends)) == names


def test_columns_are_links_that_sort_and_say_how_they_are_sorted():
    files = [job("a"), job("b")]

    assert '<th scope="col" class="c-job" aria-sort="none"><a href="?view=jobs&amp;sort=job">' in shown(seen(*files))
    assert 'aria-sort="ascending"><a href="?view=jobs&amp;sort=-job">' in shown(seen(*files), "sort=job")
    assert 'aria-sort="descending"><a href="?view=jobs">' in shown(seen(*files), "sort=-job")


def test_many_jobs_come_in_pages():
    overview = seen(*(job(f"job-{number:03}") for number in range(ROWS_A_PAGE * 2 + 1)))
    first, last = shown(overview), shown(overview, "page=3")

    assert len(order(first)) == ROWS_A_PAGE
    assert f"1 to {ROWS_A_PAGE} of {ROWS_A_PAGE * 2 + 1}" in text(first)
    assert order(last) == [f"job-{ROWS_A_PAGE * 2}"]
    assert order(shown(overview, "page=99")) == order(last)
    assert order(shown(overview, "page=-x")) == order(first)


def test_only_one_row_is_in_the_way_of_the_tab_key():
    found = shown(seen(job("a"), job("b"), job("c")), "job=b")

    assert re.findall(r'data-job="(\w)" tabindex="0" aria-selected="(\w+)"', found) == [("b", "true")]


def test_an_empty_folder_and_a_search_without_a_hit_say_what_to_do():
    assert "There is no job yet" in text(shown(seen()))
    assert "No job fits" in text(shown(seen(job("a")), "find=zzz"))


def test_chips_count_only_the_states_that_there_are():
    rows = job_rows(seen(job("a"), job("b", enabled=False)), {"a": recent(run("a"))})

    assert text(chips(rows, Address(), 0)) == "2 jobs 1 failed 1 disabled"
    assert text(chips(rows, Address(), 7)).endswith("7 failed runs in 24 h")
    assert text(chips(rows, Address(), MOST_FAILURES)).endswith(f"{MOST_FAILURES}+ failed runs in 24 h")


def test_nothing_stands_at_the_top_when_all_is_well():
    overview = seen(job("a"))

    assert alarm(overview, job_rows(overview, {"a": recent(run("a", "success"))})) == ""


def test_the_alarm_names_the_failed_jobs_each_a_link_to_that_run():
    overview = seen(job("import-orders"), job("flaky-api"), job("fine"))
    ends = {
        "import-orders": recent(run("import-orders")),
        "flaky-api": recent(run("flaky-api", "timeout", ago(9), reason="ran longer than 2 s")),
        "fine": recent(run("fine", "success")),
    }
    found = alarm(overview, job_rows(overview, ends))

    assert text(found) == "import-orders (exit 1) , flaky-api (timeout 2 s) failed"
    assert re.findall(r'href="\?view=logs&amp;run=([\w-]+)"', found) == ["import-orders-run", "flaky-api-run"]
    assert "<button" not in found


def test_the_alarm_names_the_first_of_many():
    overview = seen(*(job(f"job-{number}") for number in range(30)))
    ends = {f"job-{number}": recent(run(f"job-{number}", at=ago(number))) for number in range(30)}

    assert text(alarm(overview, job_rows(overview, ends))).endswith("job-7 (exit 1) and 22 more failed")


def test_a_deploy_that_changes_all_files_names_the_newest_two_and_counts_the_others():
    files = [job(f"job-{number}") for number in range(30)]
    overview = seen(*files, changed_outside={each.name: ago(100 - number) for number, each in enumerate(files)})
    told = alarm(overview, job_rows(overview, {}))

    assert re.sub(" 2026[^,]*? UTC", "", text(told)) == "Changed outside this page: job-29 , job-28 and 28 more"
    assert 'href="?view=jobs&amp;state=changed"' in told


def test_the_alarms_link_to_one_job_leads_to_its_row_among_hundreds():
    files = [job(f"job-{number}") for number in range(300)]
    overview = seen(*files, changed_outside={"job-299": ago(60)})
    rows = job_rows(overview, {})
    (to,) = re.findall(r'href="([^"]*job=[^"]*)"', alarm(overview, rows))
    where = parse(html.unescape(to))

    assert order(table(chosen(rows, where), where, overview)) == ["job-299"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scheduler": {"status": "stopped"}}, "Scheduler stopped"),
        ({"scheduler": {"status": "stopping"}}, "Scheduler is stopping"),
        ({"scheduler": {"status": "crashed"}}, "Scheduler crashed"),
        ({"scheduler": {"status": "silent"}}, "Scheduler silent, last seen 2026-11-25 12:00:00 UTC"),
        ({"scheduler": {"status": "unknown", "last_seen": None}}, "No sign of a scheduler"),
        ({"scheduler": {"journal_problem": "No space left"}}, "The journal cannot be written: No space left"),
        ({"scheduler": {"watch_problem": "no watches"}}, "notices changed files late: no watches"),
        ({"paused_since": NOON}, "All schedules are paused since 2026-11-25 12:00:00 UTC"),
        ({"index_problem": "the logs cannot be read"}, "What you see may be old: the logs cannot be read"),
        ({"skipped_lines": 1}, "1 line of the logs cannot be read"),
        ({"loaded": {"a": False}}, "a : saved, but the scheduler has not loaded it"),
        ({"changed_outside": {"a": ago(60)}}, "Changed outside this page: a 2026-11-25 11:59:00 UTC"),
    ],
)
def test_what_is_wrong_is_said_at_the_top(changes, words):
    overview = seen(job("a"), **changes)

    assert words in text(alarm(overview, job_rows(overview, {})))


def test_an_invalid_file_says_what_is_wrong_with_it_and_whether_the_last_good_version_counts():
    wrong = refusal("broken", "schedule", "61 * * * *", "0 to 59")
    overview = seen(invalid(schedule="61 is no minute"), scheduler={"config_errors": (wrong,)})
    rows = job_rows(overview, {})

    told = "broken.json is invalid: schedule: 61 is no minute. The last good version stays in force."
    assert text(alarm(overview, rows)) == told
    assert "schedule: 61 is no minute" in text(table(rows, Address(), overview))


def test_a_version_that_only_the_scheduler_refuses_is_refused_and_nothing_of_its_text_passes_for_what_runs():
    """The last good version counts, whose text, and so its next run, only the scheduler knows."""
    wrong = refusal("a", "working_directory", "/nope", "expected an existing directory")
    overview = seen(job("a", command="new command"), loaded={"a": False}, scheduler={"config_errors": (wrong,)})
    (row,) = job_rows(overview, {"a": recent(run("a", "success"))})
    found = text(table([row], Address(), overview).partition("<tbody>")[2])

    assert row.state is State.REFUSED
    assert found.startswith("refused the last good version is in force a working_directory: expected an existing direc")
    assert "not known" in found
    assert "new command" not in found and "Every 5 minutes" not in found and "not loaded" not in found


def test_a_refused_version_without_a_good_one_before_it_is_not_in_force():
    wrong = replace(refusal("a"), job_name=None, kept_last_good=False)
    overview = seen(job("a", enabled=False), loaded={"a": False}, scheduler={"config_errors": (wrong,)})
    found = text(shown(overview).partition("<tbody>")[2])

    assert found.startswith("refused not in force a ") and "not known" not in found and "disabled" not in found


def test_one_line_at_the_top_says_what_the_scheduler_refuses_with_a_link_to_the_file():
    wrong = refusal("a", "timezone", "Mars", "expected a zone")
    overview = seen(job("a"), loaded={"a": False}, scheduler={"config_errors": (wrong,)})
    found = alarm(overview, job_rows(overview, {}))

    told = "a.json is refused by the scheduler: timezone: expected a zone, found Mars. "
    assert text(found) == told + "The last good version stays in force."
    assert '<a href="?view=edit&amp;job=a">a.json</a>' in found


def test_what_the_scheduler_cannot_use_and_this_page_does_not_see_is_said_too():
    overview = seen(job("a"), scheduler={"config_errors": (refusal("elsewhere", "", "", "permission denied"),)})

    told = "The scheduler cannot use elsewhere.json: permission denied"
    assert text(alarm(overview, job_rows(overview, {}))) == told


def test_hostile_names_commands_and_output_are_shown_as_text():
    bad = "<script>alert(1)</script>${7*7}{{7*7}}\x1b[31m\u202elive\x00"
    overview = seen(
        *(job("a", command=bad, description=bad), invalid(f"{bad}.json", **{bad: bad})),
        changed_outside={"a": NOON},
        unanswered=[request("a", bad, ago(60))],
    )
    rows = job_rows(overview, {"a": recent(run("a", cause=bad))})
    address = Address("jobs", {"find": bad, "sort": bad, "state": bad})
    markup = alarm(overview, rows) + chips(rows, address, 1) + table(rows, address, overview)

    assert "<script>" not in markup and "\x1b" not in markup and "\u202e" not in markup and "\x00" not in markup
    assert "\\x1b[31m\\u202elive\\x00" in text(markup)


@pytest.mark.parametrize(
    ("fields", "active", "runnable"),
    [
        ({}, [], True),
        ({"enabled": False}, [], False),
        ({}, ["a"], False),
        ({"concurrency_policy": "allow"}, ["a"], True),
    ],
)
def test_a_run_is_offered_where_the_scheduler_would_agree(fields, active, runnable):
    overview = seen(job("a", **fields), running=[run(name, "running") for name in active])
    (row,) = job_rows(overview, {})

    assert row.runnable is runnable


@pytest.mark.parametrize(("kept", "active", "runnable"), [(True, [], True), (True, ["a"], False), (False, [], False)])
@pytest.mark.parametrize("file", [job("a", concurrency_policy="allow"), job("a", enabled=False), invalid("a.json")])
def test_of_a_version_that_the_scheduler_cannot_use_the_last_good_one_can_be_run(file, kept, active, runnable):
    """Of that one nobody but the scheduler knows whether it allows a second run, or is disabled."""
    wrong = replace(refusal("a"), kept_last_good=kept)
    overview = seen(file, running=[run(name, "running") for name in active], scheduler={"config_errors": (wrong,)})
    (row,) = job_rows(overview, {})

    assert (row.runnable, row.kept) == (runnable, kept)


@pytest.mark.parametrize(
    ("status", "kept"), [("alive", True), ("stopping", True), ("stopped", False), ("silent", False)]
)
def test_a_last_good_version_ends_with_its_scheduler(status, kept):
    overview = seen(job("a"), scheduler={"status": status, "config_errors": (refusal("a"),)})
    (row,) = job_rows(overview, {})

    assert (row.kept, row.state) == (kept, State.REFUSED)
    assert ("stays in force" in alarm(overview, [row])) is kept


def test_the_last_good_version_of_another_job_is_not_this_ones():
    """The file named another job before: the scheduler still has that one, and none of the new name."""
    wrong = replace(refusal("a"), job_name="earlier-name")
    (row,) = job_rows(seen(job("a"), scheduler={"config_errors": (wrong,)}), {})

    assert (row.runnable, row.kept) == (False, False)


def test_the_run_that_is_worth_a_look_is_the_failed_one_else_the_one_that_is_going():
    going = replace(run("a", "running"), run_id="going")
    failed = JobRow(name="a", file=job("a"), state=State.FAILED, recent=recent(run("a")), running=(going,))
    runs = JobRow(name="a", file=job("a"), state=State.RUNNING, recent=recent(run("a", "success")), running=(going,))

    assert (failed.run_id, runs.run_id) == ("a-run", "going")
