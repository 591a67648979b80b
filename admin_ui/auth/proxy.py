"""What a proxy in front says, believed only from the listed addresses (and with the secret, if one is set)."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from admin_ui.auth import NotBelieved, User, Visitor, checked_name, checked_roles
from admin_ui.settings import Network

SECRET_HEADER = "x-admin-proxy-secret"
HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?\Z")


class Peers:
    """Tells the trusted proxies from everybody else and reads a request accordingly."""

    def __init__(self, networks: Iterable[Network], secret: str = "") -> None:
        self._networks = tuple(networks)
        self._secret = secret.encode()

    def visitor(self, scope: Mapping[str, Any]) -> Visitor:
        """Return the request's visitor. Raises NotBelieved for an impossible or ambiguous Host."""
        headers = tuple((name.decode("latin-1").lower(), _decode(value)) for name, value in scope["headers"])
        peer = (scope.get("client") or ("", 0))[0]
        direct = Visitor(address=peer, trusted=False, secure=scope.get("scheme") == "https", host="", headers=headers)
        trusted = self._listed(peer) and self._knows_secret(direct)
        host = (direct.header("x-forwarded-host") if trusted else None) or direct.header("host") or ""
        if not HOST.match(host):
            raise NotBelieved("the request does not say which host it is for")
        proto = direct.header("x-forwarded-proto") if trusted else None
        return Visitor(
            address=self._client(direct) if trusted else peer,
            trusted=trusted,
            secure=proto.lower() == "https" if proto else direct.secure,
            host=host.lower(),
            headers=headers,
        )

    def _listed(self, address: str) -> bool:
        ip = _ip(address)
        return ip is not None and any(ip in network for network in self._networks)

    def _knows_secret(self, visitor: Visitor) -> bool:
        if not self._secret:
            return True
        return hmac.compare_digest((visitor.header(SECRET_HEADER) or "").encode(), self._secret)

    def _client(self, direct: Visitor) -> str:
        """Return the last address of X-Forwarded-For that is no trusted proxy: those before it anyone can write."""
        hops = ",".join(value for name, value in direct.headers if name == "x-forwarded-for").split(",")
        for hop in reversed([hop.strip() for hop in hops if hop.strip()]):
            ip = _ip(hop)
            if ip is None:
                break
            if not self._listed(hop):
                return str(ip)
        return direct.address


class ProxyAuthenticator:
    """The user and role headers of a trusted proxy."""

    def __init__(self, user_header: str, roles_header: str) -> None:
        self._user_header = user_header
        self._roles_header = roles_header

    async def authenticate(self, visitor: Visitor) -> User | None:
        """Return whom the proxy names. Raises NotBelieved for a header that is there twice or from elsewhere."""
        name, roles = visitor.header(self._user_header), visitor.header(self._roles_header)
        if not name:
            return None
        if not visitor.trusted:
            raise NotBelieved(
                f"{self._user_header} came from an address that is no trusted proxy, or without its secret"
            )
        return User(checked_name(name), checked_roles((roles or "").split(",")), visitor.address)


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    # A socket that listens on both families shows 10.0.0.7 as ::ffff:10.0.0.7.
    return getattr(ip, "ipv4_mapped", None) or ip


def _decode(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
