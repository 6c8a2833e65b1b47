"""The forms in which a secret may show in a log, as byte patterns to look for.

A pattern is a whole form, or, of a long one, pieces that follow each other and so cover it.
Shells, tools and libraries write values raw, in base64 (which has three alignments, since it
reads three bytes at a time and does not know where ours begin), in hexadecimal, and escaped for
URLs, JSON and XML.
"""

import base64
import html
import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import quote, quote_plus

from ci_common.secret import MIN_SECRET_BYTES, Secret, masked_lines

_PIECE = 64
_BASE64_PIECE = 16
"""Base64 is often broken into lines; a break costs the piece that it is in."""

_BASE64_LINES = (76, 64)
"""Columns after which `base64` (RFC 2045) and `openssl` (RFC 1421) break lines."""

_ELLIPSIS = b"..."
_ELIDED_BYTES = 256
"""How much of either end of a value may be left of one that was shortened."""


class Pattern(NamedTuple):
    """Bytes to look for, and how many at their beginning and end are not the secret's."""

    content: bytes
    before: int = 0
    after: int = 0


def patterns(secrets: Iterable[Secret]) -> list[Pattern]:
    """All patterns of these secrets, each once, of 8 to 67 bytes."""
    found: set[Pattern] = set()
    for secret in secrets:
        found.update(map(Pattern, _pieces(_on_terminal(secret.value), _PIECE)))
        for text in _texts(secret.value):
            for form in _escaped(text):
                found.update(map(Pattern, _pieces(form, _PIECE)))
            for form in _base64(text):
                found.update(map(Pattern, _pieces(form, _BASE64_PIECE)))
        shortened = _shortened(secret.value.strip())
        found.update(one for one in shortened if len(one.content) >= MIN_SECRET_BYTES)
    return sorted(found)


def _texts(value: bytes) -> set[bytes]:
    """The value, and each of its lines; with what is around them, and without."""
    return {value, value.strip(), *masked_lines(value)}


def _on_terminal(text: bytes) -> bytes:
    """As a terminal writes it."""
    return text.replace(b"\n", b"\r\n")


def _escaped(text: bytes) -> Iterator[bytes]:
    yield text
    yield text.hex().encode()
    yield text.hex().upper().encode()
    for form in (quote(text, safe=""), quote(text), quote_plus(text)):
        yield form.encode()
        yield _lower_escapes(form).encode()
    yield from _quoted(text)
    decoded = text.decode("latin-1")  # byte by byte: only ASCII is replaced
    for quotes in (True, False):
        yield html.escape(decoded, quote=quotes).encode("latin-1")


def _shortened(value: bytes) -> Iterator[Pattern]:
    """What is left of a value that was shortened in its middle, as pytest does in its reports.

    One pattern for each place where it may have been cut; a whole piece before, or after, the
    place is a pattern already, so that these need not reach further.
    """
    dots = len(_ELLIPSIS)
    for text in {value, *_quoted(value)}:
        for end in range(1, min(len(text), _ELIDED_BYTES)):
            yield Pattern(text[max(end - _PIECE, 0) : end] + _ELLIPSIS, after=dots)
        for begin in range(max(len(text) - _ELIDED_BYTES, 1), len(text)):
            yield Pattern(_ELLIPSIS + text[begin : begin + _PIECE], before=dots)


def _quoted(text: bytes) -> Iterator[bytes]:
    """As source code and JSON write it."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        return
    for ascii_only in (True, False):
        yield json.dumps(decoded, ensure_ascii=ascii_only)[1:-1].encode()
    yield repr(decoded)[1:-1].encode()


def _lower_escapes(form: str) -> str:
    first, *others = form.split("%")
    return "%".join([first, *(other[:2].lower() + other[2:] for other in others)])


def _base64(text: bytes) -> Iterator[bytes]:
    for form in _aligned_base64(text):
        yield form
        yield form.replace(b"+", b"-").replace(b"/", b"_")


def _aligned_base64(text: bytes) -> Iterator[bytes]:
    for before in range(3):
        # Characters that also hold bits of what is before the text are not known.
        unknown = (0, 2, 3)[before]
        encoded = base64.b64encode(b"\0" * before + text)[unknown:]
        whole = encoded.rstrip(b"=")
        yield encoded
        yield whole
        # Nor is, when something follows, the last one, unless it is full.
        yield whole if (before + len(text)) % 3 == 0 else whole[:-1]
        if before == 0:
            for columns in _BASE64_LINES:
                yield from (encoded[at : at + columns] for at in range(0, len(encoded), columns))


def _pieces(form: bytes, length: int) -> Iterator[bytes]:
    if len(form) < MIN_SECRET_BYTES:
        return
    for at in range(0, max(len(form) - length, 0), length):
        yield form[at : at + length]
    yield form[-length:]
