"""Job files and log lines, for tests of the command line and of what reads the logs."""

import json
from datetime import UTC, datetime

from sidecar import health
from sidecar.clock import iso
from sidecar.journal import JOURNAL

NOW = datetime.now(UTC)
VALID = {"schedule": "0 2 * * *", "command": "true", "working_directory": "/", "enabled": True}


def put(jobs, name, file=None, **fields):
    path = jobs / (file or f"{name}.json")
    path.write_text(json.dumps({"name": name, **VALID, **fields}))
    return path


def line(event, when=NOW, **fields):
    return json.dumps({"timestamp": iso(when), "level": "info", "component": "x", "event": event, **fields}) + "\n"


def complete(job_name, when=NOW, **fields):
    values = {"run_id": "r1", "status": "success", "exit_code": 0, "end_time": iso(when), "duration_seconds": 1.5}
    return line("job_complete", when, job_name=job_name, **{**values, **fields})


def beat(logs):
    (logs / JOURNAL).touch()
    health.beat(logs, works=True)
