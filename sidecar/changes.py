"""Tell of changed definitions in the main log."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sidecar.catalog import Change, ChangeKind
from sidecar.logger import JobLogger


def log_change(logger: JobLogger, change: Change, *, at_start: bool) -> None:
    """Log one change. At a start only what is wrong is told: the rest is summed up in one line."""
    if change.kind is ChangeKind.CONFIG_ERROR:
        errors = [asdict(problem) for problem in change.problems]
        logger.log_config_error(change.file, errors, job_name=change.job_name, kept_last_good=change.kept_last_good)
        return
    fields: dict[str, Any] = {"file": change.file, "job_name": change.job_name}
    if change.kind is ChangeKind.CONFIG_RECOVERED:
        logger.event("config_recovered", component="config", **fields)
    elif not at_start:
        if change.kind is not ChangeKind.REMOVED and change.definition is not None:
            fields["sha256"] = change.definition.sha256
        logger.event(f"job_{change.kind}", component="config", **fields)
