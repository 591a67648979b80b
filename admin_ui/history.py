"""The read model: follows the logs into the index. One thread writes; what it writes, and when it forgets, is here."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count, repeat
from pathlib import Path
from typing import Any, TypeVar

from admin_ui import entries
from admin_ui.database import Database
from admin_ui.entries import Entry
from admin_ui.errors import StorageError
from admin_ui.follow import LONGEST_LINE, Batch, Cursor, Follower
from admin_ui.model import FAILURES, iso
from admin_ui.scheduler_state import apply_main_entry

T = TypeVar("T")
LOG = logging.getLogger(__name__)
JOURNAL = "scheduler_jobs.log"
MAIN_LOG = "scheduler_main.log"
INDEX = "history.sqlite3"
IDLE_SECONDS = 0.25
WAITED_FOR_SECONDS = 0.02
RETRY_SECONDS = 5.0
GONE_AFTER_SECONDS = 2.0
"""How long a journal may be missing; while it is rotated, it is for a moment."""

FORGET_EVERY_SECONDS = 60.0
FORGET_LINES = 2000
"""So many lines at most are forgotten in one transaction, about a tenth of a second."""

EVENTS = {JOURNAL: entries.JOURNAL_EVENTS, MAIN_LOG: entries.MAIN_EVENTS}
LATE_LINES = 1 << 40
"""So many numbers are set aside, below all others, for the lines of old files that turn up late."""

LONGEST_CAUSE = 200
ACTIVE = ("queued", "running", "unknown")
"""What a run may be before its end is known: later news replaces it. The rest is final."""


class History:
    """Keeps the index up to date. `poll` is one pass; `start` has a thread repeat it."""

    def __init__(self, log_directory: str | Path, data_directory: str | Path, *, keep_days: float = 365) -> None:
        self._logs = Path(log_directory)
        self.database = Database(Path(data_directory) / INDEX, {"has_text": (4, _has_text)})
        self.problem: str | None = None
        self.skipped_lines = 0
        self.changes: dict[str, int] = {}
        """By job, how often its runs changed since the index was opened: what was read of a job before is stale."""

        self.version = 0
        """Grows with all that changes in the index."""

        self._followers = {log: Follower(self._logs / log) for log in (JOURNAL, MAIN_LOG)}
        self._late: Iterator[int] | None = None
        self._missing_since: float | None = None
        self._keep = timedelta(days=keep_days)
        self._forget_at = 0.0
        self._polling = threading.Lock()
        self._news = threading.Condition()
        self._waiting = 0
        self._passes = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Read what there is, then follow in a thread of its own until `stop`."""
        self._stopping.clear()
        self._try()
        self._thread = threading.Thread(target=self._loop, name="history", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the index."""
        self._stopping.set()
        with self._news:
            self._news.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.database.close()

    def poll(self) -> int:
        """Take up the new whole lines of both logs, if there are not too many for one pass, and return how many.

        Sets `problem` if that leaves something unread. Raises StorageError; then go on later.
        """
        with self._polling:
            if self.database.open():
                self.changes = {}
                self.version += 1
                self.skipped_lines = 0
                self._late = None
                for follower in self._followers.values():
                    follower.forget()
            try:
                taken = sum(self._follow(log) for log in self._followers)
            except OSError as error:
                raise StorageError(f"the logs cannot be read: {error}") from error
            self.problem = self._what_is_missing() or self._what_is_unread()
            if time.monotonic() >= self._forget_at:
                self._forget()
                self._forget_at = time.monotonic() + FORGET_EVERY_SECONDS
        with self._news:
            self._passes += 1
            self._news.notify_all()
        return taken

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection to ask. Without the thread of `start`, look at the logs first. Raises StorageError."""
        if self._thread is None:
            self.poll()
        with self.database.read() as connection:
            yield connection

    def wait_for(self, look: Callable[[], T | None], timeout: float) -> T | None:
        """Return what `look` gives as soon as that is something, None after `timeout` seconds without it."""
        deadline = time.monotonic() + timeout
        with self._waited_for():
            while True:
                seen = self._passes
                found = look()
                left = deadline - time.monotonic()
                if found is not None or left <= 0:
                    return found
                with self._news:
                    if self._thread is None:
                        self._news.wait(WAITED_FOR_SECONDS)
                    elif self._passes == seen:
                        self._news.wait(left)

    def _loop(self) -> None:
        while not self._stopping.is_set():
            pause = IDLE_SECONDS if self._try() else RETRY_SECONDS
            if pause == IDLE_SECONDS and any(each.unread for each in self._followers.values()):
                pause = WAITED_FOR_SECONDS
            with self._news:
                if not self._stopping.is_set():
                    self._news.wait_for(lambda: self._waiting > 0 or self._stopping.is_set(), pause)
            if self._waiting and pause == IDLE_SECONDS:
                self._stopping.wait(WAITED_FOR_SECONDS)

    def _try(self) -> bool:
        known = self.problem
        try:
            self.poll()
        except StorageError as error:
            if known is None:
                LOG.error("history: %s", error)
            self.problem = str(error)
            return False
        except Exception as error:
            # Whatever it is: without this thread the page would go on showing what it has as if it were news.
            if known is None:
                LOG.exception("history: the logs cannot be taken up")
            self.problem = f"the logs cannot be taken up: {error!r}"
            return False
        return True

    @contextmanager
    def _waited_for(self) -> Iterator[None]:
        """Count somebody who waits for news, so that the thread looks for it more often."""
        self._count_waiting(1)
        try:
            yield
        finally:
            self._count_waiting(-1)

    def _count_waiting(self, by: int) -> None:
        with self._news:
            self._waiting += by
            self._news.notify_all()

    # Lines

    def _follow(self, log: str) -> int:
        follower, total = self._followers[log], 0
        with self.database.read() as connection:
            rows = connection.execute("SELECT file, offset, tail FROM cursors WHERE log = ?", (log,)).fetchall()
        cursors = {file: Cursor(file, offset, tail) for file, offset, tail in rows}
        for batch in follower.read(cursors, self._stopping.is_set):
            with self.database.write() as connection:
                touched: set[str] = set()
                taken = self._take_all(connection, log, batch, batch.lines, touched)
                self._remember(connection, log, batch)
            self._count_change(touched)
            total += taken
            self.skipped_lines += batch.skipped + len(batch.lines) - taken
        gone = cursors.keys() - follower.files
        if gone and follower.files:
            with self.database.write() as connection:
                connection.executemany("DELETE FROM cursors WHERE log = ? AND file = ?", [(log, file) for file in gone])
        if log == JOURNAL:
            if follower.is_there or not cursors:  # without one, nothing was there yet
                self._missing_since = None
            elif self._missing_since is None:
                self._missing_since = time.monotonic()
        return total

    def _count_change(self, job_names: Iterable[str]) -> None:
        self.version += 1
        for job_name in job_names:
            self.changes[job_name] = self.changes.get(job_name, 0) + 1

    def _what_is_missing(self) -> str | None:
        if self._missing_since is None or time.monotonic() - self._missing_since < GONE_AFTER_SECONDS:
            return None
        return f"the journal is gone: there is no file {self._logs / JOURNAL}"

    def _what_is_unread(self) -> str | None:
        for follower in self._followers.values():
            if follower.unread and follower.overlong:
                most = f"{LONGEST_LINE >> 20} MiB"
                return f"{follower.unread} holds a line of more than {most}; what follows it is not read yet"
            if follower.unread:
                return f"{follower.unread} is not read to its end yet"
        return None

    def _remember(self, connection: sqlite3.Connection, log: str, batch: Batch) -> None:
        cursor = batch.cursor
        connection.execute(
            "INSERT OR REPLACE INTO cursors VALUES (?, ?, ?, ?)", (log, cursor.file, cursor.offset, cursor.tail)
        )

    def _take_all(
        self, connection: sqlite3.Connection, log: str, batch: Batch, lines: Sequence[bytes], touched: set[str]
    ) -> int:
        """Take up some lines of a batch, or if that fails, those of them that can be; return how many."""
        numbers = self._numbers(connection, batch)
        try:
            with _undone_on_error(connection):
                return sum(self._take(connection, log, line, batch.late, next(numbers), touched) for line in lines)
        except Exception as error:
            if not _is_of_a_line(error):
                raise
            if len(lines) > 1:  # one by one only now: a savepoint for each line would cost all others time
                return sum(self._take_all(connection, log, batch, [line], touched) for line in lines)
            LOG.exception("history: a line of %s cannot be taken up", log)
            return 0

    def _take(
        self, connection: sqlite3.Connection, log: str, line: bytes, late: bool, number: int | None, touched: set[str]
    ) -> bool:
        """Take up one line, add its job to `touched`; return whether it says something (a known line does).

        A `late` line is a part of the history, but it tells nothing of how things are now.
        """
        entry = entries.parse(line, EVENTS[log])
        if entry is None:
            return not line.strip()  # the sidecar ends a torn line with a newline of its own
        if log == MAIN_LOG:
            if not late:
                apply_main_entry(connection, entry)
        elif entry["event"] == "checkpoint":
            if not late:
                _reconcile(connection, entry, _place(connection, line, entry))
        elif (seq := _insert_line(connection, line, entry, number)) is not None:
            APPLY[entry["event"]](connection, entry, seq)
            touched.add(entry["job_name"] or "")
        return True

    def _numbers(self, connection: sqlite3.Connection, batch: Batch) -> Iterator[int | None]:
        """Return the numbers for lines: what comes after all others (None), for late ones what comes before them."""
        if not batch.late:
            return repeat(None)
        if self._late is None:
            (lowest,) = connection.execute("SELECT coalesce(min(seq), 0) FROM lines").fetchone()
            self._late = count(lowest - LATE_LINES)
        return self._late

    # Retention

    def _forget(self) -> None:
        """Forget what is older than is kept, in slices, so that no reader and no new line waits long."""
        before = iso(datetime.now(UTC) - self._keep)
        more = True
        while more and not self._stopping.is_set():
            with self.database.write() as connection:
                old = connection.execute(
                    "SELECT seq, job_name, facts, stdout, stderr FROM lines WHERE at < ?"
                    " AND seq <= (SELECT max(seq) FROM (SELECT seq FROM lines ORDER BY seq LIMIT ?))",
                    (before, FORGET_LINES),
                ).fetchall()
                more = len(old) == FORGET_LINES
                connection.executemany(
                    "INSERT INTO texts (texts, rowid, facts, stdout, stderr) VALUES ('delete', ?, ?, ?, ?)",
                    [(seq, *map(_indexable, texts)) for seq, _, *texts in old if texts[0]],
                )
                connection.executemany("DELETE FROM lines WHERE seq = ?", [row[:1] for row in old])
                over = connection.execute(
                    "DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE at < ? AND coalesce(ended, at) < ?"
                    " AND status NOT IN ('running', 'queued') ORDER BY at LIMIT ?) RETURNING job_name",
                    (before, before, FORGET_LINES),
                ).fetchall()
                more = more or len(over) == FORGET_LINES
                connection.execute("DELETE FROM answers WHERE at < ?", (before,))
            if old or over:
                self._count_change({job_name for _, job_name, *_ in old} | {job_name for (job_name,) in over})


# What a line changes


@contextmanager
def _undone_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("SAVEPOINT lines_taken")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):  # a full disk may have rolled back all of the transaction
            connection.execute("ROLLBACK TO lines_taken")
        raise
    connection.execute("RELEASE lines_taken")


def _is_of_a_line(error: Exception) -> bool:
    """Return whether a line is to blame, and not the index, the disk or the memory, with which it may go well later."""
    if isinstance(error, sqlite3.Error):
        return isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError | sqlite3.IntegrityError)
    return not isinstance(error, MemoryError | OSError)


def _insert_line(connection: sqlite3.Connection, line: bytes, entry: Entry, number: int | None) -> int | None:
    """Add a line, with this number or the next, and return its number; None if it is known already."""
    document = {key: value for key, value in entry.items() if key not in ("stdout", "stderr")}
    facts = "" if entry["event"] in ("job_start", "job_queued") else _facts(entry)
    stdout, stderr = entry.get("stdout", ""), entry.get("stderr", "")
    done = connection.execute(
        "INSERT OR IGNORE INTO lines"
        " (seq, digest, at, event, job_name, status, run_id, document, facts, stdout, stderr)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            number,
            _digest(line),
            entry["timestamp"],
            entry["event"],
            entry["job_name"] or "",
            entry.get("status", ""),
            entry.get("run_id"),
            json.dumps(document, separators=(",", ":")),
            facts,
            stdout,
            stderr,
        ),
    )
    if done.rowcount == 0:
        return None
    if facts:
        connection.execute(
            "INSERT INTO texts (rowid, facts, stdout, stderr) VALUES (?, ?, ?, ?)",
            (done.lastrowid, *map(_indexable, (facts, stdout, stderr))),
        )
    return done.lastrowid


def _place(connection: sqlite3.Connection, line: bytes, checkpoint: Entry) -> int:
    """Return the number that a checkpoint has among the lines: of one that is read again, the one from then."""
    bare = {"timestamp": checkpoint["timestamp"], "event": checkpoint["event"], "job_name": None}
    number = _insert_line(connection, line, bare, None)
    if number is None:
        (number,) = connection.execute("SELECT seq FROM lines WHERE digest = ?", (_digest(line),)).fetchone()
    return int(number)


def _digest(line: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(line, digest_size=8).digest(), "big", signed=True)


def _indexable(text: str) -> str:
    """Return the text as the index is given it: SQLite's tokenizer would end at the first NUL."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}")


def _facts(entry: Entry) -> str:
    """Return the short fields of a line as one text to be searched."""
    names = ("job_name", "run_id", "status", "trigger", "requested_by", "reason", "detail", "request_id", "file")
    return "\n".join(str(entry[name]) for name in names if entry.get(name))


def _accepted(connection: sqlite3.Connection, entry: Entry, seq: int) -> None:
    _answered(connection, entry, accepted=True)
    if entry["action"] == "run":
        for run_id in entry["run_ids"]:
            _put(connection, {**entry, "run_id": run_id, "trigger": "manual"}, "queued", entry["timestamp"], seq)


def _rejected(connection: sqlite3.Connection, entry: Entry, seq: int) -> None:
    _answered(connection, entry, accepted=False)


def _answered(connection: sqlite3.Connection, entry: Entry, *, accepted: bool) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(entry["request_id"] or "", entry["action"] or "", entry["job_name"] or "", entry["timestamp"], accepted),
            *(json.dumps(entry.get("run_ids", [])), entry.get("reason") or "", entry.get("detail") or ""),
            entry["requested_by"],
        ),
    )


def _queued(connection: sqlite3.Connection, entry: Entry, seq: int) -> None:
    _put(connection, entry, "queued", entry["timestamp"], seq)


def _started(connection: sqlite3.Connection, entry: Entry, seq: int) -> None:
    _put(connection, entry, "running", entry["start_time"], seq)


def _completed(connection: sqlite3.Connection, entry: Entry, seq: int) -> None:
    why = entries.cause(entry) if entry["status"] in FAILURES else None
    _put(
        connection,
        entry,
        entry["status"],
        entry["start_time"],
        seq,
        ended=entry["end_time"],
        duration=entry["duration_seconds"],
        cause=None if why is None else why[:LONGEST_CAUSE],
    )
    if entry["retry_at"] is not None:
        again = {**entry, "run_id": f"{entry['first_run_id']}-{entry['attempt'] + 1}", "trigger": "retry"}
        _put(connection, again, "queued", entry["retry_at"], seq)


def _passed_over(connection: sqlite3.Connection, entry: Entry, seq: int) -> None:
    status = entry["event"].removeprefix("job_")
    _put(connection, entry, status, entry["timestamp"], seq, ended=entry["timestamp"], cause=entry["reason"])


APPLY: Mapping[str, Callable[[sqlite3.Connection, Entry, int], None]] = {
    "trigger_accepted": _accepted,
    "trigger_rejected": _rejected,
    "job_queued": _queued,
    "job_start": _started,
    "job_complete": _completed,
    "job_skipped": _passed_over,
    "job_missed": _passed_over,
}


def _put(
    connection: sqlite3.Connection, entry: Mapping[str, Any], status: str, at: str, line: int | None, **ended: Any
) -> None:
    """Bring a run's row up to date. What is known of its end stands, in whatever order lines are read."""
    run_id = entry["run_id"]
    row = {
        "job_name": entry["job_name"],
        "status": status,
        "failed": status in FAILURES,
        "at": at,
        "line": line,
        **ended,
    }
    if entry.get("trigger") is not None:
        row["trigger"] = entry["trigger"]
    if entry.get("request_id") is not None:
        row["request_id"] = entry["request_id"]
        row["requested_by"] = _requester(connection, entry)
    known = None
    if run_id is not None:
        known = connection.execute("SELECT id, status FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if known is None:
        row["run_id"] = run_id
        names = ", ".join(row)
        connection.execute(f"INSERT INTO runs ({names}) VALUES ({', '.join(f':{name}' for name in row)})", row)
    elif known[1] in ACTIVE and not (known[1] == "running" and status == "queued"):
        sets = ", ".join(f"{name} = :{name}" for name in row)
        connection.execute(f"UPDATE runs SET {sets} WHERE id = :id", {**row, "id": known[0]})


def _requester(connection: sqlite3.Connection, entry: Mapping[str, Any]) -> str | None:
    row = connection.execute(
        "SELECT requested_by FROM answers WHERE request_id = ? AND action = 'run' AND job_name = ?",
        (entry["request_id"], entry["job_name"]),
    ).fetchone()
    return row[0] if row else None


def _reconcile(connection: sqlite3.Connection, entry: Entry, place: int) -> None:
    """Take up a checkpoint: which definitions are in force and, from a full one, which runs there are at that place."""
    if entry["full"]:
        connection.execute("DELETE FROM in_force")
        there = list(_runs_of(entry))
        for status, run in there:
            known = connection.execute("SELECT status FROM runs WHERE run_id = ?", (run["run_id"],)).fetchone()
            if known is None or known[0] != status:  # what came before was rotated away before it was read
                _put(connection, run, status, run["since"], None)
        ids = {run["run_id"] for _, run in there}
        # By the journal's order, not by times: the clock may have been set back.
        active = connection.execute(
            "SELECT id, run_id FROM runs WHERE status IN ('running', 'queued') AND (line IS NULL OR line < ?)", (place,)
        ).fetchall()
        # Their last line was rotated away before it was read.
        lost = [(row_id,) for row_id, run_id in active if run_id not in ids]
        connection.executemany("UPDATE runs SET status = 'unknown' WHERE id = ?", lost)
    for job_name, record in entry["jobs"].items():
        if record is None:
            connection.execute("DELETE FROM in_force WHERE job_name = ?", (job_name,))
        else:
            row = (job_name, record["sha256"], record["since"])
            connection.execute("INSERT OR REPLACE INTO in_force VALUES (?, ?, ?)", row)


def _runs_of(checkpoint: Entry) -> Iterator[tuple[str, dict[str, Any]]]:
    for group, status in (("open", "running"), ("pending", "queued"), ("retries", "queued")):
        for run in checkpoint[group]:
            yield status, run


def _has_text(needle: str, *texts: str) -> bool:
    """Return whether one of the texts has the needle, whatever the case (`needle` is casefolded)."""
    return any(needle in text.casefold() for text in texts)
