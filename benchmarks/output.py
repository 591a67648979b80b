"""Measure 5: a job that prints 200 MB, a thousand that print 100 KB each, and one whose child keeps the output open.

Beside the peers that keep output. The other ones do not touch it: cron mails it or drops it, crond of busybox and
`schedule` leave it to where they print themselves.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks import machine, systems
from benchmarks.report import Figures
from benchmarks.request import NEVER, ask, product_lines
from benchmarks.systems import EVERY_MINUTE, Job, System, SystemFailed, Yacron

MEGABYTES = 200
LINE = "x" * 99
PRINT_MUCH = f"yes {LINE} | head -c {MEGABYTES}000000"
PRINT_SOME = f"yes {LINE} | head -c 100000"
LEAVE_A_CHILD = "sleep 5 & date +%s%N"
TIMES = 3
PATIENCE_SECONDS = 120.0
SETTLE_SECONDS = 3.0
"""For a system that goes on writing after the end of a job."""


def measure(root: Path, jobs: int) -> Iterator[tuple[str, str, Figures]]:
    """Yield the figures of the product and, for one job that prints much, of the peers."""
    for folder in ("much", "many", "held"):
        (root / folder).mkdir(parents=True)
    yield f"{MEGABYTES} MB of output", systems.PRODUCT.name, _much(systems.PRODUCT, root / "much")
    yield f"{jobs:,} jobs with 100 KB each", systems.PRODUCT.name, _many(root / "many", jobs)
    yield "end of a run whose child holds the output", systems.PRODUCT.name, _held(root / "held")
    for peer in _peers():
        (root / peer.name).mkdir()
        yield f"{MEGABYTES} MB of output", peer.name, _much(peer, root / peer.name)


def _peers() -> list[System]:
    cronstable, yacron = Yacron("cronstable"), Yacron("yacron")
    cronstable.captures = yacron.captures = True
    return [peer for peer in (cronstable, yacron, systems.APSCHEDULER) if peer.missing() is None]


@dataclass(frozen=True)
class _Timed:
    """A command that notes its own first and last instant, so that all systems are measured alike."""

    root: Path
    command: str

    def __str__(self) -> str:
        return f"date +%s%N > {self.root}/began; {self.command}; date +%s%N > {self.root}/ended"

    def seconds(self) -> float:
        """Return how long it took, as soon as it has ended."""
        ended = self.root / "ended"
        if not machine.wait_for(lambda: ended.exists() and ended.read_text().endswith("\n"), PATIENCE_SECONDS):
            raise SystemFailed(f"nothing ended within {PATIENCE_SECONDS:.0f} s in {self.root}")
        seconds = (int(ended.read_text()) - int((self.root / "began").read_text())) / 1e9
        ended.unlink()
        return seconds


def _much(system: System, root: Path) -> Figures:
    plain = _Timed(root, PRINT_MUCH)
    takes_requests = system is systems.PRODUCT or isinstance(system, Yacron)
    job = Job("much", NEVER if takes_requests else EVERY_MINUTE, str(plain))
    times, alone, taken = TIMES if takes_requests else 1, list[float](), list[float]()
    with system.running(root, [job]) as process:
        before = machine.memory(process.pid, "VmHWM")
        for number in range(times):
            with (root / "plain").open("wb") as file:
                subprocess.run(["/bin/sh", "-c", str(plain)], stdout=file, check=True)
            alone.append(plain.seconds())
            (root / "plain").unlink()
            _start(system, root, job, number)
            taken.append(plain.seconds())
            time.sleep(SETTLE_SECONDS)
        grown = machine.memory(process.pid, "VmHWM") - before
    return {
        "times the plain command": statistics.median(taken) / statistics.median(alone),
        "kept %": _kept(system, root) / times / MEGABYTES / 1e4,
        "growth MiB": grown,
    }


def _start(system: System, root: Path, job: Job, number: int) -> None:
    """Ask for a run where the system takes requests; the other ones start it in the next minute."""
    if system is systems.PRODUCT:
        ask(root, f"now-{number}", job.name)
    elif isinstance(system, Yacron):
        connection = HTTPConnection("127.0.0.1", system.port)
        connection.request("POST", f"/jobs/{job.name}/start")
        connection.getresponse().read()


def _kept(system: System, root: Path) -> int:
    """Return how many bytes of the output are anywhere: in files, or in what the system prints."""
    if system is systems.PRODUCT:
        ends = product_lines(root, "job_complete")
        return sum((root / "logs" / str(end["stdout_file"])).stat().st_size for end in ends)
    if system is systems.APSCHEDULER:
        return int((root / "said").read_text().rpartition("in memory: ")[2].split()[0])
    line = LINE.encode()
    with (root / "said").open("rb") as said, (root / "warned").open("rb") as warned:
        return sum(len(line) + 1 for file in (said, warned) for printed in file if line in printed)


def _many(root: Path, jobs: int) -> Figures:
    names = [f"some{number}" for number in range(jobs)]
    began = time.monotonic()
    _run_plain(root, jobs)
    alone = time.monotonic() - began
    with systems.PRODUCT.running(root, [Job(name, NEVER, PRINT_SOME) for name in names]) as process:
        before = machine.memory(process.pid, "VmHWM")
        began = time.monotonic()
        ends = _ends(root, names)
        seconds = time.monotonic() - began
        kept = sum((root / "logs" / str(end["stdout_file"])).stat().st_size for end in ends)
        grown = machine.memory(process.pid, "VmHWM") - before
    return {
        "seconds": seconds,
        "times the plain commands": seconds / alone,
        "kept %": kept / jobs / 1e3,
        "growth MiB": grown,
    }


def _run_plain(root: Path, jobs: int) -> None:
    """Run the same commands, each with its output in a file, two at a time and with nothing else done."""
    (root / "plain").mkdir()
    numbers = "".join(f"{number}\n" for number in range(jobs))
    one = f"{PRINT_SOME} > {root}/plain/$0"
    subprocess.run(["xargs", "-P2", "-n1", "/bin/sh", "-c", one], input=numbers, text=True, check=True)


def _held(root: Path) -> Figures:
    with systems.PRODUCT.running(root, [Job("held", NEVER, LEAVE_A_CHILD)]):
        (end,) = _ends(root, ["held"])
    ended = datetime.fromisoformat(end["timestamp"]).timestamp()
    return {"ms after the shell's last command": ended * 1e3 - int(end["stdout"]) / 1e6}


def _ends(root: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Ask for a run of each job and return their last lines."""
    for name in names:
        ask(root, f"ask-{name}", name)
    machine.wait_for(lambda: len(product_lines(root, "job_complete")) >= len(names), PATIENCE_SECONDS, pause=0.1)
    return product_lines(root, "job_complete")
