"""The form without a browser: what its texts say and make, what is written, and what is said of that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin_ui.audit import FILE_NAME, AuditLog
from admin_ui.auth import User
from admin_ui.errors import ConflictError, JobAlreadyExistsError, StorageError, ValidationError
from admin_ui.job_files import JobFile
from admin_ui.job_management_service import JobManagementService
from admin_ui.model import JobConfig
from admin_ui.overview import REFUSED_AFTER, refusals
from admin_ui.page import fields, form_html
from admin_ui.page.address import Address
from admin_ui.page.conflict import MOST_LINES, conflict, newer_document
from admin_ui.page.fields import FIELDS, Kind
from admin_ui.page.form import FormView
from admin_ui.page.form_save import save
from admin_ui.page.job_state import is_waiting, state
from admin_ui.page.markup import NOTHING
from admin_ui.page.preview import PRESETS, no_preview, preview
from admin_ui.scheduler_state import ConfigProblem
from tests.strategies import job_documents

ANNA = User("anna", frozenset({"admin"}), "10.0.0.1")
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
PLAIN = {"name": "job", "schedule": "0 2 * * *", "command": "true", "working_directory": "/", "enabled": True}


def form_of(document: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Return what a browser sends of a form that was filled with a document, and then changed."""
    shown = fields.shown(document)
    for field in FIELDS:
        if isinstance(shown[field.name], str):  # as an input and a textarea take line ends
            many = field.kind in (Kind.LINES, Kind.VARIABLES)
            shown[field.name] = (
                re.sub("\r\n|\r", "\n", shown[field.name]) if many else re.sub("[\r\n]", "", shown[field.name])
            )
    return {**shown, **changed}


def written_over(document: dict[str, Any], **changed: Any) -> dict[str, Any]:
    made, errors = fields.read(form_of(document, **changed), document)
    assert errors == {}
    return fields.merged(made, document)


@given(job_documents())
def test_a_form_that_nobody_changed_changes_nothing_whatever_the_definition_holds(document: dict[str, Any]):
    assert json.dumps(written_over(document), sort_keys=True) == json.dumps(document, sort_keys=True)


@given(job_documents(), st.booleans())
def test_one_change_leaves_all_other_fields(document: dict[str, Any], enabled: bool):
    assert written_over(document, enabled=enabled, command="echo other") == {
        **document,
        "enabled": enabled,
        "command": "echo other",
    }


@pytest.mark.parametrize(
    ("changed", "made"),
    [
        ({"timeout_seconds": "90"}, {"timeout_seconds": 90}),
        ({"timeout_seconds": " 0.5 "}, {"timeout_seconds": 0.5}),
        ({"success_exit_codes": "0, 3 4"}, {"success_exit_codes": [0, 3, 4]}),
        ({"retries.max_attempts": "5"}, {"retries": {"max_attempts": 5}}),
        (
            {"retries.max_attempts": "2", "retries.multiplier": "1.5"},
            {"retries": {"max_attempts": 2, "multiplier": 1.5}},
        ),
        ({"concurrency_policy": "replace"}, {"concurrency_policy": "replace"}),
        ({"timezone": "Europe/Berlin"}, {"timezone": "Europe/Berlin"}),
        ({"description": "  of one line "}, {"description": "of one line"}),
        ({"command": "  a\nb\n"}, {"command": "  a\nb\n"}),
        ({"environment": "A=1\n\nB= x=y \nC=\n"}, {"environment": {"A": "1", "B": "x=y", "C": ""}}),
        ({"environment": 'D="two\\nlines "'}, {"environment": {"D": "two\nlines "}}),
    ],
)
def test_texts_become_the_values_that_they_say(changed: dict[str, str], made: dict[str, Any]):
    assert written_over(PLAIN, **changed) == {**PLAIN, **made}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("PGHOST", "line 1: expected NAME=value"),
        ("PGHOST = db", "line 1: expected NAME=value, without blanks before the ="),
        ("A=1\n=2", "line 2: expected NAME=value"),
        ("A=1\nA=2", "line 2: this name is there already"),
        ('A="half', "line 1: a value that begins with a quote is a JSON string"),
        ('A="1" 2', "line 1: a value that begins with a quote is a JSON string"),
    ],
)
def test_lines_that_are_no_variables_are_refused_by_number(text: str, problem: str):
    _, errors = fields.read(form_of(PLAIN, environment=text), PLAIN)

    assert errors["environment"].startswith(problem)


def test_an_emptied_optional_field_is_removed_and_what_the_form_does_not_show_stays():
    base = {**PLAIN, "$schema": "x", "timeout_seconds": 5, "retries": {"max_attempts": 2}}
    document, _ = fields.read(form_of(base, **{"timeout_seconds": "", "retries.max_attempts": ""}), base)

    assert fields.removed(document, base) == ["timeout_seconds", "retries"]
    assert fields.merged(document, base) == {**PLAIN, "$schema": "x"}


def test_how_to_retry_without_how_often_is_refused():
    _, errors = fields.read(form_of(PLAIN, **{"retries.multiplier": "2"}), PLAIN)

    assert list(errors) == ["retries.max_attempts"]


def test_retries_that_name_nothing_show_how_often_they_try():
    assert fields.shown({**PLAIN, "retries": {}})["retries.max_attempts"] == "3"
    assert written_over({**PLAIN, "retries": {}}) == {**PLAIN, "retries": {}}


def test_secret_looking_and_hidden_characters_of_a_variable_are_written_as_escapes():
    text = fields.shown({**PLAIN, "environment": {"A": "x\u202ey", "B": " blank", "C": '"q"'}})["environment"]

    assert text == 'A="x\\u202ey"\nB=" blank"\nC="\\"q\\""'


def test_each_field_has_a_label_a_short_help_and_its_default():
    by_name = {field.name: field for field in FIELDS}

    assert all(field.label and field.info.endswith(".") and len(field.info) <= 90 for field in FIELDS)
    assert fields.placeholder(by_name["timeout_seconds"]) == "3600 (default)"
    assert fields.placeholder(by_name["success_exit_codes"]) == "0 (default)"
    assert fields.placeholder(by_name["name"]) == ""


def test_messages_go_to_their_fields_and_those_without_one_are_kept():
    errors = {
        "": "this is not JSON",
        "timeot": "unknown key",
        "schedule": "wrong",
        "environment.JOB_X": "expected another name",
        "success_exit_codes.1": "expected a whole number",
        "retries": "expected an object",
        "retries.multiplier": "expected 1 or more",
    }
    placed, others = fields.by_field(errors)

    assert others == ["this is not JSON", "timeot: unknown key"]
    assert placed == {
        "schedule": "wrong",
        "environment": "JOB_X: expected another name",
        "success_exit_codes": "1: expected a whole number",
        "retries.max_attempts": "retries: expected an object",
        "retries.multiplier": "expected 1 or more",
    }


def test_the_answer_names_the_fields_in_the_forms_order():
    answer = form_html.problems({"schedule": "wrong <b>", "name": "missing"})

    assert "Look at: Name, Schedule" in re.sub("<[^>]*>", "", answer)
    assert answer.index('data-field="name"') < answer.index('data-field="schedule"')
    assert "wrong &lt;b&gt;" in answer


# What is written


@pytest.fixture
def service(tmp_path: Path) -> Iterator[JobManagementService]:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "logs").mkdir()
    service = JobManagementService(tmp_path / "jobs", tmp_path / "logs", data_directory=tmp_path / "data")
    yield service
    service.stop()


@pytest.fixture
def audit(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "audit")


def lines(tmp_path: Path) -> list[dict[str, Any]]:
    file = tmp_path / "audit" / FILE_NAME
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_new_job_is_written_and_told_to_the_audit_log(service: JobManagementService, audit: AuditLog, tmp_path: Path):
    form = form_of({}, **{**PLAIN, "environment": "TOKEN=hush"})
    file = save(service, audit, ANNA, form, "")

    assert file.file == "job.json"
    assert json.loads((tmp_path / "jobs" / "job.json").read_text()) == {**PLAIN, "environment": {"TOKEN": "hush"}}
    requested, outcome = lines(tmp_path)
    assert (requested["action"], requested["job_name"], outcome["outcome"]) == ("create_job", "job", "done")
    assert requested["details"]["changed"]["command"] == {"old": None, "new": "true"}
    assert requested["details"]["changed"]["environment"] == {"old": None, "new": ["TOKEN"]}
    assert "hush" not in json.dumps(lines(tmp_path))


def test_all_problems_are_told_at_once_and_nothing_is_written(
    service: JobManagementService, audit: AuditLog, tmp_path: Path
):
    form = form_of({}, name="a b", schedule="@daily", environment="A", timeout_seconds="soon")
    with pytest.raises(ValidationError) as refused:
        save(service, audit, ANNA, form, "")

    assert set(refused.value.errors) == {
        *("name", "schedule", "command", "working_directory", "environment", "timeout_seconds"),
    }
    assert list((tmp_path / "jobs").iterdir()) == []
    assert lines(tmp_path) == []


def test_a_name_that_is_taken_is_refused(service: JobManagementService, audit: AuditLog):
    service.create_job(JobConfig.from_document(PLAIN))

    with pytest.raises(JobAlreadyExistsError):
        save(service, audit, ANNA, form_of(PLAIN, command="other"), "")
    assert service.list_jobs()[0].command == "true"


def test_a_form_of_an_older_version_writes_nothing(service: JobManagementService, audit: AuditLog, tmp_path: Path):
    first = service.create_job(JobConfig.from_document(PLAIN))
    newer = service.update_job("job", JobConfig.from_document({**PLAIN, "command": "newer"}))
    form = form_of(PLAIN, command="mine")

    with pytest.raises(ConflictError) as refused:
        save(service, audit, ANNA, form, first.sha256 or "")
    assert (refused.value.newer, refused.value.newer_hash) == (newer.text, newer.sha256)
    assert service.list_jobs()[0].command == "newer"
    assert save(service, audit, ANNA, form, newer.sha256 or "").config == JobConfig.from_document(
        {**PLAIN, "command": "mine"}
    )


def test_a_job_that_is_gone_is_a_conflict(service: JobManagementService, audit: AuditLog):
    with pytest.raises(ConflictError) as refused:
        save(service, audit, ANNA, form_of(PLAIN), "0" * 64)

    assert refused.value.newer is None


def test_saving_what_is_there_writes_no_file_and_no_line(
    service: JobManagementService, audit: AuditLog, tmp_path: Path
):
    service.create_job(JobConfig.from_document(PLAIN))
    file = service.get_job("job")

    assert save(service, audit, ANNA, form_of(PLAIN), file.sha256 or "") == file
    assert lines(tmp_path) == []


def test_a_value_of_the_wrong_type_is_a_change_once_it_is_put_right(
    service: JobManagementService, audit: AuditLog, tmp_path: Path
):
    (tmp_path / "jobs" / "job.json").write_text(json.dumps({**PLAIN, "enabled": 1, "description": None}))
    file = service.get_job("job")
    assert file.config is None
    form = form_of(dict(file.document or {}), enabled=True, description="")

    assert save(service, audit, ANNA, form, file.sha256 or "").config == JobConfig.from_document(PLAIN)


STRANGE = {**PLAIN, "enviroment": {"TOKEN": "hush"}, "retries": {"max_attempts": 2, "max_attempt": 3}}


def test_keys_that_no_definition_has_go_if_that_is_asked_for_and_all_else_stays(
    service: JobManagementService, audit: AuditLog, tmp_path: Path
):
    (tmp_path / "jobs" / "job.json").write_text(json.dumps({"$schema": "x", **STRANGE}))
    file = service.get_job("job")
    form = form_of(STRANGE, command="other")
    with pytest.raises(ValidationError) as refused:
        save(service, audit, ANNA, form, file.sha256 or "")
    save(service, audit, ANNA, form, file.sha256 or "", drop_unknown=True)

    assert set(refused.value.errors) == {"enviroment", "retries.max_attempt"}
    assert json.loads((tmp_path / "jobs" / "job.json").read_text()) == {
        "$schema": "x",
        **PLAIN,
        "command": "other",
        "retries": {"max_attempts": 2},
    }
    assert lines(tmp_path)[0]["details"]["dropped"] == ["enviroment", "retries.max_attempt"]
    assert "hush" not in json.dumps(lines(tmp_path))


def test_where_no_key_is_unknown_none_is_removed(service: JobManagementService, audit: AuditLog, tmp_path: Path):
    service.create_job(JobConfig.from_document(PLAIN))
    file = service.get_job("job")

    assert save(service, audit, ANNA, form_of(PLAIN), file.sha256 or "", drop_unknown=True) == file
    assert lines(tmp_path) == []


def test_without_an_audit_log_nothing_is_written(service: JobManagementService, tmp_path: Path):
    (tmp_path / "audit").write_text("no folder")

    with pytest.raises(StorageError):
        save(service, AuditLog(tmp_path / "audit"), ANNA, form_of({}, **PLAIN), "")
    assert service.list_jobs() == []


# What is said


def test_a_preview_says_each_time_on_the_schedules_own_clock_across_a_clock_change():
    times = [datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 26, 1, 30, tzinfo=UTC)]
    shown = preview("At 02:30 every day (Europe/Berlin)", times, "Europe/Berlin")

    assert "<td>Sun 2026-10-25</td><td>02:30 CEST (+02:00)</td>" in shown
    assert "<td>Mon 2026-10-26</td><td>02:30 CET (+01:00)</td>" in shown


def test_a_zone_without_a_name_is_told_by_its_offset_alone():
    shown = preview("", [datetime(2026, 1, 1, tzinfo=UTC)], "Asia/Kathmandu")

    assert "<td>Thu 2026-01-01</td><td>05:45 +05:45</td>" in shown


def test_presets_are_schedules_and_no_preview_names_the_wrong_field(service: JobManagementService):
    assert all(len(service.next_runs(text, "UTC", 5)) == 5 for _, text in PRESETS)
    assert 'data-field="schedule">&lt;b&gt;' in no_preview({"schedule": "<b>"})


def test_a_conflict_shows_both_versions_with_the_differing_lines_marked():
    newer = {**PLAIN, "command": "<script>\x1b"}
    shown = conflict(ConflictError("job.json", json.dumps(newer), "f" * 64), {**PLAIN, "timezone": "UTC"})

    assert len(re.findall('<tr class="differs">', shown)) == 2  # the command and the zone
    assert "<mark>  &#34;command&#34;: &#34;true&#34;,</mark>" in shown
    assert "&lt;script&gt;" in shown and "\\u001b" in shown
    assert f'data-do="over" data-version="{"f" * 64}"' in shown and 'data-do="load"' in shown


@pytest.mark.parametrize(
    ("newer", "offers"), [(None, ["over"]), ("{ half", ["load"]), ("[]", ["load"]), ("{}", ["load", "over"])]
)
def test_a_conflict_offers_only_what_can_be_done(newer: str | None, offers: list[str]):
    shown = conflict(ConflictError("job.json", newer, newer and "f" * 64), PLAIN)

    assert re.findall('data-do="(\\w+)"', shown) == offers


def test_a_huge_newer_version_is_shown_in_part():
    newer = "\n" * 5000 + "x" * 1_000_000
    shown = conflict(ConflictError("job.json", newer, "f" * 64), PLAIN)

    assert f"… and {5001 - MOST_LINES} lines more" in shown
    assert len(shown) < 100_000
    assert newer_document(ConflictError("job.json", newer, "f" * 64)) is None


def job_file(**changed: Any) -> JobFile:
    known = {"sha256": "0" * 64, "config": JobConfig.from_document(PLAIN), "document": PLAIN, "modified": NOON}
    return JobFile("job.json", "job", **{**known, **changed})


def seen(
    loaded: bool = False,
    status: str = "alive",
    now: datetime = NOON,
    paused_since: datetime | None = None,
    **problem: Any,
) -> Any:
    """Return the part of an overview that says how far the scheduler is."""
    wrong = ("working_directory", "/nowhere", "expected an existing directory")
    known = {"file": "job.json", "job_name": "job", "problems": (wrong,), "at": NOON, "kept_last_good": False}
    at_fault = ConfigProblem(**{**known, **problem})
    scheduler: Any = SimpleNamespace(status=status, last_seen=NOON, config_errors=[at_fault] if problem else [])
    refused = refusals([job_file()], {"job": loaded}, scheduler, now)
    known = {"loaded": {"job": loaded}, "refused": refused, "scheduler": scheduler, "now": now}
    return SimpleNamespace(**known, paused_since=paused_since)


def test_a_saved_file_waits_and_is_then_loaded():
    assert is_waiting(job_file(), seen())
    assert "Saved, waiting for the scheduler" in state(job_file(), seen(), NOON)
    assert not is_waiting(job_file(), seen(loaded=True))
    assert "Loaded by the scheduler" in state(job_file(), seen(loaded=True), NOON)
    assert "Next run" in state(job_file(), seen(loaded=True), NOON)
    disabled = job_file(config=JobConfig.from_document({**PLAIN, "enabled": False}))
    assert "Disabled" in state(disabled, seen(loaded=True), None)
    spread = job_file(config=JobConfig.from_document({**PLAIN, "jitter_seconds": 30}))
    assert "</time>, up to 30 s later" in state(spread, seen(loaded=True), NOON)


def test_a_silent_scheduler_is_not_waited_for():
    assert not is_waiting(job_file(), seen(status="silent"))
    assert "Saved, but the scheduler is not there" in state(job_file(), seen(status="silent"), NOON)


@pytest.mark.parametrize(
    ("held", "told"),
    [
        ({"status": "stopped"}, "scheduler stopped"),
        ({"status": "unknown"}, "no scheduler"),
        ({"paused_since": NOON}, "paused"),
    ],
)
def test_a_next_run_is_not_promised_while_nothing_starts_by_its_schedule(held: dict[str, Any], told: str):
    shown = state(job_file(), seen(loaded=True, **held), NOON)

    assert "Next run" not in shown
    assert f"Does not start now: {told}. Next time " in shown
    assert "icon ok" not in shown


def test_a_refused_file_says_why():
    overview = seen(at=NOON + timedelta(seconds=1), kept_last_good=True)
    shown = state(job_file(), overview, NOON)

    assert not is_waiting(job_file(), overview)
    assert "Refused by the scheduler" in shown and "expected an existing directory, found /nowhere" in shown
    assert "The last good version stays in force" in shown


def test_an_error_of_an_earlier_version_counts_only_if_nothing_follows():
    """The scheduler writes an error once, however often a file with it is saved."""
    before: dict[str, Any] = {"at": NOON - timedelta(hours=1), "kept_last_good": False}
    assert is_waiting(job_file(), seen(**before))
    later = seen(**before, now=NOON + REFUSED_AFTER + timedelta(seconds=1))
    assert not is_waiting(job_file(), later)
    assert "Refused by the scheduler" in state(job_file(), later, NOON)
    assert "Loaded" in state(job_file(), seen(loaded=True, **before), NOON)


def test_an_invalid_file_says_what_is_wrong_and_shows_a_form_only_for_an_object():
    no_json = job_file(config=None, document=None, text="{ <b>", errors={"": "line 1: this is not JSON"})
    wrong = job_file(config=None, text="{}", errors={"schedule": "wrong"})

    assert "data-no-form" in form_html.about(no_json, {}) and "{ &lt;b&gt;" in form_html.about(no_json, {})
    assert "data-no-form" not in form_html.about(wrong, {}) and "schedule: wrong" in form_html.about(wrong, {})
    assert "Invalid" in state(wrong, seen(), None)


def test_news_of_a_file_name_its_version_and_what_a_save_will_do():
    changed, removed = form_html.news("job", job_file()), form_html.news("job", None)

    assert f'data-version="{"0" * 64}" hidden' in changed and "jobs/job.json was changed" in changed
    assert "both versions are shown" in changed and 'data-do="load"' in changed
    assert 'data-version="" hidden' in removed and "The file of job was removed" in removed
    assert "it can be made anew" in removed and "<button" not in removed


def test_an_open_form_is_told_of_its_file_as_it_is_at_each_look(service: JobManagementService):
    view = FormView(SimpleNamespace(service=service), "edit")  # type: ignore[arg-type]  # all that the view asks for here
    address = Address("edit", {"job": "job"})
    first = service.create_job(JobConfig.from_document(PLAIN))
    before = view.refresh(ANNA, address).values[1]
    second = service.update_job("job", JobConfig.from_document({**PLAIN, "command": "newer"}))
    after = view.refresh(ANNA, address).values[1]
    service.delete_job("job")

    assert f'data-version="{first.sha256}"' in before and f'data-version="{second.sha256}"' in after
    assert view.refresh(ANNA, address).values == [NOTHING, form_html.news("job", None)]


def test_characters_that_are_not_seen_are_told_of():
    told = form_html.about(job_file(), {"command": "echo \u202elive", "description": "plain", "enabled": True})

    assert "Command holds characters" in told and "\\u202elive" in told
    assert form_html.about(job_file(), {"command": "a\tb\nc"}) == ""
