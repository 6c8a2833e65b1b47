"""Search in logs against a naive model: decoded, stripped text, character by character."""

import re
from unittest import mock

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ci_common.errors import InvalidSearchError
from ci_server.streams import log_scan, plain_text
from ci_server.streams.log_scan import LogScan
from ci_server.streams.search_term import LONGEST_TERM, SearchTerm, fold

PART, OVERLAP, CONTEXT = 150, 100, 40


def sequence_length(content, at):
    """Of the escape sequence there, by hand; 0 when there is none."""
    rest = content[at + 1 :]
    if rest[:1] == b"[":
        end = 1
        while end < len(rest) and 0x30 <= rest[end] <= 0x3F:
            end += 1
        while end < len(rest) and 0x20 <= rest[end] <= 0x2F:
            end += 1
        if end < len(rest) and 0x40 <= rest[end] <= 0x7E:
            return end + 2
    elif rest[:1] in (b"]", b"P", b"X", b"^", b"_"):
        end = 1
        while (
            end < len(rest)
            and rest[end] not in (0x1B, 0x0D)
            and not (rest[end] == 7 and rest[:1] == b"]")
        ):
            end += 1
        if rest[:1] == b"]" and rest[end : end + 1] == b"\x07":
            return end + 2
        if rest[end : end + 2] == b"\x1b\\":
            return end + 3
    end = 0
    while end < len(rest) and 0x20 <= rest[end] <= 0x2F:
        end += 1
    return end + 2 if end < len(rest) and 0x30 <= rest[end] <= 0x7E else 0


def characters(version):
    """The characters of a version of a line, each with where it begins and ends in it."""
    places, at, longest = [], 0, 0
    while at < len(version):
        length = sequence_length(version, at) if version[at] == 0x1B else 0
        longest = max(longest, length)
        if not length:
            places.append(at)
        at += length or 1
    text = bytes(version[place] for place in places).decode("utf-8", "surrogateescape")
    found, index = [], 0
    for one in text:
        size = len(one.encode("utf-8", "surrogateescape"))
        found.append((one, places[index], places[index + size - 1] + 1))
        index += size
    return found, longest


def naive(content, term, exact, since=0):
    """Offset, length, line and line offset of each hit."""
    alike = str if exact else fold
    wanted, hits, line_offset = [alike(one) for one in term], [], 0
    for number, line in enumerate(content.split(b"\n"), 1):
        of_line, offset = [], line_offset
        for version in line.split(b"\r"):
            found, longest = characters(version)
            assume(longest < CONTEXT)
            at, of_version = 0, []
            while at + len(wanted) <= len(found):
                begin, end = offset + found[at][1], offset + found[at + len(wanted) - 1][2]
                text = [alike(one) for one, _, _ in found[at : at + len(wanted)]]
                if begin >= since and text == wanted:
                    assume(end - begin < OVERLAP)
                    of_version.append((begin, end - begin, number, line_offset))
                    at += len(wanted)
                else:
                    at += 1
            of_line = of_version or of_line
            offset += len(version) + 1
        hits += of_line
        line_offset += len(line) + 1
    return hits


def scanned(content, term, exact, sizes=(1 << 20,), since=0, most=10_000):
    """The hits, when the bytes come in pieces of these sizes."""
    number = content[:since].count(b"\n") + 1
    scan = LogScan(
        SearchTerm(term, exact_case=exact), most, since, number, content.rfind(b"\n", 0, since) + 1
    )
    at, hits, turn = scan.first_offset, [], 0
    while at < len(content):
        size = sizes[turn % len(sizes)]
        hits += scan.feed(content[at : at + size])
        at, turn = at + size, turn + 1
    return hits + scan.finish()


LETTERS = [
    *("a", "A", "b", "k", "K", "\u212a", "s", "\u017f", "ß", "ẞ", "i", "\u0131", "İ"),
    *("é", "É", "д", "Д"),
]
TEXT = st.lists(st.sampled_from([*LETTERS, " ", "m", "1"]), min_size=1, max_size=4).map("".join)
BYTES = [
    *(
        b"\n",
        b"\r",
        b"\r\n",
        b"\x1b[31m",
        b"\x1b[",
        b"\x1b",
        b"\x1b[1;2k",
        b"\x1b]0;ab\x07",
        b"aba",
    ),
    *(
        b"\x1b]8;;a\x1b\\",
        b"\x1bPab\x1b\\",
        b"\x1bp",
        b"\x1b(B",
        b"\xff",
        b"\xc3",
        b"\xa9",
        b"\0",
        b"aba",
    ),
]
PIECES = st.one_of(
    TEXT.map(str.encode),
    st.sampled_from(BYTES),
    st.sampled_from([b"a", b"ab", b"K", b"\x1b[m"]).map(lambda one: one * 15),
)


@settings(max_examples=400, deadline=None)
@given(
    content=st.lists(PIECES, max_size=60).map(b"".join),
    term=TEXT,
    exact=st.booleans(),
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=4),
    since=st.integers(0, 200),
    large=st.sampled_from([0, 50, 1 << 20]),
)
def test_hits_are_those_of_the_naive_model(content, term, exact, sizes, since, large):
    """Also in parts that are so large that escape sequences are found by arrays."""
    since = min(since, len(content))
    expected = naive(content, term, exact, since)
    with (
        mock.patch.multiple(log_scan, _LONG_LINE=PART, _OVERLAP=OVERLAP, _CONTEXT=CONTEXT),
        mock.patch.object(plain_text, "_LARGE", large),
    ):
        found = scanned(content, term, exact, sizes, since)
    assert [(one.offset, one.length, one.line, one.line_offset) for one in found] == expected
    for one in found:
        shown = content[one.offset : one.offset + one.length]
        if b"\x1b" not in shown:
            assert shown.decode(errors="replace") == one.match


COLOURED = (
    b"\x1b[1mtests/a.py\x1b[0m::\x1b[32mnee\x1b[1;31mdle\x1b[0m \x1b]8;;http://a/needle\x07nee"
    b"\x1b]8;;\x1b\\dle\x1b(B\x1b[m\r\x1b[K\xff\x1bN\xc3EEDLE \x1b]0;no end\n"
    b"\x1b[31mn\x1b[0me\x1b[me\x1b7d\x1bPq\x1b\\le\x1b[1\n\x1b[\n \x1b[2KNeeDLE\x1b"
)


@pytest.mark.parametrize("large", [0, 1 << 20])
def test_it_does_not_matter_where_the_bytes_are_cut(large):
    expected = scanned(COLOURED, "needle", exact=False)
    found = [COLOURED[hit.offset : hit.offset + hit.length] for hit in expected]
    assert found == [
        b"nee\x1b[1;31mdle",
        b"nee\x1b]8;;\x1b\\dle",
        b"n\x1b[0me\x1b[me\x1b7d\x1bPq\x1b\\le",
        b"NeeDLE",
    ]
    with mock.patch.object(plain_text, "_LARGE", large):
        for size in range(1, len(COLOURED)):
            assert scanned(COLOURED, "needle", False, (size, len(COLOURED))) == expected, size


def test_the_text_around_a_hit_is_bounded_and_without_escape_sequences():
    line = (
        b"x\n" + b"\x1b[32m\xc3\xa9" * 500 + b"\x1b[1mNee\x1b[0mdle" + b"\xe2\x82\xac\x1b[m" * 500
    )
    (hit,) = scanned(line + b"\n", "needle", exact=False)
    assert (hit.before, hit.before_cut) == ("é" * 120, True)
    assert (hit.match, hit.line, hit.line_offset) == ("Needle", 2, 2)
    assert (hit.after, hit.after_cut) == ("€" * 240, True)
    assert line[hit.offset : hit.offset + hit.length] == b"Nee\x1b[0mdle"
    (hit,) = scanned(b"old\ra needle!\r\n", "needle", exact=True)
    assert (hit.before, hit.before_cut, hit.after, hit.after_cut) == ("a ", False, "!", False)


def test_of_an_overwritten_line_the_last_version_with_the_text_counts():
    content = b"10% error\r20% error error\r30% done\nerror\n"
    assert [hit.offset for hit in scanned(content, "error", exact=True)] == [14, 20, 35]


def test_what_is_in_an_escape_sequence_is_no_text():
    content = b"\x1b[31mred\x1b[0m \x1b]8;;http://a/31m\x1b\\link\x1b]8;;\x1b\\ 31m\n"
    assert [hit.offset for hit in scanned(content, "31m", exact=True)] == [content.rindex(b"31m")]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("sequence", [b"\x1b[m", b"\x1b]m\x1b\\", b"\x1bPm\x1b\\", b"\x1bpm"])
def test_no_log_makes_a_search_slow_by_sequences_that_can_be_read_in_two_ways(sequence, exact):
    content = b"m" + sequence * (300_000 // len(sequence)) + b"\n"
    found = scanned(content, "m" * 11 + "z", exact=exact, sizes=(256 << 10,))
    assert found == []


def test_lines_of_ten_megabytes():
    content = b"a" * (10 << 20) + b"needle" + b"\x1b[31m b" * (1 << 20) + b"need\x1b[1mle\nneedle"
    found = scanned(content, "NEEDLE", exact=False, sizes=(256 << 10,))
    places = [match.start() for match in re.finditer(rb"need(\x1b\[1m)?le", content)]
    assert [(hit.offset, hit.line) for hit in found] == list(zip(places, (1, 1, 2), strict=True))
    assert found[1].before_cut


@pytest.mark.parametrize("content", [b"a" * 5_000_000, b"a\n" * 2_500_000, b"a\r" * 2_500_000])
def test_no_more_hits_are_made_than_are_wanted(content):
    scan = LogScan(SearchTerm("A"), 5)
    assert len(scan.feed(content) or scan.finish()) == (1 if b"\r" in content else 5)


@pytest.mark.parametrize("text", ["", "x" * (LONGEST_TERM + 1), "a\nb", "a\rb", "\x1b[31m", "\0"])
def test_what_cannot_be_searched_for_is_refused(text):
    with pytest.raises(InvalidSearchError):
        SearchTerm(text)


def test_a_term_of_the_greatest_length():
    text = "Ä1\tß" * (LONGEST_TERM // 4)
    content = "\x1b[3m".join(text.lower()).encode()
    assert len(scanned(content, text, exact=False)) == 1
