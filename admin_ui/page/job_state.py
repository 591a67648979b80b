"""What became of a saved definition: waiting for the scheduler, loaded by it, or refused and why. Pure."""

from __future__ import annotations

from datetime import datetime

from admin_ui.job_files import JobFile
from admin_ui.overview import Overview
from admin_ui.page.address import link
from admin_ui.page.markup import NOTHING, Html, duration, html, moment


def is_waiting(file: JobFile, overview: Overview) -> bool:
    """Return whether the scheduler is there and has said nothing about this version yet."""
    return (
        file.config is not None
        and not overview.loaded.get(file.name)
        and overview.scheduler.status == "alive"
        and file.file not in overview.refused
    )


def state(file: JobFile, overview: Overview, next_run: datetime | None) -> Html:
    """Return one line on a definition's file; `next_run` for an enabled job."""
    if file.config is None:
        return _line(file, "bad", "Invalid", NOTHING)  # form_html.about says why
    refusal = overview.refused.get(file.file)
    if overview.loaded.get(file.name):
        kind = "warn" if held_by(overview) else "ok"
        return _line(file, kind, "Loaded by the scheduler", _next(file, overview, next_run))
    if refusal is not None:
        kept = " The last good version stays in force." if refusal.kept_last_good else ""
        return _line(file, "bad", "Refused by the scheduler", html("{}.{}", refusal.told(), kept))
    if overview.scheduler.status == "alive":
        return _line(file, "wait", "Saved, waiting for the scheduler", NOTHING)
    seen = overview.scheduler.last_seen
    since = html(", last seen {}", moment(seen)) if seen else NOTHING
    return _line(file, "warn", "Saved, but the scheduler is not there", html("{}{}", overview.scheduler.status, since))


def held_by(overview: Overview) -> str:
    """Return what keeps all jobs from starting by their schedule now; nothing if nothing does."""
    status = overview.scheduler.status
    if status != "alive":
        return "no scheduler" if status == "unknown" else f"scheduler {status}"
    return "paused" if overview.paused_since else ""


def _next(file: JobFile, overview: Overview, next_run: datetime | None) -> Html:
    if file.config is None or not file.config.enabled or next_run is None:
        return html("Disabled: it does not start")
    jitter = file.config.jitter_seconds
    later = f", up to {duration(jitter)} later" if jitter else ""
    when = html("{}{}", moment(next_run, zone=file.config.timezone), later)
    held = held_by(overview)
    return html("Does not start now: {}. Next time {}", held, when) if held else html("Next run {}", when)


def _line(file: JobFile, kind: str, word: str, more: Html) -> Html:
    saved = html(", saved {}", moment(file.modified)) if file.modified else NOTHING
    return html(
        '<p class="file-state"><span class="state {}"><span class="icon {}"></span>{}</span> <span>{}</span>'
        '<span class="dim"><code>jobs/{}</code>{}</span><a href="{}">Show in the list</a></p>',
        "busy" if kind == "wait" else kind,
        kind,
        word,
        more,
        file.file,
        saved,
        link("jobs", job=file.name, find=file.name),
    )
