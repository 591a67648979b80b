"""The admin service's properties: definitions, requests and history, over files alone or with the real scheduler."""

from __future__ import annotations

import json
import string
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin_ui.history import JOURNAL
from admin_ui.job_management_service import JobManagementService
from admin_ui.model import STATUSES, JobConfig
from tests import admin_lines as lines
from tests.daemon import Daemon
from tests.strategies import job_documents, job_names

numbers = count()


@contextmanager
def service_on_files() -> Iterator[JobManagementService]:
    """Give a service on directories of its own, without a scheduler."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "jobs").mkdir()
        (root / "logs").mkdir()
        service = JobManagementService(root / "jobs", root / "logs", data_directory=root / "data", keep_days=100_000)
        try:
            yield service
        finally:
            service.stop()


def journal_of(service: JobManagementService) -> Path:
    return service.files.directory.parent / "logs" / JOURNAL


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JobManagementService, Daemon]]:
    """Give a service and the scheduler that it works with."""
    root = tmp_path_factory.mktemp("live")
    with Daemon(root) as daemon:
        service = JobManagementService(daemon.jobs, daemon.logs, data_directory=root / "data")
        service.start()
        yield service, daemon
        service.stop()


# Feature: production-jobs-scheduler, Property 15: Job Management Service CRUD Operations
@given(job_documents(), job_documents())
def test_a_created_job_is_retrieved_equal_and_so_is_what_it_is_changed_to(document, other):
    config = JobConfig.from_document(document)
    changed = JobConfig.from_document({**other, "name": config.name})
    with service_on_files() as service:
        service.create_job(config)
        assert service.list_jobs() == [config]
        assert service.get_job(config.name).config == config

        unnamed = document.keys() - changed.to_document().keys()
        service.update_job(config.name, changed, remove=unnamed)
        assert service.list_jobs() == [changed]

        service.delete_job(config.name)
        assert service.list_jobs() == []


# Feature: production-jobs-scheduler, Property 15: Job Management Service CRUD Operations
@given(job_documents(), job_documents(), st.sampled_from((None, 1, 3, "\t")), st.booleans())
def test_an_update_of_some_fields_keeps_all_others_and_their_order(document, other, indent, ascii_only):
    given = JobConfig(
        document["name"], *(other[key] for key in ("schedule", "command", "working_directory", "enabled"))
    )
    with service_on_files() as service:
        path = service.files.directory / "any.json"
        path.write_text(json.dumps(document, indent=indent, ensure_ascii=ascii_only))
        service.update_job(document["name"], given)

        written = json.loads(path.read_text())
    assert written == {**document, **given.to_document()}
    assert list(written) == list(document)


# Feature: production-jobs-scheduler, Property 16: Job Enable/Disable Toggle
@given(job_documents(), st.lists(st.booleans(), min_size=1, max_size=6))
def test_a_job_is_enabled_exactly_after_it_was_enabled_last(document, toggles):
    config = JobConfig.from_document(document)
    with service_on_files() as service:
        service.create_job(config)
        for enable in toggles:
            (service.enable_job if enable else service.disable_job)(config.name)
            (found,) = service.list_jobs()

            assert found.enabled is enable
            assert {**found.to_document(), "enabled": None} == {**config.to_document(), "enabled": None}


texts = st.text(string.ascii_letters + string.digits + " .,;äß€", max_size=30)


# Feature: production-jobs-scheduler, Property 17: Manual Job Trigger Execution
@given(texts, texts, st.integers(0, 255))
def test_a_triggered_job_runs_at_once_and_its_result_is_whole(live, stdout, stderr, exit_code):
    service, _ = live
    name = f"job_{next(numbers)}"
    command = f"printf %s '{stdout}'; printf %s '{stderr}' >&2; exit {exit_code}"
    service.create_job(JobConfig(name, "0 0 1 1 *", command, "/", True))
    result = service.trigger_job(name, requested_by="anna", timeout=20)

    assert (result.job_name, result.exit_code, result.stdout, result.stderr) == (name, exit_code, stdout, stderr)
    assert result.status == ("success" if exit_code == 0 else "failure")
    assert result.success == (exit_code == 0)
    assert result.start_time <= result.end_time
    assert result.duration_seconds >= 0
    assert (result.trigger, result.requested_by) == ("manual", "anna")
    assert service.get_job_history(name) == [result]
    service.delete_job(name)


# Feature: production-jobs-scheduler, Property 18: Job History Retrieval
@given(st.integers(1, 2))
def test_the_history_of_a_job_that_was_executed_is_there_most_recent_first(live, times):
    service, _ = live
    name = f"job_{next(numbers)}"
    service.create_job(JobConfig(name, "0 0 1 1 *", "true", "/", True))
    triggered = [service.trigger_job(name, timeout=20).run_id for _ in range(times)]
    history = service.get_job_history(name)

    assert [result.run_id for result in history] == triggered[::-1]
    service.delete_job(name)


runs = st.lists(st.tuples(job_names, st.integers(0, 1000), st.sampled_from(STATUSES)), min_size=1, max_size=12)


# Feature: production-jobs-scheduler, Property 18: Job History Retrieval
@given(runs, st.integers(1, 12))
def test_the_history_is_ordered_by_start_and_bounded_in_whatever_order_runs_ended(some, limit):
    entries = [
        lines.complete(f"r{number}", 2000 + number, took=2000 + number - start, job_name=name, status=status)
        for number, (name, start, status) in enumerate(some)
    ]
    with service_on_files() as service:
        journal_of(service).write_bytes(lines.data(*entries))
        service.history.poll()
        for name in {name for name, _, _ in some}:
            history = service.get_job_history(name, limit)
            starts = [result.start_time for result in history]

            assert len(history) == min(limit, sum(1 for other, _, _ in some if other == name)) > 0
            assert starts == sorted(starts, reverse=True)
            assert {result.job_name for result in history} == {name}


outputs = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text("abAB \n\"'%_*-", max_size=12)
entries = st.lists(st.tuples(outputs, outputs, st.sampled_from(STATUSES)), min_size=2, max_size=8)


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[dict[str, Any]], str]:
    """Some runs of a job, and a text that is often, but not always, in the output of one of them."""
    some = draw(entries)
    ended = [
        lines.complete(f"r{number}", number, stdout=stdout, stderr=stderr, status=status)
        for number, (stdout, stderr, status) in enumerate(some)
    ]
    whole = draw(st.sampled_from([text for stdout, stderr, _ in some for text in (stdout, stderr) if text] or ["text"]))
    begin = draw(st.integers(0, len(whole) - 1))
    part = whole[begin : begin + draw(st.integers(1, 10))]
    return ended, draw(st.just(part) | outputs.filter(bool)).replace("\0", "0")


# Feature: production-jobs-scheduler, Property 19: Log Filtering
@given(stories(), st.sampled_from((None, "failed", *STATUSES)))
def test_filtering_logs_returns_the_entries_with_the_text_and_the_status_and_only_these(story, status):
    ended, term = story
    with service_on_files() as service:
        journal_of(service).write_bytes(lines.data(*ended))
        service.history.poll()
        found = service.get_job_logs("job", search=term, status=status)
        by_status = service.get_job_logs("job", status=status)

    def fits(entry: dict[str, Any]) -> bool:
        is_failed = entry["status"] not in ("success", "cancelled")
        return status in (None, entry["status"]) or (status == "failed" and is_failed)

    def facts(entry: dict[str, Any]) -> str:
        return "\n".join(str(value) for value in entry.values()).casefold()

    with_output = [entry for entry in reversed(ended) if term in entry["stdout"] or term in entry["stderr"]]
    assert all(term.casefold() in facts(entry) and fits(entry) for entry in found)
    assert [entry for entry in with_output if fits(entry)] == [
        entry for entry in found if term in entry["stdout"] or term in entry["stderr"]
    ]
    assert by_status == [entry for entry in reversed(ended) if fits(entry)]
