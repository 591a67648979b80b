"""A token that the application signed (RFC 7519). How it may be signed, settings say, never the token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import jwt

from admin_ui.auth import NotBelieved, User, Visitor, checked_name, checked_roles
from admin_ui.auth.jwks import KeySet
from admin_ui.errors import SettingsError
from admin_ui.settings import SHARED_SECRET_ALGORITHMS, Settings

LONGEST_TOKEN = 16 << 10
LEEWAY_SECONDS = 30  # two hosts' clocks
SHORTEST_SHARED_SECRET = {"HS256": 32, "HS384": 48, "HS512": 64}  # RFC 7518, 3.2: as long as the hash


class Keys(Protocol):
    """Where the keys for signatures come from."""

    async def find(self, key_id: str | None, algorithm: str) -> Any:
        """Return the key in the form PyJWT wants. Raises NotBelieved if there is none, AuthUnavailable."""
        ...


class FixedKey:
    """The one key of ADMIN_JWT_KEY."""

    def __init__(self, text: str, algorithms: tuple[str, ...]) -> None:
        self._keys = {algorithm: _prepared(text, algorithm) for algorithm in algorithms}

    async def find(self, key_id: str | None, algorithm: str) -> Any:
        """Return the key, whatever the token calls it."""
        return self._keys[algorithm]


class JwtAuthenticator:
    """Reads the token from one header or cookie, checks it, and takes the user and the roles from its claims."""

    def __init__(self, settings: Settings, keys: Keys | None = None) -> None:
        """Raises SettingsError for a key that does not fit the algorithms."""
        self._settings = settings
        self._keys = keys or _keys(settings)
        required = ["exp", "aud", *(["iss"] if settings.jwt_issuer else [])]
        self._options: Any = {"require": required, "enforce_minimum_key_length": True}

    async def authenticate(self, visitor: Visitor) -> User | None:
        """Return whom the token names, None if there is none or it has expired. Raises NotBelieved, AuthUnavailable."""
        token = self._token(visitor)
        if not token:
            return None
        claims = await self._claims(token)
        if claims is None:
            return None
        name = _claim(claims, self._settings.jwt_user_claim)
        if not isinstance(name, str):
            raise NotBelieved(f"the token has no text {self._settings.jwt_user_claim} to name the user")
        return User(checked_name(name), _roles(claims, self._settings.jwt_roles_claim), visitor.address)

    def _token(self, visitor: Visitor) -> str | None:
        if self._settings.jwt_cookie:
            return visitor.cookie(self._settings.jwt_cookie)
        header = self._settings.jwt_header or "Authorization"
        scheme, _, token = (visitor.header(header) or "").partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
        # Another scheme in Authorization (Basic, for the proxy) is not ours to judge.
        return None if token or header.lower() == "authorization" else scheme

    async def _claims(self, token: str) -> dict[str, Any] | None:
        """Return what the token says, if all of it holds, None for one that was good and has expired."""
        if len(token) > LONGEST_TOKEN:
            raise NotBelieved("the token is too long")
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            # Before any key is looked up: `none`, or a public key taken for a shared secret, must not get further.
            if algorithm not in self._settings.jwt_algorithms:
                raise NotBelieved("the token is signed in a way that ADMIN_JWT_ALGORITHMS does not list")
            return jwt.decode(
                token,
                await self._keys.find(header.get("kid"), algorithm),
                algorithms=[algorithm],
                audience=self._settings.jwt_audience,
                issuer=self._settings.jwt_issuer or None,
                leeway=LEEWAY_SECONDS,
                options=self._options,
            )
        except jwt.ExpiredSignatureError:
            return None
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise NotBelieved(f"the token is not valid: {error}") from None


def _keys(settings: Settings) -> Keys:
    if settings.jwt_jwks_url:
        return KeySet(settings.jwt_jwks_url)
    return FixedKey(settings.jwt_key, settings.jwt_algorithms)


def _prepared(text: str, algorithm: str) -> Any:
    """Return ADMIN_JWT_KEY as the algorithm's key. Raises SettingsError for one that does not fit or is too weak."""
    if algorithm in SHARED_SECRET_ALGORITHMS and len(text.encode()) < SHORTEST_SHARED_SECRET[algorithm]:
        raise SettingsError(f"ADMIN_JWT_KEY: {algorithm} needs at least {SHORTEST_SHARED_SECRET[algorithm]} bytes")
    if "PRIVATE KEY" in text:
        raise SettingsError(
            "ADMIN_JWT_KEY: this is a private key; only the application needs it, give its public key here"
        )
    try:
        return jwt.get_algorithm_by_name(algorithm).prepare_key(text)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise SettingsError(f"ADMIN_JWT_KEY: expected a key for {algorithm}: {_wanted(algorithm)}") from None


def _wanted(algorithm: str) -> str:
    shared = algorithm in SHARED_SECRET_ALGORITHMS
    return "a shared secret (a public key must not be one)" if shared else "a public key in PEM form"


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim by its name, or by a path into nested ones, as in realm_access.roles."""
    if name in claims:
        return claims[name]
    first, dot, rest = name.partition(".")
    inner = claims.get(first)
    return _claim(inner, rest) if dot and isinstance(inner, Mapping) else None


def _roles(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    found = _claim(claims, name)
    if isinstance(found, str):
        return checked_roles(found.replace(",", " ").split())
    if isinstance(found, list):
        return checked_roles(role for role in found if isinstance(role, str))
    return frozenset()
