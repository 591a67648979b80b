"""The application's public keys, fetched from its JWKS address (RFC 7517) and kept."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

import jwt

from admin_ui.auth import AuthUnavailable, NotBelieved

LOG = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5.0
FRESH_SECONDS = 3600.0
# A token with an unknown key id may mean new keys; made-up ids must not make us a hammer.
BETWEEN_FETCHES_SECONDS = 30.0
# With the application down its keys stay good so long; a key that it withdrew must end some day.
KEPT_SECONDS = 24 * 3600.0
LARGEST_ANSWER = 1 << 20
MOST_KEYS = 100

Fetch = Callable[[str], bytes]


class KeySet:
    """The keys of one address. One caller fetches them; others wait only if they know no key that fits."""

    def __init__(self, url: str, *, fetch: Fetch | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._fetch = fetch or _fetched
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys: list[jwt.PyJWK] = []
        self._fetched_at = self._tried_at = float("-inf")

    async def find(self, key_id: str | None, algorithm: str) -> Any:
        """Return the public key for a token's header.

        Raises NotBelieved if no key fits, AuthUnavailable if the keys cannot be had.
        """
        key = self._match(key_id, algorithm)
        if key is None or (self._age() > FRESH_SECONDS and not self._lock.locked()):
            async with self._lock:
                await self._refresh()
            key = self._match(key_id, algorithm)
        if self._age() > KEPT_SECONDS:
            raise AuthUnavailable("the application's keys for sign-in cannot be fetched; try again in a minute")
        if key is None:
            raise NotBelieved("the token is signed with a key that the application does not list")
        return key.key

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    def _match(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        fitting = [key for key in self._keys if key.algorithm_name == algorithm]
        if key_id is not None:
            fitting = [key for key in fitting if key.key_id == key_id]
        return fitting[0] if len(fitting) == 1 else None  # without an id only a single key can be meant

    async def _refresh(self) -> None:
        now = self._clock()
        if now - self._tried_at <= BETWEEN_FETCHES_SECONDS:
            return
        self._tried_at = now
        try:
            self._keys = _parsed(await asyncio.to_thread(self._fetch, self._url))
            self._fetched_at = now
        except (OSError, HTTPException, ValueError, RecursionError) as error:
            LOG.warning("the keys at ADMIN_JWT_JWKS_URL cannot be read: %s", error)


def _parsed(data: bytes) -> list[jwt.PyJWK]:
    """Return the public signature keys of a JWKS. Raises ValueError if it is none."""
    document = json.loads(data)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > MOST_KEYS:
        raise ValueError("expected an object with a list `keys`")
    keys = []
    for entry in entries:
        # `oct` is a shared secret: whoever can read this address could sign with it.
        usable = isinstance(entry, dict) and entry.get("kty") != "oct" and entry.get("use", "sig") == "sig"
        for algorithm in _algorithms(entry) if usable else ():
            try:
                keys.append(jwt.PyJWK(entry, algorithm=algorithm))
            except (jwt.PyJWTError, ValueError, TypeError, NotImplementedError):
                continue  # of a kind that we do not know; a token that needs it is refused
    return keys


def _algorithms(entry: dict[str, Any]) -> tuple[str, ...]:
    """Return what a key may be used with: what it says, else all that its kind allows."""
    if isinstance(entry.get("alg"), str):
        return (entry["alg"],)
    if entry.get("kty") == "RSA":
        return ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
    return {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",)}.get(str(entry.get("crv")), ("EdDSA",))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        return  # it could lead from https to http, or to an address inside


def _fetched(url: str) -> bytes:
    opener = urllib.request.build_opener(_NoRedirects)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    with opener.open(url, timeout=TIMEOUT_SECONDS) as answer:
        data = bytearray()
        while chunk := answer.read1(1 << 16):
            data += chunk
            if len(data) > LARGEST_ANSWER or time.monotonic() > deadline:
                raise ValueError("the answer is too large or too slow")
    return bytes(data)
