"""Tokens of the application: which are believed, and with which keys."""

import asyncio
import base64
import hashlib
import hmac
import http.server
import json
import threading
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from admin_ui.auth import AuthUnavailable, NotBelieved, User, Visitor
from admin_ui.auth.jwks import BETWEEN_FETCHES_SECONDS, FRESH_SECONDS, KEPT_SECONDS, KeySet
from admin_ui.auth.jwt import JwtAuthenticator
from admin_ui.errors import SettingsError
from admin_ui.settings import Settings

SHARED = "a shared secret of more than 32 bytes"
NOW = int(time.time())
LATER = 4_102_444_800  # the year 2100: a time of this day would name the tests anew in each process
CLAIMS = {"sub": "anna", "roles": ["admin"], "aud": "jobs", "iss": "app", "exp": LATER}


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def ec_key():
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(key) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "ascii")


def authenticator(keys=None, **given) -> JwtAuthenticator:
    given = {"jwt_key": SHARED, "jwt_algorithms": ("HS256",), "jwt_audience": "jobs", "jwt_issuer": "app"} | given
    return JwtAuthenticator(Settings(**given), keys)


def visitor(*headers: tuple[str, str]) -> Visitor:
    return Visitor(address="203.0.113.9", trusted=False, secure=True, host="admin", headers=headers)


def user(token: str, by: JwtAuthenticator) -> User | None:
    return asyncio.run(by.authenticate(visitor(("authorization", f"Bearer {token}"))))


def signed(key: Any = SHARED, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **claims) -> str:
    kept = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return jwt.encode(kept, key, algorithm, headers=headers)


def by_hand(header: dict[str, Any], claims: dict[str, Any], key: bytes) -> str:
    """Return a token that no library would make."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    mac = hmac.new(key, b".".join(parts), hashlib.sha256).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()


def test_a_good_token_names_the_user_and_the_roles():
    assert user(signed(), authenticator()) == User("anna", frozenset({"admin"}), "203.0.113.9")


def test_public_keys_check_what_private_keys_signed(rsa_key, ec_key):
    for key, algorithm in ((rsa_key, "RS256"), (rsa_key, "PS512"), (ec_key, "ES256")):
        by = authenticator(jwt_key=public_pem(key), jwt_algorithms=(algorithm,))

        assert user(signed(key, algorithm), by) is not None


def test_an_expired_token_is_nobody_as_it_was_good_once():
    assert user(signed(exp=NOW - 60), authenticator()) is None


def test_an_expired_token_of_somebody_else_is_not_believed():
    with pytest.raises(NotBelieved):
        user(signed("another secret that is long enough", exp=NOW - 60), authenticator())


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None},
        {"aud": None},
        {"iss": None},
        {"aud": "another"},
        {"aud": ["another", "jobs2"]},
        {"iss": "another"},
        {"nbf": LATER},
        {"iat": LATER},
        {"exp": "tomorrow"},
        {"exp": 1e400},
        {"sub": None},
        {"sub": ""},
        {"sub": "an\nna"},
    ],
    ids=str,
)
def test_a_token_that_lacks_something_or_says_something_else_is_not_believed(claims):
    with pytest.raises(NotBelieved):
        user(signed(**claims), authenticator())


@pytest.mark.parametrize("token", ["x", "a.b.c", "....", "e30.e30.", "\x00.\xff.", "9" * 20_000, "[]", "W10.W10.W10"])
def test_a_damaged_token_is_not_believed(token):
    with pytest.raises(NotBelieved):
        user(token, authenticator())


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", None, "HS384", "RS256", "hs256", ["HS256"]])
def test_an_algorithm_that_is_not_set_is_not_believed(alg):
    with pytest.raises(NotBelieved):
        user(by_hand({"alg": alg, "typ": "JWT"}, CLAIMS, SHARED.encode()), authenticator())


def test_a_token_without_signature_is_not_believed():
    header, claims, _ = by_hand({"alg": "none"}, CLAIMS, b"").split(".")
    for algorithms in (("HS256",), ("HS512", "HS256")):
        with pytest.raises(NotBelieved):
            user(f"{header}.{claims}.", authenticator(jwt_algorithms=algorithms, jwt_key=SHARED * 2))


def test_the_public_key_is_no_shared_secret(rsa_key):
    pem = public_pem(rsa_key)
    forged = by_hand({"alg": "HS256", "typ": "JWT"}, CLAIMS, pem.encode())

    with pytest.raises(NotBelieved):
        user(forged, authenticator(jwt_key=pem, jwt_algorithms=("RS256",)))


def test_a_key_that_the_token_brings_along_is_not_used(ec_key):
    other = ec.generate_private_key(ec.SECP256R1())
    own = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(other.public_key()))
    token = signed(other, "ES256", {"jwk": own, "jku": "https://evil.example/jwks"})

    with pytest.raises(NotBelieved):
        user(token, authenticator(jwt_key=public_pem(ec_key), jwt_algorithms=("ES256",)))


@pytest.mark.parametrize(
    ("key", "algorithm", "advice"),
    [
        ("short", "HS256", "at least 32 bytes"),
        ("k" * 47, "HS384", "at least 48 bytes"),
        ("PUBLIC", "HS256", "shared secret"),
        ("PRIVATE", "RS256", "private key"),
        ("PUBLIC", "ES256", "PEM"),
        ("no key at all, but a long text instead", "RS256", "PEM"),
    ],
)
def test_a_key_that_does_not_fit_is_refused_at_the_start(rsa_key, key, algorithm, advice):
    private = rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    text = {"PUBLIC": public_pem(rsa_key), "PRIVATE": private}.get(key, key)

    with pytest.raises(SettingsError, match=r"^ADMIN_JWT_KEY: ") as error:
        authenticator(jwt_key=text, jwt_algorithms=(algorithm,))

    assert advice in str(error.value)
    assert text not in str(error.value)


@pytest.mark.parametrize(
    ("claim", "claims", "roles"),
    [
        ("roles", {"roles": "staff admin"}, {"staff", "admin"}),
        ("roles", {"roles": "staff,admin"}, {"staff", "admin"}),
        ("roles", {"roles": ["admin", 7, None, ""]}, {"admin"}),
        ("roles", {"roles": {"admin": True}}, set()),
        ("roles", {"roles": None}, set()),
        ("realm_access.roles", {"realm_access": {"roles": ["admin"]}}, {"admin"}),
        ("realm_access.roles", {"realm_access": "admin"}, set()),
        ("https://app.example/roles", {"https://app.example/roles": ["admin"]}, {"admin"}),
    ],
)
def test_roles_are_read_from_the_claim_that_is_set(claim, claims, roles):
    found = user(signed(**claims), authenticator(jwt_roles_claim=claim))

    assert found is not None and found.roles == roles


def test_the_user_is_read_from_the_claim_that_is_set():
    found = user(signed(email="anna@example.com"), authenticator(jwt_user_claim="email"))

    assert found is not None and found.username == "anna@example.com"


def test_the_token_is_read_from_the_one_place_that_is_set():
    token = signed()
    places = {"authorization": f"Bearer {token}", "x-token": token, "cookie": f"a=b; session={token}"}
    for wanted, given in (
        ("authorization", {}),
        ("x-token", {"jwt_header": "X-Token"}),
        ("cookie", {"jwt_cookie": "session"}),
    ):
        by = authenticator(**given)
        for place, value in places.items():
            found = asyncio.run(by.authenticate(visitor((place, value))))
            assert (found is not None) is (place == wanted), (place, wanted)


@pytest.mark.parametrize("headers", [(), (("authorization", "Basic YTpi"),), (("authorization", "Bearer "),)])
def test_nobody_is_who_shows_no_token(headers):
    assert asyncio.run(authenticator().authenticate(visitor(*headers))) is None


def test_two_tokens_are_not_believed():
    good = f"Bearer {signed()}"
    with pytest.raises(NotBelieved):
        asyncio.run(authenticator().authenticate(visitor(("authorization", good), ("authorization", good))))
    twice = visitor(("cookie", f"t={signed()}; t=x"))
    with pytest.raises(NotBelieved):
        asyncio.run(authenticator(jwt_cookie="t").authenticate(twice))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Application:
    """The application's JWKS address."""

    def __init__(self, **keys: Any) -> None:
        self.keys = keys
        self.extra: list[Any] = []
        self.asked = 0
        self.down = False

    def fetch(self, url: str) -> bytes:
        self.asked += 1
        if self.down:
            raise OSError("connection refused")
        entries = [
            json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())) | {"kid": kid, "use": "sig"}
            for kid, key in self.keys.items()
        ]
        return json.dumps({"keys": [*entries, *self.extra]}).encode()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def application(ec_key):
    return Application(one=ec_key)


@pytest.fixture
def by_address(application, clock):
    keys = KeySet("https://app/jwks", fetch=application.fetch, clock=clock)
    return authenticator(keys, jwt_jwks_url="https://app/jwks", jwt_algorithms=("ES256",))


def test_keys_are_fetched_once_and_kept(application, by_address, ec_key):
    for _ in range(3):
        assert user(signed(ec_key, "ES256", {"kid": "one"}), by_address) is not None

    assert application.asked == 1


def test_keys_are_fetched_again_when_they_are_old(application, by_address, ec_key, clock):
    token = signed(ec_key, "ES256", {"kid": "one"})
    user(token, by_address)
    clock.now += FRESH_SECONDS + 1
    user(token, by_address)

    assert application.asked == 2


def test_a_new_key_is_found_without_a_restart(application, by_address, ec_key, clock):
    user(signed(ec_key, "ES256", {"kid": "one"}), by_address)
    new = application.keys["two"] = ec.generate_private_key(ec.SECP256R1())
    clock.now += BETWEEN_FETCHES_SECONDS + 1

    assert user(signed(new, "ES256", {"kid": "two"}), by_address) is not None


def test_made_up_key_ids_do_not_make_us_ask_again_and_again(application, by_address, ec_key):
    for number in range(20):
        with pytest.raises(NotBelieved):
            user(signed(ec_key, "ES256", {"kid": f"made-up-{number}"}), by_address)

    assert application.asked == 1


def test_known_keys_stay_good_for_a_day_while_the_application_is_down(application, by_address, ec_key, clock):
    token = signed(ec_key, "ES256", {"kid": "one"})
    user(token, by_address)
    application.down = True
    clock.now += KEPT_SECONDS - 1
    assert user(token, by_address) is not None

    clock.now += 2
    with pytest.raises(AuthUnavailable):
        user(token, by_address)


def test_sign_in_is_not_possible_before_the_keys_could_be_had_once(application, by_address, ec_key, clock):
    application.down = True
    with pytest.raises(AuthUnavailable):
        user(signed(ec_key, "ES256", {"kid": "one"}), by_address)

    application.down = False
    clock.now += BETWEEN_FETCHES_SECONDS + 1
    assert user(signed(ec_key, "ES256", {"kid": "one"}), by_address) is not None


def test_a_token_without_key_id_needs_a_single_key(application, by_address, ec_key, clock):
    assert user(signed(ec_key, "ES256"), by_address) is not None

    application.keys["two"] = ec.generate_private_key(ec.SECP256R1())
    clock.now += FRESH_SECONDS + 1
    with pytest.raises(NotBelieved):
        user(signed(ec_key, "ES256"), by_address)


def test_a_key_of_another_use_or_kind_is_not_used(application, by_address, ec_key):
    oct_key = base64.urlsafe_b64encode(SHARED.encode()).decode()
    own = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec_key.public_key()))
    application.keys = {}
    application.extra = [
        own | {"kid": "enc", "use": "enc"},
        own | {"kid": "alg", "alg": "ES384"},
        own | {"kid": "none", "alg": "none"},
        {"kty": "oct", "kid": "oct", "k": oct_key, "alg": "ES256"},
        {"kty": "EC", "kid": "broken", "alg": "ES256"},
        "no key",
        None,
    ]
    for kid in ("enc", "alg", "none", "oct", "broken"):
        with pytest.raises(NotBelieved):
            user(signed(ec_key, "ES256", {"kid": kid}), by_address)


def test_a_shared_secret_in_the_open_is_no_key():
    entry = {"kty": "oct", "kid": "oct", "k": base64.urlsafe_b64encode(SHARED.encode()).decode(), "alg": "HS256"}
    keys = KeySet("https://app/jwks", fetch=lambda url: json.dumps({"keys": [entry]}).encode())

    with pytest.raises(NotBelieved):
        asyncio.run(keys.find("oct", "HS256"))


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"{}", b'{"keys": 1}', b"<html>", b"\xff", b'{"keys": [' + b"1," * 200 + b"1]}", b"[" * 100_000],
)
def test_an_answer_that_is_no_key_set_counts_as_none(answer, ec_key):
    keys = KeySet("https://app/jwks", fetch=lambda url: answer)

    with pytest.raises(AuthUnavailable):
        asyncio.run(keys.find("one", "ES256"))


def test_keys_are_fetched_over_http_without_following_a_redirect():
    class Redirecting(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if self.path == "/jwks" else 200)
            self.send_header("location", "/elsewhere")
            self.end_headers()
            self.wfile.write(b'{"keys": []}')

        def log_message(self, *arguments: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Redirecting) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(AuthUnavailable):
            asyncio.run(KeySet(f"{address}/jwks").find("one", "ES256"))
        with pytest.raises(NotBelieved):
            asyncio.run(KeySet(f"{address}/keys").find("one", "ES256"))
        server.shutdown()
        thread.join()
