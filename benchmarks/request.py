"""Measure 4: from a request to the first instant of the process that it starts."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

from benchmarks import machine, systems, workshop
from benchmarks.report import Figures
from benchmarks.startup import spread_jobs
from benchmarks.systems import Job, Yacron

NEVER = "0 0 1 1 *"
BETWEEN_SECONDS = 0.05
"""After a run has started, so that its end is known and the next request is not refused."""


def measure(root: Path, definitions: int, requests: int) -> Iterator[tuple[str, str, Figures]]:
    """Yield (measure, system, figures): by file for the product and the floor, by HTTP for those that have it."""
    title = f"request to first instant, {definitions:,} definitions"
    places = {name: root / name for name in ("floor", "product", *(peer.name for peer in _peers(definitions)))}
    for place in places.values():
        place.mkdir(parents=True)
    yield title, "floor in Python", _floor(places["floor"], requests)
    yield title, systems.PRODUCT.name, _product(places["product"], definitions, requests)
    for peer in _peers(definitions):
        yield title, f"{peer.name} (HTTP)", _http(peer, places[peer.name], definitions, requests)


def _peers(definitions: int) -> list[Yacron]:
    peers = [systems.CRONSTABLE, *([systems.YACRON] if definitions <= 10 else [])]
    return [peer for peer in peers if peer.missing() is None]


def _floor(place: Path, requests: int) -> Figures:
    inbox = place / "inbox"
    inbox.mkdir()
    program = workshop.PROGRAMS / "floor_request.py"
    command = [str(workshop.product_python()), str(program), str(inbox), workshop.stamp(place / "stamps")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            return _late(place / "stamps", requests, lambda number: _rename_in(inbox, f"{number}.json", "{}"))
        finally:
            process.terminate()


def _product(place: Path, definitions: int, requests: int) -> Figures:
    job = Job("stamp", NEVER, workshop.stamp(place / "stamps"))
    with systems.PRODUCT.running(place, [*spread_jobs(definitions), job]):
        return _late(place / "stamps", requests, lambda number: ask(place, f"{number}"))


def ask(place: Path, request_id: str, job_name: str = "stamp") -> int:
    """Drop a request and return the instant (ns) of its rename."""
    document = json.dumps({"action": "run", "job_name": job_name, "request_id": request_id})
    return _rename_in(place / "jobs" / "triggers", f"{request_id}.json", document)


def _http(peer: Yacron, place: Path, definitions: int, requests: int) -> Figures:
    job = Job("stamp", NEVER, workshop.stamp(place / "stamps"))
    with peer.running(place, [*spread_jobs(definitions), job]):
        connection = HTTPConnection("127.0.0.1", peer.port)

        def post(_: int) -> int:
            asked = time.time_ns()
            connection.request("POST", "/jobs/stamp/start")
            connection.getresponse().read()
            return asked

        return _late(place / "stamps", requests, post)


def _late(stamps: Path, requests: int, ask_for: Callable[[int], int]) -> Figures:
    late = []
    for number in range(requests):
        asked = ask_for(number)
        machine.wait_for(lambda: stamps.exists() and stamps.read_bytes().endswith(b"\n"), 20)
        late.append((int(stamps.read_text().split()[0]) - asked) / 1e6)
        stamps.unlink()
        time.sleep(BETWEEN_SECONDS)
    return {"p50 ms": statistics.median(late), "p99 ms": statistics.quantiles(late, n=100)[98]}


def _rename_in(directory: Path, name: str, text: str) -> int:
    beside = directory / f".{name}"
    beside.write_text(text)
    asked = time.time_ns()
    os.replace(beside, directory / name)
    return asked


def product_lines(place: Path, event: str, *, log: str = "scheduler_jobs.log") -> list[dict[str, object]]:
    """Return the whole lines of an event in the product's journal, rotated files too."""
    found, wanted = [], f'"event": "{event}"'.encode()
    for path in (place / "logs").glob(f"{log}*"):
        with path.open("rb") as lines:
            # The last one may be being written.
            found += [json.loads(line) for line in lines if wanted in line and line.endswith(b"\n")]
    return found
