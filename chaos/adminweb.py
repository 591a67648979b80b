"""The admin service as a process: floods of sign-ins, huge requests, forged headers, replayed tokens, path tricks."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from chaos.outcome import Outcome, Size
from chaos.world import MARK, wait_for

ROOT = Path(__file__).parent.parent
EVENTS = b"content-type: text/event-stream"
ANSWER_SECONDS = 30.0
SIGN_INS_A_SECOND = 200
MOST_GROWTH_BYTES = 48 << 20
"""What huge requests may leave in the memory of the service; one of them has 100 MB."""

HUGE_BYTES = 100_000_000
ADMIN = {"X-Forwarded-User": "anna", "X-Forwarded-Groups": "admin"}
SECRET = "what nobody may see"

TRICKS = (
    *("..", ".", "../..", "../../../../etc/passwd", "/etc/passwd", "//etc/passwd", "~root", "..\\..\\secret"),
    *("%2e%2e", "%2e%2e%2fsecret", "..%2fsecret", "..%252fsecret", "%c0%ae%c0%ae/secret", "%00", "a%00.stdout"),
    *("....//secret", ".;/secret", "..;/secret", "link", "link.stdout", "secret", "\u2025", "x" * 5000, "*", "?", "#"),
    *(
        "a/b",
        "a\\b",
        "CON",
        "-rf",
        "$(id)",
        "`id`",
        "a;b",
        "a\nb",
        "a\r\nX-Injected: 1",
        " ",
        "",
        "\ufeff",
        "%0d%0aX: 1",
    ),
)
"""Values that lead astray some reader of paths."""

PLACES = (
    "/download/{}/r1.stdout",
    "/download/job/{}",
    "/download/job/{}.stdout",
    "/download/job/r1.{}",
    "/{}",
    "/assets/{}",
    "/static/{}",
    "/gradio_api/heartbeat/{}",
    "/gradio_api/queue/data?session_hash={}",
    "/gradio_api/file={}",
    "/sign-in?next={}",
    "/?{}",
    "/healthz/{}",
)
FORGED: tuple[Mapping[str, str], ...] = (
    ADMIN,
    {"X_Forwarded_User": "anna", "X_Forwarded_Groups": "admin"},
    {"x-forwarded-user": "admin", "x-forwarded-groups": "admin", "x-forwarded-for": "127.0.0.1"},
    {**ADMIN, "Forwarded": "for=127.0.0.1;host=localhost"},
    {**ADMIN, "X-Real-IP": "127.0.0.1", "X-Forwarded-For": "10.9.9.9"},
    {**ADMIN, "X-Forwarded-Host": "localhost", "X-Original-URL": "/healthz", "X-Rewrite-URL": "/healthz"},
    {"Remote-User": "anna", "X-Auth-Request-User": "anna", "X-Gradio-User": "anna"},
    {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIiwicm9sZXMiOlsiYWRtaW4iXX0."},
    {"Authorization": "Basic YWRtaW46YWRtaW4="},
    {"Cookie": "admin_session=admin; access-token=admin"},
    {**ADMIN, "X-HTTP-Method-Override": "GET"},
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FOO")
TAKE_A_BODY = (
    *("/sign-in", "/password", "/gradio_api/queue/join", "/gradio_api/run/predict", "/sign-out", "/nowhere"),
)
PATHS = ("/", "/config", "/download/job/r1.stdout", "/gradio_api/queue/join", "/gradio_api/upload", "/password", "/x")


def fault_the_page(root: Path, chance: Random, size: Size) -> Outcome:
    """Do to the service over HTTP what must not move it."""
    outcome = Outcome()
    for part in size.sample(chance, (_with_a_password, _forge_headers, _trick_with_paths), 1):
        part(root / part.__name__.strip("_"), chance, outcome, size)
    return outcome


class Service:
    """`python -m admin_ui` on folders of its own and a free port."""

    def __init__(self, root: Path, **settings: str) -> None:
        self.root = root
        for name in ("jobs", "logs", "data"):
            (root / name).mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        folders = {f"ADMIN_{name.upper()}_DIR": str(root / name) for name in ("jobs", "logs", "data")}
        self._environment = os.environ | folders | settings | {"ADMIN_PORT": str(self.port), MARK: str(root)}
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.root / "stderr").open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "admin_ui"],
                cwd=ROOT,
                env=self._environment,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        wait_for(self._answers, "the admin service to answer")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/healthz")[0] == 200
        return False

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Return status, headers and the first MB of the body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        try:
            origin = {"Origin": f"http://127.0.0.1:{self.port}"}
            connection.request(method, path, body, {**origin, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read(1 << 20)
        finally:
            connection.close()

    def post(self, path: str, fields: Mapping[str, str], cookies: str = "") -> tuple[int, str]:
        """Send a form; return the status and the cookies that it sets."""
        form = {"Content-Type": "application/x-www-form-urlencoded", **({"Cookie": cookies} if cookies else {})}
        status, headers, _ = self.ask("POST", path, form, urlencode(fields).encode())
        given = [value.partition(";")[0] for name, value in headers if name.lower() == "set-cookie"]
        return status, "; ".join(given)

    def send(self, data: bytes) -> tuple[int, bytes]:
        """Send bytes as they are; return the status (0 for none) and what came until the service hung up.

        Of a stream of events, which has no end, its beginning.
        """
        with socket.create_connection(("127.0.0.1", self.port), ANSWER_SECONDS) as connection:
            connection.settimeout(ANSWER_SECONDS)
            came = b""
            with contextlib.suppress(ConnectionError, TimeoutError):
                connection.sendall(data)
                while len(came) < 1 << 20 and EVENTS not in came and (piece := connection.recv(1 << 16)):
                    came += piece
        status = re.match(rb"HTTP/1\.1 ([0-9]{3})", came)
        return int(status[1]) if status else 0, came

    def resident_bytes(self) -> int:
        """Return the memory of the process."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def stderr(self) -> str:
        """Return what it has printed."""
        return (self.root / "stderr").read_text(errors="replace")


@contextlib.contextmanager
def _started(root: Path, outcome: Outcome, **settings: str) -> Iterator[Service]:
    service = Service(root, **settings)
    service.start()
    try:
        yield service
    finally:
        alive = service.process.poll() is None
        service.process.send_signal(signal.SIGTERM)
        code = service.process.wait(ANSWER_SECONDS)
    outcome.expect(alive, f"the service ended by itself with {code}")
    outcome.expect("Traceback" not in service.stderr(), f"an error was not handled: {service.stderr()[-300:]}")
    if not outcome.findings:
        shutil.rmtree(root)


# With a password


def _with_a_password(root: Path, chance: Random, outcome: Outcome, size: Size) -> None:
    with _started(root, outcome) as service:
        printed = _printed_password(service)
        status, choosing = service.post("/sign-in", {"password": printed})
        outcome.expect(status == 303, f"the printed password: {status}")
        outcome.expect(_is_out(service, choosing), "the printed password alone lets in")
        own = {"new_password": "one of my own 1", "repeated": "one of my own 1"}
        _, cookies = service.post("/sign-in", own, choosing)
        outcome.expect(not _is_out(service, cookies), "the chosen password does not let in")
        _replay(service, outcome, printed, choosing, cookies)
        _, cookies = service.post("/sign-in", {"password": own["repeated"]}, cookies)
        _flood(service, outcome, cookies, own["repeated"], size.of(1, 2, 10))
        _send_huge(service, outcome, cookies, size.sample(chance, TAKE_A_BODY, 1))


def _printed_password(service: Service) -> str:
    found = re.search(r"the first password is\s+(\S+)", service.stderr())
    assert found, "no password was printed"
    return found[1]


def _is_out(service: Service, cookies: str) -> bool:
    """Return whether these cookies open nothing."""
    return service.ask("GET", "/password", {"Cookie": cookies})[0] in (303, 401)


def _replay(service: Service, outcome: Outcome, printed: str, choosing: str, cookies: str) -> None:
    """Use again what has had its use: the printed password, the cookie it gave, a session that was ended."""
    tries = {
        "the printed password": service.post("/sign-in", {"password": printed})[0] in (401, 429),
        "the cookie for choosing": _is_out(service, choosing),
        "choosing once more": service.post(
            "/sign-in", {"new_password": "another one 12", "repeated": "another one 12"}, choosing
        )[0]
        in (401, 429),
    }
    for each in range(0, len(cookies), 7):  # one character of it is another
        other = "A" if cookies[each] != "A" else "B"
        changed = f"{cookies[:each]}{other}{cookies[each + 1 :]}"
        if changed.partition("=")[0] == "admin_session" and each < cookies.index(";"):
            tries[f"a changed cookie ({each})"] = _is_out(service, changed)
    service.post("/sign-out", {}, cookies)
    tries["a session that was ended"] = _is_out(service, cookies)
    for what, is_refused in tries.items():
        outcome.counts["replays"] += 1
        outcome.expect(is_refused, f"replayed: {what} is taken")


def _flood(service: Service, outcome: Outcome, cookies: str, password: str, seconds: int) -> None:
    """Guess 200 times a second: nobody gets in, the signed-in admin is answered, and a new sign-in works."""
    codes: Counter[int] = Counter()
    stop = threading.Event()
    lock = threading.Lock()

    def guess(first: int) -> None:
        number = first
        while not stop.is_set():
            began = time.monotonic()
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, _ = service.post("/sign-in", {"password": f"guess number {number}"})
                with lock:
                    codes[status] += 1
            number += 20
            time.sleep(max(0.0, 20 / SIGN_INS_A_SECOND - (time.monotonic() - began)))

    slowest = 0.0
    with ThreadPoolExecutor(20) as pool:
        for first in range(20):
            pool.submit(guess, first)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            outcome.expect(service.ask("GET", "/healthz")[0] == 200, "no health under the flood")
            outcome.expect(not _is_out(service, cookies), "the admin was signed out by the flood")
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.1)
        mark = next(each for each in cookies.split("; ") if each.startswith("admin_browser"))
        status, _ = service.post("/sign-in", {"password": password}, mark)
        outcome.expect(status == 303, f"the admin cannot sign in under the flood: {status}")
        stop.set()
    outcome.counts["sign-ins tried"] += sum(codes.values())
    outcome.counts["sign-ins a second"] = round(sum(codes.values()) / seconds)
    outcome.counts["slowest answer meanwhile in ms"] = round(slowest * 1000)
    outcome.expect(set(codes) <= {401, 429}, f"answers to guesses: {dict(codes)}")


def _send_huge(service: Service, outcome: Outcome, cookies: str, paths: Sequence[str]) -> None:
    """Send 100 MB to everything that takes a body, with and without their length, and as headers."""
    before = service.resident_bytes()
    piece = b"x" * (1 << 16)
    for path in paths:
        for chunked in (False, True):
            head = [
                f"POST {path} HTTP/1.1",
                f"Host: 127.0.0.1:{service.port}",
                f"Origin: http://127.0.0.1:{service.port}",
                f"Cookie: {cookies}",
                "Transfer-Encoding: chunked" if chunked else f"Content-Length: {HUGE_BYTES}",
            ]
            status, sent = _stream(service, "\r\n".join(head).encode() + b"\r\n\r\n", piece, chunked)
            outcome.counts["huge requests"] += 1
            outcome.counts["MB sent"] += sent // 1_000_000
            outcome.expect(status in (0, 400, 404, 413), f"100 MB to {path}: {status}")
    status, _ = service.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 10_000_000)
    outcome.expect(status in (0, 400, 431), f"a header of 10 MB: {status}")
    outcome.counts["huge requests"] += 1
    grown = service.resident_bytes() - before
    outcome.expect(grown < MOST_GROWTH_BYTES, f"huge requests left {grown >> 20} MiB behind")
    outcome.expect(service.ask("GET", "/healthz")[0] == 200, "no health after huge requests")


def _stream(service: Service, head: bytes, piece: bytes, chunked: bool) -> tuple[int, int]:
    """Send a head and 100 MB, as far as they are taken; return the status and how many bytes were taken."""
    framed = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
    sent, came = 0, b""
    with socket.create_connection(("127.0.0.1", service.port), ANSWER_SECONDS) as connection:
        connection.settimeout(ANSWER_SECONDS)
        with contextlib.suppress(ConnectionError):
            connection.sendall(head)
            while sent < HUGE_BYTES:
                connection.sendall(framed)
                sent += len(piece)
        with contextlib.suppress(ConnectionError, TimeoutError):
            came = connection.recv(1 << 16)
    status = re.match(rb"HTTP/1\.1 ([0-9]{3})", came)
    return int(status[1]) if status else 0, sent


# Behind a proxy


def _forge_headers(root: Path, chance: Random, outcome: Outcome, size: Size) -> None:
    """Say who one is from an address that is no proxy's: whatever it is called, nobody is believed."""
    settings = {"ADMIN_AUTH_MODE": "proxy", "ADMIN_TRUSTED_PROXIES": "10.9.9.9/32"}
    with _started(root, outcome, **settings) as service:
        for headers, path, method in size.sample(chance, list(product(FORGED, PATHS, METHODS)), 20):
            status, _, body = service.ask(method, path, headers)
            outcome.counts["forged requests"] += 1
            outcome.expect(status in (400, 401, 403, 405), f"{method} {path} as {dict(headers)}: {status}")
            outcome.expect(b"anna" not in body, f"{method} {path}: somebody is believed to be anna")
    settings["ADMIN_TRUSTED_PROXIES"] = "127.0.0.1/32"
    with _started(root, outcome, **settings, ADMIN_PROXY_SECRET="a secret of the proxy") as service:
        for headers in ({}, {"X-Proxy-Secret": ""}, {"X-Proxy-Secret": "a secret"}, {"X-Admin-Proxy-Secret": "x"}):
            status = service.ask("GET", "/", {**ADMIN, **headers})[0]
            outcome.counts["forged requests"] += 1
            outcome.expect(status in (400, 401), f"a proxy without the secret ({headers}): {status}")
    with _started(root, outcome, **settings) as service:
        for extra in ("X-Forwarded-User: root", "x-forwarded-groups: admin", "Host: other"):
            lines = [
                "GET / HTTP/1.1",
                f"Host: 127.0.0.1:{service.port}",
                "Connection: close",
                *(f"{name}: {value}" for name, value in ADMIN.items()),
                extra,
            ]
            status, _ = service.send("\r\n".join(lines).encode() + b"\r\n\r\n")
            outcome.counts["forged requests"] += 1
            outcome.expect(status in (400, 401), f"twice the header {extra}: {status}")


def _trick_with_paths(root: Path, chance: Random, outcome: Outcome, size: Size) -> None:
    """Put everything that leads astray in every place of an address, as the admin: no file is seen but output."""
    settings = {"ADMIN_AUTH_MODE": "proxy", "ADMIN_TRUSTED_PROXIES": "127.0.0.1/32"}
    service = Service(root, **settings)
    output = service.root / "logs" / "output"
    (output / "job").mkdir(parents=True)
    (output / "job" / "r1.stdout").write_text("the output\n")
    for secret in (service.root / "secret", service.root / "logs" / "secret", output / "secret"):
        secret.write_text(SECRET)
    (output / "job" / "link.stdout").symlink_to("../../secret")
    (output / "link").symlink_to("..")
    service.start()
    try:
        _, _, body = service.ask("GET", "/download/job/r1.stdout", ADMIN)
        outcome.expect(body == b"the output\n", "not even the output is seen")
        for place in PLACES:
            for trick in size.sample(chance, TRICKS, 2):
                for value in dict.fromkeys((trick, quote(trick, safe=""), quote(quote(trick, safe=""), safe=""))):
                    _try_path(service, place.format(value), outcome)
    finally:
        service.process.terminate()
        service.process.wait(ANSWER_SECONDS)
    outcome.expect("Traceback" not in service.stderr(), f"an error was not handled: {service.stderr()[-300:]}")
    if not outcome.findings:
        shutil.rmtree(root)


def _try_path(service: Service, path: str, outcome: Outcome) -> None:
    headers: dict[str, Any] = {"Host": f"127.0.0.1:{service.port}", "Connection": "close", **ADMIN}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    status, came = service.send("\r\n".join(lines).encode() + b"\r\n\r\n")
    outcome.counts["path tricks"] += 1
    # 503 is the answer to an output file that is there and cannot be read: a link, a folder.
    outcome.expect(200 <= status < 500 or status == 503, f"{path[:80]!r}: {status}")
    found = SECRET.encode() in came or b"root:x:" in came
    outcome.expect(not found, f"{path[:80]!r} shows a file that is no output")
    outcome.expect(b"\nX-Injected" not in came and b"\nX: 1" not in came, f"{path[:80]!r} adds a header to the answer")
