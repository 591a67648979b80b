"""One scheduler's directories, everything that is asked of it there, and the judge of what it made of that."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from chaos.fakeclock import Clock, RealClock
from chaos.outcome import Outcome
from sidecar import audit, audit_files, history, journal
from sidecar.audit_events import Entry, Terms
from sidecar.config import ConfigLoader, digest
from sidecar.errors import JournalUnusable
from sidecar.ledger import Ledger
from sidecar.model import request_key

PATIENCE_SECONDS = 60.0
MARK = "CHAOS_WORLD"
"""A variable that every process of a world has in its environment."""

RAN = (None, 126, 127)
"""Exit codes of runs whose command may not have begun."""


class NeverCame(Exception):
    """What an experiment waits for did not happen in a minute."""


def wait_for(look: Callable[[], object], what: str, patience: float = PATIENCE_SECONDS) -> None:
    """Return as soon as `look` is true. Raises NeverCame, naming what was waited for."""
    deadline = time.monotonic() + patience
    while not look():
        if time.monotonic() > deadline:
            raise NeverCame(f"waited {patience:.0f} s for {what}")
        time.sleep(0.02)


def end_processes(root: Path) -> None:
    """Kill every process of the worlds at and below `root`."""
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/environ", "rb") as environ:
                    variables = environ.read().split(b"\0")
                marks = (each.partition(b"=")[2] for each in variables if each.startswith(f"{MARK}=".encode()))
                if any((mark + b"/").startswith(f"{root}/".encode()) for mark in marks):
                    os.kill(int(name), signal.SIGKILL)
            except OSError:
                continue


class World:
    """`root/jobs` and `root/logs`, a scheduler on them, and `root/evidence`, to which every job appends its run id."""

    def __init__(self, root: Path, clock: Clock | None = None, **settings: str) -> None:
        self.root = root
        self.jobs, self.logs, self.evidence = root / "jobs", root / "logs", root / "evidence"
        self.triggers = self.jobs / "triggers"
        self.triggers.mkdir(parents=True, exist_ok=True)
        self.evidence.touch()
        self.clock: Clock = clock or RealClock()
        self.settings = settings
        self.terms: dict[str, Terms] = {}
        self.asked: dict[str, Path] = {}
        self.process: subprocess.Popen[bytes] | None = None

    # The scheduler

    def start(self, *flags: str, launcher: Sequence[str] = (), prefix: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start the scheduler; it is not waited for."""
        self.process = self.spawn(*flags, launcher=launcher, prefix=prefix)
        return self.process

    def spawn(self, *flags: str, launcher: Sequence[str] = (), prefix: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start one more scheduler; `prefix` is a command that ends by executing its arguments.

        `launcher` takes the place of the clock's.
        """
        with (self.root / "stderr").open("ab") as stderr:
            return subprocess.Popen(
                [
                    *prefix,
                    sys.executable,
                    *(launcher or self.clock.launcher),
                    "start",
                    "--jobs",
                    str(self.jobs),
                    "--logs",
                    str(self.logs),
                    *flags,
                ],
                env={**self._environment(), **self.settings, **self.clock.environment()},
                cwd=Path(__file__).parent.parent,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], MARK: str(self.root), "EVIDENCE": str(self.evidence)}

    def started(self) -> int:
        """Return how many schedulers have said that they work."""
        return sum(entry["event"] == "scheduler_started" for entry in self.main_lines())

    def start_and_wait(self, *, prefix: Sequence[str] = ()) -> None:
        """Start the scheduler and wait until it works. Raises NeverCame, with what it said."""
        before = self.started()
        process = self.start(prefix=prefix)
        wait_for(lambda: self.started() > before or process.poll() is not None, "the scheduler to start")
        if process.poll() is not None:
            raise NeverCame(f"the scheduler ended with {process.returncode}: {self.stderr()[-500:]}")

    def kill(self) -> None:
        """Kill the scheduler as a crash does; its jobs live on."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def has_ended(self) -> bool:
        """Return whether the scheduler that was started last is no more."""
        return self.process is not None and self.process.poll() is not None

    def stop(self) -> int:
        """Ask the scheduler to stop and return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)

    def stderr(self) -> str:
        """Return all that the schedulers wrote to stderr."""
        return (self.root / "stderr").read_text(errors="replace")

    def clear_up(self) -> None:
        """End every process of this world, and remove its files."""
        end_processes(self.root)
        if self.process is not None:
            self.process.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    # What an operator does

    def define(self, name: str, command: str = "true", schedule: str = "0 0 1 1 *", **fields: Any) -> None:
        """Write a valid definition by rename; its command first leaves evidence."""
        self.put(self.jobs / f"{name}.json", self.definition(name, command, schedule, **fields))

    def definition(self, name: str, command: str = "true", schedule: str = "0 0 1 1 *", **fields: Any) -> bytes:
        """Return the text of a valid definition, which the judge knows from now on."""
        environment = {"LD_PRELOAD": "", **fields.pop("environment", {})}
        document = {
            "name": name,
            "schedule": schedule,
            "command": f'echo "$JOB_RUN_ID" >> "$EVIDENCE"; {command}',
            "working_directory": "/",
            "enabled": True,
            "environment": environment,
            **fields,
        }
        data = json.dumps(document).encode()
        config = ConfigLoader(self.jobs, default_timezone="UTC").parse(f"{name}.json", data)
        self.terms[digest(data)] = audit.terms_of(config, self.settings.get("TZ", "UTC"))
        return data

    def disable_all(self) -> None:
        """Disable every job, so that no retry is left to wait for."""
        for path in sorted(self.jobs.glob("*.json")):
            try:
                document = json.loads(path.read_bytes())
            except ValueError:
                path.unlink()
                continue
            self.put(path, json.dumps({**document, "enabled": False}).encode())

    def ask(self, job_name: str, request_id: str, action: str = "run", **fields: str) -> None:
        """Drop a request by rename."""
        path = self.triggers / f"{request_id}.json"
        document = {"action": action, "job_name": job_name, "request_id": request_id, **fields}
        self.put(path, json.dumps(document).encode())
        self.asked[request_key(action, job_name, request_id)] = path

    def ask_at_once(self, requests: Mapping[str, str]) -> float:
        """Drop a run request for each id and job name, as fast as files can be renamed; return the seconds it took."""
        texts = {}
        for request_id, job_name in requests.items():
            path = self.triggers / f"{request_id}.json"
            texts[path] = json.dumps({"action": "run", "job_name": job_name, "request_id": request_id}).encode()
            self.asked[request_key("run", job_name, request_id)] = path
        return self.put_at_once(texts)

    def touch(self, job_name: str) -> None:
        """Ask for a run as a person at a shell does."""
        path = self.triggers / job_name
        path.touch()
        self._set_time(path)
        request_id = f"{job_name}@{path.stat().st_mtime_ns}"
        self.asked[request_key("run", job_name, request_id)] = path

    def put(self, path: Path, data: bytes) -> None:
        """Write a file by rename."""
        self.put_at_once({path: data})

    def put_at_once(self, texts: Mapping[Path, bytes]) -> float:
        """Write files, then rename them all as fast as that goes; return the seconds that the renames took."""
        renames = []
        for path, data in texts.items():
            beside = path.with_name(f".{path.name}.new")
            beside.write_bytes(data)
            self._set_time(beside)
            renames.append((beside, path))
        began = time.monotonic()
        for beside, path in renames:
            os.replace(beside, path)
        return time.monotonic() - began

    def _set_time(self, path: Path) -> None:
        moment = self.clock.now().timestamp()
        os.utime(path, (moment, moment))

    # What can be seen

    def ledger(self) -> Ledger:
        """Return what the next scheduler would read back; the present one may be moving files meanwhile."""
        for _ in range(100):
            with contextlib.suppress(JournalUnusable):
                return journal.replay(self.logs / journal.JOURNAL)
            time.sleep(0.01)
        return journal.replay(self.logs / journal.JOURNAL)

    def lines(self, *events: str) -> list[Entry]:
        """Return the journal's lines of these events."""
        lines = (line.entry for line in audit_files.read_journal(self.logs))
        return [entry for entry in lines if entry is not None and entry["event"] in events]

    def main_lines(self) -> list[Entry]:
        """Return the lines of the main log."""
        return list(history.entries(self.logs / journal.MAIN_LOG))

    def unanswered(self) -> list[str]:
        """Return the requests whose file is there and that have no answer."""
        answers = self.ledger().answers
        return [key for key, path in self.asked.items() if key not in answers and path.exists()]

    def is_idle(self) -> bool:
        """Return whether no run is going, queued or to be retried."""
        ledger = self.ledger()
        return not (len(ledger.open) or len(ledger.pending) or len(ledger.retries))

    def settle(self) -> None:
        """Wait until every request has its answer; then end all retries and wait until every run has ended.

        Raises NeverCame, at once if the scheduler has ended.
        """
        wait_for(lambda: not self.unanswered() or self.has_ended(), "an answer to each request")
        if self.has_ended():
            raise NeverCame(
                f"the scheduler has ended before {self.unanswered()[:5]} had answers: {self.stderr()[-500:]}"
            )
        self.disable_all()
        wait_for(self.is_idle, "every run to end")

    # The judge

    def judge(self, outcome: Outcome, what: str, *, whole: bool = True) -> None:
        """Hold the journal against the promise, the evidence and what was asked.

        Without `whole` somebody took a part of the journal away: what is left is judged by itself.
        """
        evidence = audit_files.read_evidence(self.evidence)
        report = audit.audit(
            audit_files.read_journal(self.logs),
            terms=self.terms,
            evidence=evidence if whole else (),
            remembered=timedelta(seconds=float(self.settings.get("SCHEDULER_TRIGGER_MAX_AGE_SECONDS", "3600"))),
            worked_until=audit.worked_until(self.main_lines()),
        )
        for name in ("starts", "ends", "times", "times_compared", "accepted", "rejected", "files", "torn_lines"):
            outcome.counts[name] += report.counts.get(name, 0)
        for name in ("status_interrupted", "job_missed", "job_skipped", "reanchored", "evidence"):
            outcome.counts[name] += report.counts.get(name, 0)
        found = [f"{f.place}: {f.rule}: {f.message}" for f in report.findings]
        found += [f"{place}: run {run_id} never ended" for run_id, place in {**report.open, **report.waiting}.items()]
        crashes = [entry for entry in self.main_lines() if entry["event"] == "scheduler_crashed"]
        found += [f"the scheduler crashed: {entry['reason']}" for entry in crashes]
        if whole:
            found += self._unanswered_for_good()
            found += self._without_evidence({run_id for _, run_id in evidence})
        outcome.counts["journals judged"] += 1
        outcome.findings += [f"{what}: {text}" for text in found]

    def _unanswered_for_good(self) -> list[str]:
        answers = self.lines("trigger_accepted", "trigger_rejected")
        known = {request_key(line["action"], line["job_name"], line["request_id"]) for line in answers}
        return [f"request {key} has no answer" for key in self.asked.keys() - known]

    def _without_evidence(self, seen: set[str]) -> list[str]:
        ends = [line for line in self.lines("job_complete") if line["status"] in ("success", "failure")]
        return [
            f"run {line['run_id']} ended with {line['exit_code']} and left no evidence"
            for line in ends
            if line["exit_code"] not in RAN and line["run_id"] not in seen
        ]
