"""What can go wrong, one class for each thing that a caller does differently."""

from __future__ import annotations

from collections.abc import Mapping


class AdminError(Exception):
    """Base of every error that this package raises on purpose; its text may be shown to the user."""


class SettingsError(AdminError):
    """A setting is unusable; the message names it. Nothing was started."""


class NotAuthorized(AdminError):
    """Nobody is signed in, or the user lacks the role; nothing was done. The refusal is answered with 401 or 403."""


class JobNotFoundError(AdminError):
    """No definition has this name; nothing was changed."""

    def __init__(self, name: str, what: str = "job called") -> None:
        super().__init__(f"there is no {what} {name!r}")


class RunNotFoundError(JobNotFoundError):
    """The history has no run of this id; nothing was changed."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id, "run in the history called")


class JobAlreadyExistsError(AdminError):
    """Another file has this name or defines a job of this name; nothing was changed."""

    def __init__(self, job_name: str, file: str) -> None:
        super().__init__(f"a job called {job_name!r} exists already, in {file}; choose a different name")
        self.job_name = job_name
        self.file = file


class ValidationError(AdminError):
    """The input is no valid definition, request or schedule; nothing was changed. `errors` are messages by field."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {text}" if field else text for field, text in errors.items()))
        self.errors = dict(errors)


class ConflictError(AdminError):
    """The file changed after the form was loaded; nothing was overwritten. `newer` is its text now, None if gone."""

    def __init__(self, file: str, newer: str | None, newer_hash: str | None) -> None:
        super().__init__(f"{file} was {'changed' if newer is not None else 'removed'} by somebody else meanwhile")
        self.file = file
        self.newer = newer
        self.newer_hash = newer_hash


class StorageError(AdminError):
    """A file or the index cannot be read or written; the message says which and why. The change did not happen."""


class NotDurable(AdminError):
    """The change was made and counts, but its folder cannot be synced: a power cut may undo it."""

    def __init__(self, folder: str, why: str) -> None:
        super().__init__(f"it is done, but a power cut may undo it: the folder {folder}/ cannot be synced: {why}")


class FileUnreadable(AdminError):
    """A path is not a small regular readable file; nothing was read and nothing blocked."""


class ScheduleError(AdminError):
    """A schedule is not five valid cron fields, or a zone is unknown; the message says what to write instead."""


class RequestRejected(AdminError):
    """The scheduler refused a request. `reason` is its word for it, `detail` what it said more."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"the scheduler refused it ({reason.replace('_', ' ')}): {detail}")
        self.reason = reason
        self.detail = detail


class SchedulerSilent(AdminError):
    """The scheduler did not answer a request in time; it stays in place and may still be answered."""


class TriggerPending(AdminError):
    """The run was accepted and has not ended within the time limit; it goes on."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id} has not ended yet; it goes on")
        self.run_id = run_id
