"""Noticing that the wall clock was set."""

from datetime import timedelta

import pytest

from sidecar.clock import ClockWatch, Jump, from_iso, iso
from tests.harness import NOON, FakeClock

HOUR = timedelta(hours=1)


def test_time_that_passes_is_no_jump():
    clock = FakeClock()
    watch = ClockWatch(clock)
    clock.advance(hours=9)

    assert watch.look() is None


def test_slewing_is_no_jump():
    clock = FakeClock()
    watch = ClockWatch(clock)
    for _ in range(100):
        clock.advance(1)
        clock.set_wall(clock.now() + timedelta(milliseconds=50))
        assert watch.look() is None


@pytest.mark.parametrize(("hours", "too_far"), [(9, False), (-1, False), (-3, False), (-3.1, True), (-24, True)])
def test_a_step_is_a_jump_and_too_far_when_it_goes_back_by_more_than_three_hours(hours, too_far):
    clock = FakeClock()
    watch = ClockWatch(clock)
    clock.set_wall(NOON + hours * HOUR)

    assert watch.look() == Jump(hours * 3600, too_far)
    assert watch.look() is None


def test_steps_back_add_up_until_the_clock_has_caught_up():
    clock = FakeClock()
    watch = ClockWatch(clock)
    far = []
    for hours in (2, 2, 2):
        clock.set_wall(clock.now() - hours * HOUR)
        jump = watch.look()
        far.append(jump is not None and jump.too_far)

    assert far == [False, True, False]


def test_times_survive_their_text():
    assert iso(NOON) == "2026-06-01T12:00:00.000000Z"
    assert from_iso(iso(NOON)) == NOON
    assert from_iso("2026-06-01T14:00:00+02:00") == NOON


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="offset"):
        from_iso("2026-06-01T12:00:00")
