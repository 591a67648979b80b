"""The guard in front of everything, with a page behind it that would answer whatever reached it."""

import asyncio
import base64
import json
import time
from collections import Counter
from urllib.parse import unquote

import jwt
import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from admin_ui.app import authenticator_for, create_app
from admin_ui.audit import AuditLog
from admin_ui.auth import AuthUnavailable
from admin_ui.auth.proxy import ProxyAuthenticator
from admin_ui.guard import Guard
from admin_ui.routes import EVENT_BYTES, PLAIN_PATH
from admin_ui.settings import AuthMode
from tests.admin_web import (
    ANNA,
    AS_A_PAGE,
    FROM_OUR_PAGE,
    HOST,
    METHODS,
    ORIGIN,
    PROXY,
    STRANGER,
    VIEWER,
    app_in,
    audit_lines,
    browser,
    mount_anything,
    settings_in,
)

JOIN = "/gradio_api/queue/join"
SECRET = "0123456789abcdef"


@pytest.fixture
def app(tmp_path):
    return app_in(tmp_path)


@pytest.fixture
def reached(app):
    return app.state.reached


def test_nobody_gets_nothing_but_ok_from_healthz(app, reached):
    client = browser(app)
    for path in ("/", "/config", "/download/a/b.stdout", "/openapi.json", "/docs", "/nothing", "/assets/x.js", "//"):
        for method in METHODS:
            assert client.request(method, path, headers=FROM_OUR_PAGE).status_code == 401, (method, path)

    assert client.get("/healthz").text == "ok"
    assert reached == []


def test_who_is_nobody_is_in_the_audit_log_with_the_address_and_what_was_asked_for(app, tmp_path):
    client = browser(app, STRANGER)
    client.get("/", headers=AS_A_PAGE)
    client.post(JOIN, json={}, headers=FROM_OUR_PAGE)
    client.get("/x" * 1000)
    client.get("/healthz")

    lines = audit_lines(tmp_path)
    assert [(line["event"], line["username"], line["source"], line["why"]) for line in lines] == [
        ("refused", None, STRANGER, "not signed in")
    ] * 3
    assert [line["action"] for line in lines] == ["GET /", f"POST {JOIN}", ("GET " + "/x" * 1000)[:200]]


def test_who_is_sent_to_sign_in_is_refused_nothing_and_every_other_request_is(tmp_path):
    client = browser(app_in(tmp_path, auth_mode=AuthMode.PASSWORD))

    assert client.get("/", headers=AS_A_PAGE).status_code == 303
    assert audit_lines(tmp_path)[1:] == []
    assert client.get("/config").status_code == 401
    assert [line["action"] for line in audit_lines(tmp_path) if line["event"] == "refused"] == ["GET /config"]


def test_a_stranger_with_two_answers_to_where_he_comes_from_is_no_failure_of_the_service(tmp_path, caplog):
    client = browser(app_in(tmp_path, auth_mode=AuthMode.PASSWORD), accept="text/html")

    assert client.get("/", headers=[("sec-fetch-site", "none")] * 2).status_code == 303
    assert "Traceback" not in caplog.text


def test_keys_that_cannot_be_fetched_refuse_everybody_and_that_is_in_the_audit_log(tmp_path, monkeypatch):
    async def unavailable(self, visitor):
        raise AuthUnavailable("the keys cannot be fetched")

    monkeypatch.setattr(ProxyAuthenticator, "authenticate", unavailable)

    assert browser(app_in(tmp_path), **ANNA).get("/config").status_code == 503
    [line] = audit_lines(tmp_path)
    assert (line["event"], line["username"], line["why"]) == ("refused", None, "the keys cannot be fetched")


def test_a_viewer_gets_a_403_page_on_every_path_and_is_in_the_audit_log(app, reached, tmp_path):
    client = browser(app, **VIEWER)
    for path in ("/", "/config", "/download/a/b.stdout", "/nothing"):
        answer = client.get(path, headers=AS_A_PAGE)
        assert answer.status_code == 403
        assert "You are signed in as victor" in answer.text

    lines = audit_lines(tmp_path)
    assert [(line["event"], line["username"], line["source"]) for line in lines] == [("refused", "victor", PROXY)] * 4
    assert lines[0]["action"] == "GET /" and "lacks the role admin" in lines[0]["why"]
    assert reached == []


def test_a_hostile_user_name_is_text_on_the_403_page(app):
    page = browser(app, x_forwarded_user="<script>alert(1)</script>").get("/", headers=AS_A_PAGE)

    assert page.status_code == 403 and "<script" not in page.text


def test_an_admin_gets_what_is_listed_and_404_for_everything_else(app, reached):
    client = browser(app, **ANNA)
    assert client.get("/config").status_code == 200
    assert client.post(JOIN, json={}, headers=FROM_OUR_PAGE).status_code == 200
    before = len(reached)
    for path in ("/gradio_api/upload", "/gradio_api/info", "/openapi.json", "/docs", "/login", "/logout", "/token"):
        for method in METHODS:
            assert client.request(method, path, headers=FROM_OUR_PAGE).status_code == 404, (method, path)
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        assert client.request(method, "/", headers=FROM_OUR_PAGE).status_code == 404
    assert len(reached) == before


@pytest.mark.parametrize(
    "path",
    [
        "//config",
        "/config/",
        "/./config",
        "/x/../config",
        "/config/../gradio_api/info",
        "/assets/../config",
        "/assets/..",
        "/assets/%2e%2e/config",
        "/assets//config",
        "/assets/" + "x" * 256,
        "/static/" + "x/" * 2048 + "x",
        "/%63onfig",
        "/config%00",
        "/config%0a",
        "/config\\",
        "/config;x=1",
        "/CONFIG",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/heartbeat/a/b",
        "/gradio_api/heartbeat/",
        "/download/../x.stdout",
        "/download/a/b.stdout/c",
        "/download/a/%2e%2e%2fb.stdout",
        "/healthz/",
        "/healthz/../config",
        "/é",
    ],
)
def test_tricks_with_paths_lead_nowhere(app, reached, path):
    async def ask(headers):
        """Send the path as it is; clients tidy paths up."""
        sent = []
        raw = path.encode()
        scope = {
            "type": "http", "method": "GET", "path": unquote(path), "raw_path": raw, "query_string": b"",
            "root_path": "", "scheme": "http", "headers": [(b"host", HOST.encode()), *headers],
            "client": (PROXY, 1), "server": (HOST, 80), "http_version": "1.1", "asgi": {"version": "3.0"},
        }  # fmt: skip

        async def send(message):
            sent.append(message)

        async def receive():
            return {"type": "http.disconnect"}

        await app(scope, receive, send)
        return sent[0]["status"]

    admin = [(name.encode(), value.encode()) for name, value in ANNA.items()]
    assert asyncio.run(ask([])) == 401
    assert asyncio.run(ask(admin)) == 404
    assert reached == []


def test_no_path_that_the_table_lets_through_can_be_read_in_two_ways():
    for odd in ("//", "/a//b", "/..", "/../a", "/a/./b", "/a/..", "/%61", "/a\\b", "/a?b", "/a\n", "a"):
        assert not PLAIN_PATH.match(odd), odd


@pytest.mark.parametrize(
    "forged",
    [
        ANNA,
        ANNA | {"x-forwarded-for": PROXY},
        ANNA | {"x-real-ip": PROXY, "forwarded": f"for={PROXY}"},
        ANNA | {"x-forwarded-host": HOST},
    ],
)
def test_identity_headers_from_a_stranger_are_a_401_that_is_in_the_audit_log(app, reached, tmp_path, forged):
    answer = browser(app, STRANGER, **{name.replace("-", "_"): value for name, value in forged.items()}).get("/config")

    assert answer.status_code == 401
    assert [(line["username"], line["source"]) for line in audit_lines(tmp_path)] == [(None, STRANGER)]
    assert reached == []


@pytest.mark.parametrize("name", ["x-forwarded-user", "x-forwarded-groups", "X-FORWARDED-USER"])
@pytest.mark.parametrize("value", ["anna", "root", ""])
def test_a_duplicate_identity_header_is_a_401(app, reached, name, value):
    headers = [*ANNA.items(), (name, value)]

    assert browser(app).get("/config", headers=headers).status_code == 401
    assert reached == []


def test_with_a_proxy_secret_the_address_alone_is_not_enough(tmp_path):
    app = app_in(tmp_path, proxy_secret=SECRET)

    assert browser(app, **ANNA).get("/config").status_code == 401
    assert browser(app, **ANNA, x_admin_proxy_secret=SECRET[:-1] + "x").get("/config").status_code == 401
    assert browser(app, STRANGER, **ANNA, x_admin_proxy_secret=SECRET).get("/config").status_code == 401
    assert browser(app, **ANNA, x_admin_proxy_secret=SECRET).get("/config").status_code == 200


def test_what_passes_carries_the_user_and_nothing_a_client_could_forge(tmp_path):
    app = app_in(tmp_path, proxy_secret=SECRET)
    sent = {
        "x-forwarded-for": "6.6.6.6, 198.51.100.4",
        "x-forwarded-host": "app.example",
        "x-forwarded-proto": "https",
        "x-forwarded-prefix": "/evil",
        "x-gradio-server": "http://evil.example",
        "forwarded": "host=evil.example",
        "cookie": "a=b",
        "authorization": "Bearer x",
        "x-admin-proxy-secret": SECRET,
        "accept": "text/plain",
    }
    browser(app, **ANNA).get("/config", headers=sent)

    (note,) = app.state.reached
    assert (note["user"], note["source"]) == ("anna", "198.51.100.4")
    assert note["url"] == "https://app.example/config"
    assert note["headers"] == {"host": "app.example", "accept": "text/plain"}


def test_forwarded_host_and_scheme_of_a_stranger_are_not_believed(tmp_path):
    app = app_in(tmp_path, auth_mode=AuthMode.JWT, jwt_key="k" * 32, jwt_algorithms=("HS256",), jwt_audience="jobs")
    token = jwt.encode({"sub": "anna", "roles": ["admin"], "aud": "jobs", "exp": 1e10}, "k" * 32)
    headers = {"authorization": f"Bearer {token}", "x-forwarded-host": "evil.example", "x-forwarded-proto": "https"}
    browser(app, STRANGER).get("/config", headers=headers)

    assert app.state.reached[0]["url"] == f"{ORIGIN}/config"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": f"http://{HOST}.evil.example"},
        {"origin": f"http://evil.{HOST}"},
        {"origin": f"http://{HOST}:8080"},
        {"origin": f"ftp://{HOST}"},
        {"origin": f"http://{HOST}/"},
        {"origin": f"http://user@{HOST}"},
        {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
        {"origin": ORIGIN, "sec-fetch-site": "same-site"},
        {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
        {"referer": f"{ORIGIN}/"},
    ],
    ids=str,
)
def test_a_change_that_does_not_come_from_our_own_page_is_a_403_in_the_audit_log(app, reached, tmp_path, headers):
    answer = browser(app, **ANNA).post(JOIN, json={}, headers=headers)

    assert answer.status_code == 403
    assert audit_lines(tmp_path)[0]["why"].startswith("cross-site request")
    assert reached == []


@pytest.mark.parametrize("twice", ["origin", "sec-fetch-site"])
def test_a_change_with_two_answers_to_where_it_comes_from_is_a_403(app, twice):
    value = ORIGIN if twice == "origin" else "same-origin"
    headers = [("origin", ORIGIN), (twice, value), (twice, value)]

    assert browser(app, **ANNA).post(JOIN, json={}, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("forwarded", "origin"),
    [
        ({}, ORIGIN),
        ({}, f"{ORIGIN}:80"),
        ({}, f"HTTP://{HOST.upper()}"),
        ({}, f"https://{HOST}"),  # a proxy that ends TLS and does not say so
        ({"x-forwarded-host": "app.example"}, "https://app.example"),
        ({"x-forwarded-host": "app.example", "x-forwarded-proto": "https"}, "https://app.example"),
        ({"x-forwarded-host": "app.example:8443", "x-forwarded-proto": "https"}, "https://app.example:8443"),
    ],
)
def test_a_change_from_our_own_page_passes_also_behind_a_proxy(app, forwarded, origin):
    assert browser(app, **ANNA).post(JOIN, json={}, headers=forwarded | {"origin": origin}).status_code == 200


def test_a_page_of_http_is_not_ours_when_we_are_https(app):
    headers = {"x-forwarded-proto": "https", "origin": ORIGIN}

    assert browser(app, **ANNA).post(JOIN, json={}, headers=headers).status_code == 403


def test_another_site_may_link_here_but_not_load_anything(app):
    client = browser(app, **ANNA)
    cross = {"sec-fetch-site": "cross-site"}

    assert client.get("/", headers=cross | {"sec-fetch-mode": "navigate"}).status_code == 200
    for mode in ("no-cors", "cors", "websocket"):
        assert client.get("/config", headers=cross | {"sec-fetch-mode": mode}).status_code == 403
    assert client.get("/config", headers=cross).status_code == 403


def test_no_answer_opens_itself_to_other_sites(app):
    client = browser(app, **ANNA)
    answers = [
        client.get("/config", headers={"origin": "https://evil.example"}),
        client.options(JOIN, headers={"origin": "https://evil.example", "access-control-request-method": "POST"}),
    ]

    assert [answer.status_code for answer in answers] == [200, 404]
    assert not any(name.startswith("access-control") for answer in answers for name in answer.headers)


@pytest.mark.parametrize("path", ["/", "/config", "/healthz", "/nothing", "/assets/x.js", "/gradio_api/queue/data"])
@pytest.mark.parametrize("who", [{}, VIEWER, ANNA], ids=["nobody", "viewer", "admin"])
def test_every_answer_has_the_security_headers(app, path, who):
    headers = browser(app, **who).get(path).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers
    assert "no-store" in headers["cache-control"] or path == "/assets/x.js"


def test_scripts_of_the_page_get_the_nonce_of_its_policy_and_each_answer_has_another(app):
    client = browser(app, **ANNA, accept_encoding="br")
    first, second = client.get("/"), client.get("/")
    nonce = first.headers["content-security-policy"].partition("'nonce-")[2].partition("'")[0]

    assert len(nonce) >= 20
    assert (
        first.text
        == f'<html><script nonce="{nonce}">1</script><script nonce="{nonce}" src=x></script><scripted></html>'
    )
    assert first.headers["content-length"] == str(len(first.content))
    assert nonce not in second.headers["content-security-policy"]
    assert "accept-encoding" not in app.state.reached[0]["headers"]


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip, br", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("gzip;q=0, br", False),
        ("gzip;q=0.000", False),
        ("x-gzip", False),
        ("identity", False),
        ("", False),
    ],
)
def test_the_page_is_packed_for_who_takes_it_with_the_nonce_in_it(app, accepted, packed):
    answer = browser(app, **ANNA, accept_encoding=accepted).get("/")

    assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
    assert answer.text.startswith('<html><script nonce="')


def test_nothing_but_the_page_is_packed_here(app):
    client = browser(app, **ANNA, accept_encoding="gzip")

    assert "content-encoding" not in client.get("/config").headers


def test_files_with_a_hash_in_their_name_are_kept_and_refusals_are_not(app):
    assert "immutable" in browser(app, **ANNA).get("/assets/index-1a2b.js").headers["cache-control"]
    assert browser(app, **ANNA).get("/theme.css").headers["cache-control"] == "private, no-cache"
    assert browser(app).get("/assets/index-1a2b.js").headers["cache-control"] == "no-store"


def test_events_stream_through_unbuffered(app):
    with browser(app, **ANNA).stream("GET", "/gradio_api/queue/data?session_hash=abc") as answer:
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["cache-control"] == "no-store"
        assert "".join(answer.iter_text()) == "data: 1\n\ndata: 2\n\n"


def test_each_event_is_passed_on_when_it_is_sent_not_at_the_end(tmp_path):
    order = []

    def mount(app: FastAPI) -> None:
        async def stream(scope, receive, send):
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
            )
            for number in range(3):
                order.append(f"sent {number}")
                await send({"type": "http.response.body", "body": b"%d" % number, "more_body": number < 2})

        app.mount("/", stream)

    async def ask():
        async def send(message):
            order.append(message.get("body", b"").decode() or "start")

        async def receive():
            return {"type": "http.disconnect"}

        scope = {
            "type": "http", "method": "GET", "path": "/gradio_api/queue/data", "raw_path": b"/gradio_api/queue/data",
            "query_string": b"", "root_path": "", "scheme": "http", "client": (PROXY, 1), "server": (HOST, 80),
            "headers": [(b"host", HOST.encode()), *((n.encode(), v.encode()) for n, v in ANNA.items())],
        }  # fmt: skip
        await create_app(settings_in(tmp_path), mount_page=mount)(scope, receive, send)

    asyncio.run(ask())
    assert order == ["start", "sent 0", "0", "sent 1", "1", "sent 2", "2"]


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large_is_a_413_and_not_passed_on(app, reached, declared):
    data = b"x" * (EVENT_BYTES + 1)
    body = data if declared else iter([data[: 1 << 20]] * 3)

    assert browser(app, **ANNA, **FROM_OUR_PAGE).post(JOIN, content=body).status_code == 413
    assert reached == []


def test_a_body_below_the_limit_arrives_whole(app, reached):
    sent = json.dumps({"data": ["é" * 500_000], "session_hash": "abc"}, ensure_ascii=False)
    answer = browser(app, **ANNA, **FROM_OUR_PAGE).post(JOIN, content=sent.encode())

    assert answer.status_code == 200
    assert reached[0]["body"] == sent


def test_a_body_that_does_not_end_is_a_408_in_time_and_its_connection_is_closed(tmp_path):
    async def unreached(scope, receive, send):
        raise AssertionError("half a request got through")

    settings = settings_in(tmp_path)
    authenticator = authenticator_for(settings, time.monotonic)
    guard = Guard(unreached, settings, authenticator, AuditLog(tmp_path / "audit"), body_seconds=0)
    sent, parts = [], [{"type": "http.request", "body": b'{"session_hash"', "more_body": True}]

    async def ask():
        async def receive():
            return parts.pop() if parts else await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        headers = {"host": HOST, "origin": ORIGIN, **ANNA}
        scope = {
            "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": JOIN,
            "raw_path": JOIN.encode(), "query_string": b"", "root_path": "", "client": (PROXY, 1), "server": None,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        async with asyncio.timeout(10):
            await guard(scope, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert "within 0 s" in json.loads(sent[1]["body"])["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"no json",
        b'{"session_hash": 7}',
        b'{"session_hash": ""}',
        b'{"session_hash": "../x"}',
        b'{"session_hash": "a", "session_hash": "b"}',
        b"[" * 10_000,
        b"\xff\xfe{\x00}\x00",
    ],
)
def test_an_event_that_cannot_be_read_in_one_way_only_is_a_400(app, reached, tmp_path, body):
    assert browser(app, **ANNA, **FROM_OUR_PAGE).post(JOIN, content=body).status_code == 400
    assert reached == []
    [line] = audit_lines(tmp_path)
    assert (line["event"], line["username"], line["why"][:15]) == ("refused", "anna", "cannot be read:")


def test_a_page_session_belongs_to_the_user_who_used_it_first(app, reached, tmp_path):
    anna = browser(app, **ANNA, **FROM_OUR_PAGE)
    bob = browser(app, **(ANNA | {"x-forwarded-user": "bob"}), **FROM_OUR_PAGE)
    assert anna.get("/gradio_api/heartbeat/abc").status_code == 200
    before = len(reached)

    attempts = [
        bob.get("/gradio_api/queue/data?session_hash=abc"),
        bob.get("/gradio_api/queue/data?session_hash=mine&session_hash=abc"),
        bob.get("/gradio_api/heartbeat/abc"),
        bob.get("/gradio_api/heartbeat/mine?session_hash=abc"),
        *(
            bob.post(f"/gradio_api/{what}", json={"session_hash": "abc"})
            for what in ("queue/join", "run/predict", "cancel", "reset")
        ),
        bob.post(f"{JOIN}?session_hash=abc", json={"session_hash": "mine"}),
    ]

    assert [answer.status_code for answer in attempts] == [403] * len(attempts)
    assert len(reached) == before
    assert anna.post(JOIN, json={"session_hash": "abc"}).status_code == 200
    assert {line["username"] for line in audit_lines(tmp_path)} == {"bob"}


def test_refusals_cannot_push_the_audit_log_out_of_its_files(tmp_path):
    now = [0.0]
    app = create_app(settings_in(tmp_path), mount_page=mount_anything, clock=lambda: now[0])
    viewer, forger = browser(app, **VIEWER), browser(app, STRANGER, **ANNA)
    for _ in range(100):
        viewer.get("/")
        forger.get("/")
        browser(app).get("/")
    lines = audit_lines(tmp_path)
    assert Counter(line["username"] for line in lines) == {"victor": 30, None: 8}
    assert Counter(line["why"] for line in lines)["not signed in"] == 4

    now[0] += 60
    viewer.get("/")
    assert audit_lines(tmp_path)[-1]["details"] == {"lines_left_out_before": 70}


def test_a_stranger_at_the_open_sign_in_page_has_no_more_lines_than_elsewhere(tmp_path):
    client = browser(app_in(tmp_path, auth_mode=AuthMode.PASSWORD))
    for _ in range(20):
        assert client.post("/sign-in", headers={"origin": "https://evil.example"}).status_code == 403

    assert [line["action"] for line in audit_lines(tmp_path) if line["event"] == "refused"] == ["POST /sign-in"] * 4


@pytest.mark.parametrize("path", ["/%F0%9F%98%80" * 500, "/%00%1b" * 500, "/" + "x" * 5000])
def test_a_line_about_a_stranger_is_short_whatever_was_asked_for(tmp_path, path):
    mode = {"auth_mode": AuthMode.JWT, "jwt_key": "k" * 32, "jwt_algorithms": ("HS256",), "jwt_audience": "jobs"}
    header = {"alg": "HS256", "crit": ["\N{GRINNING FACE}" * 1500]}
    parts = (json.dumps(each, ensure_ascii=False).encode() for each in (header, {}))
    token = ".".join(base64.urlsafe_b64encode(part).decode().strip("=") for part in parts)
    client = browser(app_in(tmp_path, **mode))
    assert client.get(path).status_code == 401
    assert client.get(path, headers={"authorization": f"Bearer {token}.x"}).status_code == 401

    first, second = audit_lines(tmp_path)
    assert first["why"] == "not signed in" and second["why"].startswith("the token is not valid")
    assert first["action"] == second["action"] == f"GET {path}"[:200]
    assert max(map(len, (tmp_path / "audit" / "audit.log").read_text().splitlines())) < 1000


def test_a_failure_inside_is_a_500_that_says_nothing_but_a_reference(tmp_path, caplog):
    def mount(app: FastAPI) -> None:
        async def fail(scope, receive, send):
            raise RuntimeError("the secret is 42")

        app.mount("/", fail)

    answer = browser(create_app(settings_in(tmp_path), mount_page=mount), **ANNA).get("/")

    assert answer.status_code == 500 and "secret" not in answer.text
    assert answer.headers["x-frame-options"] == "DENY"
    reference = answer.text.partition("reference ")[2].partition(".")[0]
    assert reference in caplog.text and "the secret is 42" in caplog.text


def test_a_websocket_is_closed_whoever_asks(app):
    async def ask():
        sent = []

        async def send(message):
            sent.append(message)

        headers = [(name.encode(), value.encode()) for name, value in ANNA.items()]
        scope = {"type": "websocket", "path": "/", "headers": headers, "client": (PROXY, 1), "query_string": b""}
        await app(scope, None, send)
        return sent

    assert asyncio.run(ask()) == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize("host", ["", "evil.example/x", "a b", "a,b", "x" * 300])
def test_an_impossible_host_is_a_400_that_is_in_the_audit_log(app, reached, tmp_path, host):
    assert browser(app, **ANNA).get("/config", headers={"host": host}).status_code == 400
    assert reached == []
    [line] = audit_lines(tmp_path)
    assert (line["event"], line["username"], line["source"], line["action"]) == ("refused", None, PROXY, "GET /config")
    assert "which host" in line["why"]


def test_below_a_root_path_both_kinds_of_proxy_work(tmp_path):
    app = app_in(tmp_path, root_path="/ops")
    client = browser(app, **ANNA)

    assert client.get("/config").status_code == client.get("/ops/config").status_code == 200
    assert {note["url"] for note in app.state.reached} == {f"{ORIGIN}/ops/config"}
    assert client.get("/opsconfig").status_code == client.get("/ops/ops/config").status_code == 404
    assert browser(app).get("/ops/healthz").text == browser(app).get("/healthz").text == "ok"


def test_the_page_of_a_sub_path_is_below_it_as_its_links_are_relative(tmp_path):
    app = app_in(tmp_path, root_path="/ops")
    answer = browser(app, **ANNA).get("/ops?view=logs&run=r1")

    assert (answer.status_code, answer.headers["location"]) == (307, "/ops/?view=logs&run=r1")
    assert browser(app, **ANNA).get("/ops/").status_code == browser(app, **ANNA).get("/").status_code == 200
    assert browser(app).get("/ops").status_code == 401


def test_nobody_is_told_where_to_sign_in(app):
    page = browser(app).get("/", headers=AS_A_PAGE)
    assert page.status_code == 401 and "Sign in to the application first" in page.text
    script = browser(app).get("/config")
    assert "not signed in" in script.json()["detail"]


def test_without_a_token_the_answer_says_that_a_bearer_is_wanted(tmp_path):
    app = app_in(tmp_path, auth_mode=AuthMode.JWT, jwt_key="k" * 32, jwt_algorithms=("HS256",), jwt_audience="jobs")

    assert browser(app).get("/config").headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("raised", "level"), [(HTTPException(404), "INFO"), (ValueError("odd"), "ERROR")])
def test_gradio_ends_the_events_of_a_session_it_does_not_know_without_an_alarm(tmp_path, caplog, raised, level):
    async def broken():
        yield "data: 1\n\n"
        raise raised

    def mount(app: FastAPI) -> None:
        app.get("/gradio_api/queue/data")(lambda: StreamingResponse(broken(), media_type="text/event-stream"))

    client = browser(create_app(settings_in(tmp_path), mount_page=mount), **ANNA)
    with caplog.at_level("INFO", "admin_ui.guard"):
        client.get("/gradio_api/queue/data?session_hash=abc")

    assert [record.levelname for record in caplog.records if record.name == "admin_ui.guard"] == [level]
