"""What earlier versions left on disk is read by this one: replay, audit, the admin's index, and a whole start."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from admin_ui.history import History
from chaos.outcome import Outcome
from chaos.world import World, end_processes
from sidecar import __version__, journal
from sidecar.audit import audit, terms_of
from sidecar.audit_files import read_journal
from sidecar.config import ConfigLoader, digest
from sidecar.errors import JobFileError
from tests.samples.make import SAMPLES, summary

VERSIONS = sorted(path.parent.name for path in SAMPLES.glob("*/expected.json"))


@pytest.fixture(params=VERSIONS)
def sample(request, tmp_path):
    """A copy of what one version left."""
    shutil.copytree(SAMPLES / request.param, tmp_path / "sample")
    return tmp_path / "sample"


def terms(jobs: Path):
    """Return what the definitions ask for, by hash; the sample's scheduler ran in UTC."""
    loader, found = ConfigLoader(jobs, default_timezone="UTC"), {}
    for file in loader.files():
        data = (jobs / file).read_bytes()
        try:
            found[digest(data)] = terms_of(loader.parse(file, data), "UTC")
        except JobFileError:
            assert file == "broken.json"
    return found


def entries(logs: Path):
    return [line.entry for line in read_journal(logs) if line.entry is not None]


def test_this_version_has_a_sample():
    assert __version__ in VERSIONS


def test_replay_reads_what_the_version_itself_read(sample):
    expected = json.loads((sample / "expected.json").read_text())

    assert summary(journal.replay(sample / "logs" / journal.JOURNAL)) == expected


def test_audit_understands_every_line_and_finds_nothing(sample):
    report = audit(read_journal(sample / "logs"), terms=terms(sample / "jobs"))

    assert (report.findings, report.counts["torn_lines"]) == ([], 0)
    assert report.counts["times_compared"] > 0


def test_admin_takes_up_every_line(sample, tmp_path):
    history = History(sample / "logs", tmp_path / "data", keep_days=100_000)
    try:
        history.poll()
        with history.reading() as connection:
            indexed = Counter(dict(connection.execute("SELECT event, count(*) FROM lines GROUP BY event")))
    finally:
        history.stop()

    assert history.skipped_lines == 0
    assert indexed == Counter(entry["event"] for entry in entries(sample / "logs"))


def test_scheduler_goes_on_from_there(sample):
    expected = json.loads((sample / "expected.json").read_text())
    world, outcome = World(sample), Outcome()
    world.terms = terms(world.jobs)
    try:
        world.start_and_wait()
        world.settle()
        assert world.stop() == 0
    finally:
        end_processes(sample)
    world.judge(outcome, "upgraded", whole=False)

    ends = {line["run_id"]: line["status"] for line in world.lines("job_complete", "job_skipped") if "status" in line}
    assert outcome.findings == []
    assert {ends[run_id] for run_id in expected["open"]} == {"interrupted"}
    answers = Counter(line["request_id"] for line in world.lines("trigger_accepted", "trigger_rejected"))
    assert set(answers.values()) == {1}
