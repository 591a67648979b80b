"""Save job files until killed: `python -m chaos.saver JOBS SEED`. Every text says, padded, which version it is."""

from __future__ import annotations

import contextlib
import sys
from itertools import count
from pathlib import Path
from random import Random

from admin_ui.errors import AdminError
from admin_ui.job_management_service import JobManagementService
from admin_ui.model import JobConfig

NAMES = ("a", "b", "c")
PADDING = 40_000


def description(version: int) -> str:
    """Return the description of a version: it is whole if it begins as it ends."""
    return f"{version} {'x' * PADDING} {version}"


def main() -> None:
    """Create, change, switch, delete and trigger for ever."""
    chance, jobs = Random(sys.argv[2]), Path(sys.argv[1])
    service = JobManagementService(jobs, jobs.parent / "logs")
    for version in count():
        name = chance.choice(NAMES)
        fields = {"environment": {"TEXT": description(version)}}
        config = JobConfig.from_document(
            {"name": name, "schedule": "0 0 1 1 *", "command": "true", "working_directory": "/", "enabled": True}
            | fields
        )
        with contextlib.suppress(AdminError):
            match chance.randrange(6):
                case 0:
                    service.create_job(config)
                case 1:
                    service.delete_job(name)
                case 2:
                    service.disable_job(name)
                case _:
                    service.update_job(name, config)


if __name__ == "__main__":
    main()
