"""Change single fields of a JSON object in its text, so that everything else stays as somebody wrote it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

BLANK = re.compile(r"[ \t\r\n]*")
DECODER = json.JSONDecoder()


class _Member(NamedTuple):
    """Where one key and its value lie in the text: `start` is the key's quote, the value is text[value:end]."""

    start: int
    value: int
    end: int


def edit(text: str, changes: Mapping[str, Any], remove: Collection[str] = ()) -> str:
    """Return the text of a valid JSON object with some top-level fields changed, added (at the end) or removed.

    Order, indentation, spelling and everything about the other fields stay.
    """
    old = json.loads(text)
    wanted = {key: value for key, value in old.items() if key not in remove}
    wanted.update(changes)
    result = text
    for key, value in changes.items():
        if key not in old:
            result = _added(result, key, value)
        elif old[key] != value or type(old[key]) is not type(value):
            member = _members(result)[key]
            result = result[: member.value] + _written(value, result, member.start) + result[member.end :]
    for key in remove:
        if key in old and key not in changes:
            result = _removed(result, key)
    assert json.loads(result) == wanted, "an edited text must hold what was wanted"
    return result


def _members(text: str) -> dict[str, _Member]:
    members = {}
    position = _after_blank(text, text.index("{") + 1)
    while text[position] == '"':
        start = position
        key, position = DECODER.raw_decode(text, position)
        value = _after_blank(text, _after_blank(text, position) + 1)
        _, end = DECODER.raw_decode(text, value)
        members[key] = _Member(start, value, end)
        position = _after_blank(text, end)
        if text[position] == ",":
            position = _after_blank(text, position + 1)
    return members


def _added(text: str, key: str, value: Any) -> str:
    members = list(_members(text).values())
    if not members:
        return json.dumps({key: value}, indent=2, ensure_ascii=text.isascii()) + "\n"
    first, last = members[0], members[-1]
    # What stands before the first key stands before every key, so it does before the new one.
    before = text[text.index("{") + 1 : first.start]
    if not before and len(members) > 1:
        before = " "
    name = json.dumps(key, ensure_ascii=text.isascii())
    return f"{text[: last.end]},{before}{name}: {_written(value, text, first.start)}{text[last.end :]}"


def _removed(text: str, key: str) -> str:
    members = _members(text)
    member = members[key]
    following = [each.start for each in members.values() if each.start > member.start]
    if following:
        return text[: member.start] + text[min(following) :]
    previous = [each.end for each in members.values() if each.end < member.start]
    return text[: max(previous, default=member.start)] + text[member.end :]


def _written(value: Any, text: str, key_start: int) -> str:
    """Return the JSON of a value, indented as the line of its key is."""
    line = text[text.rfind("\n", 0, key_start) + 1 : key_start]
    indent = line if line.strip(" \t") == "" and line else None
    compact = json.dumps(value, ensure_ascii=text.isascii())
    if indent is None or not isinstance(value, dict):
        return compact
    return json.dumps(value, ensure_ascii=text.isascii(), indent=indent).replace("\n", f"\n{indent}")


def _after_blank(text: str, position: int) -> int:
    found = BLANK.match(text, position)
    return found.end() if found else position
