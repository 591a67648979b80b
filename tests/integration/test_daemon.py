"""The real scheduler: real files, processes and signals."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from sidecar.clock import from_iso
from sidecar.daemon import serve
from sidecar.errors import JournalUnusable
from sidecar.exit_codes import EX_CANTCREAT
from sidecar.settings import Settings
from tests.daemon import Daemon, wait_for


@pytest.fixture
def daemon(tmp_path):
    with Daemon(tmp_path) as daemon:
        yield daemon


@pytest.fixture
def nap():
    """A sleep that no other test, nor an earlier run of this one, has: its command line is searched for."""
    nap = f"sleep {random.randrange(10**5, 10**6)}.{os.getpid()}"
    yield nap
    for pid in alive(nap.split()[1]):
        os.kill(pid, signal.SIGKILL)


def alive(marker):
    """Return the pids of processes whose command line holds the marker."""
    wanted, found = marker.replace(" ", "\0").encode(), []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as cmdline, open(f"/proc/{pid}/stat") as stat:
                zombie = stat.read().rpartition(")")[2].split()[0] == "Z"
                if wanted in cmdline.read().replace(b" ", b"\0") and not zombie:
                    found.append(int(pid))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_a_dropped_definition_and_a_touched_trigger_make_a_run(daemon):
    daemon.job("hello", "echo hello; echo oops >&2; exit 3")
    (daemon.triggers / "hello").touch()

    end = daemon.line("job_complete")
    assert (end["stdout"], end["stderr"], end["exit_code"], end["status"]) == (
        "hello\n",
        "oops\n",
        3,
        "failure",
    )
    assert [line["event"] for line in daemon.lines("trigger_accepted", "job_start", "job_complete")] == [
        "trigger_accepted",
        "job_start",
        "job_complete",
    ]


def test_a_schedule_fires_at_its_minute(daemon):
    daemon.job("minutely", "true", schedule="* * * * *")

    start = daemon.line("job_start", patience=70, job_name="minutely")
    assert start["trigger"] == "schedule"
    assert start["scheduled_time"][17:] == "00.000000Z"
    assert start["start_time"][:17] == start["scheduled_time"][:17]


def test_a_job_sees_its_run_and_its_own_environment_and_nothing_of_the_schedulers_descriptors(daemon):
    daemon.job("env", "env; echo fds: $(ls /proc/self/fd)", environment={"COLOUR": "blue"})
    daemon.run("env")

    end = daemon.line("job_complete")
    lines = end["stdout"].splitlines()
    seen = dict(line.split("=", 1) for line in lines if "=" in line)
    assert seen["JOB_RUN_ID"] == end["run_id"]
    assert (seen["JOB_NAME"], seen["JOB_TRIGGER"], seen["JOB_ATTEMPT"]) == ("env", "manual", "1")
    assert (seen["JOB_SCHEDULED_TIME"], seen["COLOUR"]) == ("", "blue")
    descriptors = lines[-1].removeprefix("fds: ").split()
    assert len(descriptors) <= 5 and all(int(number) <= 4 for number in descriptors)


def test_sigterm_waits_for_the_running_job_and_exits_with_0(daemon, tmp_path):
    daemon.job("slow", f"touch {tmp_path}/up; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; echo done")
    daemon.run("slow")
    wait_for((tmp_path / "up").exists, "the job to run")
    daemon.process.terminate()
    daemon.main_line("scheduler_stopping")
    assert daemon.process.poll() is None
    (tmp_path / "go").touch()

    assert daemon.process.wait(20) == 0
    assert daemon.lines("job_complete")[0]["status"] == "success"
    assert daemon.main_lines("scheduler_stopped")


def test_a_stop_is_over_as_soon_as_the_last_run_has_ended(daemon):
    daemon.job("short", "sleep 0.3")
    daemon.run("short")
    daemon.line("job_start")
    assert daemon.stop() == 0
    (end,), (stopped,) = daemon.lines("job_complete"), daemon.main_lines("scheduler_stopped")

    assert from_iso(stopped["timestamp"]) - from_iso(end["timestamp"]) < timedelta(seconds=0.5)


def test_a_second_signal_ends_the_running_job_now(daemon, nap):
    daemon.job("slow", f"{nap} & {nap}")
    daemon.run("slow")
    daemon.line("job_start")
    wait_for(lambda: alive(nap), "the job to run")
    daemon.process.terminate()
    daemon.main_line("scheduler_stopping")
    daemon.process.send_signal(signal.SIGINT)

    assert daemon.process.wait(20) == 0
    assert daemon.lines("job_complete")[0]["status"] == "interrupted"
    assert alive(nap) == []


def test_after_kill_9_the_next_start_ends_the_tree_and_closes_the_run(daemon, nap):
    daemon.job("slow", f"echo begun; setsid {nap} & {nap}")
    daemon.run("slow")
    wait_for(lambda: len(alive(nap)) >= 2, "the job to run")
    daemon.kill()
    assert len(alive(nap)) >= 2
    daemon.start()

    end = daemon.line("job_complete")
    assert (end["status"], end["stdout"]) == ("interrupted", "begun\n")
    assert alive(nap) == []
    daemon.run("slow", "q2")
    daemon.line("job_start", request_id="q2")


def test_a_request_is_run_once_across_many_kills(daemon, tmp_path):
    """Requests arrive while the scheduler is killed again and again: each ends once, none starts twice."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    evidence = tmp_path / "evidence"
    daemon.job("append", f'echo "$JOB_RUN_ID" >> {evidence}', concurrency_policy="allow")
    for number in range(30):
        daemon.run("append", f"q{number}")
        if number % 5 == 4:
            time.sleep(chance.random() * 0.05)
            daemon.kill()
            daemon.start()
    wait_for(lambda: len(daemon.lines("job_complete")) >= len(daemon.lines("trigger_accepted")) >= 30, "every end")

    started = [line["request_id"] for line in daemon.lines("job_start")]
    assert sorted(started) == sorted({f"q{number}" for number in range(30)})
    assert len(daemon.lines("job_complete")) == 30
    appended = evidence.read_text().split()
    assert len(appended) == len(set(appended))
    succeeded = {line["run_id"] for line in daemon.lines("job_complete", status="success")}
    assert succeeded <= set(appended)


def test_a_second_scheduler_on_the_same_logs_exits_with_75_and_writes_nothing(daemon, tmp_path):
    before = sorted(path.name for path in daemon.logs.iterdir())
    second = Daemon(tmp_path)
    second.start(wait=False)

    assert second.process.wait(20) == 75
    assert "another scheduler" in second.stderr()
    assert sorted(path.name for path in daemon.logs.iterdir()) == before
    assert len(daemon.main_lines("scheduler_started")) == 1


def test_a_standby_takes_over_when_the_first_scheduler_dies(daemon, tmp_path):
    standby = Daemon(tmp_path, "--standby")
    standby.start(wait=False)
    try:
        time.sleep(0.5)
        assert standby.process.poll() is None
        assert len(daemon.main_lines("scheduler_started")) == 1
        daemon.kill()
        wait_for(lambda: len(daemon.main_lines("scheduler_started")) == 2, "the takeover")
        standby.job()
        standby.run()
        standby.line("job_complete")
    finally:
        assert standby.stop() == 0


def test_a_logs_path_that_cannot_be_a_directory_is_exit_73(tmp_path):
    (tmp_path / "logs").write_text("")
    daemon = Daemon(tmp_path)
    daemon.start(wait=False)

    assert daemon.process.wait(20) == 73
    assert str(tmp_path / "logs") in daemon.stderr()


def test_polling_mode_works_without_events(tmp_path):
    with Daemon(tmp_path, SCHEDULER_WATCH="polling") as daemon:
        daemon.job()
        daemon.run()
        daemon.line("job_complete")
        (daemon.jobs / "job.json").unlink()
        daemon.main_line("job_removed")


def test_sighup_looks_at_everything_now(tmp_path):
    with Daemon(tmp_path, SCHEDULER_RESCAN_SECONDS="3600") as daemon:
        (daemon.jobs / "job.json").write_text(
            json.dumps(
                {
                    "name": "job",
                    "schedule": "0 0 * * *",
                    "command": "true",
                    "working_directory": str(tmp_path / "later"),
                    "enabled": True,
                }
            )
        )
        daemon.main_line("config_error")
        (tmp_path / "later").mkdir()
        daemon.process.send_signal(signal.SIGHUP)

        daemon.main_line("job_registered")


def test_sighup_before_the_loop_is_there_ends_nothing(tmp_path, monkeypatch):
    received = []

    def begin(*_, **__):
        os.kill(os.getpid(), signal.SIGHUP)
        raise JournalUnusable("far enough")

    monkeypatch.setattr("sidecar.daemon.JobScheduler", begin)
    monkeypatch.setattr("gc.set_threshold", lambda _: None)
    before = signal.signal(signal.SIGHUP, lambda *_: received.append("it ends the process"))
    try:
        assert serve(Settings(logs_dir=tmp_path), standby=True) == EX_CANTCREAT
    finally:
        signal.signal(signal.SIGHUP, before)

    assert received == []


def test_a_broken_edit_keeps_the_last_good_version_in_force(daemon):
    daemon.job("job", "echo good")
    (daemon.jobs / "job.json").write_text('{"name": "job", "schedule": "61 * * * *"}')

    error = daemon.main_line("config_error")
    assert error["kept_last_good"]
    assert {problem["field"] for problem in error["errors"]} >= {"schedule", "command"}
    daemon.run("job")
    assert daemon.line("job_complete")["stdout"] == "good\n"
    daemon.job("job", "echo better")
    daemon.main_line("config_recovered")


def test_hostile_files_are_each_an_error_and_stop_nothing(daemon):
    daemon.job("good")
    os.mkfifo(daemon.jobs / "fifo.json")
    (daemon.jobs / "directory.json").mkdir()
    (daemon.jobs / "loop.json").symlink_to("loop.json")
    (daemon.jobs / "nowhere.json").symlink_to("missing")
    (daemon.jobs / "zero.json").symlink_to("/dev/zero")
    (daemon.jobs / "deep.json").write_text("[" * 100_000)
    with (daemon.jobs / "huge.json").open("wb") as huge:
        huge.truncate(50 << 20)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(daemon.jobs / "socket.json"))
    names = {"fifo", "directory", "loop", "nowhere", "zero", "deep", "huge", "socket"}

    wait_for(
        lambda: {line["file"] for line in daemon.main_lines("config_error")} == {f"{name}.json" for name in names},
        "an error for each",
    )
    daemon.run("good")
    daemon.line("job_complete")


def test_output_that_does_not_fit_a_line_is_whole_in_its_file(daemon):
    daemon.job("big", "seq 1 200000; echo small >&2")
    daemon.run("big")

    end = daemon.line("job_complete")
    whole = (daemon.logs / end["stdout_file"]).read_text()
    assert whole == "".join(f"{number}\n" for number in range(1, 200_001))
    assert (end["truncated"], end["stdout_bytes"], end["stderr"]) == (True, len(whole), "small\n")
    assert len(end["stdout"].encode()) < 40_000
    assert end["stderr_file"] is None
    assert [path.name for path in (daemon.logs / "output" / "big").iterdir()] == [os.path.basename(end["stdout_file"])]


def test_a_child_that_holds_the_output_does_not_delay_the_end(daemon, nap):
    daemon.job("holder", f"{nap} & echo done")
    daemon.run("holder")

    end = daemon.line("job_complete", patience=5)
    assert (end["stdout"], end["leftover_processes"]) == ("done\n", 1)


def test_a_timeout_ends_the_whole_tree(daemon, nap):
    daemon.job("stuck", f"trap '' TERM; setsid {nap} & {nap}", timeout_seconds=0.3, kill_grace_seconds=0.3)
    daemon.run("stuck")

    end = daemon.line("job_complete")
    assert (end["status"], end["leftover_processes"]) == ("timeout", 0)
    assert alive(nap) == []


def test_a_stdout_that_nobody_reads_blocks_nothing(tmp_path):
    daemon = Daemon(tmp_path)
    daemon.job()
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "sidecar", "start", "--jobs", str(daemon.jobs), "--logs", str(daemon.logs)]
    with subprocess.Popen(command, stdout=writer, stderr=writer) as process:
        try:
            for number in range(400):
                daemon.run("job", f"q{number}")
            wait_for(lambda: len(daemon.lines("trigger_accepted", "trigger_rejected")) == 400, "an answer for each")
        finally:
            process.terminate()
    os.close(reader)
    os.close(writer)
    assert process.returncode == 0


def test_a_start_without_stdin_stdout_and_stderr_writes_nothing_else_into_the_journal_or_the_lock(tmp_path):
    daemon = Daemon(tmp_path)
    daemon.job("job", "echo out; echo err >&2")
    command = [sys.executable, "-m", "sidecar", "start", "--jobs", str(daemon.jobs), "--logs", str(daemon.logs)]
    with subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]) as process:
        try:
            daemon.run("job")
            end = daemon.line("job_complete")
        finally:
            process.terminate()
    raw = b"".join((daemon.logs / name).read_bytes() for name in ("scheduler_jobs.log", "scheduler_main.log"))
    lines = [json.loads(line) for line in raw.splitlines()]

    assert process.returncode == 0
    assert (end["stdout"], end["stderr"]) == ("out\n", "err\n")
    assert [line["event"] for line in lines].count("job_complete") == 1
    assert [line["event"] for line in lines].count("scheduler_stopped") == 1
    assert (daemon.logs / ".lock").read_bytes() == b""


def test_the_journal_is_replayed_across_rotated_files(tmp_path):
    with Daemon(tmp_path, SCHEDULER_LOG_MAX_BYTES="6000", SCHEDULER_LOG_BACKUPS="3") as daemon:
        daemon.job("job", "head -c 1500 /dev/zero | tr '\\0' x", concurrency_policy="allow")
        for number in range(12):
            daemon.run("job", f"q{number}")
            daemon.line("job_complete", request_id=f"q{number}")
        assert (daemon.logs / "scheduler_jobs.log.3").exists()
        daemon.kill()
        daemon.start()
        daemon.run("job", "last")
        daemon.line("job_complete", request_id="last")
        starts = [line["request_id"] for line in daemon.lines("job_start")]

        assert len(starts) == len(set(starts))
        for file in sorted(daemon.logs.glob("scheduler_jobs.log*")):
            first = json.loads(file.read_text().splitlines()[0])
            assert (first["event"], first["full"]) == ("checkpoint", True)


def test_a_log_limit_that_is_too_small_is_raised_and_said(tmp_path):
    with Daemon(tmp_path, SCHEDULER_LOG_MAX_BYTES="10") as daemon:
        raised = daemon.main_line("setting_raised")
        assert raised["setting"] == "SCHEDULER_LOG_MAX_BYTES"


def test_a_removed_logs_directory_is_begun_anew(daemon):
    daemon.job()
    daemon.run("job", "q1")
    daemon.line("job_complete", request_id="q1")
    for path in sorted(daemon.logs.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    daemon.run("job", "q2")

    daemon.line("job_complete", request_id="q2")
    assert daemon.lines("job_start", request_id="q1") == []


def test_a_removed_lock_is_taken_anew_before_the_next_heartbeat(daemon, tmp_path):
    lock = daemon.logs / ".lock"
    lock.unlink()
    wait_for(lock.exists, "the lock to be taken anew")
    second = Daemon(tmp_path)
    second.start(wait=False)

    assert second.process.wait(20) == 75


def test_a_logs_directory_that_was_removed_under_its_mount_makes_it_drain_and_exit_with_74(tmp_path):
    # A directory that is reached by a descriptor is as dead after its removal as one that is mounted elsewhere.
    (tmp_path / "mounted").mkdir()
    descriptor = os.open(tmp_path / "mounted", os.O_RDONLY | os.O_DIRECTORY)
    (tmp_path / "logs").symlink_to(f"/proc/{os.getpid()}/fd/{descriptor}")
    daemon = Daemon(tmp_path)
    try:
        daemon.start()
        shutil.rmtree(tmp_path / "mounted")

        assert daemon.process.wait(20) == 74
    finally:
        daemon.kill()
        os.close(descriptor)


def test_there_is_no_listening_socket(daemon):
    fds = os.listdir(f"/proc/{daemon.process.pid}/fd")
    targets = [os.readlink(f"/proc/{daemon.process.pid}/fd/{number}") for number in fds]
    sockets = {target.removeprefix("socket:[").rstrip("]") for target in targets if target.startswith("socket:")}
    listening = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        with open(f"/proc/net/{table}") as rows:
            listening |= {row.split()[9] for row in list(rows)[1:]}

    assert not sockets & listening


def test_bad_settings_are_an_error_that_names_them(tmp_path):
    daemon = Daemon(tmp_path, SCHEDULER_MAX_CONCURRENT_RUNS="many")
    daemon.start(wait=False)

    assert daemon.process.wait(20) == 2
    assert "SCHEDULER_MAX_CONCURRENT_RUNS: expected a whole number" in daemon.stderr()
