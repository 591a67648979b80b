"""What became of a saved definition: waiting for the scheduler, loaded by it, or refused and why. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from admin_ui.job_files import JobFile
from admin_ui.overview import Overview
from admin_ui.page.address import link
from admin_ui.page.markup import NOTHING, Html, html, join, moment
from admin_ui.scheduler_state import ConfigProblem

REFUSED_AFTER = timedelta(seconds=5)
"""The scheduler writes an error once: one that it wrote of an earlier version stands if nothing follows for so long."""


def is_waiting(file: JobFile, overview: Overview) -> bool:
    """Return whether the scheduler is there and has said nothing about this version yet."""
    return (
        file.config is not None
        and not overview.loaded.get(file.name)
        and overview.scheduler.status == "alive"
        and _refusal(file, overview) is None
    )


def state(file: JobFile, overview: Overview, next_run: datetime | None) -> Html:
    """Return one line on a definition's file; `next_run` for an enabled job."""
    if file.config is None:
        return _line(file, "bad", "Invalid", NOTHING)  # form_html.about says why
    refusal = _refusal(file, overview)
    if overview.loaded.get(file.name):
        return _line(file, "ok", "Loaded by the scheduler", _next(file, next_run))
    if refusal is not None:
        kept = " The last good version stays in force." if refusal.kept_last_good else ""
        return _line(file, "bad", "Refused by the scheduler", html("{}.{}", _listed(refusal.told()), kept))
    if overview.scheduler.status == "alive":
        return _line(file, "wait", "Saved, waiting for the scheduler", NOTHING)
    seen = overview.scheduler.last_seen
    since = html(", last seen {}", moment(seen)) if seen else NOTHING
    return _line(file, "warn", "Saved, but the scheduler is not there", html("{}{}", overview.scheduler.status, since))


def _refusal(file: JobFile, overview: Overview) -> ConfigProblem | None:
    found = next((each for each in overview.scheduler.config_errors if each.file == file.file), None)
    if found is None or overview.loaded.get(file.name):
        return None
    modified = file.modified or overview.now
    return found if found.at >= modified or overview.now - modified > REFUSED_AFTER else None


def _next(file: JobFile, next_run: datetime | None) -> Html:
    if file.config is None or not file.config.enabled or next_run is None:
        return html("Disabled: it does not start")
    return html("Next run {}", moment(next_run, zone=file.config.timezone))


def _listed(errors: Mapping[str, str]) -> Html:
    return join((f"{field}: {text}" if field else text for field, text in errors.items()), "; ")


def _line(file: JobFile, kind: str, word: str, more: Html) -> Html:
    saved = html(", saved {}", moment(file.modified)) if file.modified else NOTHING
    return html(
        '<p class="file-state"><span class="state {}"><span class="icon {}"></span>{}</span> <span>{}</span>'
        '<span class="dim"><code>jobs/{}</code>{}</span><a href="{}">All of this job</a></p>',
        "busy" if kind == "wait" else kind,
        kind,
        word,
        more,
        file.file,
        saved,
        link("jobs", job=file.name),
    )
