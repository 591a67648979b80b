"""Ask for runs and wait for their ends, so that the audit log has them whoever still looks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Protocol

from admin_ui.audit import TRIGGER_JOB, AuditLog
from admin_ui.auth import User
from admin_ui.errors import AdminError, TriggerPending
from admin_ui.model import JobResult
from admin_ui.page.markup import duration

AT_ONCE = 8
"""So many runs are waited for at a time. Of another one, or without a thread, the audit log has only the acceptance."""

MOST_KEPT = 64


class Runs(Protocol):
    """What is needed of JobManagementService."""

    def request_run(self, job_name: str, *, requested_by: str, request_id: str | None) -> str:
        """See JobManagementService."""
        ...

    def wait_for_result(self, run_id: str) -> JobResult:
        """See JobManagementService."""
        ...


class Awaited:
    """The runs that are waited for, each by a thread of its own. Thread-safe."""

    def __init__(self, service: Runs, audit: AuditLog) -> None:
        self._service = service
        self._audit = audit
        self._free = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._ends: OrderedDict[str, Future[tuple[str, bool]]] = OrderedDict()

    def trigger(self, user: User, job_name: str, details: Mapping[str, Any] | None = None) -> str:
        """Ask for a run, begin to wait for its end, and return its id. The audit log has the request, then the end.

        Raises what `request_run` raises.
        """
        line_id = self._audit.requested(user, TRIGGER_JOB, job_name, details)
        try:
            run_id = self._service.request_run(job_name, requested_by=user.username, request_id=line_id)
        except Exception as error:
            self._audit.failed(line_id, user, TRIGGER_JOB, job_name, error)
            raise
        self._follow(user, line_id, job_name, run_id)
        return run_id

    def end(self, run_id: str) -> tuple[str, bool] | None:
        """Wait for a run's end; return what to say of it and whether that is good, None if nobody waits for it."""
        with self._lock:
            end = self._ends.pop(run_id, None)
        return end.result() if end else None

    def _follow(self, user: User, line_id: str, job_name: str, run_id: str) -> None:
        if not self._free.acquire(blocking=False):
            self._note(user, line_id, job_name, "done", {"run_id": run_id})
            return
        end: Future[tuple[str, bool]] = Future()
        with self._lock:
            self._ends[run_id] = end
            while len(self._ends) > MOST_KEPT:  # of windows that were closed meanwhile
                self._ends.popitem(last=False)
        # A daemon, as no shutdown should wait for a job.
        arguments = (end, user, line_id, job_name, run_id)
        thread = threading.Thread(target=self._wait, args=arguments, name=f"awaits {job_name}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads can be started here: the container's pids limit
            self._free.release()
            with self._lock:
                self._ends.pop(run_id, None)
            self._note(user, line_id, job_name, "done", {"run_id": run_id})

    def _wait(self, end: Future[tuple[str, bool]], user: User, line_id: str, job_name: str, run_id: str) -> None:
        details: dict[str, Any] = {"run_id": run_id}
        outcome, said = "done", (f"{job_name} could not be waited for; its log shows how it ends", False)
        try:
            result = self._service.wait_for_result(run_id)
            details |= {"status": result.status, "exit_code": result.exit_code, "duration": result.duration_seconds}
            said = _summary(result), result.success
        except TriggerPending:
            details["status"] = "running"
            said = f"{job_name} goes on; its log shows how it ends", True
        except AdminError as error:
            outcome, said = "failed", (f"{job_name}: {error}", False)
            details |= {"error": type(error).__name__, "text": str(error)}
        finally:
            self._free.release()
            self._note(user, line_id, job_name, outcome, details)
            end.set_result(said)

    def _note(self, user: User, line_id: str, job_name: str, outcome: str, details: dict[str, Any]) -> None:
        self._audit.outcome(line_id, user, TRIGGER_JOB, job_name, outcome, details)


def _summary(result: JobResult) -> str:
    """Return how a run ended: `import-orders: failure, exit 1, 0.4 s`."""
    how = "" if result.exit_code is None else f", exit {result.exit_code}"
    return f"{result.job_name}: {result.status.replace('_', ' ')}{how}, {duration(result.duration_seconds)}"
