"""The top of the first view: what is wrong now, and nothing if nothing is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from admin_ui.overview import Overview
from admin_ui.page.address import link
from admin_ui.page.job_rows import CHANGED, JobRow, State
from admin_ui.page.job_table import problem
from admin_ui.page.markup import NOTHING, Html, html, join, moment
from admin_ui.page.result import Confirmed, Who, nobody, outcome, unconfirmed, wanted
from admin_ui.scheduler_state import SchedulerState

MOST_NAMED = 8
TAKEN_UP_WITHIN = timedelta(seconds=10)
"""The scheduler takes a saved file or a request up in a second or so; one that waits for longer is worth a line."""

RESUME = Html(' <button type="button" data-click="jobs-resume">Resume</button>')


def alarm(overview: Overview, rows: Sequence[JobRow], who: Who = nobody, is_confirmed: Confirmed = unconfirmed) -> Html:
    """Return a line for each thing that is wrong: with the scheduler, with jobs, with files."""
    lines = [
        *_scheduler(overview.scheduler),
        *_paused(overview),
        *_index(overview),
        *_failed(rows, who),
        *_unusable(rows, overview),
        *_missed(rows),
        *_late(rows),
        *_not_loaded(rows, overview),
        *_unanswered(overview, is_confirmed),
        *_changed(rows),
    ]
    return html('<ul class="alarm">{}</ul>', join(lines)) if lines else NOTHING


def of_the_scheduler(overview: Overview) -> Html:
    """Return the lines that make whatever is looked at doubtful: no other view may pass for current either."""
    lines = [*_scheduler(overview.scheduler), *_index(overview)]
    return html('<ul class="alarm">{}</ul>', join(lines)) if lines else NOTHING


def _scheduler(state: SchedulerState) -> Iterable[Html]:
    seen = moment(state.last_seen) if state.last_seen else NOTHING
    match state.status:
        case "stopping":
            yield _line("warn", "Scheduler is stopping: nothing new starts.")
        case "stopped":
            yield _line("bad", html("Scheduler stopped {}: nothing runs, and what you see is that old.", seen))
        case "crashed":
            yield _line("bad", html("Scheduler crashed {}: its main log says why. What you see is that old.", seen))
        case "silent":
            yield _line("bad", html("Scheduler silent, last seen {}: what you see is that old.", seen))
        case "unknown":
            yield _line("bad", "No sign of a scheduler: there is no log of one.")
    if state.journal_problem:
        yield _line("bad", html("The journal cannot be written: {}. Runs go on, unrecorded.", state.journal_problem))
    if state.watch_problem:
        yield _line("warn", html("The scheduler notices changed files late: {}.", state.watch_problem))


def _paused(overview: Overview) -> Iterable[Html]:
    if overview.paused_since:
        since = moment(overview.paused_since, relative=False)
        yield _line("warn", html("All schedules are paused since {}: only requested runs start.{}", since, RESUME))


def _index(overview: Overview) -> Iterable[Html]:
    if overview.index_problem:
        yield _line("bad", html("What you see may be old: {}", overview.index_problem))
    if overview.skipped_lines:
        count = overview.skipped_lines
        yield _line("warn", f"{count} {'line' if count == 1 else 'lines'} of the logs cannot be read and are left out.")


def _failed(rows: Sequence[JobRow], who: Who) -> Iterable[Html]:
    failed = [row for row in rows if row.state is State.FAILED and row.recent.last]
    named = [
        html('{} <span class="why">({})</span>', _to_run(row, row.recent.last.run_id), outcome(row.recent.last, who))
        for row in failed[:MOST_NAMED]
        if row.recent.last
    ]
    if failed:
        yield _line("bad", html("{} failed", _listed(named, len(failed), link("jobs", state=State.FAILED))))


def _unusable(rows: Sequence[JobRow], overview: Overview) -> Iterable[Html]:
    """Return a line for each file that this service or the scheduler finds wrong."""
    for state, said in ((State.INVALID, "invalid"), (State.REFUSED, "refused by the scheduler")):
        wrong = [row for row in rows if row.state is state and row.file]
        for row in wrong[:MOST_NAMED]:
            goes_on = ". The last good version stays in force." if row.kept else ""
            file = html('<a href="{}">{}</a>', _to_file(row), row.file.file if row.file else "")
            yield _line("bad", html("{} is {}: {}", file, said, problem(row).rstrip(".") + goes_on))
        if len(wrong) > MOST_NAMED:
            more = link("jobs", state=state)
            yield _line("bad", html('<a href="{}">{} more files</a> are {}', more, len(wrong) - MOST_NAMED, said))
    # What the page does not see: the scheduler cannot list the folder, or looks into another one.
    files = {each.file for each in overview.files}
    for error in overview.scheduler.config_errors:
        if error.file not in files:
            yield _line("bad", html("The scheduler cannot use {}: {}", error.file, error.told()))


def _missed(rows: Sequence[JobRow]) -> Iterable[Html]:
    missed = [row for row in rows if row.missed]
    named = [
        html('<a href="{}">{}</a>', link("history", job=row.name, status="missed"), row.label)
        for row in missed[:MOST_NAMED]
    ]
    if missed:
        listed = _listed(named, len(missed), link("history", status="missed"))
        words = "missed its time and has" if len(missed) == 1 else "missed their times and have"
        yield _line("warn", html("{} {} not run since", listed, words))


def _late(rows: Sequence[JobRow]) -> Iterable[Html]:
    late = [row for row in rows if row.late and row.running]
    named = [html("{}", _to_run(row, row.running[0].run_id)) for row in late[:MOST_NAMED]]
    if late:
        listed = _listed(named, len(late), link("jobs", state=State.RUNNING))
        yield _line("warn", html("{} {} running for unusually long", listed, "is" if len(late) == 1 else "are"))


def _not_loaded(rows: Sequence[JobRow], overview: Overview) -> Iterable[Html]:
    old = [
        row
        for row in rows
        if not (row.loaded or row.refused)
        and (row.file and row.file.modified and overview.now - row.file.modified > TAKEN_UP_WITHIN)
    ]
    named = [html('<a href="{}">{}</a>', _to_row(row.name, row.label), row.label) for row in old[:MOST_NAMED]]
    if old and overview.scheduler.status == "alive":
        yield _line("warn", html("{}: saved, but the scheduler has not loaded it", _listed(named, len(old), "")))


def _unanswered(overview: Overview, is_confirmed: Confirmed) -> Iterable[Html]:
    old = [each for each in overview.unanswered if overview.now - each.at > TAKEN_UP_WITHIN]
    named = [
        html('<a href="{}">{}</a> ({})', _to_row(name, name), name, wanted(each, is_confirmed))
        for each in old[:MOST_NAMED]
        for name in [each.request.job_name]
    ]
    if old:
        how = "To withdraw one, remove its file in jobs/triggers."
        yield _line("warn", html("Not taken up by the scheduler yet: {}. {}", _listed(named, len(old), ""), how))


def _changed(rows: Sequence[JobRow]) -> Iterable[Html]:
    changed = sorted((row for row in rows if row.changed), key=lambda row: str(row.changed), reverse=True)
    named = [
        html('<a href="{}">{}</a> {}', _to_row(row.name, row.label), row.label, moment(row.changed))
        for row in changed[:2]
        if row.changed
    ]
    if changed:
        listed = _listed(named, len(changed), link("jobs", state=CHANGED))
        yield html('<li class="gentle">Changed outside this page: {}</li>', listed)


def _to_run(row: JobRow, run_id: str | None) -> Html:
    return html('<a href="{}">{}</a>', link("logs", run=run_id or ""), row.label)


def _to_row(job_name: str, label: str) -> str:
    """Return the link to a row, which may be on another page of the list."""
    return link("jobs", job=job_name, find=label)


def _to_file(row: JobRow) -> str:
    return link("edit", job=row.name) if row.name and not row.is_double else link("jobs", state=State.INVALID)


def _listed(named: Sequence[Html], count: int, all_of_them: str) -> Html:
    """Return names with commas, and how many more there are, a link if there is one to all of them."""
    text = join(named, ", ")
    if count <= len(named):
        return text
    more = f"{count - len(named)} more"
    return html('{} and <a href="{}">{}</a>' if all_of_them else "{} and {}{}", text, all_of_them, more)


def _line(kind: str, text: str | Html) -> Html:
    return html('<li class="{}"><span class="icon {}"></span><span>{}</span></li>', kind, kind, text)
