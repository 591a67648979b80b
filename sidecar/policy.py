"""Small decisions about runs: delays, deadlines, retries. Pure: everything they depend on is an argument."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from hashlib import blake2b

from sidecar.cron import Schedule
from sidecar.model import JobConfig, JobResult, Run, Status

ON_TIME = timedelta(seconds=2)
"""A start this late is still on time: the loop looks at the clock each second and a storm takes a moment.
Beyond it the scheduler was down, stopped or its clock jumped, and the run is a catch-up."""

LEAD, LEAD_A_RUN = timedelta(milliseconds=2), timedelta(microseconds=200)
MOST_AHEAD = 100
LONGEST_LEAD = LEAD + MOST_AHEAD * LEAD_A_RUN
"""How long before its instant a start is decided on, see `lead`: time for an fsync and a sleep that ends late, and for
deciding and preparing each of the runs that are due together, up to MOST_AHEAD of them."""

RETRIED = (Status.FAILURE, Status.TIMEOUT, Status.INTERRUPTED)


def new_run_id(now: datetime) -> str:
    """Return a fresh run id: sortable by time, safe as a file name, unguessable enough never to repeat."""
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(8)}"


def retry_id(first_run_id: str, attempt: int) -> str:
    """Return the id of a run's attempt after the first: known in advance, so that a cancel can name it early."""
    return f"{first_run_id}-{attempt}"


def lead(runs: int) -> timedelta:
    """Return how long before the instant at which so many runs are due, they are decided and put on disk.

    Their processes start at the instant, which then need not wait for any of that. A scheduler that dies in between
    leaves runs that are `interrupted`, as it does between the fsync and the start of any other.
    """
    return LEAD + min(runs, MOST_AHEAD) * LEAD_A_RUN


def delay(job_name: str, scheduled_time: datetime, jitter_seconds: float, gap: timedelta) -> timedelta:
    """Return the jitter of this job at this time: in [0, jitter), always the same, and shorter than `gap`.

    `gap` is the time to the next scheduled time. Stable as systemd's FixedRandomDelay=, but also spread over
    the scheduled times.
    """
    digest = blake2b(f"{job_name} {scheduled_time:%Y%m%dT%H%M%S}".encode(), digest_size=6).digest()
    fraction = int.from_bytes(digest, "big") / (1 << 48)
    longest = min(jitter_seconds, gap.total_seconds())
    return timedelta(microseconds=int(fraction * longest * 1e6))


def due_at(job: JobConfig, schedule: Schedule, scheduled_time: datetime) -> datetime:
    """Return when the run for `scheduled_time` is to start."""
    if not job.jitter_seconds:
        return scheduled_time
    gap = schedule.next_after(scheduled_time) - scheduled_time
    return scheduled_time + delay(job.name, scheduled_time, job.jitter_seconds, gap)


def deadline(job: JobConfig, due: datetime) -> datetime:
    """Return until when a run that is due at `due` may start (Kubernetes: startingDeadlineSeconds)."""
    return due + max(ON_TIME, timedelta(seconds=job.starting_deadline_seconds))


def is_past_deadline(job: JobConfig, due: datetime, now: datetime) -> bool:
    """Return whether a run that was due at `due` may no longer start."""
    return now > deadline(job, due)


def retry_delay_seconds(job: JobConfig, attempt: int) -> float | None:
    """Return how long to wait after `attempt` failed, or None if it was the last one."""
    retries = job.retries
    if retries is None or attempt >= retries.max_attempts:
        return None
    try:
        wait = retries.initial_delay_seconds * float(retries.multiplier) ** (attempt - 1)
    except OverflowError:
        return retries.max_delay_seconds
    return min(wait, retries.max_delay_seconds)


def retry_at(job: JobConfig, run: Run, result: JobResult) -> datetime | None:
    """Return when the next attempt is due, or None if there is to be none."""
    if result.status not in RETRIED:
        return None
    wait = retry_delay_seconds(job, run.attempt)
    return None if wait is None else result.end_time + timedelta(seconds=wait)
