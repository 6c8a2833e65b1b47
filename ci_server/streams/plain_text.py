"""The text of a log's lines without the escape sequences of terminals, and where its bytes are."""

import re
from bisect import bisect_right

ESCAPE_SEQUENCE = (
    rb"\x1b(?>"
    rb"\[[0-?]{0,256}[ -/]{0,16}[@-~]|"  # CSI: colours, movements
    rb"\][^\x07\x1b\r\n]{0,4096}(?:\x07|\x1b\\)|"  # OSC: titles, links
    rb"[PX^_][^\x1b\r\n]{0,4096}\x1b\\|"  # DCS, SOS, PM, APC
    rb"[ -/]{0,16}[0-~])"  # the others; and what of the above has no end
)
"""ECMA-48, as an expression; none is longer than `LONGEST_SEQUENCE`, or goes beyond a line.

It is atomic: one that was found is not read in another way because of what follows. A log could
have so many ways that to try them all takes for ever, while no other thread runs.
"""

LONGEST_SEQUENCE = 4 + 4096

_SEQUENCE = re.compile(ESCAPE_SEQUENCE)

_UPPER_CASE = (b"\x1bP", b"\x1bX")
"""They begin sequences of another kind than the same letters in lower case."""


def in_lower_case(content: bytes) -> bytes:
    """ASCII letters in lower case, but for those that tell where an escape sequence ends."""
    for begin in _UPPER_CASE:
        if begin in content:
            return begin.join(map(in_lower_case, content.split(begin)))
    return content.lower()


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
            self._places = []
            removed = 0
            for match in _SEQUENCE.finditer(self._part):
                self._places.append(match.start() - removed)
                removed += len(match[0])
                self._removed.append(removed)
        before = bisect_right(self._places, index)
        return index + (self._removed[before - 1] if before else 0)

    def index_from(self, place: int) -> int:
        """The index in the text of the first byte at or after this place in the part."""
        if len(self.text) == len(self._part):
            return place
        low, high = 0, len(self.text)
        while low < high:
            middle = (low + high) // 2
            if self.place_of(middle) < place:
                low = middle + 1
            else:
                high = middle
        return low
