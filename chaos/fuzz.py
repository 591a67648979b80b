"""Coverage-guided fuzzing of everything that reads what others write, in an environment that is thrown away."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from random import Random

from chaos.fuzztargets import CORPORA, TARGETS
from chaos.outcome import CannotRun, Outcome, Size

ROOT = Path(__file__).parent.parent
CORPUS = ROOT / "tests" / "corpus"
ATHERIS = "atheris>=3,<4"
SLOWEST_SECONDS = 20
MOST_BYTES = 1 << 14
WORDS = re.compile(r'"[A-Za-z_$]{2,}"')


def fuzz(root: Path, chance: Random, size: Size) -> Outcome:
    """Fuzz each target for a while. Raises CannotRun if atheris cannot be installed."""
    outcome = Outcome()
    python = _environment(root)
    words = sorted({word for path in (ROOT / "schemas").glob("*.json") for word in WORDS.findall(path.read_text())})
    (root / "words").write_text("".join(f'"\\"{word[1:-1]}\\""\n' for word in words))
    for name in TARGETS:
        _fuzz(root, python, name, chance.randrange(1, 1 << 31), size.of(1, 5, 90), outcome)
    if not outcome.findings:
        subprocess.run(["rm", "-rf", *map(str, root.iterdir())], check=True)
    return outcome


def _environment(root: Path) -> Path:
    """Make an environment with atheris beside what is installed already; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(root / "venv")], check=True, timeout=120)
    python = root / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    done = subprocess.run([*install, ATHERIS], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise CannotRun(f"{ATHERIS} cannot be installed for this Python: {done.stderr.strip().splitlines()[-1:]}")
    return python


def _fuzz(root: Path, python: Path, name: str, seed: int, seconds: int, outcome: Outcome) -> None:
    found = root / f"{name}-found"
    corpus = root / f"{name}-corpus"
    for folder in (found, corpus):
        folder.mkdir()
    command = [
        *(str(python), "-m", "chaos.fuzzrunner", name, str(corpus), str(CORPUS / CORPORA.get(name, name))),
        *(f"-seed={seed}", f"-max_total_time={seconds}", f"-timeout={SLOWEST_SECONDS}", f"-max_len={MOST_BYTES}"),
        *(f"-artifact_prefix={found}/", f"-dict={root / 'words'}", "-print_final_stats=1"),
    ]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{sysconfig.get_path('purelib')}"}
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False,
        timeout=60 + 3 * seconds,
    )  # fmt: skip
    tried = re.search(r"stat::number_of_executed_units: +(\d+)", done.stderr)
    outcome.counts[f"{name} inputs"] = int(tried[1]) if tried else 0
    outcome.counts["inputs"] += outcome.counts[f"{name} inputs"]
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "Broken" in line or "Error" in line or "ERROR" in line]
        inputs = [base64.b64encode(path.read_bytes()[:2000]).decode() for path in found.iterdir()]
        outcome.findings.append(f"{name}: {said[:3]}: base64 {json.dumps(inputs)}")
