"""The admin page of a started project, as a browser asks for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.docker.stack import Stack

PORT = 7860
PASSWORD = "correct horse battery staple"
AS_A_PERSON = {"accept": "text/html"}


def browser(address: str) -> httpx.Client:
    """Return a client that keeps cookies and says, as browsers do, which page its requests come from."""
    return httpx.Client(base_url=address, headers={"origin": address}, timeout=30)


def printed_password(stack: Stack) -> str:
    """Return the newest first password in the admin's output."""
    return str(re.findall(r"the first password is\n\n +(\S+)\n", stack.output("admin"))[-1])


def sign_in(client: httpx.Client, password: str) -> httpx.Response:
    """Send the sign-in form."""
    return client.post("/sign-in", data={"password": password})


@contextmanager
def signed_in_for_the_first_time(stack: Stack) -> Iterator[httpx.Client]:
    """Sign in with the printed password, choose PASSWORD, and yield the browser."""
    with browser(stack.address("admin", PORT)) as client:
        assert sign_in(client, printed_password(stack)).status_code == 303
        chosen = client.post("/sign-in", data={"new_password": PASSWORD, "repeated": PASSWORD})
        assert chosen.status_code == 303, chosen.text
        yield client
