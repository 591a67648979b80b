"""Answer requests: each exactly once, by rules that look only at the request, the definitions and the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sidecar import policy
from sidecar.catalog import Definition
from sidecar.ledger import Ledger
from sidecar.logger import JobLogger
from sidecar.model import Action, ConcurrencyPolicy, Rejection, Request, Run, Trigger
from sidecar.runs import Runs, named


class Desk:
    """Accepts or rejects each request in the journal and passes accepted ones on.

    `look_again` rescans the definitions; it is called before a request is refused for what they say.
    """

    def __init__(
        self,
        *,
        logger: JobLogger,
        runs: Runs,
        jobs: Mapping[str, Definition],
        max_age_seconds: float,
        look_again: Callable[[], None],
    ) -> None:
        self._logger = logger
        self._ledger: Ledger = logger.ledger
        self._runs = runs
        self._jobs = jobs
        self._max_age = timedelta(seconds=max_age_seconds)
        self._look_again = look_again

    def answered(self, key: str) -> bool:
        """Return whether the request with this key has its answer."""
        return key in self._ledger.answers

    def answer(self, request: Request, now: datetime, first_seen: datetime) -> None:
        """Answer one request.

        One that asks for a run stays unanswered while draining, for the next scheduler, and as long as it would be
        refused only for what a crash left of the job, which is being ended.
        """
        if self.answered(request.key):
            return
        if request.problem is not None:
            self._reject(request, Rejection.INVALID, request.problem)
        elif first_seen - request.modified_at > self._max_age:
            self._reject(request, Rejection.EXPIRED, f"older than {self._max_age.total_seconds():g} s when first seen")
        elif request.action is Action.CANCEL:
            self._cancel(request)
        elif not self._runs.draining:
            self._run(request, now)

    def _run(self, request: Request, now: datetime) -> None:
        name = request.job_name or ""
        definition = self._jobs.get(name)
        if definition is None or not definition.config.enabled:
            self._look_again()
            definition = self._jobs.get(name)
        if definition is None:
            self._reject(request, Rejection.UNKNOWN_JOB, f"no job is called {name}")
        elif not definition.config.enabled:
            self._reject(request, Rejection.DISABLED, f"{definition.file} has enabled: false")
        elif definition.config.concurrency_policy is ConcurrencyPolicy.FORBID and self._runs.is_active(name):
            if self._runs.is_recovering(name):
                return  # what a crash left is being ended; in a moment there is no reason to refuse
            self._reject(request, Rejection.ALREADY_RUNNING, "a run is going or queued, and the policy is forbid")
        else:
            run_id = policy.new_run_id(now)
            run = Run(
                run_id=run_id,
                job_name=name,
                trigger=Trigger.MANUAL,
                first_run_id=run_id,
                since=now,
                request_id=request.request_id,
            )
            self._accept(request, [run])
            self._runs.begin(run, definition)

    def _cancel(self, request: Request) -> None:
        name = request.job_name or ""
        runs = self._ledger.runs_of(name)
        if request.run_id is not None:
            runs = named(runs, request.run_id)
        if runs:
            self._accept(request, runs)
            for run in runs:
                self._runs.cancel(run, f"cancelled by request {request.request_id}")
            return
        if name not in self._jobs:
            self._look_again()
        if name not in self._jobs and name not in self._ledger.jobs:
            self._reject(request, Rejection.UNKNOWN_JOB, f"no job is called {name}")
        elif request.run_id is None:
            self._reject(request, Rejection.NOT_RUNNING, f"no run of {name} is going, queued or to be retried")
        else:
            which = f"run {request.run_id} of {name}"
            self._reject(request, Rejection.NOT_RUNNING, f"{which} is neither going nor queued nor to be retried")

    def _accept(self, request: Request, runs: list[Run]) -> None:
        run_ids = [run.run_id for run in runs]
        self._logger.record(
            "trigger_accepted",
            component="requests",
            **_facts(request),
            run_id=request.run_id or (run_ids[0] if len(run_ids) == 1 else None),
            run_ids=run_ids,
        )

    def _reject(self, request: Request, reason: Rejection, detail: str) -> None:
        self._logger.record(
            "trigger_rejected",
            level="warning",
            component="requests",
            **_facts(request),
            run_id=request.run_id,
            reason=reason,
            detail=detail,
        )


def _facts(request: Request) -> dict[str, Any]:
    return {
        "request_id": request.request_id,
        "action": request.action,
        "file": request.file,
        "job_name": request.job_name,
        "requested_by": request.requested_by,
        "requested_uid": request.owner_uid,
    }
