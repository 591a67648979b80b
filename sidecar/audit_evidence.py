"""Audit what jobs left behind outside the journal: one line a run, of each that started and of no other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sidecar.audit_report import Findings, Place, Rule
from sidecar.audit_runs import Run

RUN_ID_TIME = re.compile(r"([0-9]{8}T[0-9]{6})-")
"""A run id begins with the time (UTC) at which its first attempt was decided on."""


def compare(
    evidence: Sequence[tuple[Place, str]], runs: Mapping[str, Run], oldest: datetime | None, findings: Findings
) -> None:
    """Hold the run ids against the journal's runs, both ways; `oldest` is the time of its oldest line."""
    seen: dict[str, Place] = {}
    jobs: set[str] = set()
    for place, run_id in evidence:
        findings.counts["evidence"] += 1
        run = runs.get(run_id)
        if run_id in seen:
            findings.add(place, Rule.EVIDENCE_TWICE, f"run {run_id} left evidence before, in {seen[run_id]}")
        elif run is not None and run.started is not None:
            jobs.add(run.job_name)
        elif oldest is not None and _is_older(run_id, oldest):
            findings.counts["evidence_older_than_the_journal"] += 1
        else:
            findings.add(place, Rule.EVIDENCE_UNKNOWN, f"run {run_id} left evidence, but no line has its start")
        seen.setdefault(run_id, place)
    for run_id, run in runs.items():
        if run.job_name in jobs and run.status == "success" and run_id not in seen and run.ended is not None:
            message = f"run {run_id} of {run.job_name} ended as success and left no evidence"
            findings.add(run.ended, Rule.EVIDENCE_MISSING, message)


def _is_older(run_id: str, oldest: datetime) -> bool:
    match = RUN_ID_TIME.match(run_id)
    try:
        return match is not None and datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) < oldest
    except ValueError:
        return False
