"""`audit-journal`: read all files of the journal and what jobs left as evidence, and print what the audit finds."""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sidecar import journal
from sidecar.audit import audit, terms_of, worked_until, zones
from sidecar.audit_events import Entry, Line, Terms
from sidecar.audit_report import Place, as_document, as_text
from sidecar.definitions import read_definitions
from sidecar.exit_codes import EX_FAILED, EX_OK
from sidecar.human import clean
from sidecar.settings import Settings


def audit_journal(settings: Settings, evidence: Sequence[str], *, with_jobs: bool, as_json: bool) -> int:
    """Print what is wrong with the journal, a line each, and counts; return 1 if anything is.

    `with_jobs` compares with the schedules of the present definitions too. Raises JobsDirectoryError, OSError.
    """
    path = settings.logs_dir / journal.JOURNAL
    if not journal.files(path):
        raise FileNotFoundError(errno.ENOENT, "there is no journal to check", str(path))
    main = list(_entries(settings.logs_dir / journal.MAIN_LOG))
    terms = _present_terms(settings, main) if with_jobs else []
    report = audit(
        read_journal(settings.logs_dir),
        terms=terms[0][1] if terms else None,
        later=terms[1:],
        evidence=[item for path in evidence for item in read_evidence(Path(path))],
        remembered=timedelta(seconds=settings.trigger_max_age_seconds),
        worked_until=worked_until(main),
    )
    if as_json:
        print(json.dumps(as_document(report), indent=2))
    else:
        for line in as_text(report):
            print(clean(line))
    return EX_FAILED if report.findings else EX_OK


def read_journal(logs_dir: Path) -> Iterator[Line]:
    """Yield the lines of all of the journal's files, oldest first. Raises OSError for one that cannot be read."""
    return _lines(logs_dir / journal.JOURNAL)


def read_evidence(path: Path) -> list[tuple[Place, str]]:
    """Return the run ids in a file, one a line; empty lines are left out. Raises OSError."""
    lines = path.read_text(errors="backslashreplace").splitlines()
    named = ((Place(path.name, number), line.strip()) for number, line in enumerate(lines, 1))
    return [(place, run_id) for place, run_id in named if run_id]


def _present_terms(settings: Settings, main: Sequence[Entry]) -> list[tuple[datetime, Mapping[str, Terms]]]:
    """Return the terms of the present definitions in the zone of each scheduler, and since when they counted."""
    # Not in the zone of whoever looks, who may well have another TZ.
    definitions = read_definitions(settings).jobs.values()
    return [
        (since, {definition.sha256: terms_of(definition.config, zone) for definition in definitions})
        for since, zone in zones(main, settings.timezone)
    ]


def _entries(path: Path) -> Iterator[Entry]:
    return (line.entry for line in _lines(path) if line.entry is not None)


def _lines(path: Path) -> Iterator[Line]:
    with contextlib.ExitStack() as stack:
        for name, file in reversed(journal.open_all(path, stack)):
            for number, data in enumerate(file, 1):
                entry = journal.parse_line(data)
                if entry is not None or data.endswith(b"\n"):  # the rest of the last line may be on its way
                    yield Line(Place(name, number), entry)
