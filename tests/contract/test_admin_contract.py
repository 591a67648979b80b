"""The two services share no code; here it is held that they mean the same by every file that passes between them."""

from __future__ import annotations

import ast
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admin_ui import cron as admin_cron
from admin_ui import entries
from admin_ui.audit import AuditLog
from admin_ui.auth import User
from admin_ui.cron import next_times
from admin_ui.errors import RequestRejected, TriggerPending
from admin_ui.errors import ScheduleError as AdminScheduleError
from admin_ui.files import read_json as admin_read_json
from admin_ui.job_files import JobFiles
from admin_ui.job_management_service import JobManagementService
from admin_ui.model import FIELDS, STATUSES, JobConfig
from admin_ui.requests import Requests
from admin_ui.schema import default_of, problems
from sidecar import cron as sidecar_cron
from sidecar import model as sidecar_model
from sidecar import requests as sidecar_requests
from sidecar.config import ConfigLoader
from sidecar.errors import JobFileError, ScheduleError
from sidecar.files import read_json as sidecar_read_json
from tests.contract.test_job_schema import mutated_documents
from tests.daemon import Daemon, wait_for
from tests.hostile import HOSTILE
from tests.property.test_cron_properties import NIGHTS, anything, expressions, nightly, spoilt_expressions
from tests.strategies import job_documents, written

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "schemas" / "examples"
EVENTS = json.loads((ROOT / "schemas" / "event.schema.json").read_text())
LOADER = ConfigLoader("jobs")
ZONES = sorted({zone for zone, _ in NIGHTS})


def imported(package: str) -> Iterator[tuple[str, str]]:
    """Yield each module of a package with each name that it imports."""
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path.name, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield path.name, node.module or ""


@pytest.mark.parametrize(("package", "other"), [("admin_ui", "sidecar"), ("sidecar", "admin_ui")])
def test_no_service_imports_the_other(package, other):
    assert [each for each in imported(package) if each[1].split(".")[0] == other] == []


# Definitions


def loaded(data: bytes) -> sidecar_model.JobConfig | None:
    try:
        return LOADER.parse("job.json", data)
    except JobFileError:
        return None


def accepted(data: bytes) -> bool:
    try:
        return not problems(admin_read_json(data))
    except ValueError:
        return False


@given(job_documents())
def test_whatever_the_admin_writes_the_scheduler_loads_equal(document):
    config = JobConfig.from_document(document)
    with tempfile.TemporaryDirectory() as directory:
        made = JobFiles(directory).create(config)
        (job,) = ConfigLoader(directory).load_all_jobs()
        _, sha256 = ConfigLoader(directory).load(made.file)

    for field in FIELDS:
        ours, theirs = getattr(config, field), getattr(job, field)
        if ours is None:
            ours = {} if field == "environment" else default_of(field)
        if field == "retries" and ours is not None:
            ours = sidecar_model.Retries(**ours)
        assert theirs == (tuple(ours) if isinstance(ours, list) else ours), field
    assert made.sha256 == sha256


@given(mutated_documents())
def test_both_accept_and_refuse_the_same_documents(document):
    assert accepted(written(document)) == (loaded(written(document)) is not None)


@given(mutated_documents())
def test_both_blame_the_same_fields(document):
    ours = {field.partition(".")[0] for field in problems(document)}
    theirs: set[str] = set()
    try:
        LOADER.parse("job.json", written(document))
    except JobFileError as error:
        theirs = {problem.field.partition(".")[0].partition("[")[0] for problem in error.problems}

    assert ours == theirs


def examples(kind: str) -> list[Path]:
    return sorted(EXAMPLES.glob(f"job/{kind}/*.json"))


@pytest.mark.parametrize("path", [*examples("valid"), *examples("invalid*")], ids=lambda path: path.stem)
def test_every_example_is_judged_alike_but_for_what_only_the_scheduler_can_see(path):
    data = path.read_bytes()

    assert accepted(data) == (loaded(data) is not None or path.stem == "working_directory_does_not_exist")


@pytest.mark.parametrize("kind", HOSTILE)
def test_every_hostile_text_is_read_or_refused_alike(kind, tmp_path):
    path = tmp_path / "job.json"
    HOSTILE[kind](path)
    if not path.is_file() or path.stat().st_size > 1 << 20:
        return
    data = path.read_bytes()
    read = []
    for read_json in (admin_read_json, sidecar_read_json):
        try:
            read.append(read_json(data))
        except ValueError:
            read.append(None)

    assert read[0] == read[1]


@pytest.mark.parametrize("data", [b"{", b'{"a" 1}', b"{'a': 1}", b'{"a": 1,}', b"{} {}", b'{"a":\n "x\ny"}', b"[1,\n"])
def test_a_mistake_in_the_json_is_explained_alike(data):
    said = []
    for read_json in (admin_read_json, sidecar_read_json):
        with pytest.raises(ValueError) as refusal:
            read_json(data)
        said.append(str(refusal.value))

    assert said[0] == said[1]


def test_both_know_the_same_fields_and_words():
    assert [each.name for each in fields(sidecar_model.JobConfig)] == list(FIELDS)
    assert list(STATUSES) == [each.value for each in sidecar_model.Status]
    assert list(entries.TRIGGERS) == [each.value for each in sidecar_model.Trigger]


# Schedules


@given(expressions | spoilt_expressions | anything)
@settings(max_examples=300)
def test_both_accept_and_refuse_the_same_schedules(expression):
    assert admin_cron.is_valid(expression) == sidecar_cron.is_valid(expression)


@given(
    st.sampled_from(("", "UTC", "utc", "Europe/Berlin", "posix/UTC", "localtime", "Mars", "../UTC", "Etc")) | st.text()
)
def test_both_know_the_same_zones(name):
    known: list[str | None] = []
    for zone_named, error in ((admin_cron.zone_named, AdminScheduleError), (sidecar_cron.zone_named, ScheduleError)):
        try:
            known.append(zone_named(name).key)
        except error:
            known.append(None)

    assert known[0] == known[1]


def theirs(expression: str, zone: str, instant: datetime, count: int) -> list[datetime]:
    schedule = sidecar_cron.parse(expression, zone)
    times = []
    for _ in range(count):
        instant = schedule.next_after(instant)
        times.append(instant)
    return times


def changes(zone: str) -> list[datetime]:
    """Return, by the hour, when a zone's clock was changed in the years 2005 to 2026."""
    hours = [datetime(2005, 1, 1, tzinfo=UTC) + timedelta(hours=12 * number) for number in range(22 * 730)]
    place = ZoneInfo(zone)
    return [b for a, b in pairwise(hours) if a.astimezone(place).utcoffset() != b.astimezone(place).utcoffset()]


@given(nightly, st.sampled_from(NIGHTS), st.integers(-3000, 3000))
@settings(max_examples=300)
def test_both_name_the_same_next_times_around_a_night_when_the_clock_changes(expression, night, minutes):
    zone, date = night
    start = datetime.fromisoformat(date).replace(hour=3, tzinfo=UTC) + timedelta(minutes=minutes)

    assert next_times(admin_cron.parse(expression, zone), start, 30) == theirs(expression, zone, start, 30)


@pytest.mark.parametrize("zone", [*ZONES, "America/Sao_Paulo", "Africa/El_Aaiun", "Asia/Tehran", "Europe/London"])
@pytest.mark.parametrize("expression", ["30 2 * * *", "*/20 * * * *", "0 0 * * *", "15 1,3 * * 0", "0 */3 1-7 * mon"])
def test_both_name_the_same_next_times_at_every_change_of_a_zone(zone, expression):
    for change in changes(zone):
        start = change - timedelta(hours=30)

        assert next_times(admin_cron.parse(expression, zone), start, 12) == theirs(expression, zone, start, 12)


instants = st.timedeltas(timedelta(), timedelta(days=85 * 365.25)).map(datetime(1975, 1, 1, tzinfo=UTC).__add__)


@given(expressions, st.sampled_from(ZONES), instants)
def test_both_name_the_same_next_times_anywhere(expression, zone, start):

    assert next_times(admin_cron.parse(expression, zone), start, 3) == theirs(expression, zone, start, 3)


# Requests


@given(
    st.sampled_from(("run", "cancel")),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    st.text("ab-_01", min_size=1, max_size=20).map("r{}".format),
)
def test_whatever_request_the_admin_drops_the_scheduler_reads(action, who, run_id):
    with tempfile.TemporaryDirectory() as directory:
        run = run_id if action == "cancel" else None
        now = datetime.now(UTC)
        request = Requests(Path(directory)).drop(action, "job", requested_by=who, now=now, run_id=run)
        (file,) = (Path(directory) / "triggers").iterdir()
        document = sidecar_requests.parse(file.read_bytes())

    assert (document.action, document.job_name, document.request_id) == (action, "job", request.request_id)
    assert document.run_id == run
    assert (document.requested_by is None) == (who == "")


# Log lines


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("event/valid/*.json")), ids=lambda path: path.stem)
def test_every_line_of_the_contract_is_read(path):
    document = json.loads(path.read_text())

    assert entries.parse(json.dumps(document).encode()) == document


def test_every_event_and_every_field_that_is_relied_on_is_in_the_contract():
    assert sorted(entries.FIELDS) == sorted(EVENTS["properties"]["event"]["enum"])
    for event, relied_on in entries.FIELDS.items():
        assert set(relied_on) <= set(EVENTS["$defs"][event].get("required", ())), event


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JobManagementService, Daemon]]:
    """Give a service and a scheduler that has a story behind it: all kinds of ends, a bad file, a refused request."""
    root = tmp_path_factory.mktemp("live")
    with Daemon(root) as daemon:
        service = JobManagementService(daemon.jobs, daemon.logs, data_directory=root / "data")
        service.start()
        make(service, "good", "echo out; echo err >&2")
        make(service, "bad", "echo first >&2; echo 'ValueError: 12,90' >&2; exit 3")
        make(service, "slow", "exec sleep 60")
        make(service, "late", "exec sleep 60", timeout_seconds=0.1, kill_grace_seconds=0.1)
        make(service, "loud", "head -c 100000 /dev/zero | tr '\\0' x; printf '\\377'")
        make(service, "again", "exit 1", retries={"max_attempts": 2, "initial_delay_seconds": 3600})
        (daemon.jobs / "broken.json").write_text("{")
        service.pause()
        for name in ("good", "bad", "late", "loud", "again"):
            service.trigger_job(name, requested_by="anna", timeout=20)
        yield service, daemon
        service.stop()


def make(service: JobManagementService, name: str, command: str, **more: Any) -> None:
    service.create_job(JobConfig(name, "0 0 1 1 *", command, "/", True, **more))


def test_whatever_the_scheduler_logs_the_admin_reads(live):
    service, daemon = live
    completed = daemon.lines("job_complete")

    for line in completed:
        result = service.get_result(line["run_id"])
        assert result is not None
        ours = {field.name: getattr(result, field.name) for field in fields(result)}
        shared = {name: value for name, value in ours.items() if name in line and not isinstance(value, datetime)}
        assert shared.items() <= line.items()
        assert line in service.get_job_logs(line["job_name"])
    assert len(completed) == 5
    assert service.history.skipped_lines == 0
    assert {line["status"] for line in completed} == {"success", "failure", "timeout"}


def test_the_overview_shows_what_became_of_the_real_runs(live):
    service, _ = live
    service.history.wait_for(lambda: service.overview().scheduler.config_errors or None, 5)
    seen = service.overview()

    assert {row.job_name: row.cause for row, _ in seen.failed}["bad"] == "ValueError: 12,90"
    assert [(row.job_name, row.trigger, row.run_id) for row in seen.queued] == [
        ("again", "retry", f"{seen.queued[0].run_id}")
    ]
    assert seen.scheduler.status == "alive"
    assert [each.file for each in seen.scheduler.config_errors] == ["broken.json"]
    assert [each.file for each in seen.invalid_files] == ["broken.json"]
    assert all(seen.loaded.values())


def test_output_that_the_journal_holds_in_part_is_read_whole_from_its_file(live):
    service, _ = live
    (run,) = service.get_job_history("loud")

    with service.open_output(run.run_id, "stdout") as output:
        data = b"".join(output.chunks())
    assert run.truncated
    assert data == b"x" * 100_000 + b"\xff"


def test_a_running_job_is_watched_and_cancelled(live):
    service, _ = live
    run_id = service.request_run("slow")
    with pytest.raises(TriggerPending):
        service.wait_for_result(run_id, timeout=0.2)
    service.history.wait_for(lambda: service.overview().running or None, 5)
    with pytest.raises(RequestRejected) as refused:
        service.trigger_job("slow")
    service.cancel_run(run_id, requested_by="anna")

    assert refused.value.reason == "already_running"
    assert service.wait_for_result(run_id, timeout=10).status == "cancelled"


def test_a_run_can_be_traced_to_the_line_in_the_audit_log_that_asked_for_it(live, tmp_path):
    service, _ = live
    audit = AuditLog(tmp_path)
    request_id = audit.requested(User("anna", frozenset({"admin"}), "203.0.113.9"), "trigger_job", "good")
    run_id = service.trigger_job("good", requested_by="anna", request_id=request_id, timeout=20).run_id
    run = service.get_run(run_id)
    other = service.get_run(service.trigger_job("good", requested_by="anna", timeout=20).run_id)

    assert run.request_id == request_id
    assert audit.confirmed_by(run.request_id, run.requested_by, job_name=run.job_name)
    assert other.requested_by == "anna"
    assert not audit.confirmed_by(other.request_id, other.requested_by, job_name=other.job_name)


def test_the_scheduler_remembers_answered_requests_whose_files_are_cleared(live):
    service, daemon = live
    before = len(daemon.lines("trigger_accepted"))
    service.trigger_job("good", timeout=20)
    service.clear_requests()

    assert os.listdir(daemon.triggers) == []
    assert len(daemon.lines("trigger_accepted")) == before + 1


def test_history_survives_rotation_and_a_restart_of_both(tmp_path):
    with Daemon(tmp_path, SCHEDULER_LOG_MAX_BYTES="4096", SCHEDULER_LOG_BACKUPS="20") as daemon:
        service = JobManagementService(daemon.jobs, daemon.logs, data_directory=tmp_path / "data")
        service.start()
        make(service, "job", "echo x")
        runs = [service.trigger_job("job", timeout=20).run_id for _ in range(10)]
        service.stop()
        daemon.kill()
        daemon.start()
        service = JobManagementService(daemon.jobs, daemon.logs, data_directory=tmp_path / "data")
        service.start()
        runs += [service.trigger_job("job", timeout=20).run_id for _ in range(10)]

        assert len(list(daemon.logs.glob("scheduler_jobs.log.*"))) > 1
        assert [result.run_id for result in service.get_job_history("job")] == runs[::-1]
        service.stop()


def test_the_page_hears_of_a_killed_scheduler_before_its_heartbeat_is_overdue(tmp_path):
    with Daemon(tmp_path) as daemon:
        service = JobManagementService(daemon.jobs, daemon.logs, data_directory=tmp_path / "data")
        service.start()
        wait_for(lambda: service.overview().scheduler.status == "alive", "the page to see the scheduler")
        daemon.kill()
        wait_for(lambda: service.overview().scheduler.status == "silent", "the page to miss it", patience=30)
        daemon.start()
        wait_for(lambda: service.overview().scheduler.status == "alive", "the page to see it again")
        service.stop()
