"""Have what the benchmarks need: the peers in throw-away environments of their own, and small programs, compiled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scheduler-benchmarks"
PEERS = ("yacron==0.19.0", "cronstable==1.2.72", "APScheduler==3.11.3", "schedule==1.2.2")


@cache
def compiled(name: str) -> Path | None:
    """Return the program made from NAME.c, None where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    CACHE.mkdir(parents=True, exist_ok=True)
    program = CACHE / name
    subprocess.run([compiler, "-O2", "-static", "-o", program, PROGRAMS / f"{name}.c"], check=True)
    return program


@cache
def product_python() -> Path | None:
    """Return a Python that has what the scheduler's image has and no more; None: it cannot be installed."""
    locked = HERE.parent / "requirements" / "scheduler.txt"
    return _environment("product", ["--require-hashes", "-r", str(locked)], locked.read_text())


@cache
def peers_python() -> Path | None:
    """Return a Python that has the peers from PyPI, None if they cannot be installed."""
    return _environment("peers", list(PEERS), " ".join(PEERS))


def stamp(file: Path, word: str = "-") -> str:
    """Return a shell command that appends its own first instant (ns since 1970) to `file`."""
    program = compiled("stamp")
    return f"date +%s%N >> {file}" if program is None else f"{program} {file} {word}"


def _environment(name: str, wanted: list[str], version: str) -> Path | None:
    directory, noted = CACHE / name, CACHE / f"{name}.installed"
    python = directory / "bin" / "python"
    if noted.exists() and noted.read_text() == version and python.exists():
        return python
    print(f"installing {name} into {directory}", file=sys.stderr, flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *wanted], check=True)
        subprocess.run([python, "-m", "compileall", "-q", directory / "lib"], check=False, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"cannot install {name}: {error}", file=sys.stderr, flush=True)
        return None
    noted.write_text(version)
    return python
