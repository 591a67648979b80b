"""Output that cannot block."""

import os

from sidecar.console import Console


def test_a_line_arrives_with_its_newline():
    reader, writer = os.pipe()
    Console(writer).write("hello \u00fc")

    assert os.read(reader, 100) == "hello ü\n".encode()
    os.close(reader)
    os.close(writer)


def test_a_reader_that_does_not_read_blocks_nothing_and_later_lines_are_whole():
    reader, writer = os.pipe()
    console = Console(writer)
    for number in range(50):
        console.write(f"{number:05}" * 10_000)
    os.read(reader, 1 << 20)
    console.write("after")

    assert os.read(reader, 100).endswith(b"\nafter\n")
    os.close(reader)
    os.close(writer)


def test_a_closed_reader_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    Console(writer).write("nobody listens")

    os.close(writer)
