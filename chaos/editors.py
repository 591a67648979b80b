"""How programs save a file: each way as a function of its path and the new text, with the real program where it can."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

HALF_WAY_SECONDS = 0.2
"""A pause in the middle of a save; much shorter ones are the rule."""


def _call(*command: str, text: str | None = None) -> None:
    subprocess.run(command, input=text, text=True, check=True, capture_output=True, timeout=30)


def _vim(backupcopy: str) -> Callable[[Path, bytes], None]:
    def save(path: Path, text: bytes) -> None:
        new = path.with_name(".text")
        new.write_bytes(text)
        read = f"call setline(1, readfile('{new}'))"
        options = f"set nofixeol noeol noswapfile backup backupcopy={backupcopy}"
        _call("vim", "-es", "-N", "-u", "NONE", "-c", read, "-c", options, "-c", "wq", str(path))
        new.unlink()

    return save


def _ed(path: Path, text: bytes) -> None:
    """Save as ed(1) does, which ends the last line; what the test asked for has no newline, so it is cut off again."""
    _call("ed", "-s", str(path), text=f"1,$d\na\n{text.decode()}\n.\nw\nq\n")
    os.truncate(path, len(text))


def _sed(path: Path, text: bytes) -> None:
    escaped = text.decode().replace("\\", "\\\\").replace("&", "\\&").replace("|", "\\|")
    _call("sed", "-i", f"s|.*|{escaped}|", str(path))


def _in_place(path: Path, text: bytes) -> None:
    """Save as nano and many others do: emptied, then written."""
    with path.open("wb") as file:
        time.sleep(HALF_WAY_SECONDS)
        file.write(text)


def _in_two_halves(path: Path, text: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(text[: len(text) // 2])
        time.sleep(HALF_WAY_SECONDS)
        file.write(text[len(text) // 2 :])


def _moved_aside(path: Path, text: bytes) -> None:
    """Save as Emacs does: the old file becomes the backup, a new one is written under its name."""
    path.rename(path.with_name(f"{path.name}~"))
    time.sleep(HALF_WAY_SECONDS)
    path.write_bytes(text)


def _renamed(path: Path, text: bytes) -> None:
    """Save as GNOME's and KDE's editors do: written beside, renamed."""
    beside = path.with_name(f".goutputstream-{time.monotonic_ns()}")
    beside.write_bytes(text)
    os.replace(beside, path)


def _elsewhere(path: Path, text: bytes) -> Path:
    """Return a file with the text outside the jobs directory."""
    other = path.parent.parent / "elsewhere.json"
    other.write_bytes(text)
    return other


def _cp(path: Path, text: bytes) -> None:
    _call("cp", str(_elsewhere(path, text)), str(path))


def _cp_keeping_times(path: Path, text: bytes) -> None:
    other = _elsewhere(path, text)
    os.utime(other, (1_000_000_000, 1_000_000_000 + len(text)))
    _call("cp", "-p", str(other), str(path))


def _mv(path: Path, text: bytes) -> None:
    _call("mv", "-f", str(_elsewhere(path, text)), str(path))


def _install(path: Path, text: bytes) -> None:
    """Save as install(1) does: the old file is removed first."""
    _call("install", "-m", "644", str(_elsewhere(path, text)), str(path))


def _rsync(path: Path, text: bytes) -> None:
    _call("rsync", "--times", str(_elsewhere(path, text)), str(path))


def _link(path: Path, text: bytes) -> None:
    """Have a link lead to another file, by rename."""
    other = path.with_name(f".target-{time.monotonic_ns()}")
    other.write_bytes(text)
    beside = path.with_name(".link")
    beside.symlink_to(other.name)
    os.replace(beside, path)


def _tar(path: Path, text: bytes) -> None:
    """Unpack as tar(1) does: the old file is removed, a new one is written and given an old time."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo(path.name)
        member.size, member.mtime = len(text), 1_000_000_000
        archive.addfile(member, io.BytesIO(text))
    subprocess.run(["tar", "-x", "-C", str(path.parent)], input=packed.getvalue(), check=True, timeout=30)


def _git(path: Path, text: bytes) -> None:
    """Save by `git checkout` of another branch."""
    git = ["git", "-C", str(path.parent), "-c", "user.name=chaos", "-c", "user.email=chaos@example.invalid"]
    before = path.read_bytes()
    _call(*git, "init", "--quiet")
    _call(*git, "checkout", "--quiet", "--orphan", f"old{time.monotonic_ns()}")
    _call(*git, "add", "-f", path.name)
    _call(*git, "commit", "--quiet", "--message", "before")
    tree = subprocess.run(
        [*git, "hash-object", "-w", "--stdin"], input=text, capture_output=True, check=True, timeout=30
    )
    blob = tree.stdout.decode().strip()
    _call(*git, "update-index", "--cacheinfo", f"100644,{blob},{path.name}")
    _call(*git, "commit", "--quiet", "--message", "after")
    assert path.read_bytes() == before
    _call(*git, "checkout", "--quiet", "--force", "HEAD")
    shutil.rmtree(path.parent / ".git")


WAYS_TO_SAVE: dict[str, Callable[[Path, bytes], None]] = {
    "vim by rename": _vim("no"),
    "vim in place": _vim("yes"),
    "ed": _ed,
    "sed": _sed,
    "in place": _in_place,
    "in two halves": _in_two_halves,
    "moved aside": _moved_aside,
    "renamed": _renamed,
    "cp": _cp,
    "cp -p": _cp_keeping_times,
    "mv": _mv,
    "install": _install,
    "rsync": _rsync,
    "tar": _tar,
    "git checkout": _git,
    "link": _link,
}
PROGRAMS = {"vim by rename": "vim", "vim in place": "vim", "ed": "ed", "rsync": "rsync", "git checkout": "git"}


def available(name: str) -> bool:
    """Return whether the program of a way to save is installed."""
    return shutil.which(PROGRAMS.get(name, "sh")) is not None
