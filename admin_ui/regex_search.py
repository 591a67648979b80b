"""A program of its own: say where the lines on standard input match a regular expression, whatever the case.

There are patterns that take for ever, and nothing ends them but the end of the process. Nothing else is imported,
as it is started for each search. Called with the pattern, how many bytes to read and how many lines to find, it
prints JSON lines: for each line found its number and after how many bytes the match begins; last, whether that is all
there is.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from collections.abc import Iterable, Iterator

CHUNK_BYTES = 1 << 20
LONGEST_BLOCK = 4 << 20
OVERLAP = 800
MOST_CPU_SECONDS = 10  # should nobody be left to end it
MOST_MEMORY = 256 << 20  # there are patterns that take a gigabyte in three seconds; the service would be ended for it


def main(pattern: str, size: int, limit: int) -> None:
    """Search standard input and print what is found."""
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_SECONDS, MOST_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    find = re.compile(pattern, re.IGNORECASE).search
    number, found, last, complete = 1, 0, 0, True
    for position, block in blocks(_chunks(size)):
        lines = block.decode("utf-8", "surrogateescape").split("\n")
        passed = 0
        for place, line in enumerate(lines):
            if not line and place == len(lines) - 1:
                break  # what follows a line break at the end of a block is no line
            match = find(line.removesuffix("\r"))
            if match is None or number + place == last:
                continue
            if found == limit:
                print("false")
                return
            position += sum(len(_encoded(each)) + 1 for each in lines[passed:place])
            passed, last, found = place, number + place, found + 1
            print(json.dumps([last, position + len(_encoded(line[: match.start()]))]), flush=True)
        number += len(lines) - 1
        if len(lines) == 1 and len(block) >= LONGEST_BLOCK and last != number:
            complete = False  # a match may lie across two pieces of this line
    print(json.dumps(complete))


def blocks(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield blocks and where they begin: whole lines, or pieces of a very long one that overlap a little."""
    position, rest = 0, b""
    for chunk in chunks:
        rest += chunk
        end = rest.rfind(b"\n") + 1
        if end == 0:
            if len(rest) < LONGEST_BLOCK:
                continue
            yield position, rest
            end = len(rest) - OVERLAP
        else:
            yield position, rest[:end]
        position, rest = position + end, rest[end:]
    yield position, rest


def _chunks(size: int) -> Iterator[bytes]:
    while size > 0 and (chunk := sys.stdin.buffer.read(min(CHUNK_BYTES, size))):
        size -= len(chunk)
        yield chunk


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
