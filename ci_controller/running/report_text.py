"""The text of an XML document that a program of a job wrote, with what a strict parser would refuse
replaced: colours of a terminal in a message must not cost a failing test its place in the report.
"""

import codecs
import re

_HEAD = 1024
"""Within so many bytes a document says what its encoding is."""

_DECLARED = re.compile(
    rb"""<\?xml[^>]{1,200}?encoding\s{0,9}=\s{0,9}["']([A-Za-z0-9._-]{1,40})["']"""
)
"""Only at the beginning: a report may well quote the declaration of another document."""
_ENCODINGS = re.compile(
    r"utf-?8|utf-?16(-?[lb]e)?|(us-)?ascii|iso-?8859-?\d{1,2}|latin-?1|(windows-?|cp)125\d|cp\d{3}"
    r"|koi8-[ru]|gb2312|gbk|gb18030|big5|euc-(jp|kr)",
    re.IGNORECASE,
)
"""Those that are decoded piece by piece in constant memory."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_REFERENCE = re.compile(r"&#(?:x([0-9A-Fa-f]+)|([0-9]+));")
_CUT_REFERENCE = re.compile(r"&(#(x[0-9A-Fa-f]*|[0-9]*))?\Z")
_LONGEST_REFERENCE = 64


class UnknownEncodingError(Exception):
    """The document's encoding is none that is read here."""


class ReportText:
    """Decodes one document, piece by piece."""

    def __init__(self) -> None:
        self._head = b""
        self._decoder: codecs.IncrementalDecoder | None = None
        self._cut = ""
        """The beginning of a character reference at the end of the last piece."""

    def feed(self, content: bytes, *, last: bool = False) -> str:
        """The next piece as text; it may be empty. Raises UnknownEncodingError."""
        if self._decoder is None:
            self._head += content
            if len(self._head) < _HEAD and not last:
                return ""
            content, self._head = self._head, b""
            encoding = _byte_order(content)
            if encoding is None or encoding == "utf-8-sig":
                # Whatever is before the first tag is no part of a document: lines of a log, spaces.
                content = content[max(content.find(b"<"), 0) :]
                encoding = _declared(content)
            self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        text = self._cut + _ILLEGAL.sub(_REPLACEMENT, self._decoder.decode(content, last))
        self._cut = ""
        tail = max(len(text) - _LONGEST_REFERENCE, 0)
        if not last and (cut := _CUT_REFERENCE.search(text, tail)):
            text, self._cut = text[: cut.start()], cut.group()
        return _REFERENCE.sub(_repaired, text)


def _byte_order(head: bytes) -> str | None:
    """The encoding that a mark at the beginning tells."""
    return next((encoding for mark, encoding in _MARKS if head.startswith(mark)), None)


def _declared(document: bytes) -> str:
    declared = _DECLARED.match(document)
    if declared is None:
        return "utf-8"
    name = declared.group(1).decode()
    if not _ENCODINGS.fullmatch(name):
        raise UnknownEncodingError(f"the encoding {name!r} is not known")
    try:
        codecs.lookup(name)
    except LookupError:
        raise UnknownEncodingError(f"the encoding {name!r} is not known") from None
    return name


def _repaired(reference: re.Match[str]) -> str:
    digits, base = (reference[1], 16) if reference[1] is not None else (reference[2], 10)
    number = int(digits, base) if len(digits) <= 8 else 0x110000
    legal = number <= 0x10FFFF and not _ILLEGAL.match(chr(number))
    return reference[0] if legal else _REPLACEMENT
