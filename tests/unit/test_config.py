from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from sidecar.config import (
    MOST_PROBLEMS,
    ConfigLoader,
    display_name,
    is_definition,
    is_job_name,
)
from sidecar.errors import JobFileError, JobsDirectoryError
from sidecar.model import ConcurrencyPolicy, JobConfig, Retries
from tests.hostile import HOSTILE, ordinary_user
from tests.strategies import written

REQUIRED: dict[str, Any] = {
    "name": "backup",
    "schedule": "30 2 * * *",
    "command": "true",
    "working_directory": "/",
    "enabled": True,
}
COMPLETE: dict[str, Any] = {
    **REQUIRED,
    "description": "Copies the database.",
    "timezone": "Europe/Berlin",
    "timeout_seconds": 900,
    "kill_grace_seconds": 0,
    "concurrency_policy": "replace",
    "starting_deadline_seconds": 60.5,
    "jitter_seconds": 1e10,
    "retries": {"max_attempts": 5, "initial_delay_seconds": 0, "multiplier": 1, "max_delay_seconds": 9},
    "success_exit_codes": [3, 0],
    "environment": {"PGHOST": "db"},
    "max_output_bytes": 0,
}
LOADER = ConfigLoader("jobs")


def parse(**changes: Any) -> JobConfig:
    return LOADER.parse("job.json", written({**REQUIRED, **changes}))


def problems_of(data: bytes, loader: ConfigLoader = LOADER) -> list[str]:
    with pytest.raises(JobFileError) as caught:
        loader.parse("job.json", data)
    return [str(problem) for problem in caught.value.problems]


def problems(**changes: Any) -> list[str]:
    return problems_of(written({**REQUIRED, **changes}))


def put(folder: Path, file: str, **changes: Any) -> None:
    (folder / file).write_bytes(written({**REQUIRED, **changes}))


def test_required_fields_alone_give_the_defaults() -> None:
    assert parse() == JobConfig("backup", "30 2 * * *", "true", "/", True)


def test_every_field_is_taken_as_it_is_written() -> None:
    config = LOADER.parse("job.json", written(COMPLETE))

    assert config == JobConfig(
        "backup",
        "30 2 * * *",
        "true",
        "/",
        True,
        description="Copies the database.",
        timezone="Europe/Berlin",
        timeout_seconds=900,
        kill_grace_seconds=0,
        concurrency_policy=ConcurrencyPolicy.REPLACE,
        starting_deadline_seconds=60.5,
        jitter_seconds=1e10,
        retries=Retries(max_attempts=5, initial_delay_seconds=0, multiplier=1, max_delay_seconds=9),
        success_exit_codes=(3, 0),
        environment={"PGHOST": "db"},
        max_output_bytes=0,
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "a b"}, "name: expected 1 to 64 of the characters A-Z, a-z, 0-9, _ and -, found 'a b'"),
        ({"name": "a\n"}, r"name: expected 1 to 64 of the characters A-Z, a-z, 0-9, _ and -, found 'a\n'"),
        ({"name": "naïve"}, "name: expected 1 to 64 of the characters A-Z, a-z, 0-9, _ and -, found 'naïve'"),
        ({"command": " \n"}, r"command: expected a text that is not empty, found ' \n'"),
        ({"command": ["ls"]}, "command: expected a text, found a list"),
        (
            {"command": "a\0b"},
            "command: expected a text without it; no program can be given one, found a NUL character",
        ),
        ({"working_directory": ""}, "working_directory: expected a text that is not empty, found ''"),
        ({"working_directory": "/no"}, "working_directory: expected a directory that exists, found '/no'"),
        ({"enabled": 1}, "enabled: expected true or false, found 1"),
        ({"enabled": None}, "enabled: expected true or false, found null"),
        ({"description": 5}, "description: expected a text, found 5"),
        ({"timezone": "Mars"}, "timezone: expected an IANA time zone such as Europe/Berlin or UTC, found 'Mars'"),
        ({"timezone": {}}, "timezone: expected an IANA time zone such as Europe/Berlin or UTC, found an object"),
        ({"timeout_seconds": 0}, "timeout_seconds: expected a number above 0 and at most 10000000000, found 0"),
        ({"timeout_seconds": "9"}, "timeout_seconds: expected a number above 0 and at most 10000000000, found '9'"),
        ({"jitter_seconds": -1}, "jitter_seconds: expected a number of at least 0 and at most 10000000000, found -1"),
        (
            {"jitter_seconds": True},
            "jitter_seconds: expected a number of at least 0 and at most 10000000000, found true",
        ),
        ({"concurrency_policy": []}, "concurrency_policy: expected forbid, allow or replace, found a list"),
        ({"retries": 3}, 'retries: expected an object such as {"max_attempts": 3}, found 3'),
        (
            {"retries": {"max_attempts": 0}},
            "retries.max_attempts: expected a whole number from 1 to 10000000000, found 0",
        ),
        (
            {"retries": {"multiplier": 0.5}},
            "retries.multiplier: expected a number of at least 1 and at most 10000000000, found 0.5",
        ),
        ({"retries": {"attempts": 3}}, "retries.attempts: unknown key; did you mean max_attempts?"),
        (
            {"success_exit_codes": []},
            "success_exit_codes: expected a list of one or more exit codes, found an empty list",
        ),
        ({"success_exit_codes": 0}, "success_exit_codes: expected a list of one or more exit codes, found 0"),
        ({"success_exit_codes": [0, 256]}, "success_exit_codes[1]: expected a whole number from 0 to 255, found 256"),
        ({"success_exit_codes": [False]}, "success_exit_codes[0]: expected a whole number from 0 to 255, found false"),
        ({"environment": {"": "x"}}, "environment.'': expected a variable's name, found an empty one"),
        ({"environment": {"A\0": "x"}}, r"environment.'A\x00': expected a variable's name without NUL characters"),
        (
            {"environment": {"JOB_ID": "x"}},
            "environment.JOB_ID: names beginning JOB_ are the scheduler's own; choose another one",
        ),
        ({"max_output_bytes": 0.5}, "max_output_bytes: expected a whole number from 0 to 10000000000, found 0.5"),
        ({"$schema": 5}, "$schema: expected a text, found 5"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_field_is_named_with_what_was_found_and_what_is_wanted(changes: dict[str, Any], problem: str) -> None:
    assert problems(**changes) == [problem]


@pytest.mark.parametrize("field", REQUIRED)
def test_missing_field_is_named(field: str) -> None:
    document = {key: value for key, value in REQUIRED.items() if key != field}

    assert problems_of(written(document)) == [f"{field}: this field is required, found nothing"]


def test_every_problem_of_a_file_is_reported_at_once() -> None:
    found = problems(schedule="61 * * * *", enabled="yes", timezone="Mars", shell="bash", retries={"multiplier": 0})

    assert [problem.split(":")[0] for problem in found] == [
        "enabled", "timezone", "shell", "retries.multiplier", "schedule",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("timout_seconds", "did you mean timeout_seconds?"),
        ("workingDirectory", "did you mean working_directory?"),
        ("kill-grace-seconds", "did you mean kill_grace_seconds?"),
        ("env", "did you mean environment?"),
        ("Name", "did you mean name?"),
        ("target", "remove it"),
        ("notify", "remove it"),
        ("cwd", "remove it"),
    ],
)
def test_unknown_key_is_named_with_the_key_that_was_probably_meant(key: str, advice: str) -> None:
    assert problems(**{key: "x"}) == [f"{key}: unknown key; {advice}"]


def test_schema_key_is_allowed_and_means_nothing() -> None:
    assert parse(**{"$schema": "../schemas/job.schema.json"}) == parse()


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": {"TOKEN": "s3cret\0"}},
        {"environment": {"TOKEN": ["s3cret"]}},
        {"environment": {"TOKEN=s3cret": ""}},
        {"environment": ["TOKEN=s3cret"]},
        {"environment": "TOKEN=s3cret"},
        {"env": {"TOKEN": "s3cret"}},
        {"environ": "s3cret"},
        {"command": ["login", "s3cret"]},
        {"command": "login s3cret\0"},
        {"description": {"TOKEN": "s3cret"}},
        {"environment": {"TOKEN": 1, "s3cret=": "x"}, "name": ""},
    ],
    ids=str,
)
def test_values_that_may_be_secret_are_never_shown(changes: dict[str, Any]) -> None:
    shown = " ".join(problems(**changes))

    assert "s3cret" not in shown.replace("environment.s3cret", "")


def test_environment_of_broken_json_is_not_shown() -> None:
    data = written({**REQUIRED, "environment": {"TOKEN": "s3cret"}})

    assert all("s3cret" not in problem for cut in range(len(data)) for problem in problems_of(data[:cut]))


@pytest.mark.parametrize("name", ["PATH", "lower", "with space", "with.dot", "A-B", "ÄÖ", "JOB", "job_x", "A\n", "_"])
def test_environment_takes_any_name_that_a_process_can_be_given(name: str) -> None:
    assert parse(environment={name: ""}).environment == {name: ""}


def test_found_text_is_shortened() -> None:
    (problem,) = problems(name="x" * 10_000)

    assert problem.endswith(f"found '{'x' * 60}'…")


def test_schedule_is_judged_by_the_rules_of_schedules() -> None:
    (problem,) = problems(schedule="61 2 * * *")

    assert problem.startswith("schedule: minute: write numbers from 0 to 59")


def test_schedule_is_judged_even_when_the_time_zone_is_unknown() -> None:
    assert [problem.split(":")[0] for problem in problems(schedule="@daily", timezone="Mars")] == [
        "timezone", "schedule",
    ]  # fmt: skip


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_time_zone_that_exists_is_taken(zone: str) -> None:
    assert parse(timezone=zone).timezone == zone


@pytest.mark.parametrize("zone", ["", ".", "/UTC", "Europe", "tzdata.zi", "UTC\n", "U" * 5000, "UTC\0", "../UTC"])
def test_time_zone_that_does_not_exist_is_a_problem(zone: str) -> None:
    (problem,) = problems(timezone=zone)

    assert problem.startswith("timezone: expected an IANA time zone")


def test_relative_working_directory_is_relative_to_the_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    assert problems(working_directory="data")

    monkeypatch.chdir(tmp_path)

    assert parse(working_directory="data").working_directory == "data"


def test_working_directory_that_is_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")

    assert problems(working_directory=str(tmp_path / "data"))


def test_whole_number_may_be_written_as_a_float() -> None:
    config = parse(max_output_bytes=1e9, success_exit_codes=[0.0, 3.0], retries={"max_attempts": 2.0})

    assert type(config.max_output_bytes) is int
    assert repr((config.success_exit_codes, config.retries and config.retries.max_attempts)) == "((0, 3), 2)"


def test_problems_are_counted_up_to_a_hundred() -> None:
    found = problems_of(written({f"key{number}": 1 for number in range(500)}))

    assert len(found) == MOST_PROBLEMS + 1
    assert found[-1] == "there are more than these 100 problems"


@pytest.mark.parametrize("field", ["name", "schedule", "command", "working_directory", "timezone", "retries"])
@pytest.mark.parametrize("wrong", [5, [], {"x": 1}, None])
def test_wrong_field_after_a_hundred_other_problems_is_no_crash(field: str, wrong: object) -> None:
    many = {"environment": {f"JOB_{number}": "x" for number in range(MOST_PROBLEMS + 50)}}

    assert len(problems_of(written({**many, **REQUIRED, field: wrong}))) == MOST_PROBLEMS + 1


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_hostile_file_is_one_quick_error_that_affects_no_other_file(
    tmp_path: Path, make: Callable[[Path], Any]
) -> None:
    errors: list[tuple[str, str]] = []
    put(tmp_path, "a.json", name="a")
    make(tmp_path / "hostile.json")
    put(tmp_path, "z.json", name="z")
    loader = ConfigLoader(tmp_path, on_error=lambda file, message: errors.append((file, message)))
    started = time.thread_time()

    jobs = loader.load_all_jobs()

    assert time.thread_time() - started < 1
    assert [job.name for job in jobs] == ["a", "z"]
    assert [file for file, message in errors if message] == ["hostile.json"]
    assert len(errors[0][1]) < 20_000


def test_file_without_permission_is_an_error_that_affects_no_other_file() -> None:
    errors: list[tuple[str, str]] = []
    with TemporaryDirectory() as folder:
        put(Path(folder), "closed.json", name="closed")
        put(Path(folder), "open.json", name="open")
        os.chmod(folder, 0o755)
        os.chmod(Path(folder, "closed.json"), 0)
        loader = ConfigLoader(folder, on_error=lambda file, message: errors.append((file, message)))

        with ordinary_user():
            jobs = loader.load_all_jobs()

    assert [job.name for job in jobs] == ["open"]
    assert [file for file, message in errors if "may read" in message] == ["closed.json"]


def test_load_returns_the_definition_and_the_digest_of_its_bytes(tmp_path: Path) -> None:
    put(tmp_path, "job.json")

    config, digest = ConfigLoader(tmp_path).load("job.json")

    assert config == parse()
    assert digest == hashlib.sha256((tmp_path / "job.json").read_bytes()).hexdigest()


def test_job_file_error_names_the_file_in_every_line() -> None:
    with pytest.raises(JobFileError) as caught:
        LOADER.parse("backup.json", b"{}")

    assert str(caught.value).splitlines() == [
        f"backup.json: {field}: this field is required, found nothing" for field in REQUIRED
    ]


def test_jobs_are_loaded_in_file_name_order(tmp_path: Path) -> None:
    for name in ("b", "C", "a", "ä", "10", "9"):
        put(tmp_path, f"{name}.json", name={"ä": "umlaut"}.get(name, name))

    assert [job.name for job in ConfigLoader(tmp_path).load_all_jobs()] == ["10", "9", "C", "a", "b", "umlaut"]


def test_second_file_with_a_name_is_an_error_that_names_the_first(tmp_path: Path) -> None:
    errors: list[tuple[str, str]] = []
    for file, command in (("b", "second"), ("a", "first"), ("c", "third")):
        put(tmp_path, f"{file}.json", command=command)
    loader = ConfigLoader(tmp_path, on_error=lambda file, message: errors.append((file, message)))

    assert [job.command for job in loader.load_all_jobs()] == ["first"]
    assert errors == [
        (file, "name: expected another name, this is the job in a.json, found 'backup'")
        for file in ("b.json", "c.json")
    ]


@pytest.mark.parametrize(
    ("file", "counts"),
    [("a.json", True), (".a.json", False), (".json", False), ("a.json~", False), ("a.JSON", False), ("a", False)],
)
def test_only_visible_json_files_are_definitions(tmp_path: Path, file: str, counts: bool) -> None:
    put(tmp_path, file)

    assert is_definition(file) is counts
    assert len(ConfigLoader(tmp_path).load_all_jobs()) == counts


def test_empty_directory_holds_no_jobs(tmp_path: Path) -> None:
    errors: list[str] = []

    assert ConfigLoader(tmp_path, on_error=lambda file, message: errors.append(file)).load_all_jobs() == []
    assert errors == []


@pytest.mark.parametrize(("kind", "words"), [("missing", "does not exist; create it"), ("file", "is not a directory")])
def test_jobs_directory_that_cannot_be_listed_is_one_error(tmp_path: Path, kind: str, words: str) -> None:
    errors: list[tuple[str, str]] = []
    jobs = tmp_path / "jobs"
    if kind == "file":
        jobs.write_bytes(b"")
    loader = ConfigLoader(str(jobs), on_error=lambda file, message: errors.append((file, message)))

    assert loader.load_all_jobs() == []
    assert [(file, words in message) for file, message in errors] == [(str(jobs), True)]
    with pytest.raises(JobsDirectoryError, match=words):
        loader.files()


def test_errors_need_not_be_listened_to(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(b"")

    assert ConfigLoader(tmp_path).load_all_jobs() == []


def test_file_name_that_is_not_utf_8_is_an_error_with_a_name_that_can_be_logged(tmp_path: Path) -> None:
    errors: list[tuple[str, str]] = []
    with open(os.fsencode(tmp_path) + b"/caf\xe9.json", "wb") as file:
        file.write(written(REQUIRED))
    loader = ConfigLoader(tmp_path, on_error=lambda file, message: errors.append((file, message)))

    assert loader.load_all_jobs() == []
    assert errors == [("caf\\xe9.json", "expected a file name in UTF-8; rename the file")]
    assert display_name("café.json") == "café.json"


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("a", True), ("A-b_9" * 12, True), ("", False), ("a" * 65, False), ("a\n", False), ("ä", False)],
)
def test_job_name_is_told_from_other_texts(text: str, is_one: bool) -> None:
    assert is_job_name(text) is is_one


def test_jobs_share_what_they_have_in_common() -> None:
    first, second = (parse(timezone="Europe/Berlin", name=name) for name in ("a", "b"))

    for field in ("schedule", "timezone", "working_directory", "environment", "success_exit_codes"):
        assert getattr(first, field) is getattr(second, field), field
    assert first.schedule is sys.intern("30 2 * * *")


@pytest.mark.parametrize("environment", [{}, {"A": "b"}])
def test_environment_cannot_be_changed_by_accident(environment: dict[str, str]) -> None:
    config = parse(environment=environment)

    with pytest.raises(TypeError):
        config.environment["A"] = "c"  # type: ignore[index]  # this is the point
    assert dict(replace(config, name="b").environment) == environment


def test_config_says_whether_its_schedule_is_valid() -> None:
    assert parse().validate_cron()
    assert not replace(parse(), schedule="@daily").validate_cron()
