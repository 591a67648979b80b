"""What the journal shows of a run's output, also if its files were let go of meanwhile."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.output import Outputs
from sidecar.streams import Stream, Streams

LIMIT = 1000
STDOUT = "output/job/run-1.stdout"
NOWHERE = "/nowhere"


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    with Outputs(tmp_path, LIMIT).open("job", "run-1") as streams:
        yield streams


def show(streams: Streams, data: bytes, *, is_held: bool = False) -> Stream:
    """Return what the journal shows of a stdout that holds `data`."""
    view = memoryview(data)
    while view:
        view = view[os.write(streams.stdout, view) :]
    return streams.capture(is_held=is_held)[0]


def test_output_goes_to_the_end_of_the_file_also_after_it_was_truncated(streams: Streams, tmp_path: Path) -> None:
    os.write(streams.stdout, b"long before")
    os.truncate(tmp_path / "output/job/run-1.stdout", 0)
    os.write(streams.stdout, b"after")

    assert streams.capture(is_held=False)[0].text == "after"


def test_size_is_that_of_both_streams(streams: Streams) -> None:
    os.write(streams.stdout, b"12345")
    os.write(streams.stderr, b"123")

    assert streams.size(NOWHERE) == 8


# Showing


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "line\n",
        "ä€😀\n",
        "\0\x01\x1b[31m\x7f",
        '"\\"',
        "\ufeff",
        "\u2028\x85",
        "x" * LIMIT,
        "€" * (LIMIT // 3),
    ],
)
def test_stream_that_fits_is_shown_exactly_and_needs_no_file(streams: Streams, text: str) -> None:
    assert show(streams, text.encode()) == Stream(text, len(text.encode()))


def test_stream_that_fits_keeps_its_file_while_somebody_holds_it(streams: Streams) -> None:
    assert show(streams, b"text", is_held=True) == Stream("text", 4, file="output/job/run-1.stdout")


def test_empty_stream_keeps_its_file_while_somebody_holds_it(streams: Streams) -> None:
    assert show(streams, b"", is_held=True) == Stream(file="output/job/run-1.stdout")


def test_bytes_that_are_not_utf8_are_shown_escaped_and_the_file_stays(streams: Streams) -> None:
    assert show(streams, b"caf\xe9 \xed\xa0\x80 \xe2\x82") == Stream(
        r"caf\xe9 \xed\xa0\x80 \xe2\x82", 11, file="output/job/run-1.stdout"
    )


def test_long_stream_is_head_and_tail_around_a_marker(streams: Streams) -> None:
    data = b"".join(b"line %d\n" % number for number in range(10_000))
    stream = show(streams, data)
    head, marker, tail = split(stream.text)

    assert (stream.size, stream.truncated, stream.file) == (len(data), True, "output/job/run-1.stdout")
    assert data.startswith(head.encode())
    assert data.endswith(tail.encode())
    assert marker == f"[{len(data) - len(head) - len(tail)} bytes are left out here; all of them are in {stream.file}]"
    assert LIMIT - 20 <= len(stream.text) <= LIMIT


def split(text: str) -> tuple[str, str, str]:
    """Return what stands before the marker, the marker's line, and what stands behind it."""
    head, rest = text.split("\n[", 1)
    marker, tail = rest.split("]\n", 1)
    return head, f"[{marker}]", tail


@pytest.mark.parametrize("character", ["é", "€", "😀"])
@pytest.mark.parametrize("shift", range(4))
def test_cut_never_splits_a_character(streams: Streams, character: str, shift: int) -> None:
    stream = show(streams, b"x" * shift + character.encode() * 1000 + b"y" * shift)
    head, marker, tail = split(stream.text)

    assert set(head + tail) <= {character, "x", "y"}
    assert marker.startswith(f"[{stream.size - len((head + tail).encode())} bytes are left out")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(bytes(range(256)) * 40_000, id="every byte, 10 MB"),
        pytest.param(b"\xff" * 10_000_000, id="only invalid bytes"),
        pytest.param(b"\x80" * 5000, id="only continuation bytes"),
        pytest.param(b"\xff" * LIMIT, id="fits, but not when escaped"),
        pytest.param(b"\xff" * 300, id="escaped slightly too long"),
        pytest.param(b"\0" * 10_000_000, id="zeros"),
        pytest.param(b"x" * 10_000_000, id="one line of 10 MB"),
        pytest.param("😀".encode() * 2_500_000, id="one line of 10 MB of emoji"),
        pytest.param(b"x" * (LIMIT + 1), id="one byte too long"),
    ],
)
def test_text_stays_within_its_limit_and_counts_what_it_leaves_out(streams: Streams, data: bytes) -> None:
    began = time.process_time()
    stream = show(streams, data)
    head, marker, tail = split(stream.text)
    head_size, tail_size = (len(raw(text)) for text in (head, tail))

    assert len(stream.text.encode()) <= LIMIT
    assert stream.truncated
    assert data.startswith(raw(head))
    assert data.endswith(raw(tail))
    assert marker.startswith(f"[{len(data) - head_size - tail_size} bytes are left out here")
    assert time.process_time() - began < 1


def raw(shown: str) -> bytes:
    """Undo the escaping, where the original holds no backslash."""
    return re.sub(rb"\\x(..)", lambda match: bytes.fromhex(match[1].decode()), shown.encode())


def test_json_form_of_control_characters_is_bounded(streams: Streams) -> None:
    stream = show(streams, b'\0\x01\x1b"\\' * 10_000)

    assert len(json.dumps(stream.text, ensure_ascii=False)) <= 6 * LIMIT + 2


@pytest.mark.parametrize("limit", [0, 1, 50])
def test_limit_smaller_than_the_marker_shows_the_marker_alone(tmp_path: Path, limit: int) -> None:
    with Outputs(tmp_path, limit).open("job", "run-1") as streams:
        stream = show(streams, b"x" * 60)

    assert stream.text == "\n[60 bytes are left out here; all of them are in output/job/run-1.stdout]\n"
    assert stream.truncated


def test_huge_file_is_never_read_whole(streams: Streams, tmp_path: Path) -> None:
    os.truncate(tmp_path / "output/job/run-1.stdout", 5 << 30)
    began = time.process_time()
    stream = show(streams, b"the end")

    assert stream.size == (5 << 30) + 7
    assert stream.text.endswith("\0the end")
    assert time.process_time() - began < 0.1


def test_output_is_shown_although_the_job_removed_its_file(streams: Streams, tmp_path: Path) -> None:
    (tmp_path / "output/job/run-1.stdout").unlink()

    assert show(streams, b"still here").text == "still here"


def test_output_that_cannot_be_read_says_so_and_does_not_fail_the_run(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)

    assert show(streams, b"lost") == Stream(
        "[the output cannot be read: Input/output error]", 4, True, "output/job/run-1.stdout"
    )


# Letting go


def let_go(streams: Streams, data: bytes) -> int:
    """Let go of the files with `data` in stdout; return a descriptor of it, as the run's shell has one."""
    shells = os.dup(streams.stdout)
    os.write(shells, data)
    streams.let_go()
    return shells


def test_files_that_were_let_go_of_are_found_again(streams: Streams) -> None:
    before = len(os.listdir("/proc/self/fd"))
    shells = let_go(streams, b"printed ")
    assert len(os.listdir("/proc/self/fd")) == before - 1
    assert streams.size(NOWHERE) == 8
    os.write(shells, b"more")
    os.close(shells)

    assert streams.size(NOWHERE) == 12
    assert streams.capture(is_held=False) == (Stream("printed more", 12), Stream())
    assert streams.capture(is_held=True)[1] == Stream(file="output/job/run-1.stderr")


def test_long_output_is_shown_alike_whether_its_file_was_let_go_of_or_not(streams: Streams) -> None:
    before = show(streams, b"x" * 10 * LIMIT)
    streams.let_go()

    assert before.truncated
    assert streams.capture(is_held=False)[0] == before


def test_file_that_was_removed_is_found_where_the_shell_has_it(streams: Streams, tmp_path: Path) -> None:
    shells = let_go(streams, b"printed")
    (tmp_path / STDOUT).unlink()

    assert streams.size(NOWHERE) == 0
    assert streams.size("/proc/self/fd") == 7
    os.write(shells, b" and more")
    os.close(shells)
    assert streams.capture(is_held=False)[0] == Stream("printed and more", 16)


def test_size_is_told_also_where_the_file_cannot_be_opened_again(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.close(let_go(streams, b"printed"))

    def exhausted(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", exhausted)

    assert streams.capture(is_held=False)[0] == Stream(
        "[the output cannot be read: Too many open files]", 7, True, STDOUT
    )


def test_files_of_relative_logs_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Outputs(Path(), LIMIT).open("job", "run-1") as streams:
        os.close(let_go(streams, b"printed"))

        assert streams.capture(is_held=False)[0].text == "printed"


@pytest.mark.parametrize("other", ["file", "link", "fifo", "link to the file"])
def test_another_file_in_its_place_is_not_taken_for_the_output(streams: Streams, tmp_path: Path, other: str) -> None:
    shells = let_go(streams, b"printed")
    path = tmp_path / STDOUT
    kept = path.rename(tmp_path / "output" / "kept")
    stranger = tmp_path / "stranger"
    stranger.write_text("a stranger's")
    if other == "file":
        path.write_text("a stranger's")
    elif other == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(stranger if other == "link" else kept)

    assert streams.size(os.fspath(tmp_path)) == 0
    assert streams.capture(is_held=False)[0] == Stream(
        "[the output cannot be read: it was removed while the run was going]", 0, True, STDOUT
    )
    os.close(shells)
