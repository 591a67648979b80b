"""Measure 7, the page: what a person at a browser waits for, and what many open browsers cost the admin service."""

from __future__ import annotations

import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page

from benchmarks import machine
from benchmarks.admin import KEEP_DAYS, make_index
from benchmarks.report import Figures
from benchmarks.systems import SystemFailed, admin_service
from tests.admin_stack import ANNA, Admin, Visit, add_showcase, chromium, find_chromium
from tests.daemon import Daemon

TIMES = 7
FAILED = "import-orders"
CAUSE = "#jobs-logs-stderr :text('ValueError')"
A_WHILE_MS = 1_000
"""Time for what a view does after it is shown, so that it is not in the next figure."""

REST_SECONDS = 20.0

FOOTPRINT = "RssAnon", "VmSwap"
"""What Chromium's task manager shows as the memory of a tab on Linux: what is its own. The rest of its RSS is
Chromium's program, which all tabs have in common."""

PAINTED = """() => {
    window.painted = [];
    document.addEventListener("keydown", (event) =>
        requestAnimationFrame(() => setTimeout(() => painted.push(performance.now() - event.timeStamp))), true);
}"""
"""Notes the ms from each key to the first frame after it."""


def measure(root: Path, crowd: int) -> Iterator[tuple[str, str, Figures]]:
    """Yield what one person waits for, then what so many open pages cost. Raises SystemFailed without a browser."""
    if find_chromium() is None:
        raise SystemFailed("no Chromium on this machine")
    with Daemon(root) as scheduler, admin_service(root) as admin, chromium() as browser:
        add_showcase(scheduler)
        assert admin.process is not None
        yield "admin page", "admin service", _waits(browser, admin)
        yield "admin page, a run of 1,000,000 lines", "admin service", _million_lines(browser, admin, scheduler)
        yield f"admin page, {crowd} open", "admin service", _crowd(browser, admin, admin.process.pid, crowd)


def measure_large(root: Path, jobs: int, runs: int) -> Iterator[tuple[str, str, Figures]]:
    """Yield what one person waits for with so many jobs and so many runs in the index."""
    if find_chromium() is None:
        raise SystemFailed("no Chromium on this machine")
    make_index(root, runs, jobs)
    with Daemon(root) as scheduler, admin_service(root, ADMIN_KEEP_DAYS=str(KEEP_DAYS)) as admin, chromium() as browser:
        for number in range(jobs):
            scheduler.job(f"job{number}", "true", schedule="0 0 1 1 *")
        add_showcase(scheduler)
        assert admin.process is not None
        figures = _waits(browser, admin) | {"RSS MiB": machine.memory(admin.process.pid)}
        yield f"admin page, {jobs:,} jobs and {runs:,} runs", "admin service", figures


def _waits(browser: Browser, admin: Admin) -> Figures:
    cold = [_cold(browser, admin) for _ in range(TIMES)]
    visit = Visit(browser, admin.url, ANNA)
    page = visit.open("/")
    figures = {
        "first job name cold, ms": statistics.median(ms for ms, _ in cold),
        "sent cold, KB": statistics.median(kb for _, kb in cold),
        "first job name warm, ms": _median(lambda: _warm(visit)),
        "first job name in a page loaded again, ms": _median(
            lambda: _timed(page, lambda: page.reload(wait_until="commit"), f"text={FAILED}")
        ),
        "click to stderr, ms": _median(lambda: _click(visit)),
        "key to next five runs, ms": _keys(visit),
        "5 MB of output shown, ms": _median(lambda: _long_output(visit)),
        "search in 5 MB, ms": _median(lambda: _search(visit)),
        "confirmed to the new run's log, ms": _median(lambda: _trigger(visit)),
    }
    visit.context.close()
    return figures


def _median(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(TIMES))


def _timed(page: Page, act: Callable[[], object], shown: str) -> float:
    """Return the ms from an act until something is shown."""
    began = time.perf_counter()
    act()
    page.wait_for_selector(shown)
    return (time.perf_counter() - began) * 1e3


def _cold(browser: Browser, admin: Admin) -> tuple[float, float]:
    """Return the ms until a browser without a cache shows a job, and the KB that it was sent until it was still."""
    visit = Visit(browser, admin.url, ANNA)
    sent = [0]
    session = visit.context.new_cdp_session(visit.page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: sent.append(event["encodedDataLength"]))
    taken = _timed(visit.page, lambda: visit.page.goto("/", wait_until="commit"), f"text={FAILED}")
    visit.page.wait_for_selector("#jobs-stamp [data-at]", state="attached")
    visit.page.wait_for_timeout(A_WHILE_MS)
    visit.context.close()
    return taken, sum(sent) / 1000


def _warm(visit: Visit) -> float:
    """Return the ms until a new window of somebody who was here before shows a job."""
    page = visit.window()
    taken = _timed(page, lambda: page.goto("/", wait_until="commit"), f"text={FAILED}")
    page.close()
    return taken


def _click(visit: Visit) -> float:
    page = visit.open("/")
    page.wait_for_timeout(A_WHILE_MS)
    return _timed(page, lambda: page.click(f"#jobs-table tr[data-job={FAILED}] a >> nth=0"), CAUSE)


def _keys(visit: Visit) -> float:
    """Return the median ms from a key in the schedule to the new times."""
    page = visit.open("/?view=new")
    field = page.locator("#jobs-new-schedule :is(textarea, input)")
    page.wait_for_timeout(A_WHILE_MS)
    field.press_sequentially("30 2 * * 0")
    taken = []
    for number in range(1, TIMES + 1):
        page.wait_for_timeout(A_WHILE_MS)
        field.press("Backspace")
        page.wait_for_timeout(A_WHILE_MS)
        before = page.inner_text("#jobs-new-preview")
        began = time.perf_counter()
        field.press(str(number % 6 + 1))
        page.wait_for_function(
            "before => document.querySelector('#jobs-new-preview').innerText !== before", arg=before, polling=5
        )
        taken.append((time.perf_counter() - began) * 1e3)
    return statistics.median(taken)


def _long_output(visit: Visit) -> float:
    page = visit.open("/?view=jobs&find=export")
    page.wait_for_timeout(A_WHILE_MS)
    act = "#jobs-table tr[data-job=export-audit] a >> nth=0"
    return _timed(page, lambda: page.click(act), "#jobs-logs-stdout :text('50901')")


def _search(visit: Visit) -> float:
    """Search the output that is shown."""
    page = visit.page
    page.wait_for_timeout(A_WHILE_MS)
    field = page.locator("#jobs-logs-find :is(textarea, input)")
    field.fill("")
    page.wait_for_timeout(A_WHILE_MS)
    field.press_sequentially("NEEDL")
    page.wait_for_timeout(A_WHILE_MS)
    return _timed(page, lambda: field.press("E"), "#jobs-logs mark:text('NEEDLE')")


def _trigger(visit: Visit) -> float:
    page = visit.open("/?view=jobs&job=vacuum")
    page.wait_for_timeout(A_WHILE_MS)
    page.click("#jobs-run")
    dialog = page.locator("dialog")
    return _timed(page, lambda: dialog.get_by_text("Run now").click(), "#jobs-logs-head h2:has-text('vacuum')")


def _million_lines(browser: Browser, admin: Admin, scheduler: Daemon) -> Figures:
    """Return what the tab takes that shows the end of such an output and follows it, and how soon a key is seen."""
    scheduler.job("million", "seq -f 'line %.0f of very many' 1 1000000; while echo more; do sleep 0.1; done")
    scheduler.run("million", "benchmark-million")
    run = scheduler.line("job_start", job_name="million")["run_id"]
    visit = Visit(browser, admin.url, ANNA)
    empty = _tab(browser, "VmRSS")
    page = visit.open("/")
    page.wait_for_timeout(10 * A_WHILE_MS)
    before = _tab(browser, *FOOTPRINT)
    page = visit.open(f"/?view=logs&run={run}")
    page.wait_for_selector("#stdout-1000000", state="attached")
    page.wait_for_timeout(10 * A_WHILE_MS)  # a hundred lines more
    page.evaluate(PAINTED)
    field = page.locator("#jobs-logs-find :is(textarea, input)")
    field.focus()
    for _ in range(TIMES):
        field.press("x")
        page.wait_for_timeout(A_WHILE_MS)
    figures = {
        "footprint of the tab with the list of jobs, MiB": before,
        "footprint of the tab, MiB": _tab(browser, *FOOTPRINT),
        "RSS of an empty tab's process, MiB": empty,
        "RSS of the tab's process, MiB": _tab(browser, "VmRSS"),
        "heap of its scripts, MiB": page.evaluate("performance.memory.usedJSHeapSize") / 2**20,
        "key to painted, ms": statistics.median(page.evaluate("painted")),
    }
    visit.context.close()
    scheduler.run("million", "benchmark-enough", action="cancel", run_id=run)
    return figures


def _tab(browser: Browser, *fields: str) -> float:
    """Return the MiB of the largest tab's process, as the sum of these fields of its status."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    tabs = (int(process["id"]) for process in processes if process["type"] == "renderer")
    return max(sum(machine.memory(tab, field) for field in fields) for tab in tabs)


def _crowd(browser: Browser, admin: Admin, pid: int, crowd: int) -> Figures:
    alone = machine.memory(pid)
    cpu = _cpu_at_rest(pid)
    visits = [Visit(browser, admin.url, ANNA) for _ in range(crowd)]
    for visit in visits:
        visit.open("/")
    busy = _cpu_at_rest(pid)
    answer = _median(lambda: _answer(admin))
    held = machine.memory(pid)
    for visit in visits:
        visit.context.close()
    return {
        "RSS MiB before": alone,
        "RSS MiB with all": held,
        "CPU ms a second at rest, none": cpu,
        "CPU ms a second at rest, all": busy,
        "answer to one more who opens it, ms": answer,
    }


def _answer(admin: Admin) -> float:
    """Return the ms that the first answer takes, with the jobs in it. What a browser does with it is left out: fifty
    pages in one browser keep two cores busy by themselves."""
    began = time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(f"{admin.url}/", headers=ANNA)) as answer:
        if FAILED not in answer.read().decode():
            raise SystemFailed("the first answer has no jobs")
    return (time.perf_counter() - began) * 1e3


def _cpu_at_rest(pid: int) -> float:
    before = machine.tree_cpu(pid)  # of its threads that have ended meanwhile, too
    time.sleep(REST_SECONDS)
    return (machine.tree_cpu(pid) - before) / REST_SECONDS * 1e3
