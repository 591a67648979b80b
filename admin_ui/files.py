"""Read and write the small files that the services exchange. Nothing here blocks, whatever lies at a path."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import secrets
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from admin_ui.errors import FileUnreadable, NotDurable

LIMIT_BYTES = 1 << 20
CHUNK_BYTES = 1 << 16
DEEPEST = 32  # levels of lists and objects, as the scheduler has it
FILE_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
UTF_8_MARK = b"\xef\xbb\xbf"
STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
BRACKET = re.compile(r"[\[\]{}]")
ASIDE = ".deleted"
LEFTOVER = re.compile(rf"\.[0-9a-f]{{16}}(\.tmp|{re.escape(ASIDE)})")
SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def read_below(directory: Path, name: str, limit: int = LIMIT_BYTES) -> tuple[bytes, os.stat_result]:
    """Return the bytes of a regular file in `directory` and its status from before the reading.

    A link is followed as long as it stays below `directory` (a ConfigMap mount consists of such links). Never
    blocks. Raises FileNotFoundError, and FileUnreadable, saying what is there, for anything else.
    """
    try:
        root = os.path.realpath(directory)
        path = os.path.join(root, name)
        # Looked at before it is opened, as merely opening some devices does something.
        _require_small(os.stat(path), limit)
        descriptor = os.open(path, os.O_RDONLY | FILE_FLAGS)
        try:
            # What was opened in fact, however the links changed meanwhile.
            if not os.readlink(f"/proc/self/fd/{descriptor}").startswith(root + os.sep):
                raise FileUnreadable(f"expected a file, found a link that leads out of {directory.name}/; remove it")
            status = os.fstat(descriptor)
            _require_small(status, limit)
            return _read(descriptor, limit), status
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        if os.path.lexists(directory / name):
            raise FileUnreadable("expected a file, found a link to nothing; remove it") from None
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileUnreadable("expected a file, found a link that leads back to itself; remove it") from None
        raise FileUnreadable(f"cannot be read: {os.strerror(error.errno or 0)}") from None


def write_new(path: Path, data: bytes) -> None:
    """Put a new file with exactly `data` at `path`, durably.

    Raises NotDurable if it is there, but may not last; FileExistsError if anything else is there; OSError.
    """
    _write(path, data, 0o644, os.link)


def write_whole(path: Path, data: bytes, mode: int = 0o644, *, check: Callable[[], None] = lambda: None) -> None:
    """Put a file with exactly `data` at `path`, durably; readers see the old file or the new one.

    `check` is called last before the old file is replaced and may raise. After that or an OSError nothing changed;
    after NotDurable the new file is there, but may not last.
    """

    def replace(temporary: Path, path: Path) -> None:
        check()
        os.replace(temporary, path)

    _write(path, data, mode, replace)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, in as many goes as the kernel wants. Raises OSError; then any part may be written."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def aside(folder: Path) -> Path:
    """Return a new name in `folder` for a file that is about to be removed."""
    return folder / f".{secrets.token_hex(8)}{ASIDE}"


def put_back(moved: Path, path: Path) -> None:
    """Give a file that was moved aside its name back, or remove it if there is a newer one by now. Raises OSError."""
    try:
        with suppress(FileExistsError):
            os.link(moved, path, follow_symlinks=False)
    except PermissionError:  # it is another user's (protected_hardlinks, proc(5)); only a rename may do the rest
        if not os.path.lexists(path):
            os.rename(moved, path)
            return
    os.unlink(moved)


def clear_leftovers(folder: Path, older_than: float) -> int:
    """Remove what writers left that were killed in the middle, and return how many files that were.

    Only those that nobody touched for `older_than` seconds: younger ones may still be at work. Raises OSError.
    """
    removed = 0
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if LEFTOVER.fullmatch(entry.name)]
    for name in names:
        with suppress(FileNotFoundError):
            status = os.lstat(folder / name)
            # A file that was moved aside keeps its old modification time.
            if stat.S_ISREG(status.st_mode) and time.time() - status.st_ctime >= older_than:
                os.unlink(folder / name)
                removed += 1
    return removed


def sync_folder(folder: Path) -> None:
    """Make what was renamed or removed in `folder` last. Raises NotDurable; that it was done holds all the same."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # of file systems (FUSE, SMB) that know no such thing
            raise NotDurable(folder.name, error.strerror or str(error)) from error


def digest(data: bytes) -> str:
    """Return the sha256 (hex) that tells one version of a file from another, as the scheduler's logs have it."""
    return hashlib.sha256(data, usedforsecurity=False).hexdigest()


def read_json(data: bytes) -> Any:
    """Return what a JSON text says, read as strictly as the scheduler reads it. Raises ValueError that says where."""
    if data.startswith(UTF_8_MARK):
        raise ValueError("it begins with a byte order mark; save it as UTF-8 without BOM")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1:,} is not UTF-8; save it as UTF-8") from None
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


def _explain_syntax(text: str, error: json.JSONDecodeError) -> str:
    where = f"line {error.lineno}, column {error.colno}"
    if error.pos >= len(text.rstrip(" \t\r\n")):
        return f"{where}: the JSON ends too early; write the rest"
    what = error.msg.removesuffix(" at").lower()
    advice = "look for a missing quote, a missing comma or one too many just before it"
    return f"{where}: this is not JSON: {what}; {advice}"


def _require_small(status: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise FileUnreadable("expected a regular file, found something else; remove it")
    if status.st_size > limit:
        raise FileUnreadable(f"expected at most {limit:,} bytes, found {status.st_size:,}; make it smaller")


def _read(descriptor: int, limit: int) -> bytes:
    """Read to the end, which may lie beyond the size that was seen: the file may be growing."""
    pieces, size = [], 0
    while piece := os.read(descriptor, CHUNK_BYTES):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise FileUnreadable(f"expected at most {limit:,} bytes, found more; make it smaller")
    return b"".join(pieces)


def _write(path: Path, data: bytes, mode: int, publish: Callable[[Path, Path], None]) -> None:
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            write_all(descriptor, data)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        publish(temporary, path)
    finally:
        with suppress(FileNotFoundError):  # after a rename it is gone
            os.unlink(temporary)
    sync_folder(path.parent)


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
    except UnicodeEncodeError:
        raise ValueError("a \\u escape is half of a character (a surrogate); write both halves") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is there more than once in one object; keep one of them")
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
