"""A schedule in words, as people say it. Pure; what it cannot say shortly it says field by field."""

from __future__ import annotations

from admin_ui.cron import KINDS, Schedule

MONTH_NAMES = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
DAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MOST_TIMES = 4
"""More times of day than this are not listed one by one."""


def describe(schedule: Schedule) -> str:
    """Return the schedule in words with its zone: `At 02:30 on Monday to Friday (Europe/Berlin)`."""
    time, days = _time(schedule), _days(schedule)
    if not days and ":" in time:
        days = ["every day"]
    return f"{' '.join([time, *days])} ({schedule.zone.key})"


def _time(schedule: Schedule) -> str:
    minutes, hours = sorted(schedule.sets[0]), sorted(schedule.sets[1])
    if len(minutes) * len(hours) <= MOST_TIMES:
        return f"At {_and([f'{hour:02}:{minute:02}' for hour in hours for minute in minutes])}"
    step = _step(minutes, 60)
    if len(minutes) == 60:
        text = "Every minute"
    elif len(minutes) == 1:
        text = f"At minute {minutes[0]}"
    else:
        text = f"Every {step} minutes" if step else f"At the minutes {_spans(minutes)}"
    return text if len(hours) == 24 and text.startswith("Every") else f"{text} of {_hours(hours)}"


def _hours(hours: list[int]) -> str:
    if len(hours) == 1:
        return f"hour {hours[0]}"
    step = 1 if len(hours) == 24 else _step(hours, 24)
    return f"the hours {_spans(hours)}" if step is None else "every hour" if step == 1 else f"every {step} hours"


def _days(schedule: Schedule) -> list[str]:
    _, _, days, months, weekdays = schedule.sets
    on_days, on_weekdays = schedule.texts[2] != "*", schedule.texts[4] != "*"
    # Two restrictions of which one lets every day through restrict nothing: either matches.
    nothing = on_days and on_weekdays and (days == KINDS[2].all or weekdays == KINDS[4].all)
    parts = []
    if on_days and not nothing and days != KINDS[2].all:
        parts.append(f"on day {_spans(sorted(days))} of the month")
    if on_weekdays and not nothing and weekdays != KINDS[4].all:
        names = _spans(sorted(weekdays), DAY_NAMES)
        parts.append(f"or on {names}" if parts else f"on {names}")
    if months != KINDS[3].all:
        parts.append(f"in {_spans([month - 1 for month in sorted(months)], MONTH_NAMES)}")
    return parts


def _step(values: list[int], size: int) -> int | None:
    """Return N if the values are 0, N, 2N … and go round evenly."""
    step = values[1] - values[0] if len(values) > 1 else 0
    return step if step > 1 and size % step == 0 and values == list(range(0, size, step)) else None


def _spans(values: list[int], names: tuple[str, ...] | None = None) -> str:
    """Return sorted values with runs of three and more as `A to B`."""
    spans: list[list[int]] = []
    for value in values:
        if spans and value == spans[-1][-1] + 1:
            spans[-1].append(value)
        else:
            spans.append([value])
    shown = []
    for span in spans:
        texts = [names[value] if names else str(value) for value in span]
        shown += [f"{texts[0]} to {texts[-1]}"] if len(texts) > 2 else texts
    return _and(shown)


def _and(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
