"""Figures and a plot of how long runs took, as HTML and SVG. Places are percentages, so that texts keep their size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from admin_ui.model import STATUSES, iso
from admin_ui.page.address import link
from admin_ui.page.markup import NOTHING, Html, duration, html, join
from admin_ui.queries import HistoryRow, typical

MOST_PLOTTED = 200
FEWEST_PLACES = 30
"""Few bars stay narrow."""

OUTLIER = 5
"""So many times the 95th percentile, and a bar is cut: else one run that hung makes all others invisible."""

TICKS = 5
STEPS = tuple(
    timedelta(minutes=minutes)
    for minutes in (
        1,
        2,
        5,
        10,
        15,
        30,
        60,
        120,
        180,
        360,
        720,
        *(1440 * days for days in (1, 2, 7, 14, 30, 90, 365, 1825)),
    )
)
HATCH = Html(
    '<svg class="defs" width="0" height="0" aria-hidden="true"><pattern id="jobs-hatch" width="4" height="4"'
    ' patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="under" width="4" height="4"/>'
    '<rect class="over" width="2" height="4"/></pattern></svg>'
)
"""What fills the bars of failed runs, which so differ without colour, too."""

AXIS_DAY, AXIS_TIME, AXIS_BOTH = (0, 10), (11, 16), (5, 16)  # of `2026-11-25 14:00`


@dataclass(frozen=True, slots=True)
class Figures:
    """How runs ended and how long they took, in seconds. The median and p95 are values that were there."""

    runs: int
    succeeded: int
    failed: int
    average: float
    median: float
    p95: float
    shortest: float
    longest: float


def ended(rows: Sequence[HistoryRow]) -> list[tuple[HistoryRow, float]]:
    """Return the runs among the rows that have ended, each with how long it took."""
    return [(row, row.duration_seconds) for row in rows if row.status in STATUSES and row.duration_seconds is not None]


def figures(rows: Sequence[HistoryRow]) -> Figures | None:
    """Return the figures of the runs that have ended, None if there is none."""
    taken = sorted(seconds for _, seconds in ended(rows))
    if not taken:
        return None
    median, p95 = typical(taken)
    return Figures(
        runs=len(taken),
        succeeded=sum(row.status == "success" for row, _ in ended(rows)),
        failed=sum(row.failed for row, _ in ended(rows)),
        average=sum(taken) / len(taken),
        median=median,
        p95=p95,
        shortest=taken[0],
        longest=taken[-1],
    )


def _success(succeeded: int, judged: int) -> tuple[tuple[str, str], ...]:
    """Return the share of success, if there is one: a cancelled run says nothing of the job, it is not judged."""
    if not judged:
        return ()
    rate = 100 * succeeded / judged
    if 0 < rate < 100:
        rate = min(max(rate, 0.1), 99.9)  # neither all nor nothing is said of less
    return (("Success", f"{rate:.3g} %"),)


def figures_html(of: Figures, *, more: bool) -> Html:
    """Return the figures as a list; `more` says that there are older runs that they leave out."""
    parts = (
        *_success(of.succeeded, of.succeeded + of.failed),
        ("Newest runs" if more else "Runs", f"{of.runs:,}"),
        ("Average", duration(of.average)),
        ("Median", duration(of.median)),
        ("p95", duration(of.p95)),
        ("Shortest", duration(of.shortest)),
        ("Longest", duration(of.longest)),
    )
    return html(
        '<dl class="figures">{}</dl>',
        join(html('<div><dt>{}</dt><dd class="num">{}</dd></div>', name, value) for name, value in parts),
    )


def duration_plot(rows: Sequence[HistoryRow], of: Figures, zone: str | None) -> Html:
    """Return one bar for each run that has ended, oldest first and evenly spaced, each a link to its run."""
    runs = ended(rows)[::-1]
    cut = of.longest > OUTLIER * of.p95 > 0
    top = 2 * of.p95 if cut else of.longest or 1
    places = max(len(runs), FEWEST_PLACES)
    place = 100 / places
    bars = join(_bar(row, seconds, index * place, place, seconds / top) for index, (row, seconds) in enumerate(runs))
    every = -(-places // TICKS)
    ticks = [(index * place, runs[index][0].at) for index in range(0, len(runs), every)]
    failed = sum(kind_of(row) == "bad" for row, _ in runs)
    told = f"Duration of {of.runs} runs, oldest first; {failed} failed" if failed else f"Duration of {of.runs} runs"
    return html(
        '<figure class="card plot"><figcaption><h2>Duration</h2>{}<span class="hidden-text">{}. The table has the'
        ' same.</span></figcaption><div class="scroll" tabindex="0" role="group" aria-label="Duration of runs"><div'
        ' class="canvas" style="--bars:{}"><span class="top num">{}</span><svg class="bars" aria-hidden="true">'
        '<line x2="100%"/><line y1="50%" x2="100%" y2="50%"/>{}</svg>{}</div></div></figure>',
        legend([row for row, _ in runs], cut=cut),
        told,
        places,
        duration(top),
        bars,
        axis(ticks, zone),
    )


def _bar(row: HistoryRow, seconds: float, left: float, place: float, part: float) -> Html:
    height = 92 * min(part, 1)  # the rest, below the line, is for the marks of failed runs
    kind = kind_of(row)
    width = place * 0.75
    return html(
        '<a href="{}" tabindex="-1"><title>{}</title><rect class="hit" x="{:.2f}%" width="{:.2f}%" height="100%"/>'
        '<rect class="bar {}" x="{:.2f}%" y="{:.2f}%" width="{:.2f}%" height="{:.2f}%"/>{}</a>',
        run_link(row),
        told_of(row, seconds),
        left,
        place,
        kind,
        left,
        92 - height,
        width,
        height,
        html('<rect class="mark" x="{:.2f}%" y="95%" width="{:.2f}%" height="5%"/>', left, width)
        if kind == "bad"
        else NOTHING,
    )


def legend(rows: Sequence[HistoryRow], *, cut: bool = False) -> Html:
    """Return what the shapes mean that are used for these rows."""
    kinds = {kind_of(row): None for row in rows}
    names = {
        "ok": "success",
        "bad": "failed",
        "warn": "cancelled",
        "busy": "running",
        "off": "skipped, missed or waiting",
    }
    keys = join(
        html('<span class="key"><i class="{}"></i>{}</span>', kind, names[kind]) for kind in names if kind in kinds
    )
    return html(
        '<span class="legend">{}{}</span>', keys, Html('<span class="key">longest bars cut</span>') if cut else NOTHING
    )


def kind_of(row: HistoryRow) -> str:
    """Return which of five ways a row is drawn in."""
    ways = {"success": "ok", "running": "busy", "cancelled": "warn"}
    return ways.get(row.status, "bad" if row.failed else "off")


def told_of(row: HistoryRow, seconds: float | None) -> str:
    """Return one line that tells a bar's run."""
    took = "" if seconds is None else f", {duration(seconds)}"
    return f"{_utc(row.at)[:19]} UTC, {row.status.replace('_', ' ')}{took}"


def run_link(row: HistoryRow) -> str:
    """Return the link to a run's log, to the job's if nothing ran."""
    return link("logs", run=row.run_id) if row.run_id else link("logs", job=row.job_name)


def axis(ticks: Sequence[tuple[float, datetime]], zone: str | None) -> Html:
    """Return the labels below a plot, each at so many percent; the page's script tells them in the chosen zone."""
    one_day = len({at.date() for _, at in ticks}) < 2
    whole_days = len(ticks) > 1 and all(_utc(at)[11:19] == "00:00:00" for _, at in ticks)
    begin, end = AXIS_DAY if whole_days else AXIS_TIME if one_day else AXIS_BOTH
    return html(
        '<div class="axis" aria-hidden="true"{}>{}</div>',
        html(' data-zone="{}"', zone) if zone else NOTHING,
        join(
            html(
                '<span style="--at:{:.2f}%" data-tick="{}" data-part="{},{}">{}</span>',
                *(place, iso(at), begin, end, _utc(at)[begin:end]),
            )
            for place, at in ticks
        ),
    )


def round_times(begin: datetime, end: datetime) -> list[datetime]:
    """Return up to six round times (UTC) in a range."""
    step = next((each for each in STEPS if (end - begin) <= TICKS * each), STEPS[-1])
    epoch = datetime(1970, 1, 1, tzinfo=begin.tzinfo)
    first = epoch + -((epoch - begin) // step) * step
    return [first + number * step for number in range((end - first) // step + 1)] if first <= end else []


def _utc(at: datetime) -> str:
    return iso(at).replace("T", " ")
