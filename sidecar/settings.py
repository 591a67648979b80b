"""One frozen `Settings` from the environment (`SCHEDULER_…`) and the command line, whose flags win."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.cron import zone_named
from sidecar.errors import ScheduleError, SettingsError

MAX_NUMBER = 10**15


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that can be set; docs/settings.md lists each with its meaning."""

    jobs_dir: Path = Path("jobs")
    logs_dir: Path = Path("logs")
    timezone: str = "UTC"
    max_concurrent_runs: int = 32
    shutdown_grace_seconds: float = 300
    log_max_bytes: int = 10 * 1024 * 1024
    log_backups: int = 5
    inline_output_bytes: int = 32 * 1024
    rescan_seconds: float = 30
    trigger_max_age_seconds: float = 3600
    output_max_age_days: float = 30
    output_max_runs: int = 100
    output_max_bytes: int = 10 * 1024**3
    watch: str = "inotify"

    @property
    def triggers_dir(self) -> Path:
        """Where request files are dropped."""
        return self.jobs_dir / "triggers"


def _whole(minimum: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        digits = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_NUMBER))
        if not digits or not minimum <= int(text) <= MAX_NUMBER:
            raise ValueError(f"expected a whole number of at least {minimum}")
        return int(text)

    return read


def _seconds(minimum: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        wanted = f"expected a number of at least {minimum:g}"
        try:
            value = float(text)
        except ValueError:
            raise ValueError(wanted) from None
        if not minimum <= value <= MAX_NUMBER:
            raise ValueError(wanted)
        return value

    return read


def _directory(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError("expected a path")
    return Path(text)


def _watch(text: str) -> str:
    if text not in ("inotify", "polling"):
        raise ValueError("expected inotify or polling")
    return text


def _zone(text: str) -> str:
    try:
        zone_named(text)
    except ScheduleError:
        raise ValueError("expected an IANA time zone such as Europe/Berlin") from None
    return text


READERS: dict[str, Callable[[str], Any]] = {
    "SCHEDULER_JOBS_DIR": _directory,
    "SCHEDULER_LOGS_DIR": _directory,
    "SCHEDULER_MAX_CONCURRENT_RUNS": _whole(1),
    "SCHEDULER_SHUTDOWN_GRACE_SECONDS": _seconds(0),
    "SCHEDULER_LOG_MAX_BYTES": _whole(1),
    "SCHEDULER_LOG_BACKUPS": _whole(1),
    "SCHEDULER_INLINE_OUTPUT_BYTES": _whole(0),
    "SCHEDULER_RESCAN_SECONDS": _seconds(0.1),
    "SCHEDULER_TRIGGER_MAX_AGE_SECONDS": _seconds(1),
    "SCHEDULER_OUTPUT_MAX_AGE_DAYS": _seconds(0),
    "SCHEDULER_OUTPUT_MAX_RUNS": _whole(1),
    "SCHEDULER_OUTPUT_MAX_BYTES": _whole(0),
    "SCHEDULER_WATCH": _watch,
    "TZ": _zone,
}
"""Every environment variable that is read, with the function that checks it."""


def from_environment(
    environ: Mapping[str, str] | None = None, *, jobs: str | None = None, logs: str | None = None
) -> Settings:
    """Return the settings; `jobs` and `logs` are the command line's and win over the environment.

    An empty variable counts as unset; unknown names are ignored, as Kubernetes itself sets SCHEDULER_PORT and
    the like where a service is called scheduler. Raises SettingsError, naming the variable, for a bad value.
    """
    environ = os.environ if environ is None else environ
    given = {"SCHEDULER_JOBS_DIR": jobs, "SCHEDULER_LOGS_DIR": logs}
    values: dict[str, Any] = {}
    for name, read in READERS.items():
        text = given.get(name) or environ.get(name, "")
        if not text:
            continue
        try:
            value = read(text)
        except ValueError as error:
            raise SettingsError(f"{name}: {error}, found {text[:100]!r}") from None
        values["timezone" if name == "TZ" else name.removeprefix("SCHEDULER_").lower()] = value
    return Settings(**values)
