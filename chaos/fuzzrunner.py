"""`python -m chaos.fuzzrunner TARGET LIBFUZZER-ARGUMENTS …`: try one target with atheris, guided by coverage."""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    """Fuzz until libFuzzer's arguments say that it is enough, or until the target crashes."""
    # Not among what the project is developed with: the experiment installs it in an environment of its own.
    atheris = importlib.import_module("atheris")
    atheris.enabled_hooks.add("str")
    with atheris.instrument_imports(include=["sidecar", "admin_ui", "chaos.fuzztargets", "json"]):
        from chaos.fuzztargets import TARGETS
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
