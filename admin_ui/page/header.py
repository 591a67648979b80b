"""The line at the top: the views, the time zone, who is signed in."""

from __future__ import annotations

from dataclasses import dataclass

from admin_ui.auth import User
from admin_ui.page.address import VIEWS, Address, link
from admin_ui.page.markup import NOTHING, Html, html, join

LINKS = ("jobs", "history", "logs", "new")

ZONES = Html(
    '<select id="jobs-zone" aria-label="Time zone"><option value="utc">UTC</option><option value="job">Job</option>'
    '<option value="browser">Browser</option></select>'
)


@dataclass(frozen=True, slots=True)
class Account:
    """Where somebody can end the session (by POST) and change the password; empty where that is not this service's."""

    sign_out: str = ""
    password: str = ""


def header(user: User, address: Address, account: Account) -> Html:
    """Return the header of the view that an address names. The page's script keeps what it says of the view right."""
    links = join(
        html(
            '<a href="{}"{}>{}</a>',
            link(name),
            Html(' aria-current="page"') if name == address.view else NOTHING,
            VIEWS[name],
        )
        for name in LINKS
    )
    leave = html('<form method="post" action="{}"><button>Sign out</button></form>', account.sign_out)
    change = html('<a href="{}">Password</a>', account.password)
    return html(
        '<h1 class="hidden-text">{}</h1><div class="head"><nav aria-label="Job Management">{}</nav>'
        '<div class="aside">{}'
        '<button type="button" id="jobs-help" aria-label="Keys">?</button><span class="who">{}</span>{}{}</div></div>',
        VIEWS[address.view],
        links,
        ZONES,
        user.username,
        change if account.password else NOTHING,
        leave if account.sign_out else NOTHING,
    )
