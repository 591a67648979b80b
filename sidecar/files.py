"""Read and write the small files that the services exchange. Nothing here blocks, whatever lies at a path."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import secrets
import stat
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from sidecar.errors import FileUnreadable

LIMIT_BYTES = 1 << 20
CHUNK_BYTES = 1 << 16
DEEPEST = 32  # levels of lists and objects; the parser recurses, and how deep it may differs between Pythons
LONGEST_KEY_SHOWN = 60

KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)
UTF_8_MARK = b"\xef\xbb\xbf"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")  # UTF-32 in its usual byte order begins with the first, too
# Possessive, so that the cost stays linear; a string that never ends is taken up to the end of the text.
STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
BRACKET = re.compile(r"[\[\]{}]")
SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def read_small(path: str | Path, limit: int = LIMIT_BYTES) -> tuple[bytes, os.stat_result]:
    """Return the bytes of a regular file (or of what a link leads to) and its status from before the reading.

    Never blocks. Raises FileUnreadable, saying what is there and what to do about it, for anything else, for
    more than `limit` bytes and for a file that may not be read.
    """
    try:
        # Looked at first, as merely opening some devices does something: a tape rewinds, a watchdog arms.
        _require_small_file(os.stat(path), limit)
        # Something else may take its place in between: a FIFO opens without waiting only with O_NONBLOCK.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            status = os.fstat(descriptor)
            _require_small_file(status, limit)
            return _read_all(descriptor, status.st_size, limit), status
        finally:
            os.close(descriptor)
    except OSError as error:
        raise FileUnreadable(_explain(path, error)) from None
    except ValueError:
        raise FileUnreadable("expected a path without NUL characters") from None


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Put a file with exactly `data` and `mode` at `path`, durably; readers see the old file or the new one.

    Raises OSError; nothing is left behind then, and up to the rename the old file is untouched.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            write_all(descriptor, data)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def read_json(data: bytes) -> Any:
    """Return what a JSON text (RFC 8259) says, read strictly.

    Raises ValueError, saying where and what to do, for anything but UTF-8 without a byte order mark, and for
    what readers are known to understand differently or not at all: NaN and Infinity, numbers too large for a
    float, duplicate keys, lone surrogates, more than 32 levels.
    """
    text = _decode(data)
    if not text.strip(" \t\r\n"):
        raise ValueError("there is nothing in it; write one JSON object")
    _require_few_levels(text)
    try:
        value = DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(_explain_syntax(text, error)) from None
    if SURROGATE_ESCAPE.search(text):
        _require_characters(value)
    return value


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, in as many goes as the kernel wants. Raises OSError; then any part may be written."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` last; some file systems (FUSE, SMB) know no such thing and say EINVAL."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def _require_small_file(status: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        found = next((name for is_kind, name in KINDS if is_kind(status.st_mode)), "something else")
        raise FileUnreadable(f"expected a regular file, found {found}; remove it or move it elsewhere")
    if status.st_size > limit:
        raise FileUnreadable(f"expected at most {limit:,} bytes, found {status.st_size:,}; make it smaller")


def _read_all(descriptor: int, expected: int, limit: int) -> bytes:
    """Read to the end, which may lie beyond the `expected` bytes: the file may be growing."""
    data = os.read(descriptor, expected + 1)
    rest = data if len(data) != expected else b""  # one byte more was asked for, and there was none
    while rest and len(data) <= limit:
        rest = os.read(descriptor, CHUNK_BYTES)
        data += rest
    if len(data) > limit:
        raise FileUnreadable(f"expected at most {limit:,} bytes, found more; make it smaller")
    return data


def _explain(path: str | Path, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        if os.path.islink(path):
            return "expected a regular file, found a link to nothing; create its target or remove the link"
        return "expected a regular file, found nothing"
    if error.errno == errno.ELOOP:
        return "expected a regular file, found a link that leads back to itself; remove the link"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"expected a file that user id {os.geteuid()} may read; change its owner or mode"
    return f"expected a readable file, found an error: {os.strerror(error.errno or 0)}"


def _decode(data: bytes) -> str:
    if data.startswith(UTF_8_MARK):
        raise ValueError("it begins with a byte order mark; save it as UTF-8 without BOM")
    if data.startswith(UTF_16_MARKS) or b"\0" in data[:4]:
        raise ValueError("it is not UTF-8 (it looks like UTF-16 or UTF-32); save it as UTF-8")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        where = _where(before, len(before))
        raise ValueError(f"{where}: byte 0x{data[error.start]:02x} is not UTF-8; save it as UTF-8") from None


def _require_few_levels(text: str) -> None:
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    level = 0
    for bracket in BRACKET.finditer(STRING.sub("", text)):
        level += 1 if bracket[0] in "[{" else -1
        if level > DEEPEST:
            raise ValueError(f"lists and objects lie more than {DEEPEST} levels deep; write fewer levels")


def _require_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        code = ord(error.object[error.start])
        raise ValueError(f"\\u{code:04x} is half of a character (a surrogate); write both halves") from None


def _explain_syntax(text: str, error: json.JSONDecodeError) -> str:
    if error.pos >= len(text.rstrip(" \t\r\n")):
        return f"{_where(text, error.pos)}: the JSON ends too early; write the rest"
    what = error.msg.removesuffix(" at").lower()
    advice = "look for a missing quote, a missing comma or one too many just before it"
    return f"{_where(text, error.pos)}: this is not JSON: {what}; {advice}"


def _where(text: str, position: int) -> str:
    line_start = text.rfind("\n", 0, position) + 1
    return f"line {text.count(chr(10), 0, position) + 1}, column {position - line_start + 1}"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        key = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        shown = repr(key[:LONGEST_KEY_SHOWN])
        raise ValueError(f"the key {shown} is there more than once in one object; keep one of them")
    return result


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python refuses more than 4,300 digits, since their cost is quadratic
        raise ValueError(f"a number has {len(digits):,} digits; write a smaller one") from None


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError("a number is beyond what a float can hold; write a smaller one")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number; write a finite number")


DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_no_constant
)
