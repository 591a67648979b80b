"""The page knows as well as the scheduler when a job with a jitter starts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from admin_ui import cron
from sidecar import policy

TIMES = st.integers(0, 1 << 32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
GAPS = st.integers(1, 8 * 366 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes))
JITTERS = st.integers(0, 10**10) | st.floats(0, 1e10)


@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True), TIMES, JITTERS, GAPS)
def test_both_delay_a_start_by_the_same_time(job_name, scheduled_time, jitter_seconds, gap):
    delay = cron.delay(job_name, scheduled_time, jitter_seconds, gap)

    assert delay == policy.delay(job_name, scheduled_time, jitter_seconds, gap)
    assert timedelta(0) <= delay < gap
