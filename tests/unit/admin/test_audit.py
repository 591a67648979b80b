"""The audit log: what a line says, that it is on disk, and what happens where it cannot be written."""

import json
import os
import threading
from datetime import UTC, datetime

import pytest

from admin_ui import audit
from admin_ui.audit import Asked, AuditLog
from admin_ui.auth import User
from admin_ui.errors import NotDurable, SchedulerSilent, StorageError

ANNA = User("anna", frozenset({"admin"}), "203.0.113.9")
NOON = datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC)


@pytest.fixture
def log(tmp_path):
    return AuditLog(tmp_path, now=lambda: NOON)


def lines(folder, name="audit.log"):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_a_change_is_two_lines_with_one_id(log, tmp_path):
    line_id = log.requested(ANNA, "create_job", "backup", {"schedule": "0 2 * * *"})
    assert log.outcome(line_id, ANNA, "create_job", "backup", "done", {"file": "backup.json"})

    common = {
        "timestamp": "2026-01-31T12:00:00.000005Z",
        "id": line_id,
        "username": "anna",
        "source": "203.0.113.9",
        "action": "create_job",
        "job_name": "backup",
    }
    assert lines(tmp_path) == [
        common | {"event": "requested", "details": {"schedule": "0 2 * * *"}},
        common | {"event": "outcome", "details": {"file": "backup.json"}, "outcome": "done"},
    ]


def test_who_asked_is_known_also_while_what_is_remembered_begins_anew(log, monkeypatch):
    monkeypatch.setattr(audit, "MOST_REMEMBERED", 1)
    line_id = log.requested(ANNA, "create_job", "backup")

    class AskedForWhileOthersAsk(str):
        def __hash__(self) -> int:
            log.requested(ANNA, "create_job", "other")
            return super().__hash__()

    assert log.who_asked(AskedForWhileOthersAsk(line_id)) == Asked("anna", "create_job", "backup")


def test_a_refusal_is_one_line_also_of_nobody(log, tmp_path):
    assert log.refused(ANNA, "GET /", "anna lacks the role admin", "203.0.113.9")
    assert log.refused(None, "sign_in", "Wrong password.", "198.51.100.4")

    known, nobody = lines(tmp_path)
    assert (known["event"], known["username"], known["why"]) == ("refused", "anna", "anna lacks the role admin")
    assert (nobody["username"], nobody["source"]) == (None, "198.51.100.4")


def test_a_view_and_an_event_are_one_line_each(log, tmp_path):
    assert log.viewed(ANNA, "view_jobs", None, {"count": 3})
    assert log.log_event("anna", "view_jobs", {"count": 3})

    assert [(line["event"], line["username"], line["details"]) for line in lines(tmp_path)] == [
        ("viewed", "anna", {"count": 3}),
        ("event", "anna", {"count": 3}),
    ]


def test_requested_is_on_disk_before_it_returns(log, tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))

    log.requested(ANNA, "delete_job", "backup")

    assert synced == [str(tmp_path / "audit.log"), str(tmp_path)]


def failing(call, *arguments):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "write", "open"])
def test_requested_that_cannot_be_written_raises_and_leaves_no_line(log, tmp_path, monkeypatch, call):
    log.viewed(ANNA, "view_jobs", None)
    before = (tmp_path / "audit.log").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(StorageError, match="No space left"):
            log.requested(ANNA, "delete_job", "backup")

    assert (tmp_path / "audit.log").read_bytes() == before


def test_half_a_line_is_cut_back_when_the_disk_fills_up(log, tmp_path, monkeypatch):
    log.viewed(ANNA, "view_jobs", None)
    before = (tmp_path / "audit.log").read_bytes()
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(audit, "write_all", lambda descriptor, data: failing(write(descriptor, data[:10])))
        assert not log.viewed(ANNA, "view_jobs", None)

    assert (tmp_path / "audit.log").read_bytes() == before


def test_a_view_still_works_where_the_log_cannot_be_written_and_goes_to_the_service_log(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    log = AuditLog(tmp_path / "file" / "audit")

    assert not log.viewed(ANNA, "view_jobs", None)
    assert not log.refused(ANNA, "GET /", "no", "")
    assert "view_jobs" in caplog.text


def test_a_link_in_the_log_s_place_is_not_followed(log, tmp_path):
    (tmp_path / "audit.log").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StorageError):
        log.requested(ANNA, "delete_job", "backup")

    assert not (tmp_path / "elsewhere").exists()


def test_a_line_that_a_crash_cut_short_does_not_spoil_the_next(log, tmp_path):
    (tmp_path / "audit.log").write_text('{"id": "cut sho')

    log.viewed(ANNA, "view_jobs", None)

    assert json.loads((tmp_path / "audit.log").read_text().splitlines()[1])["action"] == "view_jobs"


@pytest.mark.parametrize(
    "hostile", ["a\nb", 'x", "username": "root', "\u2028\u202e", "\ud800", "</script>", "\0", "é" * 3]
)
def test_hostile_text_stays_in_its_field_of_its_line(log, tmp_path, hostile):
    user = User(hostile, frozenset(), hostile)
    log.refused(user, hostile, hostile, hostile, {hostile: hostile})

    text = (tmp_path / "audit.log").read_text()
    assert text.isascii() and text.count("\n") == 1
    assert json.loads(text)["username"] == json.loads(text)["why"] == hostile


def test_details_may_hold_what_json_does_not_know(log, tmp_path):
    log.requested(ANNA, "create_job", "backup", {"at": NOON, "path": tmp_path})

    assert lines(tmp_path)[0]["details"]["path"] == str(tmp_path)


def test_full_files_are_rotated_and_only_so_many_kept(tmp_path):
    log = AuditLog(tmp_path, max_bytes=600, backups=2)
    for number in range(12):
        log.requested(ANNA, "create_job", f"job{number}")

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["audit.log", "audit.log.1", "audit.log.2"]
    kept = [line["job_name"] for name in reversed(names) for line in lines(tmp_path, name)]
    assert kept == [f"job{number}" for number in range(12 - len(kept), 12)]
    assert all((tmp_path / name).stat().st_size <= 600 for name in names)


def test_a_rotation_that_fails_does_not_cost_a_line(tmp_path, monkeypatch):
    log = AuditLog(tmp_path, max_bytes=200)
    monkeypatch.setattr(os, "replace", failing)
    for number in range(3):
        log.requested(ANNA, "create_job", f"job{number}")

    assert len(lines(tmp_path)) == 3


def test_lines_of_many_threads_stay_whole(tmp_path):
    log = AuditLog(tmp_path, max_bytes=20_000, backups=50)

    def many(name: str) -> None:
        for _ in range(50):
            log.viewed(User(name, frozenset(), ""), "view_jobs", None, {"text": "x" * 500})

    threads = [threading.Thread(target=many, args=(f"user{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(len(lines(tmp_path, path.name)) for path in tmp_path.iterdir()) == 200


def test_change_notes_what_came_of_it(log, tmp_path):
    with log.change(ANNA, "create_job", "backup") as line_id:
        pass
    with pytest.raises(KeyError), log.change(ANNA, "delete_job", "backup"):
        raise KeyError("backup")

    done, failed = [line for line in lines(tmp_path) if line["event"] == "outcome"]
    assert (done["id"], done["outcome"]) == (line_id, "done")
    assert (failed["outcome"], failed["details"]["error"]) == ("failed", "KeyError")


def test_the_schedulers_silence_is_no_failure(log, tmp_path):
    with pytest.raises(SchedulerSilent), log.change(ANNA, "cancel_run", "backup"):
        raise SchedulerSilent("no answer yet")

    assert lines(tmp_path)[-1]["outcome"] == "unanswered"


def test_a_change_that_may_not_last_is_done(log, tmp_path):
    with pytest.raises(NotDurable), log.change(ANNA, "pause", None):
        raise NotDurable("jobs", "Input/output error")

    outcome = lines(tmp_path)[-1]
    assert (outcome["outcome"], outcome["details"]["error"]) == ("done", "NotDurable")


@pytest.mark.usefixtures("folders_cannot_be_synced")
def test_the_first_line_is_not_there_if_its_file_may_not_last(log, tmp_path):
    with pytest.raises(StorageError, match="Input/output error"):
        log.requested(ANNA, "delete_job", "backup")

    assert lines(tmp_path) == []


def test_change_does_not_begin_where_it_cannot_be_noted(tmp_path):
    (tmp_path / "audit").write_text("")
    begun = []

    with pytest.raises(StorageError), AuditLog(tmp_path / "audit").change(ANNA, "delete_job", "backup"):
        begun.append(True)

    assert begun == []


def test_who_asked_is_known_from_the_requested_line_also_in_a_rotated_file(tmp_path):
    log = AuditLog(tmp_path, max_bytes=400)
    line_id = log.requested(ANNA, "trigger_job", "backup", {"id": "x"})
    for _ in range(3):
        log.requested(ANNA, "trigger_job", "other")

    assert (tmp_path / "audit.log.1").exists()
    assert AuditLog(tmp_path).who_asked(line_id) == Asked("anna", "trigger_job", "backup")


def test_who_asked_is_not_looked_for_again_once_it_was_not_found(log, tmp_path, monkeypatch):
    unknown = "11111111-1111-1111-1111-111111111111"
    line_id = log.requested(ANNA, "trigger_job", "backup")
    assert log.who_asked(unknown) is None
    monkeypatch.setattr(audit, "_opened", failing)

    assert log.who_asked(unknown) is None
    assert log.who_asked(line_id) == Asked("anna", "trigger_job", "backup")


def test_what_is_remembered_of_who_asked_is_bounded(log, tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "MOST_REMEMBERED", 2)
    ids = [log.requested(ANNA, "trigger_job", f"job{number}") for number in range(5)]

    assert [log.who_asked(each) for each in ids] == [
        Asked("anna", "trigger_job", f"job{number}") for number in range(5)
    ]
    (tmp_path / "audit.log").unlink()
    assert sum(log.who_asked(each) is not None for each in ids) <= 2


def test_a_name_is_confirmed_only_by_a_request_of_that_name_action_and_job(log):
    line_id = log.requested(ANNA, "trigger_job", "backup")
    cancel_id = log.requested(ANNA, "cancel_run", "backup")

    assert log.confirmed_by(line_id, "anna", job_name="backup")
    assert log.confirmed_by(cancel_id, "anna", job_name="backup", action="cancel")
    for request_id, name, job_name in (
        (line_id, "root", "backup"),
        (line_id, "anna", "other"),
        (cancel_id, "anna", "backup"),
        ("11111111-1111-1111-1111-111111111111", "anna", "backup"),
        ("q1", "anna", "backup"),
        (None, "anna", "backup"),
        (line_id, None, "backup"),
    ):
        assert not log.confirmed_by(request_id, name, job_name=job_name)


def test_who_cancelled_is_known_only_from_a_request_to_cancel_that_job(log):
    cancel_id = log.requested(ANNA, "cancel_run", "backup")
    trigger_id = log.requested(ANNA, "trigger_job", "backup")

    assert log.who_cancelled(cancel_id, "backup") == "anna"
    assert log.who_cancelled(cancel_id, "other") is None
    assert log.who_cancelled(trigger_id, "backup") is None
    assert log.who_cancelled("11111111-1111-1111-1111-111111111111", "backup") is None


def test_who_asked_is_not_known_from_anything_but_a_requested_line(log):
    wanted = "11111111-1111-1111-1111-111111111111"
    log.viewed(User(f'"id": "{wanted}"', frozenset(), ""), "view_jobs", None, {"id": wanted, "event": "requested"})
    log.outcome(wanted, ANNA, "trigger_job", "backup", "done")

    assert log.who_asked(wanted) is None
    assert log.who_asked("../../etc/passwd") is None
