"""The address: what the page shows, as the query of its URL, so that every state has a link and survives a reload."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

MOST_FIELDS = 20
LONGEST_VALUE = 512
VIEWS = {"jobs": "Jobs", "history": "History", "logs": "Logs", "new": "New job", "edit": "Edit job"}
"""What can be shown, with its heading."""

FIRST_VIEW = "jobs"


@dataclass(frozen=True, slots=True)
class Address:
    """A view's name and its fields, such as `job`, `run`, `find`; text as it came, to be checked by who uses it."""

    view: str = FIRST_VIEW
    fields: dict[str, str] = field(default_factory=dict)

    def get(self, name: str, default: str = "") -> str:
        """Return a field's text, `default` if it is not there."""
        return self.fields.get(name, default)

    def link(self, **changed: str) -> str:
        """Return the link to this address with some fields changed; empty ones are left out."""
        return link(self.view, **{**self.fields, **changed})


def link(view: str, /, **fields: str) -> str:
    """Return the relative link to a view: `?view=history&job=backup`. Empty fields are left out."""
    return "?" + urlencode([("view", view), *((name, text) for name, text in fields.items() if text)])


def parse(text: str) -> Address:
    """Return what an address says, whatever it is; of an unknown view, the first one is shown.

    After a `#` stands only what makes one click unlike the last.
    """
    query = text.partition("#")[0].removeprefix("?")
    try:
        pairs = parse_qsl(query, max_num_fields=MOST_FIELDS, errors="replace")
    except ValueError:  # too many fields: nobody's link
        return Address()
    fields = {name: value[:LONGEST_VALUE] for name, value in pairs}
    view = fields.pop("view", FIRST_VIEW)
    return Address(view if view in VIEWS else FIRST_VIEW, fields)
