"""What the scheduler's image and compose.yaml promise, on a real engine: a clone, used as an operator would.

`stack` is one running project that the tests share, in a clone of root's and in one of uid 1000; a test that
stops, breaks or configures its project makes one of its own with `start`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from admin_ui.settings import READERS as ADMIN_READERS
from admin_ui.settings import SECRETS
from sidecar.settings import READERS, Settings
from tests.docker.stack import Stack, clone, docker, job, owners, require_engine, snapshot

pytestmark = pytest.mark.timeout(600)

USER_OF_THE_IMAGE = 10001
Start = Callable[..., Stack]


@pytest.fixture(scope="module", params=[0, 1000], ids=["clone-of-root", "clone-of-uid-1000"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    require_engine()
    running = Stack(clone(tmp_path_factory.mktemp("clone"), owner=request.param))
    try:
        running.up("scheduler")
        yield running
    finally:
        running.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a project of the test's own; `prepare` may change the clone before."""
    require_engine()
    started: list[Stack] = []

    def begin(owner: int = 1000, prepare: Callable[[Stack], object] = lambda stack: None, **environment: str) -> Stack:
        folder = tmp_path / f"clone{len(started)}"
        folder.mkdir()
        stack = Stack(clone(folder, owner), **environment)
        prepare(stack)
        started.append(stack)
        stack.up("scheduler")
        return stack

    yield begin
    for stack in started:
        stack.close()


def runs_as(stack: Stack) -> int:
    """Return the uid that the scheduler should have: the clone's owner; in root's clone the image's own."""
    return stack.jobs.stat().st_uid or USER_OF_THE_IMAGE


# The way of a file to a line in the journal


def test_container_is_healthy_in_a_fresh_clone_without_any_chown(stack: Stack) -> None:
    assert stack.inspect(".State.Health.Status") == "healthy"


def test_job_dropped_and_touched_on_the_host_runs(stack: Stack) -> None:
    done = stack.run("from_host", "echo from the host")

    assert (done["status"], done["exit_code"], done["stdout"]) == ("success", 0, "from the host\n")


def test_job_and_request_dropped_from_another_container_run(stack: Stack) -> None:
    request = json.dumps({"action": "run", "job_name": "from_container", "request_id": "r-1"})
    stack.from_another_container(
        f"""cat >/drop/.new <<'END'
{job("from_container", "echo from a container")}
END
mv /drop/.new /drop/from_container.json
cat >/drop/triggers/.new <<'END'
{request}
END
mv /drop/triggers/.new /drop/triggers/r-1.json"""
    )

    done = stack.wait_for("job_complete", job_name="from_container")

    assert (done["status"], done["stdout"], done["request_id"]) == ("success", "from a container\n", "r-1")
    assert stack.wait_for("job_start", run_id=done["run_id"])["trigger"] == "manual"


def test_dropped_job_runs_at_the_next_minute_of_its_schedule(start: Start) -> None:
    stack = start()
    stack.drop_job("each_minute", "true", schedule="* * * * *")

    begun = stack.wait_for("job_start", timeout=75, job_name="each_minute")

    assert begun["trigger"] == "schedule"
    assert begun["scheduled_time"][17:] in ("00Z", "00.000000Z")


# What the container may do


def test_logs_belong_to_the_owner_of_the_clone(stack: Stack) -> None:
    stack.run("owned", "true")

    written = [stack.logs, *(path for path in stack.logs.iterdir() if path.name != "audit")]
    assert owners(written) == {runs_as(stack)}


def test_scheduler_and_jobs_are_not_root_and_have_no_capability(stack: Stack) -> None:
    done = stack.run("rights", "cat /proc/self/status /proc/$PPID/status")  # $PPID: the scheduler

    seen: dict[str, set[str]] = defaultdict(set)
    for line in done["stdout"].splitlines():
        name, _, value = line.partition(":")
        seen[name].add(value.strip())
    assert seen["Name"] == {"cat", "python"}
    assert seen["Uid"] == seen["Gid"] == {"\t".join([str(runs_as(stack))] * 4)}
    assert seen["Groups"] == {""}
    assert {name for name in seen if name.startswith("Cap") and seen[name] != {"0" * 16}} == set()
    assert seen["NoNewPrivs"] == {"1"}


def test_audit_log_is_an_empty_folder_to_jobs_also_when_the_admin_has_written_it(stack: Stack) -> None:
    (stack.logs / "audit" / "audit.log").write_text("{}\n")

    done = stack.run("looks_at_audit", "ls -A /logs/audit")

    assert (done["exit_code"], done["stdout"], done["stderr"]) == (0, "", "")


@pytest.mark.parametrize("path", ["/jobs", "/jobs/triggers", "/logs/audit", "/app", "/venv", "/"])
def test_jobs_cannot_write_outside_logs_and_tmp(stack: Stack, path: str) -> None:
    done = stack.run(f"writes{path.replace('/', '_')}", f"touch {path}/file")

    assert done["exit_code"] == 1
    assert "Read-only file system" in done["stderr"]


def test_nothing_listens_on_the_network(stack: Stack) -> None:
    table = stack.shell("cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6")

    # 127.0.0.11 is the engine's own name server, which it puts into every container of a network.
    bound = [line.split() for line in table.splitlines() if ":" in line and "0B00007F:" not in line]
    assert [fields[1] for fields in bound if fields[3] in ("0A", "07")] == []
    assert stack.inspect(".NetworkSettings.Ports") == {}


def test_file_system_and_jobs_folder_are_unchanged_after_a_run(stack: Stack) -> None:
    stack.drop_job("leaves_no_trace", "echo something")
    (stack.jobs / "triggers" / "leaves_no_trace").touch()
    before = snapshot(stack.jobs)

    stack.wait_for("job_complete", job_name="leaves_no_trace")

    assert snapshot(stack.jobs) == before
    # The engine mounts its init there.
    assert set(docker("diff", stack.container()).splitlines()) <= {
        "C /sbin", "A /sbin/docker-init", "C /usr", "C /usr/sbin", "A /usr/sbin/docker-init"
    }  # fmt: skip


# Stopping, breaking, configuring


def test_stop_drains_a_running_job(start: Start) -> None:
    stack = start()
    stack.drop_job("slow", "sleep 3; echo finished")
    (stack.jobs / "triggers" / "slow").touch()
    begun = stack.wait_for("job_start", job_name="slow")

    stack.compose("stop")

    done = stack.wait_for("job_complete", timeout=0, run_id=begun["run_id"])
    assert (done["status"], done["stdout"]) == ("success", "finished\n")
    assert stack.inspect(".State.ExitCode") == 0


def test_run_cut_off_by_a_kill_is_closed_as_interrupted_at_the_next_start(start: Start) -> None:
    stack = start()
    stack.drop_job("endless", "sleep 1000")
    (stack.jobs / "triggers" / "endless").touch()
    begun = stack.wait_for("job_start", job_name="endless")
    stack.compose("kill")

    stack.up("scheduler")

    done = stack.wait_for("job_complete", run_id=begun["run_id"])
    assert done["status"] == "interrupted"
    assert [line["event"] for line in stack.journal() if line.get("job_name") == "endless"].count("job_start") == 1


def test_clone_without_its_logs_folder_works_and_the_new_one_is_the_owners(start: Start) -> None:
    stack = start(owner=1000, prepare=lambda stack: shutil.rmtree(stack.logs))

    done = stack.run("first", "echo works")

    assert done["stdout"] == "works\n"
    assert owners([stack.logs, stack.logs / "scheduler_jobs.log"]) == {1000}


def test_logs_that_root_wrote_outside_a_container_are_taken_over(start: Start) -> None:
    def leave_a_journal_of_roots(stack: Stack) -> None:
        stack.logs.chmod(0o755)
        (stack.logs / "scheduler_main.log").write_text("")
        os.chown(stack.logs / "scheduler_main.log", 0, 0)

    stack = start(owner=1000, prepare=leave_a_journal_of_roots)

    assert stack.inspect(".State.Health.Status") == "healthy"
    assert owners([stack.logs / "scheduler_main.log"]) == {1000}


def test_jobs_folder_replaced_on_the_host_is_found_again(start: Start) -> None:
    stack = start()
    stack.run("before", "true")
    shutil.rmtree(stack.jobs)
    (stack.jobs / "triggers").mkdir(parents=True)
    stack.drop_job("after", "echo found")
    (stack.jobs / "triggers" / "after").touch()

    done = stack.wait_for("job_complete", timeout=90, job_name="after")

    assert done["stdout"] == "found\n"


def test_time_zone_of_the_environment_is_that_of_schedules_and_jobs(start: Start) -> None:
    stack = start(TZ="Asia/Tokyo")

    done = stack.run("what_time", "date +%z")

    assert done["stdout"] == "+0900\n"
    (started,) = [line for line in stack.journal("scheduler_main.log") if line["event"] == "scheduler_started"]
    assert started["timezone"] == "Asia/Tokyo"


FIXED_BY_THE_IMAGE = {
    *("SCHEDULER_JOBS_DIR", "SCHEDULER_LOGS_DIR"),
    *("ADMIN_JOBS_DIR", "ADMIN_LOGS_DIR", "ADMIN_AUDIT_DIR", "ADMIN_DATA_DIR", "ADMIN_HOST", "ADMIN_PORT"),
}


@pytest.mark.parametrize(
    ("service", "names"),
    [("scheduler", set(READERS)), ("admin", {*ADMIN_READERS, *(f"{name}_FILE" for name in SECRETS)})],
)
def test_every_setting_reaches_the_container_under_its_name(service: str, names: set[str]) -> None:
    require_engine()
    given = {name: f"value-of-{name}" for name in names - {"ADMIN_PORT"}}

    config = json.loads(docker("compose", "config", "--format", "json", environment=given))

    expected = {name: value for name, value in given.items() if name not in FIXED_BY_THE_IMAGE}
    assert config["services"][service]["environment"] == expected


def test_stop_waits_longer_than_a_drain_may_take() -> None:
    require_engine()

    config = json.loads(docker("compose", "config", "--format", "json"))

    grace = config["services"]["scheduler"]["stop_grace_period"]  # as compose writes it: 5m30s
    minutes, seconds = map(int, re.findall(r"\d+", grace))
    assert minutes * 60 + seconds > Settings().shutdown_grace_seconds


def test_operator_can_ask_the_running_container(stack: Stack) -> None:
    stack.run("listed", "true")

    answer = json.loads(stack.compose("exec", "--no-TTY", "scheduler", "sidecar", "list", "--json"))

    (row,) = [job for job in answer["jobs"] if job["job_name"] == "listed"]
    assert row["last_run"]["status"] == "success"
    assert answer["scheduler_silent"] is None


# The image


def test_image_alone_runs_as_a_numeric_user_that_is_not_root(stack: Stack) -> None:
    image = f"{stack.project}-scheduler"

    assert docker("image", "inspect", "--format", "{{.Config.User}}", image).strip() == "10001:10001"
    assert docker("run", "--rm", "--entrypoint", "id", image, "-u").strip() == str(USER_OF_THE_IMAGE)


def test_image_holds_no_installer_and_no_other_part_of_the_project(stack: Stack) -> None:
    found = stack.shell("ls /app; ls /venv/bin; ls /venv/lib/python3*/site-packages")

    assert found.splitlines()[0] == "sidecar"
    assert not {"pip", "uv", "pytest", "gradio", "admin_ui", "tests"} & set(found.splitlines())


def test_image_starts_from_bytecode(stack: Stack) -> None:
    log = stack.shell("python -v -c 'import sidecar.settings, structlog' 2>&1")

    assert "code object from '/app/sidecar/__pycache__/settings." in log
    assert "code object from '/venv/lib/" in log
    assert not [
        line for line in log.splitlines() if "code object from" in line and ".py'" in line and "/usr" not in line
    ]
