"""The nouns: job, run, result, request. No behaviour beyond what a field implies.

Durations carry their unit in the name; instants are aware UTC datetimes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

PAUSE = "PAUSE"
"""The file in jobs/ that holds all scheduled starts while it is there."""

JOB_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
STEERING = r"\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
"""Between the brackets of a pattern: the characters, besides those below the space, that end a line, steer a terminal
or turn the direction of a text around."""


class ConcurrencyPolicy(StrEnum):
    """What a due run does while another run of its job is going, as Kubernetes CronJob means it."""

    FORBID = "forbid"
    ALLOW = "allow"
    REPLACE = "replace"


class Trigger(StrEnum):
    """Why a run exists."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    RETRY = "retry"
    CATCH_UP = "catch_up"


class Status(StrEnum):
    """How a run ended. All but `success` count as failures."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    OUTPUT_LIMIT = "output_limit"


class Reason(StrEnum):
    """Why a scheduled time or an accepted run did not start."""

    ALREADY_RUNNING = "already_running"
    PAUSED = "paused"
    PAST_DEADLINE = "past_deadline"
    REPLACED = "replaced"
    SUPERSEDED = "superseded"
    DISABLED = "disabled"
    REMOVED = "removed"
    EXPIRED = "expired"


class Rejection(StrEnum):
    """Why a request was refused."""

    UNKNOWN_JOB = "unknown_job"
    DISABLED = "disabled"
    ALREADY_RUNNING = "already_running"
    NOT_RUNNING = "not_running"
    INVALID = "invalid"
    EXPIRED = "expired"


class Action(StrEnum):
    """What a request asks for."""

    RUN = "run"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """When a failed run is tried again. `max_attempts` counts all starts, the first one too."""

    max_attempts: int = 3
    initial_delay_seconds: float = 30
    multiplier: float = 2
    max_delay_seconds: float = 3600


NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})
"""Shared by all jobs that add no variables, hence read-only."""


@dataclass(frozen=True, slots=True)
class JobConfig:
    """One validated job definition; field names are those of the job file."""

    name: str
    schedule: str
    command: str
    working_directory: str
    enabled: bool
    _: KW_ONLY
    description: str = ""
    timezone: str | None = None
    timeout_seconds: float = 3600
    kill_grace_seconds: float = 10
    concurrency_policy: ConcurrencyPolicy = ConcurrencyPolicy.FORBID
    starting_deadline_seconds: float = 600
    jitter_seconds: float = 0
    retries: Retries | None = None
    success_exit_codes: tuple[int, ...] = (0,)
    environment: Mapping[str, str] = field(default_factory=lambda: NO_ENVIRONMENT)
    max_output_bytes: int = 1 << 30

    def validate_cron(self) -> bool:
        """Return whether `schedule` is a schedule that this scheduler accepts."""
        from sidecar.cron import is_valid

        return is_valid(self.schedule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of a job. `scheduled_time` is None for a manual run; `attempt` counts from 1.

    `first_run_id` is that of attempt 1 (its own for a first attempt). `sha256` is that of the definition
    the run began with, empty until it starts. `since` is when the run was due, accepted or queued (UTC).
    """

    run_id: str
    job_name: str
    trigger: Trigger
    first_run_id: str
    since: datetime
    scheduled_time: datetime | None = None
    attempt: int = 1
    request_id: str | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """How one run ended. Output is text, at most `SCHEDULER_INLINE_OUTPUT_BYTES` a stream.

    `exit_code` is the exact code, 128+N for signal N, None for a run that ended before it started. Left out, `status`
    is `success` for the exit code 0 and else `failure`. `stdout_file` and `stderr_file` are relative to the logs
    directory and None where the text is whole.
    """

    job_name: str
    start_time: datetime
    end_time: datetime
    duration_seconds: float
    exit_code: int | None
    status: Status = None  # type: ignore[assignment]  # for the caller only: it is always set
    stdout: str = ""
    stderr: str = ""
    run_id: str = ""
    signal: int | None = None
    reason: str | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    truncated: bool = False
    stdout_file: str | None = None
    stderr_file: str | None = None
    leftover_processes: int = 0
    cpu_seconds: float | None = None
    max_rss_bytes: int | None = None

    def __post_init__(self) -> None:
        if not self.status:
            object.__setattr__(self, "status", Status.SUCCESS if self.exit_code == 0 else Status.FAILURE)

    @property
    def success(self) -> bool:
        """Whether the run did what it was meant to: it ended by itself with a code in `success_exit_codes`."""
        return self.status is Status.SUCCESS


def request_key(action: str | None, job_name: str | None, request_id: str) -> str:
    """Return the identity of a request; only the last part may hold a space, so no two requests share a key."""
    return f"{action or ''} {job_name or ''} {request_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One file in `jobs/triggers/`: what it asks, and how it is told from every other request.

    `request_id` is the file's own or, where it names none, `FILE@MTIME_NS`. `problem` is set for a file that
    is no valid request (then `action` and `job_name` are None): it is answered `invalid` with that text.
    `modified_at` is the file's modification time (UTC), `owner_uid` its owner.
    """

    file: str
    request_id: str
    modified_at: datetime
    owner_uid: int
    action: Action | None = None
    job_name: str | None = None
    run_id: str | None = None
    requested_by: str | None = None
    problem: str | None = None

    @property
    def key(self) -> str:
        """The request's identity: the same key in two files is one request."""
        return request_key(self.action, self.job_name, self.request_id)
