"""What people read of a job's test reports and artifacts. Names in them are the job's: whatever
could garble a terminal is shown escaped.
"""

import re
from collections.abc import Mapping, Sequence
from math import floor
from typing import Any

from ci_common.job_states import LEFT_OUT, Reason

_NAMED_AT_END = 10
_ERROR = re.compile(r"[\w.]*(Error|Exception|Warning|Interrupt)\b")
_LINE = 200
_COUNTS = (
    ("passed", "passed", "passed"),
    ("failed", "failed", "failed"),
    ("errors", "error", "errors"),
    ("skipped", "skipped", "skipped"),
)


def printable(text: str) -> str:
    """The text in one line that does nothing to a terminal."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def totals(tests: Mapping[str, Any]) -> str:
    """How many tests passed, failed, …, in one line."""
    counts = [(int(tests.get(key) or 0), one, many) for key, one, many in _COUNTS]
    told = [f"{count} {one if count == 1 else many}" for count, one, many in counts if count]
    return ", ".join(told) or "no tests"


def short_report(tests: Mapping[str, Any]) -> str:
    """Totals, and which tests failed."""
    failures = tests.get("failures") or []
    lines = [totals(tests)]
    for case in failures[:_NAMED_AT_END]:
        lines.append(f"  ✗ {_name(case)}")
        if case.get("name") and "::" not in str(case["name"]) and (why := _why(case)):
            lines.append(f"      {why}")  # a module that could not be imported, or a suite
    count = int(tests.get("failed") or 0) + int(tests.get("errors") or 0)
    if count > _NAMED_AT_END:
        lines.append(f"  and {count - _NAMED_AT_END} more")
    return "\n".join(lines)


def full_report(tests: Mapping[str, Any]) -> str:
    """Failing tests with the first line of why, and the slowest tests."""
    lines = []
    for case in tests.get("failures") or []:
        lines.append(f"  ✗ {_name(case)}")
        if why := _why(case):
            lines.append(f"      {why}")
    if lines:
        lines.insert(0, "Failed tests:")
    if slowest := tests.get("slowest"):
        lines.append("Slowest tests:")
        lines += [f"  {float(case.get('seconds') or 0):8.3f} s  {_name(case)}" for case in slowest]
    return "\n".join(lines)


def coverage_line(coverage: Mapping[str, Any]) -> str:
    """How much of the source was run, in one line."""
    parts = []
    for name in ("lines", "branches"):
        total, covered = (int(coverage.get(f"{name}_{key}") or 0) for key in ("total", "covered"))
        if total > 0:
            share = covered * 1000 // total / 10  # 100 % only where nothing is missing
            parts.append(f"{share:.1f} % of {total:,} {name}")
    return f"Coverage {', '.join(parts) or 'of no lines'}"


def artifact_table(artifacts: Sequence[Mapping[str, Any]]) -> str:
    """Artifacts as a table; names last, as they may be long."""
    rows = [("SIZE", "SHA-256", "PATH")]
    rows += [
        (size_text(int(a["size"])), printable(str(a["sha256"])[:12]), printable(str(a["path"])))
        for a in artifacts
    ]
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{size:>{width}}  {digest:<12}  {path}" for size, digest, path in rows)


def not_kept(result: Mapping[str, Any]) -> str | None:
    """Which artifacts of a job, or of a `complete` event, the server did not keep, and why."""
    why = str(result.get("message") or "").partition(LEFT_OUT)[2]
    return f"Not kept by the server: {why}" if why else None


def remarks(result: Mapping[str, Any]) -> list[str]:
    """What the message says besides how the command ended: also which reports could not be read.
    Of other reasons than a command's exit the whole message is shown elsewhere.
    """
    rest = str(result.get("message") or "").partition(LEFT_OUT)[0].partition("; ")[2].strip("; ")
    told = [f"Note: {rest}"] if rest and result.get("reason") == Reason.EXIT else []
    return told + [missing for missing in (not_kept(result),) if missing]


def size_text(size: int) -> str:
    """A number of bytes, for people, in the units of limits: as `bytes` of the dashboard's
    lib/sizes.js says it.
    """
    if size < 1024:
        return f"{size} B"
    amount, unit = size / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if amount < 1023.5:
            break
        amount, unit = amount / 1024, larger
    tenths = floor(amount * 10 + 0.5)
    shown = f"{tenths / 10:.1f}" if tenths < 100 else str(floor(amount + 0.5))
    return f"{shown} {unit}"


def _name(case: Mapping[str, Any]) -> str:
    return _cut(printable(str(case.get("name"))))


def _why(case: Mapping[str, Any]) -> str:
    """The line of the message that tells most: pytest's last one names the error."""
    lines = [line.strip() for line in str(case.get("message") or "").splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.match(line)]
    return _cut(printable((errors or lines or [""])[0]))


def _cut(text: str) -> str:
    return text if len(text) <= _LINE else f"{text[: _LINE - 1]}…"
