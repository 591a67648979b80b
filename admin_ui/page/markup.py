"""HTML that cannot carry anything of what it shows: every value is escaped, and controls are made visible."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Self

import markupsafe

from admin_ui.escapes import visible
from admin_ui.model import iso


class Html(markupsafe.Markup):
    """Finished HTML. `Html("<b>{}</b>").format(name)` escapes the name, and shows its controls as `\\x1b`."""

    @classmethod
    def escape(cls, value: Any, /) -> Self:
        """Return the value as HTML; only what is Html already stays as it is."""
        return value if isinstance(value, cls) else cls(markupsafe.escape(visible(str(value))))


NOTHING = Html("")


def html(template: str, /, *values: Any, **named: Any) -> Html:
    """Return a template, which must be a literal, with the values escaped in it."""
    return Html(template).format(*values, **named)


def join(parts: Iterable[Any], between: str = "") -> Html:
    """Return the parts one after the other, each escaped unless it is Html."""
    return Html(between).join(parts)


def trouble_html(text: Any) -> Html:
    """Return a paragraph that says what went wrong; screen readers read it at once."""
    return html('<p class="trouble" role="alert">{}</p>', text)


def breakable(name: str) -> Html:
    """Return a name that breaks after an underscore, as browsers break one after a hyphen."""
    return join(name.split("_"), "_<wbr>")


def moment(at: datetime, *, relative: bool = True, zone: str | None = None) -> Html:
    """Return an instant. The page's script shows it in the chosen zone (`zone` is the job's) and counts along."""
    text = iso(at)
    shown = f"{text[:10]} {text[11:19]} UTC"
    return html(
        '<time datetime="{}" title="{}"{}{}>{}</time>',
        text,
        shown,
        Html(" data-relative") if relative else NOTHING,
        html(' data-zone="{}"', zone) if zone else NOTHING,
        shown,
    )


def duration(seconds: float | None) -> str:
    """Return a length of time as people read it: `41 ms`, `0.4 s`, `12 s`, `3 min 20 s`, `1 h 05 min`, `2 d 3 h`."""
    if seconds is None:
        return ""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
