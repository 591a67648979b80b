"""Serving: the address is had before anything begins, and a folder that was deleted under its mount is noticed."""

import os
import socket
from pathlib import Path

import pytest

from admin_ui.errors import SettingsError
from admin_ui.serving import is_dead, listen, serve


def test_an_address_that_is_taken_is_told_before_anything_is_made():
    def make_app():
        raise AssertionError("made although it cannot be served")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"ADMIN_PORT: cannot listen on 127\.0\.0\.1, port {port}: Address"):
            serve(make_app, "127.0.0.1", port, ())


def test_a_host_that_is_none_of_ours_is_told():
    with pytest.raises(SettingsError, match=r"ADMIN_HOST: nowhere\.invalid is no address"):
        listen("nowhere.invalid", 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_kinds_of_addresses_are_listened_on(host):
    with listen(host, 0) as listener, socket.create_connection((host, listener.getsockname()[1])):
        pass


def test_a_directory_that_is_there_or_missing_is_not_dead(tmp_path):
    assert not is_dead(tmp_path)
    assert not is_dead(tmp_path / "missing")


def test_a_directory_that_was_deleted_and_is_there_all_the_same_is_dead(tmp_path):
    (tmp_path / "mounted").mkdir()
    descriptor = os.open(tmp_path / "mounted", os.O_RDONLY)
    (tmp_path / "mounted").rmdir()
    try:
        assert is_dead(Path(f"/proc/self/fd/{descriptor}"))
    finally:
        os.close(descriptor)
