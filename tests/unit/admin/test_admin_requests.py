"""Request files: dropped whole, removed only when they are the answered ones."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from admin_ui.errors import StorageError, ValidationError
from admin_ui.requests import Request, RequestFile, Requests

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
UUID = "0b5e0f6e-3f4c-4a55-9d0e-7e4b1c2d3f4a"
LATER = datetime(9999, 1, 1, tzinfo=UTC)
"""After every file's time."""


@pytest.fixture
def requests(tmp_path: Path) -> Requests:
    return Requests(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "triggers"


def put(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)


def document(request_id: str | None = "q1", **fields) -> str:
    given = {"action": "run", "job_name": "job", "request_id": request_id, **fields}
    return json.dumps({key: value for key, value in given.items() if value is not None})


def answers(*requests: Request, at: datetime = LATER) -> Callable[[Request], datetime | None]:
    """Return what the journal says if it has answered these requests."""
    return lambda request: at if request in requests else None


def all_of_them(request: Request) -> datetime:
    return LATER


def none_of_them(request: Request) -> None:
    return None


def test_a_dropped_request_is_one_whole_file(requests, folder):
    request = requests.drop("cancel", "job", requested_by="anna", now=NOW, run_id="r1")

    (file,) = folder.iterdir()
    assert file.name == f"job-{request.request_id}.json"
    assert json.loads(file.read_text()) == {
        "request_id": request.request_id,
        "action": "cancel",
        "job_name": "job",
        "run_id": "r1",
        "requested_by": "anna",
        "requested_at": "2026-06-01T12:00:00.000000Z",
    }


@pytest.mark.parametrize(("who", "written"), [("", None), ("a\nb\u202e", "a?b?"), ("x" * 300, "x" * 256)])
def test_the_name_of_who_asks_is_made_fit_to_be_written(requests, folder, who, written):
    requests.drop("run", "job", requested_by=who, now=NOW)

    (file,) = folder.iterdir()
    assert json.loads(file.read_text()).get("requested_by") == written


def test_a_request_may_have_the_id_that_the_audit_log_gave_it(requests, folder):
    request = requests.drop("run", "job", requested_by="", now=NOW, request_id=UUID)

    assert request.request_id == UUID
    assert [file.name for file in folder.iterdir()] == [f"job-{UUID}.json"]


@pytest.mark.parametrize("request_id", ["", "q1", UUID.upper(), UUID + "\n", "../" + UUID, UUID[:-3] + "/../x"])
def test_a_malformed_id_is_refused_and_nothing_is_written(requests, folder, request_id):
    with pytest.raises(ValidationError):
        requests.drop("run", "job", requested_by="", now=NOW, request_id=request_id)

    assert not folder.exists()


def test_a_request_that_cannot_be_written_is_an_error(requests, folder):
    folder.write_text("a file")

    with pytest.raises(StorageError):
        requests.drop("run", "job", requested_by="", now=NOW)


def test_answered_requests_are_removed_and_others_stay(requests, folder):
    put(folder, "a.json", document("q1"))
    put(folder, "b.json", document("q2"))
    put(folder, "c.json", document("q1", job_name="other"))

    assert requests.clear(answers(Request("q1", "run", "job"))) == 1
    assert sorted(os.listdir(folder)) == ["b.json", "c.json"]


@pytest.mark.parametrize(
    ("code", "told"),
    [(errno.EPERM, nullcontext()), (errno.EIO, pytest.raises(StorageError, match="cannot be removed"))],
)
def test_an_answered_request_that_cannot_be_moved_keeps_no_other_one_there(requests, folder, monkeypatch, code, told):
    for name in ("a", "b", "c"):
        put(folder, f"{name}.json", document(name))
    rename = os.rename

    def refuse_one(old: Path, new: Path) -> None:
        if old.name == "b.json":
            raise OSError(code, os.strerror(code))
        rename(old, new)

    monkeypatch.setattr(os, "rename", refuse_one)
    with told:
        assert requests.clear(all_of_them) == 2
    assert os.listdir(folder) == ["b.json"]


def test_a_request_without_an_id_is_known_by_its_name_and_time(requests, folder):
    put(folder, "a.json", document(None))
    os.utime(folder / "a.json", ns=(5, 5))

    assert requests.clear(answers(Request("a.json@6", "run", "job"))) == 0
    assert requests.clear(answers(Request("a.json@5", "run", "job"))) == 1


def test_a_name_that_is_no_utf8_is_known_as_the_scheduler_writes_it(requests, folder):
    name = os.fsdecode(b"\xff.json")
    put(folder, name, document(None))
    os.utime(folder / name, ns=(5, 5))

    assert requests.clear(answers(Request(r"\xff.json@5", "run", "job"))) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("job", ""),
        ("notes.txt", document()),
        (".hidden.json", document()),
        ("broken.json", "{"),
        ("list.json", "[]"),
        ("odd.json", document(job_name=5)),
    ],
)
def test_what_is_no_valid_json_request_is_never_removed(requests, folder, name, text):
    put(folder, name, text)

    assert requests.clear(all_of_them) == 0
    assert os.listdir(folder) == [name]


def test_a_request_that_takes_the_place_of_an_answered_one_in_the_last_moment_stays(requests, folder):
    put(folder, "a.json", document("q1"))

    def answered(request: Request) -> datetime | None:
        if request.request_id == "q1" and (folder / "a.json").exists():
            put(folder, "a.json", document("q2"))  # overwritten right after it was looked at
        return LATER if request.request_id == "q1" else None

    assert requests.clear(answered) == 0
    assert os.listdir(folder) == ["a.json"]
    assert json.loads((folder / "a.json").read_text())["request_id"] == "q2"


@pytest.mark.parametrize(("answered", "left"), [(True, []), (False, ["a.json"])])
def test_a_request_that_a_killed_service_had_moved_aside_is_settled(requests, folder, answered, left):
    put(folder, ".a.json.answered", document("q1"))

    requests.clear(all_of_them if answered else none_of_them)

    assert os.listdir(folder) == left


def test_without_a_folder_there_is_nothing_to_clear_or_to_list(requests):
    assert requests.clear(all_of_them) == 0
    assert requests.unanswered(none_of_them) == []


def test_what_was_not_answered_is_listed_oldest_first_with_who_asked_and_when(requests, folder):
    put(folder, "b.json", document("q1", action="cancel", requested_by="anna"))
    put(folder, "answered.json", document("q2"))
    put(folder, "job", "")
    os.utime(folder / "b.json", (1000, 1000))
    os.utime(folder / "job", (900, 900))

    touched, written = "job@900000000000", "b.json@1000000000000"
    assert requests.unanswered(answers(Request("q2", "run", "job"))) == [
        RequestFile(Request(touched, "run", "job"), "job", None, datetime.fromtimestamp(900, UTC), touched),
        RequestFile(Request("q1", "cancel", "job"), "b.json", "anna", datetime.fromtimestamp(1000, UTC), written),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("notes.txt", ""),
        ("job", "not empty"),
        (".job", ""),
        (".hidden.json", document()),
        ("broken.json", "{"),
        ("odd.json", document(action="sleep")),
        ("odd.json", document(job_name="../x")),
        ("odd.json", document(requested_by=5)),
    ],
)
def test_what_asks_for_nothing_is_not_listed(requests, folder, name, text):
    put(folder, name, text)

    assert requests.unanswered(none_of_them) == []


def test_a_request_in_which_the_scheduler_found_something_wrong_was_answered_and_stays(requests, folder):
    put(folder, "a.json", document("q1", unknown="field"))
    os.utime(folder / "a.json", ns=(5, 5))

    assert requests.unanswered(answers(Request("a.json@6", "", ""))) != []
    assert requests.unanswered(answers(Request("a.json@5", "", ""))) == []
    assert requests.clear(answers(Request("a.json@5", "", ""))) == 0


@pytest.mark.usefixtures("folders_cannot_be_synced")
def test_a_request_that_is_there_was_asked_for_even_if_the_folder_cannot_be_synced(requests):
    """Who was told that nothing was asked for asks again, and the job runs twice."""
    asked = requests.drop("run", "job", requested_by="anna", now=datetime.now(UTC))

    assert [file.request for file in requests.unanswered(none_of_them)] == [asked]


def test_the_same_request_is_not_written_twice(requests, folder):
    request_id = "0f0e0d0c-0b0a-4908-8706-050403020100"
    requests.drop("run", "job", requested_by="anna", now=datetime.now(UTC), request_id=request_id)
    with pytest.raises(StorageError):
        requests.drop("run", "job", requested_by="ben", now=datetime.now(UTC), request_id=request_id)


@pytest.mark.parametrize(("seconds", "waiting"), [(3, []), (86_400, ["a.json"]), (2**33, ["a.json"])])
def test_a_request_that_came_after_an_answer_to_the_same_id_stays(requests, folder, seconds, waiting):
    """The scheduler forgets an id after a time, the index does not: it may be yesterday's answer.

    Of one that came soon after it nothing is said: who asks until there is an answer has it.
    """
    answered_at = datetime.now(UTC)
    put(folder, "a.json", document("q1"))
    os.utime(folder / "a.json", (time.time() + seconds,) * 2)

    known = answers(Request("q1", "run", "job"), at=answered_at)
    assert [file.file for file in requests.unanswered(known)] == waiting
    assert requests.clear(known) == 0
    assert os.listdir(folder) == ["a.json"]


def test_a_request_that_came_after_an_answer_with_an_older_time_stays(requests, folder):
    put(folder, "template.txt", document("q1"))
    os.utime(folder / "template.txt", (1000, 1000))
    os.rename(folder / "template.txt", folder / "a.json")

    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert requests.clear(answers(Request("q1", "run", "job"), at=an_hour_ago)) == 0
    assert os.listdir(folder) == ["a.json"]


def test_a_request_whose_file_is_a_moment_newer_than_its_answer_was_answered(requests, folder):
    put(folder, "a.json", document("q1"))
    known = answers(Request("q1", "run", "job"), at=datetime.now(UTC) - timedelta(milliseconds=200))

    assert requests.unanswered(known) == []
    assert requests.clear(known) == 1


def test_of_a_link_its_own_time_counts(requests, folder):
    put(folder, ".b.json", document(None))
    os.utime(folder / ".b.json", (1000, 1000))
    (folder / "a.json").symlink_to(".b.json")
    os.utime(folder / "a.json", ns=(5, 5), follow_symlinks=False)

    assert [file.file_id for file in requests.unanswered(none_of_them)] == ["a.json@5"]


@pytest.mark.parametrize("seconds", [-(2**33), 2**33])
def test_a_request_is_listed_whatever_time_its_file_has(requests, folder, seconds):
    put(folder, "a.json", document())
    os.utime(folder / "a.json", (seconds, seconds))

    (found,) = requests.unanswered(none_of_them)
    assert found.at.year in (1970, 2242)


def test_a_folder_that_cannot_be_listed_is_an_error(requests, folder):
    folder.write_text("a file")

    with pytest.raises(StorageError):
        requests.unanswered(none_of_them)
