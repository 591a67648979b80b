"""Whether the scheduler's process lives, by the lock that it holds."""

from __future__ import annotations

import fcntl
import os
import struct
from datetime import timedelta

import pytest

from admin_ui.pulse import Pulse
from tests.admin_lines import NOON


class Holder:
    """Who holds the lock, through another open file than the one who asks has."""

    def __init__(self, path) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(self.descriptor, fcntl.F_OFD_SETLK, whole)

    def die(self) -> None:
        os.close(self.descriptor)


@pytest.fixture
def seconds():
    """The seconds that have passed."""
    return [0.0]


@pytest.fixture
def looking(tmp_path, seconds):
    return Pulse(tmp_path, lambda: NOON + timedelta(seconds=seconds[0]))


def test_a_holder_that_dies_is_lost_since_it_was_first_missed(looking, tmp_path, seconds):
    holder = Holder(tmp_path / ".lock")
    assert looking.lost_at() is None
    holder.die()
    for later in (5, 8):
        seconds[0] = later
        assert looking.lost_at() == NOON + timedelta(seconds=5)


def test_one_that_has_its_lock_again_is_there_until_it_is_lost_again(looking, tmp_path, seconds):
    holder = Holder(tmp_path / ".lock")
    looking.lost_at()
    holder.die()
    looking.lost_at()
    again = Holder(tmp_path / ".lock")
    seconds[0] = 60
    assert looking.lost_at() is None
    again.die()
    seconds[0] = 61

    assert looking.lost_at() == NOON + timedelta(seconds=61)


def test_a_lock_that_nobody_was_seen_with_says_nothing(looking, tmp_path, seconds):
    (tmp_path / ".lock").touch()
    looking.lost_at()
    seconds[0] = 60

    assert looking.lost_at() is None


@pytest.mark.parametrize("meddle", ["nothing", "fifo", "link", "directory"])
def test_what_is_no_file_says_nothing_and_is_not_waited_for(looking, tmp_path, seconds, meddle):
    path = tmp_path / ".lock"
    holder = Holder(path)
    looking.lost_at()
    holder.die()
    path.unlink()
    if meddle == "fifo":
        os.mkfifo(path)
    elif meddle == "link":
        (tmp_path / "elsewhere").touch()
        path.symlink_to(tmp_path / "elsewhere")
    elif meddle == "directory":
        path.mkdir()
    looking.lost_at()
    seconds[0] = 60

    assert looking.lost_at() is None


def test_asking_does_not_keep_anybody_from_the_lock(looking, tmp_path):
    holder = Holder(tmp_path / ".lock")
    looking.lost_at()
    holder.die()
    looking.lost_at()

    Holder(tmp_path / ".lock").die()  # raises if it could not have the lock
