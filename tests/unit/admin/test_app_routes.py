"""The service's own routes: sign-in and sign-out, choosing and changing the password, downloads, health."""

import asyncio
import hashlib
import json
import os
import re
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import Route

from admin_ui import download as downloads
from admin_ui import job_management_service
from admin_ui.app import create_app
from admin_ui.audit import AuditLog
from admin_ui.auth import USER_KEY, User, hashing
from admin_ui.download import Download, OutputResponse
from admin_ui.errors import NotAuthorized, StorageError
from admin_ui.history import JOURNAL
from admin_ui.job_management_service import JobManagementService
from admin_ui.output import CHUNK_BYTES, from_text
from admin_ui.queries import HistoryRow
from admin_ui.routes import FORM_BYTES, Kind, find, routes_for
from admin_ui.settings import AuthMode
from tests.admin_lines import NOON, accepted, append, complete, failure, start
from tests.admin_web import (
    ANNA,
    AS_A_PAGE,
    FROM_OUR_PAGE,
    HOST,
    METHODS,
    ORIGIN,
    VIEWER,
    app_in,
    audit_lines,
    browser,
    settings_in,
)

OWN = "correct horse battery staple"
RUN = "20260131T090000-3f9a1c07"


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch):
    monkeypatch.setattr(hashing, "LOG2_N", 4)


@pytest.fixture
def door(tmp_path, capsys):
    """Return an application that asks for its password, and the printed one."""
    app = app_in(tmp_path, auth_mode=AuthMode.PASSWORD, trusted_proxies=())
    printed = capsys.readouterr()
    assert printed.out == ""
    return app, re.findall(r"^ {6}(\S+)$", printed.err, re.MULTILINE)[0]


@pytest.fixture
def admin(door):
    """Return a browser in which the admin is signed in, with a password of his own."""
    app, printed = door
    client = browser(app, **FROM_OUR_PAGE)
    client.post("/sign-in", data={"password": printed})
    answer = client.post("/sign-in", data={"new_password": OWN, "repeated": OWN})
    assert answer.status_code == 303
    return client


def sign_in(app, password=OWN, **headers):
    client = browser(app, **FROM_OUR_PAGE, **headers)
    answer = client.post("/sign-in", data={"password": password})
    return client, answer


def own_routes(app):
    return [route for route in app.routes if isinstance(route, Route) and route.path != "/{path:path}"]


@pytest.mark.parametrize("mode", [AuthMode.PASSWORD, AuthMode.PROXY])
def test_every_route_that_is_served_is_in_the_guard_s_table_and_answers_nobody(tmp_path, capsys, mode):
    given = {"trusted_proxies": ()} if mode is AuthMode.PASSWORD else {}
    app = create_app(settings_in(tmp_path, auth_mode=mode, **given))
    listed = routes_for(mode)

    assert not any(isinstance(route, APIRoute) for route in app.routes)
    for route in own_routes(app):
        path = route.path.replace("{job}", "backup").replace("{file}", f"{RUN}.stdout")
        assert all(find(listed, method, path) for method in (route.methods or set()) - {"HEAD"}), path
        for method in METHODS:
            found = find(listed, method, path)
            status = browser(app).request(method, path, headers=FROM_OUR_PAGE).status_code
            is_open = found is not None and found.kind is Kind.OPEN
            asks_for_password = (method, path) == ("POST", "/sign-in")
            assert (status != 401) is (is_open and not asks_for_password), (method, path)


def test_nothing_describes_the_service_to_programs(tmp_path):
    app = app_in(tmp_path)

    assert {route.path for route in own_routes(app)} == {
        "/healthz",
        "/download/log/{job}.jsonl",
        "/download/{job}/{file}",
    }
    for path in ("/openapi.json", "/docs", "/redoc", "/docs/oauth2-redirect"):
        assert browser(app, **ANNA).get(path).status_code == 404


def test_the_sign_in_routes_exist_only_where_a_password_is_asked_for(tmp_path):
    client = browser(app_in(tmp_path), **ANNA, **FROM_OUR_PAGE)

    for method, path in (("GET", "/sign-in"), ("POST", "/sign-in"), ("POST", "/sign-out"), ("GET", "/password")):
        assert client.request(method, path).status_code == 404


def test_nobody_is_led_to_the_sign_in_page_and_back_to_what_he_wanted(door):
    client = browser(door[0], accept="text/html", **FROM_OUR_PAGE)

    assert client.get("/").headers["location"] == "/sign-in"
    answer = client.get("/config?job=a&x=%2F")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=/config%3Fjob%3Da%26x%3D%252F"
    form = client.get(answer.headers["location"])
    assert 'name="next" value="/config?job=a&amp;x=%2F"' in form.text


@pytest.mark.parametrize("headers", [{}, {"accept": "application/json"}, AS_A_PAGE | {"sec-fetch-mode": "cors"}])
def test_a_script_without_a_session_gets_a_401_and_no_page(door, headers):
    assert browser(door[0]).get("/config", headers=headers).status_code == 401
    assert browser(door[0], **FROM_OUR_PAGE).post("/gradio_api/queue/join", headers=AS_A_PAGE).status_code == 401


def test_a_link_on_another_site_works_although_the_cookie_stays_home_at_first(admin):
    cross = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"} | AS_A_PAGE
    signed_out = browser(admin.app, **FROM_OUR_PAGE)
    first = signed_out.get("/config?job=a", headers=cross)

    assert first.status_code == 401
    assert 'http-equiv="refresh" content="0;url=/sign-in?next=/config%3Fjob%3Da"' in first.text
    assert admin.get("/sign-in?next=/config%3Fjob%3Da").headers["location"] == "/config?job=a"


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/%2F/evil.example",
        "javascript:alert(1)",
        "/x\r\nset-cookie: a=b",
        "/?a b",
        "/é",
        "/..//evil.example",
        "",
        "evil",
        "/sign-in?next=/sign-in",
        "/sign-out",
    ],
)
def test_after_sign_in_nobody_is_led_elsewhere(admin, target):
    client = browser(admin.app, **FROM_OUR_PAGE)
    answer = client.post("/sign-in", data={"password": OWN, "next": target})

    assert answer.headers["location"] == "/"
    assert admin.get("/sign-in", params={"next": target}).headers["location"] == "/"


def test_the_printed_password_opens_nothing_but_the_choice_of_another(door):
    app, printed = door
    client, answer = sign_in(app, printed)

    assert answer.headers["location"] == "/sign-in"
    assert "Choose a password" in client.get("/sign-in").text
    assert client.get("/config").status_code == 401
    assert client.get("/password").status_code == 401
    assert app.state.reached == []


def test_the_printed_password_is_printed_only_once(door, tmp_path, capsys):
    app_in(tmp_path, auth_mode=AuthMode.PASSWORD, trusted_proxies=())

    assert capsys.readouterr().err == ""


def test_where_the_printed_password_was_used_the_page_says_how_to_get_another(door):
    app, printed = door
    sign_in(app, printed)

    assert "Restart the admin service" in browser(app).get("/sign-in").text


def test_a_choice_that_does_not_work_says_why_at_the_form(door):
    client, _ = sign_in(*door)
    for new, repeated, why in (("short", "short", "Choose 12 to 256"), (OWN, OWN + "x", "differ"), (OWN, "", "differ")):
        answer = client.post("/sign-in", data={"new_password": new, "repeated": repeated})
        assert answer.status_code == 422
        assert why in answer.text and 'role="alert"' in answer.text and 'aria-describedby="problem"' in answer.text
        assert f'value="{new}"' not in answer.text


def test_sign_in_opens_the_page_and_the_cookie_is_out_of_reach_of_scripts_and_other_sites(admin):
    client, answer = sign_in(admin.app)

    assert client.get("/config").status_code == 200
    (cookie,) = [value for value in answer.headers.get_list("set-cookie") if value.startswith("admin_session=")]
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= attributes
    assert "secure" not in attributes
    assert not any(part.startswith("domain") for part in attributes)


@pytest.mark.parametrize("base_url", [f"https://{HOST}", ORIGIN])
def test_over_https_the_cookies_are_secure_also_where_the_proxy_does_not_tell(admin, base_url):
    client = browser(admin.app, base_url=base_url, origin=f"https://{HOST}")
    answer = client.post("/sign-in", data={"password": OWN})

    assert answer.status_code == 303
    assert all("; Secure" in cookie for cookie in answer.headers.get_list("set-cookie"))


def test_a_wrong_password_is_a_401_with_the_form_and_in_the_audit_log(admin, tmp_path):
    client, answer = sign_in(admin.app, "wrong <script>")

    assert answer.status_code == 401
    assert "Wrong password." in answer.text and "<script" not in answer.text
    line = audit_lines(tmp_path)[-1]
    assert client.get("/config").status_code == 401
    assert (line["event"], line["action"], line["username"], line["why"]) == (
        "refused",
        "sign_in",
        None,
        "Wrong password.",
    )
    assert "wrong <script>" not in str(audit_lines(tmp_path))


def test_too_many_wrong_passwords_are_a_429_that_says_when_to_come_back(admin):
    client = browser(admin.app, **FROM_OUR_PAGE)
    statuses = [client.post("/sign-in", data={"password": "wrong"}).status_code for _ in range(8)]
    answer = client.post("/sign-in", data={"password": OWN})

    assert statuses == [401] * 5 + [429] * 3
    assert answer.status_code == 429 and 1 <= int(answer.headers["retry-after"]) <= 20
    assert admin.post("/sign-in", data={"password": OWN}).status_code == 303  # this browser was signed in before


def test_sign_in_is_not_possible_from_another_site(admin):
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {}):
        client = browser(admin.app)
        assert client.post("/sign-in", data={"password": OWN}, headers=headers).status_code == 403


@pytest.mark.parametrize("body", [b"", b"\xff", b"password", b"&" * 4000, b"a=1&" * 50, b"password=" + b"x" * 3000])
def test_an_odd_form_is_a_wrong_password(admin, body):
    assert browser(admin.app, **FROM_OUR_PAGE).post("/sign-in", content=body).status_code == 401


def test_a_huge_form_is_a_413(admin):
    client = browser(admin.app, **FROM_OUR_PAGE)

    assert client.post("/sign-in", content=b"password=" + b"x" * FORM_BYTES).status_code == 413


def test_sign_out_ends_the_session_for_good(admin, tmp_path):
    token = admin.cookies["admin_session"]
    assert admin.get("/config").status_code == 200
    answer = admin.post("/sign-out")

    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert "admin_session" not in admin.cookies
    assert audit_lines(tmp_path)[-1]["action"] == "sign_out"
    assert browser(admin.app, cookie=f"admin_session={token}").get("/config").status_code == 401


def test_sign_out_takes_a_post_of_our_own_page(admin):
    assert admin.get("/sign-out").status_code == 404
    assert admin.post("/sign-out", headers={"origin": "https://evil.example"}).status_code == 403
    assert admin.get("/config").status_code == 200


@pytest.mark.parametrize(
    "cookie", ["", "admin_session=", "admin_session=x", "admin_session=../..", "admin_session=\xff"]
)
def test_a_made_up_session_opens_nothing(admin, cookie):
    assert browser(admin.app).get("/config", headers={"cookie": cookie.encode("latin-1")}).status_code == 401


def test_a_session_ends_after_its_time(tmp_path, capsys):
    now = [0.0]
    settings = settings_in(tmp_path, auth_mode=AuthMode.PASSWORD, trusted_proxies=())
    app = create_app(settings, clock=lambda: now[0])
    printed = re.findall(r"^ {6}(\S+)$", capsys.readouterr().err, re.MULTILINE)[0]
    client, _ = sign_in(app, printed)
    client.post("/sign-in", data={"new_password": OWN, "repeated": OWN})
    assert client.get("/config").status_code == 404

    now[0] += 12 * 3600
    assert client.get("/config").status_code == 401


def test_the_password_is_changed_with_the_old_one_and_other_browsers_are_signed_out(admin, tmp_path):
    other, _ = sign_in(admin.app)
    new = {"new_password": OWN + "2", "repeated": OWN + "2"}
    assert '<a href="/">Back to the jobs</a>' in admin.get("/password").text
    assert admin.post("/password", data={"password": "wrong"} | new).status_code == 401
    assert admin.post("/password", data={"password": OWN} | new).status_code == 303

    assert (admin.get("/config").status_code, other.get("/config").status_code) == (200, 401)
    outcomes = [
        line["outcome"] for line in audit_lines(tmp_path) if line["action"] == "change_password" and "outcome" in line
    ]
    assert outcomes == ["failed", "done"]
    assert OWN not in (tmp_path / "audit" / "audit.log").read_text()


def test_a_password_is_not_changed_where_the_audit_log_cannot_be_written(admin, tmp_path):
    (tmp_path / "audit" / "audit.log").unlink()
    (tmp_path / "audit" / "audit.log").mkdir()
    answer = admin.post("/password", data={"password": OWN, "new_password": OWN + "2", "repeated": OWN + "2"})

    assert answer.status_code == 503
    assert sign_in(admin.app, OWN)[1].status_code == 303


def test_the_printed_password_stays_good_where_its_use_cannot_be_noted(door, tmp_path):
    app, printed = door
    (tmp_path / "data" / "password.json").unlink()
    (tmp_path / "data").rmdir()
    (tmp_path / "data").write_text("in the way")

    assert sign_in(app, printed)[1].status_code == 503


def test_the_pages_load_nothing_and_hold_to_a_policy_without_scripts(door):
    app, printed = door
    client, _ = sign_in(app, printed)
    for page in (browser(app).get("/sign-in"), client.get("/sign-in")):
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "script" not in page.headers["content-security-policy"]
        assert not re.findall(r"https?://|<script|src=|@import|url\(", page.text)


def test_the_pages_are_made_for_phones_dark_rooms_and_screen_readers(door):
    page = browser(door[0]).get("/sign-in").text

    assert '<html lang="en">' in page and 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page and "color-scheme: light dark" in page
    for field in re.findall(r'<input id="(\w+)"', page):
        assert f'<label for="{field}">' in page
    assert page.count("<h1>") == page.count("<main>") == 1


def luminance(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_pages_colours_can_be_told_apart_in_both_themes(door):
    page = browser(door[0]).get("/sign-in").text
    for theme in re.findall(r":root \{([^}]*)\}", page):
        found = re.findall(r"--([\w-]+): #([0-9a-f]{3,6})", theme)
        colours = {name: text if len(text) == 6 else "".join(2 * each for each in text) for name, text in found}
        for ink, ground in (("ink", "card"), ("ink", "paper"), ("bad", "card"), ("on-act", "act"), ("act", "card")):
            light, dark = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


def test_below_a_root_path_the_forms_and_cookies_stay_below_it(tmp_path, capsys):
    app = app_in(tmp_path, auth_mode=AuthMode.PASSWORD, trusted_proxies=(), root_path="/ops")
    printed = re.findall(r"^ {6}(\S+)$", capsys.readouterr().err, re.MULTILINE)[0]
    client = browser(app, accept="text/html", **FROM_OUR_PAGE)

    assert client.get("/ops/config").headers["location"] == "/ops/sign-in?next=/config"
    assert 'action="/ops/sign-in"' in client.get("/ops/sign-in").text
    answer = client.post("/ops/sign-in", data={"password": printed})
    assert answer.headers["location"] == "/ops/sign-in"
    assert "; Path=/ops;" in answer.headers["set-cookie"]
    choice = {"new_password": OWN, "repeated": OWN, "next": "/config"}
    assert client.post("/ops/sign-in", data=choice).headers["location"] == "/ops/config"
    assert client.get("/ops/config").status_code == 200


@pytest.fixture
def output(tmp_path):
    folder = tmp_path / "logs" / "output" / "backup"
    folder.mkdir(parents=True)
    return folder


def download(app, path, who=ANNA, method="GET"):
    return browser(app, **who).request(method, f"/download/{path}")


def test_a_download_is_the_file_byte_for_byte(tmp_path, output):
    data = os.urandom(2 * CHUNK_BYTES + 17) + b"<script>\r\n\x00\xff"
    (output / f"{RUN}.stdout").write_bytes(data)
    answer = download(app_in(tmp_path), f"backup/{RUN}.stdout")

    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(data).digest()
    assert answer.headers["content-length"] == str(len(data))
    assert answer.headers["content-disposition"] == f'attachment; filename="backup.{RUN}.stdout.txt"'
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert audit_lines(tmp_path)[-1]["details"] == {"run_id": RUN, "stream": "stdout"}


def test_an_empty_output_and_a_head_are_answered(tmp_path, output):
    (output / f"{RUN}.stderr").write_bytes(b"")
    (output / f"{RUN}.stdout").write_bytes(b"abc")
    app = app_in(tmp_path)

    assert download(app, f"backup/{RUN}.stderr").content == b""
    head = download(app, f"backup/{RUN}.stdout", method="HEAD")
    assert (head.content, head.headers["content-length"]) == (b"", "3")


def test_a_download_is_for_admins(tmp_path, output):
    (output / f"{RUN}.stdout").write_bytes(b"secret")
    app = app_in(tmp_path)

    assert download(app, f"backup/{RUN}.stdout", {}).status_code == 401
    assert download(app, f"backup/{RUN}.stdout", VIEWER).status_code == 403


@pytest.mark.parametrize("route", ["output", "log"])
@pytest.mark.parametrize("user", [None, User("victor", frozenset({"staff"}), "")])
def test_a_download_asks_for_the_role_itself_whoever_lets_a_request_through(tmp_path, output, user, route):
    (output / f"{RUN}.stdout").write_bytes(b"secret")
    settings = settings_in(tmp_path)
    download = Download(settings, AuditLog(settings.audit_dir), None)
    scope = {"type": "http", "method": "GET", "path_params": {"job": "backup", "file": f"{RUN}.stdout"}, USER_KEY: user}

    with pytest.raises(NotAuthorized):
        asyncio.run(getattr(download, route)(Request(scope)))


def test_a_missing_output_is_a_404(tmp_path, output):
    assert download(app_in(tmp_path), f"backup/{RUN}.stdout").status_code == 404
    assert download(app_in(tmp_path), f"other/{RUN}.stdout").status_code == 404


class FakeService:
    """Knows one run, of whose output the journal has a part."""

    def get_run(self, run_id):
        known: dict[str, Any] = {"run_id": RUN, "job_name": "backup", "status": "success", "failed": False, "at": NOON}
        return HistoryRow(**known, stdout_bytes=100, stderr_bytes=100) if run_id == RUN else None

    @contextmanager
    def open_output(self, run_id, stream):
        yield from_text(f"{stream} of the journal", whole=stream == "stdout")


def test_what_only_the_journal_has_is_sent_from_there_and_an_excerpt_is_called_one(tmp_path):
    service: Any = FakeService()
    app = create_app(settings_in(tmp_path), service=service)

    whole, part = (download(app, f"backup/{RUN}.{stream}") for stream in ("stdout", "stderr"))
    assert whole.text == "stdout of the journal"
    assert f'"backup.{RUN}.stdout.txt"' in whole.headers["content-disposition"]
    assert f'"backup.{RUN}.stderr.excerpt.txt"' in part.headers["content-disposition"]
    assert download(app, f"other/{RUN}.stdout").status_code == 404
    assert download(app, "backup/unknown.stdout").status_code == 404


def test_a_file_that_was_emptied_since_is_not_sent_as_if_it_were_whole(tmp_path, output):
    (output / f"{RUN}.stderr").write_bytes(b"left behind")
    (output / f"{RUN}.stdout").write_bytes(b"x" * 100)
    service: Any = FakeService()
    app = create_app(settings_in(tmp_path), service=service)

    assert download(app, f"backup/{RUN}.stdout").text == "x" * 100
    assert download(app, f"backup/{RUN}.stderr").text == "stderr of the journal"


def test_a_growing_output_is_sent_as_it_was_when_it_was_asked_for(tmp_path, output, monkeypatch):
    file = output / f"{RUN}.stdout"
    file.write_bytes(b"x" * 10)
    send = OutputResponse.__call__

    async def grow_first(self, *arguments):
        file.write_bytes(b"x" * 10 + b"y" * 10)
        await send(self, *arguments)

    monkeypatch.setattr(OutputResponse, "__call__", grow_first)
    assert download(app_in(tmp_path), f"backup/{RUN}.stdout").content == b"x" * 10


def test_an_output_that_shrinks_is_not_sent_as_if_it_were_whole(tmp_path, output, monkeypatch, caplog):
    file = output / f"{RUN}.stdout"
    file.write_bytes(b"x" * 10)
    send = OutputResponse.__call__

    async def shrink_first(self, *arguments):
        file.write_bytes(b"x")
        await send(self, *arguments)

    monkeypatch.setattr(OutputResponse, "__call__", shrink_first)
    answer = download(app_in(tmp_path), f"backup/{RUN}.stdout")

    assert len(answer.content) < int(answer.headers["content-length"])
    assert "shrank by 9 bytes" in caplog.text


def plant(output, kind, secret):
    """Put something at a run's output path that is not a run's output."""
    path = output / f"{RUN}.stdout"
    if kind == "link":
        path.symlink_to(secret)
    elif kind == "link inside":
        (output / "real").write_text("x")
        path.symlink_to("real")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "linked job":
        output.rmdir()
        output.symlink_to(secret.parent)
        (secret.parent / path.name).write_text("secret")
    elif kind == "linked output":
        output.rmdir()
        output.parent.rmdir()
        (secret.parent / "backup").mkdir()
        (secret.parent / "backup" / path.name).write_text("secret")
        output.parent.symlink_to(secret.parent)


@pytest.mark.parametrize("kind", ["link", "link inside", "fifo", "directory", "linked job", "linked output"])
def test_nothing_but_a_regular_file_below_the_logs_is_sent(tmp_path, output, kind):
    secret = tmp_path / "elsewhere" / "secret"
    secret.parent.mkdir()
    secret.write_text("secret")
    plant(output, kind, secret)
    before = len(os.listdir("/proc/self/fd"))
    answer = download(app_in(tmp_path), f"backup/{RUN}.stdout")

    assert answer.status_code in (404, 503) and "secret" not in answer.text
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("told", [True, False])
def test_a_download_that_is_broken_off_is_read_no_further(tmp_path, output, told):
    chunks = 50
    with (output / f"{RUN}.stdout").open("wb") as file:
        file.truncate(chunks * CHUNK_BYTES)
    app = app_in(tmp_path)
    headers = [(b"host", HOST.encode()), *((name.encode(), value.encode()) for name, value in ANNA.items())]
    path = f"/download/backup/{RUN}.stdout"
    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "scheme": "http", "headers": headers, "client": ("10.0.0.7", 1), "server": (HOST, 80), "state": {},
    }  # fmt: skip
    sent: list[int] = []

    async def ask():
        gone = asyncio.Event()

        async def send(message):
            if message.get("body"):
                sent.append(len(message["body"]))
                gone.set()
                if told:  # which uvicorn does not do
                    raise OSError("gone")

        async def receive():
            await gone.wait()
            return {"type": "http.disconnect"}

        await app(scope, receive, send)
        return [
            os.readlink(f"/proc/self/fd/{fd}")
            for fd in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{fd}")
        ]

    assert not any(name.endswith(".stdout") for name in asyncio.run(ask()))
    assert len(sent) < chunks


@pytest.fixture
def logged(tmp_path):
    """Return an application and the service in it, which knows a few lines, most of one job."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "logs").mkdir()
    append(
        tmp_path / "logs" / JOURNAL,
        start("r1", job_name="backup"),
        complete("r1", 1, job_name="backup", stdout="alpha \u202e\x1b[31m"),
        failure("r2", 2, job_name="backup", stderr="Alpha"),
        failure("r3", 3, job_name="backup"),
        complete("r4", 4, job_name="log", stdout="alpha"),
        accepted("ask", "r5", 5, job_name="only-refused")
        | {"event": "trigger_rejected", "run_id": None, "reason": "unknown_job", "detail": "no such job"},
    )
    service = JobManagementService(
        tmp_path / "jobs", tmp_path / "logs", data_directory=tmp_path / "data", keep_days=100_000
    )
    yield create_app(settings_in(tmp_path), service=service), service
    service.stop()


@pytest.mark.parametrize(
    "wanted",
    [{}, {"search": "alpha"}, {"status": "failed"}, {"search": "alpha", "status": "failure"}, {"search": "nowhere"}],
)
def test_the_log_is_downloaded_as_it_is_filtered(logged, tmp_path, wanted, monkeypatch):
    monkeypatch.setattr(downloads, "ENTRIES_AT_ONCE", 2)
    app, service = logged
    answer = browser(app, **ANNA).get("/download/log/backup.jsonl", params=wanted)

    assert answer.status_code == 200
    entries = [json.loads(line) for line in answer.text.splitlines()]
    assert entries == list(service.find_job_logs("backup", **wanted).entries)
    assert answer.text.isascii()
    assert answer.headers["x-complete"] == "true"
    assert answer.headers["content-disposition"] == 'attachment; filename="backup.log.jsonl"'
    assert (answer.headers["x-content-type-options"], answer.headers["cache-control"]) == ("nosniff", "no-store")
    assert "sandbox" in answer.headers["content-security-policy"]
    line = audit_lines(tmp_path)[-1]
    assert (line["event"], line["action"], line["job_name"]) == ("viewed", "download_log", "backup")
    assert line["details"] == {"search": None, "status": None, "entries": len(entries), **wanted}


def test_a_log_with_much_output_is_downloaded_whole_and_shown_in_part(logged, monkeypatch):
    app, service = logged
    whole = [json.dumps(entry) for entry in service.find_job_logs("backup").entries]
    monkeypatch.setattr(job_management_service, "MOST_CHARACTERS_AT_ONCE", 1)
    monkeypatch.setattr(job_management_service, "MOST_CHARACTERS", 1)

    assert browser(app, **ANNA).get("/download/log/backup.jsonl").text.splitlines() == whole
    shown = service.find_job_logs("backup")
    assert ([json.dumps(entry) for entry in shown.entries], shown.complete) == (whole[:1], False)


def test_a_log_that_is_not_downloaded_to_its_end_says_so(logged, monkeypatch):
    monkeypatch.setattr(downloads, "MOST_LOG_ENTRIES", 2)
    answer = browser(logged[0], **ANNA).get("/download/log/backup.jsonl")

    assert [json.loads(line)["run_id"] for line in answer.text.splitlines()] == ["r3", "r2"]
    assert answer.headers["x-complete"] == "false"
    assert 'filename="backup.log.part.jsonl"' in answer.headers["content-disposition"]


def test_a_search_that_finds_nothing_in_its_time_does_not_look_like_no_match(logged, monkeypatch):
    monkeypatch.setattr(downloads, "LOG_SEARCH_SECONDS", -1.0)
    answer = browser(logged[0], **ANNA).get("/download/log/backup.jsonl?search=alpha")

    assert (answer.text, answer.headers["x-complete"]) == ("", "false")


@pytest.mark.parametrize("query", ["", "?search=alpha", "?status=failed"])
def test_the_log_of_a_job_that_never_was_is_a_404_and_one_that_has_no_entries_is_empty(logged, tmp_path, query):
    app, _ = logged
    (tmp_path / "jobs" / "new.json").write_text('{"name": "new"}')
    client = browser(app, **ANNA)
    answers = {job: client.get(f"/download/log/{job}.jsonl{query}") for job in ("nojob", "new", "only-refused")}

    assert {job: answer.status_code for job, answer in answers.items()} == {
        "nojob": 404,
        "new": 200,
        "only-refused": 200,
    }
    assert client.head(f"/download/log/nojob.jsonl{query}").status_code == 404
    assert [each["job_name"] for each in audit_lines(tmp_path)] == ["new", "only-refused"]


def test_a_job_called_log_has_its_log_and_its_output(logged, tmp_path):
    folder = tmp_path / "logs" / "output" / "log"
    folder.mkdir(parents=True)
    (folder / "r4.stdout").write_bytes(b"whole")

    assert json.loads(browser(logged[0], **ANNA).get("/download/log/log.jsonl").text)["run_id"] == "r4"
    assert browser(logged[0], **ANNA).get("/download/log/r4.stdout").content == b"whole"


def test_a_head_of_a_log_is_answered_and_is_no_view(logged, tmp_path):
    answer = browser(logged[0], **ANNA).head("/download/log/backup.jsonl")

    assert (answer.status_code, answer.content, answer.headers["x-complete"]) == (200, b"", "true")
    assert audit_lines(tmp_path) == []


@pytest.mark.parametrize("query", ["status=odd", f"search={'x' * 500}", "search=a%00b"])
def test_a_filter_that_means_nothing_is_a_400_that_says_why(logged, query):
    answer = browser(logged[0], **ANNA).get(f"/download/log/backup.jsonl?{query}")

    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.text


def test_the_log_is_for_admins_and_its_names_are_those_of_jobs(logged):
    app, _ = logged

    assert browser(app).get("/download/log/backup.jsonl").status_code == 401
    assert browser(app, **VIEWER).get("/download/log/backup.jsonl").status_code == 403
    for path in (f"/download/log/{'x' * 65}.jsonl", "/download/log/a.b.jsonl", "/download/log/backup.json"):
        assert browser(app, **ANNA).get(path).status_code == 404


def test_a_history_that_cannot_be_read_is_a_503(logged, monkeypatch):
    app, service = logged

    def failing(*arguments: object, **more: object) -> None:
        raise StorageError("the index cannot be used")

    monkeypatch.setattr(service, "find_log_lines", failing)
    assert browser(app, **ANNA).get("/download/log/backup.jsonl").status_code == 503
