"""`python -m chaos [--full] [--seed N] [--write] [EXPERIMENT …]`: run experiments, print what came of each."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from chaos import figures
from chaos.admin import fault_the_admin
from chaos.adminweb import fault_the_page
from chaos.browsers import crowd_the_page
from chaos.clocks import set_back_and_change, set_the_clock, sit_through_nights, stop_and_continue
from chaos.containers import fault_the_container, share_a_volume
from chaos.disk import break_the_disk
from chaos.faultpoints import kill_at_every_call
from chaos.files import change_files
from chaos.fuzz import fuzz
from chaos.kills import kill_at_random
from chaos.outcome import CannotRun, Outcome, Size
from chaos.powercut import cut_the_power
from chaos.processes import run_wicked_processes
from chaos.slowdisk import slow_the_disk
from chaos.standby import lose_the_logs, take_over
from chaos.world import NeverCame, end_processes

Experiment = Callable[[Path, random.Random, Size], Outcome]

EXPERIMENTS: dict[str, Experiment] = {
    "kills": kill_at_random,
    "faultpoints": kill_at_every_call,
    "disk": break_the_disk,
    "power": cut_the_power,
    "slow": slow_the_disk,
    "clock": set_the_clock,
    "setback": set_back_and_change,
    "suspend": stop_and_continue,
    "nights": sit_through_nights,
    "standby": take_over,
    "lost": lose_the_logs,
    "processes": run_wicked_processes,
    "files": change_files,
    "fuzz": fuzz,
    "admin": fault_the_admin,
    "page": fault_the_page,
    "browsers": crowd_the_page,
    "container": fault_the_container,
    "volume": share_a_volume,
}


def main() -> int:
    """Run what the arguments name and return 1 if anything was found, else 0."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument(
        "experiments", nargs="*", metavar="EXPERIMENT", help=f"default: all of {', '.join(EXPERIMENTS)}"
    )
    parser.add_argument("--full", action="store_true", help="the full form: minutes for each experiment")
    parser.add_argument("--seed", type=int, help="repeat with this seed (timing still varies)")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/reliability.md")
    args = parser.parse_args()
    unknown = set(args.experiments) - EXPERIMENTS.keys()
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    failed = False
    for name in args.experiments or EXPERIMENTS:
        seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 32)
        failed |= not _run(name, seed, Size.FULL if args.full else Size.SHORT, args.write)
    return 1 if failed else 0


def _run(name: str, seed: int, size: Size, write: bool) -> bool:
    print(f"{name}: seed {seed}", flush=True)
    root, began = Path(tempfile.mkdtemp(prefix=f"chaos-{name}-")), time.monotonic()
    try:
        outcome = EXPERIMENTS[name](root, random.Random(seed), size)
    except CannotRun as error:
        print(f"{name}: not run: {error}", file=sys.stderr)
        shutil.rmtree(root, ignore_errors=True)
        return False
    except NeverCame as error:
        outcome = Outcome(findings=[str(error)])
    except Exception as error:  # the others still have their turn
        traceback.print_exc()
        outcome = Outcome(findings=[repr(error)])
    finally:
        end_processes(root)
    seconds = time.monotonic() - began
    counts = ", ".join(f"{key} {value:,}" for key, value in outcome.counts.items() if value)
    print(f"{name}: {seconds:.0f} s: {counts}")
    for finding in outcome.findings:
        print(f"{name}: FOUND: {finding}")
    print(f"{name}: {len(outcome.findings)} findings" + (f"; see {root}" if outcome.findings else ""), flush=True)
    if not outcome.findings:
        shutil.rmtree(root, ignore_errors=True)
    if write:
        figures.write(name, seed, outcome)
    return not outcome.findings


if __name__ == "__main__":
    sys.exit(main())
