"""The verb `trigger`: drop a request and, if asked to, follow it in the journal to the end of its run."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import pwd
import secrets
import stat
import sys
import time
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo

from sidecar import health, journal
from sidecar.clock import Clock, from_iso
from sidecar.config import is_job_name
from sidecar.definitions import invalid_files, read_definitions, unknown
from sidecar.errors import UnknownJob
from sidecar.exit_codes import EX_FAILED, EX_INTERRUPTED, EX_OK
from sidecar.history import Follower
from sidecar.human import clean, clean_output, show_length, show_second
from sidecar.model import Action, Status
from sidecar.output import DIRECTORY, STREAMS
from sidecar.policy import retry_id
from sidecar.requests import drop
from sidecar.settings import Settings

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 5.0
"""So long without an answer, and the person who waits is told why that may be."""

CHUNK_BYTES = 1 << 16
NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


def trigger(settings: Settings, job_name: str, *, wait: bool) -> int:
    """Drop a request to run the job; with `wait`, print its output and return its exit code, 1 if it was refused.

    Raises UnknownJob, JobsDirectoryError, OSError; nothing was asked for then.
    """
    refusal = _refusal(settings, job_name)
    if refusal is not None:
        return _fail(refusal)
    request_id = secrets.token_hex(8)
    # Before the request: its answer must come after.
    follower = Follower(settings.logs_dir / journal.JOURNAL) if wait else None
    try:
        path = drop(settings.triggers_dir, Action.RUN, job_name, request_id, _user(), Clock().now())
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        return _fail(_not_writable(settings, job_name, error))
    trouble = health.silence(settings.logs_dir)
    if follower is None:
        print(f"requested: {clean(str(path))}")
        if trouble is not None:
            longest = show_length(settings.trigger_max_age_seconds)
            _tell(f"{trouble}; a scheduler that starts within {longest} takes the request up")
        return EX_OK
    if trouble is not None:
        _tell(f"{trouble}; waiting for it")
    waiting = _Waiting(settings, job_name, request_id, path)
    try:
        return waiting.follow(follower)
    except KeyboardInterrupt:
        _tell(waiting.what_goes_on())
        return EX_INTERRUPTED
    finally:
        waiting.close()
        follower.close()


def _refusal(settings: Settings, job_name: str) -> str | None:
    """Return why asking would be in vain. Raises UnknownJob.

    A job whose file is invalid may still be in force in the scheduler: that one is asked.
    """
    catalog = read_definitions(settings)
    definition = catalog.jobs.get(job_name)
    if definition is not None:
        return None if definition.config.enabled else f"{job_name} is disabled: {definition.file} has enabled: false"
    invalid = invalid_files(settings, catalog, job_name)
    if not invalid or not is_job_name(job_name):
        raise UnknownJob(unknown(job_name, catalog, {}))
    file, problems = next(iter(invalid.items()))
    _tell(f"{file} is invalid ({problems[0]}); a running scheduler may still have its last good version")
    return None


class _Waiting:
    """Follows one request: to its answer, then its run, then the run's retries."""

    def __init__(self, settings: Settings, job_name: str, request_id: str, path: Path) -> None:
        self._settings = settings
        self._job_name = job_name
        self._request_id = request_id
        self._path = path
        self._run_id: str | None = None
        self._started = False
        self._exit_code: int | None = None
        self._sinks = {"stdout": _Sink(sys.stdout), "stderr": _Sink(sys.stderr)}
        self._copies: dict[str, _Copy] = {}

    def follow(self, follower: Follower) -> int:
        """Return the exit code of the run, or 1, once it is known."""
        began = time.monotonic()
        patient = True
        while True:
            for entry in follower.new_entries():
                self._take(entry)
                if self._exit_code is not None:
                    return self._exit_code
            for copy in self._copies.values():
                copy.go_on()
            if patient and self._run_id is None and time.monotonic() - began > PATIENCE_SECONDS:
                patient = False
                self._explain_delay()
            time.sleep(POLL_SECONDS)

    def what_goes_on(self) -> str:
        """Return what happens without us, and how to stop that."""
        triggers = self._settings.triggers_dir
        if self._run_id is None:
            return clean(f"the request stays and will be answered; to withdraw it: rm {self._path}")
        state = "goes on" if self._started else "still waits for its start"
        request = f'{{"action": "cancel", "job_name": "{self._job_name}", "run_id": "{self._run_id}"}}'
        return clean(f"run {self._run_id} {state}; to cancel it: echo '{request}' > {triggers}/cancel.json")

    def close(self) -> None:
        """Close the output files."""
        for copy in self._copies.values():
            copy.close()

    def _take(self, entry: dict[str, Any]) -> None:
        event = entry["event"]
        if event.startswith("trigger_"):
            if entry.get("request_id") == self._request_id and entry.get("action") == Action.RUN:
                self._answered(entry)
        elif self._run_id is not None and entry.get("run_id") == self._run_id:
            if event == "job_queued":
                _tell(f"queued: {entry.get('reason')}")
            elif event == "job_start":
                self._begin()
            elif event == "job_complete":
                self._complete(entry)
            elif event in ("job_skipped", "job_missed"):
                _tell(f"run {self._run_id} did not start: {entry.get('reason')}")
                self._end(EX_FAILED)

    def _answered(self, entry: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()  # it has its answer; nobody else may clear it away
        if entry["event"] == "trigger_rejected":
            detail = f" ({entry['detail']})" if entry.get("detail") else ""
            _tell(f"rejected: {entry.get('reason')}{detail}")
            self._end(EX_FAILED)
        else:
            self._run_id = str(entry["run_id"])
            _tell(f"accepted as run {self._run_id}")

    def _begin(self) -> None:
        self._started = True
        folder = self._settings.logs_dir / DIRECTORY / self._job_name
        self._copies = {s: _Copy(folder / f"{self._run_id}.{s}", self._sinks[s]) for s in STREAMS}

    def _complete(self, entry: dict[str, Any]) -> None:
        for stream in STREAMS:
            copy = self._copies.get(stream)
            file = entry.get(f"{stream}_file")
            if copy is None and file:
                copy = _Copy(self._settings.logs_dir / str(file), self._sinks[stream])
            if copy is None or not copy.finish():
                self._sinks[stream].write(str(entry.get(stream) or "").encode("utf-8", "backslashreplace"))
            self._sinks[stream].flush()
        self._copies = {}
        status, code = entry.get("status"), entry.get("exit_code")
        _tell(_summary(entry))
        if entry.get("retry_at"):
            attempt = int(entry["attempt"]) + 1
            self._run_id = retry_id(entry["first_run_id"], attempt)
            self._started = False
            _tell(f"attempt {attempt} is due at {self._local(entry['retry_at'])}")
        elif status == Status.SUCCESS:
            self._end(code or EX_OK)
        else:
            self._end(code or EX_FAILED)

    def _end(self, exit_code: int) -> None:
        self._exit_code = exit_code

    def _local(self, instant: str) -> str:
        return show_second(from_iso(instant), ZoneInfo(self._settings.timezone))

    def _explain_delay(self) -> None:
        trouble = health.silence(self._settings.logs_dir)
        because = trouble or "the scheduler is stopping, or works with other directories than these"
        _tell(f"no answer yet: {because}; still waiting, Ctrl-C ends only that")


class _Sink:
    """Where a job's output goes. To a terminal control characters are escaped, to anything else bytes go as is."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace") if stream.isatty() else None

    def write(self, data: bytes) -> None:
        """Pass the bytes on; of a character that is cut in two, the first part waits for the second."""
        self._put(data, final=False)

    def flush(self) -> None:
        """Let nothing wait any more."""
        self._put(b"", final=True)
        self._stream.flush()

    def _put(self, data: bytes, *, final: bool) -> None:
        if self._decoder is not None:
            self._stream.write(clean_output(self._decoder.decode(data, final)))
        else:
            self._stream.flush()
            self._stream.buffer.write(data)
        self._stream.flush()


class _Copy:
    """Copies an output file to a sink while it grows. The scheduler may unlink it at the end: we hold it open."""

    def __init__(self, path: Path, sink: _Sink) -> None:
        self._path = path
        self._sink = sink
        self._descriptor = -1

    def go_on(self) -> None:
        """Copy what was added."""
        if self._descriptor < 0 and not self._open():
            return
        while data := os.read(self._descriptor, CHUNK_BYTES):
            self._sink.write(data)

    def finish(self) -> bool:
        """Copy the rest; return False if the file could never be read."""
        self.go_on()
        found = self._descriptor >= 0
        self.close()
        return found

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> bool:
        # A job may have put anything in the file's place.
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                self._descriptor = descriptor
                return True
            os.close(descriptor)
        return False


def _summary(entry: dict[str, Any]) -> str:
    length = show_length(float(entry.get("duration_seconds") or 0))
    code = "" if entry.get("exit_code") is None else f", exit code {entry['exit_code']}"
    reason = f" ({entry['reason']})" if entry.get("reason") else ""
    return f"run {entry['run_id']} ended after {length}: {entry.get('status')}{code}{reason}"


def _not_writable(settings: Settings, job_name: str, error: OSError) -> str:
    where = f"{settings.triggers_dir} cannot be written here ({error.strerror})"
    return f"{where}. Where the jobs directory is writable, on the host for instance: touch jobs/triggers/{job_name}"


def _user() -> str:
    try:
        return clean(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:
        return f"uid {os.getuid()}"


def _tell(message: str) -> None:
    """Say something on stderr: stdout is the job's."""
    print(f"sidecar: {clean(message)}", file=sys.stderr, flush=True)


def _fail(message: str) -> int:
    _tell(message)
    return EX_FAILED
