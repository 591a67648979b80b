"""What several unit tests need: a disk that can be full."""

import errno
import os

import pytest


@pytest.fixture
def disk(monkeypatch):
    """A disk that can be filled: fsync and further growth of the journal fail while `full`."""

    class Disk:
        full = False

    real = os.fsync

    def fsync(descriptor):
        if Disk.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return Disk
