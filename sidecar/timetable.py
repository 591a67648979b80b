"""Which job is due next: a heap of due times. Pure: no clock, no files, no schedules."""

from __future__ import annotations

import heapq
from datetime import datetime
from typing import NamedTuple


class Due(NamedTuple):
    """One planned start: `at` is the scheduled time plus the job's delay."""

    at: datetime
    job_name: str
    scheduled_time: datetime


class Timetable:
    """At most one planned start a job; the cost of a step does not depend on how many jobs there are."""

    def __init__(self) -> None:
        self._planned: dict[str, Due] = {}
        self._heap: list[Due] = []

    def __len__(self) -> int:
        return len(self._planned)

    def plan(self, job_name: str, scheduled_time: datetime, at: datetime) -> None:
        """Plan the job's next start, in place of what was planned for it."""
        due = Due(at, job_name, scheduled_time)
        self._planned[job_name] = due
        heapq.heappush(self._heap, due)
        if len(self._heap) > 2 * len(self._planned) + 64:
            self._heap = list(self._planned.values())
            heapq.heapify(self._heap)

    def planned(self, job_name: str) -> Due | None:
        """Return what is planned for the job."""
        return self._planned.get(job_name)

    def cancel(self, job_name: str) -> None:
        """Plan nothing for the job any more."""
        self._planned.pop(job_name, None)

    def take_due(self, now: datetime, most: int) -> list[Due]:
        """Return what is due at `now`, in due order and at most so much of it, and forget it."""
        due: list[Due] = []
        while len(due) < most and self._heap and self._heap[0].at <= now:
            entry = heapq.heappop(self._heap)
            if self._planned.get(entry.job_name) == entry:
                del self._planned[entry.job_name]
                due.append(entry)
        return due

    def count_due(self, at: datetime, most: int) -> int:
        """Return how many starts are due by `at`, or `most`; a start that was planned anew may count twice."""
        number, places = 0, [0]
        while places and number < most:
            place = places.pop()
            if place < len(self._heap) and self._heap[place].at <= at:
                number += 1
                places += 2 * place + 1, 2 * place + 2
        return number

    def next_at(self) -> datetime | None:
        """Return when the next start is due, or None if nothing is planned."""
        while self._heap:
            entry = self._heap[0]
            if self._planned.get(entry.job_name) == entry:
                return entry.at
            heapq.heappop(self._heap)
        return None
