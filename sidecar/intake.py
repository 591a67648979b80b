"""The jobs volume as the scheduler sees it: hints in, definition changes and requests out.

Events are hints, the directory is the truth: a hint only says where to look first, a rescan makes sure.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from sidecar.catalog import ANNOUNCED_WITHIN_SECONDS, SETTLE_SECONDS, Catalog, Change
from sidecar.clock import Clock
from sidecar.errors import JobsDirectoryError
from sidecar.logger import JobLogger
from sidecar.model import PAUSE, Request
from sidecar.requests import Inbox
from sidecar.settings import Settings
from sidecar.watcher import Hint, HintKind, Watcher, root_state

SHORTEST_RESCAN_SECONDS = 1.0
COST_SHARE = 50
"""Without events, rescans may take one part in so many of the time."""

MOST_FILES_NAMED = 20

DEGRADED_SECONDS = 600.0
"""So long without another unannounced change, and events are trusted again."""


@dataclass(slots=True)
class News:
    """What one look at the volume found. `listed` says whether the whole directory could be read."""

    changes: list[Change] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    listed: bool = False


class Intake:
    """Decides when to look at what, and keeps the watcher honest by rescans."""

    def __init__(self, *, settings: Settings, catalog: Catalog, inbox: Inbox, clock: Clock, logger: JobLogger) -> None:
        self.paused = False
        self.dead = False
        self._settings = settings
        self._catalog = catalog
        self._inbox = inbox
        self._clock = clock
        self._logger = logger
        self._watcher = Watcher(settings.jobs_dir, self._hinted, mode=settings.watch)
        self._wake: Callable[[], None] = lambda: None
        self._definitions: set[str] = set()
        self._requests: set[str] = set()
        self._announced: set[str] = set()
        self._everything = True
        self._rescan_at = 0.0
        self._degraded_until: float | None = None
        self._root: os.stat_result | None = None
        self._unlistable: str | None = None
        self._first = True

    def start(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        """Begin to watch; `wake` is called in the loop when there is something to look at."""
        self._wake = wake
        self._watcher.start(loop)

    def stop(self) -> None:
        """Stop watching."""
        self._watcher.stop()

    def rescan_soon(self) -> None:
        """Have the next look be a whole one (SIGHUP)."""
        self._everything = True
        self._wake()

    def next_at(self) -> float:
        """Return the monotonic time of the next look that no hint has to ask for."""
        times = (self._rescan_at, self._catalog.due_again(), self._inbox.due_again())
        return min(time for time in times if time is not None)

    def look(self) -> News:
        """Return what is new: after hints or in its turn a part, else, by rescan, the whole volume."""
        now = self._clock.monotonic()
        if self._everything or now >= self._rescan_at:
            return self._rescan(now)
        news = News(changes=self._look_at_definitions(now))
        requests, self._requests = self._requests, set()
        self._announced |= requests
        news.requests = self._inbox.look(requests, now)
        return news

    def _look_at_definitions(self, now: float) -> list[Change]:
        again = self._catalog.due_again()
        if not self._definitions and (again is None or again > now):
            return []
        hinted, self._definitions = self._definitions, set()
        try:
            return self._catalog.look(hinted, now)
        except JobsDirectoryError as error:
            self._definitions = hinted
            self._cannot_list(str(error))
            return []

    def rescan_definitions(self) -> list[Change]:
        """Return what a whole look at the definitions finds now; nothing if the directory cannot be listed."""
        hinted, self._definitions = self._definitions, set()
        try:
            settle = 0 if self._first else SETTLE_SECONDS
            changes = self._catalog.rescan(self._clock.monotonic(), settle=settle, hinted=hinted)
        except JobsDirectoryError as error:
            self._definitions = hinted
            self._cannot_list(str(error))
            return []
        self._can_list()
        return changes

    def _hinted(self, hint: Hint) -> None:
        match hint.kind:
            case HintKind.DEFINITION:
                self._definitions.add(hint.name)
            case HintKind.REQUEST:
                self._requests.add(hint.name)
            case HintKind.PAUSE:
                self._look_for_pause()
            case HintKind.EVERYTHING:
                self._everything = True
        self._wake()

    def _rescan(self, now: float) -> News:
        asked, self._everything = self._everything, False
        self._check_root()
        self._look_for_pause()
        news = News(changes=self.rescan_definitions())
        news.listed = self._unlistable is None
        hinted, self._announced = self._announced | self._requests, set()
        self._requests = set()
        known = self._inbox.present
        news.requests = self._inbox.look(None, now)
        cost = self._clock.monotonic() - now
        unannounced = self._unannounced_requests(news.requests, known or set(), hinted)
        # Whoever asked to look at everything may have announced any change.
        self._judge_watcher(now, [] if asked else [*sorted(self._catalog.unannounced), *unannounced])
        self._rescan_at = now + self._interval(cost)
        if news.listed:
            self._first = False
        return news

    def _look_for_pause(self) -> None:
        try:
            os.lstat(self._settings.jobs_dir / PAUSE)
        except FileNotFoundError:
            # No directory, no news: as long as it cannot be looked at, everything stays as it is.
            if os.path.isdir(self._settings.jobs_dir):
                self.paused = False
        except OSError:
            return
        else:
            self.paused = True

    def _check_root(self) -> None:
        """Notice a directory that was replaced: under a mount ours is dead, elsewhere the new one is watched."""
        if self._root is not None:
            state = root_state(self._settings.jobs_dir, self._root)
            self.dead = state == "dead"
            if state == "replaced":
                self._watcher.rewatch()
        try:
            self._root = os.stat(self._settings.jobs_dir)
        except OSError:
            return

    def _unannounced_requests(self, found: list[Request], known: set[str], hinted: set[str]) -> list[str]:
        before = self._clock.now() - timedelta(seconds=ANNOUNCED_WITHIN_SECONDS)
        new = (request for request in found if request.key not in known and request.file not in hinted)
        return [request.file for request in new if request.modified_at < before]

    def _judge_watcher(self, now: float, missed: list[str]) -> None:
        """Tell when events cannot be trusted, and when they can again."""
        problem = self._watcher.problem if self._settings.watch == "inotify" else None
        if problem is not None:
            self._degrade(now, problem, [])
            self._watcher.rewatch()
        elif missed and not self._first and self._settings.watch == "inotify":
            self._degrade(now, "changes were found that no event announced", missed)
        elif self._degraded_until is not None and now >= self._degraded_until:
            self._degraded_until = None
            self._logger.event(
                "watch_recovered",
                component="watcher",
                reason=f"no unannounced change for {DEGRADED_SECONDS:.0f} s",
                interval_seconds=self._settings.rescan_seconds,
                files=[],
            )

    def _degrade(self, now: float, reason: str, files: list[str]) -> None:
        if self._degraded_until is None:
            self._logger.event(
                "watch_degraded",
                level="warning",
                component="watcher",
                reason=reason,
                interval_seconds=SHORTEST_RESCAN_SECONDS,
                files=files[:MOST_FILES_NAMED],
            )
        self._degraded_until = now + DEGRADED_SECONDS

    def _interval(self, cost: float) -> float:
        """Return the seconds from one rescan, which took `cost`, to the next."""
        trusted = self._settings.watch == "inotify" and self._degraded_until is None
        often = max(SHORTEST_RESCAN_SECONDS, COST_SHARE * cost)
        return self._settings.rescan_seconds if trusted else min(often, self._settings.rescan_seconds)

    def _cannot_list(self, problem: str) -> None:
        if self._unlistable is None:
            self._logger.log_config_error(str(self._settings.jobs_dir), problem, kept_last_good=not self._first)
        self._unlistable = problem

    def _can_list(self) -> None:
        if self._unlistable is not None:
            self._unlistable = None
            self._logger.event("config_recovered", component="config", file=str(self._settings.jobs_dir), job_name=None)
