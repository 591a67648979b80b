"""What can go wrong, one class for each thing that a caller does differently."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.model import JobConfig


class SchedulerError(Exception):
    """Base of every error that this package raises on purpose."""


class SettingsError(SchedulerError):
    """A setting is unusable; the message names it. Nothing was started."""


class UsageError(SchedulerError):
    """An argument on the command line cannot be understood; the message says what is expected. Nothing was done."""


class UnknownJob(SchedulerError):
    """No job has the name that was given; the message says which names are like it."""


class ScheduleError(SchedulerError):
    """A schedule is not five valid cron fields; the message says what to write instead."""


class FileUnreadable(SchedulerError):
    """A path is not a small regular readable file; nothing was read and nothing blocked."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a job file: the field, what was found there, and what would be right."""

    field: str
    found: str
    wanted: str

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        found = f", found {self.found}" if self.found else ""
        return f"{where}{self.wanted}{found}"


class JobFileError(SchedulerError):
    """A job file is unusable; the last good version of its job stays in force.

    `unready` is the definition where it lacks only what is outside of the file, such as a directory to be mounted.
    `job_name` is the job that the file names, if it names one.
    """

    def __init__(
        self, file: str, problems: list[Problem], unready: JobConfig | None = None, job_name: str | None = None
    ) -> None:
        super().__init__("\n".join(f"{file}: {problem}" for problem in problems))
        self.file = file
        self.problems = problems
        self.unready = unready
        self.job_name = job_name


class JobsDirectoryError(SchedulerError):
    """The jobs directory cannot be listed; nothing that was known changes."""


class StartError(SchedulerError):
    """A command could not be started; no process exists. `exit_code` is 126 or 127, as a shell would say."""

    def __init__(self, exit_code: int, reason: str) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


class JournalUnusable(SchedulerError):
    """The journal cannot be read or written at start; no job was started."""


class AlreadyRunning(SchedulerError):
    """Another scheduler holds the lock of this logs directory; nothing was written."""
