"""Run the scheduler and the admin without Docker, on the folders that compose.yaml mounts: `make run`.

Ctrl-C or SIGTERM ends both, the scheduler after its drain; a second one cuts the drain short. If one of them ends by
itself, so does the other, and the exit code is that one's.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process

SERVICES = {
    "scheduler": ("sidecar", "start"),
    "admin": ("admin_ui", "start"),
}
TOLD_TO_END = (0, -signal.SIGTERM)
"""How a service ends that was told to: some servers raise the signal once more at the end, for their parent to see."""

FAILED = 1

NOT_FOR_JOBS = ("ADMIN_", "MAKE", "MFLAGS")
"""How the names of variables begin that the admin or make(1) has use for."""


async def main() -> int:
    """Start both, wait for both, and return the exit code."""
    services: dict[str, Process] = {}
    told = asyncio.Event()

    def end() -> None:
        told.set()
        for service in services.values():
            _terminate(service)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    for name, (module, verb) in SERVICES.items():
        services[name] = await _started(module, verb)
    if told.is_set():
        end()

    ends = {asyncio.create_task(service.wait()): name for name, service in services.items()}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    first = None if told.is_set() else next(name for task, name in ends.items() if task.done())
    if first is not None:
        print(f"run_both: the {first} ended by itself ({services[first].returncode}); ending the rest", file=sys.stderr)
        end()
    await asyncio.wait(ends)
    if first is not None:
        return _exit_code(services[first]) or FAILED
    return max(0 if service.returncode in TOLD_TO_END else _exit_code(service) for service in services.values())


async def _started(module: str, verb: str) -> Process:
    # A process group of its own: the terminal's Ctrl-C comes to this program alone, which passes it on once.
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, verb, env=_environment(module), process_group=0
    )


def _environment(module: str) -> dict[str, str]:
    """Return the variables of a service: jobs see those of the scheduler, and the admin's secrets are not for them."""
    strangers = NOT_FOR_JOBS if module == "sidecar" else ()
    return {name: value for name, value in os.environ.items() if not name.startswith(strangers)}


def _terminate(service: Process) -> None:
    if service.returncode is None:
        service.terminate()


def _exit_code(service: Process) -> int:
    """Return the exit code as a shell gives it: 128 + N for signal N."""
    code = service.returncode
    assert code is not None
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
