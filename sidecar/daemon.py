"""`start`: the lock, the signals, the exit code. Everything between is the scheduler's."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time

from sidecar.errors import AlreadyRunning, JournalUnusable
from sidecar.exit_codes import EX_CANTCREAT, EX_OK, EX_TEMPFAIL
from sidecar.lock import Lock
from sidecar.scheduler import JobScheduler
from sidecar.settings import Settings

STANDBY_LOOK_SECONDS = 0.25

OBJECTS_BETWEEN_COLLECTIONS = 20_000
"""Of Python's cyclic garbage collector. By default (700) it looks at the same definitions over and over while many
are loaded, a tenth of a start."""


def serve(settings: Settings, *, standby: bool = False) -> int:
    """Run the scheduler until it is told to stop; return the process's exit code.

    0 after SIGTERM or SIGINT, 70 after a crash, 73 if the journal cannot be used, 74 if the jobs or the
    logs directory was replaced under its mount, 75 if another scheduler has these logs (with `standby`: wait for its
    end instead).
    """
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the loop takes it: all is still to be looked at anyway
    lock = Lock(settings.logs_dir)
    try:
        _take(lock, settings, standby)
        scheduler = JobScheduler(settings.jobs_dir, settings.logs_dir, settings=settings, lock=lock)
    except AlreadyRunning as error:
        return _say(f"{error}; only one may run on a logs directory (--standby waits for its end)", EX_TEMPFAIL)
    except JournalUnusable as error:
        return _say(str(error), EX_CANTCREAT)
    except OSError as error:
        return _say(f"cannot write in the logs directory: {error}", EX_CANTCREAT)
    except KeyboardInterrupt:
        return EX_OK
    try:
        return asyncio.run(_run(scheduler))
    finally:
        lock.release()


def _take(lock: Lock, settings: Settings, standby: bool) -> None:
    while True:
        if standby:
            _wait_until_free(lock)
        settings.logs_dir.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except AlreadyRunning:
            if not standby:
                raise
        else:
            return


async def _run(scheduler: JobScheduler) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, scheduler.shutdown, f"received {number.name}")
    loop.add_signal_handler(signal.SIGHUP, scheduler.rescan)
    await scheduler.start()
    return scheduler.exit_code


def _wait_until_free(lock: Lock) -> None:
    term = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while not lock.is_free():
            time.sleep(STANDBY_LOOK_SECONDS)
    finally:
        signal.signal(signal.SIGTERM, term)


def _say(message: str, exit_code: int) -> int:
    print(f"sidecar: {message}", file=sys.stderr, flush=True)
    return exit_code
