"""The read model: follows the logs into the index, by one thread, and forgets in it what is older than is kept."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count, repeat
from pathlib import Path
from typing import TypeVar

from admin_ui import entries
from admin_ui.database import Database
from admin_ui.errors import StorageError
from admin_ui.follow import LONGEST_LINE, Batch, Cursor, Follower
from admin_ui.journal_rows import apply_checkpoint, apply_journal_entry, indexable
from admin_ui.model import iso
from admin_ui.scheduler_state import apply_main_entry
from admin_ui.text_search import has_text

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


class History:
    """Keeps the index up to date. `poll` is one pass; `start` has a thread repeat it."""

    def __init__(self, log_directory: str | Path, data_directory: str | Path, *, keep_days: float = 365) -> None:
        self._logs = Path(log_directory)
        self.database = Database(Path(data_directory) / INDEX, {"has_text": (4, has_text)})
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
                apply_checkpoint(connection, line, entry)
        elif apply_journal_entry(connection, line, entry, number):
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
                    [(seq, *map(indexable, texts)) for seq, _, *texts in old if texts[0]],
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
