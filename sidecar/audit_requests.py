"""Audit the requests: each is answered once and starts one run at most, for as long as its answer counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sidecar.audit_events import Event
from sidecar.audit_report import Findings, Place, Rule
from sidecar.clock import WAIT_OUT, from_iso
from sidecar.model import request_key


@dataclass(slots=True)
class _Answer:
    """`at` is when it was given or, where a checkpoint says so, when its request's file was last seen."""

    place: Place
    at: datetime


class Requests:
    """The answers that count, and the starts on request; `remembered` is how long they count at least."""

    def __init__(self, findings: Findings, remembered: timedelta) -> None:
        self._findings = findings
        self._remembered = remembered
        self._answers: dict[str, _Answer] = {}
        self._starts: dict[tuple[str, str], _Answer] = {}

    def answered(self, event: Event) -> None:
        """Check that the request has no answer yet."""
        key = request_key(event["action"], event["job_name"], event["request_id"])
        before = self._answers.get(key)
        # How much longer the first answer counts, only its file could tell: until then it must be the only one.
        if before and event.contradicts(before.place) and self._counts(before, event):
            message = f"request {key.strip()} was answered before, in {before.place}"
            self._findings.add(event.place, Rule.ANSWERED_TWICE, message)
        self._answers[key] = _Answer(event.place, event.moment)

    def started(self, event: Event) -> None:
        """Check that a run starts on a request that none was started on before."""
        if event["trigger"] == "manual" and event["request_id"] is not None:
            key = event["job_name"], event["request_id"]
            before = self._starts.get(key)
            if before and self._counts(before, event):
                message = f"request {key[1]} of {key[0]} was started before, in {before.place}"
                self._findings.add(event.place, Rule.STARTED_TWICE, message)
            self._starts[key] = _Answer(event.place, event.moment)

    def compare(self, checkpoint: Event) -> None:
        """Hold a full checkpoint's answers against those known here, then go on with them."""
        answers = {key: from_iso(at) for key, at in checkpoint["answers"].items()}
        for key in sorted(self._answers.keys() - answers.keys()):
            forgotten = self._answers.pop(key)
            if self._counts(forgotten, checkpoint):
                message = f"the answer to request {key.strip()} in {forgotten.place} is not known here"
                self._findings.add(checkpoint.place, Rule.ANSWER_FORGOTTEN, message)
        for key, at in answers.items():
            known = self._answers.setdefault(key, _Answer(checkpoint.place, at))
            known.at = max(known.at, at)

    def _counts(self, answer: _Answer, event: Event) -> bool:
        # By the latest time so far: what was forgotten then stays forgotten when the clock is set back. One that is set
        # back far may have gone on for long before, without a line.
        return event.newest - answer.at < self._remembered and answer.at - event.moment <= WAIT_OUT
