"""Output of runs: by line number from either end, searched, safe to show, byte for byte to download."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from admin_ui import output
from admin_ui.errors import StorageError, ValidationError
from admin_ui.output import Line, Outputs, from_text, visible


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return Outputs(tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "output" / "job"
    folder.mkdir(parents=True)
    return folder / "r1.stdout"


def show(outputs: Outputs):
    return outputs.open("job", "r1", "stdout")


def texts(lines: list[Line]) -> list[tuple[int, str]]:
    return [(line.number, line.text) for line in lines]


@pytest.mark.parametrize(
    ("data", "count"), [(b"", 0), (b"a", 1), (b"a\n", 1), (b"a\nb", 2), (b"\n", 1), (b"\n\n", 2), (b"a\r\nb\r\n", 2)]
)
def test_lines_are_counted_as_people_count_them(outputs, file, data, count):
    file.write_bytes(data)

    with show(outputs) as found:
        assert found.line_count() == count
        assert [line.number for line in found.lines(1, 10)] == list(range(1, count + 1))


@pytest.mark.parametrize("chunk", [3, 64, 1 << 20])
def test_any_range_of_lines_is_that_of_the_whole_text(outputs, file, monkeypatch, chunk):
    monkeypatch.setattr(output, "CHUNK_BYTES", chunk)
    draw = random.Random(chunk)
    for _ in range(20):
        lines = ["x" * draw.choice((0, 1, 2, 3, 4, 9, 40)) + str(number) for number in range(draw.randint(1, 30))]
        file.unlink(missing_ok=True)
        file.write_text("\n".join(lines) + draw.choice(("", "\n")))
        with show(outputs) as found:
            first, count = draw.randint(-2, 32), draw.randint(0, 12)
            expected = [
                (number, lines[number - 1]) for number in range(max(1, first), min(first + count, len(lines) + 1))
            ]
            assert texts(found.lines(first, count)) == expected
            assert texts(found.tail(count)) == list(enumerate(lines, 1))[max(0, len(lines) - count) :]


def test_a_growing_file_is_counted_on(outputs, file):
    file.write_text("1\n2\n")
    with show(outputs) as found:
        assert found.line_count() == 2
    with file.open("a") as more:
        more.write("3\n4")
    with show(outputs) as found:
        assert found.line_count() == 4
        assert texts(found.tail(2)) == [(3, "3"), (4, "4")]


@pytest.mark.parametrize(("text", "lines"), [("", 0), ("a\n", 1), ("much longer than it was\n", 1)])
def test_a_file_that_was_emptied_is_counted_anew(outputs, file, text, lines):
    file.write_text("1\n2\n3\n")
    with show(outputs) as found:
        found.line_count()
    file.write_text(text)
    with show(outputs) as found:
        assert found.line_count() == len(found.tail(5)) == lines


def test_a_very_long_line_is_cut_and_the_next_one_has_its_number(outputs, file):
    file.write_text("x" * 10_000_000 + "\nnext\n")

    with show(outputs) as found:
        first, second = found.lines(1, 5)
    assert (first.cut, len(first.text)) == (True, output.LONGEST_LINE)
    assert (second.number, second.text) == (2, "next")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\tü€😀", "plain\tü€😀"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("live\u202eevil\u2066", "live\\u202eevil\\u2066"),
        ("a\rb\x00\x7f\x9b", "a\\x0db\\x00\\x7f\\x9b"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("tag\U000e0041", "tag\\U000e0041"),
        (b"\xff\xc3".decode("utf-8", "surrogateescape"), "\\xff\\xc3"),
    ],
)
def test_what_is_not_plainly_seen_is_shown_as_an_escape(text, shown):
    assert visible(text) == shown


def test_markup_is_left_to_the_page(outputs, file):
    file.write_text("<script>${7*7}{{7*7}}</script>")

    with show(outputs) as found:
        assert found.tail(1)[0].text == "<script>${7*7}{{7*7}}</script>"


@pytest.mark.parametrize("chunk", [5, 1 << 20])
def test_a_search_finds_every_line_with_its_number_once(outputs, file, monkeypatch, chunk):
    monkeypatch.setattr(output, "CHUNK_BYTES", chunk)
    file.write_bytes(b"one\nNeedle needle\n\nthree\nx needle\xff\nend\nNEEDLE")

    with show(outputs) as found:
        hits = found.search("needle")
    assert [(line.number, line.text) for line in hits.lines] == [
        (2, "Needle needle"),
        (5, "x needle\\xff"),
        (7, "NEEDLE"),
    ]
    assert hits.complete


def test_a_search_that_stops_at_its_limit_says_so(outputs, file):
    file.write_text("a\n" * 10)

    with show(outputs) as found:
        assert not found.search("a", 3).complete
        assert found.search("a", 10).complete


def test_a_search_in_a_very_long_line_shows_what_is_around(outputs, file):
    file.write_text("x" * 1_000_000 + "NEEDLE" + "y" * 1_000_000)

    with show(outputs) as found:
        (line,) = found.search("needle").lines
    assert line.text[:206] == "x" * 200 + "NEEDLE"


@pytest.mark.parametrize("text", ["", "x" * 500])
def test_a_search_for_nothing_or_too_much_is_refused(outputs, file, text):
    file.write_text("a")
    with show(outputs) as found, pytest.raises(ValidationError):
        found.search(text)


def test_five_megabytes_are_searched_in_half_a_second(outputs, file):
    line = "2026-06-01 12:00:00 worker 7 wrote 1234 rows into the table of orders, which is quite a lot\n"
    file.write_text(line * 28_000 + "the NEEDLE\n" + line * 28_000)

    began = time.monotonic()
    with show(outputs) as found:
        hits = found.search("needle")
    assert [each.number for each in hits.lines] == [28_001]
    assert hits.complete
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("data", [b"", bytes(range(256)) * 9000, b"\r\n\x1b\xff"])
def test_a_download_is_byte_exact(outputs, file, data):
    file.write_bytes(data)

    with show(outputs) as found:
        assert b"".join(found.chunks()) == data


def test_a_download_ends_where_the_file_ended_when_it_was_opened(outputs, file):
    file.write_bytes(b"abc")
    with show(outputs) as found:
        file.write_bytes(b"abcdef")
        assert b"".join(found.chunks()) == b"abc"


def test_output_in_the_journal_reads_the_same():
    found = from_text("a\nb\n", whole=False)

    assert texts(found.tail(1)) == [(2, "b")]
    assert b"".join(found.chunks()) == b"a\nb\n"
    assert not found.whole


def test_what_is_not_there_is_none(outputs):
    with show(outputs) as found:
        assert found is None


@pytest.mark.parametrize(
    "names",
    [
        ("..", "r1", "stdout"),
        ("job", "../r1", "stdout"),
        ("job", "r1", "log"),
        ("", "r1", "stdout"),
        ("a\0", "r1", "stdout"),
    ],
)
def test_a_name_that_is_none_never_becomes_a_path(outputs, names):
    with pytest.raises(ValidationError), outputs.open(*names):
        pass


@pytest.mark.parametrize("where", ["file", "job", "output"])
def test_no_link_is_followed(outputs, tmp_path, where):
    elsewhere = tmp_path / "elsewhere" / "job"
    elsewhere.mkdir(parents=True)
    (elsewhere / "r1.stdout").write_text("secret")
    if where == "output":
        (tmp_path / "output").symlink_to("elsewhere")
    elif where == "job":
        (tmp_path / "output").mkdir()
        (tmp_path / "output" / "job").symlink_to(elsewhere)
    else:
        (tmp_path / "output" / "job").mkdir(parents=True)
        (tmp_path / "output" / "job" / "r1.stdout").symlink_to(elsewhere / "r1.stdout")

    with pytest.raises(StorageError), show(outputs):
        pass


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_without_waiting(outputs, file, make):
    make(file)

    with pytest.raises(StorageError), show(outputs):
        pass


def test_no_descriptor_is_left_open(outputs, file):
    file.write_text("a")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with show(outputs):
            pass
        with outputs.open("none", "r1", "stdout"):
            pass

    assert len(os.listdir("/proc/self/fd")) == before
