"""Jobs on a terminal: a line for each, as wide as the terminal."""

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ci_client.command.display import SHORT_ID
from ci_client.command.exit_codes import is_finished, known_reason
from ci_client.command.painting import Color, painted
from ci_client.command.report_display import printable
from ci_common.job_states import JobStatus, Reason

_HEADINGS = ("ID", "RESULT", "JOB", "PROJECT", "BRANCH", "COMMIT", "USER", "AGE", "TIME")
_ENOUGH = {"RESULT": 16, "JOB": 6, "PROJECT": 7, "BRANCH": 8, "USER": 6}
"""Columns that may be cut, the widest first, to what can be recognized."""
_LEAST = {"PROJECT": 4, "BRANCH": 4, "USER": 4, "JOB": 4, "RESULT": 10}
"""To what they are cut in a narrow terminal, in this order."""
_DISPENSABLE = ("USER", "PROJECT", "COMMIT", "BRANCH")
"""Left out where they are empty, and in this order where the terminal is too narrow."""
_EMPTY = "-"
_GAP = "  "
_DEFAULT_WIDTH = 80


def terminal_width() -> int:
    """Columns of the terminal that stdout is; 80 where it does not say."""
    try:
        return int(os.environ["COLUMNS"]) or _DEFAULT_WIDTH
    except (KeyError, ValueError):
        pass
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _DEFAULT_WIDTH
    except (OSError, ValueError):
        return _DEFAULT_WIDTH


def job_lines(jobs: Sequence[Mapping[str, Any]], width: int, now: datetime | None = None) -> str:
    """Jobs as a table of at most so many columns. Columns that would be empty are left out."""
    now = now or datetime.now(UTC)
    columns = list(zip(_HEADINGS, *(_cells(job, now) for job in jobs), strict=True))
    shown = [column for column in columns if _is_needed(column)]
    if _total([max(map(_width, column)) for column in shown]) > width:
        shown = [_without_domains(column) for column in shown]
    widths = _fitted(shown, width)
    for name in _DISPENSABLE:
        if _total(widths) > width:
            shown = [column for column in shown if column[0] != name]
            widths = _fitted(shown, width)
    return "\n".join(
        _GAP.join(map(_painted_cell, _HEADINGS, map(_cell, row, widths))).rstrip()
        for row in zip(*shown, strict=True)
    )


def project_of(job: Mapping[str, Any]) -> str:
    """What people know the project by: its label, its repository's name, or the job's title."""
    labels = _labels(job)
    remote = str(labels.get("git.remote") or _git(job).get("remote") or "")
    name = remote.rstrip("/").replace(":", "/").rpartition("/")[2].removesuffix(".git")
    return str(labels.get("project") or name or job.get("title") or "")


def branch_of(job: Mapping[str, Any]) -> str:
    """The branch that the project was packed from, if it was on one."""
    return str(_labels(job).get("git.branch") or _git(job).get("branch") or "")


def commit_of(job: Mapping[str, Any]) -> str:
    """The commit, in short, with a `*` when files differed from it."""
    commit = str(_labels(job).get("git.commit") or _git(job).get("commit") or "")
    dirty = _labels(job).get("git.dirty") == "true" or _git(job).get("dirty") is True
    return f"{commit[:7]}*" if commit and dirty else commit[:7]


def age_of(job: Mapping[str, Any], now: datetime) -> str:
    """How long ago it was submitted."""
    return _since(job.get("submit_time"), now, _age)


def what_happened(job: Mapping[str, Any]) -> str:
    """In a few words, with the mark of success or failure."""
    if not is_finished(job):
        return "- cancelling" if job.get("cancel_requested_at") else f"- {job.get('status')}"
    if job.get("success") is True:
        return "✓ passed"
    if job.get("status") == JobStatus.CANCELLED:
        return "✗ cancelled"
    return f"✗ {_failure(job)}"


def _failure(job: Mapping[str, Any]) -> str:
    reason, tests = known_reason(job), job.get("tests") or {}
    if reason is Reason.EXIT:
        count = sum(int(tests.get(key) or 0) for key in ("failed", "errors"))
        if count:
            return "1 test failed" if count == 1 else f"{count} tests failed"
        return f"exit code {job.get('exit_code')}"
    if reason is Reason.TIMEOUT:
        return "timed out"
    return str(job.get("reason") or "failed").replace("_", " ")


def _cells(job: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    """In the order of the headings."""
    cells = (
        str(job.get("job_id"))[:SHORT_ID],
        what_happened(job),
        str(job.get("name") or ""),
        project_of(job),
        branch_of(job),
        commit_of(job),
        str(job.get("user") or ""),
        age_of(job, now),
        _since(job.get("start_time"), read_time(job.get("end_time")) or now, _duration),
    )
    return tuple(printable(cell) or _EMPTY for cell in cells)


def _labels(job: Mapping[str, Any]) -> Mapping[str, Any]:
    labels = job.get("labels")  # older servers have none
    return labels if isinstance(labels, dict) else {}


def _git(job: Mapping[str, Any]) -> Mapping[str, Any]:
    git = job.get("git")
    return git if isinstance(git, dict) else {}


def read_time(text: Any) -> datetime | None:
    """A moment that a server told; `None` where it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None


def _since(text: Any, now: datetime, told: Any) -> str:
    moment = read_time(text)
    return "" if moment is None else str(told(max(0, int((now - moment).total_seconds()))))


def _age(seconds: int) -> str:
    for unit, size, least in (("d", 86400, 2), ("h", 3600, 1), ("m", 60, 1)):
        if seconds >= least * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _duration(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02}m"


def _is_needed(column: Sequence[str]) -> bool:
    return column[0] not in _DISPENSABLE or any(cell != _EMPTY for cell in column[1:])


def _without_domains(column: Sequence[str]) -> tuple[str, ...]:
    """Users without the `@…` of their addresses; other columns as they are."""
    return tuple(cell.partition("@")[0] if column[0] == "USER" else cell for cell in column)


def _fitted(columns: Sequence[Sequence[str]], width: int) -> list[int]:
    """The width of each column, all of them cut as far as they must and may be."""
    widths = [max(map(_width, column)) for column in columns]
    places = {column[0]: at for at, column in enumerate(columns)}
    while _total(widths) > width:
        cuttable = [at for name, at in places.items() if widths[at] > _ENOUGH.get(name, width)]
        if not cuttable:
            break
        widths[max(cuttable, key=widths.__getitem__)] -= 1
    for name, least in _LEAST.items():
        if name in places:
            excess = max(0, _total(widths) - width)
            own = widths[places[name]]
            widths[places[name]] = max(own - excess, min(own, least))
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _cell(text: str, width: int) -> str:
    if _width(text) > width:
        while _width(text) >= width:
            text = text[:-1]
        text += "…"
    return text + " " * (width - _width(text))


def _painted_cell(heading: str, cell: str) -> str:
    """A result in its colour. Its column is never left out, nor is one before it."""
    if heading != "RESULT":
        return cell
    color = {"✓": Color.GREEN, "✗": Color.RED}.get(cell[:1])
    if cell.startswith("✗ cancelled"):
        color = Color.YELLOW
    return painted(cell, color, sys.stdout)


def _width(text: str) -> int:
    """Columns that a terminal gives it."""
    if text.lstrip("✓✗").removesuffix("…").isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )
