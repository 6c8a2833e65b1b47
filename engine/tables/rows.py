"""Reading a CSV file with care: every field is checked, every mistake is located.

This is the reader for small files, and for the parts of a large one that the vectorised reader
(`engine.tables.fast_csv`) did not recognise, where it finds the mistake or an unusual but valid
spelling.
"""

import csv
import io
from collections.abc import Iterator, Sequence

from engine.errors import Problems
from engine.tables.columns import Column, Schema

Row = list[str]
HEADER_ROW = 1
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def read_header(line: str, schema: Schema, problems: Problems) -> list[str]:
    """The names of the columns of the first line, which has to hold every one of the schema."""
    header = next(read(csv.reader([line], strict=True), HEADER_ROW, problems), [])
    names = schema.own_names([name.strip() for name in header])
    _check_separator(names, problems)
    if not problems:
        check_names(names, schema, problems)
    return names


def _check_separator(names: Sequence[str], problems: Problems) -> None:
    """Note a header of one column that is several ones with something else than commas between."""
    for separator, word in SEPARATORS.items():
        if len(names) == 1 and separator in names[0]:
            problems.add(
                f"the columns are separated by {word} instead of commas: save the file as CSV with "
                "commas, and with decimal points",
                row=HEADER_ROW,
            )
            return


def check_names(names: Sequence[str], schema: Schema, problems: Problems) -> None:
    """Note missing, doubled, nameless and unknown columns."""
    needed = [name for name in schema.columns if name not in schema.optional]
    for missing in [name for name in needed if name not in names]:
        problems.add("column is missing", row=1, column=missing)
    for place, name in enumerate(names):
        if not name:
            problems.add(f"column {place + 1} has no name", row=1)
        elif name in names[:place]:
            problems.add("column appears twice", row=1, column=name)
        elif schema.kind(name) is None:
            problems.add("unknown column", row=1, column=name)


def parse_rows(
    rows: Iterator[Row],
    names: Sequence[str],
    kinds: Sequence[Column],
    first_row: int,
    problems: Problems,
    *,
    at_end: bool = True,
) -> list[list[object]]:
    """The values of each column. A field with a mistake is noted and left out.

    Empty lines are accepted at the end of the file only; `at_end` says that these rows are it.
    """
    columns: list[list[object]] = [[] for _ in names]
    empty: int | None = None
    for number, row in enumerate(read(rows, first_row, problems), first_row):
        if not row:
            empty = empty or number
            continue
        if empty is not None:
            problems.add("the row is empty", row=empty)
            empty = None
        if len(row) != len(names):
            _wrong_length(row, names, number, problems)
            continue
        _parse_row(row, names, kinds, columns, number, problems)
    if empty is not None and not at_end:
        problems.add("the row is empty", row=empty)
    return columns


def split(text: str) -> Iterator[Row]:
    """The rows of a text by RFC 4180; errors of syntax are `csv.Error`."""
    return csv.reader(io.StringIO(text, newline=""), strict=True)


def read(rows: Iterator[Row], first_row: int, problems: Problems) -> Iterator[Row]:
    """The rows as they come; an error of syntax is noted, and ends them."""
    number = first_row
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            problems.add(f"is not valid CSV: {error}", row=number)
            return
        yield row
        number += 1


def _wrong_length(row: Row, names: Sequence[str], number: int, problems: Problems) -> None:
    what = "truncated row" if len(row) < len(names) else "too many fields"
    place = min(len(row), len(names) - 1)
    problems.add(
        f"{what}: {len(row)} fields where the header has {len(names)}",
        row=number,
        column=names[place],
        value=",".join(row),
    )


def _parse_row(
    row: Row,
    names: Sequence[str],
    kinds: Sequence[Column],
    columns: list[list[object]],
    number: int,
    problems: Problems,
) -> None:
    for text, name, kind, values in zip(row, names, kinds, columns, strict=True):
        try:
            values.append(kind.parse(text))
        except ValueError as error:
            problems.add(str(error), row=number, column=name, value=text)
