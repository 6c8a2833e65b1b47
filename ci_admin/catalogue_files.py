"""Reading the files of the catalogue: row by row, whatever their size, with every problem located.

Rows are counted as in a spreadsheet: the header is row 1.
"""

import csv
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from ci_admin.catalogue_columns import KINDS, Entry, FileKind, Value, kind_of, shown
from ci_common.errors import BadRequestError
from ci_common.ports.catalogue import CatalogueDraft

HEADER_ROW = 1
MOST_PROBLEMS = 20
MAX_LINE_CHARACTERS = 64 << 10

_BATCH_ROWS = 4096
_PARQUET = b"PAR1"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


class Problems:
    """The first problems of one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lines: list[str] = []

    def add(
        self, reason: str, *, row: int | None = None, column: str | None = None, value: str = ""
    ) -> None:
        """Note one; raises TooManyProblemsError when it is the last one to be told."""
        place = [str(self._path)]
        place += [f"row {row}"] if row is not None else []
        place += [f"column {column}"] if column is not None else []
        self.lines.append(f"{', '.join(place)}: {f'{shown(value)} ' if value else ''}{reason}")
        if len(self.lines) == MOST_PROBLEMS:
            self.lines.append(f"{self._path}: the rest of the file was not checked")
            raise TooManyProblemsError


class TooManyProblemsError(Exception):
    """Enough is known of this file."""


class UnreadableFileError(Exception):
    """Nothing more can be read from this file; why is among its problems."""


def read_file(
    path: Path, draft: CatalogueDraft, problems: Problems, taken: Collection[FileKind] = ()
) -> tuple[FileKind, int] | None:
    """Add a file's rows to the draft. Returns its kind, which must not be one of those that are
    `taken`, and the number of rows; or `None` when that is not known. What is wrong is added to
    `problems`.

    Raises BadRequestError when the file cannot be opened, or is Parquet without pyarrow.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start == _PARQUET:
            return _read(_parquet_rows(path, problems), draft, problems, taken)
        if start[:2] in _UTF_16:
            problems.add("is UTF-16: save the file as UTF-8")
            return None
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            return _read(_csv_rows(text, problems), draft, problems, taken)
    except OSError as error:
        raise BadRequestError(f"{path} cannot be read: {error.strerror or error}") from error
    except (TooManyProblemsError, UnreadableFileError):
        return None


def _read(
    rows: Iterator[tuple[int, list[str]]],
    draft: CatalogueDraft,
    problems: Problems,
    taken: Collection[FileKind],
) -> tuple[FileKind, int] | None:
    _, header = next(rows, (HEADER_ROW, []))
    kind = _checked_kind(header, problems)
    if kind is None:
        return None
    if kind in taken:
        problems.add(f"is a second {kind.name} file; an import has one of each kind")
        return None
    count = 0
    for row, texts in rows:
        count += 1
        entry = _entry(kind, header, row, texts, problems)
        earlier = None if entry is None else draft.add(row, entry)
        if earlier is not None:
            what = "all but its count" if "count" in kind.columns else "everything"
            problems.add(f"has {what} in common with row {earlier}", row=row)
    if not count:
        problems.add("has no rows below its header")
    return kind, count


def _checked_kind(header: Sequence[str], problems: Problems) -> FileKind | None:
    """The kind of file, when it has all columns of that kind, once, and no others."""
    if not header:
        problems.add("is empty")
        return None
    for separator, word in _SEPARATORS.items():
        if len(header) == 1 and separator in header[0]:
            problems.add(
                f"columns are separated by {word}; they must be separated by commas", row=HEADER_ROW
            )
            return None
    kind = kind_of(header)
    if kind is None:
        known = "; or ".join(f"{', '.join(kind.columns)} ({kind.name})" for kind in KINDS)
        problems.add(f"has none of the columns of a catalogue: {known}", row=HEADER_ROW)
        return None
    before = len(problems.lines)
    for column in kind.columns.keys() - set(header):
        problems.add("is missing", row=HEADER_ROW, column=column)
    for place, column in enumerate(header):
        if column in header[:place]:
            problems.add("appears twice", row=HEADER_ROW, column=shown(column))
        elif column not in kind.columns:
            reason = f"is not a column of a {kind.name} file"
            problems.add(reason, row=HEADER_ROW, column=shown(column))
    return kind if len(problems.lines) == before else None


def _entry(
    kind: FileKind, header: Sequence[str], row: int, texts: list[str], problems: Problems
) -> Entry | None:
    if len(texts) != len(header):
        problems.add(f"has {len(texts)} fields, the header has {len(header)}", row=row)
        return None
    values: dict[str, Value] = {}
    for column, text in zip(header, texts, strict=True):
        try:
            values[column] = kind.columns[column](text)
        except ValueError as error:
            problems.add(str(error), row=row, column=column, value=text)
    return kind.entry(**values) if len(values) == len(header) else None


# ------------------------------------------------------------------ CSV


def _csv_rows(file: TextIO, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """Numbers and fields of the rows, empty lines left out."""
    rows = csv.reader(_lines(file, problems), strict=True)
    row = 0
    try:
        for fields in rows:
            row += 1
            if fields:
                yield row, fields
    except csv.Error as error:
        problems.add(f"is not valid CSV: {error}", row=row + 1)
        raise UnreadableFileError from error


def _lines(file: TextIO, problems: Problems) -> Iterator[str]:
    while line := file.readline(MAX_LINE_CHARACTERS):
        if len(line) == MAX_LINE_CHARACTERS:
            problems.add(f"has a line longer than {MAX_LINE_CHARACTERS} characters: is it CSV?")
            raise UnreadableFileError
        yield line


# ------------------------------------------------------------------ Parquet


def _parquet_rows(path: Path, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """The same, as if the table were CSV."""
    parquet = _pyarrow()
    try:
        with parquet.ParquetFile(path) as file:
            _check_types(file.schema_arrow, problems)
            yield HEADER_ROW, list(map(str, file.schema_arrow.names))
            row = HEADER_ROW
            for batch in file.iter_batches(_BATCH_ROWS):
                columns = [column.to_pylist() for column in batch.columns]
                for values in zip(*columns, strict=True):
                    row += 1
                    yield row, list(map(_text, values))
    except (OSError, ValueError, NotImplementedError) as error:  # what pyarrow's errors are
        problems.add(f"is damaged: {(str(error).splitlines() or ['unreadable'])[0]}")
        raise UnreadableFileError from error


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise BadRequestError("Parquet needs pyarrow: install the extra `parquet`") from error
    return pyarrow.parquet


def _check_types(schema: Any, problems: Problems) -> None:
    """Note columns of lists, bytes and the like. Raises UnreadableFileError."""
    from pyarrow import types

    usable = (
        types.is_string,
        types.is_large_string,
        types.is_boolean,
        types.is_integer,
        types.is_floating,
        types.is_null,
    )
    before = len(problems.lines)
    for field in schema:
        kind = field.type.value_type if types.is_dictionary(field.type) else field.type
        if not any(is_it(kind) for is_it in usable):
            reason = f"has the type {kind}; it must be a string, a number or a boolean"
            problems.add(reason, row=HEADER_ROW, column=shown(field.name))
    if len(problems.lines) > before:
        raise UnreadableFileError


def _text(value: object) -> str:
    """A value as it would be in CSV."""
    return "" if value is None else str(value)
