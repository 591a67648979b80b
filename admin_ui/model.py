"""The nouns of this side: job, run, result, in the field names of the files. Instants are aware UTC datetimes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Self

JOB_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
LONGEST_NAME = 256
NOT_IN_A_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Of a person: what a request's `requested_by` may hold (schemas/trigger.schema.json), in which the name travels."""

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
REQUEST_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Of the requests that this side makes: the text of a UUID, as the audit log's ids have it."""

LATEST = datetime.max.replace(microsecond=0, tzinfo=UTC).timestamp()

STATUSES = ("success", "failure", "timeout", "cancelled", "interrupted", "output_limit")
"""How a run can have ended."""

FAILURES = ("failure", "timeout", "interrupted", "output_limit")
"""Every end but `success` and `cancelled`, which somebody or a newer run wanted."""

FAILED = "failed"
"""As a status to look for: any of FAILURES."""


def iso(instant: datetime) -> str:
    """Return an aware instant as the logs write it: ISO 8601, UTC, microseconds, `Z`."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def from_iso(text: str) -> datetime:
    """Return the instant that the logs wrote. Raises ValueError for anything else."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"expected a time with an offset or Z, found {text!r}")
    return instant.astimezone(UTC)


def from_iso_or_none(text: str | None) -> datetime | None:
    """Return what `from_iso` does, None for None."""
    return None if text is None else from_iso(text)


def on_the_calendar(seconds: float) -> datetime:
    """Return a file's time, or what is nearest to it: anybody can give a file one that no calendar has."""
    return datetime.fromtimestamp(min(max(seconds, 0), LATEST), UTC)


@dataclass(frozen=True, slots=True)
class JobConfig:
    """One job definition as its file has it.

    None means that the file does not name the field: the scheduler's default holds, and an update with None
    leaves the field as it is. `extras` are keys beyond the known ones, kept so that no update loses them.
    """

    name: str
    schedule: str
    command: str
    working_directory: str
    enabled: bool
    _: KW_ONLY
    description: str | None = None
    timezone: str | None = None
    timeout_seconds: float | None = None
    kill_grace_seconds: float | None = None
    concurrency_policy: str | None = None
    starting_deadline_seconds: float | None = None
    jitter_seconds: float | None = None
    retries: Mapping[str, float] | None = None
    success_exit_codes: tuple[int, ...] | None = None
    environment: Mapping[str, str] | None = None
    max_output_bytes: int | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the definition that a valid document holds."""
        values = {key: value for key, value in document.items() if key in FIELDS}
        if "success_exit_codes" in values:
            values["success_exit_codes"] = tuple(values["success_exit_codes"])
        return cls(**values, extras={key: value for key, value in document.items() if key not in FIELDS})

    def to_document(self) -> dict[str, Any]:
        """Return the document to write, without the fields that are not named."""
        values = {name: getattr(self, name) for name in FIELDS}
        document: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
        for name in ("retries", "environment"):
            if isinstance(document.get(name), Mapping):
                document[name] = dict(document[name])
        if isinstance(self.success_exit_codes, tuple):
            document["success_exit_codes"] = list(self.success_exit_codes)
        return {**document, **self.extras}

    def validate_cron(self) -> bool:
        """Return whether `schedule` is a schedule that the scheduler accepts."""
        from admin_ui.cron import is_valid

        return is_valid(self.schedule)


FIELDS = tuple(each.name for each in fields(JobConfig) if each.name not in ("_", "extras"))


@dataclass(frozen=True, slots=True)
class JobResult:
    """How one run ended. Output is whole, or its beginning and end (`truncated`).

    `exit_code` is the exact code, 128+N for signal N, None for a run that ended before it started.
    """

    job_name: str
    start_time: datetime
    end_time: datetime
    exit_code: int | None
    stdout: str
    stderr: str
    duration_seconds: float
    _: KW_ONLY
    status: str
    run_id: str
    trigger: str
    attempt: int = 1
    first_run_id: str = ""
    scheduled_time: datetime | None = None
    retry_at: datetime | None = None
    request_id: str | None = None
    requested_by: str | None = None
    signal: int | None = None
    reason: str | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    truncated: bool = False
    leftover_processes: int = 0
    cpu_seconds: float | None = None
    max_rss_bytes: int | None = None

    @property
    def success(self) -> bool:
        """Whether the run did what it was meant to: it ended by itself with a code that means success."""
        return self.status == "success"
