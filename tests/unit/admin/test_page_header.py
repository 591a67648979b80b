"""The line at the top: what it says of the view, and where its links lead."""

from __future__ import annotations

import re

from admin_ui.auth import User
from admin_ui.page.address import Address
from admin_ui.page.header import header

ANNA = User("anna", frozenset({"admin"}), "10.0.0.1")


def test_the_heading_names_the_view_and_the_job_of_a_run_for_the_title():
    shown = header(ANNA, Address("logs", {"run": "r1"}), "backup", "")

    assert re.findall(r'<h1 [^>]*data-job="([^"]*)">([^<]*)</h1>', shown) == [("backup", "Logs")]
    assert '<a href="?view=logs" aria-current="page">Logs</a>' in shown
    assert 'data-job="">Edit job<' in header(ANNA, Address("edit"), None, "")


def test_what_is_hostile_stays_text():
    shown = header(User('"><script>', frozenset(), ""), Address("logs"), '"><script>', "")

    assert "<script>" not in shown
