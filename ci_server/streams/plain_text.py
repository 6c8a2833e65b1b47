"""The text of a log's lines without the escape sequences of terminals, and where its bytes are."""

import re
from bisect import bisect_right
from itertools import accumulate

LONGEST_SEQUENCE = 4 + 4096

_SEQUENCE = re.compile(
    rb"\x1b(?:"
    rb"\[[0-?]{0,256}[ -/]{0,16}[@-~]|"  # CSI: colours, movements
    rb"\][^\x07\x1b\r\n]{0,4096}(?:\x07|\x1b\\)|"  # OSC: titles, links
    rb"[PX^_][^\x1b\r\n]{0,4096}\x1b\\|"  # DCS, SOS, PM, APC
    rb"[ -/]{0,16}[0-~])"  # the others; and what of the above has no end
)
"""ECMA-48, as an expression; none is longer than `LONGEST_SEQUENCE`, or goes beyond a line.

It is no part of a larger expression: a log may have so many sequences that can be read in two ways
that to try them all takes for ever, while no other thread runs.
"""


class PlainText:
    """The text of a part of a line. Part and text are bytes, of which some may not be UTF-8."""

    def __init__(self, part: bytes) -> None:
        self._part = part
        self.text = b"".join(_SEQUENCE.split(part)) if b"\x1b" in part else part
        self._places: list[int] | None = None
        self._removed: list[int] = []

    def place_of(self, index: int) -> int:
        """The index in the part of the byte of the text that has this index."""
        if len(self.text) == len(self._part):
            return index
        if self._places is None:
            spans = [match.span() for match in _SEQUENCE.finditer(self._part)]
            self._removed = list(accumulate(end - begin for begin, end in spans))
            before = (0, *self._removed[:-1])
            self._places = [span[0] - removed for span, removed in zip(spans, before, strict=True)]
        number = bisect_right(self._places, index)
        return index + (self._removed[number - 1] if number else 0)

    def index_from(self, place: int) -> int:
        """The index in the text of the first byte at or after this place in the part."""
        if place == 0 or len(self.text) == len(self._part):
            return place  # without a look at the sequences: most parts have nothing to be found
        low, high = 0, len(self.text)
        while low < high:
            middle = (low + high) // 2
            if self.place_of(middle) < place:
                low = middle + 1
            else:
                high = middle
        return low
