"""One frozen `Settings` from the environment (`ADMIN_…`); secrets may also lie in the file that `NAME_FILE` names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from admin_ui.auth.hashing import ScryptHash
from admin_ui.errors import SettingsError

SECRET_FILE_BYTES = 64 << 10
SHORTEST_PROXY_SECRET = 16
MOST_DAYS = 36_500
DAYS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?\Z")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}\Z")  # RFC 9110, token
COOKIE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
PLAIN_NAME = re.compile(r"(?![0-9]+\Z|0x)[a-z0-9_-]+\Z")  # of a container, or localhost; 167772161 is 10.0.0.1
ROOT_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*\Z")

SHARED_SECRET_ALGORITHMS = ("HS256", "HS384", "HS512")
PUBLIC_KEY_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

# A proxy passes these on as its client sent them, so none of them can say who somebody is.
NO_IDENTITY = frozenset(
    (
        *("authorization", "connection", "content-length", "content-type", "cookie", "forwarded", "host", "origin"),
        *("referer", "te", "transfer-encoding", "user-agent"),
        *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"),
    )
)

Network = IPv4Network | IPv6Network


class AuthMode(StrEnum):
    """Who says who somebody is."""

    PASSWORD = "password"  # this service
    PROXY = "proxy"  # the proxy in front of it, by headers
    JWT = "jwt"  # the application, by a token that it signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that can be set; docs/settings.md lists each with its meaning."""

    jobs_dir: Path = Path("jobs")
    logs_dir: Path = Path("logs")
    audit_dir: Path = Path("logs/audit")
    data_dir: Path = Path("data")
    keep_days: float = 365.0
    host: str = "127.0.0.1"
    port: int = 7860
    root_path: str = ""
    auth_mode: AuthMode = AuthMode.PASSWORD
    role: str = "admin"
    trusted_proxies: tuple[Network, ...] = ()
    proxy_secret: str = field(default="", repr=False)
    user_header: str = "X-Forwarded-User"
    roles_header: str = "X-Forwarded-Groups"
    jwt_jwks_url: str = ""
    jwt_key: str = field(default="", repr=False)
    jwt_algorithms: tuple[str, ...] = ()
    jwt_audience: str = ""
    jwt_issuer: str = ""
    jwt_header: str = ""
    jwt_cookie: str = ""
    jwt_user_claim: str = "sub"
    jwt_roles_claim: str = "roles"
    password_hash: str = field(default="", repr=False)


def from_environment(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings; an empty variable counts as unset, unknown names are ignored.

    Raises SettingsError, naming the variable, for a bad value, an unusable secret file, and settings that make
    no sense together. A secret is never part of the message.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for name, read in READERS.items():
        text, where = _given(environ, name)
        if not text:
            continue
        try:
            values[name.removeprefix("ADMIN_").lower()] = read(text)
        except ValueError as error:
            found = "" if name in SECRETS else f", found {text[:100]!r}"
            raise SettingsError(f"{where}: {error}{found}") from None
    if "audit_dir" not in values and "logs_dir" in values:
        values["audit_dir"] = values["logs_dir"] / "audit"
    settings = Settings(**values)
    _check_together(settings, values.keys())
    return settings


def _given(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """Return a variable's text and the name of the variable it came from."""
    text = environ.get(name, "")
    if name == "ADMIN_PORT" and text.startswith("tcp://"):
        return "", name  # Kubernetes sets it so where a service is called admin
    if name not in SECRETS or not environ.get(f"{name}_FILE", ""):
        return text, name
    if text:
        raise SettingsError(f"{name}: {name}_FILE is set as well; remove one of the two")
    return _secret_in(environ[f"{name}_FILE"], f"{name}_FILE"), f"{name}_FILE"


def _secret_in(path: str, name: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(SECRET_FILE_BYTES + 1)
        text = data.decode()
    except UnicodeDecodeError:
        raise SettingsError(f"{name}: expected a text in UTF-8 in {path!r}") from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"{name}: expected a readable file, found {path!r}: {error}") from None
    if len(data) > SECRET_FILE_BYTES:
        raise SettingsError(f"{name}: expected at most {SECRET_FILE_BYTES:,} bytes in {path!r}")
    text = text.removesuffix("\n").removesuffix("\r")  # editors and `echo` end a file with a line break
    if not text:
        raise SettingsError(f"{name}: expected a secret, found nothing in {path!r}")
    return text


def _path(text: str) -> Path:
    if "\0" in text:
        raise ValueError("expected a path")
    return Path(text)


def _days(text: str) -> float:
    if not DAYS.match(text) or not 0 < float(text) <= MOST_DAYS:
        raise ValueError(f"expected a number of days, more than 0 and at most {MOST_DAYS:,}")
    return float(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError("expected a port number from 1 to 65535")
    return int(text)


def _root_path(text: str) -> str:
    path = text.removesuffix("/")
    if not ROOT_PATH.match(path):
        raise ValueError("expected a path such as /ops/jobs")
    return path


def _mode(text: str) -> AuthMode:
    if text not in AuthMode.__members__.values():
        raise ValueError("expected password, proxy or jwt")
    return AuthMode(text)


def _role(text: str) -> str:
    if "," in text or text != text.strip() or not text.isprintable():
        raise ValueError("expected the name of one role")
    return text


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(part) for part in _parts(text))
    except ValueError:
        raise ValueError("expected addresses and networks such as 10.0.0.7,172.18.0.0/16,fd00::/64") from None


def _proxy_secret(text: str) -> str:
    if not (text.isascii() and text.isprintable()) or text != text.strip() or len(text) < SHORTEST_PROXY_SECRET:
        raise ValueError(
            f"expected at least {SHORTEST_PROXY_SECRET} printable ASCII characters (it is a header's value)"
        )
    return text


def _header(text: str) -> str:
    if not HEADER_NAME.match(text):
        raise ValueError("expected the name of a header")
    return text


def _cookie(text: str) -> str:
    if not COOKIE_NAME.match(text):
        raise ValueError("expected the name of a cookie")
    return text


def _identity_header(text: str) -> str:
    if _header(text).lower() in NO_IDENTITY:
        raise ValueError("expected a header that only the proxy sets")
    return text


def _url(text: str) -> str:
    url = urlsplit(text)
    host = url.hostname or ""
    inside = host in ("127.0.0.1", "::1") or PLAIN_NAME.match(host)
    if not host or url.username or not (url.scheme == "https" or (url.scheme == "http" and inside)):
        raise ValueError("expected an https:// address (http:// only for this host or a container's plain name)")
    return text


def _algorithms(text: str) -> tuple[str, ...]:
    names = _parts(text)
    known = (*SHARED_SECRET_ALGORITHMS, *PUBLIC_KEY_ALGORITHMS)
    if not names or any(name not in known for name in names):
        raise ValueError(f"expected a list of {', '.join(known)}")
    if len({name.startswith("HS") for name in names}) == 2:
        raise ValueError(
            "expected either HS… (one shared secret) or the others (a public key), as one key fits only one"
        )
    return names


def _password_hash(text: str) -> str:
    try:
        ScryptHash.parse(text)
    except ValueError:
        raise ValueError("expected what `python -m admin_ui hash-password` prints") from None
    return text


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


READERS: dict[str, Callable[[str], Any]] = {
    "ADMIN_JOBS_DIR": _path,
    "ADMIN_LOGS_DIR": _path,
    "ADMIN_AUDIT_DIR": _path,
    "ADMIN_DATA_DIR": _path,
    "ADMIN_KEEP_DAYS": _days,
    "ADMIN_HOST": str,
    "ADMIN_PORT": _port,
    "ADMIN_ROOT_PATH": _root_path,
    "ADMIN_AUTH_MODE": _mode,
    "ADMIN_ROLE": _role,
    "ADMIN_TRUSTED_PROXIES": _networks,
    "ADMIN_PROXY_SECRET": _proxy_secret,
    "ADMIN_USER_HEADER": _identity_header,
    "ADMIN_ROLES_HEADER": _identity_header,
    "ADMIN_JWT_JWKS_URL": _url,
    "ADMIN_JWT_KEY": str,
    "ADMIN_JWT_ALGORITHMS": _algorithms,
    "ADMIN_JWT_AUDIENCE": str,
    "ADMIN_JWT_ISSUER": str,
    "ADMIN_JWT_HEADER": _header,
    "ADMIN_JWT_COOKIE": _cookie,
    "ADMIN_JWT_USER_CLAIM": str,
    "ADMIN_JWT_ROLES_CLAIM": str,
    "ADMIN_PASSWORD_HASH": _password_hash,
}
"""Every environment variable that is read, with the function that checks it."""

SECRETS = ("ADMIN_PROXY_SECRET", "ADMIN_JWT_KEY", "ADMIN_PASSWORD_HASH")
"""Those that may lie in a file instead, which NAME_FILE names."""


def _check_together(settings: Settings, given: Collection[str]) -> None:
    """Refuse what would not do what its author thinks, rather than start less safe or not usable."""
    for name in sorted(given):
        belongs = _mode_of(name)
        if belongs is not None and belongs is not settings.auth_mode:
            raise SettingsError(
                f"ADMIN_{name.upper()}: it has no effect with ADMIN_AUTH_MODE={settings.auth_mode}; "
                f"set ADMIN_AUTH_MODE={belongs} or remove it"
            )
    if settings.proxy_secret and not settings.trusted_proxies:
        raise SettingsError("ADMIN_PROXY_SECRET: it needs ADMIN_TRUSTED_PROXIES, the addresses the proxy comes from")
    if any(network.prefixlen == 0 for network in settings.trusted_proxies) and not settings.proxy_secret:
        raise SettingsError(
            "ADMIN_TRUSTED_PROXIES: every address would be trusted; list the proxy's own, or set ADMIN_PROXY_SECRET too"
        )
    if settings.auth_mode is AuthMode.PROXY:
        _check_proxy(settings)
    if settings.auth_mode is AuthMode.JWT:
        _check_jwt(settings)


def _mode_of(name: str) -> AuthMode | None:
    if name in ("user_header", "roles_header"):
        return AuthMode.PROXY
    if name.startswith("jwt_"):
        return AuthMode.JWT
    return AuthMode.PASSWORD if name == "password_hash" else None


def _check_proxy(settings: Settings) -> None:
    if not settings.trusted_proxies:
        raise SettingsError(
            "ADMIN_TRUSTED_PROXIES: ADMIN_AUTH_MODE=proxy believes a header only from these addresses; "
            "set it to those of the proxy in front"
        )
    if settings.user_header.lower() == settings.roles_header.lower():
        raise SettingsError("ADMIN_ROLES_HEADER: it is ADMIN_USER_HEADER too; a user could name himself like the role")


def _check_jwt(settings: Settings) -> None:
    if bool(settings.jwt_key) == bool(settings.jwt_jwks_url):
        raise SettingsError(
            "ADMIN_JWT_KEY, ADMIN_JWT_JWKS_URL: ADMIN_AUTH_MODE=jwt needs exactly one of them, to check signatures with"
        )
    for name in ("algorithms", "audience"):
        if not getattr(settings, f"jwt_{name}"):
            what = (
                "the list that tokens may be signed with" if name == "algorithms" else "what tokens for this page say"
            )
            raise SettingsError(f"ADMIN_JWT_{name.upper()}: ADMIN_AUTH_MODE=jwt needs it: {what}")
    if settings.jwt_header and settings.jwt_cookie:
        raise SettingsError("ADMIN_JWT_HEADER, ADMIN_JWT_COOKIE: the token comes in one of the two; remove the other")
    if settings.jwt_jwks_url and settings.jwt_algorithms[0] in SHARED_SECRET_ALGORITHMS:
        raise SettingsError("ADMIN_JWT_ALGORITHMS: ADMIN_JWT_JWKS_URL gives public keys; HS… needs ADMIN_JWT_KEY")
