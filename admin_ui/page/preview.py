"""What a schedule means, said while somebody types it: in words, and as the next times. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from admin_ui.model import iso
from admin_ui.page.markup import Html, html, join

PRESETS = (
    ("Every 5 minutes", "*/5 * * * *"),
    ("Hourly", "0 * * * *"),
    ("Daily 02:30", "30 2 * * *"),
    ("Weekdays 09:00", "0 9 * * mon-fri"),
    ("Weekly", "0 3 * * sun"),
    ("Monthly", "0 4 1 * *"),
)
EXAMPLES = Html(
    '<p class="dim">For example, <code>30 2 * * *</code> is 02:30 every day, '
    "<code>*/15 8-18 * * mon-fri</code> every 15 minutes from 8 to 18 on working days.</p>"
)


def presets() -> Html:
    """Return buttons that fill in common schedules; the page's script knows `data-schedule`."""
    return html(
        '<div class="presets" role="group" aria-label="Common schedules">{}</div>',
        join(html('<button type="button" data-schedule="{}">{}</button>', text, label) for label, text in PRESETS),
    )


def preview(words: str, times: Sequence[datetime], zone: str) -> Html:
    """Return a schedule in words and its next times, on the clock of its own zone."""
    rows = join(html("<tr><td>{}</td><td>{}</td><td>{}</td></tr>", *_on_clock(at, zone), _relative(at)) for at in times)
    return html(
        '<p class="words" role="status">{}</p><table class="next"><caption class="hidden-text">Next runs</caption>'
        '<thead class="hidden-text"><tr><th scope="col">Day</th><th scope="col">Time</th><th scope="col">Away</th></tr>'
        "</thead><tbody>{}</tbody></table>",
        words,
        rows,
    )


def no_preview(errors: Mapping[str, str]) -> Html:
    """Return why there are no next times; `data-field` has the page's script mark the field."""
    wrong = join(html('<p class="field-error" role="status" data-field="{}">{}</p>', *each) for each in errors.items())
    return html("{}{}", wrong, EXAMPLES)


def _on_clock(at: datetime, zone: str) -> tuple[str, str]:
    local = at.astimezone(ZoneInfo(zone))
    offset, name = f"{local:%z}", local.tzname() or ""
    shown = f"{offset[:3]}:{offset[3:]}"
    return f"{local:%a %Y-%m-%d}", f"{local:%H:%M} {f'{name} ({shown})' if name.isalpha() else shown}"


def _relative(at: datetime) -> Html:
    text = iso(at)
    return html('<time datetime="{}" data-relative>{}</time>', text, f"{text[:16]} UTC")
