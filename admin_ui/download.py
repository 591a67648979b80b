"""The route that sends a run's whole output: the file byte for byte, or the text that only the journal has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from admin_ui.audit import AuditLog
from admin_ui.auth import get_user_from_request, require_role
from admin_ui.errors import JobNotFoundError, StorageError, ValidationError
from admin_ui.job_management_service import JobManagementService
from admin_ui.output import Output, Outputs
from admin_ui.settings import Settings

# Whatever a browser makes of the bytes, nothing in them runs or loads.
POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"


class Download:
    """The route /download/{job}/{run_id}.{stdout|stderr}."""

    def __init__(self, settings: Settings, audit: AuditLog, service: JobManagementService | None) -> None:
        self._role = settings.role
        self._audit = audit
        self._outputs = Outputs(settings.logs_dir)
        self._service = service

    def routes(self) -> list[Route]:
        """Return the route, to be mounted at the root."""
        return [Route("/download/{job}/{file}", self.get, methods=["GET"])]

    async def get(self, request: Request) -> Response:
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
        output = stack.enter_context(self._outputs.open(job, run_id, stream))
        if output is not None:
            return output
        run = self._service.get_run(run_id) if self._service else None
        if self._service is None or run is None or run.job_name != job:
            raise JobNotFoundError(job)
        return stack.enter_context(self._service.open_output(run_id, stream))


class OutputResponse(Response):
    """An attachment of exactly the bytes that there were when it was asked for; closes `stack` at the end."""

    def __init__(self, stack: ExitStack, output: Output, name: str) -> None:
        super().__init__(media_type="application/octet-stream")
        self._stack = stack
        self._output = output
        self.headers["content-length"] = str(output.size)
        self.headers["content-disposition"] = f'attachment; filename="{name}"'
        self.headers["content-security-policy"] = POLICY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the bytes; a file that shrinks meanwhile breaks the answer off, so that nobody takes it for whole."""
        with self._stack:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            chunks: Iterator[bytes] = self._output.chunks() if scope["method"] == "GET" else iter(())
            left = self._output.size if scope["method"] == "GET" else 0
            while chunk := await asyncio.to_thread(next, chunks, b""):
                left -= len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if left:
                raise OSError(f"an output file shrank by {left} bytes while it was sent")
            await send({"type": "http.response.body", "body": b""})
