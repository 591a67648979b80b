"""Nobody acts without the admin role, and whatever is done stands in the audit log."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import jwt
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from admin_ui.audit import AuditLog
from admin_ui.auth import User, require_role
from admin_ui.errors import NotAuthorized
from admin_ui.settings import AuthMode
from tests.admin_web import ANNA, FROM_OUR_PAGE, METHODS, PROXY, STRANGER, VIEWER, app_in, browser
from tests.strategies import job_names

KEY = "k" * 32
PAST, FUTURE = 1_700_000_000, 4_100_000_000
RUN = "20260131T090000-3f9a1c07"
PATHS = (
    "/", "/config", "/theme.css", "/assets/x.js", "/gradio_api/queue/data?session_hash=a", "/gradio_api/heartbeat/a",
    "/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/cancel", "/gradio_api/reset",
    "/gradio_api/upload", f"/download/backup/{RUN}.stdout", "/openapi.json", "/login", "/no/such/path",
)  # fmt: skip

OPERATIONS = (
    "create_job", "update_job", "delete_job", "enable_job", "disable_job", "trigger_job", "cancel_run",
    "pause", "resume",
)  # fmt: skip
VIEWS = ("view_jobs", "view_job_history", "view_job_logs", "download_output")

printable = st.characters(exclude_categories=["C", "Z"])
names = st.text(printable, min_size=1, max_size=30)
other_roles = st.one_of(
    st.sampled_from(
        ("Admin", "ADMIN", "administrator", "admin2", "superadmin", "admin\u200b", "user", "\u0430dmin", "*")
    ),
    st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=12),
).filter(lambda role: "admin" not in [part.strip() for part in role.split(",")])
details = st.dictionaries(
    st.text(max_size=8),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4),
    max_size=4,
)
users = st.builds(
    User, names, st.frozensets(other_roles, max_size=3), st.sampled_from((PROXY, STRANGER, "2001:db8::1"))
)


@pytest.fixture(scope="module")
def behind_a_proxy(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return app_in(tmp_path_factory.mktemp("proxy"))


@pytest.fixture(scope="module")
def with_tokens(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    given_mode = {"auth_mode": AuthMode.JWT, "jwt_key": KEY, "jwt_algorithms": ("HS256",), "jwt_audience": "jobs"}
    return app_in(tmp_path_factory.mktemp("jwt"), trusted_proxies=(), **given_mode)


# Feature: production-jobs-scheduler, Property 20: Admin Authorization Enforcement
@given(user=users, role=other_roles)
def test_no_operation_begins_for_a_user_without_the_admin_role(user, role):
    changed = []

    def operation(who: User | None) -> None:
        require_role(who, "admin")
        changed.append(who)

    for who in (None, user, User(user.username, user.roles | {role}, user.source)):
        with pytest.raises(NotAuthorized):
            operation(who)
    assert changed == []


# Feature: production-jobs-scheduler, Property 20: Admin Authorization Enforcement
@given(
    method=st.sampled_from(METHODS), path=st.sampled_from(PATHS), name=names, roles=st.lists(other_roles, max_size=3)
)
def test_no_request_of_a_known_user_without_the_admin_role_gets_anywhere(behind_a_proxy, method, path, name, roles):
    headers = {"x-forwarded-user": name.encode(), "x-forwarded-groups": ",".join(roles).encode(), **FROM_OUR_PAGE}
    answer = browser(behind_a_proxy).request(method, path, headers=headers)

    assert answer.status_code == 403
    assert behind_a_proxy.state.reached == []


forwarded = st.tuples(
    st.sampled_from(("x-forwarded-for", "x-real-ip", "forwarded", "x-forwarded-host", "x-admin-proxy-secret")),
    st.sampled_from((PROXY, f"for={PROXY}", "127.0.0.1", "admin")),
)
credentials = st.sampled_from(
    (("cookie", "admin_session=x"), ("authorization", "Bearer x"), ("authorization", "Basic YTpi"))
)
forged_headers = st.lists(st.sampled_from([*ANNA.items(), *VIEWER.items()]) | forwarded | credentials, max_size=5)


# Feature: production-jobs-scheduler, Property 20: Admin Authorization Enforcement
@given(method=st.sampled_from(METHODS), path=st.sampled_from(PATHS), forged=forged_headers)
def test_no_header_of_a_stranger_gets_a_request_anywhere(behind_a_proxy, method, path, forged):
    headers = [*forged, *FROM_OUR_PAGE.items()]
    status = browser(behind_a_proxy, STRANGER).request(method, path, headers=headers).status_code

    assert status == 401
    assert behind_a_proxy.state.reached == []


@st.composite
def spoiled(draw: st.DrawFn) -> str:
    """Tokens of which something does not hold: a claim, the key, the algorithm, or a character."""
    claims = {"sub": "anna", "roles": ["admin"], "aud": "jobs", "exp": FUTURE}
    key, algorithm = KEY, "HS256"
    what = draw(st.sampled_from(("expired", "audience", "key", "algorithm", "none", "missing", "character", "cut")))
    if what == "expired":
        claims["exp"] = draw(st.integers(0, PAST))
    elif what == "audience":
        claims["aud"] = draw(st.text(max_size=8).filter(lambda text: text != "jobs"))
    elif what == "key":
        key = draw(st.text(min_size=32, max_size=40).filter(lambda text: text != KEY))
    elif what == "algorithm":
        algorithm, key = "HS512", KEY * 2
    elif what == "none":
        return jwt.encode(claims, "", algorithm="none")
    elif what == "missing":
        del claims[draw(st.sampled_from(("aud", "exp", "sub")))]
    token = jwt.encode(claims, key.encode("utf-8", "surrogatepass"), algorithm=algorithm)
    if what == "cut":
        return token[: draw(st.integers(1, len(token) - 2))]
    if what == "character":
        # Not the last one, of which some bits mean nothing in base64.
        at = draw(st.integers(0, len(token) - 2).filter(lambda position: token[position] != "."))
        return token[:at] + draw(st.sampled_from([each for each in "AZaz09-_" if each != token[at]])) + token[at + 1 :]
    return token


# Feature: production-jobs-scheduler, Property 20: Admin Authorization Enforcement
@given(token=spoiled(), path=st.sampled_from(PATHS), method=st.sampled_from(("GET", "POST")))
def test_no_token_of_which_something_does_not_hold_gets_a_request_anywhere(with_tokens, token, path, method):
    headers = {"authorization": f"Bearer {token}", **FROM_OUR_PAGE}
    status = browser(with_tokens).request(method, path, headers=headers).status_code

    assert status == 401
    assert with_tokens.state.reached == []


# Feature: production-jobs-scheduler, Property 21: Audit Logging Completeness
@given(
    acts=st.lists(
        st.tuples(users, st.sampled_from(OPERATIONS), job_names, details, st.booleans()), min_size=1, max_size=6
    )
)
def test_every_change_stands_in_the_log_with_who_what_when_and_what_came_of_it(acts):
    with tempfile.TemporaryDirectory() as folder:
        log, ids = AuditLog(folder, max_bytes=2000, backups=100), []
        for user, action, job, parameters, works in acts:
            try:
                with log.change(user, action, job, parameters) as line_id:
                    ids.append(line_id)
                    assert [line["event"] for line in lines_with(folder, line_id)] == ["requested"]
                    if not works:
                        raise KeyError(job)
            except KeyError:
                assert not works

        for line_id, (user, action, job, parameters, works) in zip(ids, acts, strict=True):
            requested, outcome = lines_with(folder, line_id)
            assert (requested["event"], outcome["event"]) == ("requested", "outcome")
            for line in (requested, outcome):
                assert (line["username"], line["action"], line["job_name"]) == (user.username, action, job)
                assert line["source"] == user.source
                assert is_instant(line["timestamp"])
            assert requested["details"] == parameters
            assert outcome["outcome"] == ("done" if works else "failed")
            asked = log.who_asked(line_id)
            assert asked is not None and (asked.username, asked.action, asked.job_name) == (user.username, action, job)


# Feature: production-jobs-scheduler, Property 21: Audit Logging Completeness
@given(user=users, action=st.sampled_from(VIEWS), job=st.none() | job_names, parameters=details, why=st.text())
def test_every_view_and_every_refusal_is_one_line_in_the_log(user, action, job, parameters, why):
    with tempfile.TemporaryDirectory() as folder:
        log = AuditLog(folder)
        assert log.viewed(user, action, job, parameters)
        assert log.refused(user, action, why, user.source, parameters)
        assert log.log_event(user.username, action, parameters)

        viewed, refused, event = lines_of(folder)
        for line in (viewed, refused, event):
            assert (line["username"], line["action"], line["details"]) == (user.username, action, parameters)
            assert is_instant(line["timestamp"])
        assert viewed["job_name"] == job
        assert (refused["why"], refused["source"]) == (why, user.source)


def lines_of(folder: str) -> list[dict[str, Any]]:
    files = sorted(Path(folder).iterdir(), key=lambda path: -int(path.suffix[1:] if path.suffix != ".log" else 0))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def lines_with(folder: str, line_id: str) -> list[dict[str, Any]]:
    return [line for line in lines_of(folder) if line["id"] == line_id]


def is_instant(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text) is not None
