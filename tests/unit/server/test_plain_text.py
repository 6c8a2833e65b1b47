"""Escape sequences in large parts of a log, found by arrays: those that the expression finds."""

from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_server.streams import plain_text
from ci_server.streams.escape_sequences import SEQUENCE
from ci_server.streams.plain_text import PlainText
from ci_server.streams.sequence_arrays import find_sequences

SHORT = [
    *(b"\x1b", b"\x1b[", b"\x1b]", b"\x1bP", b"\x1bX", b"\x1b^", b"\x1b_", b"\x1b\\", b"\x1b[31m"),
    *(b"\\", b"\x07", b"\r", b"\n", b"m", b";", b"1", b" ", b"a", b"(B", b"\x7f", b"\xff", b"\0"),
]
LONG = [
    *(b"1" * 255, b"1" * 256, b"1" * 257, b" " * 15, b" " * 16, b" " * 17),
    *(b"x" * 4095, b"x" * 4096, b"x" * 4097),
]
PARTS = st.lists(st.sampled_from(SHORT * 3 + LONG), max_size=30).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(part=PARTS)
def test_arrays_find_what_the_expression_finds(part):
    begins, ends = find_sequences(part)
    spans = list(zip(begins.tolist(), ends.tolist(), strict=True))
    assert spans == [match.span() for match in SEQUENCE.finditer(part)]


@pytest.mark.parametrize("large", [0, 1 << 20])
@settings(max_examples=100, deadline=None)
@given(part=st.lists(st.sampled_from(SHORT), max_size=20).map(b"".join))
def test_each_byte_of_the_text_has_its_place_in_the_part(large, part):
    removed = {at for match in SEQUENCE.finditer(part) for at in range(*match.span())}
    places = [at for at in range(len(part)) if at not in removed]
    with mock.patch.object(plain_text, "_LARGE", large):
        plain = PlainText(part)
    assert plain.text == bytes(part[place] for place in places)
    assert [plain.place_of(index) for index in range(len(places))] == places
    for place in range(len(part) + 1):
        assert plain.index_from(place) == sum(one < place for one in places)
