"""What a line of the journal changes in the index: lines, runs, answers, and which definitions are in force.

A line that is read again changes nothing. Those of a run may come in any order: what is known of its end stands.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from admin_ui import entries
from admin_ui.entries import Entry
from admin_ui.model import FAILURES

LONGEST_CAUSE = 200
ACTIVE = ("queued", "running", "unknown")
"""What a run may be before its end is known: later news replaces it. The rest is final."""


def apply_journal_entry(connection: sqlite3.Connection, line: bytes, entry: Entry, number: int | None) -> bool:
    """Take up a line, with this number or the next, and what it says of a run or a request; False if it is known."""
    seq = _insert_line(connection, line, entry, number)
    if seq is None:
        return False
    APPLY[entry["event"]](connection, entry, seq)
    return True


def apply_checkpoint(connection: sqlite3.Connection, line: bytes, entry: Entry) -> None:
    """Take up a checkpoint: which definitions are in force and, from a full one, which runs there are at that place."""
    place = _place(connection, line, entry)
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


def indexable(text: str) -> str:
    """Return the text as the index is given it: SQLite's tokenizer would end at the first NUL."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}")


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
            (done.lastrowid, *map(indexable, (facts, stdout, stderr))),
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


def _runs_of(checkpoint: Entry) -> Iterator[tuple[str, dict[str, Any]]]:
    for group, status in (("open", "running"), ("pending", "queued"), ("retries", "queued")):
        for run in checkpoint[group]:
            yield status, run
