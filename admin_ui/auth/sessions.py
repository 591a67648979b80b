"""Sessions, kept here and nowhere else: a browser holds only a random token, this process only its hash."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

SESSION_SECONDS = 12 * 3600.0
CHOOSING_SECONDS = 1800.0
MOST_SESSIONS = 64


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in browser. `choosing`: it may do nothing but choose the password that is to hold from now on."""

    choosing: bool
    ends_at: float


class Sessions:
    """All that have not ended; the time is the caller's, in monotonic seconds."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def start(self, now: float, *, choosing: bool) -> str:
        """Begin a session and return its token; beyond the limit the oldest one ends."""
        token = secrets.token_urlsafe(32)
        lasts = CHOOSING_SECONDS if choosing else SESSION_SECONDS
        self._sessions = {key: each for key, each in self._sessions.items() if each.ends_at > now}
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[_hash(token)] = Session(choosing, now + lasts)
        return token

    def find(self, token: str | None, now: float) -> Session | None:
        """Return the token's session, None if there is none or it has ended."""
        session = self._sessions.get(_hash(token)) if token else None
        return session if session and session.ends_at > now else None

    def end(self, token: str | None) -> None:
        """End the token's session, if there is one."""
        if token:
            self._sessions.pop(_hash(token), None)

    def end_all(self) -> None:
        """End every session."""
        self._sessions.clear()


def _hash(token: str) -> str:
    # Looked up by its hash: how long a lookup takes says nothing about the tokens that exist.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
