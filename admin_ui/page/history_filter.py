"""What an address asks of the history: a filter, a place in it, and what is wrong at which field. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from admin_ui.model import FAILED, JOB_NAME, STATUSES
from admin_ui.page.address import Address
from admin_ui.queries import Filter
from admin_ui.text_search import LONGEST_SEARCH

FIELDS = ("job", "status", "trigger", "since", "until", "find")
PRESETS = (("1h", "1 h"), ("24h", "24 h"), ("7d", "7 days"), ("30d", "30 days"), ("", "all"))
RESULTS = {
    "All": "",
    "Failed, for any reason": FAILED,
    **{
        status.replace("_", " ").capitalize(): status
        for status in (*STATUSES, "skipped", "missed", "running", "queued", "unknown")
    },
}
TRIGGERS = {"All": "", "Schedule": "schedule", "By request": "manual", "Retry": "retry", "Catch-up": "catch_up"}
AGO = re.compile(r"([0-9]{1,6}) ?(m|min|h|d|w)")
UNITS = {
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
WRITTEN = (  # and how long what is named by it lasts
    ("%Y-%m-%d", timedelta(days=1)),
    ("%Y-%m-%d %H:%M", timedelta(minutes=1)),
    ("%Y-%m-%d %H:%M:%S", timedelta(seconds=1)),
)
EXPECTED = "Write 24h, 7d, 2026-11-25 or 2026-11-25 14:00"


@dataclass(frozen=True, slots=True)
class Question:
    """The filter, where to go on (`before`), and by field of the address what cannot be used."""

    which: Filter
    before: str | None
    errors: Mapping[str, str]


def question(address: Address, now: datetime) -> Question:
    """Return what an address asks for. With errors, the filter lacks those fields."""
    errors: dict[str, str] = {}

    def instant(field: str, *, ends: bool) -> datetime | None:
        try:
            return read_time(address.get(field), now, ends=ends)
        except ValueError as error:
            errors[field] = str(error)
            return None

    since, until = instant("since", ends=False), instant("until", ends=True)
    if since and until and until <= since:
        errors["until"] = "This is before “From”"
    for field, known in (("status", RESULTS), ("trigger", TRIGGERS)):
        if address.get(field) not in known.values():
            errors[field] = f"expected one of {', '.join(filter(None, known.values()))}"
    if address.get("job") and not JOB_NAME.fullmatch(address.get("job")):
        errors["job"] = "no job can have this name"
    text = address.get("find")
    if len(text) > LONGEST_SEARCH or "\0" in text:
        errors["find"] = f"Write at most {LONGEST_SEARCH} characters, none of them NUL"
    usable = {field: None if field in errors else address.get(field) or None for field in FIELDS}
    which = Filter(
        job_name=usable["job"],
        status=usable["status"],
        trigger=usable["trigger"],
        since=since,
        until=until,
        text=usable["find"],
    )
    return Question(which, address.get("before") or None, errors)


def read_time(text: str, now: datetime, *, ends: bool) -> datetime | None:
    """Return the instant that a person means, None for nothing: `2026-11-25 14:00` in UTC, or `24h` for so long ago.

    As an end, a day or a minute is meant to its own end. Raises ValueError, which says what to write.
    """
    text = " ".join(text.replace("T", " ").split())
    if not text:
        return None
    try:
        if ago := AGO.fullmatch(text.lower()):
            return now - int(ago[1]) * UNITS[ago[2]]
        for form, length in WRITTEN:
            try:
                found = datetime.strptime(text, form).replace(tzinfo=UTC)
            except ValueError:
                continue
            return found + length if ends else found
    except OverflowError:
        raise ValueError("No calendar has this time") from None
    raise ValueError(EXPECTED)
