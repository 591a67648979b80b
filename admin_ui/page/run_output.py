"""One stream of a run as HTML: some of its lines with their true numbers, or the lines that hold a text."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from admin_ui.errors import ValidationError
from admin_ui.output import STREAMS, Hits, Line, Output
from admin_ui.page.address import Address
from admin_ui.page.markup import NOTHING, Html, html, join, trouble_html

T = TypeVar("T")

LINES = 1000
"""Lines at once."""

LIVE_LINES, LIVE_STEP = 200, 100
"""So many lines at least, and more by less than a step, of a run that goes on: what comes is added at the end, and only
after a step are lines taken away before. All that is shown twice costs the browser nothing."""

ROOM = 256_000
"""Characters of HTML that the lines of one stream may take."""

MOST_HITS = 100
MOST_MARKS = 200
"""In one line, which may be a binary file that has the text ten thousand times."""

CONTEXT = 2
"""Lines that are shown before and after one that was found."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which lines are looked at: those around one, from one on, or up to one; the last ones if all are 0."""

    around: int = 0
    first: int = 0
    last: int = 0

    @classmethod
    def of(cls, address: Address, stream: str) -> Place:
        """Return the place in a stream that an address names."""
        around = _number(address.get("line")) if address.get("stream") == stream else 0
        return cls(around, _number(address.get(f"{stream}_from")), _number(address.get(f"{stream}_to")))


@dataclass(frozen=True, slots=True)
class Panel:
    """`bar` says what is shown and leads elsewhere; `lines` are the text."""

    bar: Html
    lines: Html


EMPTY = "empty"
PLAIN, CURRENT, HIT = Html('">'), Html('" aria-current="true">'), Html('" class="hit">')
TAG_ENDS, LINK_ENDS, LINE_ENDS = Html('">'), Html("</a>"), Html("</div>")


def panel(output: Output, stream: str, address: Address, download: str, *, live: bool) -> Panel:
    """Return the part of a stream that an address asks for. Raises StorageError.

    `download` is the link to the whole of it; `live`: the run goes on.
    """
    place, find = Place.of(address, stream), address.get("find")
    if find and place == Place():
        return _found(output, stream, address, download)
    lines, anchor = _around(output, place, live=live)
    draw = _Lines(address, stream).draw
    shown, drawn = _fitting(lines, anchor, lambda line: draw(line, current=line.number == place.around))
    lines = lines[shown]
    following = live and place == Place()
    bar = html(
        '<div class="bar"><h3>{}</h3><span class="dim num">{}</span><span class="ways">{}</span>'
        '<a class="load" href="{}">Download</a></div>{}',
        stream,
        _summary(output, lines),
        _ways(address, stream, output, lines),
        download,
        join(
            [
                _missing(output),
                _past_the_end(output, place.around or place.first),
                _not_following(address, stream, output, lines) if live and not following else NOTHING,
            ]
        ),
    )
    last = lines[-1].number if lines else None
    return Panel(bar, _region(address, stream, join(drawn), live=live, following=following, last=last))


def amount(size: int) -> str:
    """Return a number of bytes as people read it: `312 bytes`, `5.1 KB`, `5.0 MB`."""
    for unit, bytes_each in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if size >= bytes_each:
            return f"{size / bytes_each:.1f} {unit}"
    return _count(size, "byte")


def length(output: Output) -> str:
    """Return how long a stream is: `empty`, `7 lines`, `50,901 lines, 5.1 MB`."""
    if output.size == 0:
        return EMPTY
    total = output.line_count()
    lines = "counting lines" if total is None else _count(total, "line")
    return lines if output.size < 10_000 else f"{lines}, {amount(output.size)}"


def marked(text: str, find: str) -> Html:
    """Return a text in which the first MOST_MARKS occurrences of another are marked, whatever the case."""
    if not find:
        return Html.escape(text)
    parts = re.split(f"({re.escape(find)})", text, maxsplit=MOST_MARKS, flags=re.IGNORECASE)
    return join(html("<mark>{}</mark>", part) if number % 2 else part for number, part in enumerate(parts))


def _around(output: Output, place: Place, *, live: bool) -> tuple[list[Line], int]:
    """Return lines, and the place in them of the one that must be seen."""
    lines: list[Line] = []
    anchor = 0
    last = place.last or (output.line_count() or 0 if live else 0)
    if place.around:
        lines = output.lines(max(1, place.around - LINES // 2), LINES)
        anchor = place.around - (lines[0].number or 0) if lines else 0
    elif place.first:
        lines = output.lines(place.first, LINES)
    elif last:
        first = (last - LIVE_LINES) // LIVE_STEP * LIVE_STEP if live else last - LINES
        first = max(0, first) + 1
        lines = output.lines(first, last - first + 1)
        anchor = len(lines) - 1
    if not 0 <= anchor < len(lines):  # no such line (any more)
        lines = output.tail(LINES)
        if lines and lines[0].number is None and output.line_count() is not None:
            lines = output.tail(LINES)  # all is counted now, so these have their numbers
        anchor = len(lines) - 1
    return lines, anchor


def _fitting(parts: Sequence[T], anchor: int, draw: Callable[[T], Html]) -> tuple[slice, Sequence[Html]]:
    """Draw what there is room for around a part, on both sides as much as possible; return which, and the drawn.

    No more than that is drawn: the lines of a binary file are as long as they are costly.
    """
    if not parts:
        return slice(0, 0), ()
    drawn = deque([draw(parts[anchor])])
    first, last, room = anchor, anchor, ROOM - len(drawn[0])
    sides = deque(
        [(iter(range(anchor - 1, -1, -1)), drawn.appendleft), (iter(range(anchor + 1, len(parts))), drawn.append)]
    )
    while sides:
        places, put = sides.popleft()
        for place in places:
            part = draw(parts[place])
            if len(part) <= room:
                put(part)
                first, last, room = min(first, place), max(last, place), room - len(part)
                sides.append((places, put))
            break
    return slice(first, last + 1), drawn


class _Lines:
    """Draws lines of one stream. Of parts that are ready: a run that is followed has a thousand drawn each second."""

    def __init__(self, address: Address, stream: str) -> None:
        places = {f"{each}_{end}": "" for each in STREAMS for end in ("from", "to")}
        self._find = "" if address.get("regex") else address.get("find")  # a pattern may take for ever
        self._begin = html('<div id="{}-', stream)
        # The numbers are no stops for the Tab key: it would take a thousand strokes to get past them.
        self._link = html('<a tabindex="-1" href="{}&line=', address.link(stream=stream, line="", **places))

    def draw(self, line: Line, *, current: bool = False, hit: bool = False) -> Html:
        """Return a line: its number, which is a link to it, and its text."""
        text = marked(line.text, self._find)
        if line.bytes_before or line.bytes_after:
            before, after = (
                _more(line.bytes_before, "… {:,} more bytes "),
                _more(line.bytes_after, " … {:,} more bytes"),
            )
            text = before + text + after
        if line.number is None:
            return html("<div>{}</div>", text)
        kind = CURRENT if current else HIT if hit else PLAIN
        number = Html(line.number)
        return join((self._begin, number, kind, self._link, number, TAG_ENDS, number, LINK_ENDS, text, LINE_ENDS))


def _more(count: int, words: str) -> Html:
    return html('<span class="more">{}</span>', words.format(count)) if count else NOTHING


def _region(
    address: Address,
    stream: str,
    content: Html,
    *,
    live: bool = False,
    following: bool = False,
    last: int | None = None,
) -> Html:
    """Return the place for the lines. From `data-place` the page's script sees that other ones are shown."""
    place = Place.of(address, stream)
    return html(
        '<div class="log" style="--digits: {}" role="{}" aria-label="{}" tabindex="0" data-stream="{}" data-place="{}"'
        ' data-last="{}"{}>{}</div>',
        len(str(last or 0)),
        "log" if live else "region",
        stream,
        stream,
        f"{address.get('run')} {place.around} {place.first} {place.last} {address.get('find')}",
        last or "",
        Html(" data-follow") if following else NOTHING,
        content or html('<p class="empty">Nothing on {}{}.</p>', stream, " so far" if live else ""),
    )


def _summary(output: Output, lines: Sequence[Line]) -> str:
    total = output.line_count()
    size = amount(output.size)
    if total is None or (lines and lines[0].number is None):  # the count may have come to its end just now
        return f"the last {_count(len(lines), 'line')} of {size}, counting lines"
    if len(lines) == total:
        return f"{_count(total, 'line')}, {size}"
    first, last = lines[0].number or 0, lines[-1].number or 0
    if last == total:
        return f"showing last {len(lines):,} of {total:,} lines ({size})"
    return f"showing lines {first:,}-{last:,} of {total:,} ({size})"


def _ways(address: Address, stream: str, output: Output, lines: Sequence[Line]) -> Html:
    """Return the links to what comes before and after, as far as there is something."""
    if not lines or lines[0].number is None or lines[-1].number is None:
        return NOTHING
    first, last, total = lines[0].number, lines[-1].number, output.line_count()
    ways = []
    if first > 1:
        ways += [("first", {f"{stream}_from": "1"}), ("earlier", {f"{stream}_to": str(first - 1)})]
    if total is None or last < total:
        ways += [("later", {f"{stream}_from": str(last + 1)}), ("last", {"find": ""})]
    if address.get("find"):
        ways.append(("all matches", {}))
    return join(html('<a href="{}">{}</a>', _to(address, stream, **fields), word) for word, fields in ways)


def _not_following(address: Address, stream: str, output: Output, lines: Sequence[Line]) -> Html:
    total = output.line_count() or 0
    more = total - (lines[-1].number or 0) if lines else 0
    news = f"{_count(more, 'new line')} below" if more else "No new lines yet"
    link = _to(address, stream, find="")
    # How many there are is beside the status and not in it: whatever changes in one is read out, each second.
    return html(
        '<p class="paused"><span role="status">Not following.</span> {}. '
        '<a class="follow" href="{}">Follow (End)</a></p>',
        news,
        link,
    )


def _missing(output: Output) -> Html:
    if output.whole:
        return NOTHING
    text = "This is an excerpt: the file with the whole output was cleaned up. Line numbers count within the excerpt."
    return html('<p class="notice">{}</p>', text)


def _past_the_end(output: Output, asked: int) -> Html:
    total = output.line_count()
    if total is None or asked <= total:
        return NOTHING
    whole = "output" if output.whole else "excerpt"
    return html('<p class="notice">Line {:,} is not there: the {} has {}.</p>', asked, whole, _count(total, "line"))


def _found(output: Output, stream: str, address: Address, download: str) -> Panel:
    find, regex = address.get("find"), bool(address.get("regex"))
    content, count, error = NOTHING, "", NOTHING
    try:
        hits = output.search(find, MOST_HITS, regex=regex)
    except ValidationError as problem:
        error = trouble_html("; ".join(problem.errors.values()))
    else:
        groups = _groups(output, hits.lines)
        draw = _Lines(address, stream).draw
        numbers = {line.number for line in hits.lines}
        _, shown = _fitting(
            groups, 0, lambda group: join([*(draw(line, hit=line.number in numbers) for line in group), Html("<hr>")])
        )
        if shown:
            content = _region(address, stream, join(shown), last=groups[len(shown) - 1][-1].number)
        count = _matches(output, hits) + ("; the first of them:" if len(shown) < len(groups) else "")
    bar = html(
        '<div class="bar"><h3>{}</h3><span class="num" role="status">{}</span>'
        '<span class="ways"><a href="{}">{}</a><a href="{}">show all lines</a></span>'
        '<a class="load" href="{}">Download</a></div>{}{}',
        stream,
        count,
        address.link(regex="" if regex else "1"),
        "as plain text" if regex else "as regular expression",
        address.link(find="", regex=""),
        download,
        _missing(output),
        error,
    )
    return Panel(bar, content)


def _groups(output: Output, hits: Sequence[Line]) -> list[list[Line]]:
    """Return what was found with the lines around it; what is near to each other in one group."""
    spans: list[tuple[int, int]] = []
    for number in (line.number for line in hits if line.number is not None):
        if spans and number - CONTEXT <= spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], number + CONTEXT)
        else:
            spans.append((max(1, number - CONTEXT), number + CONTEXT))
    found = {line.number: line for line in hits}  # these show a very long line where the text is
    return [[found.get(line.number, line) for line in output.lines(a, b - a + 1)] for a, b in spans]


def _matches(output: Output, hits: Hits) -> str:
    count = len(hits.lines)
    if not hits.complete:
        return (
            f"the first {count:,} matches; there may be more" if count else "no match yet: the search ran out of time"
        )
    part = length(output) if output.whole else f"the excerpt's {amount(output.size)}"
    return f"{_count(count, 'matching line')} in {part}" if count else f"no match in {part}"


def _to(address: Address, stream: str, **fields: str) -> str:
    """Return the link to another place in a stream; the other one stays where it is."""
    gone = {f"{stream}_from": "", f"{stream}_to": "", "line": ""}
    return address.link(**{**gone, **fields})


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
