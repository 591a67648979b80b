"""Remember which version of each job's file this service wrote last, to tell what others changed.

Kept in one small file of the data directory. Losing it is harmless: what this service wrote lately then counts as
changed by others for a day.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from admin_ui.errors import FileUnreadable, NotDurable
from admin_ui.files import read_below, read_json, write_whole
from admin_ui.job_files import JobFile

LOG = logging.getLogger(__name__)
FILE_NAME = "own_writes.json"
MOST_REMEMBERED = 2000
LATELY = timedelta(hours=24)


class OwnWrites:
    """The sha256 of what was written last, by job; of the jobs written last, at most 2,000. Thread-safe."""

    def __init__(self, data_directory: str | Path) -> None:
        self._directory = Path(data_directory)
        self._lock = threading.Lock()
        self._written = self._load()

    def note(self, job_name: str, sha256: str | None) -> None:
        """Remember a version that was written just now, None for none. That is done: a failure here is only logged."""
        with self._lock:
            written = {name: known for name, known in self._written.items() if name != job_name}
            if sha256 is not None:
                written[job_name] = sha256  # the dictionary's order is that of the last writes
            if len(written) > MOST_REMEMBERED:
                del written[next(iter(written))]
            self._written = written
            try:
                self._directory.mkdir(parents=True, exist_ok=True)
                write_whole(self._directory / FILE_NAME, json.dumps(self._written).encode(), 0o600)
            except (OSError, NotDurable) as error:
                LOG.warning("%s cannot be kept: %s", FILE_NAME, error)

    def changed_outside(self, files: Iterable[JobFile], now: datetime) -> dict[str, datetime]:
        """Return, by job, when its file was changed or added by others, newest first.

        That is: the file's modification time lies within the last 24 h, and its content is not what this service
        wrote last for that job.
        """
        since = now - LATELY
        found = {
            each.name: each.modified
            for each in files
            if each.modified is not None
            and each.modified > since
            and each.name
            and each.duplicate_of is None
            and self._written.get(each.name) != each.sha256
        }
        return dict(sorted(found.items(), key=lambda item: item[1], reverse=True))

    def _load(self) -> dict[str, str]:
        try:
            document = read_json(read_below(self._directory, FILE_NAME)[0])
        except FileNotFoundError:
            return {}
        except (FileUnreadable, ValueError) as error:
            LOG.warning("%s is begun anew: %s", FILE_NAME, error)
            return {}
        pairs = document.items() if isinstance(document, Mapping) else ()
        return {name: sha256 for name, sha256 in pairs if isinstance(sha256, str)}
