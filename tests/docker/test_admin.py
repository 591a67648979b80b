"""What the admin's image and its place in compose.yaml promise, on a real engine: `docker compose up`, as it stands.

`stack` is one running project that the tests share, in a clone of root's and in one of uid 1000; a test that
stops or breaks its project makes one of its own with `start`.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.daemon import wait_for
from tests.docker.page import (
    AS_A_PERSON,
    PASSWORD,
    PORT,
    browser,
    printed_password,
    sign_in,
    signed_in_for_the_first_time,
)
from tests.docker.stack import Stack, clone, docker, owners, require_engine

pytestmark = pytest.mark.timeout(600)

USER_OF_THE_IMAGE = 10001
Start = Callable[..., Stack]

SERVICE = """
import json
from admin_ui.job_management_service import JobManagementService
from admin_ui.model import JobConfig
service = JobManagementService("/jobs", "/logs")
"""


@pytest.fixture(scope="module", params=[0, 1000], ids=["clone-of-root", "clone-of-uid-1000"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    require_engine()
    running = Stack(clone(tmp_path_factory.mktemp("clone"), owner=request.param))
    try:
        running.up()
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def admin(stack: Stack) -> Iterator[httpx.Client]:
    """A browser in which the admin is signed in."""
    with signed_in_for_the_first_time(stack) as client:
        yield client


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a project of the test's own, or only some of its services."""
    require_engine()
    started: list[Stack] = []

    def begin(*services: str) -> Stack:
        stack = Stack(clone(tmp_path, owner=1000))
        started.append(stack)
        stack.up(*services)
        return stack

    yield begin
    for stack in started:
        stack.close()


def runs_as(stack: Stack) -> int:
    """Return the uid that the admin should have: the clone's owner; in root's clone the image's own."""
    return (stack.folder / "compose.yaml").stat().st_uid or USER_OF_THE_IMAGE


def ask_service(stack: Stack, script: str) -> Any:
    """Run a script with a `service` in the admin's container, as the admin, and return the JSON that it prints."""
    return json.loads(stack.shell_as_service(f"python -c {shlex.quote(SERVICE + script)}"))


# Signing in


def test_both_services_are_healthy_in_a_fresh_clone(stack: Stack) -> None:
    assert stack.inspect(".State.Health.Status", "scheduler") == "healthy"
    assert stack.inspect(".State.Health.Status", "admin") == "healthy"


def test_nobody_gets_anything_but_the_sign_in_page(stack: Stack) -> None:
    with browser(stack.address("admin", PORT)) as nobody:
        page = nobody.get("/", headers=AS_A_PERSON)

        assert (page.status_code, page.headers["location"]) == (303, "/sign-in")
        assert nobody.get("/config").status_code == 401
        assert sign_in(nobody, "not the password").status_code == 401


def test_printed_password_opens_the_page(stack: Stack, admin: httpx.Client) -> None:
    page = admin.get("/", headers=AS_A_PERSON)

    assert page.status_code == 200
    assert "gradio" in page.text


def test_chosen_password_outlasts_the_container_and_the_printed_one_does_not(start: Start) -> None:
    stack = start("admin")
    first = printed_password(stack)
    with signed_in_for_the_first_time(stack):
        pass

    stack.compose("up", "--detach", "--wait", "--force-recreate", "admin")

    with browser(stack.address("admin", PORT)) as client:
        assert "password is" not in stack.output("admin")
        assert sign_in(client, first).status_code == 401
        assert sign_in(client, PASSWORD).status_code == 303


# What one service may do to the other


def test_request_of_the_admin_runs_and_comes_back(stack: Stack) -> None:
    done = ask_service(
        stack,
        """
service.create_job(JobConfig("asked", "0 0 1 1 *", "echo from the admin", "/tmp", True))
result = service.trigger_job("asked", requested_by="anna")
print(json.dumps([result.status, result.exit_code, result.stdout]))
""",
    )

    assert done == ["success", 0, "from the admin\n"]
    assert stack.wait_for("trigger_accepted", job_name="asked")["requested_by"] == "anna"
    assert stack.wait_for("trigger_accepted", job_name="asked")["requested_uid"] == runs_as(stack)


def test_what_the_admin_writes_belongs_to_the_owner_of_the_clone(stack: Stack, admin: httpx.Client) -> None:
    ask_service(
        stack,
        """
service.create_job(JobConfig("owned", "0 0 1 1 *", "true", "/tmp", False))
print("null")
""",
    )

    written = [stack.jobs / "owned.json", stack.logs / "audit/audit.log", *(stack.folder / "data").iterdir()]
    assert owners(written) == {runs_as(stack)}


@pytest.mark.parametrize(
    "path",
    ["/logs/scheduler_jobs.log", "/logs/scheduler_main.log", "/logs/new", "/logs/output/new", "/app/new", "/venv/new"],
)
def test_admin_cannot_write_the_journal_nor_anything_but_its_own(stack: Stack, path: str) -> None:
    stack.run("has_output", "true")

    answer = stack.shell_as_service(f"touch {path} 2>&1; echo $?")

    assert "Read-only file system" in answer
    assert answer.endswith("1\n")


def test_scheduler_and_its_jobs_cannot_write_jobs(stack: Stack) -> None:
    done = stack.run("writes_jobs", "touch /jobs/new.json /jobs/triggers/new")

    assert done["stderr"].count("Read-only file system") == 2


def test_audit_log_is_there_and_no_job_can_see_it(stack: Stack, admin: httpx.Client) -> None:
    lines = [json.loads(line) for line in (stack.logs / "audit/audit.log").read_text().splitlines()]

    done = stack.run("looks_for_the_audit_log", "ls -A /logs/audit; cat /logs/audit/audit.log")

    assert {"print_first_password", "sign_in", "choose_password"} <= {line["action"] for line in lines}
    assert (done["stdout"], done["exit_code"]) == ("", 1)


def test_no_job_reaches_the_page(stack: Stack) -> None:
    (address,) = stack.inspect(".NetworkSettings.Networks", "admin").values()
    connect = "import socket; socket.create_connection((sys.argv[1], 7860), timeout=3)"

    done = stack.run(
        "looks_for_the_page",
        f'for host in admin {address["IPAddress"]}; do python -c "import sys; {connect}" $host && echo reached; done',
    )

    assert done["stdout"] == ""
    assert done["stderr"].count("Traceback") == 2


# What the container may do


def test_page_is_published_on_this_host_only(stack: Stack) -> None:
    published = stack.inspect(".NetworkSettings.Ports", "admin")

    assert [(port, each["HostIp"]) for port, places in published.items() for each in places] == [
        (f"{PORT}/tcp", "127.0.0.1")
    ]


def test_admin_is_not_root_and_has_no_capability(stack: Stack) -> None:
    status = dict(line.split(":", 1) for line in stack.shell("cat /proc/1/status", "admin").splitlines())

    assert status["Uid"].split() == status["Gid"].split() == [str(runs_as(stack))] * 4
    assert status["Groups"].split() == []
    assert {name for name in status if name.startswith("Cap") and int(status[name], 16)} == set()
    assert status["NoNewPrivs"].strip() == "1"


def test_container_itself_is_unchanged(stack: Stack, admin: httpx.Client) -> None:
    admin.get("/")

    assert docker("diff", stack.container("admin")) == ""


def test_neither_service_waits_for_the_other() -> None:
    require_engine()

    config = json.loads(docker("compose", "config", "--format", "json"))

    assert [name for name, service in config["services"].items() if "depends_on" in service] == []


def test_admin_alone_is_healthy_and_stops_in_time(start: Start) -> None:
    stack = start("admin")
    assert stack.container("scheduler") == ""

    stack.compose("stop", "admin")

    assert stack.inspect(".State.ExitCode", "admin") == 0  # 137 if it had to be killed


def test_page_tells_of_a_killed_scheduler_before_its_heartbeat_is_overdue(start: Start) -> None:
    stack = start()
    with signed_in_for_the_first_time(stack) as client:
        wait_for(lambda: "Scheduler" not in client.get("/").text, "the page to see the scheduler")
        stack.compose("kill", "scheduler")

        wait_for(lambda: "Scheduler silent" in client.get("/").text, "the page to miss it", patience=45)


def test_folder_replaced_on_the_host_is_found_again(start: Start) -> None:
    stack = start("admin")
    shutil.rmtree(stack.logs)
    stack.logs.mkdir()
    os.chown(stack.logs, 1000, 1000)
    (stack.logs / "marker").touch()

    wait_for(lambda: stack.inspect(".RestartCount", "admin") > 0, "the admin to start anew")
    wait_for(lambda: stack.inspect(".State.Health.Status", "admin") == "healthy", "the admin to work", 60)

    assert "marker" in stack.shell("ls /logs", "admin")
    assert "logs was replaced under its mount" in stack.output("admin")


# The image


def test_image_alone_runs_as_a_numeric_user_that_is_not_root(stack: Stack) -> None:
    image = f"{stack.project}-admin"

    assert docker("image", "inspect", "--format", "{{.Config.User}}", image).strip() == "10001:10001"
    assert docker("run", "--rm", "--entrypoint", "id", image, "-u").strip() == str(USER_OF_THE_IMAGE)


def test_image_holds_no_installer_and_no_other_part_of_the_project(stack: Stack) -> None:
    found = stack.shell("ls /app; ls /venv/bin; ls /venv/lib/python3*/site-packages", "admin").splitlines()

    assert found[:2] == ["admin_ui", "schemas"]
    assert not {"pip", "uv", "pytest", "structlog", "watchdog", "sidecar", "tests"} & set(found)


def test_image_starts_from_bytecode(stack: Stack) -> None:
    log = stack.shell("python -v -c 'import admin_ui.settings, gradio' 2>&1", "admin")

    assert "code object from '/app/admin_ui/__pycache__/settings." in log
    assert "code object from '/venv/lib/" in log
    assert not [
        line for line in log.splitlines() if "code object from" in line and ".py'" in line and "/usr" not in line
    ]
