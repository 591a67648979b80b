"""Output of runs: by line number from either end, searched, safe to show, byte for byte to download."""

from __future__ import annotations

import io
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from admin_ui import line_index, output, output_search, regex_search
from admin_ui.errors import StorageError, ValidationError
from admin_ui.escapes import ESCAPES, UNSAFE, visible
from admin_ui.output import Line, Outputs, from_text


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


def texts(lines: Sequence[Line]) -> list[tuple[int | None, str]]:
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
    monkeypatch.setattr(line_index, "CHUNK_BYTES", chunk)
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
    assert len(first.text) == output.LONGEST_LINE
    assert (first.bytes_before, first.bytes_after) == (0, 10_000_000 - output.LONGEST_LINE)
    assert second == Line(2, "next")


@pytest.mark.parametrize("more", ["", "\n", "\nlast", "\r\n"])
def test_a_cut_line_ends_with_a_whole_character_and_says_how_much_is_left(outputs, file, monkeypatch, more):
    monkeypatch.setattr(output, "LONGEST_LINE", 8)
    file.write_text("abcde€uvw" + more, newline="")

    with show(outputs) as found:
        (line,) = found.lines(1, 1)
    assert (line.text, line.bytes_after) == ("abcde€", 3 + more.startswith("\r"))


@pytest.mark.parametrize("chunk", [7, 64])
@pytest.mark.parametrize("longest", [4, 40])
def test_lines_of_any_length_have_true_numbers_and_are_counted_out(outputs, file, monkeypatch, chunk, longest):
    for module in (line_index, output):
        monkeypatch.setattr(module, "CHUNK_BYTES", chunk)
    monkeypatch.setattr(output, "LONGEST_LINE", longest)
    draw = random.Random(chunk * longest)
    for _ in range(20):
        lines = ["x" * draw.choice((0, 3, 4, 5, 50, 300)) for _ in range(draw.randint(1, 9))] + ["end"]
        file.unlink(missing_ok=True)
        file.write_text("\n".join(lines) + draw.choice(("", "\n")))
        with show(outputs) as found:
            seen = [(line.number, len(line.text) + line.bytes_after) for line in found.lines(1, 20)]
            assert seen == [(number, len(line)) for number, line in enumerate(lines, 1)]


def test_a_line_far_into_a_large_file_is_there_once_it_is_counted(outputs, file, monkeypatch):
    monkeypatch.setattr(output, "COUNT_BYTES", 10)
    monkeypatch.setattr(line_index, "CHUNK_BYTES", 5)
    file.write_text("".join(f"{number:04}\n" for number in range(1, 21)))

    seen: list[list[tuple[int | None, str]]] = []
    while not seen or not seen[-1]:
        with show(outputs) as found:
            seen.append(texts(found.lines(15, 2)))

    assert seen[-1][0] == (15, "0015")
    assert len(seen) > 5  # each call read ten bytes on


def test_a_large_file_is_counted_step_by_step_and_its_number_of_lines_never_wrong(outputs, file, monkeypatch):
    monkeypatch.setattr(output, "COUNT_BYTES", 10)
    monkeypatch.setattr(line_index, "CHUNK_BYTES", 4)
    file.write_text("a\n" * 12)
    counts = []
    for _ in range(4):
        with show(outputs) as found:
            counts.append(found.line_count())

    assert counts == [None, None, 12, 12]


def test_the_end_of_a_large_file_is_there_before_it_is_counted(outputs, file, monkeypatch):
    monkeypatch.setattr(output, "QUICK_BYTES", 20)
    monkeypatch.setattr(output, "TAIL_BYTES", 16)
    file.write_text("".join(f"line {number}\n" for number in range(1, 10)))
    with show(outputs) as found:
        assert texts(found.tail(1)) == [(None, "line 9")]
        assert texts(found.tail(100)) == [(None, "line 8"), (None, "line 9")]
        assert texts(found.lines(3, 1)) == [(3, "line 3")]
        found.line_count()
    with show(outputs) as found:
        assert texts(found.tail(2)) == [(8, "line 8"), (9, "line 9")]


def test_a_hole_of_a_tebibyte_is_counted_over_at_once(outputs, file):
    file.write_bytes(b"first\nsecond")
    with file.open("r+b") as opened:
        opened.seek(1 << 40)
        opened.write(b"\nthird\n")
        opened.truncate(2 << 40)
    with show(outputs) as found:
        first, second = found.lines(1, 2)
        third, fourth = found.lines(3, 10)

    assert [each.number for each in (first, second, third, fourth)] == [1, 2, 3, 4]
    assert (first.text, second.text[:10], third.text) == ("first", "second\\x00", "third")
    assert second.bytes_after == (1 << 40) - len("first\n") - output.LONGEST_LINE
    assert fourth.bytes_after == (1 << 40) - len("\nthird\n") - output.LONGEST_LINE


def test_what_was_counted_is_known_although_another_reader_opened_the_file_meanwhile(outputs, file, monkeypatch):
    monkeypatch.setattr(output, "QUICK_BYTES", 0)
    file.write_text("a\nb\n")
    with show(outputs) as counting:
        with show(outputs):
            pass
        counting.line_count()

    with show(outputs) as found:
        assert texts(found.tail(1)) == [(2, "b")]


def test_the_end_of_a_large_file_may_be_one_long_line(outputs, file, monkeypatch):
    monkeypatch.setattr(output, "QUICK_BYTES", 0)
    monkeypatch.setattr(output, "TAIL_BYTES", 10)
    monkeypatch.setattr(output, "LONGEST_LINE", 4)
    file.write_text("x" * 50 + "end")
    with show(outputs) as found:
        assert found.tail(3) == [Line(None, "xend", bytes_before=6)]
    file.write_text("x" * 50 + "\n" + "123456")
    with show(outputs) as found:
        assert found.tail(3) == [Line(None, "1234", bytes_after=2)]


def test_an_index_that_is_copied_while_another_thread_counts_counts_right(monkeypatch):
    monkeypatch.setattr(line_index, "CHUNK_BYTES", 4)
    index, copies = line_index.LineIndex(), []

    class CopiedWhileItIsRead(io.BytesIO):
        def read(self, size=-1):
            copies.append(index.copy())
            return super().read(size)

    index.extend(CopiedWhileItIsRead(b"a\n" * 10), 20)
    for copy in copies:
        copy.extend(io.BytesIO(b"a\n" * 10), 20)

    assert {(copy.newlines, copy.counted) for copy in copies} == {(10, 20)}
    assert len(copies) > 5


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\tü€😀\nnext", "plain\tü€😀\nnext"),
        ("nothing\u3164\u115f", "nothing\\u3164\\u115f"),
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


def test_every_character_that_is_not_plainly_seen_has_its_escape():
    assert [code for code in range(sys.maxunicode + 1) if UNSAFE.match(chr(code))] == sorted(ESCAPES)


def test_a_long_text_of_escapes_takes_no_call_for_each():
    calls: list[str] = []
    sys.setprofile(lambda frame, event, argument: calls.append(event))
    try:
        shown = visible("\x01" * 10_000)
    finally:
        sys.setprofile(None)

    assert shown == "\\x01" * 10_000
    assert len(calls) < 100


def test_markup_is_left_to_the_page(outputs, file):
    file.write_text("<script>${7*7}{{7*7}}</script>")

    with show(outputs) as found:
        assert found.tail(1)[0].text == "<script>${7*7}{{7*7}}</script>"


@pytest.mark.parametrize("chunk", [5, 1 << 20])
@pytest.mark.parametrize(("text", "regex"), [("needle", False), ("ne{2}dle", True), ("^(x )?needle", True)])
def test_a_search_finds_every_line_with_its_number_once(outputs, file, monkeypatch, chunk, text, regex):
    monkeypatch.setattr(output, "CHUNK_BYTES", chunk)
    file.write_bytes(b"one\nNeedle needle\n\nthree\nx needle\xff\nend\nNEEDLE")

    with show(outputs) as found:
        hits = found.search(text, regex=regex)
    assert [(line.number, line.text) for line in hits.lines] == [
        (2, "Needle needle"),
        (5, "x needle\\xff"),
        (7, "NEEDLE"),
    ]
    assert hits.complete


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"\x1b[31mRed\x1b[0m", r"\x1b[31mRed\x1b[0m"),
        (b"live \xe2\x80\xaeevil", r"live \u202eevil"),
        ("tag \U000e0041".encode(), r"tag \U000e0041"),
        (b"bytes \xff\xc3 and \x80", r"bytes \xff\xc3 and \x80"),
        ("a control \x80".encode(), r"control \x80"),
        (b"one\rtwo", r"one\x0dtwo"),
        (b"\x00\x7f", r"\x00\x7f"),
        (rb"written out: \x1b[31m", r"out: \x1B[31m"),
        ("written out: \\xE9t\\u00E9, été".encode(), r"\xe9t\u00e9, É"),
    ],
)
def test_a_search_finds_what_is_shown_as_an_escape_by_that(outputs, file, line, shown):
    file.write_bytes(b"plain\r\n" + line + b"\n" + "xé1b[31mé\r\n".encode())

    with show(outputs) as found:
        hits = found.search(shown)
    assert [hit.number for hit in hits.lines] == [2]
    assert shown.casefold() in hits.lines[0].text.casefold()


@pytest.mark.parametrize("pattern", [r"^\x1b", r"\u202e$", r"\udcff"])
def test_a_regular_expression_finds_escapes_as_python_reads_them(outputs, file, pattern):
    file.write_bytes(b"plain\n\x1b[31m \xff \xe2\x80\xae\n")

    with show(outputs) as found:
        assert [line.number for line in found.search(pattern, regex=True).lines] == [2]


def test_an_escape_in_a_very_long_line_is_shown_with_what_is_around(outputs, file):
    file.write_bytes(b"\x1b" * 300_000 + b"\x07" + b"\x1b" * 300_000)

    with show(outputs) as found:
        (line,) = found.search(r"\x1b\x07").lines
    assert line.bytes_before == 300_000 - 1 - 200
    assert r"\x1b\x07\x1b" in line.text


@pytest.mark.parametrize("text", ["^(?!line)", "^$"])
def test_what_follows_the_last_line_break_of_a_block_is_no_line(outputs, file, text):
    file.write_bytes(b"line 1\n" * 300_000)  # two blocks and a bit

    with show(outputs) as found:
        assert not found.search(text, regex=True).lines


@pytest.mark.parametrize("regex", [False, True])
def test_a_search_that_stops_at_its_limit_says_so(outputs, file, regex):
    file.write_text("a\n" * 10)

    with show(outputs) as found:
        few, all_of_them = found.search("a", 3, regex=regex), found.search("a", 10, regex=regex)
    assert ([line.number for line in few.lines], few.complete) == ([1, 2, 3], False)
    assert (len(all_of_them.lines), all_of_them.complete) == (10, True)


@pytest.mark.parametrize("regex", [False, True])
def test_a_search_in_a_very_long_line_shows_what_is_around(outputs, file, regex):
    file.write_text("one\n" + "€" * 500_000 + "NEEDLE" + "y" * 1_000_000 + "\nneedle\n")

    with show(outputs) as found:
        line, last = found.search("needle", regex=regex).lines
    around = line.text.index("NEEDLE")
    assert line.number == 2
    assert 60 <= around <= 70 and set(line.text[:around]) == {"€"}
    assert line.bytes_before + len(line.text.encode()) + line.bytes_after == 3 * 500_000 + 6 + 1_000_000
    assert last == Line(3, "needle")


@pytest.mark.parametrize("regex", [False, True])
def test_what_lies_across_two_blocks_of_a_very_long_line_is_found_once(outputs, file, monkeypatch, regex):
    monkeypatch.setattr(regex_search, "LONGEST_BLOCK", 2000)
    monkeypatch.setattr(output, "CHUNK_BYTES", 500)
    for before in range(1990, 2002):
        file.unlink(missing_ok=True)
        file.write_text("\n" + "x" * before + "NEEDLE" + "y" * 3000 + "\nNEEDLE")
        with show(outputs) as found:
            assert [line.number for line in found.search("needle", regex=regex).lines] == [2, 3]


def test_a_regular_expression_in_a_line_of_several_blocks_does_not_say_that_there_is_no_match(file, outputs):
    file.write_text("x" * (regex_search.LONGEST_BLOCK + 5) + "\nplain\n")

    with show(outputs) as found:
        assert found.search("a.*b", regex=True) == output.Hits((), complete=False)
        assert found.search("plain", regex=True).lines == (Line(2, "plain"),)


def test_a_windows_line_ends_before_its_carriage_return(outputs, file):
    file.write_bytes(b"one\r\ntwo\r\n")

    with show(outputs) as found:
        assert texts(found.search("e$", regex=True).lines) == [(1, "one")]


def test_a_regular_expression_that_takes_for_ever_is_ended(outputs, file, monkeypatch):
    monkeypatch.setattr(output_search, "SECONDS", 1.0)
    file.write_text("first ab\n" + "a" * 60 + "\n")

    with show(outputs) as found:
        hits = found.search("(a+)+b", regex=True)
    assert not hits.complete
    assert texts(hits.lines) in ([], [(1, "first ab")])  # nothing, where even the start took longer


def test_a_search_without_time_left_says_that_it_is_not_complete(outputs, file, monkeypatch):
    monkeypatch.setattr(output_search, "SECONDS", -1.0)
    file.write_text("needle\n")

    with show(outputs) as found:
        assert found.search("needle") == output.Hits((), complete=False)


def test_output_in_the_journal_is_searched_with_regular_expressions_too():
    found = from_text("one\ntwo\n", whole=True)

    assert texts(found.search("^t.o$", regex=True).lines) == [(2, "two")]
    assert texts(found.tail(1)) == [(2, "two")]


@pytest.mark.parametrize("text", ["", "x" * 201, "a\nb", "a\0", "\ud800"])
@pytest.mark.parametrize("regex", [False, True])
def test_a_search_for_nothing_too_much_or_no_text_is_refused(outputs, file, text, regex):
    file.write_text("a")
    with show(outputs) as found, pytest.raises(ValidationError):
        found.search(text, regex=regex)


@pytest.mark.parametrize("pattern", ["(", "*", "[a", "(?P<", "a{99999999999}"])
def test_what_is_no_regular_expression_says_so(outputs, file, pattern):
    file.write_text("a")
    with show(outputs) as found, pytest.raises(ValidationError, match="no regular expression"):
        found.search(pattern, regex=True)


def test_a_search_leaves_no_process_and_no_file_open(outputs, file):
    file.write_text("a\n")
    with show(outputs) as found:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            found.search("a", regex=True)
        assert len(os.listdir("/proc/self/fd")) == before
        assert texts(found.lines(1, 1)) == [(1, "a")]  # whose place in the file nobody moved


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


def test_a_pattern_that_takes_too_much_memory_is_ended_and_what_was_found_is_told(outputs, file):
    file.write_text("needle aa\n" + "a" * (3 << 20))

    with show(outputs) as found:
        hits = found.search("(?:(?:a)+?)+?$", regex=True)
        assert (texts(hits.lines), hits.complete) == ([(1, "needle aa")], False)
        astral = "\N{GRINNING FACE}" * (regex_search.LONGEST_BLOCK // 4 - 10)
    file.write_text(f"{astral} needle\n" * 3)
    with show(outputs) as found:
        assert found.search("nee?dle$", regex=True).complete
