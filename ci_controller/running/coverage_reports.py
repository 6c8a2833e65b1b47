"""Coverage reports as coverage.py, gcovr, Istanbul, lcov and others write them: Cobertura's XML,
and lcov's tracefiles. Read as they stream by, with bounds: the content is a job's.

A file of source counts once, however many reports name it, with the best of them: so the reports of
several test processes are not added up as if each had files of its own, nor those of both formats.
Where one report names it several times, each of its lines counts once, and is covered when it was
once: tracefiles of several tests are often joined into one.
"""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from typing_extensions import override

from ci_common.artifact_paths import WORKSPACE
from ci_common.coverage_files import LONGEST_PATH, MOST_FILES, CoverageFiles, FileCoverage
from ci_common.job import CoverageSummary
from ci_controller.running.coverage_marks import CoverageMarks
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
_TOTALS = (b"LF", b"LH", b"BRF", b"BRH")
"""How a record of a tracefile sums up: in the order of SourceCoverage."""
_CONDITIONS = re.compile(r"\((\d{1,9})/(\d{1,9})\)")
_CONDITION_BITS = 17
_MOST_CONDITIONS = (1 << _CONDITION_BITS) - 1
"""Of a line."""
_HASH_MASK = (1 << 63) - 1
_SHOWN = 60

SourceKey = bytes
"""Stands for a file of source, in a few bytes, however long its name is."""


@dataclass(slots=True)
class SourceCoverage:
    """Of one file of source, or of what a report does not divide into files."""

    name: str = ""
    """Of the file; empty for what is not one."""
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
            if known is None or _is_better(found, known):
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

    def files(self) -> CoverageFiles:
        """Of each file, those first of which the most was not run."""
        found = [one for one in self._sources.values() if one.name and one.lines]
        found.sort(key=lambda one: (one.covered - one.lines, one.name))
        files = (
            FileCoverage(one.name, one.covered, one.lines, one.taken, one.branches)
            for one in found[:MOST_FILES]
        )
        return CoverageFiles(tuple(files), len(found))


class CoberturaReport(XmlReport):
    """Reads one XML report. `feed` its bytes, then `close` for what it says."""

    roots = frozenset({"coverage"})

    def __init__(self, path: str) -> None:
        """`path` is that of the report, which stands for its sources where it names none."""
        super().__init__()
        self._path = path
        self._sources: dict[SourceKey, _CoberturaSource] = {}
        self._totals = SourceCoverage()
        self._current: _CoberturaSource | None = None
        """Of the class that is being read."""
        self._in_methods = 0
        self._places: list[str] = []
        """Directories that names are relative to; two are as many as more."""
        self._place: str | None = None

    def close(self) -> Sources:
        """What it says. Raises BadReportError when it is not whole."""
        self.finish()
        sources = {key: source.coverage() for key, source in self._sources.items()}
        if not any(one.lines for one in sources.values()) and self._totals.lines:
            return {source_key(self._path): self._totals}
        return sources

    @override
    def allows_doctype(self, name: str, *, has_declarations: bool) -> bool:
        return name in self.roots and not has_declarations  # many tools name Cobertura's own

    @override
    def start_tag(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "line" and self._current is not None and not self._in_methods:
            self._current.add_line(attributes)
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
        totals = SourceCoverage("", *(_number(_encoded(attributes.get(name))) for name in names))
        _check_totals(totals)
        self._totals = totals

    def _source(self, name: str) -> "_CoberturaSource":
        place = self._places[0] if len(self._places) == 1 else ""
        path = _source_path(posixpath.join(place, name))
        key = source_key(path)
        _check_count(self._sources, key)
        return self._sources.setdefault(key, _CoberturaSource(path))


class _CoberturaSource:
    """What the classes of one file of source say."""

    __slots__ = ("_branches", "_lines", "_name")

    def __init__(self, path: str) -> None:
        self._name = _shown_path(path)
        self._lines = CoverageMarks(value_bits=1)
        self._branches = CoverageMarks(value_bits=2 * _CONDITION_BITS)
        """How many of a line are taken, and how many there are."""

    def add_line(self, attributes: dict[str, str]) -> None:
        """Raises BadReportError."""
        number = _number(_encoded(attributes.get("number")))
        self._lines.add(number, _is_hit(_encoded(attributes.get("hits"))))
        conditions = _CONDITIONS.search(attributes.get("condition-coverage", ""))
        if conditions is not None:
            branches = min(int(conditions[2]), _MOST_CONDITIONS)
            taken = min(int(conditions[1]), branches)
            self._branches.add(number, taken << _CONDITION_BITS | branches)

    def coverage(self) -> SourceCoverage:
        """Raises BadReportError."""
        found = SourceCoverage(self._name)
        for hit in self._lines.values():
            found.lines += 1
            found.covered += hit
        for conditions in self._branches.values():
            found.branches += conditions & _MOST_CONDITIONS
            found.taken += conditions >> _CONDITION_BITS
        return found


class LcovReport:
    """Reads one tracefile. `feed` its bytes, then `close` for what it says."""

    def __init__(self) -> None:
        self._size = 0
        self._rest = b""
        self._sources: dict[SourceKey, _LcovSource] = {}
        self._record: _LcovSource | None = None
        self._told: dict[bytes, int] = {}
        """How the record sums up."""
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
        return {key: source.coverage() for key, source in self._sources.items()}

    def _read(self, line: bytes) -> None:
        kind, _, rest = line.partition(b":")
        if not line or line.startswith(b"#"):
            return
        if not self._is_report and kind not in (b"TN", b"SF"):
            shown = line[:_SHOWN].decode(errors="replace")
            raise NotAReportError(f"its first line is {shown!r}, and not that of a tracefile")
        self._is_report = True
        if kind == b"SF":
            path = _source_path(rest.decode(errors="surrogateescape"))
            key = source_key(path)
            _check_count(self._sources, key)
            self._record, self._told = self._sources.setdefault(key, _LcovSource(path)), {}
        elif self._record is not None and line == b"end_of_record":
            self._record.end_record(
                SourceCoverage("", *(self._told.get(one, 0) for one in _TOTALS))
            )
            self._record = None
        elif self._record is not None and kind in _TOTALS:
            self._told[kind] = _number(rest)
        elif self._record is not None:
            self._record.read(kind, rest)

    def _error(self, why: str) -> BadReportError:
        return BadReportError(why) if self._is_report else NotAReportError(why)


class _LcovSource:
    """What the records of a tracefile say of one file of source."""

    __slots__ = ("_branches", "_lines", "_name", "_told")

    def __init__(self, path: str) -> None:
        self._name = _shown_path(path)
        self._lines = CoverageMarks(value_bits=1)
        self._branches = CoverageMarks(value_bits=1)
        self._told: SourceCoverage | None = None

    def read(self, kind: bytes, rest: bytes) -> None:
        """One line of a record. Raises BadReportError."""
        if kind == b"DA":
            number, _, count = rest.partition(b",")
            self._lines.add(_number(number), _is_hit(count.partition(b",")[0]))
        elif kind == b"BRDA":
            branch, _, taken = rest.rpartition(b",")  # its line, block and name
            self._branches.add(hash(branch) & _HASH_MASK, _is_hit(taken))

    def end_record(self, told: SourceCoverage) -> None:
        """`told` is how the record sums up."""
        if self._told is None or _is_better(told, self._told):
            self._told = told

    def coverage(self) -> SourceCoverage:
        """As its lines and branches were counted; where there are none, as the best of its records
        sums up. Raises BadReportError.
        """
        told = self._told or SourceCoverage()
        lines, covered = _counted(self._lines) or (told.lines, told.covered)
        branches, taken = _counted(self._branches) or (told.branches, told.taken)
        coverage = SourceCoverage(self._name, lines, covered, branches, taken)
        _check_totals(coverage)
        return coverage


def _counted(marks: CoverageMarks) -> tuple[int, int] | None:
    hits = list(marks.values())
    return (len(hits), sum(hits)) if hits else None


def source_key(name: str) -> SourceKey:
    """Names that differ only in how they lead to the same file are the same."""
    path = _source_path(name)
    return blake2b(path.encode(errors="surrogateescape"), digest_size=16).digest()


def _source_path(name: str) -> str:
    return posixpath.normpath(name.strip().replace("\\", "/")).removeprefix(WORKSPACE)


def _shown_path(path: str) -> str:
    """Its end says more than its beginning."""
    return path[-LONGEST_PATH:].encode(errors="replace").decode()


def _is_better(found: SourceCoverage, known: SourceCoverage) -> bool:
    return (found.covered, found.taken) > (known.covered, known.taken)


def _check_count(sources: Mapping[SourceKey, object], key: SourceKey) -> None:
    if len(sources) >= _MOST_SOURCES and key not in sources:
        raise BadReportError(f"there are more than {_MOST_SOURCES} files of source")


def _check_totals(told: SourceCoverage) -> None:
    if told.covered > told.lines or told.taken > told.branches:
        raise BadReportError("it has more covered lines than there are")


def _is_hit(count: bytes) -> bool:
    """Whether it is above 0; it may have any number of digits."""
    count = count.strip()
    return count.isdigit() and count.strip(b"0") != b""


def _number(digits: bytes) -> int:
    digits = digits.strip()
    return int(digits) if digits.isdigit() and len(digits) < 10 else 0


def _encoded(attribute: str | None) -> bytes:
    return b"" if attribute is None else attribute.encode(errors="replace")
