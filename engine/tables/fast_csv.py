"""Reading regular CSV a megabyte at a time, with numpy.

A chunk of whole lines is regular when it is plain printable ASCII without quotes or spaces around
fields, has the same number of fields in every line, plain decimal numbers of at most 15 digits and
known words. Anything else makes `parse_chunk` return None, and the careful reader takes over for
that chunk: it accepts more, and says what is wrong.

Numbers are correctly rounded: at most 15 digits make an integer below 2⁵³, which is exact, and its
quotient by a power of ten up to 10¹⁵, which is exact too, is rounded once (W. D. Clinger, "How to
read floating point numbers accurately", 1990).
"""

from collections.abc import Sequence

import numpy as np

from engine.numbers.arrays import AnyArray, Bytes, Integers, Words
from engine.tables.columns import MAX_TEXT_BYTES, Choice, Column, Identifier, Number, Text

COMMA, NEWLINE, POINT, ZERO, QUOTE = (ord(c) for c in ',\n.0"')
MAX_DIGITS = 15
PADDING = MAX_TEXT_BYTES + 8
POWERS_OF_TEN = np.array([10.0**k for k in range(MAX_DIGITS + 1)])
KEEP_BYTES = np.array([(1 << (8 * k)) - 1 for k in range(9)], np.uint64)
LOWER_CASE = np.uint64(0x2020202020202020)
HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class Irregular(Exception):
    """The chunk has to be read with care."""


def parse_chunk(data: bytes, kinds: Sequence[Column]) -> list[AnyArray] | None:
    """The columns of a chunk that ends with a line's end, or None when it is not regular.

    Numbers come in their column's dtype, choices as int8 codes, identifiers as fixed-width bytes,
    and texts as an object array of one element: a tuple of int32 codes and their labels.
    """
    buffer = np.frombuffer(data + bytes(PADDING), np.uint8)
    try:
        starts, lengths = _fields(buffer[: len(data)], len(kinds))
        return [_column(buffer, starts[i], lengths[i], kind) for i, kind in enumerate(kinds)]
    except Irregular:
        return None


def _fields(text: Bytes, width: int) -> tuple[AnyArray, AnyArray]:
    """Where fields start and how long they are; both of shape (columns, rows)."""
    newlines = np.count_nonzero(text == NEWLINE)
    if np.count_nonzero(text < 32) != newlines or (text >= 127).any() or (text == QUOTE).any():
        raise Irregular
    ends = np.flatnonzero((text == COMMA) | (text == NEWLINE))
    if len(ends) != newlines * width:
        raise Irregular
    if not (text[ends[width - 1 :: width]] == NEWLINE).all():
        raise Irregular
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1] + 1
    shape = (newlines, width)
    return starts.reshape(shape).T.copy(), (ends - starts).reshape(shape).T.copy()


def _column(buffer: Bytes, starts: Integers, lengths: Integers, kind: Column) -> AnyArray:
    if isinstance(kind, Number):
        return _numbers(buffer, starts, lengths, kind)
    if isinstance(kind, Choice):
        return _choices(buffer, starts, lengths, kind)
    if isinstance(kind, Identifier):
        return _identifiers(buffer, starts, lengths)
    return _texts(buffer, starts, lengths)


def _numbers(buffer: Bytes, starts: Integers, lengths: Integers, kind: Number) -> AnyArray:
    width = int(lengths.max())
    if int(lengths.min()) < 1 or width > MAX_DIGITS + 1:
        raise Irregular
    windows = _windows(buffer, starts, width).T.copy()
    mantissa, decimals, digits = _digits(windows, lengths)
    if (kind.whole and decimals.any()) or int(digits.min()) < 1 or int(digits.max()) > MAX_DIGITS:
        raise Irregular
    values = mantissa / POWERS_OF_TEN[decimals] if decimals.any() else mantissa.astype(np.float64)
    if not kind.accepts(values).all():
        raise Irregular
    return values.astype(kind.dtype)


def _digits(windows: Bytes, lengths: Integers) -> tuple[Integers, Integers, Integers]:
    """Mantissa, digits after the point and digits in all, of fields laid out as (width, rows)."""
    mantissa = np.zeros(windows.shape[1], np.int64)
    points = np.zeros(windows.shape[1], np.int64)
    decimals = np.zeros(windows.shape[1], np.int64)
    shortest = int(lengths.min())
    for place, characters in enumerate(windows):
        digit = characters - np.uint8(ZERO)
        wrong = digit > 9
        inside = lengths > place
        if place >= shortest:
            wrong &= inside
        if not wrong.any():
            longer = mantissa * 10 + digit
            mantissa = longer if place < shortest else np.where(inside, longer, mantissa)
            continue
        if not (characters[wrong] == POINT).all():
            raise Irregular
        points += wrong
        decimals += np.where(wrong, lengths - (place + 1), 0)
        mantissa = np.where(inside & ~wrong, mantissa * 10 + digit, mantissa)
    if (points > 1).any():
        raise Irregular
    return mantissa, decimals, lengths - points


def _choices(buffer: Bytes, starts: Integers, lengths: Integers, kind: Choice) -> AnyArray:
    spellings = kind.all_spellings
    count = (max(map(len, spellings)) + 7) // 8
    if int(lengths.max()) > 8 * count:
        raise Irregular
    words = _words(buffer, starts, lengths, count)
    if kind.any_case:
        words = [word | (LOWER_CASE & _kept(lengths, i)) for i, word in enumerate(words)]
    codes = np.full(len(starts), -1, np.int8)
    for spelling, code in spellings.items():
        padded = spelling.encode().ljust(8 * count, b"\0")
        wanted = [int.from_bytes(padded[8 * i : 8 * i + 8], "little") for i in range(count)]
        same = words[0] == np.uint64(wanted[0])
        for word, value in zip(words[1:], wanted[1:], strict=True):
            same &= word == np.uint64(value)
        codes[same] = code
    if (codes < 0).any():
        raise Irregular
    return codes


def _identifiers(buffer: Bytes, starts: Integers, lengths: Integers) -> AnyArray:
    width = int(lengths.max())
    if int(lengths.min()) < 1 or width > MAX_TEXT_BYTES:
        raise Irregular
    fields = _windows(buffer, starts, width)
    fields *= np.arange(width) < lengths[:, None]
    return fields.view(f"S{width}")[:, 0]


def _texts(buffer: Bytes, starts: Integers, lengths: Integers) -> AnyArray:
    """Codes and labels: equal texts are found by a hash, and then compared word by word."""
    width = int(lengths.max())
    if width > MAX_TEXT_BYTES:
        raise Irregular
    words = _words(buffer, starts, lengths, max(1, (width + 7) // 8))
    key = lengths.astype(np.uint64)
    for word in words:
        key = (key ^ word) * HASH_MULTIPLIER
        key ^= key >> np.uint64(29)
    _, first, codes = np.unique(key, return_index=True, return_inverse=True)
    if any((word != word[first][codes]).any() for word in words):
        raise Irregular
    spans = zip(starts[first].tolist(), lengths[first].tolist(), strict=True)
    labels = [buffer[a : a + n].tobytes().decode("ascii") for a, n in spans]
    result = np.empty(1, object)
    result[0] = (codes.astype(np.int32), labels)
    return result


def _windows(buffer: Bytes, starts: Integers, width: int) -> Bytes:
    """`width` bytes from each start; shape (rows, width)."""
    view = np.lib.stride_tricks.sliding_window_view(buffer, width)
    return view[starts]


def _words(buffer: Bytes, starts: Integers, lengths: Integers, count: int) -> list[Words]:
    """Each field as `count` little-endian 8-byte words, zero after its end."""
    bytes_ = _windows(buffer, starts, 8 * count)
    words = bytes_.view("<u8").astype(np.uint64, copy=False)
    return [words[:, i] & _kept(lengths, i) for i in range(count)]


def _kept(lengths: Integers, word: int) -> Words:
    return KEEP_BYTES[np.clip(lengths - 8 * word, 0, 8)]


def is_text(kind: Column) -> bool:
    """Whether a column's chunks are codes with labels of their own."""
    return isinstance(kind, Text) and not isinstance(kind, Identifier)
