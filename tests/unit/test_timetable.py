"""The heap of planned starts."""

from datetime import UTC, datetime, timedelta

from sidecar.timetable import Due, Timetable

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)


def test_timetable_gives_what_is_due_in_due_order():
    table = Timetable()
    table.plan("late", LATER, LATER)
    table.plan("second", NOON, NOON + timedelta(seconds=2))
    table.plan("first", NOON, NOON)

    due = table.take_due(NOON + timedelta(seconds=2), 99)

    assert [entry.job_name for entry in due] == ["first", "second"]
    assert table.next_at() == LATER


def test_timetable_gives_each_start_once():
    table = Timetable()
    table.plan("job", NOON, NOON)

    assert table.take_due(NOON, 99) == [Due(NOON, "job", NOON)]
    assert table.take_due(NOON, 99) == []


def test_timetable_gives_no_more_than_it_is_asked_for_and_keeps_the_rest():
    table = Timetable()
    for number in range(5):
        table.plan(f"job{number}", NOON, NOON)

    assert [[entry.job_name for entry in table.take_due(NOON, 2)] for _ in range(3)] == [
        ["job0", "job1"],
        ["job2", "job3"],
        ["job4"],
    ]


def test_timetable_forgets_the_old_plan_when_a_job_is_planned_anew():
    table = Timetable()
    table.plan("job", NOON, NOON)
    table.plan("job", LATER, LATER)

    assert table.take_due(NOON, 99) == []
    assert table.next_at() == LATER


def test_timetable_gives_a_start_once_when_the_same_one_is_planned_twice():
    table = Timetable()
    table.plan("job", NOON, NOON)
    table.plan("job", NOON, NOON)

    assert len(table.take_due(NOON, 99)) == 1


def test_timetable_has_nothing_due_after_a_cancel():
    table = Timetable()
    table.plan("job", NOON, NOON)
    table.cancel("job")

    assert table.take_due(NOON, 99) == []
    assert table.next_at() is None
    assert len(table) == 0


def test_timetable_does_not_grow_when_one_job_is_planned_again_and_again():
    table = Timetable()
    for minute in range(10_000):
        at = NOON + timedelta(minutes=minute)
        table.plan("job", at, at)

    assert table.count_due(NOON + timedelta(days=30), 10_000) < 100  # it counts old plans, too
    assert table.next_at() == NOON + timedelta(minutes=9_999)


def test_timetable_keeps_the_due_order_when_it_forgets_many_old_plans():
    table = Timetable()
    minutes = [NOON + timedelta(minutes=minute) for minute in range(50, 0, -1)]
    for number, at in enumerate(minutes):
        table.plan(f"job{number}", at, at)
    for second in range(200):
        table.plan("again", LATER, LATER + timedelta(hours=1, seconds=second))

    assert table.next_at() == minutes[-1]
    assert [entry.at for entry in table.take_due(minutes[0], 99)] == sorted(minutes)


def test_timetable_counts_what_is_due_together():
    table = Timetable()
    for number in range(50):
        table.plan(f"later{number}", LATER, LATER)
        table.plan(f"noon{number}", NOON, NOON)

    assert table.count_due(NOON - timedelta(microseconds=1), 99) == 0
    assert table.count_due(NOON, 99) == 50
    assert table.count_due(NOON, 20) == 20
    assert table.count_due(LATER, 1000) == 100
    assert Timetable().count_due(NOON, 99) == 0
