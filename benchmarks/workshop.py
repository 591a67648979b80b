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
DISTRIBUTIONS = Path("/usr/bin/python3")
USABLE = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
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
def interpreter() -> Path:
    """Return the Python of all systems that need one: the distribution's if it will do, else the one that runs this.

    Distributions build theirs with profile-guided optimization, as the base image of our containers is built. One
    that was compiled without, as version managers do, needs a third more time for everything.
    """
    will_do = DISTRIBUTIONS.exists() and subprocess.run([DISTRIBUTIONS, "-c", USABLE], check=False).returncode == 0
    return DISTRIBUTIONS if will_do else Path(sys.executable)


@cache
def product_python() -> Path | None:
    """Return a Python that has what the scheduler's image has and no more; None: it cannot be installed."""
    return _product("scheduler", "sidecar")


@cache
def admin_python() -> Path | None:
    """Return a Python that has what the admin's image has and no more; None: it cannot be installed."""
    return _product("admin", "admin_ui")


@cache
def peers_python() -> Path | None:
    """Return a Python that has the peers from PyPI, None if they cannot be installed."""
    return _environment("peers", list(PEERS), " ".join(PEERS))


def python_version() -> str:
    """Return the version and the compiler of that Python, and whose it is."""
    whose = "the distribution's" if interpreter() == DISTRIBUTIONS else "this environment's"
    return f"{whose} {_version(interpreter())}"


def stamp(file: Path, word: str = "-") -> str:
    """Return a shell command that appends its own first instant (ns since 1970) to `file`."""
    program = compiled("stamp")
    return f"date +%s%N >> {file}" if program is None else f"{program} {file} {word}"


def _version(python: Path) -> str:
    return subprocess.check_output([python, "-VV"], text=True).strip()


def _product(requirements: str, package: str) -> Path | None:
    locked = HERE.parent / "requirements" / f"{requirements}.txt"
    python = _environment(requirements, ["--require-hashes", "-r", str(locked)], locked.read_text())
    if python is not None:
        # The image brings bytecode, and PYTHONDONTWRITEBYTECODE may keep a first start from leaving any.
        subprocess.run([python, "-m", "compileall", "-q", HERE.parent / package], check=True)
    return python


def _environment(name: str, wanted: list[str], packages: str) -> Path | None:
    directory, noted = CACHE / name, CACHE / f"{name}.installed"
    python = directory / "bin" / "python"
    version = f"{_version(interpreter())} {packages}"
    if noted.exists() and noted.read_text() == version and python.exists():
        return python
    print(f"installing {name} into {directory}", file=sys.stderr, flush=True)
    try:
        subprocess.run([interpreter(), "-m", "venv", "--clear", directory], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *wanted], check=True)
        subprocess.run([python, "-m", "compileall", "-q", directory / "lib"], check=False, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"cannot install {name}: {error}", file=sys.stderr, flush=True)
        return None
    noted.write_text(version)
    return python
