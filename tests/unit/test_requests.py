"""Requests: which files ask for something, when they are ready, and how one is told from another."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidecar import files, requests
from sidecar.model import Action, Request
from sidecar.requests import Inbox, drop, parse

JOBS = {"nightly", "backup"}
NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
RUN = {"action": "run", "job_name": "nightly", "request_id": "one"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "triggers"
    path.mkdir()
    return path


@pytest.fixture
def inbox(folder: Path) -> Inbox:
    return Inbox(folder, is_job_name=JOBS.__contains__)


def write(folder: Path, name: str, document: object, *, mtime_ns: int | None = None) -> Path:
    path = folder / name
    path.write_text(json.dumps(document))
    if mtime_ns is not None:
        os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def only(found: list[Request]) -> Request:
    assert len(found) == 1
    return found[0]


def standing(inbox: Inbox) -> list[Request]:
    """Return what is ready once every file has stood long enough."""
    inbox.look(None, 0)
    return inbox.look(None, 10)


# Documents


def test_document_with_a_request_id_is_ready_at_once(inbox: Inbox, folder: Path) -> None:
    document = {**RUN, "requested_by": "anna", "requested_at": "2026-01-31T09:00:00Z"}
    write(folder, "a.json", document, mtime_ns=1_769_850_000_000_000_000)

    request = only(inbox.look(["a.json"], 0))

    assert (request.action, request.job_name, request.request_id) == (Action.RUN, "nightly", "one")
    assert (request.file, request.requested_by, request.problem) == ("a.json", "anna", None)
    assert request.owner_uid == os.getuid()
    assert request.modified_at == datetime(2026, 1, 31, 9, tzinfo=UTC)


def test_cancel_may_name_a_run(inbox: Inbox, folder: Path) -> None:
    write(folder, "a.json", {**RUN, "action": "cancel", "run_id": "20260131T090000-00c0ffee"})

    request = only(inbox.look(None, 0))

    assert (request.action, request.run_id) == (Action.CANCEL, "20260131T090000-00c0ffee")


def test_document_without_a_request_id_is_known_by_file_and_time(inbox: Inbox, folder: Path) -> None:
    write(folder, "a.json", {"action": "run", "job_name": "nightly"}, mtime_ns=1_700_000_000_123_456_789)

    assert only(standing(inbox)).request_id == "a.json@1700000000123456789"


def test_document_without_a_request_id_is_one_request_when_its_time_is_set_after_its_content(
    inbox: Inbox, folder: Path
) -> None:
    path = write(folder, "a.json", {"action": "run", "job_name": "nightly"})
    early = inbox.look(["a.json"], 0)
    os.utime(path, ns=(5_000, 5_000))
    inbox.look(["a.json"], 0.01)

    assert early == []
    assert only(inbox.look((), 0.07)).request_id == "a.json@5000"


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ([], "expected a JSON object, found []"),
        ("run", 'expected a JSON object, found "run"'),
        ({"job_name": "nightly"}, 'action: expected "run" or "cancel", found nothing'),
        ({**RUN, "action": "start"}, 'action: expected "run" or "cancel", found "start"'),
        ({**RUN, "action": ["run"]}, 'action: expected "run" or "cancel", found ["run"]'),
        ({**RUN, "action": None}, 'action: expected "run" or "cancel", found null'),
        ({"action": "run"}, "job_name: expected 1 to 64 characters"),
        ({"action": "cancel", "run_id": "r"}, "job_name: expected 1 to 64 characters"),
        ({**RUN, "job_name": "a/b"}, 'found "a/b"'),
        ({**RUN, "job_name": "a" * 65}, "job_name: expected"),
        ({**RUN, "job_name": "nightly\n"}, "job_name: expected"),
        ({**RUN, "job_name": 7}, "found 7"),
        ({**RUN, "request_id": ""}, "request_id: expected 1 to 128 characters"),
        ({**RUN, "request_id": "x" * 129}, "request_id: expected"),
        ({**RUN, "request_id": "x\u0000y"}, "request_id: expected"),
        ({**RUN, "request_id": None}, "found null"),
        ({**RUN, "request_id": 12}, "found 12"),
        ({**RUN, "requested_by": "x" * 257}, "requested_by: expected 1 to 256 characters"),
        ({**RUN, "requested_by": "admin\u202e"}, "requested_by: expected"),
        ({**RUN, "run_id": "20260131T090000-00c0ffee"}, "run_id: only a cancel names a run"),
        ({**RUN, "action": "cancel", "run_id": "\x1b[2J"}, "run_id: expected 1 to 128"),
        ({**RUN, "requested_at": "yesterday"}, "requested_at: expected a time such as"),
        ({**RUN, "requested_at": 1769850000}, "requested_at: expected 1 to 64 characters"),
        ({**RUN, "jobname": "nightly"}, '"jobname" is an unknown key (known: action, job_name'),
        ({**RUN, "$schema": "x"}, '"$schema" is an unknown key'),
    ],
)
def test_document_is_refused_with_the_field_that_is_wrong(document: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        parse(json.dumps(document).encode())


def test_document_is_refused_with_everything_that_is_wrong_with_it() -> None:
    with pytest.raises(ValueError, match=r"unknown key.*action.*job_name"):
        parse(b'{"action": 1, "job_name": 2, "typo": 3}')


def test_complaint_stays_short_whatever_the_document_holds() -> None:
    with pytest.raises(ValueError, match="job_name") as refusal:
        parse(json.dumps({"action": "run", "job_name": "x" * 60_000}).encode())

    assert len(str(refusal.value)) < 300


def test_complaint_stays_short_however_much_is_wrong() -> None:
    with pytest.raises(ValueError, match="and 4992 more") as refusal:
        parse(json.dumps({f"key{number}": 1 for number in range(5000)}).encode())

    assert len(str(refusal.value)) < 2000


# Touched files


def test_empty_file_named_after_a_job_is_a_run_request_after_50_ms(inbox: Inbox, folder: Path) -> None:
    (folder / "nightly").touch()

    assert inbox.look(["nightly"], 1.0) == []
    assert inbox.due_again() == pytest.approx(1.05)
    request = only(inbox.look((), 1.05))
    assert (request.action, request.job_name, request.problem) == (Action.RUN, "nightly", None)
    assert request.request_id == f"nightly@{(folder / 'nightly').stat().st_mtime_ns}"
    assert inbox.due_again() is None


def test_empty_file_counts_its_50_ms_from_the_last_change(inbox: Inbox, folder: Path) -> None:
    (folder / "nightly").touch()
    inbox.look(None, 0)
    os.utime(folder / "nightly", ns=(7, 7))

    assert inbox.look(["nightly"], 0.04) == []
    assert inbox.look((), 0.06) == []
    assert only(inbox.look((), 0.1)).request_id == "nightly@7"


def test_later_touch_is_a_second_request(inbox: Inbox, folder: Path) -> None:
    path = folder / "nightly"
    path.touch()
    first = only(standing(inbox))
    inbox.answered(first.key)
    os.utime(path, ns=(path.stat().st_mtime_ns + 1, path.stat().st_mtime_ns + 1))
    inbox.look(["nightly"], 11)

    second = only(inbox.look((), 12))

    assert second.key != first.key


def test_empty_file_that_names_no_known_job_waits_for_its_definition(inbox: Inbox, folder: Path) -> None:
    (folder / "brand_new").touch()
    inbox.look(["brand_new"], 0)

    assert inbox.look((), 0.05) == []
    assert inbox.due_again() == pytest.approx(0.5)
    request = only(inbox.look((), 0.5))
    assert (request.action, request.job_name, request.problem) == (Action.RUN, "brand_new", None)


def test_empty_file_is_taken_sooner_once_its_job_is_known(folder: Path) -> None:
    known: set[str] = set()
    inbox = Inbox(folder, is_job_name=known.__contains__)
    (folder / "brand_new").touch()
    inbox.look(None, 0)
    known.add("brand_new")

    assert only(inbox.look(["brand_new"], 0.1)).job_name == "brand_new"


def test_empty_file_is_a_request_even_if_it_may_not_be_read(
    inbox: Inbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "nightly").touch(0o000)
    monkeypatch.setattr(requests, "read_small", None)  # root may read everything: any attempt would fail the test

    assert only(standing(inbox)).problem is None


# Everything else


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def make_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("name", "make", "complaint"),
    [
        ("x.json", Path.mkdir, "found a directory"),
        ("nightly", Path.mkdir, "found a directory"),
        ("x.json", make_fifo, "found a named pipe"),
        ("nightly", make_fifo, "found a named pipe"),
        ("x.json", make_socket, "found a socket"),
        ("nightly", make_socket, "found a socket"),
        ("x.json", lambda path: path.symlink_to("nowhere"), "a link to nothing"),
        ("nightly", lambda path: path.symlink_to("nowhere"), "a link to nothing"),
        ("x.json", make_link_to_itself, "leads back to itself"),
        ("nightly", lambda path: path.symlink_to("/dev/null"), "character device"),
        ("x.json", lambda path: path.write_bytes(b" " * (64 * 1024 + 1)), "at most 65,536 bytes"),
        ("x.json", lambda path: path.write_bytes(b"{"), "ends too early"),
        ("x.json", lambda path: path.write_bytes(b"\xef\xbb\xbf{}"), "byte order mark"),
        ("x.json", lambda path: path.write_bytes(b"[" * 60_000), "levels deep"),
        ("x.json", lambda path: path.write_bytes(b'{"action": "run", "action": "run"}'), "more than once"),
        ("x.json", lambda path: path.write_bytes(b'{"action": NaN}'), "NaN"),
        ("x.json", lambda path: path.write_bytes(b'{"action": "\xff"}'), "is not UTF-8"),
        ("x.json", Path.touch, "the file is empty"),
        ("nightly", lambda path: path.write_text("run"), "must be a JSON document and called NAME.json"),
        ("notes.txt", lambda path: path.write_text("run"), "must be a JSON document and called NAME.json"),
        ("night ly", Path.touch, "no job's name"),
        ("a" * 65, Path.touch, "no job's name"),
        ("nightly\n", Path.touch, "no job's name"),
    ],
)
def test_anything_else_is_a_problem_once_it_stood_500_ms(
    inbox: Inbox, folder: Path, monkeypatch: pytest.MonkeyPatch, name, make, complaint
) -> None:
    monkeypatch.chdir(folder)  # a socket's path may not be long
    make(folder / name)

    early = [inbox.look([name], 0), inbox.look((), 0.45)]
    request = only(inbox.look((), 0.5))

    assert early == [[], []]
    assert complaint in (request.problem or "")
    assert (request.action, request.job_name) == (None, None)
    assert request.request_id == f"{name}@{os.lstat(folder / name).st_mtime_ns}"


def test_file_that_may_not_be_read_is_a_problem(inbox: Inbox, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "x.json", RUN)
    fail(monkeypatch, "open", errno.EACCES)  # by a stand-in, as root may read everything

    assert "may read" in (only(standing(inbox)).problem or "")


def test_file_is_no_problem_while_this_process_has_no_descriptors_left(
    inbox: Inbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "x.json", RUN)
    with monkeypatch.context() as patch:
        fail(patch, "open", errno.EMFILE)
        assert standing(inbox) == []
        assert inbox.due_again() == pytest.approx(10.5)
        assert inbox.present is None

    assert only(inbox.look((), 10.5)).problem is None


def fail(patch: pytest.MonkeyPatch, call: str, number: int) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    patch.setattr(os, call, refuse)


def test_half_written_document_becomes_the_request_that_it_is_in_the_end(inbox: Inbox, folder: Path) -> None:
    (folder / "x.json").write_text('{"action": "run", ')
    inbox.look(["x.json"], 0)
    inbox.look(["x.json"], 0.4)
    write(folder, "x.json", RUN)

    assert only(inbox.look(["x.json"], 0.6)).problem is None


def test_problem_counts_its_500_ms_from_the_last_change(inbox: Inbox, folder: Path) -> None:
    (folder / "x.json").write_text("{")
    inbox.look(["x.json"], 0)
    (folder / "x.json").write_text("{{")

    assert inbox.look(["x.json"], 0.4) == []
    assert inbox.look((), 0.6) == []
    assert len(inbox.look((), 0.9)) == 1


def test_file_that_changes_while_it_is_read_is_looked_at_again(
    inbox: Inbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(folder, "x.json", RUN)

    def read_and_change(*arguments):
        result = files.read_small(*arguments)
        write(folder, "x.json", {**RUN, "request_id": "two and longer"})
        return result

    with monkeypatch.context() as patch:
        patch.setattr(requests, "read_small", read_and_change)
        assert inbox.look([path.name], 0) == []

    assert only(inbox.look((), 0.05)).request_id == "two and longer"


@pytest.mark.parametrize("name", [".hidden.json", ".nightly", "..data", ".gitkeep"])
def test_hidden_names_are_nothing(inbox: Inbox, folder: Path, name: str) -> None:
    write(folder, name, RUN)

    assert standing(inbox) == []
    assert inbox.look([name], 20) == []
    assert inbox.present == set()


def test_file_name_that_is_not_utf_8_is_shown_escaped(inbox: Inbox, folder: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9.json")).write_text("{")

    request = only(standing(inbox))

    assert request.file == "caf\\xe9.json"
    request.request_id.encode()


@pytest.mark.parametrize(("nanoseconds", "year"), [(10**22, 9999), (-(10**22), 1), (4 * 10**18, 2096)])
def test_time_beyond_the_calendar_is_its_end(nanoseconds: int, year: int) -> None:
    assert requests._instant(nanoseconds).year == year


def test_link_to_a_document_counts_by_its_own_time(inbox: Inbox, folder: Path, tmp_path: Path) -> None:
    target = write(tmp_path, "template", {"action": "run", "job_name": "nightly"}, mtime_ns=1_000)
    (folder / "x.json").symlink_to(target)

    request = only(standing(inbox))

    assert request.problem is None
    assert request.request_id == f"x.json@{os.lstat(folder / 'x.json').st_mtime_ns}"


# Answered, changed, removed


def test_request_is_returned_again_until_it_is_answered(inbox: Inbox, folder: Path) -> None:
    write(folder, "a.json", RUN)
    first = only(inbox.look(["a.json"], 0))
    again = only(inbox.look((), 1))
    inbox.answered(first.key)

    assert again == first
    assert inbox.look(["a.json"], 2) == []
    assert inbox.look(None, 3) == []


def test_answered_request_stays_answered_when_its_file_is_touched_or_copied(inbox: Inbox, folder: Path) -> None:
    path = write(folder, "a.json", RUN)
    inbox.answered(only(inbox.look(None, 0)).key)
    os.utime(path)
    write(folder, "b.json", RUN)

    assert inbox.look(None, 1) == []


def test_equal_requests_are_returned_once_the_oldest_first(inbox: Inbox, folder: Path) -> None:
    write(folder, "young.json", RUN, mtime_ns=2_000)
    write(folder, "old.json", RUN, mtime_ns=1_000)

    assert only(inbox.look(None, 0)).file == "old.json"


def test_same_id_for_another_action_or_job_is_another_request(inbox: Inbox, folder: Path) -> None:
    write(folder, "a.json", RUN)
    write(folder, "b.json", {**RUN, "action": "cancel"})
    write(folder, "c.json", {**RUN, "job_name": "backup"})

    assert len({request.key for request in inbox.look(None, 0)}) == 3


def test_requests_come_oldest_first_then_by_name(inbox: Inbox, folder: Path) -> None:
    for name, mtime in (("b.json", 5), ("a.json", 5), ("z.json", 1), ("c.json", 9)):
        write(folder, name, {**RUN, "request_id": name}, mtime_ns=mtime)

    assert [request.file for request in inbox.look(None, 0)] == ["z.json", "a.json", "b.json", "c.json"]


def test_removed_request_was_never_made(inbox: Inbox, folder: Path) -> None:
    path = write(folder, "a.json", RUN)
    inbox.look(None, 0)
    path.unlink()

    assert inbox.look((), 1) == []


def test_removed_touch_was_never_made(inbox: Inbox, folder: Path) -> None:
    (folder / "nightly").touch()
    inbox.look(None, 0)
    (folder / "nightly").unlink()

    assert inbox.look((), 1) == []
    assert inbox.due_again() is None


def test_overwritten_request_is_what_the_file_holds_now(inbox: Inbox, folder: Path) -> None:
    write(folder, "a.json", RUN)
    inbox.look(None, 0)
    write(folder, "a.json", {**RUN, "request_id": "another"})

    assert only(inbox.look((), 1)).request_id == "another"


def test_overwritten_request_is_not_returned_while_its_new_content_is_unsettled(inbox: Inbox, folder: Path) -> None:
    write(folder, "a.json", RUN)
    inbox.look(None, 0)
    (folder / "a.json").write_text("{")

    assert inbox.look((), 1) == []
    assert only(inbox.look((), 1.5)).problem is not None


# Listings


def test_missing_directory_holds_nothing_and_says_nothing(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "triggers", is_job_name=JOBS.__contains__)

    assert inbox.look(None, 0) == []
    assert inbox.present is None


def test_present_holds_the_keys_of_answered_and_unanswered_files(inbox: Inbox, folder: Path) -> None:
    write(folder, "a.json", RUN)
    write(folder, "b.json", {**RUN, "request_id": "two"})
    (folder / "nightly").touch()
    inbox.answered(inbox.look(None, 0)[0].key)
    inbox.look(None, 1)

    touched = f"run nightly nightly@{(folder / 'nightly').stat().st_mtime_ns}"
    assert inbox.present == {"run nightly one", "run nightly two", touched}


def test_listing_error_forgets_nothing(inbox: Inbox, folder: Path) -> None:
    write(folder, "a.json", RUN)
    request = only(inbox.look(None, 0))
    inbox.answered(request.key)
    folder.rename(folder.with_name("away"))

    gone = inbox.look(None, 1)
    kept = inbox.present
    folder.with_name("away").rename(folder)

    assert gone == []
    assert kept == {request.key}
    assert inbox.look(None, 2) == []


@pytest.mark.parametrize("call", ["open", "lstat"])
def test_listing_that_could_not_judge_a_file_changes_no_presence(
    inbox: Inbox, folder: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    write(folder, "a.json", RUN)
    inbox.look(None, 0)
    write(folder, "b.json", {**RUN, "request_id": "two"})
    with monkeypatch.context() as patch:
        (folder / "a.json").rename(folder / "c.json")
        fail(patch, call, errno.EIO)
        inbox.look(None, 1)
    before = inbox.present
    inbox.look(None, 2)

    assert before == {"run nightly one"}
    assert inbox.present == {"run nightly one", "run nightly two"}


def test_removed_file_leaves_the_presence_with_the_next_listing(inbox: Inbox, folder: Path) -> None:
    write(folder, "a.json", RUN)
    inbox.look(None, 0)
    (folder / "a.json").unlink()
    inbox.look(None, 1)

    assert inbox.present == set()


def test_present_holds_a_file_that_came_after_the_last_listing(inbox: Inbox, folder: Path) -> None:
    inbox.look(None, 0)
    write(folder, "a.json", RUN)
    inbox.look(["a.json", "gone.json"], 1)

    assert inbox.present == {"run nightly one"}


def test_answered_files_are_not_read_again(inbox: Inbox, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        write(folder, f"{number}.json", {**RUN, "request_id": str(number)})
    for request in inbox.look(None, 0):
        inbox.answered(request.key)
    monkeypatch.setattr(requests, "read_small", None)

    assert inbox.look(None, 30) == []
    assert inbox.look([f"{number}.json" for number in range(50)], 31) == []


def test_hinted_look_touches_only_the_hinted_files(inbox: Inbox, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        write(folder, f"{number}.json", {**RUN, "request_id": str(number)})
    for request in inbox.look(None, 0):
        inbox.answered(request.key)
    looked_at: list[str] = []
    look_at_one = Inbox._look_at_one

    def count(self: Inbox, name: str, now: float) -> bool:
        looked_at.append(name)
        return look_at_one(self, name, now)

    monkeypatch.setattr(Inbox, "_look_at_one", count)
    inbox.look(["7.json"], 30)

    assert looked_at == ["7.json"]


# Writing


def test_dropped_request_is_read_back(inbox: Inbox, folder: Path) -> None:
    path = drop(folder, Action.RUN, "nightly", "r-1", "anna", NOW)

    request = only(inbox.look([path.name], 0))

    assert (request.action, request.job_name, request.request_id) == (Action.RUN, "nightly", "r-1")
    assert request.requested_by == "anna"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in folder.iterdir()] == [path.name]


def test_dropped_request_leaves_out_what_is_not_given(folder: Path) -> None:
    path = drop(folder, Action.CANCEL, "nightly", None, None, NOW, run_id="run-7")

    assert json.loads(path.read_text()) == {
        "action": "cancel",
        "job_name": "nightly",
        "run_id": "run-7",
        "requested_at": "2026-01-31T09:00:00.000000Z",
    }


def test_drop_makes_the_triggers_directory(tmp_path: Path) -> None:
    assert drop(tmp_path / "triggers", Action.RUN, "nightly", "r-1", None, NOW).is_file()


def test_drop_does_not_make_a_jobs_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        drop(tmp_path / "jobs" / "triggers", Action.RUN, "nightly", "r-1", None, NOW)


def test_drop_refuses_what_the_reader_would_refuse_and_writes_nothing(folder: Path) -> None:
    with pytest.raises(ValueError, match="job_name: expected"):
        drop(folder, Action.RUN, "../nightly", "r-1", None, NOW)

    assert list(folder.iterdir()) == []
