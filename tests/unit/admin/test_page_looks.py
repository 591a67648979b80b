"""Which looks get a line in the audit log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from admin_ui.audit import FILE_NAME, AuditLog
from admin_ui.auth import User
from admin_ui.page.looks import LASTS_SECONDS, LOADS_SECONDS, MOST_KEPT, Looks

ANNA, BEN = User("anna", frozenset({"admin"}), "192.0.2.1"), User("ben", frozenset({"admin"}), "192.0.2.2")
JOBS, LOGS = ("view_jobs", None), ("view_job_logs", "backup", "20260101T000000-1")


class Stand:
    """Looks, with a clock that a test moves and the lines that were written."""

    def __init__(self, directory: Path) -> None:
        self.now = 1000.0
        self.directory = directory
        self.looks = Looks(AuditLog(directory), lambda: self.now)

    def lines(self) -> list[tuple[str, str, str | None, dict[str, str]]]:
        file = self.directory / FILE_NAME
        read = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [(line["username"], line["action"], line["job_name"], line["details"]) for line in read]


@pytest.fixture
def stand(tmp_path):
    return Stand(tmp_path)


def test_each_click_is_a_line(stand):
    for _ in range(3):
        assert stand.looks.opened(ANNA, *LOGS)

    assert stand.lines() == [("anna", "view_job_logs", "backup", {"run_id": LOGS[2]})] * 3


def test_a_page_load_is_one_line_though_its_script_opens_the_view_again(stand):
    stand.looks.loaded(ANNA, *JOBS)
    stand.now += 2
    stand.looks.opened(ANNA, *JOBS)

    assert len(stand.lines()) == 1
    stand.looks.opened(ANNA, *JOBS)
    assert len(stand.lines()) == 2


def test_a_page_without_a_script_does_not_hide_a_later_click_or_another_persons(stand):
    stand.looks.loaded(ANNA, *JOBS)
    stand.looks.opened(BEN, *JOBS)
    stand.now += LOADS_SECONDS
    stand.looks.opened(ANNA, *JOBS)

    assert [line[0] for line in stand.lines()] == ["anna", "ben", "anna"]


def test_ticks_add_nothing_to_a_look_however_long_it_lasts(stand):
    stand.looks.opened(ANNA, *LOGS)
    for _ in range(100):
        stand.now += LASTS_SECONDS / 2
        assert stand.looks.goes_on(ANNA, *LOGS)

    assert len(stand.lines()) == 1


def test_what_a_script_asks_for_that_nobody_looked_at_is_a_look(stand):
    stand.looks.opened(ANNA, *JOBS)
    stand.looks.goes_on(ANNA, *LOGS)
    stand.looks.goes_on(BEN, *JOBS)
    stand.now += LASTS_SECONDS
    stand.looks.goes_on(ANNA, *LOGS)

    assert [line[:2] for line in stand.lines()] == [
        ("anna", "view_jobs"),
        ("anna", "view_job_logs"),
        ("ben", "view_jobs"),
        ("anna", "view_job_logs"),
    ]


def test_a_look_that_could_not_be_written_is_tried_again_by_the_next_tick(stand):
    (stand.directory / FILE_NAME).mkdir()
    assert not stand.looks.loaded(ANNA, *JOBS)
    assert not stand.looks.opened(ANNA, *JOBS)
    assert not stand.looks.goes_on(ANNA, *JOBS)
    (stand.directory / FILE_NAME).rmdir()

    assert stand.looks.goes_on(ANNA, *JOBS)
    assert len(stand.lines()) == 1


def test_what_is_no_name_is_not_written(stand):
    stand.looks.opened(ANNA, "view_jobs", "../etc", "a b")

    assert stand.lines() == [("anna", "view_jobs", None, {})]


def test_no_more_looks_are_kept_than_there_is_room_for(stand):
    for number in range(MOST_KEPT + 2):
        stand.looks.goes_on(ANNA, "view_job_logs", f"job-{number}")
    before = len(stand.lines())
    stand.looks.goes_on(ANNA, "view_job_logs", f"job-{MOST_KEPT + 1}")
    stand.looks.goes_on(ANNA, "view_job_logs", "job-0")

    assert len(stand.lines()) == before + 1
