"""JUnit XML reports, as pytest, Maven, Go's tools and others write them, read as they stream by.

Tests are counted one by one. The totals that reports state themselves are not comparable: some
count nested suites twice, some count a failing teardown as another test.
"""

import heapq
import re
from dataclasses import dataclass, field

from typing_extensions import override

from ci_common.job import CaseResult, SuiteSummary
from ci_controller.running.report_xml import XmlReport

_MAX_FAILURES = 100
_MAX_SLOWEST = 10
_MAX_MESSAGE = 2000
_MAX_TEXT = 64 << 10
_MAX_NAME = 500
_MAX_SECONDS = 1e9

_COLORS = re.compile(r"(?:\N{REPLACEMENT CHARACTER}|#x1B)\[[0-9;:]*m")
"""As pytest writes them where it is told to use colours; or what ReportText leaves of them."""

_FILE = r"(?P<file>[^\s:\"][^\n:\"]{0,300}\.[A-Za-z]\w{0,9})"
_PLACE = re.compile(rf'^(?:\s{{0,20}}File ")?{_FILE}(?:", line |:)(?P<line>[0-9]{{1,7}})\b', re.M)
"""How pytest ends the part of a traceback, and how Python writes one: the last place is the one of
the error."""

_INSTALLED = ("/usr/", "/site-packages/")
"""In the paths of what is not the project's."""

_SUITES = frozenset({"testsuites", "testsuite"})
_OUTCOMES = ("error", "failure", "skipped")
"""Elements in a test case that tell how it went, the gravest first."""

_STATUSES = {
    "notrun": "skipped",
    "disabled": "skipped",
    "skipped": "skipped",
    "suppressed": "skipped",
    "ignored": "skipped",
    "pending": "skipped",
    "fail": "failure",
    "failed": "failure",
    "failure": "failure",
    "error": "error",
    "broken": "error",
}
"""What googletest, CTest and others say in an attribute of the test, in place of an element."""

_SAYS_NOTHING = frozenset({"", "failed", "collection failure", "test error"})
"""Messages that some tools write although the reason is in the text below."""

_PYTEST = frozenset({"pytest", "pytest tests"})
"""How pytest names its suites. Its texts begin with the source of all functions on the way."""

_COMPARED = 200
"""Characters of a message, to see whether it is repeated below."""


@dataclass(slots=True)
class _Case:
    """The test case that is being read."""

    name: str
    seconds: float
    outcome: str = ""
    message: str = ""
    file: str = ""
    line: int | None = None
    """Where the test is, as an attribute tells."""
    text: list[str] = field(default_factory=list)
    """What is between the tags of the outcome, as far as it is wanted."""
    length: int = 0
    by_status: bool = False
    """Whether the outcome is from an attribute only; an element says more."""
    by_pytest: bool = False
    is_suite: bool = False
    """Whether it stands for the failure of a suite, outside of any test."""

    def place(self) -> tuple[str, int | None]:
        """Where it failed, if that is in its text, or else where it is."""
        text = _COLORS.sub("", "".join(self.text))
        told = [
            (match["file"], int(match["line"]))
            for match in _PLACE.finditer(text)
            if not any(part in match["file"] for part in _INSTALLED)
        ]
        return told[-1] if told else (self.file, self.line)

    def explain(self) -> str:
        """Why it failed: the message, and what the text below says besides."""
        text = _COLORS.sub("", "".join(self.text)).strip()
        message = _COLORS.sub("", self.message).strip()
        # pytest marks the lines of a traceback that tell the error.
        marked = [line[1:].strip() for line in text.splitlines() if line.startswith("E  ")]
        if message.lower() in _SAYS_NOTHING:
            told = "\n".join(marked) or text or message
        elif not text or marked or self.by_pytest:
            told = message
        else:
            told = text if _begins_with(text, message) else f"{message}\n\n{text}"
        return told[:_MAX_MESSAGE]


@dataclass(slots=True)
class _Suite:
    """A test suite that is being read."""

    name: str
    declared: int
    """Failures and errors, by its own word."""
    bad_before: int
    """Failures and errors that had been counted at its start."""


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
    def bad(self) -> int:
        """Those that failed, in either way."""
        return self.failure + self.error

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


class JUnitReport(XmlReport):
    """Reads one report. `feed` its bytes, then `close` for what it says."""

    roots = _SUITES

    def __init__(self) -> None:
        super().__init__()
        self._tally = Tally()
        self._suites: list[_Suite] = []
        self._case: _Case | None = None
        self._outcome_depth = 0

    def close(self) -> Tally:
        """What it says. Raises BadReportError when it is not whole."""
        self.finish()
        return self._tally

    @override
    def start_tag(self, tag: str, attributes: dict[str, str]) -> None:
        if tag in _SUITES:
            declared = sum(_count(attributes.get(name, "")) for name in ("errors", "failures"))
            self._suites.append(_Suite(attributes.get("name", ""), declared, self._tally.bad))
        elif tag == "testcase":
            self._case = _Case(_name(attributes), _seconds(attributes.get("time", "")))
            self._case.outcome = _status(attributes)
            self._case.file = attributes.get("file", "")[:_MAX_NAME]
            self._case.line = _line(attributes)
            self._case.by_status = True
            self._case.by_pytest = any(suite.name in _PYTEST for suite in self._suites)
        elif tag in _OUTCOMES:
            self._start_outcome(tag, attributes)

    def _start_outcome(self, tag: str, attributes: dict[str, str]) -> None:
        if self._case is None and tag != "skipped":
            self._case = _Case(self._suites[-1].name[:_MAX_NAME], 0.0, is_suite=True)
        case = self._case
        if case is not None and (case.by_status or _is_graver(tag, case.outcome)):
            case.outcome, case.message = tag, attributes.get("message", "")
            case.text, case.length, case.by_status = [], 0, False
            self._outcome_depth = self._depth

    @override
    def end_tag(self, tag: str) -> None:
        case = self._case
        if self._depth == self._outcome_depth:
            self._outcome_depth = 0
            if case is not None and case.is_suite:
                self._count(case)
        if tag == "testcase" and case is not None:
            self._count(case)
        elif tag in _SUITES:
            self._end_suite(self._suites.pop())

    def _end_suite(self, suite: _Suite) -> None:
        """Some tools tell of a suite that could not be set up in its numbers only."""
        if suite.declared and self._tally.bad == suite.bad_before:
            case = _Case(suite.name[:_MAX_NAME], 0.0, "error")
            case.message = f"the suite reports {suite.declared} errors or failures without a test"
            self._count(case)

    def _count(self, case: _Case) -> None:
        failed = case.outcome in ("failure", "error")
        message = case.explain() if failed else ""
        file, line = case.place() if failed else ("", None)
        result = CaseResult(case.name, case.seconds, message, file, line)
        self._tally.count(case.outcome or "passed", result)
        self._case = None

    @override
    def characters(self, content: str) -> None:
        case = self._case
        if self._outcome_depth and case is not None and case.length < _MAX_TEXT:
            case.text.append(content)
            case.length += len(content)


def _begins_with(text: str, message: str) -> bool:
    """Whether the message is on the first line of a text, or begins there; often after the name of
    an exception.
    """
    first, *_ = text[:_MAX_MESSAGE].splitlines()
    place = " ".join(text[:_MAX_MESSAGE].split()).find(" ".join(message.split())[:_COMPARED])
    return 0 <= place < len(first)


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


def _status(attributes: dict[str, str]) -> str:
    for attribute in ("status", "result"):
        if outcome := _STATUSES.get(attributes.get(attribute, "").lower()):
            return outcome
    return ""


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _line(attributes: dict[str, str]) -> int | None:
    """The line that a test begins at. pytest counts from 0, and only it names a Python file."""
    text = attributes.get("line", "")
    if not text.isascii() or not text.isdigit() or len(text) > 7:
        return None
    return int(text) + attributes.get("file", "").endswith(".py")


def _seconds(text: str) -> float:
    """Some tools write 1,234.5 for long times, and some 0,123 where the comma is the decimal one:
    the last of the two signs is decimal, unless it is there twice. What is no time counts as none.
    """
    whole, sign, fraction = text.rpartition(max(",.", key=text.rfind))
    if sign and sign not in whole:
        text = f"{whole.replace(',', '').replace('.', '')}.{fraction}"
    else:
        text = text.replace(",", "")
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds <= _MAX_SECONDS else 0.0
