"""What the first view knows of each job, a row a job: its state, and its place among the others. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from admin_ui.job_files import JobFile
from admin_ui.model import JobConfig
from admin_ui.overview import Overview, Upcoming
from admin_ui.page.address import Address
from admin_ui.queries import HistoryRow, Recent
from admin_ui.requests import RequestFile
from admin_ui.scheduler_state import ConfigProblem

T = TypeVar("T")
LATE_AFTER_SECONDS = 5.0
"""A run is late past its 95th percentile, but not before this: a hurry of seconds is nobody's concern."""

CHANGED = "changed"
"""As a state to filter by: the file was changed outside this page."""

NEVER = Recent(None, (), None, None)
ALLOWS_MORE = ("allow", "replace")


class State(StrEnum):
    """What a job is, in one word; the first that fits. A job that failed stays that while it runs again."""

    INVALID = "invalid"
    REFUSED = "refused"
    FAILED = "failed"
    RUNNING = "running"
    QUEUED = "queued"
    DISABLED = "disabled"
    CANCELLED = "cancelled"
    OK = "ok"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One job. `name` is empty for a file whose name can be no job's, `file` is None for a job that has none any more.

    `asked`: the requests that nobody has answered yet, oldest first. `missed`: a time that was missed, if nothing has
    run since.

    `loaded`: whether the scheduler goes by the file as it is. `refused`: what it says of a file that it cannot use.
    `kept`: whether it goes by the job's last good version instead, whose text nobody else has. `runnable`: whether it
    would agree to a run now. `is_double`: whether the name leads to another file, which counts.
    """

    name: str
    file: JobFile | None
    state: State
    recent: Recent = NEVER
    running: tuple[HistoryRow, ...] = ()
    queued: tuple[HistoryRow, ...] = ()
    asked: tuple[RequestFile, ...] = ()
    missed: HistoryRow | None = None
    next: Upcoming | None = None
    loaded: bool = True
    refused: ConfigProblem | None = None
    kept: bool = False
    late: bool = False
    runnable: bool = False
    changed: datetime | None = None
    is_double: bool = False

    @property
    def label(self) -> str:
        """What it is called on the page."""
        return self.file.file if self.file and (self.is_double or not self.name) else self.name

    @property
    def config(self) -> JobConfig | None:
        """What the file says, None where the scheduler does not go by it: the file is invalid or refused."""
        return self.file.config if self.file and self.state is not State.REFUSED else None

    @property
    def run_id(self) -> str | None:
        """The run that is worth a look first: the one that failed, the one that is going, the last one."""
        going = self.running[0] if self.running and self.state is not State.FAILED else None
        shown = going or self.recent.last
        return shown.run_id if shown else None


def job_names(overview: Overview) -> list[str]:
    """Return the names of all jobs: those with a file, and those that only a run is left of."""
    names = [each.name for each in overview.files if each.name]
    names += [each.job_name for each in (*overview.running, *overview.queued)]
    return list(dict.fromkeys(names))


def job_rows(overview: Overview, recents: Mapping[str, Recent], missed: Sequence[HistoryRow] = ()) -> list[JobRow]:
    """Return all jobs, what needs somebody first: failed (newest first), unusable, those that missed their time,
    running, then by the next run. `missed` are times that were missed, newest first.
    """
    newest_missed = {each.job_name: each for each in reversed(missed)}
    running, queued = (_by_job((run.job_name, run) for run in runs) for runs in (overview.running, overview.queued))
    asked = _by_job((file.request.job_name, file) for file in overview.unanswered)
    upcoming = {each.job_name: each for each in overview.upcoming}
    main = {file.name: file for file in sorted(overview.files, key=_claim, reverse=True)}
    gone = [(name, None) for name in {**running, **queued} if name not in main]
    rows = []
    for name, file in [*((each.name, each) for each in overview.files), *gone]:
        if file and name and main[name] is not file:
            rows.append(JobRow(name=name, file=file, state=State.INVALID, is_double=True))
            continue
        rows.append(
            _row(
                overview,
                name,
                file,
                recents.get(name, NEVER),
                running.get(name, ()),
                queued.get(name, ()),
                asked.get(name, ()),
                newest_missed.get(name),
                upcoming.get(name),
            )
        )
    return sorted(rows, key=_urgency)


def chosen(rows: Iterable[JobRow], address: Address) -> list[JobRow]:
    """Return the rows that an address asks for with `state`, `find` and `sort` (`-` before it: the other way round)."""
    state, text = address.get("state"), address.get("find").strip().casefold()
    found = [row for row in rows if _is(row, state) and (not text or _holds(row, text))]
    column = address.get("sort")
    key = SORTS.get(column.removeprefix("-"))
    if key is None:
        return found
    known = [row for row in found if key(row) is not None]
    known.sort(key=key, reverse=column.startswith("-"))
    return known + [row for row in found if key(row) is None]


def counts(rows: Iterable[JobRow]) -> Counter[State]:
    """Return how many jobs there are of each state."""
    return Counter(row.state for row in rows)


SORTS: Mapping[str, Callable[[JobRow], Any]] = {
    "state": lambda row: list(State).index(row.state),
    "job": lambda row: row.label.casefold(),
    "last": lambda row: row.recent.last and row.recent.last.at,
    "duration": lambda row: row.recent.last and row.recent.last.duration_seconds,
    "next": lambda row: row.next and row.next.at,
    "schedule": lambda row: row.config and row.config.schedule,
}
"""What each column sorts by; rows without it come last either way."""


def _row(
    overview: Overview,
    name: str,
    file: JobFile | None,
    recent: Recent,
    running: tuple[HistoryRow, ...],
    queued: tuple[HistoryRow, ...],
    asked: tuple[RequestFile, ...],
    missed: HistoryRow | None,
    upcoming: Upcoming | None,
) -> JobRow:
    config = file.config if file else None
    refused = overview.refused.get(file.file) if file else None
    kept = refused is not None and refused.kept_last_good and refused.job_name == name
    usual = usual_seconds(recent)
    late_since = overview.now - timedelta(seconds=usual) if usual else None
    free = not (running or queued)
    is_expected = config is None or config.enabled
    if config is None or refused is not None:
        runnable = kept and free
    else:
        runnable = config.enabled and (free or config.concurrency_policy in ALLOWS_MORE)
    return JobRow(
        name=name,
        file=file,
        state=_state(file, refused, recent, running, queued),
        recent=recent,
        running=running,
        queued=queued,
        asked=asked,
        missed=missed if missed and is_expected and not _ran_since(missed, recent, running) else None,
        next=upcoming,
        loaded=overview.loaded.get(name, True) or config is None,
        refused=refused,
        kept=kept,
        late=late_since is not None and any(each.at < late_since for each in running),
        runnable=runnable,
        changed=overview.changed_outside.get(name),
    )


def _ran_since(missed: HistoryRow, recent: Recent, running: tuple[HistoryRow, ...]) -> bool:
    """The line on a missed time may be written when the run that catches up has begun: the time itself is compared."""
    runs = running if recent.last is None else (*running, recent.last)
    return any(each.at >= (missed.scheduled_time or missed.at) for each in runs)


def usual_seconds(recent: Recent) -> float | None:
    """Return after how many seconds a run of a job counts as late, None if that is not known."""
    return None if recent.p95_seconds is None else max(recent.p95_seconds, LATE_AFTER_SECONDS)


def _state(
    file: JobFile | None,
    refused: ConfigProblem | None,
    recent: Recent,
    running: tuple[HistoryRow, ...],
    queued: tuple[HistoryRow, ...],
) -> State:
    last = recent.last
    disabled = bool(file and file.config and not file.config.enabled)
    facts = {
        State.INVALID: file is not None and file.config is None,
        State.REFUSED: refused is not None,
        State.FAILED: last is not None and last.failed and not disabled,
        State.RUNNING: bool(running),
        State.QUEUED: bool(queued),
        State.DISABLED: disabled,
        State.CANCELLED: last is not None and last.status == "cancelled",
        State.OK: last is not None,
    }
    return next((state for state, holds in facts.items() if holds), State.NEVER)


def _urgency(row: JobRow) -> tuple[Any, ...]:
    last = row.recent.last
    if row.state is State.FAILED and last is not None:
        return 0, -(last.end_time or last.at).timestamp(), row.label
    if row.state in (State.INVALID, State.REFUSED):
        return 1, 0.0, row.label
    if row.missed:
        return 2, 0.0, row.label
    if row.running or row.queued:
        return 3, not row.late, row.label
    return 4, row.next.at.timestamp() if row.next else float("inf"), row.label


def _claim(file: JobFile) -> tuple[bool, str]:
    """Order the files of one name: the first is the one that `JobFiles.get` returns."""
    return file.config is None, file.file


def _by_job(named: Iterable[tuple[str, T]]) -> dict[str, tuple[T, ...]]:
    found: dict[str, tuple[T, ...]] = {}
    for job_name, each in named:
        found[job_name] = (*found.get(job_name, ()), each)
    return found


def _is(row: JobRow, state: str) -> bool:
    if state == CHANGED:
        return row.changed is not None
    if state == State.RUNNING:
        return bool(row.running)  # one that failed before, too
    return not state or state == row.state


def _holds(row: JobRow, text: str) -> bool:
    config = row.config
    texts = [row.label, *([config.command, config.description or ""] if config else [])]
    return any(text in each.casefold() for each in texts)
