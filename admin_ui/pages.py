"""The few small pages that are not Gradio's: sign-in, choosing a password, and why somebody gets no further."""

from __future__ import annotations

import base64
import hashlib
from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: #1a1f26; --paper: #f4f6f8; --card: #fff; --line: #8a94a0; --act: #1d5fbf;
  --on-act: #fff; --bad: #a3160d }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebef; --paper: #14181d; --card: #1e242b; --line: #7d8894;
  --act: #8ab8ff; --on-act: #0b1a2e; --bad: #ffaba3 } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
main { width: 100%; max-width: 24rem; padding: 1.5rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; overflow-wrap: anywhere }
h1 { margin: 0 0 1rem; font-size: 1.375rem; line-height: 1.25 }
label { display: block; margin: 1rem 0 .25rem; font-weight: 600 }
input { width: 100%; min-height: 2.75rem; padding: .5rem; font: inherit; color: inherit; background: var(--paper);
  border: 1px solid var(--line); border-radius: .25rem }
button { width: 100%; min-height: 2.75rem; margin-top: 1.5rem; font: inherit; font-weight: 600; color: var(--on-act);
  background: var(--act); border: 0; border-radius: .25rem; cursor: pointer }
a { color: var(--act) }
:focus-visible { outline: 3px solid var(--act); outline-offset: 2px }
.bad { color: var(--bad); font-weight: 600 }
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; img-src data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""The Content-Security-Policy of these pages: no script at all."""


def message(title: str, *paragraphs: str, go_to: str = "") -> str:
    """Return a page of plain text; with `go_to` it leads on to that path by itself."""
    body = "".join(f"<p>{escape(text)}</p>" for text in paragraphs)
    if not go_to:
        return _page(title, body)
    onward = escape(go_to, quote=True)
    return _page(
        title, f'{body}<p><a href="{onward}">Go on</a></p>', f'<meta http-equiv="refresh" content="0;url={onward}">'
    )


def sign_in(action: str, go_on: str, problem: str = "", note: str = "") -> str:
    """Return the sign-in form; `go_on` is the path that was asked for."""
    fields = _field("password", "Password", "current-password", problem, focus=True)
    return _form("Sign in to Job Management", action, fields, "Sign in", problem, note, go_on)


def choose_password(action: str, go_on: str, shortest: int, problem: str = "") -> str:
    """Return the form for the first password of one's own."""
    note = f"Choose the password that holds from now on: at least {shortest} characters."
    return _form("Choose a password", action, _new_fields(problem), "Save and go on", problem, note, go_on)


def change_password(action: str, back: str, shortest: int, problem: str = "") -> str:
    """Return the form for another password, and the way `back` without one."""
    fields = _field("password", "Current password", "current-password", problem, focus=True) + _new_fields(problem)
    note = f"At least {shortest} characters. Every other browser is signed out."
    return _form("Change the password", action, fields, "Save", problem, note, "", back)


def _new_fields(problem: str) -> str:
    return _field("new_password", "New password", "new-password", problem) + _field(
        "repeated", "New password again", "new-password", problem
    )


def _field(name: str, label: str, complete: str, problem: str, *, focus: bool = False) -> str:
    attributes = ' aria-invalid="true" aria-describedby="problem"' if problem else ""
    attributes += " autofocus" if focus else ""
    return (
        f'<label for="{name}">{label}</label>'
        f'<input id="{name}" name="{name}" type="password" autocomplete="{complete}" maxlength="256" required'
        f"{attributes}>"
    )


def _form(
    title: str, action: str, fields: str, button: str, problem: str, note: str, go_on: str, back: str = ""
) -> str:
    alert = f'<p class="bad" id="problem" role="alert">{escape(problem)}</p>' if problem else ""
    told = f"<p>{escape(note)}</p>" if note else ""
    # The name is for password managers, which keep a password by user.
    hidden = '<input name="username" value="admin" autocomplete="username" type="text" hidden readonly>'
    onward = f'<input type="hidden" name="next" value="{escape(go_on, quote=True)}">' if go_on else ""
    leave = f'<p><a href="{escape(back, quote=True)}">Back to the jobs</a></p>' if back else ""
    return _page(
        title,
        f'{told}{alert}<form method="post" action="{escape(action, quote=True)}">'
        f"{hidden}{onward}{fields}<button>{button}</button></form>{leave}",
    )


def _page(title: str, body: str, head: str = "") -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,">{head}<title>{escape(title)}</title><style>{STYLE}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
