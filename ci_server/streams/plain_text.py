"""The text of a log's lines without the escape sequences of terminals, and where its bytes are."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

from ci_server.streams.escape_sequences import SEQUENCE

_LARGE = 8 << 10
"""Bytes of a part. From here on arrays are faster than the expression."""


class PlainText:
    """The text of a part of a log. Part and text are bytes, of which some may not be UTF-8."""

    def __init__(self, part: bytes) -> None:
        self._part = part
        self._begins: Sequence[int] | None = None
        """Of the sequences, in the part; with these, the other two are known."""
        self._places: Sequence[int] = ()
        """In the text, where the sequences were."""
        self._removed: Sequence[int] = ()
        """For each sequence, how many bytes are gone up to its end."""
        if b"\x1b" not in part:
            self.text = part
        elif len(part) < _LARGE:
            self.text = b"".join(SEQUENCE.split(part))
        else:
            self.text = self._text_of_large()

    def place_of(self, index: int) -> int:
        """The index in the part of the byte of the text that has this index."""
        if len(self.text) == len(self._part):
            return index
        self._sequences()
        number = bisect_right(self._places, index)
        return index + (self._removed[number - 1] if number else 0)

    def index_from(self, place: int) -> int:
        """The index in the text of the first byte at or after this place in the part."""
        if place == 0 or len(self.text) == len(self._part):
            return place  # without a look at the sequences: most parts have nothing to be found
        number = bisect_left(self._sequences(), place)
        if not number:
            return place
        return max(place - self._removed[number - 1], self._places[number - 1])

    def _sequences(self) -> Sequence[int]:
        if self._begins is None:
            spans = [match.span() for match in SEQUENCE.finditer(self._part)]
            self._begins = [begin for begin, _ in spans]
            self._removed = list(accumulate(end - begin for begin, end in spans))
            ends_and_removed = zip(spans, self._removed, strict=True)
            self._places = [end - removed for (_, end), removed in ends_and_removed]
        return self._begins

    def _text_of_large(self) -> bytes:
        # Here, because it needs numpy, which takes longer to load than all of a small search.
        from ci_server.streams.sequence_arrays import find_sequences, without

        begins, ends = find_sequences(self._part)
        removed = (ends - begins).cumsum()
        self._begins, self._places, self._removed = begins.data, (ends - removed).data, removed.data
        return without(self._part, begins, ends)
