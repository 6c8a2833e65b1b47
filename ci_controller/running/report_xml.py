"""XML reports that a program of a job wrote, read as they stream by.

What a strict parser would refuse, such as control characters, is replaced (see report_text). The
content may be hostile: declarations of entities are refused, and so is what is nested too deep or
too long. Memory stays constant.
"""

from abc import ABC, abstractmethod
from xml.parsers import expat

from ci_controller.running.report_text import ReportText, UnknownEncodingError

MAX_REPORT_BYTES = 32 << 20

_MAX_DEPTH = 100
_MAX_PIECE = 2 << 20
"""Of a tag with its attributes, or a comment: the parser holds it, many times as large, whole."""

_SHOWN = 500


class BadReportError(Exception):
    """This is no report that can be read; the message says why."""


class NotAReportError(BadReportError):
    """Nor was it meant as one, as far as can be seen."""


class XmlReport(ABC):
    """Reads one report: `feed` its bytes, then `finish`. Tags are told without their prefix."""

    roots: frozenset[str]
    """What the first tag of such a report may be."""

    def __init__(self) -> None:
        self._size = 0
        self._depth = 0
        self._is_report = False
        """Whether the root is that of a report."""
        self._text = ReportText()
        self._unread = 0
        """Bytes since the parser had something to tell."""
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.DefaultHandler = self._other

    def feed(self, content: bytes) -> None:
        """The next bytes. Raises BadReportError."""
        self._size += len(content)
        if self._size > MAX_REPORT_BYTES:
            raise self._error(f"it is longer than {MAX_REPORT_BYTES >> 20} MiB")
        self._unread += len(content)
        self._parse(content, last=False)
        if self._unread > _MAX_PIECE:
            raise self._error("a tag is too long")

    def finish(self) -> None:
        """There is no more. Raises BadReportError when it is not whole."""
        self._parse(b"", last=True)

    @abstractmethod
    def start_tag(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins. May raise BadReportError."""

    @abstractmethod
    def end_tag(self, tag: str) -> None:
        """An element ends."""

    @abstractmethod
    def characters(self, content: str) -> None:
        """Text between tags, perhaps only a part of it."""

    def allows_doctype(self, name: str, *, has_declarations: bool) -> bool:
        """Whether the report may have this document type."""
        return False

    def _parse(self, content: bytes, *, last: bool) -> None:
        try:
            self._parser.Parse(self._text.feed(content, last=last), last)
        except (expat.ExpatError, ValueError, UnknownEncodingError) as error:
            raise self._error(str(error)) from error

    def _error(self, why: str) -> BadReportError:
        return BadReportError(why) if self._is_report else NotAReportError(why)

    def _doctype(self, name: str, _system: object, _public: object, declares: int) -> None:
        if not self.allows_doctype(local_name(name), has_declarations=bool(declares)):
            error = BadReportError if local_name(name) in self.roots else NotAReportError
            raise error("it has a document type")

    def _other(self, _: str) -> None:
        self._unread = 0

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = local_name(tag)
        self._unread = 0
        self._depth += 1
        if self._depth == 1:
            if tag not in self.roots:
                raise NotAReportError(f"the root is {tag[:_SHOWN]!r}")
            self._is_report = True
        if self._depth > _MAX_DEPTH:
            raise BadReportError("it is nested too deeply")
        self.start_tag(tag, attributes)

    def _end(self, tag: str) -> None:
        self._unread = 0
        self.end_tag(local_name(tag))
        self._depth -= 1

    def _characters(self, content: str) -> None:
        self._unread = 0
        self.characters(content)


def local_name(name: str) -> str:
    """Without the prefix of its namespace."""
    return name.rpartition(":")[2]
