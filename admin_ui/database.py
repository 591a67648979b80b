"""The index file: its tables, one connection to write, many to read. Made anew if it is lost or damaged.

One of an earlier version is kept where that can be done: it reaches back further than the logs to make it from.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from admin_ui.errors import StorageError

VERSION = 2
MOST_IDLE_READERS = 16
BUSY_SECONDS = 5.0
ALONE_SECONDS = 30.0
"""How long readers may hold up that the index is made anew; the longest search takes a few seconds."""

SIDE_FILES = ("", "-wal", "-shm")
TABLES = """
CREATE TABLE lines (  -- every journal line; of a checkpoint no more than its place
  seq INTEGER PRIMARY KEY,
  digest INTEGER NOT NULL UNIQUE,  -- of its bytes: a line that is read again is known
  at TEXT NOT NULL,
  event TEXT NOT NULL,
  job_name TEXT NOT NULL,
  status TEXT NOT NULL,
  run_id TEXT,
  document TEXT NOT NULL,  -- without stdout and stderr
  facts TEXT NOT NULL,  -- its short fields, to be searched
  stdout TEXT NOT NULL,
  stderr TEXT NOT NULL
);
CREATE INDEX lines_of_job ON lines (job_name, seq);
CREATE VIRTUAL TABLE texts USING fts5 (
  facts, stdout, stderr, content='lines', content_rowid='seq', tokenize='trigram'
);
CREATE TABLE runs (  -- one row a run, and one for each skipped or missed span
  id INTEGER PRIMARY KEY,
  run_id TEXT UNIQUE,
  job_name TEXT NOT NULL,
  status TEXT NOT NULL,  -- queued, running, unknown, skipped, missed, or how it ended
  failed INTEGER NOT NULL,  -- by its status: it ended, neither well nor because somebody wanted that
  trigger TEXT,
  at TEXT NOT NULL,  -- when it started, was queued, is to start again, or was passed over
  ended TEXT,
  duration REAL,
  cause TEXT,
  request_id TEXT,
  requested_by TEXT,
  line INTEGER  -- the newest of its lines
);
CREATE INDEX runs_of_job ON runs (job_name, at, id);
CREATE INDEX runs_of_job_by_status ON runs (job_name, status, at, id);
CREATE INDEX runs_of_job_by_trigger ON runs (job_name, trigger, at, id);
CREATE INDEX runs_of_job_failed ON runs (job_name, at, id) WHERE failed = 1;
CREATE INDEX runs_by_at ON runs (at, id);
CREATE INDEX runs_by_trigger ON runs (trigger, at, id);
CREATE INDEX runs_by_status ON runs (status, at, id);
CREATE INDEX runs_failed ON runs (ended) WHERE failed = 1;
CREATE INDEX runs_failed_by_at ON runs (at, id) WHERE failed = 1;
CREATE TABLE answers (  -- the scheduler's answers to requests
  request_id TEXT NOT NULL,
  action TEXT NOT NULL,
  job_name TEXT NOT NULL,
  at TEXT NOT NULL,
  accepted INTEGER NOT NULL,
  run_ids TEXT NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  requested_by TEXT,
  PRIMARY KEY (request_id, action, job_name)
) WITHOUT ROWID;
CREATE INDEX answers_by_at ON answers (at);
CREATE TABLE in_force (job_name TEXT PRIMARY KEY, sha256 TEXT NOT NULL, since TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE config_errors (
  file TEXT PRIMARY KEY, seq INTEGER NOT NULL, at TEXT NOT NULL, job_name TEXT,
  errors TEXT NOT NULL, kept INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE cursors (
  log TEXT NOT NULL, file TEXT NOT NULL, offset INTEGER NOT NULL, tail BLOB NOT NULL, PRIMARY KEY (log, file)
) WITHOUT ROWID;
"""
UPGRADES = {1: "UPDATE runs SET failed = 0, cause = NULL WHERE status = 'cancelled';"}
"""By an earlier version with the same tables, what makes it this one."""

NAMES = frozenset(re.findall(r"^CREATE (?:VIRTUAL )?(?:TABLE|INDEX) (\w+)", TABLES, re.MULTILINE))


class Database:
    """One SQLite file in WAL mode. `write` is for one thread at a time, `read` for any number."""

    def __init__(self, path: Path, functions: dict[str, tuple[int, Callable[..., int]]] | None = None) -> None:
        self._path = path
        self._functions = functions or {}
        self._writer: sqlite3.Connection | None = None
        self._inode = 0
        self._lock = threading.Condition()
        self._generation = 0
        self._readers: deque[sqlite3.Connection] = deque()
        self._reading = 0
        self._opening = False
        self._damaged = False
        self._doubted = False

    def open(self) -> bool:
        """Have a sound database at the path; return whether it had to be made. Raises StorageError."""
        is_ours = self._writer is None or self._is_ours()
        if self._writer is not None and is_ours and not self._damaged and not self._doubted:
            return False
        with self._alone():
            return self._open(is_ours)

    def _open(self, is_ours: bool) -> bool:
        self.close()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Never what took our file's place: the old one's -wal would be read into it.
            made = self._damaged or not is_ours or not self._is_sound()
            if made:
                for suffix in SIDE_FILES:
                    with suppress(FileNotFoundError):
                        os.unlink(f"{self._path}{suffix}")
                # It holds what jobs print, which in logs/ is not for everybody either; its side files follow it.
                os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            self._writer = self._connect()
            if made:
                self._writer.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
            self._inode = os.stat(self._path).st_ino
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise StorageError(f"the index {self._path} cannot be opened: {error}") from error
        self._damaged = self._doubted = False
        return made

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold readers off, and wait for those that are at work. Raises StorageError if they take too long.

        SQLite finds a database's -wal by its path: a reader of a removed file would read, and when it closes clear
        away, what was written into that of its successor.
        """
        with self._lock:
            self._opening = True
            if not self._lock.wait_for(lambda: self._reading == 0, ALONE_SECONDS):
                self._opening = False
                raise StorageError(f"the index {self._path} cannot be opened: it is in use")
        try:
            yield
        finally:
            with self._lock:
                self._opening = False
                self._lock.notify_all()

    def close(self) -> None:
        """Close every connection that is not in use; readers close theirs when they are done."""
        with self._lock:
            self._generation += 1
            idle, self._readers = self._readers, deque()
        for connection in (*idle, *([self._writer] if self._writer else [])):
            connection.close()
        self._writer = None

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Give the writing connection for one transaction. Raises StorageError; nothing was changed then."""
        if self._writer is None:
            raise StorageError("the index is not open")
        with self._translated():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk may have rolled back already
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one state of the index while it is held. Raises StorageError."""
        with self._translated(), self._counted():
            with self._lock:
                generation = self._generation
                connection = self._readers.pop() if self._readers else None
            if connection is None:
                connection = self._connect(readonly=True)
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                with self._lock:
                    keep = generation == self._generation and len(self._readers) < MOST_IDLE_READERS
                    if keep:
                        self._readers.append(connection)
                if not keep:
                    connection.close()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._lock.wait_for(lambda: not self._opening)
            self._reading += 1
        try:
            yield
        finally:
            with self._lock:
                self._reading -= 1
                self._lock.notify_all()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            # Whatever is no matter of the moment (a lock, a full disk) is damage: the next `open` makes it anew.
            if not isinstance(error, sqlite3.OperationalError | sqlite3.IntegrityError | sqlite3.ProgrammingError):
                self._damaged = True
            elif getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
                self._doubted = True  # perhaps a table is not there any more
            raise StorageError(f"the index cannot be used: {error}") from error

    def _connect(self, *, readonly: bool = False) -> sqlite3.Connection:
        mode = "rw" if readonly else "rwc"
        connection = sqlite3.connect(
            f"{self._path.resolve().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            # NORMAL: a power cut may lose the newest lines and, with them, the cursor that had passed them.
            connection.executescript(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384;"
            )
            if readonly:
                connection.execute("PRAGMA query_only = 1")
            for name, (arguments, function) in self._functions.items():
                connection.create_function(name, arguments, function, deterministic=True)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _is_ours(self) -> bool:
        try:
            return os.stat(self._path).st_ino == self._inode
        except FileNotFoundError:
            return False

    def _is_sound(self) -> bool:
        """Return whether the file is a database of this version, or has become one; damage deep inside is found when it
        is met.
        """
        if not self._path.exists():
            return False
        try:
            connection = self._connect()
            try:
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
                if version in UPGRADES and names >= NAMES:
                    connection.executescript(f"BEGIN; {UPGRADES[version]} PRAGMA user_version = {VERSION}; COMMIT;")
                    version = VERSION
            finally:
                connection.close()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # locked, or it may not be read: no reason to throw it away
            return False
        return version == VERSION and names >= NAMES
