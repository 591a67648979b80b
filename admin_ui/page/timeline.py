"""A timeline: when which job ran, a lane for each, as HTML and SVG. Places are percentages of the width."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from admin_ui.page.address import Address
from admin_ui.page.charts import axis, kind_of, legend, round_times, run_link, told_of
from admin_ui.page.markup import NOTHING, Html, html, join, moment
from admin_ui.queries import Filter, HistoryRow

MOST_LANES = 30
MOST_BARS = 500
MINUTE = timedelta(minutes=1)
NARROWEST = 0.2  # percent: what took no time is seen, too
ORDER = ("off", "ok", "busy", "warn", "bad")  # what is drawn later lies on top
# From the top, and height, in percent.
SHAPES = {"ok": (25, 50), "bad": (5, 90), "busy": (25, 50), "warn": (25, 50), "off": (80, 20)}


def timeline(
    rows: Sequence[HistoryRow],
    address: Address,
    since: datetime,
    end: datetime,
    *,
    older: bool = False,
    zone: str | None = None,
) -> Html:
    """Return the rows as bars, from the first one's start (not before `since`) to `end`; names lead to their history.

    `older` says that there are older rows in the range that was asked for. `zone` is the one job's, if it is one.
    """
    end = end.replace(second=0, microsecond=0) + MINUTE  # the same for a minute: what is unchanged is not sent
    spans = [(row, *_span(row, since, end)) for row in rows]
    begin = min(start for _, start, _ in spans).replace(second=0, microsecond=0)
    width = max(end - begin, MINUTE)
    lanes: dict[str, list[tuple[HistoryRow, datetime, datetime]]] = {}
    for span in spans:
        lanes.setdefault(span[0].job_name, []).append(span)
    failed = {name: sum(kind_of(row) == "bad" for row, *_ in of_job) for name, of_job in lanes.items()}
    names = sorted(lanes, key=lambda name: (-failed[name], -len(lanes[name]), name))

    def lane(name: str) -> Html:
        bars = sorted(lanes[name], key=lambda span: ORDER.index(kind_of(span[0])))
        return html(
            '<li><a class="clip" href="{}">{}</a><svg aria-hidden="true">{}</svg></li>',
            address.link(job=name, before=""),
            name,
            join(_bar(row, (start - begin) / width, (stop - start) / width) for row, start, stop in bars),
        )

    ticks = [(100 * ((at - begin) / width), at) for at in round_times(begin, end)]
    grid = join(html('<line x1="{:.2f}%" x2="{:.2f}%" y2="100%"/>', place, place) for place, _ in ticks)
    more = len(names) - MOST_LANES
    return html(
        '<figure class="card timeline"><figcaption><h2>Timeline</h2><span class="dim">{}{} to {}</span>{}</figcaption>'
        '<div class="lanes"><svg class="grid" aria-hidden="true">{}</svg><ol>{}</ol>{}</div>{}</figure>',
        html("newest {}, ", len(rows)) if older else NOTHING,
        moment(begin, relative=False, zone=zone),
        moment(end, relative=False, zone=zone),
        legend(rows),
        grid,
        join(map(lane, names[:MOST_LANES])),
        axis(ticks, zone),
        html('<p class="dim more">{} more {} not drawn.</p>', more, "job is" if more == 1 else "jobs are")
        if more > 0
        else NOTHING,
    )


def begun_before(running: Sequence[HistoryRow], which: Filter) -> tuple[HistoryRow, ...]:
    """Return the running ones that fit the filter but for their start, which lies before its range."""
    return tuple(
        row
        for row in running
        if which.since is not None
        and row.at < which.since
        and which.until is None
        and which.job_name in (None, row.job_name)
        and which.status in (None, row.status)
        and which.trigger in (None, row.trigger)
    )


def _span(row: HistoryRow, since: datetime, end: datetime) -> tuple[datetime, datetime]:
    """Return from when to when a row is drawn; what goes on is drawn up to `end`."""
    if row.status in ("skipped", "missed"):
        stop = row.scheduled_time or row.at
        start = row.first_scheduled_time or stop
    else:
        start, stop = row.at, row.end_time or (end if row.status == "running" else row.at)
    return min(max(start, since), end), min(max(stop, since), end)


def _bar(row: HistoryRow, left: float, width: float) -> Html:
    kind = kind_of(row)
    top, height = SHAPES[kind]
    return html(
        '<a href="{}" tabindex="-1"><title>{}</title><rect class="bar {}" x="{:.2f}%" y="{}%" width="{:.2f}%"'
        ' height="{}%"/></a>',
        run_link(row),
        told_of(row, row.duration_seconds),
        kind,
        *(min(100 * left, 100 - NARROWEST), top, max(100 * width, NARROWEST), height),
    )
