"""Say why a job did or did not run at a time. Pure: definitions and log entries in, sentences out.

The journal has the first word: a run, a skip or a miss of that time is a fact. Only where it is silent, the
definition, the times at which the scheduler was up and the state of the moment are asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sidecar import policy
from sidecar.catalog import Definition
from sidecar.cron import Schedule
from sidecar.errors import Problem, ScheduleError
from sidecar.evidence import MINUTE, Entry, Evidence, began_at, first_of, is_in, stamp, time_in
from sidecar.fate import fate, how_it_ended, outcome, pause_before, why_dropped
from sidecar.human import Moment, clean, count, show_length
from sidecar.ledger import TIMED
from sidecar.model import Status, Trigger
from sidecar.uptime import stopping, what_held_it_up

AROUND = timedelta(minutes=5)
"""Requests that came so close to the time are mentioned."""

JUST_NOW = timedelta(seconds=5)
LONGEST_QUOTE = 200
MOST_PROBLEMS = 5


def explain(e: Evidence, moment: Moment | None = None) -> list[str]:
    """Return why the job did or did not run in the minute of `moment`.

    Without one: at its latest scheduled time, and what became of the newest request since then. The first line names
    what is asked, each further one is a sentence or two, safe to print on a terminal.
    """
    newest = _newest_request(e) if moment is None else None
    moment = moment or _latest(e)
    lines = [f"{e.job_name}:"] if moment is None else _answer(e, moment)
    if newest is not None and _request(e, newest) not in lines:
        lines += _request_with_last_words(e, newest)
    outlook = _no_definition(e) if e.definition is None else _what_comes(e)
    return [clean(line) for line in (*lines, *(line for line in outlook if line not in lines))]


def _answer(e: Evidence, moment: Moment) -> list[str]:
    skipped = _skipped_hour(e, moment)
    asked = moment.instant if skipped is None else skipped
    at = asked.replace(second=0, microsecond=0)
    zone = "" if e.zone.key == "UTC" else f" ({e.zone.key})"
    lines = [f"{e.job_name} at {e.minute(at)}{zone}:"]
    if skipped is not None and moment.wall is not None:
        lines.append(_about_skipped_hour(e, moment.wall, skipped))
    if at > e.now:
        lines += _future(e, at)
    else:
        lines += list(_told(e, at)) or list(_untold(e, at))
        lines += list(_beside(e, at))
    return lines


# What the journal tells


def _told(e: Evidence, at: datetime) -> Iterator[str]:
    start = _line_for(e, "job_start", at)
    queued = _line_for(e, "job_queued", at)
    if start is not None:
        yield from _ran(e, start, queued)
    elif queued is not None:
        yield from _only_queued(e, queued)
    else:
        spans = (line for line in e.journal if e.is_passed_over_by(line, at))
        for line in spans:
            yield from _passed_over(e, line, at)


def _line_for(e: Evidence, event: str, at: datetime) -> Entry | None:
    """Return the first line of this event of a run for this scheduled time."""
    of_time = (line for line in e.journal if line.get("trigger") in TIMED)
    return first_of((line for line in of_time if is_in(time_in(line, "scheduled_time"), at)), event)


def _ran(e: Evidence, start: Entry, queued: Entry | None) -> Iterator[str]:
    scheduled, began = time_in(start, "scheduled_time") or stamp(start), began_at(start)
    if start["trigger"] == Trigger.CATCH_UP:
        yield "It ran late, as the catch-up for this time."
        yield from what_held_it_up(e, scheduled)
    else:
        yield "It ran."
    how_late = _how_late(e, start, scheduled, began)
    yield f"Run {start['run_id']} started {how_late} at {e.second(began)} {how_it_ended(e, start)}."
    if queued is not None:
        waited = show_length(began - stamp(queued))
        yield f"It was queued for {waited} before: {queued.get('reason')}."
    yield from _last_words(e, start)
    yield from _retries(e, start)


def _how_late(e: Evidence, start: Entry, scheduled: datetime, began: datetime) -> str:
    due = e.due(scheduled) if e.definition and start.get("sha256") == e.definition.sha256 else scheduled
    late = began - due
    words = "on time" if late <= policy.ON_TIME else f"{show_length(late)} late"
    if due > scheduled:
        words += f" (its jitter made it due {show_length(due - scheduled)} after the scheduled time)"
    return words


def _last_words(e: Evidence, start: Entry) -> Iterator[str]:
    """Yield what a failed run said last, and where the rest of it is."""
    end = e.end_of(start["run_id"])
    if end is None or end.get("status") == Status.SUCCESS:
        return
    for stream in ("stderr", "stdout"):
        lines = str(end.get(stream) or "").split("\n")
        said = next((line for line in reversed(lines) if line.strip()), None)
        if said is not None:
            yield f"The last line of its {stream}: {said.strip()[:LONGEST_QUOTE]}"
            break
    files = [str(end[key]) for key in ("stdout_file", "stderr_file") if end.get(key)]
    if files:
        yield f"All of its output, in the logs directory: {', '.join(files)}"


def _attempts(e: Evidence, start: Entry) -> list[Entry]:
    """Return the `job_start` line itself and those of the run's retries."""
    first = start.get("first_run_id")
    again = [line for line in e.journal if line.get("first_run_id") == first and line["event"] == "job_start"]
    return [start, *(line for line in again if line["run_id"] != start["run_id"])]


def _retries(e: Evidence, start: Entry) -> Iterator[str]:
    first, attempts = start.get("first_run_id"), _attempts(e, start)
    for line in attempts[1:]:
        began = e.second(began_at(line))
        yield f"Attempt {line.get('attempt')}: run {line['run_id']} started at {began} {how_it_ended(e, line)}."
    end = e.end_of(attempts[-1]["run_id"])
    due = None if end is None else time_in(end, "retry_at")
    if due is None:
        return
    next_id = policy.retry_id(str(first), attempts[-1].get("attempt", 1) + 1)
    dropped = next((line for line in e.journal if line.get("run_id") == next_id and line.get("reason")), None)
    if dropped is not None and dropped["event"] in ("job_skipped", "job_missed"):
        yield f"The retry that was due at {e.second(due)} was dropped: {why_dropped(e, dropped)}."
    elif dropped is not None and dropped["event"] == "job_complete":
        yield f"The retry that was due at {e.second(due)} ended before it began: {outcome(dropped)}."
    else:
        yield f"It is tried again at {e.second(due)}."


def _only_queued(e: Evidence, queued: Entry) -> Iterator[str]:
    reason = queued.get("reason")
    since = e.second(stamp(queued))
    later = [line for line in e.journal if line.get("run_id") == queued["run_id"] and stamp(line) >= stamp(queued)]
    for line in later:
        if line["event"] in ("job_skipped", "job_missed"):
            word = "missed" if line["event"] == "job_missed" else "skipped"
            yield f"It was {word}: queued at {since} ({reason}), then dropped: {why_dropped(e, line)}."
            return
        if line["event"] == "job_complete":
            yield f"It did not run: queued at {since} ({reason}), it ended before it began: {outcome(line)}."
            return
    yield f"It is queued since {since}: {reason}."


def _passed_over(e: Evidence, line: Entry, at: datetime) -> Iterator[str]:
    word = "missed" if line["event"] == "job_missed" else "skipped"
    yield f"It was {word}: {why_dropped(e, line)}."
    if word == "missed":
        yield from what_held_it_up(e, at)
    if int(line.get("count") or 1) > 1:
        first, last = time_in(line, "first_scheduled_time"), time_in(line, "scheduled_time")
        if first is not None and last is not None:
            times = count(int(line["count"]), "scheduled time")
            yield f"The same goes for {times} in all, from {e.minute(first)} to {e.minute(last)}."


# Where the journal is silent


def _untold(e: Evidence, at: datetime) -> Iterator[str]:
    if e.reaches_back_to is None:
        yield "There is no journal in the logs directory: no scheduler has worked with it yet."
    elif at < e.reaches_back_to - MINUTE:
        yield f"The journal reaches back only to {e.second(e.reaches_back_to)}; what was before is not known."
    elif e.definition is not None:
        yield from _judged(e, e.definition, at)


def _judged(e: Evidence, definition: Definition, at: datetime) -> Iterator[str]:
    record, latest = e.record(at), e.record()
    if latest is None or latest[0] != definition.sha256:
        yield _not_taken_up(e, definition, known=latest is not None)
    if record is None:
        if latest is not None:
            new = f"This definition of the job is in force only since {e.second(latest[1])}."
            yield f"{new} A new or changed definition starts no run for an earlier time."
            yield from _invalid_before(e, definition.file, latest[1])
    elif record[0] != definition.sha256:
        yield "Another version of the job's definition was in force then; what it asked for is not known."
    elif not definition.config.enabled:
        yield _disabled(definition)
    elif not e.is_scheduled(at):
        yield from _not_scheduled(e, at)
    else:
        yield from _unaccounted(e, at)


def _invalid_before(e: Evidence, file: str, since: datetime) -> Iterator[str]:
    logged = [line for line in e.main if line.get("file") == file and stamp(line) < since]
    if logged and logged[-1]["event"] == "config_error":
        when = e.second(stamp(logged[-1]))
        yield f"Before that {file} was invalid. At {when} the scheduler found: {_problems_in(logged[-1])}"


def _problems_in(line: Mapping[str, object]) -> str:
    errors = line.get("errors")
    return "; ".join(_problem_of(each) for each in (errors if isinstance(errors, list) else [errors])[:MOST_PROBLEMS])


def _problem_of(error: object) -> str:
    if not isinstance(error, Mapping):
        return str(error)
    texts = (str(error.get(key) or "") for key in ("field", "found", "wanted"))
    return str(Problem(*texts))


def _not_taken_up(e: Evidence, definition: Definition, *, known: bool) -> str:
    file = definition.file
    state = f"{file} was changed" if known else f"{file} is new"
    if e.silence is not None:
        return f"{state}, and the scheduler has not seen that yet: it gives no sign of life ({e.silence})."
    return f"{state}, and the scheduler has not taken that up yet: it does within a second, or logs why not."


def _disabled(definition: Definition) -> str:
    return f"The job is disabled: {definition.file} has enabled: false."


def _not_scheduled(e: Evidence, at: datetime) -> Iterator[str]:
    schedule = e.schedule
    if schedule is None:
        return
    yield f"That is no scheduled time: the schedule is {schedule.expression!r}.{_nearest(e, schedule, at)}"
    wall = at.astimezone(e.zone)
    naive = wall.replace(tzinfo=None)
    if wall.fold and schedule.fields.count_between(naive, naive + MINUTE):
        first = wall.replace(fold=0).astimezone(UTC)
        rule = "A schedule with a fixed hour and minute runs at the first of the two"
        yield f"The clock was put back and read {naive:%H:%M} twice. {rule}, at {e.minute(first)}."


def _nearest(e: Evidence, schedule: Schedule, at: datetime) -> str:
    before = schedule.last_until(at)
    words = "" if before is None else f" The one before is {e.minute(before)}."
    try:
        return f"{words} The next one is {e.minute(schedule.next_after(at))}."
    except ScheduleError:
        return words


def _unaccounted(e: Evidence, at: datetime) -> Iterator[str]:
    """Yield why a scheduled time that has come has no line yet."""
    definition, schedule = e.definition, e.schedule
    if definition is None or schedule is None:
        return
    scheduled = schedule.next_after(at - timedelta(microseconds=1))
    due = e.due(scheduled)
    deadline = policy.deadline(definition.config, due)
    yield from _after_a_gap(e, schedule, scheduled)
    if e.silence is not None or stopping(e.main) is not None:
        yield from what_held_it_up(e, at)
        if e.now < deadline:
            yield f"A scheduler that starts before {e.second(deadline)} still runs it, if no later time has come."
        else:
            yield "The next scheduler writes it down as missed: its starting deadline is over."
    elif e.paused:
        since = pause_before(e, e.now)
        yield f"The file PAUSE in the jobs directory holds all scheduled starts{since}."
        yield "When it is removed, this time is written down as skipped."
    elif due > e.now:
        yield f"It is about to start: its jitter puts the start at {e.second(due)}."
    elif e.now - due < JUST_NOW:
        yield "It is due at this very moment; look again."
    else:
        yield from _lost(e, at)


def _lost(e: Evidence, at: datetime) -> Iterator[str]:
    for line in e.main:
        if line["event"] == "clock_jump" and line.get("reanchored") and stamp(line) - timedelta(days=1) < at:
            when = e.second(stamp(line))
            yield f"At {when} the clock was set far back, and all schedules began anew from there."
            return
    for line in reversed(e.main):
        if line["event"] == "schedule_error" and line.get("job_name") == e.job_name:
            yield f"Its next time could not be computed: {_problems_in(line)}."
            return
    for line in reversed(e.main):
        if line["event"] == "journal_degraded" and stamp(line) < at + timedelta(days=1):
            when = f"from {e.second(stamp(line))} on ({line.get('reason')})"
            yield f"The journal has no line for it, as it could not be written {when}; see the scheduler's stderr."
            return
    yield "The journal has no line for it although it should. Were its files changed or removed by somebody?"


# The job's file


def _no_definition(e: Evidence) -> Iterator[str]:
    for file, problems in e.invalid.items():
        logged = [line for line in e.main if line["event"] == "config_error" and line.get("file") == file]
        since = f" since {e.second(stamp(logged[-1]))}" if logged else ""
        yield f"Its file {file} is invalid{since}:"
        for problem in problems[:MOST_PROBLEMS]:
            yield f"  {problem}"
        if logged and logged[-1].get("kept_last_good"):
            yield "Until it is repaired the last good version stays in force, as long as the scheduler runs."
        else:
            yield "Until it is repaired the job does not run."
    if e.invalid:
        return
    yield f"No file in the jobs directory defines a job {e.job_name} now."
    removed = [line for line in e.main if line["event"] == "job_removed" and line.get("job_name") == e.job_name]
    if removed:
        yield f"Its file {removed[-1].get('file')} was removed by {e.second(stamp(removed[-1]))}."


def _latest(e: Evidence) -> Moment | None:
    """Return the job's latest scheduled time: by its schedule or, without a definition, by the journal."""
    schedule = e.schedule
    if schedule is not None:
        latest = schedule.last_until(e.now)
    else:
        times = (time_in(line, "scheduled_time") for line in e.journal)
        latest = max((time for time in times if time is not None), default=None)
    return None if latest is None else Moment(latest)


def _future(e: Evidence, at: datetime) -> Iterator[str]:
    yield f"That is still to come, in {show_length(at - e.now)}."
    schedule = e.schedule
    if schedule is None:
        return
    if not e.is_scheduled(at):
        yield from _not_scheduled(e, at)
    else:
        yield f"It is a scheduled time of {schedule.expression!r}."
        yield from _after_a_gap(e, schedule, schedule.next_after(at - timedelta(microseconds=1)))


def _what_comes(e: Evidence) -> Iterator[str]:
    """Yield what keeps the job from running from now on or, if nothing does, when it is due next."""
    definition, schedule = e.definition, e.schedule
    if definition is None or schedule is None:
        return
    if not definition.config.enabled:
        yield _disabled(definition)
        return
    with_stopping = (
        "" if e.silence or stopping(e.main) is None else ", but the scheduler is stopping and starts nothing"
    )
    with_silence = "" if e.silence is None else f", but the scheduler gives no sign of life: {e.silence}"
    with_pause = ", but the file PAUSE in the jobs directory holds scheduled starts" if e.paused else ""
    try:
        following = schedule.next_after(e.now)
    except ScheduleError as error:
        yield f"It has no next scheduled time: {error}."
        return
    ahead = show_length(following - e.now)
    yield f"Its next scheduled time is {e.minute(following)}, in {ahead}{with_pause}{with_stopping}{with_silence}."


# Clock changes


def _skipped_hour(e: Evidence, moment: Moment) -> datetime | None:
    """Return the instant at which the clock jumped over what `moment` says, None if it did not."""
    if moment.wall is None:
        return None
    if moment.instant.astimezone(e.zone).replace(tzinfo=None) == moment.wall:
        return None
    # The clock was put forward between the two readings that the wall time would be with either offset.
    early, late = (moment.wall.replace(tzinfo=e.zone, fold=fold).astimezone(UTC) for fold in (1, 0))
    return _change_between(e.zone, early, late)


def _change_between(zone: ZoneInfo, early: datetime, late: datetime) -> datetime:
    offset = early.astimezone(zone).utcoffset()
    while late - early > timedelta.resolution:
        middle = early + (late - early) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            early = middle
        else:
            late = middle
    return late


def _about_skipped_hour(e: Evidence, wall: datetime, change: datetime) -> str:
    before = (change - timedelta.resolution).astimezone(e.zone)
    after = change.astimezone(e.zone)
    clock = f"at {before + timedelta.resolution:%H:%M} the clock was put forward to {after:%H:%M}"
    said = f"There was no {wall:%H:%M} that day in {e.zone.key}: {clock}."
    schedule = e.schedule
    if schedule is None:
        return said
    if schedule.wildcard:
        return f"{said} A schedule whose minute or hour begins with * does not run in a skipped hour."
    return f"{said} What a schedule asks for in a skipped hour runs once, right after it."


def _after_a_gap(e: Evidence, schedule: Schedule, scheduled: datetime) -> Iterator[str]:
    """Yield why a scheduled time is one although its wall clock reading does not match."""
    wall = scheduled.astimezone(e.zone).replace(tzinfo=None)
    if not schedule.fields.count_between(wall, wall + MINUTE):
        asked = f"what {schedule.expression!r} asks for in the skipped hour"
        yield f"The clock was put forward just then: {asked} runs once, at this time."


# Beside the schedule


def _beside(e: Evidence, at: datetime) -> Iterator[str]:
    """Yield what else happened to the job then: runs that began in that minute, requests around it."""
    start = _line_for(e, "job_start", at)
    told = {line.get("run_id") for line in _attempts(e, start)} if start is not None else set()
    for line in e.journal:
        if line["event"] == "job_start" and is_in(time_in(line, "start_time"), at):
            scheduled = time_in(line, "scheduled_time")
            if line.get("trigger") in TIMED and (scheduled is None or is_in(scheduled, at)):
                continue
            if line["run_id"] in told:
                continue  # a retry with its first attempt, a requested run with its request
            began = e.second(began_at(line))
            yield f"Run {line['run_id']} started at {began}: {_why_it_ran(e, line)}, {how_it_ended(e, line)}."
            yield from _last_words(e, line)
        elif line["event"] in ("trigger_accepted", "trigger_rejected") and abs(stamp(line) - at) <= AROUND:
            yield from _request_with_last_words(e, line)
            if line.get("action") != "cancel":
                told.add(line.get("run_id"))


def _why_it_ran(e: Evidence, start: Entry) -> str:
    scheduled = time_in(start, "scheduled_time")
    match start.get("trigger"):
        case Trigger.MANUAL:
            return "it was requested"
        case Trigger.RETRY:
            return f"attempt {start.get('attempt')} after a failure"
    return f"the catch-up for {e.minute(scheduled)}" if scheduled else "it was due"


def _newest_request(e: Evidence) -> Entry | None:
    latest = _latest(e)
    for line in reversed(e.journal):
        if line["event"] in ("trigger_accepted", "trigger_rejected"):
            return line if latest is None or stamp(line) >= latest.instant else None
    return None


def _request_with_last_words(e: Evidence, line: Entry) -> Iterator[str]:
    yield _request(e, line)
    run_id = line.get("run_id")
    if run_id and line.get("action") != "cancel":
        start = first_of([each for each in e.journal if each.get("run_id") == run_id], "job_start")
        if start is not None:
            yield from _last_words(e, start)


def _request(e: Evidence, line: Entry) -> str:
    by = f" by {line['requested_by']} (not verified)" if line.get("requested_by") else ""
    what = "to cancel it" if line.get("action") == "cancel" else "to run it"
    told = f"At {e.second(stamp(line))} a request{by} {what}, {line.get('file')}, was"
    if line["event"] == "trigger_accepted":
        run_id = line.get("run_id")
        if line.get("action") == "cancel" or not run_id:
            return f"{told} accepted{f' (run {run_id})' if run_id else ''}."
        return f"{told} accepted: run {run_id} {fate(e, str(run_id))}."
    detail = f" ({line['detail']})" if line.get("detail") else ""
    return f"{told} rejected: {line.get('reason')}{detail}."
