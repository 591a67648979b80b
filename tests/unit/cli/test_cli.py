"""What holds for every verb, `start` and `health`: what is printed where, and the exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar import __version__
from sidecar.cli import main
from tests.log_lines import beat, put

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


# health


def test_health_is_quiet_about_a_working_scheduler(sidecar, logs):
    beat(logs)

    assert sidecar("health") == (0, "healthy\n", "")


def test_health_says_what_is_wrong(sidecar):
    code, out, _ = sidecar("health")

    assert code == 1
    assert out.startswith("no heartbeat")


# start


def test_a_scheduler_loads_neither_openssl_nor_rich():
    """They are a third of its memory and of its start, and it needs neither."""
    names = ("_ssl", "rich.console")
    code = "import sys; from sidecar import cli; cli._leave_out_the_heavy(); import sidecar.daemon; "
    code += f"print([name for name in {names} if sys.modules.get(name)])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout == "[]\n"
