"""`trigger`: the request that it drops and, with `--wait`, the way to the end of the run."""

import io
import json
import os
import threading
import time

import pytest

from sidecar import trigger
from sidecar.clock import iso
from sidecar.journal import JOURNAL
from tests.log_lines import NOW, beat, complete, line, put


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
