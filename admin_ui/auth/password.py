"""The stand-alone way in: one password. The first is random, printed once, good for one sign-in within a day."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from admin_ui.auth import User, Visitor
from admin_ui.auth.hashing import ScryptHash
from admin_ui.auth.limits import SignInLimits
from admin_ui.auth.sessions import Session, Sessions
from admin_ui.errors import AdminError, FileUnreadable, NotDurable, SettingsError, StorageError, ValidationError
from admin_ui.files import read_below, read_json, write_whole
from admin_ui.model import from_iso, iso

LOG = logging.getLogger(__name__)
USERNAME = "admin"
SESSION_COOKIE = "admin_session"
BROWSER_COOKIE = "admin_browser"
FILE_NAME = "password.json"
INITIAL_LASTS = timedelta(hours=24)
SHORTEST, LONGEST = 12, 256
CHECKS_AT_ONCE = 2  # each takes 32 MiB and a core


class SignInRefused(AdminError):
    """The password was not accepted; nobody was signed in. `wait_seconds` is 0 unless it was not even looked at."""

    def __init__(self, message: str, wait_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


@dataclass(frozen=True, slots=True)
class Stored:
    """What is kept of the password. Not `chosen`: it is the printed one; `used`: it has had its one sign-in."""

    hash: ScryptHash
    chosen: bool
    created_at: datetime
    used: bool = False

    def is_good(self, now: datetime) -> bool:
        """Return whether it still opens the door."""
        return self.chosen or (not self.used and now - self.created_at < INITIAL_LASTS)


class PasswordStore:
    """The password's hash in one file of the data directory, or fixed by ADMIN_PASSWORD_HASH. Thread-safe."""

    def __init__(
        self, data_dir: Path, fixed: str = "", *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Raises SettingsError if there is a file that cannot be read."""
        self._dir = data_dir
        self._now = now
        self._lock = threading.Lock()
        self.fixed = bool(fixed)
        self._stored = Stored(ScryptHash.parse(fixed), True, now()) if fixed else self._load()

    def prepare(self) -> str | None:
        """Return a new first password, to be printed, if there is none that still opens the door.

        Raises SettingsError if it cannot be kept.
        """
        with self._lock:
            if self._stored is not None and self._stored.is_good(self._now()):
                return None
            password = secrets.token_urlsafe(15)
            try:
                self._save(Stored(ScryptHash.of(password), False, self._now()))
            except StorageError as error:
                raise SettingsError(f"ADMIN_DATA_DIR: {error}") from None
            return password

    @property
    def opens(self) -> bool:
        """Whether there is a password that opens the door; if not, a restart prints a new one."""
        return self._stored is not None and self._stored.is_good(self._now())

    def check(self, password: str) -> bool:
        """Return whether this is the password and it still opens the door; slow on purpose."""
        stored = self._stored
        return stored is not None and stored.hash.fits(password) and self.opens

    def spend(self) -> bool:
        """Use the sign-in up that a checked password is good for; return whether a new password must be chosen.

        Raises SignInRefused if another sign-in was faster, StorageError.
        """
        with self._lock:
            stored = self._stored
            if stored is None or not stored.is_good(self._now()):
                raise SignInRefused("This password has been used or has expired.")
            if not stored.chosen:
                self._save(replace(stored, used=True))
            return not stored.chosen

    def choose(self, password: str) -> None:
        """Make this the password from now on. Raises ValidationError, StorageError; the old one stays then."""
        if self.fixed:
            raise ValidationError({"password": "The password is fixed by ADMIN_PASSWORD_HASH; change it there."})
        if not SHORTEST <= len(password) <= LONGEST or len(set(password)) < SHORTEST // 3:
            raise ValidationError({"password": f"Choose {SHORTEST} to {LONGEST} characters, not all alike."})
        with self._lock:
            if self._stored is not None and self._stored.hash.fits(password):
                raise ValidationError({"password": "Choose another one than before."})
            self._save(Stored(ScryptHash.of(password), True, self._now()))

    def browser_key(self) -> bytes:
        """Return the key that marks browsers which were signed in; another password makes another key."""
        return hashlib.sha256(b"browser " + str(self._stored and self._stored.hash).encode()).digest()

    def _load(self) -> Stored | None:
        try:
            document = read_json(read_below(self._dir, FILE_NAME)[0])
            return Stored(
                ScryptHash.parse(document["hash"]),
                document["chosen"] is True,
                from_iso(document["created_at"]),
                document["used"] is not False,
            )
        except FileNotFoundError:
            return None
        except (FileUnreadable, ValueError, TypeError, KeyError, AttributeError) as error:
            raise SettingsError(
                f"ADMIN_DATA_DIR: {self._dir / FILE_NAME} cannot be used ({error}). Is it another user's? "
                "Else remove it to have a new first password printed"
            ) from None

    def _save(self, stored: Stored) -> None:
        document = {
            "hash": str(stored.hash),
            "chosen": stored.chosen,
            "created_at": iso(stored.created_at),
            "used": stored.used,
        }
        try:
            self._dir.mkdir(parents=True, exist_ok=True)
            write_whole(self._dir / FILE_NAME, json.dumps(document, indent=2).encode() + b"\n", 0o600)
        except NotDurable as error:  # what is there counts: called a failure, the old password would be believed in
            LOG.warning("%s: %s", FILE_NAME, error)
        except OSError as error:
            raise StorageError(f"the password cannot be kept in {self._dir}: {error.strerror or error}") from error
        self._stored = stored


class PasswordAuthenticator:
    """Signs browsers in and out and knows them by their session's cookie."""

    def __init__(self, store: PasswordStore, role: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self._role = role
        self._clock = clock
        self._sessions = Sessions()
        self._limits = SignInLimits(clock())
        self._checks = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def authenticate(self, visitor: Visitor) -> User | None:
        """Return the admin, if the visitor's session is one that may do more than choose a password."""
        session = self.session(visitor)
        return self.user(visitor) if session and not session.choosing else None

    def user(self, visitor: Visitor) -> User:
        """Return the one user there is, as coming from the visitor's address."""
        return User(USERNAME, frozenset({self._role}), visitor.address)

    def session(self, visitor: Visitor) -> Session | None:
        """Return the visitor's session. Of several cookies any may hold it: there is one user to be, and no other."""
        found = (self._sessions.find(token, self._clock()) for token in visitor.cookies(SESSION_COOKIE))
        return next((session for session in found if session), None)

    async def sign_in(self, visitor: Visitor, password: str) -> tuple[str, bool]:
        """Return the token of a new session and whether it is for choosing a password; one that was there ends.
        Raises SignInRefused, StorageError.
        """
        key = self.store.browser_key()
        await self._check(visitor, password)
        choosing = await asyncio.to_thread(self.store.spend)
        if self.store.browser_key() != key:  # it was changed meanwhile, which ended the sessions that there were
            raise SignInRefused("Wrong password.")
        self.sign_out(visitor)
        return self._sessions.start(self._clock(), choosing=choosing), choosing

    async def change(self, visitor: Visitor, old: str, new: str) -> str:
        """Choose another password; return the token of a new session, every other one ends.

        Raises SignInRefused for a wrong old one, ValidationError for an unusable new one, StorageError.
        """
        await self._check(visitor, old)
        return await self._choose(new)

    async def choose(self, visitor: Visitor, new: str) -> str:
        """Choose the password that holds from now on, after a sign-in with the printed one; otherwise as `change`."""
        session = self.session(visitor)
        if session is None or not session.choosing:
            raise SignInRefused("Sign in with the printed password first.")
        return await self._choose(new)

    def sign_out(self, visitor: Visitor) -> None:
        """End the visitor's session."""
        for token in visitor.cookies(SESSION_COOKIE):
            self._sessions.end(token)

    def browser_mark(self) -> str:
        """Return a cookie by which a browser that was signed in is known again; it opens nothing."""
        name = secrets.token_hex(8)
        return f"{name}.{self._marked(name)}"

    async def _check(self, visitor: Visitor, password: str) -> None:
        browser = self._browser(visitor)
        wait = self._limits.take(visitor.address, browser, self._clock())
        if wait:
            raise SignInRefused(f"Too many tries. Try again in {int(wait) + 1} seconds.", wait)
        if len(password) > LONGEST:
            raise SignInRefused("Wrong password.")
        async with self._checks:
            fits = await asyncio.to_thread(self.store.check, password)
        if not fits:
            raise SignInRefused("Wrong password.")
        self._limits.succeeded(visitor.address, browser)

    async def _choose(self, new: str) -> str:
        async with self._checks:
            await asyncio.to_thread(self.store.choose, new)
        self._sessions.end_all()
        return self._sessions.start(self._clock(), choosing=False)

    def _browser(self, visitor: Visitor) -> str | None:
        for cookie in visitor.cookies(BROWSER_COOKIE):
            name, _, mark = cookie.partition(".")
            if hmac.compare_digest(mark.encode(), self._marked(name).encode()):
                return name
        return None

    def _marked(self, name: str) -> str:
        return hmac.new(self.store.browser_key(), name.encode(), hashlib.sha256).hexdigest()
