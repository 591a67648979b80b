"""The verb `validate`: every problem of every job file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sidecar.config import display_name, duplicate, is_definition
from sidecar.definitions import claimed_name, loader, print_json
from sidecar.errors import JobFileError, Problem
from sidecar.exit_codes import EX_FAILED, EX_OK
from sidecar.human import clean, count
from sidecar.settings import Settings


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one file is: the definition of a job, or its problems. `shown` is how the caller called the file.

    `job_name` is the name in it, where it is one that a job can have.
    """

    path: Path
    shown: str
    job_name: str | None = None
    problems: Sequence[Problem] = ()


def validate(settings: Settings, paths: Sequence[str], *, as_json: bool) -> int:
    """Print every problem of every file and return 1, or 0 if there is none. Raises JobsDirectoryError."""
    named = paths or [os.path.join(settings.jobs_dir, "")]
    verdicts = [verdict for path in named for verdict in _judge(settings, path, alone=len(named) == 1)]
    verdicts = _without_duplicates(verdicts)
    bad = [verdict for verdict in verdicts if verdict.problems]
    if as_json:
        print_json({"valid": not bad, "files": [_verdict_document(verdict) for verdict in verdicts]})
        return EX_FAILED if bad else EX_OK
    for verdict in bad:
        for problem in verdict.problems:
            print(clean(f"{verdict.shown}: {problem}"))
    for verdict in verdicts:
        if not verdict.problems and not is_definition(verdict.path.name):
            print(clean(f"{verdict.shown}: valid, but a scheduler reads only files called NAME.json"))
    if not bad:
        print(f"{count(len(verdicts), 'job file')}, no problems")
    return EX_FAILED if bad else EX_OK


def _judge(settings: Settings, path: str, *, alone: bool) -> Iterable[Verdict]:
    if not os.path.isdir(path) and not path.endswith(os.sep):
        yield _judge_file(settings, Path(path), display_name(path))
        return
    for file in loader(settings, path).files():
        yield _judge_file(settings, Path(path, file), display_name(file if alone else os.path.join(path, file)))


def _judge_file(settings: Settings, path: Path, shown: str) -> Verdict:
    try:
        config, _ = loader(settings, path.parent).load(path.name)
    except JobFileError as error:
        return Verdict(path, shown, claimed_name(path), error.problems)
    return Verdict(path, shown, config.name)


def _without_duplicates(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts, in the order of their files; of files in one folder with one job name only the first is
    valid, as for the scheduler."""
    first: dict[tuple[str, str], Path] = {}
    judged: dict[tuple[str, str], Verdict] = {}
    for verdict in sorted(verdicts, key=lambda each: (str(each.path.parent), each.path.name)):
        folder = os.path.realpath(verdict.path.parent)
        if verdict.job_name is not None and not verdict.problems:
            holder = first.setdefault((folder, verdict.job_name), verdict.path)
            if holder.name != verdict.path.name:
                problem = duplicate(verdict.job_name, holder.name)
                verdict = replace(verdict, problems=[problem])
        judged.setdefault((folder, verdict.path.name), verdict)
    return list(judged.values())


def _verdict_document(verdict: Verdict) -> dict[str, Any]:
    return {
        "file": verdict.shown,
        "valid": not verdict.problems,
        "job_name": verdict.job_name,
        "problems": [asdict(problem) for problem in verdict.problems],
    }
