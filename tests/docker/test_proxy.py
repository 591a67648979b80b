"""examples/nginx, started as it stands: the page behind nginx and an application that knows its users."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.admin_stack import Visit, chromium
from tests.docker.page import AS_A_PERSON, browser
from tests.docker.stack import Stack, clone, require_engine

pytestmark = pytest.mark.timeout(600)

SECRET = "a-secret-of-at-least-sixteen-characters"
FORGED = {"x-forwarded-user": "alice", "x-forwarded-groups": "admin"}
WITH_UNDERSCORES = {"x_forwarded_user": "alice", "x_forwarded_groups": "admin"}


class Site:
    """The started example; the page is below `root`."""

    def __init__(self, stack: Stack, root: str) -> None:
        self.stack, self.root = stack, root
        self.address = stack.address("proxy", 8080)

    @contextmanager
    def signed_in(self, user: str) -> Iterator[httpx.Client]:
        """Yield a browser in which that user of the application is signed in."""
        with browser(self.address) as client:
            assert client.post("/app/sign-in", data={"user": user, "password": user}).status_code == 303
            yield client

    def audited(self, event: str) -> list[dict[str, Any]]:
        lines = map(json.loads, (self.stack.logs / "audit/audit.log").read_text().splitlines())
        return [line for line in lines if line["event"] == event]


@pytest.fixture(scope="module", params=["/ops", ""], ids=["below-a-sub-path", "at-the-root"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    require_engine()
    folder = clone(tmp_path_factory.mktemp("clone"), owner=1000)
    given = {"ADMIN_PROXY_SECRET": SECRET, "ADMIN_ROOT_PATH": request.param, "PROXY_PORT": "0"}
    stack = Stack(folder, overlay="examples/nginx/compose.yaml", **given)
    try:
        stack.up()
        yield Site(stack, request.param)
    finally:
        stack.close()


@pytest.fixture
def alice(site: Site) -> Iterator[httpx.Client]:
    with site.signed_in("alice") as client:
        yield client


@pytest.fixture
def victor(site: Site) -> Iterator[httpx.Client]:
    with site.signed_in("victor") as client:
        yield client


@pytest.fixture
def nobody(site: Site) -> Iterator[httpx.Client]:
    with browser(site.address) as client:
        yield client


# Who gets in


def test_person_who_is_not_signed_in_is_led_to_the_application(site: Site, nobody: httpx.Client) -> None:
    page = nobody.get(f"{site.root}/", headers=AS_A_PERSON)

    assert (page.status_code, page.headers["location"]) == (302, "/app/sign-in")


@pytest.mark.parametrize("path", ["/", "/config", "/theme.css", "/gradio_api/queue/data", "/healthz"])
def test_nobody_gets_a_401(site: Site, nobody: httpx.Client, path: str) -> None:
    assert nobody.get(site.root + path).status_code == 401


@pytest.mark.parametrize("path", ["/", "/config", "/theme.css"])
def test_user_without_the_role_gets_a_403(site: Site, victor: httpx.Client, path: str) -> None:
    answer = victor.get(site.root + path, headers=AS_A_PERSON)

    assert answer.status_code == 403
    assert "signed in as victor" in answer.text


def test_user_with_the_role_gets_the_page(site: Site, alice: httpx.Client) -> None:
    page = alice.get(f"{site.root}/", headers=AS_A_PERSON)

    assert page.status_code == 200
    assert "gradio" in page.text


# Who does not


@pytest.mark.parametrize("headers", [FORGED, FORGED | {"x-admin-proxy-secret": SECRET}, WITH_UNDERSCORES])
def test_headers_of_an_admin_help_nobody(site: Site, nobody: httpx.Client, headers: dict[str, str]) -> None:
    assert nobody.get(f"{site.root}/config", headers=headers).status_code == 401


@pytest.mark.parametrize("headers", [FORGED, FORGED | {"x-admin-proxy-secret": SECRET}, WITH_UNDERSCORES])
def test_headers_of_an_admin_do_not_help_a_user(site: Site, victor: httpx.Client, headers: dict[str, str]) -> None:
    answer = victor.get(f"{site.root}/config", headers=headers)

    assert (answer.status_code, "victor" in answer.text) == (403, True)


def test_page_of_another_site_cannot_act_for_the_admin(site: Site, alice: httpx.Client) -> None:
    answer = alice.post(f"{site.root}/gradio_api/queue/join", json={}, headers={"origin": "https://evil.example"})

    assert answer.status_code == 403


def test_admin_has_no_published_port(site: Site) -> None:
    assert site.stack.inspect(".NetworkSettings.Ports", "admin") == {"7860/tcp": None}


def test_what_is_not_the_proxy_is_not_believed_even_with_the_secret(site: Site) -> None:
    """From inside the admin's own container, whose address is in the same network but is not the proxy's."""
    asked = (
        "import http.client, json, socket; "
        "c = http.client.HTTPConnection(socket.gethostbyname(socket.gethostname()), 7860); "
        f"c.request('GET', '{site.root}/config', headers={FORGED | {'x-admin-proxy-secret': SECRET}!r}); "
        "print(c.getresponse().status)"
    )

    assert site.stack.shell(f'python -c "{asked}"', "admin") == "401\n"
    assert "no trusted proxy" in site.audited("refused")[-1]["why"]


def test_application_and_jobs_cannot_reach_the_admin(site: Site) -> None:
    ours = {name: set(site.stack.inspect(".NetworkSettings.Networks", name)) for name in ("app", "scheduler", "admin")}

    assert ours["admin"].isdisjoint(ours["app"] | ours["scheduler"])


def test_secret_is_not_left_in_the_proxys_environment(site: Site) -> None:
    assert SECRET not in site.stack.shell("tr '\\0' '\\n' </proc/1/environ", "proxy")


# What gets in works


def test_files_of_the_page_are_found_below_the_path(site: Site, alice: httpx.Client) -> None:
    page = alice.get(f"{site.root}/", headers=AS_A_PERSON).text

    files = {path for path in re.findall(r'(?:src|href)="([^"]+)"', page) if "assets/" in path}
    assert files
    for path in files:
        answer = alice.get(httpx.URL(f"{site.address}{site.root}/").join(path))
        assert answer.status_code == 200, path


def test_page_tells_its_scripts_the_path_that_the_browser_sees(site: Site, alice: httpx.Client) -> None:
    assert alice.get(f"{site.root}/config").json()["root"] == site.address + site.root


def test_refusal_names_the_address_that_the_proxy_saw(site: Site, victor: httpx.Client) -> None:
    victor.get(f"{site.root}/")

    networks = [site.stack.inspect(".NetworkSettings.Networks", name) for name in ("admin", "proxy")]
    ours = {each["IPAddress"] for found in networks for each in found.values()}
    refused = site.audited("refused")[-1]
    assert refused["username"] == "victor"
    assert refused["source"] not in ours


def test_events_reach_a_browser_through_the_proxy(site: Site) -> None:
    site.stack.run("seen_in_the_browser", "true")
    with chromium() as browser:
        visit = Visit(browser, site.address, {})
        page = visit.page
        page.goto("/app/")
        page.get_by_label("User").fill("alice")
        page.get_by_label("Password").fill("alice")
        page.get_by_role("button").click()

        visit.open(f"{site.root}/")
        page.get_by_role("link", name="History").click()

        # Not in the first answer: the page's own requests fetch it.
        expect(page.locator("#jobs-history")).to_contain_text("seen_in_the_browser")
        assert page.url == f"{site.address}{site.root}/?view=history"
        visit.context.close()
        assert visit.problems == []


def test_stream_of_events_is_passed_on_at_once(site: Site, alice: httpx.Client) -> None:
    with alice.stream("GET", f"{site.root}/gradio_api/heartbeat/abc") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")

        # The stream has no end, and the few bytes of one event are all that comes for many seconds.
        assert next(stream.iter_bytes())
