"""The line at the top: what it says of the view, and where its links lead."""

from __future__ import annotations

import re

import pytest

from admin_ui.auth import User
from admin_ui.page.address import Address
from admin_ui.page.header import Account, header
from admin_ui.page.mount import account_of
from admin_ui.settings import AuthMode, Settings

ANNA = User("anna", frozenset({"admin"}), "10.0.0.1")


def test_the_heading_names_the_view():
    shown = header(ANNA, Address("logs", {"run": "r1"}), Account())

    assert re.findall("<h1 [^>]*>([^<]*)</h1>", shown) == ["Logs"]
    assert '<a href="?view=logs" aria-current="page">Logs</a>' in shown
    assert ">Edit job</h1>" in header(ANNA, Address("edit"), Account())


def test_the_ways_out_and_to_another_password_are_there_where_this_service_has_them():
    shown = header(ANNA, Address(), Account("/ops/sign-out", "/ops/password"))

    assert '<form method="post" action="/ops/sign-out">' in shown and '<a href="/ops/password">Password</a>' in shown
    assert "password" not in header(ANNA, Address(), Account("/sign-out"))
    assert "Sign out" not in header(ANNA, Address(), Account())


@pytest.mark.parametrize(
    ("settings", "account"),
    [
        (Settings(root_path="/ops"), Account("/ops/sign-out", "/ops/password")),
        (Settings(password_hash="set from outside"), Account("/sign-out", "")),
        (Settings(auth_mode=AuthMode.PROXY), Account()),
        (Settings(auth_mode=AuthMode.JWT), Account()),
    ],
)
def test_a_password_can_be_changed_where_it_is_this_services_own(settings, account):
    assert account_of(settings) == account


def test_what_is_hostile_stays_text():
    shown = header(User('"><script>', frozenset(), ""), Address("logs"), Account())

    assert "<script>" not in shown
