"""What stands around the form's inputs: what is wrong with them, what of them is not seen, and why there is no form."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from admin_ui.escapes import visible
from admin_ui.job_files import JobFile
from admin_ui.page.address import link
from admin_ui.page.conflict import LOAD
from admin_ui.page.fields import FIELDS, NEEDED, by_field, unknown
from admin_ui.page.markup import NOTHING, Html, html, join
from admin_ui.schema import job_schema

MOST_TEXT = 20_000
LABELS = {field.name: field.label for field in FIELDS}
IDS = {field.name: field.id for field in FIELDS}


def problems(errors: Mapping[str, str]) -> Html:
    """Return what is wrong; the page's script puts each message to its field, and the focus on the first one.

    It takes away what is said of a field that was changed since.
    """
    placed, others = by_field(errors)
    ordered = [name for name in IDS if name in placed]
    messages = join(html('<p hidden data-field="{}">{}</p>', IDS[name], placed[name]) for name in ordered)
    unplaced = join(html("<p>{}</p>", text) for text in others)
    commas = [NOTHING, *[Html("<i>, </i>")] * len(ordered)]  # the style leaves out one that nothing stands before
    names = join(
        html('<span data-of="{}">{}{}</span>', IDS[name], comma, LABELS[name])
        for name, comma in zip(ordered, commas, strict=False)
    )
    summary = html("<p><b>Not saved.</b> Look at: {}</p>", names) if names else Html("<p><b>Not saved.</b></p>")
    return html(
        '<div class="problems" role="alert" data-id="{}">{}{}{}</div>',
        secrets.token_hex(4),
        summary,
        unplaced,
        messages,
    )


def fold(view: str, document: Mapping[str, object]) -> Html:
    """Return the handle of what is folded away, which says what of that is set."""
    named = dict.fromkeys(field.name.partition(".")[0] for field in FIELDS[NEEDED:])
    titles = [job_schema()["properties"][name]["title"] for name in named if name in document]
    return html(
        '<button type="button" data-do="more" aria-expanded="false" aria-controls="jobs-{}-more">More options</button>'
        ' <span class="dim">{}</span>',
        view,
        f"set: {', '.join(titles)}" if titles else "time limit, retries, concurrency, environment…",
    )


def saved() -> Html:
    """Return the sign that what was typed is in a file now; the page's script drops its draft."""
    return html('<span data-saved data-id="{}"></span>', secrets.token_hex(4))


def nothing_chosen() -> Html:
    """Return what stands in place of the form while no job is chosen."""
    return html('<p class="empty" data-no-form>Choose a job, or <a href="{}">make a new one</a>.</p>', link("new"))


def gone(job_name: str) -> Html:
    """Return what stands in place of the form of a job that is not there."""
    return html(
        '<p class="trouble" role="alert" data-no-form>There is no job called {}. It may have been removed. '
        '<a href="{}">All jobs</a></p>',
        job_name,
        link("jobs"),
    )


def news(job_name: str, file: JobFile | None) -> Html:
    """Return what to say should this not be the version that the form holds; None: the file is gone.

    Only the page's script knows that version, and shows it then.
    """
    if file is None:
        said, more = html("The file of {} was removed by somebody else meanwhile.", job_name), "it can be made anew"
        choice = NOTHING
    else:
        said, more = html("jobs/{} was changed by somebody else meanwhile.", file.file), "both versions are shown"
        choice = LOAD
    return html(
        '<p class="notice" role="status" data-version="{}" hidden><b>{}</b> What you typed is still here; '
        "when you save, {}. {}</p>",
        (file.sha256 if file else None) or "",
        said,
        more,
        choice,
    )


def about(file: JobFile, form: Mapping[str, object]) -> Html:
    """Return what must be known of a file before it is edited: what is wrong with it, and what texts do not show.

    There is no form for a file that holds no JSON object.
    """
    hidden = join(_hidden(name, text) for name, text in form.items() if isinstance(text, str) and visible(text) != text)
    if file.config is not None:
        return hidden
    errors = join(html("<li>{}</li>", f"{key}: {text}" if key else text) for key, text in (file.errors or {}).items())
    strange = ", where unknown keys can be removed" if unknown(file.document or {}) else ""
    advice = (
        f"Put it right below{strange}; the rest of the file stays as it is."
        if file.document is not None
        else "It cannot be edited here. Mend it with an editor on the jobs folder, or delete the job and make it anew."
    )
    return html(
        '<div class="trouble" role="alert"{}>jobs/{} is invalid.<ul>{}</ul>{}</div>{}{}',
        Html(" data-no-form") if file.document is None else NOTHING,
        file.file,
        errors,
        advice,
        _text(file.text) if file.text is not None else NOTHING,
        hidden,
    )


def _hidden(name: str, text: str) -> Html:
    return html(
        '<p class="notice">{} holds characters that are not seen as they are: <code>{}</code></p>',
        LABELS[name],
        text[:MOST_TEXT],
    )


def _text(text: str) -> Html:
    cut = html("\n… {} characters more", f"{len(text) - MOST_TEXT:,}") if len(text) > MOST_TEXT else NOTHING
    return html(
        '<pre class="file-text" tabindex="0" role="region" aria-label="The file as it is">{}{}</pre>',
        text[:MOST_TEXT],
        cut,
    )
