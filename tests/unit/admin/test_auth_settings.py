"""The admin service's settings: each value, each secret file, and what makes no sense together."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from admin_ui.auth.hashing import ScryptHash
from admin_ui.errors import SettingsError
from admin_ui.settings import READERS, SECRETS, AuthMode, Settings, from_environment

PROXY = {"ADMIN_AUTH_MODE": "proxy", "ADMIN_TRUSTED_PROXIES": "10.0.0.7"}
JWT = {
    "ADMIN_AUTH_MODE": "jwt",
    "ADMIN_JWT_KEY": "k" * 32,
    "ADMIN_JWT_ALGORITHMS": "HS256",
    "ADMIN_JWT_AUDIENCE": "jobs",
}
SECRET = "do-not-show-this-secret"


@pytest.fixture(scope="module")
def password_hash():
    return str(ScryptHash.of("correct horse battery"))


def test_an_empty_environment_gives_the_defaults():
    assert from_environment({}) == Settings()


def test_an_empty_variable_counts_as_unset():
    assert from_environment(dict.fromkeys(READERS, "")) == Settings()


def test_every_setting_has_a_variable_and_every_variable_a_setting():
    assert {name.removeprefix("ADMIN_").lower() for name in READERS} == set(Settings.__slots__)


def test_the_audit_log_lies_below_the_logs_unless_it_is_set():
    assert from_environment({"ADMIN_LOGS_DIR": "/l"}).audit_dir == Path("/l/audit")
    assert from_environment({"ADMIN_LOGS_DIR": "/l", "ADMIN_AUDIT_DIR": "/a"}).audit_dir == Path("/a")


def test_proxies_are_a_list_of_addresses_and_networks():
    settings = from_environment(PROXY | {"ADMIN_TRUSTED_PROXIES": "10.0.0.7, 172.18.0.0/16,fd00::/64"})

    assert settings.trusted_proxies == tuple(map(ip_network, ("10.0.0.7", "172.18.0.0/16", "fd00::/64")))


@pytest.mark.parametrize(("text", "days"), [("30", 30), ("0.5", 0.5), ("36500", 36500)])
def test_history_is_kept_for_a_number_of_days(text, days):
    assert from_environment({"ADMIN_KEEP_DAYS": text}).keep_days == days


def test_names_that_kubernetes_sets_for_a_service_called_admin_do_no_harm():
    assert from_environment({"ADMIN_PORT": "tcp://10.0.0.1:80", "ADMIN_SERVICE_HOST": "10.0.0.1"}) == Settings()


def test_a_root_path_may_end_in_a_slash():
    assert from_environment({"ADMIN_ROOT_PATH": "/ops/jobs/"}).root_path == "/ops/jobs"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ADMIN_KEEP_DAYS", "0"),
        ("ADMIN_KEEP_DAYS", "0.0"),
        ("ADMIN_KEEP_DAYS", "-1"),
        ("ADMIN_KEEP_DAYS", "36501"),
        ("ADMIN_KEEP_DAYS", "1e3"),
        ("ADMIN_KEEP_DAYS", "nan"),
        ("ADMIN_KEEP_DAYS", "a year"),
        ("ADMIN_PORT", "0"),
        ("ADMIN_PORT", "65536"),
        ("ADMIN_PORT", "٣"),
        ("ADMIN_PORT", "http"),
        ("ADMIN_JOBS_DIR", "a\0b"),
        ("ADMIN_ROOT_PATH", "ops"),
        ("ADMIN_ROOT_PATH", "//evil.example"),
        ("ADMIN_ROOT_PATH", "/ops/../x"),
        ("ADMIN_ROOT_PATH", "/o%70s"),
        ("ADMIN_ROOT_PATH", "/ops\n"),
        ("ADMIN_AUTH_MODE", "none"),
        ("ADMIN_AUTH_MODE", "PROXY"),
        ("ADMIN_ROLE", "admin,root"),
        ("ADMIN_ROLE", " admin"),
        ("ADMIN_TRUSTED_PROXIES", "*"),
        ("ADMIN_TRUSTED_PROXIES", "proxy.example"),
        ("ADMIN_TRUSTED_PROXIES", "10.0.0.7/8"),
        ("ADMIN_USER_HEADER", "X User"),
        ("ADMIN_USER_HEADER", "Host"),
        ("ADMIN_ROLES_HEADER", "x-forwarded-FOR"),
        ("ADMIN_JWT_JWKS_URL", "http://keys.example/jwks"),
        ("ADMIN_JWT_JWKS_URL", "http://[2001:db8::1]/jwks"),
        ("ADMIN_JWT_JWKS_URL", "http://167772161/jwks"),
        ("ADMIN_JWT_JWKS_URL", "http://0x0a000001/jwks"),
        ("ADMIN_JWT_JWKS_URL", "https://me:secret@keys.example/jwks"),
        ("ADMIN_JWT_JWKS_URL", "file:///etc/passwd"),
        ("ADMIN_JWT_ALGORITHMS", "none"),
        ("ADMIN_JWT_ALGORITHMS", "RS256,none"),
        ("ADMIN_JWT_ALGORITHMS", "HS256,RS256"),
        ("ADMIN_JWT_ALGORITHMS", "rs256"),
        ("ADMIN_JWT_COOKIE", "a=b"),
    ],
)
def test_a_bad_value_is_an_error_that_names_the_variable_and_shows_the_value(name, value):
    with pytest.raises(SettingsError) as error:
        from_environment({name: value})

    assert str(error.value).startswith(f"{name}: expected ")
    assert repr(value[:50])[1:-1] in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"), [("ADMIN_PROXY_SECRET", "short"), ("ADMIN_PASSWORD_HASH", f"$2b$12${SECRET}")]
)
def test_a_bad_secret_is_an_error_that_names_it_and_does_not_show_it(name, value):
    with pytest.raises(SettingsError, match=f"^{name}: expected ") as error:
        from_environment({name: value})

    assert value not in str(error.value)


@pytest.mark.parametrize(
    ("environ", "named", "advice"),
    [
        ({"ADMIN_AUTH_MODE": "proxy"}, "ADMIN_TRUSTED_PROXIES", "set it to those of the proxy"),
        ({"ADMIN_AUTH_MODE": "proxy", "ADMIN_TRUSTED_PROXIES": "0.0.0.0/0"}, "ADMIN_TRUSTED_PROXIES", "PROXY_SECRET"),
        ({"ADMIN_TRUSTED_PROXIES": "10.0.0.7,::/0"}, "ADMIN_TRUSTED_PROXIES", "every address"),
        ({"ADMIN_PROXY_SECRET": "x" * 16}, "ADMIN_PROXY_SECRET", "needs ADMIN_TRUSTED_PROXIES"),
        (PROXY | {"ADMIN_ROLES_HEADER": "x-forwarded-user"}, "ADMIN_ROLES_HEADER", "ADMIN_USER_HEADER too"),
        (PROXY | {"ADMIN_JWT_KEY": "k" * 32}, "ADMIN_JWT_KEY", "set ADMIN_AUTH_MODE=jwt or remove it"),
        ({"ADMIN_USER_HEADER": "X-User"}, "ADMIN_USER_HEADER", "set ADMIN_AUTH_MODE=proxy or remove it"),
        (JWT | {"ADMIN_JWT_KEY": ""}, "ADMIN_JWT_KEY, ADMIN_JWT_JWKS_URL", "exactly one"),
        (JWT | {"ADMIN_JWT_JWKS_URL": "https://app/jwks"}, "ADMIN_JWT_KEY, ADMIN_JWT_JWKS_URL", "exactly one"),
        (JWT | {"ADMIN_JWT_ALGORITHMS": ""}, "ADMIN_JWT_ALGORITHMS", "needs it"),
        (JWT | {"ADMIN_JWT_AUDIENCE": ""}, "ADMIN_JWT_AUDIENCE", "needs it"),
        (
            JWT | {"ADMIN_JWT_HEADER": "X-Token", "ADMIN_JWT_COOKIE": "t"},
            "ADMIN_JWT_HEADER, ADMIN_JWT_COOKIE",
            "one of",
        ),
        (
            JWT | {"ADMIN_JWT_KEY": "", "ADMIN_JWT_JWKS_URL": "https://app/jwks"},
            "ADMIN_JWT_ALGORITHMS",
            "needs ADMIN_JWT_KEY",
        ),
    ],
)
def test_settings_that_make_no_sense_together_are_refused_with_what_to_do(environ, named, advice):
    with pytest.raises(SettingsError, match=f"^{named}: ") as error:
        from_environment(environ)

    assert advice in str(error.value)


def test_a_password_hash_is_refused_where_no_password_is_asked_for(password_hash):
    with pytest.raises(SettingsError, match=r"^ADMIN_PASSWORD_HASH: "):
        from_environment(PROXY | {"ADMIN_PASSWORD_HASH": password_hash})


def test_a_secret_proxy_header_allows_every_address():
    environ = PROXY | {"ADMIN_TRUSTED_PROXIES": "0.0.0.0/0,::/0", "ADMIN_PROXY_SECRET": "x" * 16}

    assert from_environment(environ).auth_mode is AuthMode.PROXY


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_secret_may_lie_in_a_file_whose_last_line_break_is_not_part_of_it(tmp_path, ending):
    (tmp_path / "secret").write_bytes(b"  " + SECRET.encode() + ending.encode())
    environ = JWT | {"ADMIN_JWT_KEY": "", "ADMIN_JWT_KEY_FILE": str(tmp_path / "secret")}

    assert from_environment(environ).jwt_key == f"  {SECRET}"


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "expected a readable file"),
        (b"", "found nothing"),
        (b"\n", "found nothing"),
        (b"\xff\xfe", "UTF-8"),
        (b"x" * 70_000, "at most"),
    ],
)
def test_an_unusable_secret_file_is_an_error_that_names_its_variable(tmp_path, name, content, problem):
    if content is not None:
        (tmp_path / "secret").write_bytes(content)

    with pytest.raises(SettingsError, match=f"^{name}_FILE: .*{problem}"):
        from_environment({f"{name}_FILE": str(tmp_path / "secret")})


def test_a_secret_that_is_given_twice_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"^ADMIN_JWT_KEY: ADMIN_JWT_KEY_FILE is set as well"):
        from_environment(JWT | {"ADMIN_JWT_KEY_FILE": str(tmp_path / "secret")})


def test_secrets_are_not_part_of_what_settings_show():
    shown = repr(from_environment(JWT | {"ADMIN_JWT_KEY": SECRET}))

    assert SECRET not in shown
