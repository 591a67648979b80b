"""The smallest form of every experiment that `make chaos` does: seconds of each, in every run of the tests.

Most of them need root, and libfaketime; the ones of the container also a Docker engine.
"""

import random
import tempfile
from pathlib import Path

import pytest

from chaos.__main__ import EXPERIMENTS
from chaos.outcome import CannotRun, Size
from chaos.world import end_processes

SELDOM = {"fuzz", "nights"}
"""The one installs something, the other takes half a minute; property tests try much of the same."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(EXPERIMENTS.keys() - SELDOM))
def test_experiment_finds_nothing(name):
    seed = random.SystemRandom().randrange(1 << 32)
    with tempfile.TemporaryDirectory(prefix=f"chaos-{name}-", ignore_cleanup_errors=True) as folder:
        try:
            outcome = EXPERIMENTS[name](Path(folder), random.Random(seed), Size.TINY)
        except CannotRun as error:
            pytest.skip(str(error))
        finally:
            end_processes(Path(folder))

    assert outcome.findings == [], f"seed {seed}"
    assert outcome.counts.total() > 0
