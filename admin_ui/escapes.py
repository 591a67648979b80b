r"""Characters that are not plainly seen: shown as escapes such as `\x1b`, and found again by these. Pure."""

from __future__ import annotations

import re
import sys

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
"""Controls, invisible characters, and what turns the direction of text. Tabs and newlines are harmless."""

TAGS = 0xE0000, 0xE0080  # the only ones of UNSAFE beyond the first plane
ESCAPE = re.compile(r"(\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}))")
NO_UTF8 = 0xDC00  # plus a byte: how surrogateescape decodes one that is not UTF-8


def visible(text: str) -> str:
    r"""Return the text with every character that is not plainly seen as an escape such as `\x1b` or `\u202e`."""
    # Most texts have none. Of a binary file all may be some, and a function call for each would take a second a MB.
    return text.translate(ESCAPES) if UNSAFE.search(text) else text


def sought(text: str) -> re.Pattern[str] | None:
    """Return what finds the text, as `visible` shows it, in a casefolded one; None if it holds no escape.

    An escape is found as the characters that it is written with, too: output may hold just these.
    """
    parts = ESCAPE.split(text)
    if len(parts) == 1:
        return None
    return re.compile("".join(_either(part) if at % 2 else re.escape(part.casefold()) for at, part in enumerate(parts)))


def _either(escape: str) -> str:
    code = int(escape[2:], 16)
    characters = [chr(each) for each in (code, NO_UTF8 + code) if each <= sys.maxunicode]
    meant = [each for each in characters if visible(each) == escape[:2] + escape[2:].lower()]
    return f"(?:{'|'.join(map(re.escape, (escape.casefold(), *meant)))})"


def _escape(code: int) -> str:
    if 0x80 <= code - NO_UTF8 <= 0xFF:
        return f"\\x{code - NO_UTF8:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


ESCAPES = {code: _escape(code) for code in (*range(0x10000), *range(*TAGS)) if UNSAFE.match(chr(code))}
