"""The command line: parse, call, print. Each verb imports what it needs, so that `health` stays cheap.

A verb's function returns the exit code; `trigger --wait` has the job's own.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from sidecar import __version__
from sidecar.errors import SchedulerError, SettingsError, UsageError
from sidecar.exit_codes import EX_FAILED, EX_INTERRUPTED, EX_OK, EX_USAGE
from sidecar.settings import Settings, from_environment

MOST_TIMES = 10_000


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say and return the exit code. Raises SystemExit, as argparse does, for wrong usage."""
    _fill_standard_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows only ASCII is no error
    args = _parser().parse_args(argv)
    verb: Callable[[argparse.Namespace, Settings], int] = args.run
    try:
        settings = from_environment(jobs=getattr(args, "jobs", None), logs=getattr(args, "logs", None))
        code = verb(args, settings)
        sys.stdout.flush()
    except (SettingsError, UsageError) as error:
        return _say(str(error), EX_USAGE)
    except BrokenPipeError:
        # The reader (`| head`) has what it wants. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EX_FAILED
    except SchedulerError as error:
        return _say(str(error), EX_FAILED)
    except OSError as error:
        return _say(f"{error.filename}: {error.strerror}" if error.filename else str(error), EX_FAILED)
    except KeyboardInterrupt:
        return EX_INTERRUPTED
    return code


def _fill_standard_descriptors() -> None:
    """Open the null device wherever stdin, stdout or stderr is closed (`>&-` in a shell).

    Else the next files to be opened, the lock and the journal, get these numbers (open(2): the lowest that is free),
    and what is meant for a terminal ends up in them. Lowest first, so that each gets its own number.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    # Python has None for what was closed when it started, and prints to stdout what is meant for a stderr of None.
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _say(message: str, code: int) -> int:
    print(f"sidecar: {message}", file=sys.stderr)
    return code


# The verbs


def _start(args: argparse.Namespace, settings: Settings) -> int:
    _leave_out_the_heavy()
    from sidecar.daemon import serve

    return serve(settings, standby=args.standby)


def _validate(args: argparse.Namespace, settings: Settings) -> int:
    from sidecar.validate import validate

    return validate(settings, args.paths, as_json=args.json)


def _list(args: argparse.Namespace, settings: Settings) -> int:
    from sidecar.listing import list_jobs

    return list_jobs(settings, as_json=args.json)


def _next(args: argparse.Namespace, settings: Settings) -> int:
    from sidecar.next_and_why import next_times

    return next_times(settings, args.job, args.number, args.after, as_json=args.json)


def _why(args: argparse.Namespace, settings: Settings) -> int:
    from sidecar.next_and_why import why

    return why(settings, args.job, args.time)


def _trigger(args: argparse.Namespace, settings: Settings) -> int:
    from sidecar.trigger import trigger

    return trigger(settings, args.job, wait=args.wait)


def _audit_journal(args: argparse.Namespace, settings: Settings) -> int:
    from sidecar.audit_files import audit_journal

    with_jobs = args.jobs is not None or settings.jobs_dir.is_dir()
    return audit_journal(settings, args.evidence, with_jobs=with_jobs, as_json=args.json)


def _health(_: argparse.Namespace, settings: Settings) -> int:
    from sidecar import health

    problem = health.problem(settings.logs_dir)
    print(problem or "healthy")
    return EX_OK if problem is None else EX_FAILED


def _leave_out_the_heavy() -> None:
    """Keep asyncio and hashlib from loading OpenSSL (8 MiB, 15 ms) and structlog from loading rich (6 MiB, 80 ms).

    None in `sys.modules` stands for a module that cannot be imported, which all three know how to do without. The
    scheduler opens no connection and prints no coloured tracebacks.
    """
    heavy = ["rich"]
    if find_spec("_sha2") or find_spec("_sha256"):  # Python's own SHA-256; some distributions leave it out
        heavy += ["_ssl", "_hashlib"]
    for module in heavy:
        sys.modules.setdefault(module, None)  # type: ignore[arg-type]  # the import system's word for "there is none"


# The arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sidecar",
        description="A job scheduler whose whole control plane is files: jobs/ in, logs/ out.",
        epilog="Settings come from the environment (SCHEDULER_…); flags win. Exit codes: 0 yes or done, 1 no or"
        " failed, 2 wrong usage.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sidecar {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    start = _verb(verbs, "start", _start, "run the scheduler until SIGTERM or Ctrl-C", jobs=True, logs=True)
    start.add_argument("--standby", action="store_true", help="wait while another scheduler has these logs")

    validate = _verb(verbs, "validate", _validate, "check job files; tell every problem of each", jobs=True)
    validate.add_argument("paths", nargs="*", metavar="FILE|DIR", help="default: the jobs directory")
    _add_json(validate)

    listing = _verb(verbs, "list", _list, "show all jobs: next run, last result", jobs=True, logs=True)
    _add_json(listing)

    following = _verb(verbs, "next", _next, "show a job's next scheduled times", jobs=True)
    following.add_argument("job", metavar="JOB")
    following.add_argument("-n", dest="number", type=_number, default=5, metavar="N", help="how many (default: 5)")
    following.add_argument("--after", metavar="TIME", help="a local time of the job, or with an offset; default: now")
    _add_json(following)

    why = _verb(verbs, "why", _why, "say why a job did or did not run at a time", jobs=True, logs=True)
    why.add_argument("job", metavar="JOB")
    why.add_argument(
        "time",
        nargs="?",
        metavar="TIME",
        help="to the minute, such as 02:00 or 2026-01-31T02:00 (the job's zone) or with an offset; default: its"
        " latest scheduled time",
    )

    trigger = _verb(verbs, "trigger", _trigger, "ask for a run of a job now", jobs=True, logs=True)
    trigger.add_argument("job", metavar="JOB")
    trigger.add_argument(
        "--wait", action="store_true", help="follow the run to its end, print its output, exit as it did"
    )

    auditing = _verb(
        verbs,
        "audit-journal",
        _audit_journal,
        "check the journal: each time and request ends once",
        jobs=True,
        logs=True,
    )
    auditing.add_argument(
        "--evidence",
        nargs="+",
        default=[],
        metavar="FILE",
        help="files to which jobs appended their JOB_RUN_ID, one a line",
    )
    _add_json(auditing)

    _verb(verbs, "health", _health, "tell whether the scheduler works (for a container's health check)", logs=True)
    return parser


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace, Settings], int],
    help_text: str,
    *,
    jobs: bool = False,
    logs: bool = False,
) -> argparse.ArgumentParser:
    description = f"{help_text[0].upper()}{help_text[1:]}."
    parser = verbs.add_parser(name, help=help_text, description=description, allow_abbrev=False)
    parser.set_defaults(run=run)
    if jobs:
        parser.add_argument("--jobs", metavar="DIR", help="the jobs directory (default: SCHEDULER_JOBS_DIR or jobs)")
    if logs:
        parser.add_argument("--logs", metavar="DIR", help="the logs directory (default: SCHEDULER_LOGS_DIR or logs)")
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10) or not 1 <= int(text) <= MOST_TIMES:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {MOST_TIMES}, found {text!r}")
    return int(text)
