"""What can be done with the selected job, and the pause of all schedules; the page's script asks first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import gradio as gr
from gradio.components import Component

from admin_ui.audit import CANCEL_RUN
from admin_ui.auth import User
from admin_ui.errors import JobNotFoundError, ValidationError
from admin_ui.model import JOB_NAME
from admin_ui.page.address import Address, link, parse
from admin_ui.page.awaited import AT_ONCE as MOST_AWAITED
from admin_ui.page.handlers import said
from admin_ui.page.job_rows import JobRow
from admin_ui.page.markup import NOTHING, Html, html, join
from admin_ui.page.views import AT_ONCE, QUIET, Tools, area

ACTIONS: Mapping[str, tuple[str, Literal["primary", "secondary", "stop"]]] = {  # what a button says, how it looks
    "run": ("Run now", "primary"),
    "cancel": ("Cancel run", "secondary"),
    "enable": ("Enable", "secondary"),
    "disable": ("Disable", "secondary"),
    "delete": ("Delete", "stop"),
}
OF_ALL_JOBS = ("pause", "resume")
Handler = Callable[[User, str], list[Any]]


class Actions:
    """The bar of the selected job and the two buttons of the pause. `live` is filled with what `values` returns.

    Each handler is given the address with what the page showed when it asked: `confirmed`, `sha256`, `runs`. A button
    that makes no sense now is disabled, and the style hides it.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self.live: Sequence[Component] = []

    def build_bar(self) -> None:
        """Make the bar of the selected job."""
        with gr.Row(elem_id="jobs-actions"):
            self._chosen = area("jobs-chosen")
            self._buttons = {
                name: gr.Button(label, variant=variant, size="md", interactive=False, elem_id=f"jobs-{name}")
                for name, (label, variant) in ACTIONS.items()
            }
        go, run_id = self._tools.go, gr.State("")
        asked = self._connect("run", self._trigger_job, [go, run_id])
        asked.then(
            self._tools.handlers.acting(self._say_result, outputs=0),
            [run_id],
            [self._tools.said],
            trigger_mode="multiple",
            concurrency_limit=MOST_AWAITED,
            **QUIET,
        )
        self._connect("cancel", self._cancel_run)
        self._connect("enable", self._enable_job)
        self._connect("disable", self._disable_job)
        self._connect("delete", self._delete_job, [go])

    def build_pause(self) -> None:
        """Make the buttons that pause and resume, one of which can be used."""
        with gr.Row(elem_id="jobs-pausing"):
            self._buttons["pause"] = gr.Button("Pause all schedules", size="sm", elem_id="jobs-pause")
            self._buttons["resume"] = gr.Button("Resume all schedules", size="sm", elem_id="jobs-resume")
        self._connect("pause", self._pause)
        self._connect("resume", self._resume)
        self.live = [self._chosen, *self._buttons.values()]

    def values(self, row: JobRow | None, *, is_paused: bool) -> list[Any]:
        """Return the values of `live` for the selected row."""
        config = row.config if row else None
        possible = {
            "run": row is not None and row.runnable,
            "cancel": row is not None and bool(row.running or row.queued),
            "enable": config is not None and not config.enabled,
            "disable": config is not None and config.enabled,
            "delete": row is not None and row.file is not None and row.file.sha256 is not None,
            "pause": not is_paused,
            "resume": is_paused,
        }
        return [_chosen(row), *(gr.update(interactive=possible[name]) for name in self._buttons)]

    def _connect(self, name: str, function: Handler, outputs: Sequence[Any] = ()) -> Any:
        asked = self._buttons[name].click(
            self._tools.handlers.acting(function, len(outputs), of_a_job=name not in OF_ALL_JOBS),
            [self._tools.go],
            [self._tools.said, *outputs],
            js=f"() => jobs.act('{name}')",
            **AT_ONCE,
        )
        asked.then(None, js="() => jobs.refresh()")
        return asked

    def _trigger_job(self, user: User, text: str) -> list[Any]:
        job_name = _confirmed(parse(text))
        run_id = self._tools.awaited.trigger(user, job_name)
        return [said(f"{job_name} runs: {run_id}"), link("logs", run=run_id), run_id]

    def _say_result(self, user: User, run_id: str) -> list[Any]:
        end = self._tools.awaited.end(run_id)
        return [gr.skip() if end is None else said(end[0], good=end[1])]

    def _cancel_run(self, user: User, text: str) -> list[Any]:
        address = parse(text)
        job_name, run_id, service = _confirmed(address), address.get("runs"), self._tools.service
        with self._tools.audit.change(user, CANCEL_RUN, job_name, {"run_id": run_id or "all"}) as line_id:
            if run_id:
                row = service.get_run(run_id)
                if row is not None and row.job_name != job_name:
                    raise ValidationError({"": f"run {run_id} is another job's; nothing was done"})
                service.cancel_run(run_id, requested_by=user.username, request_id=line_id)
            else:
                service.cancel_job(job_name, requested_by=user.username, request_id=line_id)
        return [said(f"{job_name} is being cancelled")]

    def _enable_job(self, user: User, text: str) -> list[Any]:
        job_name = _confirmed(parse(text))
        with self._tools.audit.change(user, "enable_job", job_name):
            self._tools.service.enable_job(job_name)
        return [said(f"{job_name} is enabled")]

    def _disable_job(self, user: User, text: str) -> list[Any]:
        job_name = _confirmed(parse(text))
        with self._tools.audit.change(user, "disable_job", job_name):
            self._tools.service.disable_job(job_name)
        return [said(f"{job_name} is disabled")]

    def _delete_job(self, user: User, text: str) -> list[Any]:
        address = parse(text)
        job_name, sha256 = _confirmed(address), address.get("sha256")
        if not sha256:
            raise ValidationError({"": "say which version of the file is to be deleted"})
        with self._tools.audit.change(user, "delete_job", job_name, {"sha256": sha256}):
            deleted = self._tools.service.delete_job(job_name, expected_sha256=sha256)
        find = "" if address.get("find") == job_name else address.get("find")
        rest = address.link(job="", confirmed="", sha256="", runs="", find=find)
        return [said(f"{job_name} is deleted: {deleted.file} is gone, its history stays"), rest]

    def _pause(self, user: User, text: str) -> list[Any]:
        with self._tools.audit.change(user, "pause", None):
            self._tools.service.pause()
        return [said("All schedules are paused")]

    def _resume(self, user: User, text: str) -> list[Any]:
        with self._tools.audit.change(user, "resume", None):
            self._tools.service.resume()
        return [said("Schedules count again")]


def _confirmed(address: Address) -> str:
    """Return the job that the question named. Raises ValidationError if it is not the one that is selected."""
    job_name = address.get("job")
    if job_name != address.get("confirmed"):
        raise ValidationError({"": "another job was selected meanwhile; nothing was done"})
    if not JOB_NAME.fullmatch(job_name):
        raise JobNotFoundError(job_name)
    return job_name


def _chosen(row: JobRow | None) -> Html:
    """Return what the bar says of the selected job, with what the script needs to ask and to tell the server."""
    if row is None:
        return NOTHING
    runs = [*row.running, *row.queued]
    links = [
        html('<a href="{}">Edit</a>', link("edit", job=row.name)) if row.file else NOTHING,
        html('<a href="{}">History</a>', link("history", job=row.name)),
        html('<a href="{}">Logs</a>', link("logs", job=row.name)),
    ]
    return html(
        '<div class="chosen" data-job="{}" data-file="{}" data-sha256="{}" data-runs="{}"{}><b>{}</b>{}</div>',
        row.name,
        row.file.file if row.file else "",
        (row.file.sha256 if row.file else None) or "",
        runs[0].run_id if len(runs) == 1 else "",
        Html(' data-kept="yes"') if row.kept else NOTHING,
        row.name,
        join(links),
    )
