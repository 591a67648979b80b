"""A demo of an application that has users of its own: it signs them in, and tells nginx who somebody is.

Yours does both already; what it may lack is something like `/app/whoami`. The passwords are the users' names.
"""

from __future__ import annotations

import secrets
from html import escape
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

USERS = {"alice": "admin,staff", "victor": "staff"}
"""Each user's roles, as a list with commas."""

COOKIE = "app_session"
FORM_BYTES = 4096
PAGE = """<!doctype html><html lang="en"><title>Demo application</title><link rel="icon" href="data:,">
<h1>Demo application</h1><p>{}</p>
<form method="post"><label>User <input name="user"></label>
<label>Password <input name="password" type="password"></label> <button>Sign in</button></form></html>"""

sessions: dict[str, str] = {}


class Handler(BaseHTTPRequestHandler):
    """`/app/sign-in` for people, `/app/whoami` for nginx."""

    def do_GET(self) -> None:
        """Show the form, or answer nginx: 200 with two headers for a user, 401 for nobody."""
        user = self._user()
        if self.path == "/app/whoami":
            known = {"X-User": user, "X-Roles": USERS[user]} if user else {}
            self._answer(200 if user else 401, "", known)
        else:
            self._answer(200, PAGE.format(f"You are {escape(user)}." if user else "Sign in as alice or victor."))

    def do_POST(self) -> None:
        """Sign in."""
        length = min(int(self.headers.get("Content-Length") or 0), FORM_BYTES)
        form = parse_qs(self.rfile.read(length).decode("utf-8", "replace"))
        user, password = form.get("user", [""])[0], form.get("password", [""])[0]
        if user not in USERS or password != user:
            self._answer(401, PAGE.format("Wrong user or password."))
            return
        token = secrets.token_urlsafe()
        sessions[token] = user
        self._answer(303, "", {"Location": "/app/", "Set-Cookie": f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax"})

    def _user(self) -> str | None:
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        return sessions.get(cookie.value) if cookie else None

    def _answer(self, status: int, page: str, headers: dict[str, str] | None = None) -> None:
        body = page.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "text/html; charset=utf-8", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8000), Handler).serve_forever()
