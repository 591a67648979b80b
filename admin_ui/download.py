"""What can be downloaded: a run's whole output, byte for byte, and the log entries of a job that a filter lets through.

An incomplete download says so in its file's name.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from admin_ui.audit import AuditLog
from admin_ui.auth import get_user_from_request, require_role
from admin_ui.errors import JobNotFoundError, StorageError, ValidationError
from admin_ui.job_management_service import JobManagementService
from admin_ui.output import Output, Outputs
from admin_ui.queries import Lines
from admin_ui.settings import Settings

# Whatever a browser makes of the bytes, nothing in them runs or loads.
POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
MOST_LOG_ENTRIES = 100_000
LOG_SEARCH_SECONDS = 10.0
ENTRIES_AT_ONCE = 100  # each may hold 64 KiB of output


class Download:
    """The routes /download/{job}/{run_id}.{stdout|stderr} and /download/log/{job}.jsonl?search=…&status=…"""

    def __init__(self, settings: Settings, audit: AuditLog, service: JobManagementService | None) -> None:
        self._role = settings.role
        self._audit = audit
        self._outputs = Outputs(settings.logs_dir)
        self._service = service

    def routes(self) -> list[Route]:
        """Return the routes, to be mounted at the root."""
        return [
            Route("/download/log/{job}.jsonl", self.log, methods=["GET"]),
            Route("/download/{job}/{file}", self.output, methods=["GET"]),
        ]

    async def log(self, request: Request) -> Response:
        """Send a job's log entries as JSON lines, newest first: those with the text and the status, as `find_job_logs`.

        At most 100,000, and what ten seconds of searching find; `X-Complete` says whether that is all. What is neither
        a job nor was one is a 404; a job that has no entries yet has an empty log.
        """
        user = require_role(get_user_from_request(request), self._role)
        if self._service is None:
            return PlainTextResponse("There is no history here.", 404)
        job, service = request.path_params["job"], self._service
        wanted = {name: request.query_params.get(name) or None for name in ("search", "status")}
        try:
            found = await asyncio.to_thread(_find, service, job, wanted)
        except JobNotFoundError as error:
            return PlainTextResponse(f"{error}.", 404)
        except ValidationError as error:
            return PlainTextResponse(f"{error}.", 400)
        except StorageError as error:
            return PlainTextResponse(f"{error}.", 503)
        numbers = found.numbers
        if request.method == "GET":
            details = {**wanted, "entries": len(numbers)}
            await asyncio.to_thread(self._audit.viewed, user, "download_log", job, details)
        else:
            numbers = ()
        name = f"{job}.log.jsonl" if found.complete else f"{job}.log.part.jsonl"
        headers = {**_attachment(name), "x-complete": str(found.complete).lower()}
        return StreamingResponse(_json_lines(service, numbers), 200, headers, "application/x-ndjson")

    async def output(self, request: Request) -> Response:
        """Send what there is at this moment, also of a run that goes on."""
        user = require_role(get_user_from_request(request), self._role)
        job, file = request.path_params["job"], request.path_params["file"]
        run_id, _, stream = file.partition(".")
        stack = ExitStack()
        try:
            output = await asyncio.to_thread(self._open, stack, job, run_id, stream)
        except (JobNotFoundError, ValidationError):
            return PlainTextResponse("There is no such output; it may have been cleaned up.", 404)
        except StorageError as error:
            return PlainTextResponse(f"{error}.", 503)
        if request.method == "GET":
            details = {"run_id": run_id, "stream": stream}
            await asyncio.to_thread(self._audit.viewed, user, "download_output", job, details)
        return OutputResponse(stack, output, f"{job}.{file}{'' if output.whole else '.excerpt'}.txt")

    def _open(self, stack: ExitStack, job: str, run_id: str, stream: str) -> Output:
        """Return the output; what has to be closed is in `stack`. Raises JobNotFoundError and as Outputs does."""
        output = stack.enter_context(self._outputs.open(job, run_id, stream, self._printed(run_id, stream)))
        if output is not None:
            return output
        run = self._service.get_run(run_id) if self._service else None
        if self._service is None or run is None or run.job_name != job:
            raise JobNotFoundError(job)
        return stack.enter_context(self._service.open_output(run_id, stream))

    def _printed(self, run_id: str, stream: str) -> int:
        """Return how much of a stream there must be, as far as that is known."""
        try:
            run = self._service.get_run(run_id) if self._service else None
        except StorageError:  # the file is there all the same
            return 0
        return run.printed(stream) if run else 0


class OutputResponse(Response):
    """An attachment of exactly the bytes that there were when it was asked for; closes `stack` at the end."""

    def __init__(self, stack: ExitStack, output: Output, name: str) -> None:
        super().__init__(media_type="application/octet-stream")
        self._stack = stack
        self._output = output
        self.headers["content-length"] = str(output.size)
        self.headers.update(_attachment(name))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the bytes; a file that shrinks meanwhile breaks the answer off, so that nobody takes it for whole."""
        gone = asyncio.create_task(_disconnected(receive))
        try:
            with self._stack:
                await self._send(scope, send, gone)
        finally:
            gone.cancel()

    async def _send(self, scope: Scope, send: Send, gone: asyncio.Task[None]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        chunks: Iterator[bytes] = self._output.chunks() if scope["method"] == "GET" else iter(())
        left = self._output.size if scope["method"] == "GET" else 0
        while chunk := await asyncio.to_thread(next, chunks, b""):
            if gone.done():  # uvicorn would go on taking what it sends to nobody
                return
            left -= len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if left:
            raise OSError(f"an output file shrank by {left} bytes while it was sent")
        await send({"type": "http.response.body", "body": b""})


async def _disconnected(receive: Receive) -> None:
    """Wait until nobody is there any more."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _attachment(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"', "content-security-policy": POLICY}


def _find(service: JobManagementService, job: str, wanted: Mapping[str, str | None]) -> Lines:
    """Return the lines that are wanted. Raises JobNotFoundError for a job with neither a file, a run nor any line."""
    found = service.find_log_lines(job, MOST_LOG_ENTRIES, seconds=LOG_SEARCH_SECONDS, **wanted)
    if found.numbers or job in service.job_names():
        return found
    # Who asks to run what is no job gets a refusal, and that is a line.
    if not service.find_log_lines(job, 1, seconds=LOG_SEARCH_SECONDS).numbers:
        raise JobNotFoundError(job)
    return found


def _json_lines(service: JobManagementService, numbers: tuple[int, ...]) -> Iterator[bytes]:
    first = 0
    while first < len(numbers):
        entries, read = service.read_log_lines(numbers[first : first + ENTRIES_AT_ONCE])
        first += read
        # In ASCII: nothing in it turns a terminal's text around or moves its cursor.
        yield "".join(json.dumps(entry) + "\n" for entry in entries).encode()
