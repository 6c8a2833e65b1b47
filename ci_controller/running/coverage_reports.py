"""Coverage reports as coverage.py, gcovr, Istanbul, lcov and others write them: Cobertura's XML,
and lcov's tracefiles. Read as they stream by, with bounds: the content is a job's.

A file of source counts once, however many reports name it, with the best of them: so the reports of
several test processes are not added up as if each had files of its own, nor those of both formats.
"""

import posixpath
import re
from dataclasses import dataclass
from hashlib import blake2b

from typing_extensions import override

from ci_common.artifact_paths import WORKSPACE
from ci_common.job import CoverageSummary
from ci_controller.running.report_xml import (
    MAX_REPORT_BYTES,
    BadReportError,
    NotAReportError,
    XmlReport,
)

COVERAGE_FILES = ("coverage.xml", "lcov.info", "output/coverage.xml", "output/lcov.info")
"""Where tools write their reports unless told otherwise, relative to the project: always kept."""

COVERAGE_NAMES = ("coverage.xml", "lcov.info")
"""A file of such a name was meant as a report."""

_MOST_SOURCES = 50_000
_LONGEST_LINE = 64 << 10
_LONGEST_SOURCE = 4096
_CONDITIONS = re.compile(r"\((\d{1,9})/(\d{1,9})\)")
_SHOWN = 60

SourceKey = bytes
"""Stands for a file of source, in a few bytes, however long its name is."""


@dataclass(slots=True)
class SourceCoverage:
    """Of one file of source, or of what a report does not divide into files."""

    lines: int = 0
    covered: int = 0
    branches: int = 0
    taken: int = 0


Sources = dict[SourceKey, SourceCoverage]


class CoverageTally:
    """What reports say, together. Raises BadReportError beyond bounds."""

    def __init__(self) -> None:
        self._sources: Sources = {}

    def add(self, report: Sources) -> None:
        """Take in a report."""
        for key, found in report.items():
            known = self._sources.get(key)
            if known is None or (found.covered, found.taken) > (known.covered, known.taken):
                _check_count(self._sources, key)
                self._sources[key] = found

    def summary(self) -> CoverageSummary:
        """For the job's row."""
        sources = self._sources.values()
        return CoverageSummary(
            lines_covered=sum(one.covered for one in sources),
            lines_total=sum(one.lines for one in sources),
            branches_covered=sum(one.taken for one in sources),
            branches_total=sum(one.branches for one in sources),
        )


class CoberturaReport(XmlReport):
    """Reads one XML report. `feed` its bytes, then `close` for what it says."""

    roots = frozenset({"coverage"})

    def __init__(self, path: str) -> None:
        """`path` is that of the report, which stands for its sources where it names none."""
        super().__init__()
        self._path = path
        self._sources: Sources = {}
        self._totals = SourceCoverage()
        self._current: SourceCoverage | None = None
        """Of the class that is being read."""
        self._in_methods = 0
        self._places: list[str] = []
        """Directories that names are relative to; two are as many as more."""
        self._place: str | None = None

    def close(self) -> Sources:
        """What it says. Raises BadReportError when it is not whole."""
        self.finish()
        if not any(one.lines for one in self._sources.values()) and self._totals.lines:
            return {source_key(self._path): self._totals}
        return self._sources

    @override
    def allows_doctype(self, name: str, *, has_declarations: bool) -> bool:
        return name in self.roots and not has_declarations  # many tools name Cobertura's own

    @override
    def start_tag(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "line" and self._current is not None and not self._in_methods:
            _count_line(self._current, attributes)
        elif tag == "class":
            self._current = self._source(attributes.get("filename") or attributes.get("name", ""))
        elif tag == "methods":  # whose lines are among those of the class, too
            self._in_methods += 1
        elif tag == "source" and len(self._places) < 2:
            self._place = ""
        elif tag == "coverage" and self._depth == 1:
            self._read_root(attributes)

    @override
    def end_tag(self, tag: str) -> None:
        if tag == "class":
            self._current = None
        elif tag == "methods":
            self._in_methods -= 1
        elif tag == "source" and self._place is not None:
            self._places.append(self._place.strip())
            self._place = None

    @override
    def characters(self, content: str) -> None:
        if self._place is not None and len(self._place) < _LONGEST_SOURCE:
            self._place += content

    def _read_root(self, attributes: dict[str, str]) -> None:
        if not {"line-rate", "lines-valid"} & attributes.keys():
            raise NotAReportError("it is not in Cobertura's format")
        names = ("lines-valid", "lines-covered", "branches-valid", "branches-covered")
        totals = SourceCoverage(*(_number(attributes.get(name, "")) for name in names))
        _check_totals(totals)
        self._totals = totals

    def _source(self, name: str) -> SourceCoverage:
        place = self._places[0] if len(self._places) == 1 else ""
        return _entry(self._sources, source_key(posixpath.join(place, name)))


class LcovReport:
    """Reads one tracefile. `feed` its bytes, then `close` for what it says."""

    def __init__(self) -> None:
        self._size = 0
        self._rest = b""
        self._sources: Sources = {}
        self._record: _Record | None = None
        self._is_report = False

    def feed(self, content: bytes) -> None:
        """The next bytes. Raises BadReportError."""
        self._size += len(content)
        if self._size > MAX_REPORT_BYTES:
            raise self._error(f"it is longer than {MAX_REPORT_BYTES >> 20} MiB")
        *lines, self._rest = (self._rest + content).split(b"\n")
        for line in lines:
            self._read(line.strip())
        if len(self._rest) > _LONGEST_LINE:
            raise self._error("a line is too long")

    def close(self) -> Sources:
        """What it says. Raises BadReportError when it is not whole."""
        self._read(self._rest.strip())
        if self._record is not None:
            raise BadReportError("it ends in the middle of a record")
        if not self._is_report:
            raise NotAReportError("it is empty")
        return self._sources

    def _read(self, line: bytes) -> None:
        kind, _, rest = line.partition(b":")
        if not line or line.startswith(b"#"):
            return
        if not self._is_report and kind not in (b"TN", b"SF"):
            shown = line[:_SHOWN].decode(errors="replace")
            raise NotAReportError(f"its first line is {shown!r}, and not that of a tracefile")
        self._is_report = True
        if kind == b"SF":
            self._record = _Record(source_key(rest.decode(errors="surrogateescape")))
        elif self._record is not None and line == b"end_of_record":
            coverage = self._record.coverage()
            _check_totals(coverage)
            _add(_entry(self._sources, self._record.key), coverage)
            self._record = None
        elif self._record is not None:
            self._record.read(kind, rest)

    def _error(self, why: str) -> BadReportError:
        return BadReportError(why) if self._is_report else NotAReportError(why)


class _Record:
    """What a tracefile says of one file of source: counted, and as it says itself."""

    def __init__(self, key: SourceKey) -> None:
        self.key = key
        self._counted = SourceCoverage()
        self._told: dict[bytes, int] = {}

    def read(self, kind: bytes, rest: bytes) -> None:
        """One line."""
        if kind == b"DA":
            self._counted.lines += 1
            self._counted.covered += _is_hit(rest.split(b",")[1:2])
        elif kind == b"BRDA":
            self._counted.branches += 1
            self._counted.taken += _is_hit(rest.split(b",")[-1:])
        elif kind in (b"LF", b"LH", b"BRF", b"BRH"):
            self._told[kind] = _number(rest.decode(errors="replace"))

    def coverage(self) -> SourceCoverage:
        """As the record sums up; where it does not, as its lines were counted."""
        counted, told = self._counted, self._told
        lines, covered = told.get(b"LF", counted.lines), told.get(b"LH", counted.covered)
        branches, taken = told.get(b"BRF", counted.branches), told.get(b"BRH", counted.taken)
        return SourceCoverage(lines, covered, branches, taken)


def source_key(name: str) -> SourceKey:
    """Names that differ only in how they lead to the same file are the same."""
    path = posixpath.normpath(name.strip().replace("\\", "/")).removeprefix(WORKSPACE)
    return blake2b(path.encode(errors="surrogateescape"), digest_size=16).digest()


def _entry(sources: Sources, key: SourceKey) -> SourceCoverage:
    _check_count(sources, key)
    return sources.setdefault(key, SourceCoverage())


def _add(known: SourceCoverage, more: SourceCoverage) -> None:
    known.lines += more.lines
    known.covered += more.covered
    known.branches += more.branches
    known.taken += more.taken


def _check_count(sources: Sources, key: SourceKey) -> None:
    if len(sources) >= _MOST_SOURCES and key not in sources:
        raise BadReportError(f"there are more than {_MOST_SOURCES} files of source")


def _check_totals(told: SourceCoverage) -> None:
    if told.covered > told.lines or told.taken > told.branches:
        raise BadReportError("it has more covered than there is")


def _count_line(known: SourceCoverage, attributes: dict[str, str]) -> None:
    known.lines += 1
    known.covered += _is_hit([attributes.get("hits", "").encode(errors="replace")])
    conditions = _CONDITIONS.search(attributes.get("condition-coverage", ""))
    if conditions is not None:
        taken, branches = int(conditions[1]), int(conditions[2])
        known.branches += branches
        known.taken += min(taken, branches)


def _is_hit(fields: list[bytes]) -> bool:
    """Whether a count is above 0; it may have any number of digits."""
    return any(field.strip().isdigit() and field.strip(b" 0") != b"" for field in fields)


def _number(text: str) -> int:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
