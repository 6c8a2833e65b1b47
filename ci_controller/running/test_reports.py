"""JUnit XML reports, as pytest, Maven, Go's tools and others write them, read as they stream by.

The content is a job's, so it may be hostile: a document type (the only place where entities are
declared) is refused, and so is what is nested too deep or too long. Memory stays constant.

Tests are counted one by one. The totals that reports state themselves are not comparable: some
count nested suites twice, some count a failing teardown as another test.
"""

import heapq
from dataclasses import dataclass, field
from xml.parsers import expat

from ci_common.job import CaseResult, SuiteSummary

MAX_REPORT_BYTES = 32 << 20

_MAX_DEPTH = 100
_MAX_PIECE = 2 << 20
"""Of a tag with its attributes, or a comment: the parser holds it, many times as large, whole."""

_MAX_FAILURES = 100
_MAX_SLOWEST = 10
_MAX_MESSAGE = 2000
_MAX_TEXT = 64 << 10
_MAX_NAME = 500
_MAX_SECONDS = 1e9

_SUITES = frozenset({"testsuites", "testsuite"})
_OUTCOMES = ("error", "failure", "skipped")
"""Elements in a test case that tell how it went, the gravest first."""

_SAYS_NOTHING = frozenset({"", "failed", "collection failure", "test error"})
"""Messages that some tools write although the reason is in the text below."""


class BadReportError(Exception):
    """This is no JUnit report."""


@dataclass(slots=True)
class _Case:
    """The test case that is being read."""

    name: str
    seconds: float
    outcome: str = ""
    message: str = ""
    text: list[str] = field(default_factory=list)
    """What is between the tags of the outcome, as far as it is wanted."""
    length: int = 0

    def explain(self) -> str:
        """Why it failed."""
        text = "".join(self.text).strip()
        if self.message.strip().lower() in _SAYS_NOTHING and text:
            # pytest marks the lines of a traceback that tell the error.
            marked = [line[1:].strip() for line in text.splitlines() if line.startswith("E  ")]
            return ("\n".join(marked) or text)[:_MAX_MESSAGE]
        return self.message.strip()[:_MAX_MESSAGE]


@dataclass(slots=True)
class Tally:
    """What reports say, added up."""

    passed: int = 0
    failure: int = 0
    error: int = 0
    skipped: int = 0
    seconds: float = 0.0
    failures: list[CaseResult] = field(default_factory=list)
    slowest: list[tuple[float, int, str]] = field(default_factory=list)
    """A heap; of equally slow tests the later one goes first."""

    @property
    def total(self) -> int:
        """All tests."""
        return self.passed + self.failure + self.error + self.skipped

    def count(self, outcome: str, case: CaseResult) -> None:
        """Take in a test; `outcome` is one of `_OUTCOMES`, or `passed`."""
        self._note_time(case.seconds, -self.total, case.name)
        setattr(self, outcome, getattr(self, outcome) + 1)
        self.seconds += case.seconds
        if outcome in ("failure", "error") and len(self.failures) < _MAX_FAILURES:
            self.failures.append(case)

    def add(self, other: "Tally") -> None:
        """Take in another report."""
        for seconds, order, name in other.slowest:
            self._note_time(seconds, order - self.total, name)
        for outcome in ("passed", *_OUTCOMES):
            setattr(self, outcome, getattr(self, outcome) + getattr(other, outcome))
        self.seconds += other.seconds
        self.failures += other.failures[: _MAX_FAILURES - len(self.failures)]

    def summary(self) -> SuiteSummary:
        """For the job's row."""
        return SuiteSummary(
            total=self.total,
            passed=self.passed,
            failed=self.failure,
            errors=self.error,
            skipped=self.skipped,
            seconds=round(self.seconds, 3),
            failures=tuple(self.failures),
            slowest=tuple(
                CaseResult(name, seconds)
                for seconds, _, name in sorted(self.slowest, reverse=True)
                if seconds > 0
            ),
        )

    def _note_time(self, seconds: float, order: int, name: str) -> None:
        heapq.heappush(self.slowest, (seconds, order, name))
        if len(self.slowest) > _MAX_SLOWEST:
            heapq.heappop(self.slowest)


class JUnitReport:
    """Reads one report. `feed` its bytes, then `close` for what it says."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._size = 0
        self._depth = 0
        self._case: _Case | None = None
        self._outcome_depth = 0
        self._unread = 0
        """Bytes since the parser had something to tell."""
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.DefaultHandler = self._other

    def feed(self, content: bytes) -> None:
        """The next bytes. Raises BadReportError."""
        self._size += len(content)
        if self._size > MAX_REPORT_BYTES:
            raise BadReportError("longer than a report may be")
        self._unread += len(content)
        self._parse(content, last=False)
        if self._unread > _MAX_PIECE:
            raise BadReportError("a tag is too long")

    def close(self) -> Tally:
        """What it says. Raises BadReportError when it is not whole."""
        self._parse(b"", last=True)
        return self._tally

    def _parse(self, content: bytes, *, last: bool) -> None:
        try:
            self._parser.Parse(content, last)
        except (expat.ExpatError, ValueError, LookupError) as error:  # or the encoding is odd
            raise BadReportError(str(error)) from error

    def _refuse_doctype(self, *_: object) -> None:
        raise BadReportError("a document type")

    def _other(self, _: str) -> None:
        self._unread = 0

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._unread = 0
        self._depth += 1
        if self._depth == 1 and tag not in _SUITES:
            raise BadReportError(f"the root is {tag[:_MAX_NAME]!r}")
        if self._depth > _MAX_DEPTH:
            raise BadReportError("nested too deep")
        case = self._case
        if tag == "testcase":
            self._case = _Case(_name(attributes), _seconds(attributes.get("time", "")))
        elif case is not None and tag in _OUTCOMES and _is_graver(tag, case.outcome):
            case.outcome, case.message = tag, attributes.get("message", "")
            case.text, case.length = [], 0
            self._outcome_depth = self._depth

    def _end(self, tag: str) -> None:
        self._unread = 0
        if self._depth == self._outcome_depth:
            self._outcome_depth = 0
        self._depth -= 1
        case = self._case
        if tag == "testcase" and case is not None:
            failed = case.outcome in ("failure", "error")
            message = case.explain() if failed else ""
            self._tally.count(
                case.outcome or "passed", CaseResult(case.name, case.seconds, message)
            )
            self._case = None

    def _text(self, content: str) -> None:
        self._unread = 0
        case = self._case
        if self._outcome_depth and case is not None and case.length < _MAX_TEXT:
            case.text.append(content)
            case.length += len(content)


def _is_graver(outcome: str, than: str) -> bool:
    return not than or _OUTCOMES.index(outcome) < _OUTCOMES.index(than)


def _name(attributes: dict[str, str]) -> str:
    """`file::Class::test`, as pytest takes it, where the file is known; else `class::test`."""
    name, owner = attributes.get("name", ""), attributes.get("classname", "")
    file = attributes.get("file", "")
    module = file.removesuffix(".py").replace("/", ".")
    if file and not owner and name == module:
        return file[:_MAX_NAME]  # it could not be imported
    if file.endswith(".py") and (owner == module or owner.startswith(f"{module}.")):
        owner = "::".join([file, *owner[len(module) + 1 :].split(".")]).removesuffix("::")
    return "::".join(part for part in (owner, name) if part)[:_MAX_NAME]


def _seconds(text: str) -> float:
    """Maven writes 1,234.5 for long times. What is no time counts as none."""
    try:
        seconds = float(text.replace(",", ""))
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds <= _MAX_SECONDS else 0.0
