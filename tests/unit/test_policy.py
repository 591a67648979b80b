"""Delays, deadlines, retries."""

from datetime import UTC, datetime, timedelta

import pytest

from sidecar import policy
from sidecar.cron import parse
from sidecar.model import JobConfig, JobResult, Retries, Run, Status, Trigger

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def job(**fields):
    return JobConfig("job", "0 * * * *", "true", "/", True, **fields)


def result(status):
    return JobResult(job_name="job", start_time=NOON, end_time=NOON, duration_seconds=0, exit_code=1, status=status)


def attempt(number):
    return Run(run_id="r", job_name="job", trigger=Trigger.MANUAL, first_run_id="r", since=NOON, attempt=number)


def test_run_ids_sort_by_time_and_never_repeat():
    ids = [policy.new_run_id(NOON + timedelta(seconds=second)) for second in range(100)]

    assert ids == sorted(ids)
    assert len({policy.new_run_id(NOON) for _ in range(1000)}) == 1000


def test_delay_is_the_same_for_the_same_job_and_time():
    assert policy.delay("job", NOON, 60, HOUR) == policy.delay("job", NOON, 60, HOUR)


def test_delay_spreads_jobs_and_times_over_the_jitter():
    jobs = {policy.delay(f"job{n}", NOON, 60, HOUR) for n in range(200)}
    times = {policy.delay("job", NOON + n * HOUR, 60, HOUR) for n in range(200)}

    for delays in (jobs, times):
        assert len(delays) > 190
        assert min(delays) < timedelta(seconds=6)
        assert timedelta(seconds=54) < max(delays) < timedelta(seconds=60)


def test_delay_is_shorter_than_the_gap_to_the_next_time_when_the_jitter_is_longer():
    gap = timedelta(minutes=1)

    assert all(policy.delay(f"job{n}", NOON, 10**10, gap) < gap for n in range(500))


def test_due_at_is_the_scheduled_time_when_there_is_no_jitter():
    assert policy.due_at(job(), parse("0 * * * *", "UTC"), NOON) == NOON


def test_due_at_comes_before_the_next_scheduled_time_when_the_jitter_is_longer_than_the_gap():
    config = job(jitter_seconds=86_400)

    due = policy.due_at(config, parse("0 * * * *", "UTC"), NOON)

    assert NOON <= due < NOON + HOUR


@pytest.mark.parametrize(
    ("deadline", "late_seconds", "past"),
    [(600, 0, False), (600, 600, False), (600, 601, True), (0, 1, False), (0, 2, False), (0, 3, True)],
)
def test_deadline_forgives_what_is_on_time_and_no_more_than_was_asked(deadline, late_seconds, past):
    config = job(starting_deadline_seconds=deadline)

    assert policy.is_past_deadline(config, NOON, NOON + timedelta(seconds=late_seconds)) is past


@pytest.mark.parametrize(("attempts_made", "expected"), [(1, 30), (2, 60), (3, 120), (4, 200), (5, 200), (6, None)])
def test_retry_delay_grows_by_the_multiplier_up_to_the_longest(attempts_made, expected):
    config = job(retries=Retries(max_attempts=6, initial_delay_seconds=30, multiplier=2, max_delay_seconds=200))

    assert policy.retry_delay_seconds(config, attempts_made) == expected


def test_retry_delay_is_the_longest_when_the_power_overflows():
    config = job(retries=Retries(max_attempts=10**10, multiplier=10**10, max_delay_seconds=5))

    assert policy.retry_delay_seconds(config, 10**6) == 5


@pytest.mark.parametrize("status", list(Status))
def test_only_failures_that_nobody_asked_for_are_retried(status):
    at = policy.retry_at(job(retries=Retries()), attempt(1), result(status))

    retried = status in (Status.FAILURE, Status.TIMEOUT, Status.INTERRUPTED)
    assert at == (NOON + timedelta(seconds=30) if retried else None)


def test_nothing_is_retried_when_the_job_asks_for_no_retries():
    assert policy.retry_at(job(), attempt(1), result(Status.FAILURE)) is None
