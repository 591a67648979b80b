"""Who lives of a run, for tests that start real processes."""

from __future__ import annotations

from sidecar.family import FAMILY
from sidecar.proc import Stat


def members(run_id: str, *, session: int | None = None) -> dict[int, Stat]:
    """Return the living processes of a run by pid; `session` is the pid of its shell, if that is to count."""
    return FAMILY.search(run_id, session=session)[0]
