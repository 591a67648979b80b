"""What is done with the selected job is what the question said."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from admin_ui.audit import AuditLog
from admin_ui.auth import User
from admin_ui.errors import ValidationError
from admin_ui.page.actions import Actions
from admin_ui.page.views import Tools

ANNA = User("anna", frozenset({"admin"}), "127.0.0.1")
RUN = "20261127T120000-0123456789abcdef"


def cancel(tmp_path, job_name: str) -> list[str]:
    """Ask to cancel backup's run, which is `job_name`'s; return the runs that were cancelled."""
    cancelled: list[str] = []

    def cancel_run(run_id: str, **asked: Any) -> None:
        cancelled.append(run_id)

    service = SimpleNamespace(get_run=lambda run_id: SimpleNamespace(job_name=job_name), cancel_run=cancel_run)
    tools = SimpleNamespace(service=service, audit=AuditLog(tmp_path))
    address = f"?view=jobs&job=backup&confirmed=backup&sha256=&runs={RUN}"
    try:
        Actions(cast(Tools, tools))._cancel_run(ANNA, address)
    finally:
        lines = map(json.loads, (tmp_path / "audit.log").read_text().splitlines())
        (outcome,) = [line for line in lines if line["event"] == "outcome"]
        assert outcome["job_name"] == "backup" and outcome["outcome"] == ("done" if cancelled else "failed")
    return cancelled


@pytest.mark.parametrize(
    ("filtered", "left"),
    [("&state=disabled", "&state=disabled"), ("&find=back", "&find=back"), ("&find=backup", "")],
)
def test_who_deletes_one_job_after_another_keeps_the_filter_unless_it_is_that_job(tmp_path, filtered, left):
    service = SimpleNamespace(delete_job=lambda name, **version: SimpleNamespace(file=f"{name}.json"))
    tools = SimpleNamespace(service=service, audit=AuditLog(tmp_path))
    address = f"?view=jobs{filtered}&job=backup&confirmed=backup&sha256=ab&runs="

    _, to = Actions(cast(Tools, tools))._delete_job(ANNA, address)

    assert to == f"?view=jobs{left}"


def test_the_run_that_the_question_was_about_is_cancelled(tmp_path):
    assert cancel(tmp_path, "backup") == [RUN]


def test_a_run_of_another_job_is_not_cancelled(tmp_path):
    with pytest.raises(ValidationError, match="another job's"):
        cancel(tmp_path, "payroll")
