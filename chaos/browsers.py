"""Many browsers at once on the page: everybody sees what happens, and what each asks for happens once, in his name."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from chaos.adminweb import Service
from chaos.outcome import CannotRun, Outcome, Size
from chaos.world import World
from tests.admin_stack import find_chromium

WAIT_MS = 300_000
"""All the browsers share the machine, a small one perhaps, with what they look at."""

MOST_GROWTH_BYTES = 96 << 20
"""What the sessions of all browsers may take in the memory of the service, and leave there."""

LOADING = 4
"""So many begin at a time: a browser without a cache takes seconds of the processor for Gradio's scripts."""

ALARM = "#jobs-alarm :text('breaks')"


def crowd_the_page(root: Path, chance: Random, size: Size) -> Outcome:
    """Open the page in all browsers at once; a job fails; then each runs a job of its own; then all leave."""
    path = find_chromium()
    if path is None:
        raise CannotRun("no Chromium on this machine")
    outcome, count = Outcome(), size.of(3, 10, 50)
    world = World(root)
    world.define("breaks", "echo broken pipe >&2; exit 3")
    for number in range(count):
        world.define(f"job{number}", f"echo said by {number}")
    world.start_and_wait()
    service = Service(root, ADMIN_AUTH_MODE="proxy", ADMIN_TRUSTED_PROXIES="127.0.0.1/32")
    service.start()
    try:
        asyncio.run(_visit(path, service, world, outcome, count))
    finally:
        alive = service.process.poll() is None
        service.process.terminate()
        service.process.wait()
    outcome.expect(alive, "the service ended by itself")
    outcome.expect("Traceback" not in service.stderr(), f"an error was not handled: {service.stderr()[-300:]}")
    world.settle()
    world.judge(outcome, "with a crowd")
    _audit(root, outcome, count)
    world.clear_up()
    return outcome


async def _visit(path: str, service: Service, world: World, outcome: Outcome, count: int) -> None:
    before = service.resident_bytes()
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        began = time.monotonic()
        turns = asyncio.Semaphore(LOADING)
        pages = await asyncio.gather(*(_open(chromium, service, number, turns) for number in range(count)))
        outcome.counts["browsers at once"] = count
        outcome.counts["ms until all pages lived"] = round((time.monotonic() - began) * 1000)
        world.touch("breaks")
        began = time.monotonic()
        await asyncio.gather(*(page.wait_for_selector(ALARM) for page in pages))
        outcome.counts["ms until all saw the failure"] = round((time.monotonic() - began) * 1000)
        await asyncio.gather(*(_run(page, number, outcome) for number, page in enumerate(pages)))
        await asyncio.to_thread(_look_at_health, service, outcome)
        grown = service.resident_bytes() - before
        outcome.counts["MiB more memory"] = grown >> 20
        outcome.expect(grown < MOST_GROWTH_BYTES, f"{count} browsers took {grown >> 20} MiB")
        await chromium.close()


async def _open(chromium: Browser, service: Service, number: int, turns: asyncio.Semaphore) -> Page:
    headers = {"X-Forwarded-User": f"admin{number}", "X-Forwarded-Groups": "admin"}
    async with turns:
        context = await chromium.new_context(extra_http_headers=headers)
        context.set_default_timeout(WAIT_MS)
        page = await context.new_page()
        await page.goto(f"http://127.0.0.1:{service.port}/?view=jobs&job=job{number}")
        await page.wait_for_selector("#jobs-stamp [data-at]", state="attached")
    return page


async def _run(page: Page, number: int, outcome: Outcome) -> None:
    """Run a job of one's own from the page, and read its output there."""
    await page.click("#jobs-run")
    await page.locator("dialog").get_by_text("Run now").click()
    await page.wait_for_selector("#jobs-logs-stdout :text('said by')")
    said = await page.inner_text("#jobs-logs-stdout")
    outcome.expect(f"said by {number}" in said, f"admin{number} sees another's output: {said[:100]!r}")


def _look_at_health(service: Service, outcome: Outcome) -> None:
    began = time.monotonic()
    status, _, _ = service.ask("GET", "/healthz")
    outcome.counts["ms until healthz answered"] = round((time.monotonic() - began) * 1000)
    outcome.expect(status == 200, f"health with a crowd: {status}")


def _audit(root: Path, outcome: Outcome, count: int) -> None:
    """Compare the audit log: each admin asked once, for his own job, and the end is known."""
    file = root / "logs" / "audit" / "audit.log"
    lines: list[dict[str, Any]] = [json.loads(line) for line in file.read_text().splitlines()]
    ran = [line for line in lines if line["action"] == "trigger_job"]
    seen = Counter((line["event"], line["username"], line["job_name"]) for line in ran)
    wanted = Counter(
        (event, f"admin{number}", f"job{number}") for number in range(count) for event in ("requested", "outcome")
    )
    outcome.expect(
        seen == wanted, f"the audit log has {dict(seen - wanted)} too much, {dict(wanted - seen)} too little"
    )
    exits = Counter(line["details"].get("exit_code") for line in ran if line["event"] == "outcome")
    known = sum(code is not None for code in exits.elements())
    outcome.counts["ends in the audit log"] = known
