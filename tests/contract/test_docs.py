"""The documents name every setting, field, event, reason and command that there is, and none that there is not."""

from __future__ import annotations

import argparse
import ast
import json
import re
from dataclasses import fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from admin_ui.routes import Kind, routes_for
from admin_ui.settings import READERS as ADMIN_READERS
from admin_ui.settings import SECRETS, AuthMode
from admin_ui.settings import Settings as AdminSettings
from sidecar import __version__, exit_codes
from sidecar.cli import _parser
from sidecar.config import FIELDS, REQUIRED, RETRY_FIELDS, ConfigLoader
from sidecar.cron import parse
from sidecar.executor import job_environment
from sidecar.model import JobConfig, Reason, Rejection, Retries, Run, Status, Trigger
from sidecar.requests import FIELDS as REQUEST_FIELDS
from sidecar.requests import parse as parse_request
from sidecar.settings import READERS, Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md")), *ROOT.glob("examples/*/README.md")]
SECRET_FILES = {f"{name}_FILE" for name in SECRETS}
EVENT_SCHEMA = json.loads((ROOT / "schemas/event.schema.json").read_text())
EVENTS = EVENT_SCHEMA["properties"]["event"]["enum"]
VERBS = next(a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction)).choices


def page(name: str) -> str:
    return (DOCS / name).read_text()


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, up to the next one of any level."""
    assert f"\n{heading}\n" in text, f"there is no heading {heading!r}"
    return re.split(r"\n#+ ", text.split(f"\n{heading}\n", 1)[1])[0]


def rows(text: str) -> dict[str, list[str]]:
    """Return the rows of the tables in a text by their first cell, which is code; other rows are headings."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\| `([^`]+)` \|(.*)\|", line)
        if match:
            assert match[1] not in found, f"{match[1]} is there twice"
            found[match[1]] = [cell.strip() for cell in re.split(r"(?<!\\)\|", match[2])]
    return found


def code(cell: str) -> str | None:
    """Return what a cell holds as code, None for words."""
    match = re.fullmatch(r"`(.*)`", cell)
    return match[1] if match else None


def names(text: str) -> set[str]:
    """Return all words of a text that stand there as code."""
    return set(re.findall(r"`([^`\n]+)`", text))


def pages_named(path: Path) -> str:
    return str(path.relative_to(ROOT))


# Settings


def test_settings_page_lists_every_setting_and_no_other() -> None:
    assert set(rows(section(page("settings.md"), "## The scheduler"))) == set(READERS)
    assert set(rows(section(page("settings.md"), "## The admin"))) == set(ADMIN_READERS)


@pytest.mark.parametrize("variable", ADMIN_READERS)
def test_settings_page_has_the_admins_default(variable: str) -> None:
    default = getattr(AdminSettings(), variable.removeprefix("ADMIN_").lower())
    written = rows(page("settings.md"))[variable][0]
    if written == "none":
        assert default in ("", ())
        return

    assert ADMIN_READERS[variable](code(written) or "") == default


@pytest.mark.parametrize("variable", READERS)
def test_settings_page_has_the_default(variable: str) -> None:
    field = "timezone" if variable == "TZ" else variable.removeprefix("SCHEDULER_").lower()
    written = code(rows(page("settings.md"))[variable][0])

    assert written is not None
    assert READERS[variable](written) == getattr(Settings(), field)


@pytest.mark.parametrize("path", PAGES, ids=pages_named)
def test_page_names_no_unknown_setting(path: Path) -> None:
    known = {*READERS, *ADMIN_READERS, *SECRET_FILES, "SCHEDULER_PORT"}  # that one is Kubernetes's
    if path.is_relative_to(ROOT / "examples"):
        known.add("ADMIN_NET")

    assert set(re.findall(r"\b(?:SCHEDULER|ADMIN)_[A-Z_]+", path.read_text())) <= known


def test_compose_file_passes_every_setting_on() -> None:
    text = (ROOT / "compose.yaml").read_text()
    passed = set(re.findall(r"^ +- ((?:SCHEDULER_|ADMIN_|TZ)[A-Z_]*)\b", text, re.MULTILINE))

    fixed = {"SCHEDULER_JOBS_DIR", "SCHEDULER_LOGS_DIR"}
    fixed |= {f"ADMIN_{name}" for name in ("JOBS_DIR", "LOGS_DIR", "AUDIT_DIR", "DATA_DIR", "HOST", "PORT")}
    assert passed == {*READERS, *ADMIN_READERS, *SECRET_FILES} - fixed
    assert "${ADMIN_PORT:-7860}" in text


# Job files


def test_admin_page_names_every_route_that_is_open_to_anybody() -> None:
    is_open = {route.pattern.pattern for mode in AuthMode for route in routes_for(mode) if route.kind is Kind.OPEN}

    assert set(re.findall(r"`(/[a-z-]+)`", section(page("admin.md"), "## Signing in"))) == is_open


def test_job_page_lists_every_field_and_no_other() -> None:
    text = page("job_file.md")

    assert set(rows(section(text, "## Fields"))) == set(FIELDS)
    assert set(rows(section(text, "### `retries`"))) == set(RETRY_FIELDS)


def job_defaults() -> dict[str, Any]:
    config = JobConfig("n", "s", "c", "w", True)
    return {each.name: getattr(config, each.name) for each in fields(JobConfig) if each.name not in REQUIRED}


@pytest.mark.parametrize("field", FIELDS)
def test_job_page_has_the_default(field: str) -> None:
    written = rows(section(page("job_file.md"), "## Fields"))[field][0]
    if field in REQUIRED:
        assert written == "required"
        return
    default = job_defaults().get(field)
    default = {"environment": {}, "success_exit_codes": [0]}.get(field, default)

    assert written == ("none" if default is None else f"`{json.dumps(default)}`")


@pytest.mark.parametrize("field", RETRY_FIELDS)
def test_job_page_has_the_default_of_retries(field: str) -> None:
    written = code(rows(section(page("job_file.md"), "### `retries`"))[field][0])

    assert json.loads(written or "") == getattr(Retries(), field)


def test_job_page_lists_every_variable_that_a_command_sees() -> None:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    run = Run(run_id="r", job_name="j", trigger=Trigger.MANUAL, first_run_id="r", since=when)

    assert set(rows(section(page("job_file.md"), "### What a command sees"))) == set(job_environment(run))


def test_schedules_that_the_job_page_shows_are_valid() -> None:
    text = page("job_file.md")
    shown = [*rows(section(text, "## Schedules")), *rows(section(text, "## When the clocks change"))]

    assert len(shown) >= 9
    for expression in shown:
        parse(expression, "Europe/Berlin")


def test_job_in_the_readme_is_valid(tmp_path: Path) -> None:
    shown = re.search(r"```json\n(\{.*?\n\})\n```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown is not None
    document = json.loads(shown[1])
    document["working_directory"] = str(tmp_path)

    assert ConfigLoader(tmp_path).parse("job.json", json.dumps(document).encode()).name == "nightly_backup"


# Requests


def test_request_page_lists_every_field_and_every_reason() -> None:
    text = page("requests.md")

    assert set(rows(section(text, "## Requests as JSON"))) == set(REQUEST_FIELDS)
    assert set(rows(section(text, "## Answers"))) == {"trigger_accepted", "trigger_rejected", *Rejection}


def test_request_that_the_page_shows_is_valid() -> None:
    (shown,) = re.findall(r"```json\n(.*?)\n```", page("requests.md"), re.DOTALL)

    assert parse_request(shown.encode()).job_name == "nightly_backup"


# Events


def properties_of(event: str) -> set[str]:
    branch = EVENT_SCHEMA["$defs"][event]
    return {*branch.get("properties", {}), *branch.get("then", {}).get("properties", {})}


def test_events_page_has_a_heading_for_every_event_and_no_other() -> None:
    headings = re.findall(r"^### `(.*)`$", page("log_events.md"), re.MULTILINE)

    assert sorted(headings) == sorted(EVENTS)


@pytest.mark.parametrize("event", EVENTS)
def test_events_page_lists_every_field_of_the_event(event: str) -> None:
    below = section(page("log_events.md"), f"### `{event}`")
    listed = re.search(r"^Fields: ((?:`\w+`,?\s*)+)", below, re.MULTILINE)

    assert listed is not None
    assert names(listed[1]) == properties_of(event)


def test_events_page_explains_every_field_and_no_other() -> None:
    text = page("log_events.md")
    common = set(EVENT_SCHEMA["$defs"]["line"]["properties"])

    assert set(rows(section(text, "## Every line"))) == common
    assert set(rows(section(text, "## Fields"))) == set().union(*map(properties_of, EVENTS))


@pytest.mark.parametrize(("event", "words"), [("job_complete", Status), ("job_missed", Reason)])
def test_events_page_explains_every_word(event: str, words: type[StrEnum]) -> None:
    assert set(rows(section(page("log_events.md"), f"### `{event}`"))) == set(words)


# The command line


def test_operations_page_lists_every_command_and_no_other() -> None:
    listed = re.findall(r"^\| `python -m sidecar ([\w-]+)", page("operations.md"), re.MULTILINE)

    assert sorted(listed) == sorted(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_operations_page_has_every_flag_of_the_command(verb: str) -> None:
    options = {flag for action in VERBS[verb]._actions for flag in action.option_strings}
    (line,) = re.findall(rf"^\| `python -m sidecar {verb}\b(.*?)` \|", page("operations.md"), re.MULTILINE)

    assert set(re.findall(r"(?<!\w)--?[a-z]+", line)) == options - {"-h", "--help", "--jobs", "--logs"}


@pytest.mark.parametrize("path", PAGES, ids=pages_named)
def test_page_names_no_unknown_command(path: Path) -> None:
    text = path.read_text()

    assert set(re.findall(r"python -m sidecar ([\w-]+)", text)) <= set(VERBS)
    assert set(re.findall(r"(?:exec scheduler sidecar|run --rm scheduler) ([\w-]+)", text)) <= set(VERBS)


def test_operations_page_explains_every_exit_code_and_no_other() -> None:
    listed = re.findall(r"^\| ([0-9]+) \|", section(page("operations.md"), "## Exit codes"), re.MULTILINE)

    assert [int(number) for number in listed] == [code for name, code in vars(exit_codes).items() if name[:3] == "EX_"]


# The code


def rows_of_modules(package: str) -> list[list[str]]:
    """Return the modules that the page has of a package, row by row."""
    heading = {"sidecar": "The scheduler", "admin_ui": "The admin service"}[package]
    below = page("reading.md").split(f"\n## {heading}", 1)[1].split("\n## ")[0]
    return [re.findall("`(.*?)`", cell) for cell in re.findall(r"^\| (`.*?`) \|", below, re.MULTILINE)]


def imported(path: Path) -> set[str]:
    """Return which modules of its own package a module imports, but for those that a function imports."""
    package, *_ = path.relative_to(ROOT).parts
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package:
            base = Path(ROOT, *str(node.module).split("."))
            paths = [base / f"{alias.name}.py" for alias in node.names]
            paths = [each if each.exists() else base.with_suffix(".py") for each in paths]
            found |= {each if each.exists() else base / "__init__.py" for each in paths}
    return {str(each.relative_to(ROOT / package).with_suffix("")) for each in found}


@pytest.mark.parametrize("package", ["sidecar", "admin_ui"])
def test_reading_page_lists_every_module_once_and_none_imports_what_stands_further_down(package: str) -> None:
    rows = rows_of_modules(package)
    paths = {str(path.relative_to(ROOT / package).with_suffix("")): path for path in (ROOT / package).rglob("*.py")}
    assert sorted(name for row in rows for name in row) == sorted(paths)

    known: set[str] = set()
    for row in rows:
        known |= set(row)
        assert {name: imported(paths[name]) - known for name in row} == {name: set() for name in row}


# All pages


@pytest.mark.parametrize("path", PAGES, ids=pages_named)
def test_links_of_the_page_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert target.startswith("https://") or (path.parent / target).exists(), target


@pytest.mark.parametrize("path", PAGES, ids=pages_named)
def test_make_targets_that_the_page_names_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"`make (\w+)`|^\$ make (\w+)", path.read_text())) <= {
        *((target, "") for target in targets),
        *(("", target) for target in targets),
    }


def test_changelog_has_the_version() -> None:
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_pages_are_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()

    assert [path.name for path in DOCS.glob("*.md") if f"](docs/{path.name})" not in readme] == []
