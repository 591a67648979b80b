"""What tests of the admin service share."""

from __future__ import annotations

import errno
import os
import stat

import pytest


@pytest.fixture
def folders_cannot_be_synced(monkeypatch):
    """Have each fsync of a directory fail, as on a disk that is dying; files can still be synced."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
