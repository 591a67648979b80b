"""Properties 6 to 8: working directory, complete output, exact exit codes. Real shells, real files."""

from __future__ import annotations

import asyncio
import os
import shlex
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.clock import Clock
from sidecar.executor import JobExecutor
from sidecar.local import LocalTarget
from sidecar.model import JobConfig, JobResult, Status
from sidecar.output import Outputs

INLINE_BYTES = 300  # small, so that many examples are longer

WRITABLE = st.characters(codec="utf-8", exclude_characters="\0")
DIRECTORY_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=60).filter(
    lambda name: name not in (".", "..")
)
ERROR_TEXTS = st.text(WRITABLE, max_size=60)
DATA = st.one_of(
    st.binary(max_size=60),
    st.text(st.characters(codec="utf-8"), max_size=60).map(str.encode),
    st.builds(lambda data, times: data * times, st.binary(min_size=1, max_size=60), st.integers(1, 2000)),
    st.builds(lambda text, times: text.encode() * times, st.text(WRITABLE, min_size=1), st.integers(1, 500)),
)


def execute(logs: str, command: str, working_directory: str = "/", **fields: Any) -> JobResult:
    executor = JobExecutor(LocalTarget(), Outputs(logs, INLINE_BYTES), Clock(), {"PATH": os.environ["PATH"]})
    job = JobConfig("job", "* * * * *", command, working_directory, True, **fields)
    return asyncio.run(executor.execute(job))


# Feature: production-jobs-scheduler, Property 6: Working Directory Execution
@given(name=DIRECTORY_NAMES)
@example(name=" leading and trailing ")
@example(name="-n")
@example(name="new\nline")
@example(name="$HOME `id` 'quoted' \"twice\" \\")
def test_command_runs_in_its_working_directory(name: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        directory = Path(root, name)
        directory.mkdir()
        result = execute(root, "pwd", str(directory))

    assert (result.stdout, result.exit_code) == (f"{directory}\n", 0)


# Feature: production-jobs-scheduler, Property 7: Output Capture Completeness
@given(stdout=DATA, stderr=DATA)
@example(stdout=b"", stderr=b"")
@example(stdout=b"x" * INLINE_BYTES, stderr=b"x" * (INLINE_BYTES + 1))
@example(stdout=b"\xff", stderr=b"\\xff")
@example(stdout=b"\0", stderr=b"\xed\xa0\x80")
def test_both_streams_are_captured_completely(stdout: bytes, stderr: bytes) -> None:
    with tempfile.TemporaryDirectory() as root:
        Path(root, "out").write_bytes(stdout)
        Path(root, "err").write_bytes(stderr)
        result = execute(root, "cat out; cat err >&2", root)

        assert (result.exit_code, result.stdout_bytes, result.stderr_bytes) == (0, len(stdout), len(stderr))
        for text, file, written in (
            (result.stdout, result.stdout_file, stdout),
            (result.stderr, result.stderr_file, stderr),
        ):
            held = Path(root, file).read_bytes() if file else text.encode()
            assert held == written
            assert len(text.encode()) <= INLINE_BYTES


# Feature: production-jobs-scheduler, Property 8: Exit Code Recording
@given(code=st.integers(1, 255), text=ERROR_TEXTS)
@example(code=1, text="")
@example(code=126, text="-n")
@example(code=255, text="100%")
def test_exit_code_and_error_output_are_recorded_exactly(code: int, text: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        result = execute(root, f"printf %s {shlex.quote(text)} >&2; exit {code}")

    assert (result.exit_code, result.signal, result.status) == (code, None, Status.FAILURE)
    assert result.stderr == text
    assert not result.success


# Feature: production-jobs-scheduler, Property 8: Exit Code Recording
@given(code=st.integers(0, 255), successes=st.sets(st.integers(0, 255), min_size=1, max_size=5))
def test_only_the_jobs_own_success_codes_are_success(code: int, successes: set[int]) -> None:
    with tempfile.TemporaryDirectory() as root:
        result = execute(root, f"exit {code}", success_exit_codes=tuple(successes))

    assert result.exit_code == code
    assert result.success is (code in successes)


# Feature: production-jobs-scheduler, Property 8: Exit Code Recording
@pytest.mark.parametrize("code", [126, 127])
@given(text=ERROR_TEXTS.filter(str.strip))
def test_codes_of_commands_that_cannot_be_run_are_recorded_with_the_shells_words(code: int, text: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        program = Path(root, "program")
        if code == 126:
            program.write_text(text)
        result = execute(root, shlex.quote(str(program)))

    assert result.exit_code == code
    assert "program" in result.stderr
