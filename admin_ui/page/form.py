"""The form for a new job, and for one that is there. The file is checked and written by the service alone."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from admin_ui.auth import User
from admin_ui.errors import ConflictError, JobAlreadyExistsError, JobNotFoundError, ValidationError
from admin_ui.escapes import visible
from admin_ui.overview import known_zone
from admin_ui.page import fields, form_html
from admin_ui.page.address import Address, link
from admin_ui.page.conflict import conflict, newer_document
from admin_ui.page.fields import FIELDS, NEEDED, Field, Kind
from admin_ui.page.form_save import save
from admin_ui.page.handlers import said
from admin_ui.page.job_state import is_waiting, state
from admin_ui.page.markup import NOTHING, Html, html
from admin_ui.page.preview import no_preview, presets, preview
from admin_ui.page.views import AT_ONCE, SECONDS_AT_REST, Shown, Tools, area

SECONDS_WAITING = 0.5
LONGEST_NAMES = 300
Input = gr.Textbox | gr.Checkbox | gr.Radio


class FormView:
    """See View. `new` makes a file, `edit` changes one."""

    def __init__(self, tools: Tools, name: str) -> None:
        self._tools = tools
        self._service = tools.service
        self.name = name
        self._editing = name == "edit"

    def build(self) -> None:
        """Make the components and their events."""
        label = "Update job" if self._editing else "Create job"
        with gr.Column(elem_id=self._id("form"), elem_classes="job-form card"):
            self._area("title", html("<h2>{}</h2>", "Edit job" if self._editing else "New job"))
            if self._editing:
                # Any value may be sent: Gradio forgets, with a session, which choices it was given; the service knows.
                self._job = gr.Dropdown(
                    label="Job", value=None, allow_custom_value=True, interactive=True, elem_id=self._id("job")
                )
                self._job.input(
                    None, [self._job], None, js="(name) => { jobs.form.choose(name); return []; }", **AT_ONCE
                )
            parts = ("state", "about", "restored", "news")
            self._state, self._about, self._restored, self._news = (self._area(part) for part in parts)
            with gr.Column(elem_classes="job-inputs"):
                with gr.Column(elem_classes="jobs-unseen"):
                    self._version = gr.Textbox(elem_id=self._id("version"), interactive=True)
                    self._opened = gr.Textbox(elem_id=self._id("opened"), interactive=True)
                self._inputs = self._build_inputs()
                self._drop = gr.Checkbox(visible=False, interactive=True, elem_id=self._id("drop"))
                self._answer = self._area("answer")
                with gr.Row(elem_classes="job-save"):
                    button = gr.Button(label, variant="primary", elem_id=self._id("save"))
                    self._area("keys", html('<span class="dim">Ctrl+Enter</span>'))
        self._connect(button)
        own: list[Component] = [
            self._about,
            self._restored,
            self._answer,
            self._version,
            self._opened,
            self._preview,
            self._fold,
            self._drop,
        ]
        self.opened: Sequence[Component] = [*own, *self._inputs.values(), *([self._job] if self._editing else [])]
        self.live: Sequence[Component] = [self._state, self._news]

    def open(self, user: User, address: Address) -> Sequence[Any]:
        """Return the values of the inputs."""
        job_name = address.get("job")
        if not self._editing:
            return self._filled(NOTHING, "", {"working_directory": self._usual_directory(), "enabled": True})
        if not job_name:
            return [*self._filled(form_html.nothing_chosen(), "", {}), self._jobs("")]
        try:
            file = self._service.get_job(job_name)
        except JobNotFoundError:
            return [*self._filled(form_html.gone(job_name), "", {}), self._jobs("")]
        document = file.document or {}
        about = form_html.about(file, fields.shown(document))
        return [*self._filled(about, file.sha256 or "", document), self._jobs(job_name)]

    def refresh(self, user: User, address: Address) -> Shown:
        """Return what became of the file, and what to say if that is not what the form was filled from."""
        job_name = address.get("job")
        if not self._editing or not job_name:
            return Shown([NOTHING, NOTHING])
        overview = self._service.overview()
        try:
            file = self._service.get_job(job_name)
        except JobNotFoundError:
            return Shown([NOTHING, form_html.news(job_name, None)])
        next_run = None
        if file.config is not None and file.config.enabled:
            next_run = self._service.next_runs(file.config.schedule, file.config.timezone, 1)[0]
        waiting = is_waiting(file, overview)
        shown = [state(file, overview, next_run), form_html.news(job_name, file)]
        return Shown(shown, SECONDS_WAITING if waiting else SECONDS_AT_REST)

    def viewed(self, address: Address) -> tuple[str, str | None]:
        """Return what the audit log says of a look at this."""
        return "view_job_form", address.get("job") or None

    # Components

    def _id(self, part: str) -> str:
        return f"jobs-{self.name}-{part}"

    def _area(self, part: str, value: Html = NOTHING) -> gr.HTML:
        return area(self._id(part), value=value)

    def _build_inputs(self) -> dict[str, Input]:
        inputs: dict[str, Input] = {}
        name, command, schedule, zone, directory, enabled = FIELDS[:NEEDED]
        with gr.Row(equal_height=False):
            inputs[name.name] = self._input(name)
            inputs[directory.name] = self._input(directory)
        inputs[command.name] = self._input(command)
        with gr.Row(equal_height=False):
            inputs[schedule.name] = self._input(schedule)
            inputs[zone.name] = self._input(zone)
        self._area("presets", presets())
        self._preview = self._area("preview")
        inputs[enabled.name] = self._input(enabled)
        # Gradio's own Accordion draws what it holds only once it is open; these values must be there to be saved.
        self._fold = self._area("fold")
        with gr.Column(elem_id=self._id("more"), elem_classes="job-more"):
            for one, other in zip(FIELDS[NEEDED::2], FIELDS[NEEDED + 1 :: 2], strict=False):
                with gr.Row(equal_height=False):
                    inputs[one.name], inputs[other.name] = self._input(one), self._input(other)
            inputs[FIELDS[-1].name] = self._input(FIELDS[-1])
        return {field.name: inputs[field.name] for field in FIELDS}

    def _input(self, field: Field) -> Input:
        more: dict[str, Any] = {
            "label": field.label,
            "info": field.info,
            "elem_id": self._id(field.id),
            "elem_classes": "job-input",
        }
        match field.kind:
            case Kind.FLAG:
                return gr.Checkbox(interactive=True, **more)
            case Kind.CHOICE:
                return gr.Radio(fields.choices(field.name), interactive=True, **more)
            case _:
                many = field.kind in (Kind.LINES, Kind.VARIABLES)
                return gr.Textbox(
                    lines=3 if many else 1,
                    max_lines=16 if many else 1,
                    placeholder=fields.placeholder(field),
                    interactive=not (self._editing and field.name == "name"),
                    html_attributes=gr.InputHTMLAttributes(autocomplete="off", autocapitalize="off", spellcheck=False),
                    **more,
                )

    def _connect(self, button: gr.Button) -> None:
        handlers, inputs = self._tools.handlers, list(self._inputs.values())
        timing = [self._inputs["schedule"], self._inputs["timezone"]]
        passed = gr.Button("Next times", elem_id=self._id("passed"), elem_classes="jobs-unseen")
        gr.on(
            [*(each.change for each in timing), passed.click],
            handlers.showing(self._look),
            timing,
            [self._preview],
            trigger_mode="always_last",
            **AT_ONCE,
        )
        said_and = [self._tools.said, self._tools.go, self._version, self._answer, self._about, self._drop]
        button.click(
            handlers.acting(self._save, outputs=len(said_and) - 1),
            [self._version, self._drop, *inputs],
            said_and,
            js=f"(...values) => jobs.form.saving('{self.name}', values)",
            **AT_ONCE,
        )
        gr.on(
            [each.input for each in inputs],
            None,
            [self._version, *inputs],
            None,
            js=f"(...values) => {{ jobs.form.keep('{self.name}', values); return []; }}",
            **AT_ONCE,
        )
        self._opened.change(
            None,
            [self._version, *inputs],
            [self._restored, self._version, *inputs],
            js=f"(...values) => jobs.form.restored('{self.name}', values)",
            **AT_ONCE,
        )

    # Values

    def _filled(self, about: Html, version: str, document: Mapping[str, Any]) -> list[Any]:
        texts = fields.shown(document)
        zone = gr.Textbox(value=texts["timezone"], placeholder=f"{self._own_zone()} (the scheduler's own)")
        values = [zone if name == "timezone" else text for name, text in texts.items()]
        look = self._preview_of(texts["schedule"], texts["timezone"])
        fold = form_html.fold(self.name, document)
        return [about, NOTHING, NOTHING, version, secrets.token_hex(4), look, fold, _drop(document), *values]

    def _own_zone(self) -> str:
        return known_zone(self._service.overview().scheduler.timezone)

    def _jobs(self, job_name: str) -> gr.Dropdown:
        names = sorted({each.name for each in self._service.list_files() if each.name})
        return gr.Dropdown(choices=names, value=job_name or None)

    def _usual_directory(self) -> str:
        used = Counter(job.working_directory for job in self._service.list_jobs())
        return used.most_common(1)[0][0] if used else "/"

    def _look(self, user: User, schedule: str | None, zone: str | None) -> Html:
        return self._preview_of(schedule or "", (zone or "").strip())

    def _preview_of(self, schedule: str, zone: str) -> Html:
        if not schedule.strip():
            return no_preview({})
        try:
            words = self._service.describe(schedule, zone or None)
            times = self._service.next_runs(schedule, zone or None)
        except ValidationError as error:
            return no_preview(error.errors)
        return preview(words, times, zone or self._own_zone())

    # Saving

    def _save(self, user: User, version: str | None, drop_unknown: bool, *values: Any) -> list[Any]:
        form = {field.name: text or "" for field, text in zip(FIELDS, values, strict=True)}
        try:
            file = save(self._service, self._tools.audit, user, form, version or "", drop_unknown=drop_unknown)
        except ValidationError as error:
            return self._refused(form_html.problems(error.errors))
        except JobAlreadyExistsError as error:
            taken = {"name": f"{error.file} has a job of this name; choose a different name"}
            return self._refused(form_html.problems(taken))
        except ConflictError as error:
            newer = newer_document(error) or {}
            return self._refused(conflict(error, fields.merged(fields.read(form, newer)[0], newer)))
        news = "Nothing to save: jobs/{} says this already" if file.sha256 == version else "jobs/{} written"
        go = gr.skip() if self._editing else link("edit", job=file.name)
        document = file.document or {}
        about = form_html.about(file, fields.shown(document))
        return [said(html(news, file.file)), go, file.sha256, form_html.saved(), about, _drop(document)]

    def _refused(self, why: Html) -> list[Any]:
        return [gr.skip(), gr.skip(), gr.skip(), why, gr.skip(), gr.skip()]


def _drop(document: Mapping[str, Any]) -> gr.Checkbox:
    """Return the choice to remove keys that no definition has: no input shows them, and none may stay."""
    names = ", ".join(visible(key) for key in fields.unknown(document))[:LONGEST_NAMES]
    return gr.Checkbox(value=False, visible=bool(names), label=f"Remove unknown keys: {names}")
