"""Passwords as scrypt hashes (RFC 7914), written `scrypt:LOG2_N:R:P:SALT:HASH`, without a `$` for shells to expand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import unicodedata
from dataclasses import dataclass
from typing import Self

# 32 MiB and about 0.1 s: as much as one attempt may cost a service that also serves pages.
LOG2_N, BLOCKS, LANES = 15, 8, 1
COSTLIEST_LOG2_N = 18
SALT_BYTES = 16
HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class ScryptHash:
    """One password's hash with all that it takes to check another one against it."""

    log2_n: int
    salt: bytes
    digest: bytes

    @classmethod
    def of(cls, password: str) -> Self:
        """Return a new hash; slow on purpose."""
        salt = secrets.token_bytes(SALT_BYTES)
        return cls(LOG2_N, salt, _scrypt(password, LOG2_N, salt))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what `str` wrote. Raises ValueError for anything else and for costs out of bounds."""
        kind, log2_n, blocks, lanes, salt, digest = text.split(":")
        if (kind, int(blocks), int(lanes)) != ("scrypt", BLOCKS, LANES):
            raise ValueError("another kind of hash")
        parsed = cls(int(log2_n), _bytes(salt), _bytes(digest))
        costs_enough = LOG2_N <= parsed.log2_n <= COSTLIEST_LOG2_N
        if not costs_enough or len(parsed.salt) < SALT_BYTES or len(parsed.digest) != HASH_BYTES:
            raise ValueError("out of bounds")
        return parsed

    def fits(self, password: str) -> bool:
        """Return whether this is the password's hash; slow on purpose, constant time."""
        return hmac.compare_digest(self.digest, _scrypt(password, self.log2_n, self.salt))

    def __str__(self) -> str:
        return f"scrypt:{self.log2_n}:{BLOCKS}:{LANES}:{_text(self.salt)}:{_text(self.digest)}"


def _scrypt(password: str, log2_n: int, salt: bytes) -> bytes:
    # Keyboards send the same letter in more than one form (NIST SP 800-63B, 3.1.1.2: normalise first).
    data = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    memory = 2 * 128 * BLOCKS << log2_n
    return hashlib.scrypt(data, salt=salt, n=1 << log2_n, r=BLOCKS, p=LANES, maxmem=memory, dklen=HASH_BYTES)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
