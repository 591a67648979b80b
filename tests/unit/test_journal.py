"""Reading the journal back across files, torn lines and missing checkpoints."""

import json
from datetime import UTC, datetime

import pytest

from sidecar import journal
from sidecar.clock import iso
from sidecar.errors import JournalUnusable
from sidecar.ledger import Ledger

NOON = iso(datetime(2026, 6, 1, 12, tzinfo=UTC))


def start(run_id):
    return {
        "timestamp": NOON,
        "event": "job_start",
        "run_id": run_id,
        "job_name": "job",
        "trigger": "manual",
        "scheduled_time": None,
        "start_time": NOON,
        "attempt": 1,
        "first_run_id": run_id,
        "request_id": None,
        "sha256": "",
    }


def checkpoint(*open_runs):
    ledger = Ledger()
    for run_id in open_runs:
        ledger.apply(start(run_id))
    return {"timestamp": NOON, "event": "checkpoint", **ledger.checkpoint()}


def write(path, *entries, end="\n"):
    path.write_text("\n".join(e if isinstance(e, str) else json.dumps(e) for e in entries) + end)


def open_runs(path):
    return [run.run_id for run in journal.replay(path).open]


@pytest.fixture
def path(tmp_path):
    return tmp_path / journal.JOURNAL


def test_no_journal_is_a_first_start(path):
    assert journal.replay(path).checkpoint() == Ledger().checkpoint()


def test_lines_without_any_checkpoint_are_a_first_start(path):
    write(path, start("r1"))

    assert open_runs(path) == []


def test_replay_goes_from_the_checkpoint_to_the_last_line(path):
    write(path, checkpoint("r1"), start("r2"))

    assert open_runs(path) == ["r1", "r2"]


def test_replay_begins_at_the_newest_checkpoint_of_a_file(path):
    write(path, checkpoint("r1"), start("r2"), checkpoint("r3"), start("r4"))

    assert open_runs(path) == ["r3", "r4"]


def test_replay_reads_back_through_rotated_files_when_the_current_one_lacks_a_checkpoint(path):
    write(path.with_name(path.name + ".2"), checkpoint("r0"))
    write(path.with_name(path.name + ".1"), checkpoint("r1"), start("r2"))
    write(path, start("r3"))

    assert open_runs(path) == ["r1", "r2", "r3"]


def test_replay_reads_the_newest_backup_when_the_current_file_is_missing(path):
    write(path.with_name(path.name + ".1"), checkpoint("r1"))
    write(path.with_name(path.name + ".2"), checkpoint("r0"))

    assert open_runs(path) == ["r1"]


def test_the_tenth_backup_is_older_than_the_ninth(path):
    for number in (2, 10):
        write(path.with_name(f"{path.name}.{number}"), start(f"r{number}"))

    assert [file.suffix for file in journal.files(path)] == [".2", ".10"]


def test_a_torn_checkpoint_does_not_count(path):
    write(path.with_name(path.name + ".1"), checkpoint("r1"))
    write(path, json.dumps(checkpoint("r2"))[:-10], end="")

    assert open_runs(path) == ["r1"]


@pytest.mark.parametrize(
    "torn", ['{"event": "job_start", "run', "", "null", "[1]", "\0\0\0", '{"event": 3}', "[" * 100_000]
)
def test_lines_that_do_not_parse_are_passed_over(path, torn):
    write(path, checkpoint("r1"), torn, start("r2"))

    assert open_runs(path) == ["r1", "r2"]


def test_a_foreign_line_with_a_known_event_does_not_keep_the_scheduler_from_starting(path):
    write(path, checkpoint("r1"), {"event": "job_start", "timestamp": 5}, start("r2"))

    assert open_runs(path) == ["r1", "r2"]


@pytest.mark.parametrize(
    "strange",
    [
        {"run_id": 5},
        {"run_id": None},
        {"run_id": "\ud800"},
        {"job_name": ["job"]},
        {"first_run_id": {}},
        {"request_id": "\ud800"},
        {"request_id": 7},
        {"sha256": 1},
        {"attempt": "2"},
        {"attempt": 2.5},
        {"attempt": True},
        {"attempt": 0},
        {"attempt": 10**400},
    ],
)
def test_a_foreign_line_that_names_no_run_leaves_no_trace(path, strange):
    write(path, checkpoint("r1"), start("r3") | strange, start("r2"))

    assert open_runs(path) == ["r1", "r2"]


def test_a_foreign_line_that_accepts_no_run_leaves_no_trace(path):
    accepted = {"timestamp": NOON, "event": "trigger_accepted", "action": "run", "job_name": "job", "request_id": "q"}
    write(
        path, checkpoint(), accepted | {"run_id": None, "run_ids": []}, accepted | {"run_id": "r1", "run_ids": ["r1"]}
    )

    assert [run.run_id for run in journal.replay(path).pending] == ["r1"]


def test_a_time_beyond_the_calendar_does_not_keep_the_scheduler_from_starting(path):
    strange = start("r3") | {"timestamp": "0001-01-01T00:00:00+05:00"}
    write(path, checkpoint("r1"), strange, start("r2"))

    assert open_runs(path) == ["r1", "r2"]


def test_job_output_that_looks_like_a_checkpoint_is_no_checkpoint(path):
    fake = start("r2") | {"stdout": json.dumps(checkpoint("evil")) + '"event": "checkpoint"'}
    write(path, checkpoint("r1"), fake)

    assert open_runs(path) == ["r1", "r2"]


def test_a_partial_checkpoint_is_no_place_to_begin(path):
    partial = {"timestamp": NOON, "event": "checkpoint", "full": False, "jobs": {}}
    write(path, checkpoint("r1"), partial, start("r2"))

    assert open_runs(path) == ["r1", "r2"]


def test_a_checkpoint_of_a_newer_version_is_an_error_that_says_so(path):
    write(path, checkpoint() | {"version": 99})

    with pytest.raises(JournalUnusable, match="newer"):
        journal.replay(path)


def test_a_journal_that_cannot_be_read_is_an_error_that_names_it(path, monkeypatch):
    write(path, checkpoint())

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(JournalUnusable, match=r"scheduler_jobs\.log: Permission denied"):
        journal.replay(path)
