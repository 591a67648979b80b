"""One frozen `Settings` from the environment (`SCHEDULER_…`) and the command line, whose flags win."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.cron import zone_named
from sidecar.errors import ScheduleError, SettingsError

MAX_NUMBER = 10**15
MAX_SECONDS = 10**10  # as in job files; a date less so many seconds is still one that Python has
MAX_DAYS = MAX_SECONDS // 86_400
MAX_BACKUPS = 10_000  # each rotation looks for all of them, in the event loop (6 us each)

PLAIN_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


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


def _whole(minimum: int, maximum: int = MAX_NUMBER) -> Callable[[str], int]:
    def read(text: str) -> int:
        digits = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_NUMBER))
        if not digits or not minimum <= int(text) <= maximum:
            raise ValueError(f"expected a whole number of at least {minimum} and at most {maximum}")
        return int(text)

    return read


def _number(minimum: float, maximum: int) -> Callable[[str], float]:
    def read(text: str) -> float:
        # float() alone would also take 1_0, 1e3, " 5 " and the digits of other scripts.
        value = float(text) if PLAIN_NUMBER.fullmatch(text) else -1
        if not minimum <= value <= maximum:
            raise ValueError(f"expected a plain number of at least {minimum:g} and at most {maximum}")
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
    "SCHEDULER_SHUTDOWN_GRACE_SECONDS": _number(0, MAX_SECONDS),
    "SCHEDULER_LOG_MAX_BYTES": _whole(1),
    "SCHEDULER_LOG_BACKUPS": _whole(1, MAX_BACKUPS),
    "SCHEDULER_INLINE_OUTPUT_BYTES": _whole(0),
    "SCHEDULER_RESCAN_SECONDS": _number(0.1, MAX_SECONDS),
    "SCHEDULER_TRIGGER_MAX_AGE_SECONDS": _number(1, MAX_SECONDS),
    "SCHEDULER_OUTPUT_MAX_AGE_DAYS": _number(0, MAX_DAYS),
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
