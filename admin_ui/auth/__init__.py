"""Who is asking, and whether he may: `User`, `require_role`, and what every way of signing in has in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from admin_ui.errors import AdminError, NotAuthorized
from admin_ui.model import LONGEST_NAME, NOT_IN_A_NAME

USER_KEY = "admin_ui.user"
"""Where the guard leaves the user in the ASGI scope; nothing that a client sends gets there."""


class NotBelieved(AdminError):
    """Something was presented that is not believed: forged, ambiguous, damaged. Answered with 401, and audited."""


class AuthUnavailable(AdminError):
    """Who it is cannot be found out at the moment; answered with 503, nobody gets in."""


@dataclass(frozen=True, slots=True)
class User:
    """A person who is known by name. `source` is the address the person came from."""

    username: str
    roles: frozenset[str]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """One request as far as it matters for who it comes from; `headers` have lower-case names, in order.

    `trusted`: it came through one of the trusted proxies. `address`, `secure` (https) and `host` are then what
    that proxy says, else what the connection says.
    """

    address: str
    trusted: bool
    secure: bool
    host: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        """Return the header's only value. Raises NotBelieved if it is there twice: one of them may be forged."""
        return _only([value for key, value in self.headers if key == name.lower()], f"header {name}")

    def cookies(self, name: str) -> list[str]:
        """Return the values of all cookies of this name: one path or host may lie within another's."""
        pairs = (part.partition("=") for key, value in self.headers if key == "cookie" for part in value.split(";"))
        return [value.strip() for key, _, value in pairs if key.strip() == name]

    def cookie(self, name: str) -> str | None:
        """Return the cookie's only value. Raises NotBelieved if it is there twice: a neighbour host can set one."""
        return _only(self.cookies(name), f"cookie {name}")


class Authenticator(Protocol):
    """One way of finding out who somebody is. It knows nothing of paths and decides no rights."""

    async def authenticate(self, visitor: Visitor) -> User | None:
        """Return the user, None for nobody. Raises NotBelieved, AuthUnavailable."""
        ...


def require_role(user: User | None, role: str) -> User:
    """Return the user, who has the role. Raises NotAuthorized for everybody else; every handler asks first."""
    if user is None:
        raise NotAuthorized("nobody is signed in")
    if role not in user.roles:
        raise NotAuthorized(f"{user.username} lacks the role {role}")
    return user


def get_user_from_request(request: Any) -> User | None:
    """Return whom the guard let in with a request, Starlette's or Gradio's; None where it never saw it."""
    inner = getattr(request, "request", None) or request  # Gradio's wraps Starlette's
    scope = getattr(inner, "scope", None)
    user = scope.get(USER_KEY) if isinstance(scope, dict) else None
    return user if isinstance(user, User) else None


def checked_name(text: str) -> str:
    """Return a user's name that can be shown and passed on as it is. Raises NotBelieved for any other."""
    if not text.strip() or len(text) > LONGEST_NAME or NOT_IN_A_NAME.search(text):
        raise NotBelieved("the user's name is empty, too long, or holds characters that cannot be shown")
    return text


def checked_roles(names: Iterable[str]) -> frozenset[str]:
    """Return the roles without the empty ones."""
    return frozenset(name.strip() for name in names) - {""}


def _only(values: list[str], what: str) -> str | None:
    if len(values) > 1:
        raise NotBelieved(f"the {what} is there {len(values)} times")
    return values[0] if values else None
