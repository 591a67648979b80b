"""Search output for a text or a regular expression, whatever the case, within a time limit and bounded memory."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import BinaryIO, NamedTuple

from admin_ui import regex_search
from admin_ui.errors import StorageError, ValidationError
from admin_ui.escapes import sought

LONGEST_TEXT = 200  # characters: at most as many bytes as pieces of a very long line overlap
UNSEARCHABLE = re.compile("[\0\n\ud800-\udfff]")
SECONDS = 3.0


class Place(NamedTuple):
    """Where something was found: in which line, and after (about) how many bytes of the whole."""

    number: int
    position: int


def holding(chunks: Iterable[bytes], text: str, limit: int) -> tuple[list[Place], bool]:
    """Return the first `limit` lines that hold the text, and whether these are all. Raises ValidationError.

    The text may be written as it is in the output, or as that is shown.
    """
    _check(text)
    place_in = _finder(text)
    deadline = time.monotonic() + SECONDS
    found: list[Place] = []
    number = 1
    for position, block in regex_search.blocks(chunks):
        if block and time.monotonic() > deadline:
            return found, False
        if place_in(_folded(block)) >= 0:
            for line in block.split(b"\n"):
                folded = _folded(line.removesuffix(b"\r"))
                place = place_in(folded)
                if place >= 0 and not (found and found[-1].number == number):
                    if len(found) == limit:
                        return found, False
                    # Casefolding may have made it longer.
                    at = len(folded[:place].encode("utf-8", "surrogateescape"))
                    found.append(Place(number, position + min(at, len(line))))
                position += len(line) + 1
                number += 1
            number -= 1  # what follows the last newline is the next block's
        else:
            number += block.count(b"\n")
    return found, True


def matching(file: BinaryIO, size: int, pattern: str, limit: int) -> tuple[list[Place], bool]:
    """Return the first `limit` lines of the first `size` bytes that a regular expression matches, and whether these are
    all. Raises ValidationError, StorageError.
    """
    _check(pattern)
    try:
        re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValidationError({"search": f"this is no regular expression: {error}"}) from None
    command = [sys.executable, "-I", "-S", regex_search.__file__, pattern, str(size), str(limit)]
    try:
        with (
            _reopened(file) as given,
            subprocess.Popen(command, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}) as run,
        ):
            try:
                printed, _ = run.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                run.kill()
                printed, _ = run.communicate()
    except OSError as error:
        raise StorageError(f"the search cannot be started: {error.strerror}") from error
    answers = [json.loads(line) for line in printed.split(b"\n")[:-1]]
    return [Place(*each) for each in answers if isinstance(each, list)], answers[-1:] == [True]


def _check(text: str) -> None:
    if not 0 < len(text) <= LONGEST_TEXT or UNSEARCHABLE.search(text):
        raise ValidationError({"search": f"write 1 to {LONGEST_TEXT} characters, all in one line"})


def _finder(text: str) -> Callable[[str], int]:
    """Return what says where a casefolded text holds this one, -1 for nowhere."""
    pattern = sought(text)
    if pattern is None:
        folded = text.casefold()
        return lambda other: other.find(folded)

    def place_in(other: str) -> int:
        match = pattern.search(other)
        return match.start() if match else -1

    return place_in


def _folded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape").casefold()


def _reopened(file: BinaryIO) -> BinaryIO:
    """Return the same bytes as a file from its beginning on, whose place in it is nobody else's."""
    try:
        return open(f"/proc/self/fd/{file.fileno()}", "rb")
    except io.UnsupportedOperation:  # it is in memory
        copy = os.fdopen(os.memfd_create("output"), "w+b")
        file.seek(0)
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        return copy
