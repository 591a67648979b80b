"""The command line: what is printed where, and the exit codes. Real files, no scheduler."""

import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sidecar import __version__, health, trigger
from sidecar.cli import main
from sidecar.clock import iso
from sidecar.history import Follower, entries, newest_by_job, oldest
from sidecar.human import clean, clean_output, count, did_you_mean, read_time, show_length, table
from sidecar.journal import JOURNAL, MAIN_LOG

NOW = datetime.now(UTC)
VALID = {"schedule": "0 2 * * *", "command": "true", "working_directory": "/", "enabled": True}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in [*os.environ]:
        if name == "TZ" or name.startswith("SCHEDULER_"):
            monkeypatch.delenv(name)


@pytest.fixture
def jobs(tmp_path):
    (tmp_path / "jobs/triggers").mkdir(parents=True)
    return tmp_path / "jobs"


@pytest.fixture
def logs(tmp_path):
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


@pytest.fixture
def sidecar(jobs, logs, capsysbinary):
    """Return a function that runs a command line on the temporary directories: (exit code, stdout, stderr)."""
    takes = {"validate": (jobs, None), "next": (jobs, None), "health": (None, logs)}

    def run(verb, *arguments):
        jobs_dir, logs_dir = takes.get(verb, (jobs, logs))
        flags = ["--jobs", str(jobs_dir)] if jobs_dir else []
        flags += ["--logs", str(logs_dir)] if logs_dir else []
        code = main([verb, *flags, *map(str, arguments)])
        out, err = (stream.decode("utf-8", "backslashreplace") for stream in capsysbinary.readouterr())
        return code, out, err

    return run


def put(jobs, name, file=None, **fields):
    path = jobs / (file or f"{name}.json")
    path.write_text(json.dumps({"name": name, **VALID, **fields}))
    return path


def line(event, when=NOW, **fields):
    return json.dumps({"timestamp": iso(when), "level": "info", "component": "x", "event": event, **fields}) + "\n"


def complete(job_name, when=NOW, **fields):
    values = {"run_id": "r1", "status": "success", "exit_code": 0, "end_time": iso(when), "duration_seconds": 1.5}
    return line("job_complete", when, job_name=job_name, **{**values, **fields})


def beat(logs):
    (logs / JOURNAL).touch()
    health.beat(logs, works=True)


# Usage


@pytest.mark.parametrize(
    "arguments",
    [[], ["explode"], ["next"], ["next", "job", "-n", "0"], ["next", "job", "-n", "x"], ["health", "extra"]],
)
def test_wrong_usage_exits_with_2_and_says_what_is_right(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)

    assert exit_.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_version_is_printed(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])

    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"sidecar {__version__}\n"


def test_help_names_every_verb(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out

    assert all(verb in out for verb in ("start", "validate", "list", "next", "why", "trigger", "health"))


def test_a_bad_setting_is_wrong_usage_and_named(monkeypatch, capsys):
    monkeypatch.setenv("SCHEDULER_LOG_BACKUPS", "many")

    assert main(["health"]) == 2
    assert "SCHEDULER_LOG_BACKUPS" in capsys.readouterr().err


def test_directories_come_from_the_environment_unless_a_flag_names_them(jobs, tmp_path, monkeypatch, capsys):
    put(jobs, "job")
    monkeypatch.setenv("SCHEDULER_JOBS_DIR", str(tmp_path / "elsewhere"))

    assert main(["validate"]) == 1
    assert main(["validate", "--jobs", str(jobs)]) == 0
    assert "elsewhere" in capsys.readouterr().err


def test_start_serves_with_the_settings_and_returns_the_exit_code(monkeypatch):
    called = []

    def serve(settings, *, standby):
        called.append((settings.jobs_dir, settings.logs_dir, standby))
        return 75

    monkeypatch.setattr("sidecar.daemon.serve", serve)

    assert main(["start", "--jobs", "a", "--logs", "b", "--standby"]) == 75
    assert called == [(Path("a"), Path("b"), True)]


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "sidecar", "--version"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"sidecar {__version__}\n", "")


def test_a_reader_that_goes_away_is_no_traceback(jobs, logs):
    for number in range(400):
        put(jobs, f"job{number}", description="x")
    command = f"{sys.executable} -m sidecar list --jobs {jobs} --logs {logs} | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)

    assert done.stdout.startswith("JOB ")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("closed", "arguments", "code"),
    [
        ("<&- >&- 2>&-", ["list"], 0),
        ("<&- >&- 2>&-", ["health"], 1),
        (">&-", ["--help"], 0),
        ("2>&-", ["next", "nobody"], 1),
        ("2>&-", ["magic"], 2),
    ],
)
def test_a_verb_does_its_work_without_standard_streams(closed, arguments, code, jobs, logs):
    command = f"{sys.executable} -m sidecar {' '.join(arguments)} {closed}"
    done = subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SCHEDULER_JOBS_DIR": str(jobs), "SCHEDULER_LOGS_DIR": str(logs)},
    )

    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


@pytest.mark.parametrize("verb", ["health", "validate", "next"])
def test_light_verbs_import_nothing_heavy(verb, jobs):
    put(jobs, "job")
    arguments = {"health": [verb], "validate": [verb, str(jobs)], "next": [verb, "--jobs", str(jobs), "job"]}[verb]
    code = (
        "import sys; from sidecar.cli import main; main(sys.argv[1:]);"
        "print([m for m in ('structlog', 'watchdog', 'asyncio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)

    assert done.stdout.endswith("[]\n"), done.stderr


# validate


def test_validate_is_content_with_valid_files(sidecar, jobs):
    put(jobs, "one")
    put(jobs, "two")

    assert sidecar("validate") == (0, "2 job files, no problems\n", "")


def test_validate_tells_every_problem_of_every_file_by_field(sidecar, jobs):
    put(jobs, "good")
    put(jobs, "backup", schedule="0 2 * *", enabled="yes", tiemout_seconds=5)
    put(jobs, "other", command="")
    code, out, _ = sidecar("validate")
    starts = sorted(": ".join(each.split(": ")[:2]) for each in out.splitlines())

    assert code == 1
    assert starts == [
        "backup.json: enabled",
        "backup.json: schedule",
        "backup.json: tiemout_seconds",
        "other.json: command",
    ]
    assert "found 4" in out
    assert "did you mean timeout_seconds?" in out


def test_validate_finds_two_files_with_one_name(sidecar, jobs):
    put(jobs, "same", "a.json")
    put(jobs, "same", "b.json")
    code, out, _ = sidecar("validate")

    assert code == 1
    assert out.startswith("b.json: name: ")
    assert "a.json" in out


def test_validate_takes_one_name_in_two_folders_as_two_jobs(sidecar, jobs, tmp_path):
    (tmp_path / "other").mkdir()

    assert sidecar("validate", put(jobs, "same"), put(tmp_path / "other", "same"))[0] == 0


def test_validate_names_a_missing_path(sidecar, tmp_path):
    code, out, err = sidecar("validate", tmp_path / "nowhere.json")

    assert code == 1
    assert "nowhere.json" in out + err


def test_validate_names_a_missing_jobs_directory(tmp_path, capsys):
    assert main(["validate", "--jobs", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_validate_calls_files_as_the_caller_did(sidecar, jobs, tmp_path):
    path = put(jobs, "job", enabled=1)
    (tmp_path / "other").mkdir()

    assert sidecar("validate", path)[1].startswith(f"{path}: enabled")
    assert sidecar("validate", jobs, tmp_path / "other")[1].startswith(f"{path}: enabled")


def test_validate_says_that_a_file_will_not_be_read_for_its_name(sidecar, jobs):
    code, out, _ = sidecar("validate", put(jobs, "job", "job.json.new"))

    assert code == 0
    assert "only files called NAME.json" in out


def test_validate_escapes_what_a_hostile_file_name_holds(sidecar, jobs):
    put(jobs, "job", "a\x1b[31m\n.json", enabled=1)
    _, out, _ = sidecar("validate")

    assert out.startswith(r"a\x1b[31m\n.json: enabled")


def test_validate_json_holds_the_same_as_data(sidecar, jobs):
    put(jobs, "good")
    put(jobs, "bad", enabled="yes")
    code, out, _ = sidecar("validate", "--json")

    assert code == 1
    assert json.loads(out) == {
        "valid": False,
        "files": [
            {
                "file": "bad.json",
                "valid": False,
                "job_name": "bad",
                "problems": [{"field": "enabled", "found": "'yes'", "wanted": "expected true or false"}],
            },
            {"file": "good.json", "valid": True, "job_name": "good", "problems": []},
        ],
    }


def test_validate_json_names_the_job_of_an_invalid_file_where_a_job_can_be_called_so(sidecar, jobs):
    put(jobs, "same", "a.json")
    put(jobs, "same", "b.json")
    put(jobs, "same", "0.json", enabled=1)
    put(jobs, "no name", "c.json")
    (jobs / "d.json").write_text(json.dumps({"name": ["listed"]}))
    (jobs / "e.json").write_text("{")
    files = json.loads(sidecar("validate", "--json")[1])["files"]

    assert {each["file"]: (each["job_name"], each["valid"]) for each in files} == {
        "0.json": ("same", False),
        "a.json": ("same", True),
        "b.json": ("same", False),
        "c.json": (None, False),
        "d.json": (None, False),
        "e.json": (None, False),
    }


# list


def test_list_shows_each_job_with_its_next_run_and_last_result(sidecar, jobs, logs):
    put(jobs, "nightly", timezone="Europe/Berlin")
    put(jobs, "off", enabled=False)
    when = datetime(2026, 6, 1, 0, 0, 9, tzinfo=UTC)
    (logs / JOURNAL).write_text(complete("nightly", when, status="failure", exit_code=3))
    code, out, _ = sidecar("list")
    rows = out.splitlines()

    assert code == 0
    assert re.match(r"JOB +SCHEDULE +ENABLED +NEXT RUN +LAST RESULT", rows[0])
    assert re.search(r"^nightly +0 2 \* \* \* +yes +\S+ 02:00 \+0[12]:00 \(Europe/Berlin\) +failure", rows[1])
    assert rows[1].endswith("failure (exit code 3) 2026-06-01 02:00 +02:00")
    assert re.search(r"^off +0 2 \* \* \* +no +- +-$", rows[2])


def test_list_marks_invalid_files_and_goes_on(sidecar, jobs):
    put(jobs, "good")
    put(jobs, "bad", enabled="yes", command="")
    code, out, _ = sidecar("list")

    assert code == 0
    assert re.search(r"^INVALID bad\.json: .* \(and 1 more problem\)$", out, re.MULTILINE)
    assert "good" in out


def test_list_says_that_no_scheduler_gives_a_sign_of_life(sidecar):
    assert "SILENT SCHEDULER: no heartbeat" in sidecar("list")[1]


def test_list_says_that_starts_are_paused(sidecar, jobs):
    (jobs / "PAUSE").touch()

    assert "PAUSED: " in sidecar("list")[1]


def test_list_says_that_the_scheduler_is_stopping(sidecar, jobs, logs):
    put(jobs, "good")
    beat(logs)
    main = line("scheduler_started") + line("scheduler_stopping", reason="received SIGTERM")
    (logs / MAIN_LOG).write_text(main)

    assert re.search(r"^STOPPING: since .* \(received SIGTERM\)$", sidecar("list")[1], re.MULTILINE)
    assert (
        json.loads(sidecar("list", "--json")[1])["scheduler_stopping"] == json.loads(main.splitlines()[1])["timestamp"]
    )
    (logs / MAIN_LOG).write_text(main + line("scheduler_stopped", reason="received SIGTERM"))
    assert "STOPPING" not in sidecar("list")[1]


def test_list_says_that_an_invalid_file_has_its_last_good_version_in_force(sidecar, jobs, logs):
    put(jobs, "bad", enabled="yes")
    beat(logs)
    (logs / MAIN_LOG).write_text(line("scheduler_started") + line("config_error", file="bad.json", kept_last_good=True))
    in_force = "; the last good version stays in force"

    assert in_force in sidecar("list")[1]
    with (logs / MAIN_LOG).open("a") as main:
        main.write(line("scheduler_started"))
    assert in_force not in sidecar("list")[1]


def test_list_says_that_the_file_of_a_row_is_not_the_one_in_force(sidecar, jobs, logs):
    put(jobs, "job", "a.json", enabled="yes")
    put(jobs, "job", "b.json")
    beat(logs)
    error = line("config_error", file="a.json", job_name="job", kept_last_good=True)
    (logs / MAIN_LOG).write_text(line("scheduler_started") + error)

    assert "; the last good version stays in force, not b.json" in sidecar("list")[1]


def test_list_shows_a_run_that_is_going_and_calls_it_unfinished_without_a_scheduler(sidecar, jobs, logs):
    put(jobs, "job")
    empty: dict[str, object] = {"open": [], "pending": [], "retries": [], "cancelled": [], "answers": {}, "jobs": {}}
    run = {"run_id": "r2", "trigger": "manual", "scheduled_time": None, "attempt": 1, "first_run_id": "r2"}
    started = line("job_start", job_name="job", start_time=iso(NOW), request_id=None, sha256="x", **run)
    (logs / JOURNAL).write_text(line("checkpoint", full=True, version=1, **empty) + started)
    without = sidecar("list")[1]
    beat(logs)

    assert "unfinished" in without
    assert "running" in sidecar("list")[1]


def test_list_takes_the_last_result_from_rotated_files_too(sidecar, jobs, logs):
    put(jobs, "a")
    put(jobs, "b")
    (logs / f"{JOURNAL}.2").write_text(complete("a", status="timeout"))
    (logs / f"{JOURNAL}.1").write_text(complete("a", status="failure") + complete("b", status="cancelled"))
    (logs / JOURNAL).write_text(complete("b"))
    rows = {row.split()[0]: row for row in sidecar("list")[1].splitlines()}

    assert "failure" in rows["a"]
    assert "success" in rows["b"]


def test_list_json_holds_the_same_as_data(sidecar, jobs, logs):
    put(jobs, "job")
    put(jobs, "bad", enabled="yes")
    (logs / JOURNAL).write_text(complete("job"))
    document = json.loads(sidecar("list", "--json")[1])
    job = document["jobs"][0]

    assert (job["job_name"], job["file"], job["timezone"], job["enabled"]) == ("job", "job.json", "UTC", True)
    assert job["next_run_at"].endswith("T02:00:00.000000Z")
    assert job["last_run"]["status"] == "success"
    assert [file["file"] for file in document["invalid_files"]] == ["bad.json"]
    assert document["paused"] is False
    assert "no heartbeat" in document["scheduler_silent"]


def test_list_shows_a_start_that_still_waits_for_its_jitter(jobs, logs, sidecar):
    put(jobs, "job", schedule="0 0 1 1 *", jitter_seconds=10**9)
    job = json.loads(sidecar("list", "--json")[1])["jobs"][0]

    assert job["next_scheduled_time"] < job["next_run_at"]
    assert job["next_run_at"] > iso(NOW)


# next


def test_next_prints_times_in_the_jobs_zone_and_in_utc(sidecar, jobs):
    put(jobs, "job", timezone="Europe/Berlin")
    code, out, _ = sidecar("next", "job", "-n", "2", "--after", "2026-03-28T12:00")

    assert code == 0
    assert out.splitlines() == [
        "2026-03-29 03:00 +02:00 (Europe/Berlin)  2026-03-29 01:00 UTC",
        "2026-03-30 02:00 +02:00 (Europe/Berlin)  2026-03-30 00:00 UTC",
    ]


def test_next_prints_five_times_from_now(sidecar, jobs):
    put(jobs, "job")

    assert len(sidecar("next", "job")[1].splitlines()) == 5


def test_next_json_holds_the_same_as_data(sidecar, jobs):
    put(jobs, "job", timezone="Europe/Berlin", enabled=False)
    document = json.loads(sidecar("next", "job", "-n", "1", "--after", "2026-06-01T12:00:00Z", "--json")[1])

    assert document == {
        "job_name": "job",
        "schedule": "0 2 * * *",
        "timezone": "Europe/Berlin",
        "enabled": False,
        "jitter_seconds": 0,
        "times": [{"scheduled_time": "2026-06-02T00:00:00.000000Z", "local_time": "2026-06-02T02:00:00+02:00"}],
    }


def test_next_says_that_a_job_is_disabled_and_how_far_jitter_goes(sidecar, jobs):
    put(jobs, "job", enabled=False, jitter_seconds=90)
    out = sidecar("next", "job")[1]

    assert "The job is disabled (job.json)" in out
    assert "delayed by up to 90 s" in out


def test_next_says_which_job_was_probably_meant(sidecar, jobs):
    put(jobs, "nightly_backup")

    assert sidecar("next", "nihgtly_backup") == (
        1,
        "",
        "sidecar: no job is called nihgtly_backup; did you mean nightly_backup?\n",
    )


def test_next_says_that_the_jobs_file_is_invalid(sidecar, jobs):
    put(jobs, "job", "other.json", enabled="yes")
    code, _, err = sidecar("next", "job")

    assert code == 1
    assert "other.json: enabled" in err


@pytest.mark.parametrize("verb", [["next", "job", "--after"], ["why", "job"]])
@pytest.mark.parametrize("text", ["0001-01-01T00:00", "0001-01-01T00:00Z", "9999-12-31T23:59Z", "0999-12-31"])
def test_a_time_at_the_ends_of_the_calendar_is_wrong_usage(sidecar, jobs, verb, text):
    put(jobs, "job", timezone="America/New_York")
    code, _, err = sidecar(*verb, text)

    assert code == 2
    assert f"expected a time of the years 1000 to 9900, found '{text}'" in err


@pytest.mark.parametrize("text", ["1000-01-01", "9900-12-31T23:59"])
def test_a_time_long_ago_or_far_ahead_has_its_answer(sidecar, jobs, logs, text):
    put(jobs, "job", timezone="America/New_York")
    (logs / JOURNAL).write_text(line("checkpoint", datetime(1000, 1, 2, tzinfo=UTC), full=True, jobs={}))

    assert sidecar("next", "job", "--after", text)[0] == 0
    assert sidecar("why", "job", text)[0] == 0


@pytest.mark.parametrize("text", ["tomorrow", "25:00", "2026-13-01", ""])
def test_a_time_that_cannot_be_read_is_wrong_usage(sidecar, jobs, text):
    put(jobs, "job")
    code, _, err = sidecar("next", "job", "--after", text or " ")

    assert code == 2
    assert "expected a time such as 02:00" in err


# why


def test_why_answers_from_the_journal(sidecar, jobs, logs):
    put(jobs, "job")
    today = NOW.replace(hour=2, minute=0, second=0, microsecond=0)
    scheduled = today if today <= NOW else today - timedelta(days=1)
    run = {"run_id": "r1", "job_name": "job", "trigger": "schedule", "first_run_id": "r1", "attempt": 1}
    started = line("job_start", scheduled, scheduled_time=iso(scheduled), start_time=iso(scheduled), **run)
    (logs / f"{JOURNAL}.1").write_text(started)
    (logs / JOURNAL).write_text("torn li\n" + complete("job", scheduled))
    code, out, _ = sidecar("why", "job")

    assert code == 0
    assert "It ran.\nRun r1 started on time" in out


AT = iso(datetime(2026, 6, 1, 12, tzinfo=UTC))
STRANGE_FIELDS: dict[str, dict[str, Any]] = {
    "job_queued": {"run_id": "s1", "trigger": "schedule", "scheduled_time": AT, "first_run_id": "s1"},
    "job_start": {
        "run_id": "s2",
        "trigger": "schedule",
        "scheduled_time": AT,
        "start_time": AT,
        "attempt": 1,
        "first_run_id": "r1",
    },
    "job_complete": {
        "run_id": "r1",
        "status": "failure",
        "exit_code": 1,
        "signal": None,
        "end_time": AT,
        "duration_seconds": 1.5,
        "retry_at": AT,
        "attempt": 1,
        "first_run_id": "r1",
    },
    "job_skipped": {
        "run_id": None,
        "first_scheduled_time": AT,
        "scheduled_time": AT,
        "count": 2,
        "reason": "already_running",
    },
    "job_missed": {"run_id": None, "first_scheduled_time": AT, "scheduled_time": AT, "count": 2},
    "trigger_accepted": {"run_id": "r1", "action": "run", "request_id": "q", "requested_by": "x"},
    "checkpoint": {"full": False, "jobs": {"job": {"handled": AT, "since": AT, "sha256": ""}}},
    "clock_jump": {"seconds": 5.0, "reanchored": True},
    "config_error": {"file": "job.json", "errors": [{"field": "x"}]},
    "paused": {"file": "PAUSE"},
}
STRANGE_VALUES = ["x", ["x"], float("inf"), "9999-12-31T23:59:59Z"]


def strange_lines(event):
    """Yield lines of the event with a strange value in each of the fields, without each of them, without any."""
    fields = {"timestamp": AT, "job_name": "job", **STRANGE_FIELDS[event]}
    for field in fields:
        yield from (json.dumps({"event": event, **fields, field: value}) + "\n" for value in STRANGE_VALUES)
        yield json.dumps({"event": event, **{name: each for name, each in fields.items() if name != field}}) + "\n"
    yield json.dumps({"event": event, "timestamp": AT, "job_name": "job"}) + "\n"


@pytest.mark.parametrize("event", STRANGE_FIELDS)
def test_strange_lines_that_a_job_wrote_into_the_logs_are_no_traceback(sidecar, jobs, logs, event):
    put(jobs, "job", schedule="0 12 * * *")
    empty: dict[str, Any] = {"jobs": {}, "open": [], "pending": [], "retries": [], "cancelled": [], "answers": {}}
    run = {"job_name": "job", "trigger": "schedule", "scheduled_time": AT, "first_run_id": "r1", "attempt": 1}
    skipped = {"job_name": "job", "run_id": None, "first_scheduled_time": AT, "scheduled_time": AT, "count": 1}
    before = [line("checkpoint", datetime(2026, 5, 1, tzinfo=UTC), full=True, version=1, **empty)]
    if event not in ("job_skipped", "job_missed"):  # which count where nothing ran
        before.append(line("job_start", run_id="r1", start_time=AT, **run))
    after = line("job_skipped", reason="already_running", **skipped)
    for strange in strange_lines(event):
        for log in (JOURNAL, MAIN_LOG):
            (logs / log).write_text("".join([*before, strange, after]))

        # A checkpoint that cannot be read is an error with a message for `list`, which replays the journal.
        assert sidecar("list")[0] in ((0, 1) if event == "checkpoint" else (0,)), strange
        assert sidecar("why", "job", AT)[0] == 0, strange
        assert sidecar("audit-journal")[0] in (0, 1), strange


def test_list_shows_the_last_usable_result(sidecar, jobs, logs):
    put(jobs, "job")
    (logs / JOURNAL).write_text(
        complete("job", status="failure", exit_code=3)
        + line("job_complete", job_name=["job"])
        + line("job_complete", job_name="job")
    )

    assert "failure (exit code 3)" in sidecar("list")[1]


def test_why_works_with_the_job_gone(sidecar, logs):
    (logs / MAIN_LOG).write_text(line("job_removed", job_name="job", file="job.json"))
    code, out, _ = sidecar("why", "job")

    assert code == 0
    assert "Its file job.json was removed" in out


def test_why_says_what_is_wrong_with_the_jobs_file(sidecar, jobs):
    put(jobs, "job", enabled="yes")
    code, out, _ = sidecar("why", "job")

    assert code == 0
    assert "Its file job.json is invalid" in out


def test_why_of_an_unknown_job_says_which_was_probably_meant(sidecar, jobs):
    put(jobs, "backup")
    code, _, err = sidecar("why", "bakcup")

    assert code == 1
    assert "did you mean backup?" in err


def test_why_with_a_time_that_cannot_be_read_is_wrong_usage(sidecar, jobs):
    put(jobs, "job")

    assert sidecar("why", "job", "yesterday")[0] == 2


# health


def test_health_is_quiet_about_a_working_scheduler(sidecar, logs):
    beat(logs)

    assert sidecar("health") == (0, "healthy\n", "")


def test_health_says_what_is_wrong(sidecar):
    code, out, _ = sidecar("health")

    assert code == 1
    assert out.startswith("no heartbeat")


# trigger


def requests_in(jobs):
    return [json.loads(path.read_text()) for path in sorted((jobs / "triggers").iterdir())]


def test_trigger_drops_a_request_that_the_scheduler_understands(sidecar, jobs, logs):
    put(jobs, "job")
    beat(logs)
    code, out, err = sidecar("trigger", "job")
    (request,) = requests_in(jobs)

    assert (code, err) == (0, "")
    assert out.startswith(f"requested: {jobs}/triggers/job-")
    assert (request["action"], request["job_name"]) == ("run", "job")
    assert request["request_id"]


def test_trigger_warns_that_no_scheduler_gives_a_sign_of_life(sidecar, jobs):
    put(jobs, "job")
    code, _, err = sidecar("trigger", "job")

    assert code == 0
    assert "no heartbeat" in err
    assert "takes the request up" in err


@pytest.mark.parametrize("wait", [(), ("--wait",)])
def test_trigger_asks_nothing_for_a_disabled_job(sidecar, jobs, wait):
    put(jobs, "job", enabled=False)
    code, _, err = sidecar("trigger", "job", *wait)

    assert code == 1
    assert "disabled" in err
    assert requests_in(jobs) == []


def test_trigger_asks_nothing_for_an_unknown_job(sidecar, jobs):
    put(jobs, "job")
    code, _, err = sidecar("trigger", "jbo")

    assert code == 1
    assert "did you mean job?" in err
    assert requests_in(jobs) == []


def test_trigger_asks_for_a_job_whose_file_is_invalid_as_the_last_good_version_may_count(sidecar, jobs):
    put(jobs, "job", enabled="yes")
    code, _, err = sidecar("trigger", "job")

    assert code == 0
    assert "last good version" in err
    assert len(requests_in(jobs)) == 1


def test_trigger_says_what_to_do_where_the_jobs_directory_is_read_only(sidecar, jobs, monkeypatch):
    put(jobs, "job")

    def drop(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(trigger, "drop", drop)
    code, _, err = sidecar("trigger", "job")

    assert code == 1
    assert "Read-only file system" in err
    assert "touch jobs/triggers/job" in err


class Scheduler(threading.Thread):
    """Answers the one request that appears, then writes the given lines; `{id}` in them is the request's id."""

    def __init__(self, jobs, logs, *steps):
        super().__init__(daemon=True)
        self.jobs, self.logs, self.steps = jobs, logs, steps
        beat(logs)

    def run(self):
        limit = time.monotonic() + 30
        while not (found := list((self.jobs / "triggers").glob("*.json"))) and time.monotonic() < limit:
            time.sleep(0.01)
        request_id = json.loads(found[0].read_text())["request_id"]
        for step in self.steps:
            if callable(step):
                step()
            else:
                with (self.logs / JOURNAL).open("a") as journal:
                    journal.write(step.replace("{id}", request_id))


@pytest.fixture
def scheduler(jobs, logs, monkeypatch):
    """Return a function that starts a scripted scheduler for the job `job`."""
    monkeypatch.setattr(trigger, "POLL_SECONDS", 0.005)
    put(jobs, "job")
    return lambda *steps: Scheduler(jobs, logs, *steps).start()


def accepted(**fields):
    return line("trigger_accepted", action="run", job_name="job", request_id="{id}", run_id="r1", **fields)


def started(run_id="r1"):
    return line("job_start", job_name="job", run_id=run_id)


def test_wait_prints_the_output_and_exits_as_the_job(sidecar, scheduler, jobs):
    scheduler(accepted(), started(), complete("job", exit_code=3, status="failure", stdout="out\n", stderr="err\n"))
    code, out, err = sidecar("trigger", "job", "--wait")

    assert (code, out) == (3, "out\n")
    assert "accepted as run r1" in err
    assert "err\n" in err
    assert "ended after 1.5 s: failure, exit code 3" in err
    assert requests_in(jobs) == []


def test_wait_says_why_a_request_was_rejected(sidecar, scheduler):
    other = line("trigger_rejected", action="run", request_id="another", reason="expired")
    scheduler(other, line("trigger_rejected", action="run", request_id="{id}", reason="already_running", detail="why"))
    code, out, err = sidecar("trigger", "job", "--wait")

    assert (code, out) == (1, "")
    assert "rejected: already_running (why)" in err


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"exit_code": 0, "status": "success"}, 0),
        ({"exit_code": 2, "status": "success"}, 2),
        ({"exit_code": 0, "status": "output_limit"}, 1),
        ({"exit_code": None, "status": "cancelled"}, 1),
        ({"exit_code": 137, "status": "timeout"}, 137),
    ],
)
def test_wait_never_exits_with_0_for_a_run_that_failed(sidecar, scheduler, fields, code):
    scheduler(accepted(), started(), complete("job", **fields))

    assert sidecar("trigger", "job", "--wait")[0] == code


def test_wait_copies_the_output_file_while_it_grows_and_after_it_is_gone(sidecar, scheduler, logs, monkeypatch):
    file = logs / "output/job/r1.stdout"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"first\n\xff")
    copied = threading.Event()
    go_on = trigger._Copy.go_on

    def copy(self):
        go_on(self)
        if self._path == file:
            copied.set()

    def grow():
        assert copied.wait(30)
        with file.open("ab") as stream:
            stream.write(b"second\n")
        file.unlink()

    monkeypatch.setattr(trigger._Copy, "go_on", copy)
    scheduler(accepted(), started(), grow, complete("job", stdout="first\n\\xffsecond\n", stderr=""))
    _, out, _ = sidecar("trigger", "job", "--wait")

    assert out == "first\n\\xffsecond\n"


def test_wait_prints_the_whole_file_where_the_journal_has_only_head_and_tail(sidecar, scheduler, logs):
    file = logs / "output/job/r1.stdout"
    file.parent.mkdir(parents=True)
    file.write_text("x" * 100_000)
    cut = {"stdout": "x…x", "truncated": True, "stdout_file": "output/job/r1.stdout"}
    scheduler(accepted() + started() + complete("job", **cut))

    assert sidecar("trigger", "job", "--wait")[1] == "x" * 100_000


def test_wait_follows_retries_to_the_last_attempt(sidecar, scheduler):
    again = {"status": "failure", "exit_code": 1, "attempt": 1, "first_run_id": "r1", "retry_at": iso(NOW)}
    last = {"run_id": "r1-2", "attempt": 2, "first_run_id": "r1", "retry_at": None}
    scheduler(accepted(), started(), complete("job", **again), started("r1-2"), complete("job", stdout="ok\n", **last))
    code, out, err = sidecar("trigger", "job", "--wait")

    assert (code, out) == (0, "ok\n")
    assert "attempt 2 is due at" in err


def test_wait_ends_when_a_queued_run_is_dropped(sidecar, scheduler):
    queued = line("job_queued", job_name="job", run_id="r1", reason="32 runs are going")
    scheduler(accepted(), queued, line("job_skipped", job_name="job", run_id="r1", reason="disabled"))
    code, _, err = sidecar("trigger", "job", "--wait")

    assert code == 1
    assert "queued: 32 runs are going" in err
    assert "did not start: disabled" in err


def test_wait_survives_rotations_of_the_journal(sidecar, scheduler, logs):
    def rotate():
        for number in (2, 1):
            if (logs / f"{JOURNAL}.{number}").exists():
                (logs / f"{JOURNAL}.{number}").rename(logs / f"{JOURNAL}.{number + 1}")
        (logs / JOURNAL).rename(logs / f"{JOURNAL}.1")
        (logs / JOURNAL).write_text(line("checkpoint"))

    scheduler(accepted(), rotate, started(), rotate, rotate, complete("job", stdout="out\n"))

    assert sidecar("trigger", "job", "--wait")[:2] == (0, "out\n")


def test_wait_explains_after_a_while_why_there_may_be_no_answer(sidecar, scheduler, monkeypatch):
    monkeypatch.setattr(trigger, "PATIENCE_SECONDS", 0.02)
    told = threading.Event()
    explain_delay = trigger._Waiting._explain_delay

    def explain(waiting):
        explain_delay(waiting)
        told.set()

    monkeypatch.setattr(trigger._Waiting, "_explain_delay", explain)
    scheduler(lambda: told.wait(30), accepted(), complete("job"))
    code, _, err = sidecar("trigger", "job", "--wait")

    assert code == 0
    assert "no answer yet: " in err


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((), "the request stays and will be answered; to withdraw it: rm "),
        ((accepted(),), "run r1 still waits for its start"),
        ((accepted(), started()), 'run r1 goes on; to cancel it: echo \'{"action": "cancel"'),
    ],
)
def test_an_interrupted_wait_says_what_goes_on(sidecar, scheduler, monkeypatch, steps, words):
    written = threading.Event()
    scheduler(*steps, written.set)
    naps_after = iter((False, False, True))

    def sleep(_):
        time.sleep(0.001)
        if written.is_set() and next(naps_after):
            raise KeyboardInterrupt

    monkeypatch.setattr(trigger, "time", type("Time", (), {"sleep": sleep, "monotonic": time.monotonic}))
    code, _, err = sidecar("trigger", "job", "--wait")

    assert code == 130
    assert words in err


class Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


def test_output_to_a_terminal_cannot_control_it():
    terminal = Terminal(raw := io.BytesIO(), encoding="utf-8")
    sink = trigger._Sink(terminal)
    for data in (b"a\tb\n\x1b[31mred\r", "ü".encode()[:1], "ü".encode()[1:], b"\xff"):
        sink.write(data)
    sink.flush()

    assert raw.getvalue().decode() == "a\tb\n\\x1b[31mred\\rü\\xff"


def test_output_to_a_pipe_passes_as_it_is():
    pipe = io.TextIOWrapper(raw := io.BytesIO(), encoding="utf-8")
    sink = trigger._Sink(pipe)
    sink.write(b"\x1b[31m\xff\r\n")
    sink.flush()

    assert raw.getvalue() == b"\x1b[31m\xff\r\n"


def test_an_output_file_that_is_a_link_or_a_pipe_is_not_opened(tmp_path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "fifo")
    sink = trigger._Sink(io.TextIOWrapper(io.BytesIO()))

    assert not trigger._Copy(tmp_path / "link", sink).finish()
    assert not trigger._Copy(tmp_path / "fifo", sink).finish()


# The history


def events(lines):
    return [entry["event"] for entry in lines]


def test_entries_come_oldest_first_from_all_files_without_torn_lines(tmp_path):
    log = tmp_path / "log"
    log.write_text(line("c") + '{"event": "torn')
    (tmp_path / "log.1").write_text(line("b") + "x\n" + '{"event": "untimed"}\n')
    (tmp_path / "log.10").write_text(line("a"))

    assert events(entries(log)) == ["a", "b", "c"]
    assert events(entries(log, [b'"b"', b'"a"'])) == ["a", "b"]


def test_the_oldest_line_says_how_far_a_log_reaches_back(tmp_path):
    (tmp_path / "log.1").write_text(line("a", NOW - timedelta(days=3)))
    (tmp_path / "log").write_text(line("b"))

    assert oldest(tmp_path / "log") == NOW - timedelta(days=3)
    assert oldest(tmp_path / "none") is None


def test_newest_by_job_looks_no_further_than_needed(tmp_path):
    (tmp_path / "log.1").mkdir()
    (tmp_path / "log").write_text(complete("a", run_id="r1") + complete("a", run_id="r2"))

    assert newest_by_job(tmp_path / "log", "job_complete", ["a"])["a"]["run_id"] == "r2"


def test_a_follower_begins_at_the_end_and_waits_for_whole_lines(tmp_path):
    log = tmp_path / "log"
    log.write_text(line("old"))
    follower = Follower(log)
    whole = line("new")
    with log.open("a") as file:
        file.write(whole[:20])
        file.flush()
        first = follower.new_entries()
        file.write(whole[20:])
    second = follower.new_entries()
    follower.close()

    assert (events(first), events(second)) == ([], ["new"])


def test_a_follower_goes_on_where_a_line_was_cut_off_behind_it(tmp_path):
    log = tmp_path / "log"
    log.write_text(line("old"))
    whole = log.stat().st_size
    with log.open("a") as file:
        file.write(line("checkpoint" * 100))
    follower = Follower(log)
    os.truncate(log, whole)
    nothing = follower.new_entries()
    with log.open("a") as file:
        file.write(line("new"))
    found = follower.new_entries()
    with log.open("a") as file:
        file.write(line("newer" * 500))
    more = follower.new_entries()
    follower.close()

    assert (nothing, events(found), events(more)) == ([], ["new"], ["newer" * 500])


def test_a_follower_takes_lines_that_were_cut_off_and_written_again_once(tmp_path):
    log = tmp_path / "log"
    log.write_text(line("old"))
    follower, whole = Follower(log), log.stat().st_size
    with log.open("a") as file:
        file.write(line("a") + line("b"))
    found = events(follower.new_entries())
    os.truncate(log, whole + len(line("a")))
    found += events(follower.new_entries())
    with log.open("a") as file:
        file.write(line("b") + line("c"))
    found += events(follower.new_entries())
    follower.close()

    assert found == ["a", "b", "c"]


def test_a_follower_of_a_log_that_is_not_there_yet_reads_it_from_its_beginning(tmp_path):
    follower = Follower(tmp_path / "log")
    nothing = follower.new_entries()
    (tmp_path / "log").write_text(line("first"))
    found = follower.new_entries()
    follower.close()

    assert (nothing, events(found)) == ([], ["first"])


def test_a_follower_reads_what_came_before_and_after_several_rotations(tmp_path):
    log = tmp_path / "log"
    log.write_text(line("old"))
    follower = Follower(log)
    with log.open("a") as file:
        file.write(line("a"))
    log.rename(tmp_path / "log.2")
    (tmp_path / "log.1").write_text(line("b"))
    log.write_text(line("c"))
    found = events(follower.new_entries())
    again = follower.new_entries()
    follower.close()

    assert (found, again) == (["a", "b", "c"], [])


def test_a_follower_goes_on_with_a_log_that_was_replaced(tmp_path):
    log = tmp_path / "log"
    log.write_text(line("old"))
    follower = Follower(log)
    log.unlink()
    log.write_text(line("new"))
    found = events(follower.new_entries())
    follower.close()

    assert found == ["new"]


# Text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("14:30", "2026-06-01T14:30:00+02:00"),
        ("9:30", "2026-06-01T09:30:00+02:00"),
        ("2026-06-01", "2026-06-01T00:00:00+02:00"),
        ("2026-06-01 02:00", "2026-06-01T02:00:00+02:00"),
        ("2026-06-01T02:00Z", "2026-06-01T02:00:00+00:00"),
        ("2026-06-01T02:00:00-05:00", "2026-06-01T02:00:00-05:00"),
    ],
)
def test_a_time_is_read_in_the_zone_unless_it_names_an_offset(text, expected):
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    moment = read_time(text, ZoneInfo("Europe/Berlin"), noon)

    assert moment.instant == datetime.fromisoformat(expected)


def test_a_bare_time_that_is_still_to_come_is_yesterdays_when_the_past_is_asked():
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    moment = read_time("23:45", ZoneInfo("UTC"), noon, past=True)

    assert moment.instant == datetime(2026, 5, 31, 23, 45, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.001, "0 s"),
        (0.02, "0.02 s"),
        (1.26, "1.3 s"),
        (9.96, "10 s"),
        (119.4, "119 s"),
        (120, "2 min"),
        (723, "12 min 3 s"),
        (5400, "1 h 30 min"),
        (7200, "2 h"),
        (200_000, "2 d 7 h"),
    ],
)
def test_a_length_of_time_has_at_most_two_units(seconds, text):
    assert show_length(seconds) == text


def test_clean_escapes_whatever_is_not_printable():
    assert clean("a\x1b[0m\n\u202eü\udcff") == r"a\x1b[0m\n\u202eü\udcff"


def test_clean_output_keeps_newlines_tabs_and_joined_characters():
    assert clean_output("a\tb\n👩\u200d💻\x07") == "a\tb\n👩\u200d💻\\x07"


def test_a_table_has_aligned_columns_and_no_trailing_blanks():
    assert table([("a", "bb", ""), ("ccc", "d", "")]) == ["a    bb", "ccc  d"]
    assert table([]) == []


def test_did_you_mean_ignores_case_and_stays_silent_without_a_likeness():
    assert did_you_mean("BACKUP", ["backup", "x"]) == "; did you mean backup?"
    assert did_you_mean("zzz", ["backup"]) == ""


def test_count_uses_the_plural():
    assert [count(n, "file") for n in (0, 1, 1200)] == ["0 files", "1 file", "1,200 files"]


def test_a_scheduler_loads_neither_openssl_nor_rich():
    """They are a third of its memory and of its start, and it needs neither."""
    names = ("_ssl", "rich.console")
    code = "import sys; from sidecar import cli; cli._leave_out_the_heavy(); import sidecar.daemon; "
    code += f"print([name for name in {names} if sys.modules.get(name)])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout == "[]\n"
