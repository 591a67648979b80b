"""When old output is removed: every ten minutes, beside other work, and not by a clock that may be wrong."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from sidecar.clock import Clock
from sidecar.output import Outputs
from sidecar.settings import Settings

SWEEP_SECONDS = 600.0
FIRST_SWEEP_SECONDS = 60.0
"""How often old output is looked for; not while a start has better things to do."""

DOUBTED_FOR = timedelta(days=1)
"""When the clock is ahead by more than this of all that was seen before, nothing counts as old for so long: it may
have been set wrong, and what is removed stays removed when it is set right."""


class Sweeper:
    """Sweeps the outputs within the limits of the settings. `keep` are the ids of the runs that are going.

    `task` is the sweep that goes on, or the last one.
    """

    def __init__(
        self,
        *,
        outputs: Outputs,
        keep: Collection[str],
        settings: Settings,
        clock: Clock,
        crashed: Callable[[BaseException], None],
    ) -> None:
        self._outputs = outputs
        self._keep = keep
        self._settings = settings
        self._clock = clock
        self._crashed = crashed
        self.task: asyncio.Task[None] | None = None
        self._next_at = self._ages_count_at = clock.monotonic() + FIRST_SWEEP_SECONDS

    def notice_ahead(self, ahead: timedelta) -> None:
        """Take note that the clock is ahead by so much of what was seen before."""
        if ahead > DOUBTED_FOR:
            self._ages_count_at = self._clock.monotonic() + DOUBTED_FOR.total_seconds()

    def step(self, now: datetime) -> None:
        """Begin a sweep if one is due; it goes on in the event loop."""
        if self._clock.monotonic() >= self._next_at:
            self._next_at = self._clock.monotonic() + SWEEP_SECONDS
            self.task = asyncio.get_running_loop().create_task(self._sweep(now))

    async def finish(self) -> None:
        """End the sweep that goes on, if any."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])

    async def _sweep(self, now: datetime) -> None:
        ages_count = self._clock.monotonic() >= self._ages_count_at
        try:
            await self._outputs.sweep(
                now,
                self._keep,
                max_age_days=self._settings.output_max_age_days if ages_count else math.inf,
                max_runs=self._settings.output_max_runs,
                max_bytes=self._settings.output_max_bytes,
            )
        except OSError:
            pass  # too many files are open, or jobs meddle there; the next sweep may fare better
        except Exception as error:
            self._crashed(error)
