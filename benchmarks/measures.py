"""The single measures: each starts a scheduler on a fresh directory and returns its figures by name."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MINUTE_SECONDS = 60
NEVER = "0 0 1 1 *"
REQUESTS = 100


def start_up(root: Path, definitions: int) -> dict[str, float]:
    """Seconds from exec until `scheduler_started` is logged (every job has its next time), and RSS then (MiB)."""
    _define(root, definitions)
    began = time.monotonic()
    with _scheduler(root) as process:
        return {"seconds": time.monotonic() - began, "RSS MiB": _memory(process, "VmRSS")}


def request_latency(root: Path, definitions: int) -> dict[str, float]:
    """Milliseconds from the rename of a request file to the job's own first instant."""
    _define(root, definitions)
    stamp = root / "stamp"
    _write_job(root, "stamp", NEVER, f"date +%s%N > {stamp}.part && mv {stamp}.part {stamp}")
    late = []
    with _scheduler(root):
        for number in range(REQUESTS):
            beside = root / "jobs" / "triggers" / f".{number}"
            beside.write_text(json.dumps({"action": "run", "job_name": "stamp", "request_id": f"{number}"}))
            asked = time.time_ns()
            os.replace(beside, beside.with_name(f"{number}.json"))
            _wait_for(stamp.exists)
            late.append((int(stamp.read_text()) - asked) / 1e6)
            stamp.unlink()
            # The line that ends the run is at most 20 ms behind it; until then `forbid` would refuse the next.
            time.sleep(0.05)
    return {"p50 ms": statistics.median(late), "p99 ms": statistics.quantiles(late, n=100)[98]}


def start_drift(root: Path, jobs: int) -> dict[str, float]:
    """Milliseconds after the minute at which so many jobs due at once start, by their own clocks; CPU a run."""
    stamps = root / "stamps"
    stamps.mkdir()
    for number in range(jobs):
        _write_job(root, f"job{number}", "* * * * *", f"date +%s%N > {stamps}/{number}")
    with _scheduler(root, SCHEDULER_MAX_CONCURRENT_RUNS="1000") as process:
        if MINUTE_SECONDS - time.time() % MINUTE_SECONDS < 2:
            time.sleep(3)
            for stamp in stamps.iterdir():
                stamp.unlink()
        minute = (time.time_ns() // 10**9 // MINUTE_SECONDS + 1) * MINUTE_SECONDS
        time.sleep(max(0, minute - 0.5 - time.time()))
        before = _cpu_seconds(process)
        _wait_for(lambda: len(_lines(root, "job_complete")) >= jobs, patience=50)
        cpu = _cpu_seconds(process) - before
        peak = _memory(process, "VmHWM")
    late = sorted(int(stamp.read_text()) / 1e6 - minute * 1e3 for stamp in stamps.iterdir())
    return {
        "first ms": late[0],
        "median ms": statistics.median(late),
        "last ms": late[-1],
        "CPU ms a run, job included": cpu * 1e3 / jobs,
        "peak RSS MiB": peak,
    }


def idle_minute(root: Path) -> dict[str, float]:
    """CPU milliseconds of a minute in which nothing is due, rescans included, and RSS (MiB)."""
    _define(root, 10_000)
    with _scheduler(root) as process:
        time.sleep(5)
        before = _cpu_seconds(process)
        time.sleep(MINUTE_SECONDS)
        return {"CPU ms": (_cpu_seconds(process) - before) * 1e3, "RSS MiB": _memory(process, "VmRSS")}


def much_output(root: Path) -> dict[str, float]:
    """A job that prints 200 MB beside the plain command with a file as stdout; how much was kept, memory growth."""
    command = "head -c 200000000 /dev/zero | tr '\\0' x"
    began = time.monotonic()
    with (root / "plain").open("wb") as plain:
        subprocess.run(["/bin/sh", "-c", command], stdout=plain, check=True)
    alone = time.monotonic() - began
    (root / "plain").unlink()
    _write_job(root, "much", NEVER, command)
    with _scheduler(root) as process:
        before = _memory(process, "VmHWM")
        (root / "jobs" / "triggers" / "much").touch()
        _wait_for(lambda: _lines(root, "job_complete"), patience=60)
        (end,) = _lines(root, "job_complete")
        kept = (root / "logs" / end["stdout_file"]).stat().st_size
        return {
            "seconds against the plain command's": end["duration_seconds"] / alone,
            "kept %": kept / 2e6,
            "growth MiB": _memory(process, "VmHWM") - before,
        }


def _define(root: Path, count: int) -> None:
    for number in range(count):
        _write_job(root, f"job{number}", f"{number % 60} {number // 60 % 24} 1 1 *", "true")


def _write_job(root: Path, name: str, schedule: str, command: str) -> None:
    directory = root / "jobs"
    (directory / "triggers").mkdir(parents=True, exist_ok=True)
    document = {"name": name, "schedule": schedule, "command": command, "working_directory": "/", "enabled": True}
    (directory / f"{name}.json").write_text(json.dumps(document))


@contextmanager
def _scheduler(root: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "sidecar", "start", "--jobs", str(root / "jobs"), "--logs", str(root / "logs")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **environment}) as process:
        try:
            _wait_for(lambda: _lines(root, "scheduler_started", "scheduler_main.log"))
            yield process
        finally:
            process.terminate()


def _lines(root: Path, event: str, log: str = "scheduler_jobs.log") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in (root / "logs").glob(f"{log}*"):
        with path.open("rb") as lines:
            found += [json.loads(line) for line in lines if f'"event": "{event}"'.encode() in line]
    return found


def _wait_for(look: Any, patience: float = 30) -> None:
    deadline = time.monotonic() + patience
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing happened within {patience} s")
        time.sleep(0.002)


def _memory(process: subprocess.Popen[bytes], field: str) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith(f"{field}:"))


def _cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return the CPU time of the scheduler and of all its ended children."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
