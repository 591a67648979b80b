"""Two versions of one definition side by side, when somebody else was faster. Pure."""

from __future__ import annotations

import difflib
import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from admin_ui.errors import ConflictError
from admin_ui.files import read_json
from admin_ui.page.markup import NOTHING, Html, html, join

MOST_LINES = 400
LONGEST_LINE = 2000
LOAD = Html('<button type="button" data-do="load">Load the newer version</button>')


def newer_document(error: ConflictError) -> dict[str, Any] | None:
    """Return the definition that is on disk now; None if it was removed or is no JSON object."""
    try:
        document = read_json(error.newer.encode()) if error.newer is not None else None
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def conflict(error: ConflictError, yours: Mapping[str, Any]) -> Html:
    """Return both versions and what can be done. `yours`: what would be saved over the newer version."""
    newer = newer_document(error)
    if error.newer is None:
        advice, choices = (
            "was removed by somebody else meanwhile. What you typed is still here.",
            _over("", "Create it anew"),
        )
    elif newer is None:
        advice, choices = "was changed by somebody else and is no longer valid JSON. Mend the file first.", LOAD
    else:
        advice = "was changed by somebody else meanwhile. What you typed is still here."
        choices = join([LOAD, _over(error.newer_hash or "", "Save mine over it")])
    other = error.newer or "" if newer is None else _text(newer)
    return html(
        '<div class="conflict" data-id="{}"><p role="alert"><b>Nothing was written: jobs/{} {}</b></p>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Both versions"><table class="versions"><thead><tr>'
        '<th scope="col">Yours</th><th scope="col">On disk now</th></tr></thead><tbody>{}</tbody></table></div>'
        '<div class="choices">{}</div></div>',
        secrets.token_hex(4),
        error.file,
        advice,
        join(_rows(_text(yours), other)),
        choices,
    )


def _over(version: str, label: str) -> Html:
    return html('<button type="button" data-do="over" data-version="{}">{}</button>', version, label)


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def _rows(yours: str, newer: str) -> Iterator[Html]:
    left, right = _lines(yours), _lines(newer)
    # The comma after a field says only whether another one follows.
    bare_left, bare_right = ([line.rstrip(",") for line in lines] for lines in (left, right))
    for kind, a, b, c, d in difflib.SequenceMatcher(None, bare_left, bare_right, autojunk=False).get_opcodes():
        for number in range(max(b - a, d - c)):
            one = left[a + number] if a + number < b else None
            other = right[c + number] if c + number < d else None
            differs = Html(' class="differs"') if kind != "equal" else NOTHING
            yield html("<tr{}>{}{}</tr>", differs, _cell(one, kind), _cell(other, kind))


def _cell(line: str | None, kind: str) -> Html:
    if line is None:
        return Html("<td></td>")
    return html("<td>{}</td>", line if kind == "equal" else html("<mark>{}</mark>", line))


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    more = len(lines) - MOST_LINES
    shown = [line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…" for line in lines[:MOST_LINES]]
    return [*shown, f"… and {more} lines more"] if more > 0 else shown
