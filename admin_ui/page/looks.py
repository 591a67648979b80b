"""Which looks the audit log is told of: each click and each page load, but no tick of a timer."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from admin_ui.audit import AuditLog
from admin_ui.auth import User
from admin_ui.model import JOB_NAME, RUN_ID

LASTS_SECONDS = 600.0
"""A look goes on for so long without a sign of it: a hidden window asks for nothing."""

LOADS_SECONDS = 60.0
"""So long the page's script may take to ask again for what the first answer showed already."""

MOST_KEPT = 4096

Look = tuple[str, str, str | None, str]
"""Who looks at which view, job and run."""


class Looks:
    """Remembers who has looked at what lately. Thread-safe; each method returns whether the audit log could be told."""

    def __init__(self, audit: AuditLog, clock: Callable[[], float] = time.monotonic) -> None:
        self._audit = audit
        self._clock = clock
        self._lock = threading.Lock()
        self._lately: OrderedDict[Look, float] = OrderedDict()
        self._loaded: OrderedDict[Look, float] = OrderedDict()

    def loaded(self, user: User, action: str, job_name: str | None) -> bool:
        """Tell of what the first answer shows; that the page's script then opens it is the same look."""
        look = _look(user, action, job_name, "")
        told = self._tell(user, look)
        if told:
            self._remember(self._loaded, look)
        return told

    def opened(self, user: User, action: str, job_name: str | None, run_id: str = "") -> bool:
        """Tell of a click."""
        look = _look(user, action, job_name, run_id)
        with self._lock:
            since = self._loaded.pop(look, None)
        if since is not None and self._clock() - since < LOADS_SECONDS:
            return True
        return self._tell(user, look)

    def goes_on(self, user: User, action: str, job_name: str | None, run_id: str = "") -> bool:
        """Tell of what a script asks for, unless it is what this person looks at already."""
        look = _look(user, action, job_name, run_id)
        with self._lock:
            since = self._lately.get(look)
        if since is not None and self._clock() - since < LASTS_SECONDS:
            self._remember(self._lately, look)
            return True
        return self._tell(user, look)

    def _tell(self, user: User, look: Look) -> bool:
        _, action, job_name, run_id = look
        told = self._audit.viewed(user, action, job_name, {"run_id": run_id} if run_id else None)
        if told:  # else the next tick tries again
            self._remember(self._lately, look)
        return told

    def _remember(self, looks: OrderedDict[Look, float], look: Look) -> None:
        with self._lock:
            looks[look] = self._clock()
            looks.move_to_end(look)
            while len(looks) > MOST_KEPT:
                looks.popitem(last=False)


def _look(user: User, action: str, job_name: str | None, run_id: str) -> Look:
    """Names come from an address, which may hold anything; what is no name is left out."""
    known = job_name if job_name and JOB_NAME.fullmatch(job_name) else None
    return user.username, action, known, run_id if RUN_ID.fullmatch(run_id) else ""
