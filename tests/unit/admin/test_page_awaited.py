"""Waiting for runs that were asked for on the page: what is said of their ends, and what the audit log has of them."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from admin_ui.audit import AuditLog
from admin_ui.auth import User
from admin_ui.errors import AdminError, RequestRejected, StorageError, TriggerPending
from admin_ui.model import JobResult
from admin_ui.page.awaited import AT_ONCE, MOST_KEPT, Awaited
from tests.daemon import wait_for

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
ANNA = User("anna", frozenset({"admin"}), "127.0.0.1")


def ended(status: str = "success", exit_code: int | None = 0) -> JobResult:
    return JobResult("job", NOON, NOON, exit_code, "", "", 0.4, status=status, run_id="r1", trigger="manual")


@dataclass
class Service:
    """A service whose runs are r0, r1, ...; they end as `end` has it, as soon as `go` is set."""

    end: Callable[[], JobResult] = ended
    go: threading.Event = field(default_factory=threading.Event)
    refusal: AdminError | None = None
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)

    def request_run(self, job_name: str, *, requested_by: str, request_id: str | None) -> str:
        if self.refusal:
            raise self.refusal
        self.asked.append((job_name, requested_by, request_id))
        return f"r{len(self.asked) - 1}"

    def wait_for_result(self, run_id: str) -> JobResult:
        assert self.go.wait(30)
        return self.end()


def noted(folder: Path) -> list[dict[str, Any]]:
    file = folder / "audit.log"
    whole = file.read_text().split("\n")[:-1] if file.exists() else []  # a line that is being written may be half there
    return [json.loads(line) for line in whole]


def outcomes(folder: Path) -> list[dict[str, Any]]:
    return [line for line in noted(folder) if line["event"] == "outcome"]


def has_outcomes(folder: Path, count: int) -> bool:
    return len(outcomes(folder)) == count


def raising(error: Exception) -> Callable[[], JobResult]:
    def end() -> JobResult:
        raise error

    return end


@pytest.mark.parametrize(
    ("end", "said", "outcome", "details"),
    [
        (ended, ("job: success, exit 0, 0.4 s", True), "done", {"status": "success", "exit_code": 0, "duration": 0.4}),
        (
            lambda: ended("failure", 3),
            ("job: failure, exit 3, 0.4 s", False),
            "done",
            {"status": "failure", "exit_code": 3, "duration": 0.4},
        ),
        (
            lambda: ended("output_limit", None),
            ("job: output limit, 0.4 s", False),
            "done",
            {"status": "output_limit", "exit_code": None, "duration": 0.4},
        ),
        (
            raising(TriggerPending("r1")),
            ("job goes on; its log shows how it ends", True),
            "done",
            {"status": "running"},
        ),
        (
            raising(RequestRejected("expired", "no place")),
            ("job: the scheduler refused it (expired): no place", False),
            "failed",
            {"error": "RequestRejected", "text": "the scheduler refused it (expired): no place"},
        ),
        (
            raising(StorageError("gone")),
            ("job: gone", False),
            "failed",
            {"error": "StorageError", "text": "gone"},
        ),
    ],
)
def test_an_end_is_said_and_noted_as_the_outcome_of_the_request(tmp_path, end, said, outcome, details):
    audit, service = AuditLog(tmp_path), Service(end)
    service.go.set()
    awaited = Awaited(service, audit)

    assert awaited.trigger(ANNA, "job", {"again": "r"}) == "r0"
    assert awaited.end("r0") == said
    asked, line = noted(tmp_path)
    assert service.asked == [("job", "anna", asked["id"])]
    assert (asked["event"], asked["details"]) == ("requested", {"again": "r"})
    assert (line["id"], line["username"], line["action"]) == (asked["id"], "anna", "trigger_job")
    assert (line["outcome"], line["details"]) == (outcome, {"run_id": "r0"} | details)


def test_a_request_that_is_refused_is_noted_and_raised(tmp_path):
    awaited = Awaited(Service(refusal=RequestRejected("already_running", "it runs")), AuditLog(tmp_path))

    with pytest.raises(RequestRejected):
        awaited.trigger(ANNA, "job")
    asked, line = noted(tmp_path)
    assert (line["id"], line["outcome"], line["details"]["error"]) == (asked["id"], "failed", "RequestRejected")


def test_the_outcome_is_noted_also_when_nobody_looks_any_more(tmp_path):
    audit, service = AuditLog(tmp_path), Service()
    awaited = Awaited(service, audit)
    awaited.trigger(ANNA, "job")
    assert outcomes(tmp_path) == []
    service.go.set()

    wait_for(lambda: outcomes(tmp_path), "the outcome")


def test_an_end_is_said_once(tmp_path):
    service = Service()
    service.go.set()
    awaited = Awaited(service, AuditLog(tmp_path))
    run_id = awaited.trigger(ANNA, "job")

    assert awaited.end(run_id) is not None
    assert awaited.end(run_id) is None
    assert awaited.end("never asked for") is None


def test_a_run_beyond_those_that_are_waited_for_is_noted_as_accepted_at_once(tmp_path):
    service = Service()
    awaited = Awaited(service, AuditLog(tmp_path))
    for _ in range(AT_ONCE + 1):
        awaited.trigger(ANNA, "job")

    assert [line["details"] for line in outcomes(tmp_path)] == [{"run_id": f"r{AT_ONCE}"}]
    assert awaited.end(f"r{AT_ONCE}") is None
    service.go.set()
    wait_for(functools.partial(has_outcomes, tmp_path, AT_ONCE + 1), "the others")
    assert awaited.end(awaited.trigger(ANNA, "job")) == ("job: success, exit 0, 0.4 s", True)


def test_a_run_that_no_thread_can_wait_for_is_noted_as_accepted_and_takes_no_place(tmp_path, monkeypatch):
    service = Service()
    service.go.set()
    awaited = Awaited(service, AuditLog(tmp_path))

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        runs = [awaited.trigger(ANNA, "job") for _ in range(AT_ONCE)]

    assert [line["details"] for line in outcomes(tmp_path)] == [{"run_id": run_id} for run_id in runs]
    assert [awaited.end(run_id) for run_id in runs] == [None] * AT_ONCE
    assert awaited.end(awaited.trigger(ANNA, "job")) == ("job: success, exit 0, 0.4 s", True)


def test_what_nobody_asked_for_is_forgotten_in_the_end(tmp_path):
    service = Service()
    service.go.set()
    awaited = Awaited(service, AuditLog(tmp_path))
    for number in range(MOST_KEPT + 1):
        awaited.trigger(ANNA, "job")
        wait_for(functools.partial(has_outcomes, tmp_path, number + 1), "its end")

    assert awaited.end("r0") is None
    assert awaited.end("r1") is not None
