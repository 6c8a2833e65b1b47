"""What else is wrong with a CSV file that has mistakes: keys that come twice, or are missing.

All mistakes of a file are told at once, but a table whose rows cannot be read is none in which
keys could be looked for. So they are looked for in the text itself.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.errors import LIMIT, ModelError, Problem, Problems
from engine.tables.rows import HEADER_ROW

Key = tuple[str, ...]
MISSING = 'is missing: add it, or set assumptions.interpolate = "linear" or "step"'


def with_keys(
    error: ModelError, path: Path, columns: Sequence[str], wanted: Sequence[int] = ()
) -> ModelError:
    """The error, and with it the mistakes in the key made of some columns.

    `wanted` are the numbers that a key of one column has to have. A file whose header is wrong,
    or that is not CSV, is not looked into.
    """
    header_is_wrong = any((problem.row or HEADER_ROW) == HEADER_ROW for problem in error.problems)
    if header_is_wrong or path.suffix.lower() in (".parquet", ".pq"):
        return error
    problems = Problems(error.problems[0].file)
    rows: dict[Key, int] = {}
    for row, key in _keys(path, columns):
        if key in rows:
            where = f"appears twice, also in row {rows[key]}"
            problems.add(where, row=row, column=columns[-1], value=key[-1])
        rows.setdefault(key, row)
    missing = [number for number in wanted if (str(number),) not in rows]
    if len(missing) <= LIMIT:  # more would hide the others, and are told when those are mended
        for number in missing:
            problems.add(MISSING, column=columns[0], value=number)
    return _merged(error, problems)


def _keys(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Key]]:
    """Rows and keys, as far as the file can be taken for CSV; numbers in their shortest form."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        names = [name.strip() for name in next(reader, [])]
        places = [names.index(column) for column in columns]
        try:
            for row, fields in enumerate(reader, HEADER_ROW + 1):
                key = tuple(_plain(fields[place]) for place in places if place < len(fields))
                if len(key) == len(places) and all(key):
                    yield row, key
        except csv.Error:
            return


def _plain(text: str) -> str:
    text = text.strip()
    return str(int(text)) if text.isascii() and text.isdigit() and len(text) < LIMIT else text


def _merged(error: ModelError, more: Problems) -> ModelError:
    """Both, by row; what has no row comes last."""
    if not more:
        return error
    known = {(problem.row, problem.column) for problem in error.problems}
    other = more.error()
    added = [found for found in other.problems if (found.row, found.column) not in known]
    together = sorted([*error.problems, *added], key=_place)
    return ModelError(together[:LIMIT], len(together[LIMIT:]) + error.more + other.more)


def _place(problem: Problem) -> float:
    return float("inf") if problem.row is None else problem.row
