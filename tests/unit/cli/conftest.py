"""What tests of the command line share: two directories, and a function that runs a command line on them."""

import os

import pytest

from sidecar.cli import main


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
