"""Who a request comes from behind a proxy, and what is believed of it."""

import asyncio
from ipaddress import ip_network

import pytest

from admin_ui.auth import NotBelieved, User, Visitor, get_user_from_request, require_role
from admin_ui.auth.proxy import Peers, ProxyAuthenticator
from admin_ui.errors import NotAuthorized

SECRET = "0123456789abcdef"
PEERS = Peers((ip_network("10.0.0.0/24"), ip_network("fd00::/64")))
PEERS_WITH_SECRET = Peers((ip_network("10.0.0.0/24"),), SECRET)
AUTHENTICATOR = ProxyAuthenticator("X-User", "X-Roles")


def visitor(*headers: tuple[str, str], peer: str | None = "10.0.0.7", peers: Peers = PEERS) -> Visitor:
    pairs = [(name.encode(), value.encode()) for name, value in (("host", "admin:7860"), *headers)]
    return peers.visitor({"headers": pairs, "client": (peer, 1) if peer else None, "scheme": "http"})


def user(*headers: tuple[str, str], **named) -> User | None:
    return asyncio.run(AUTHENTICATOR.authenticate(visitor(*headers, **named)))


def test_a_trusted_proxy_names_the_user_and_the_roles():
    found = user(("X-User", "anna"), ("x-roles", "staff, admin,,"))

    assert found == User("anna", frozenset({"staff", "admin"}), "10.0.0.7")


@pytest.mark.parametrize("peer", ["10.0.0.255", "fd00::1", "::ffff:10.0.0.7"])
def test_addresses_of_the_listed_networks_are_trusted_however_they_are_written(peer):
    assert user(("X-User", "anna"), peer=peer) is not None


@pytest.mark.parametrize("peer", ["10.0.1.7", "203.0.113.9", "::1", "10.0.0.7.evil", "", None])
def test_a_user_header_from_elsewhere_is_not_believed(peer):
    with pytest.raises(NotBelieved, match="no trusted proxy"):
        user(("X-User", "anna"), ("X-Roles", "admin"), peer=peer)


@pytest.mark.parametrize("headers", [(), (("X-User", ""),), (("X-Roles", "admin"),)])
def test_nobody_is_whom_the_proxy_does_not_name(headers):
    assert user(*headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        (("X-User", "anna"), ("x-user", "root")),
        (("X-User", "anna"), ("X-User", "anna")),
        (("X-User", "anna"), ("X-Roles", "staff"), ("X-Roles", "admin")),
        (("X-User", "anna"), ("X-User", "")),
    ],
)
def test_a_header_that_is_there_twice_is_not_believed(headers):
    with pytest.raises(NotBelieved, match="2 times"):
        user(*headers)


@pytest.mark.parametrize("name", ["  ", "a" * 257, "anna\u202etxt", "an\x1bna", "a\x85b", "tab\tname"])
def test_a_name_that_cannot_be_shown_is_not_believed(name):
    with pytest.raises(NotBelieved):
        user(("X-User", name))


def test_without_roles_nobody_has_one():
    found = user(("X-User", "anna"))

    assert found is not None and found.roles == frozenset()


def test_a_trusted_address_without_the_secret_is_not_believed():
    for headers in [(), (("x-admin-proxy-secret", "wrong"),), (("x-admin-proxy-secret", ""),)]:
        with pytest.raises(NotBelieved):
            user(("X-User", "anna"), *headers, peers=PEERS_WITH_SECRET)


def test_the_secret_without_a_trusted_address_is_not_believed():
    with pytest.raises(NotBelieved):
        user(("X-User", "anna"), ("x-admin-proxy-secret", SECRET), peer="203.0.113.9", peers=PEERS_WITH_SECRET)


def test_address_and_secret_together_are_believed():
    assert user(("X-User", "anna"), ("x-admin-proxy-secret", SECRET), peers=PEERS_WITH_SECRET) is not None


@pytest.mark.parametrize(
    ("peer", "hops", "address"),
    [
        ("10.0.0.7", ["198.51.100.4"], "198.51.100.4"),
        ("10.0.0.7", ["6.6.6.6, 198.51.100.4"], "198.51.100.4"),
        ("10.0.0.7", ["6.6.6.6", "198.51.100.4, 10.0.0.9"], "198.51.100.4"),
        ("10.0.0.7", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.7", ["6.6.6.6, <script>"], "10.0.0.7"),
        ("10.0.0.7", ["10.0.0.8"], "10.0.0.7"),
        ("10.0.0.7", [], "10.0.0.7"),
        ("203.0.113.9", ["198.51.100.4"], "203.0.113.9"),
    ],
)
def test_the_source_is_the_last_address_that_a_trusted_proxy_vouches_for(peer, hops, address):
    assert visitor(*(("X-Forwarded-For", hop) for hop in hops), peer=peer).address == address


def test_host_and_scheme_come_from_a_trusted_proxy_only():
    headers = (("X-Forwarded-Host", "App.example:8443"), ("X-Forwarded-Proto", "https"))

    trusted, stranger = visitor(*headers), visitor(*headers, peer="203.0.113.9")

    assert (trusted.host, trusted.secure) == ("app.example:8443", True)
    assert (stranger.host, stranger.secure) == ("admin:7860", False)


@pytest.mark.parametrize("host", ["evil.example/ui", "a b", "user@evil", "a,b", "x" * 300])
def test_an_impossible_forwarded_host_is_not_believed(host):
    with pytest.raises(NotBelieved):
        visitor(("X-Forwarded-Host", host))


def test_one_of_two_cookies_of_a_name_is_not_believed():
    with pytest.raises(NotBelieved):
        visitor(("cookie", "a=1; token=x"), ("cookie", "token=y")).cookie("token")


@pytest.mark.parametrize("who", [None, User("victor", frozenset({"staff", "Admin", "administrator"}), "")])
def test_require_role_refuses_nobody_and_those_without_the_role(who):
    with pytest.raises(NotAuthorized):
        require_role(who, "admin")


def test_require_role_returns_the_user_who_has_it():
    anna = User("anna", frozenset({"admin"}), "")

    assert require_role(anna, "admin") is anna


@pytest.mark.parametrize("request_like", [None, object(), {"admin_ui.user": "anna"}])
def test_what_is_no_request_that_the_guard_saw_has_no_user(request_like):
    assert get_user_from_request(request_like) is None
