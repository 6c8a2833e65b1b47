"""Replaces secrets in a stream of bytes by as many asterisks.

The length stays, so that an offset in the masked stream is the same one in the raw stream. Every
byte of every occurrence of every pattern is replaced, also where occurrences overlap, but for
line ends, which stay. The result does not depend on how the stream is cut into pieces.

The cost does not grow with the number of patterns, and is linear in the size of the stream,
whatever is in it. All places are looked at at once: a table tells whether the eight bytes there
may begin a pattern (patterns have eight at least), and only what remains is compared, exactly,
once for each length that patterns have.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ci_controller.output.secret_forms import Pattern

_WORD = 8
_MASK = ord("*")
_LINE_ENDS = b"\r\n"
_BLOCK = 1 << 17
_SPARE_BITS, _MOST_BITS = 8, 20
"""Of the table: so that one place in 256 is looked at in vain, unless there are very many."""

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""Knuth's multiplicative hashing: 2^64 over the golden ratio."""
_MIX = np.uint64(0xD6E8FEB86659FD93)

Words = NDArray[np.uint64]
Places = NDArray[np.int64]


class PatternSet:
    """Patterns of 8 bytes or more, prepared to be looked for; for any number of maskers."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        by_shape, by_before = defaultdict(list), defaultdict(list)
        for content, before, after in sorted(set(patterns)):
            by_shape[len(content), before, after].append(content)
            by_before[before].append(content)
        if not by_shape or min(by_shape)[0] < _WORD:
            raise ValueError("patterns have 8 bytes at least")
        self.context = max(by_shape)[0] - 1
        """So many bytes before a place can matter to it."""
        self._sorted = sorted(by_before.items())
        self._first_bytes = frozenset(one[0] for same in by_before.values() for one in same)
        self._groups = [
            _Group.of(same, before, after) for (_, before, after), same in sorted(by_shape.items())
        ]
        bits = min(sum(map(len, by_shape.values())).bit_length() + _SPARE_BITS, _MOST_BITS)
        self._shift = np.uint64(64 - bits)
        self._may_begin = np.zeros(1 << bits, dtype=bool)
        self._first_words = np.unique(np.concatenate([one.words[:, 0] for one in self._groups]))
        self._may_begin[self._slots(self._first_words)] = True
        self._begins_in = np.zeros((len(self._groups), len(self._first_words)), dtype=bool)
        """By group and first word."""
        for row, group in enumerate(self._groups):
            self._begins_in[row, np.searchsorted(self._first_words, group.words[:, 0])] = True

    def covered(self, content: bytes) -> NDArray[np.bool_]:
        """Which bytes are part of an occurrence that lies in `content` as a whole."""
        edges = np.zeros(len(content) + 1, dtype=np.int32)
        for start in range(0, len(content), _BLOCK):
            block = content[start : start + _BLOCK + self.context]
            if len(block) >= _WORD:
                self._mark(block, edges[start:])
        covered: NDArray[np.bool_] = np.cumsum(edges[:-1], dtype=np.int32) > 0
        return covered

    def open_end(self, content: bytes) -> tuple[int, int]:
        """Where the longest end of `content` begins that a pattern may begin with, and the first
        place whose fate depends on what comes.
        """
        size = len(content)
        start = open_ = size
        for at in range(max(size - self.context, 0), size):
            if content[at] not in self._first_bytes:
                continue
            for before, known in self._sorted:
                if _begins_one_of(known, content[at:]):
                    start, open_ = min(start, at), min(open_, at + before)
            if open_ <= at:
                break  # later ends begin, and leave open, later places
        return start, open_

    def _mark(self, block: bytes, edges: NDArray[np.int32]) -> None:
        words: Words = np.ndarray((len(block) - _WORD + 1,), np.uint64, block, 0, (1,))
        places = np.flatnonzero(self._may_begin[self._slots(words)])
        first = _rows(self._first_words, words[places])
        known = self._first_words[first] == words[places]
        places, first = places[known], first[known]
        if not places.size:
            return
        for row in np.flatnonzero(self._begins_in[:, np.unique(first)].any(axis=1)):
            group = self._groups[row]
            found = group.find(words, places[self._begins_in[row, first]], len(block))
            # A place is found once a group, so that nothing is lost in these sums.
            edges[found + group.before] += 1
            edges[found + group.length - group.after] -= 1

    def _slots(self, words: Words) -> Places:
        return ((words * _SPREAD) >> self._shift).view(np.int64)


@dataclass(frozen=True, slots=True)
class _Group:
    """The patterns of one shape, each as words of eight bytes, the last of which may overlap."""

    length: int
    before: int
    after: int
    offsets: tuple[int, ...]
    """Of the words in a pattern."""
    words: Words
    """A row a pattern, in the order of their digests."""
    digests: Words
    last_words: Words
    """In order, each once."""

    @classmethod
    def of(cls, patterns: Sequence[bytes], before: int, after: int) -> "_Group":
        length = len(patterns[0])
        offsets = (*range(0, length - _WORD, _WORD), length - _WORD)
        words = np.array(
            [[np.frombuffer(one, np.uint64, 1, at)[0] for at in offsets] for one in patterns],
            dtype=np.uint64,
        )
        digests = _digests([words[:, column] for column in range(len(offsets))])
        order = np.argsort(digests)
        last = np.unique(words[:, -1])
        return cls(length, before, after, offsets, words[order], digests[order], last)

    def find(self, words: Words, places: Places, size: int) -> Places:
        """Those of the places at which one of the patterns is."""
        places = places[: np.searchsorted(places, size - self.length, side="right")]
        # Secrets that begin alike seldom end alike.
        places = places[_is_in(words[places + self.offsets[-1]], self.last_words)]
        if not places.size:
            return places
        digests = _digests([words[places + offset] for offset in self.offsets])
        rows = _rows(self.digests, digests)
        for column, offset in enumerate(self.offsets):
            same = words[places + offset] == self.words[rows, column]
            places, rows = places[same], rows[same]
        return places


def _begins_one_of(known: Sequence[bytes], end: bytes) -> bool:
    """Whether one of these, which are in order, begins so and goes on."""
    # Those that begin so follow it in order; one that is the same goes first.
    at = bisect_left(known, end)
    if at < len(known) and known[at] == end:
        at += 1
    return at < len(known) and known[at].startswith(end)


def _rows(known: Words, wanted: Words) -> Places:
    """Where each would be in what is known and in order; any row when it is not there."""
    if len(known) == 1:
        return np.zeros(len(wanted), dtype=np.int64)
    return np.minimum(np.searchsorted(known, wanted), len(known) - 1)


def _is_in(wanted: Words, known: Words) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = known[_rows(known, wanted)] == wanted
    return found


def _digests(columns: Sequence[Words]) -> Words:
    """One number for the words of a pattern. They are compared, too, so it need not be unique
    in a log; among the patterns of a length two with the same one are as likely as 1 in 2^64.
    """
    digests = columns[0] * _MIX
    for column in columns[1:]:
        digests = (digests ^ (digests >> np.uint64(29)) ^ column) * _MIX
    return digests


class Masker:
    """Masks one stream. What may be the beginning of a secret is held back until it is known."""

    def __init__(self, patterns: PatternSet) -> None:
        self._patterns = patterns
        self._held = b""
        self._told = 0
        """Of the bytes held, those that are out already: that they are masked was certain."""

    def feed(self, content: bytes) -> bytes:
        """The next bytes of the stream; what can be told of the masked stream by now."""
        raw = self._held + content
        masked, covered = self._masked(raw)
        start, open_ = self._patterns.open_end(raw)
        end = max(open_, self._told)
        while end < len(raw) and (covered[end] or raw[end] in _LINE_ENDS):
            end += 1
        told, self._told = self._told, end - start
        self._held = raw[start:]
        return masked[told:end]

    def finish(self) -> bytes:
        """The rest, when the stream has ended."""
        masked, _ = self._masked(self._held)
        told, self._told, self._held = self._told, 0, b""
        return masked[told:]

    def _masked(self, raw: bytes) -> tuple[bytes, NDArray[np.bool_]]:
        covered = self._patterns.covered(raw)
        if not covered.any():
            return raw, covered
        masked = np.frombuffer(raw, np.uint8).copy()
        masked[covered & (masked != _LINE_ENDS[0]) & (masked != _LINE_ENDS[1])] = _MASK
        return masked.tobytes(), covered


def mask(patterns: PatternSet, content: bytes) -> bytes:
    """The whole of something, masked."""
    masker = Masker(patterns)
    return masker.feed(content) + masker.finish()
