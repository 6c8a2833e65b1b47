"""Tables of a schema from CSV or Parquet files, as one numpy array per column.

CSV is read a megabyte at a time. Chunks are parsed side by side on threads (numpy lets go of the
interpreter lock in most of it), by the vectorised reader where they are regular and row by row
where they are not; either way the values are the same.
"""

import codecs
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from engine.errors import Problems
from engine.numbers.arrays import AnyArray
from engine.tables import fast_csv, parquet, rows
from engine.tables.columns import Choice, Column, Identifier, Number, Schema

CHUNK_BYTES = 1 << 20
BATCH_ROWS = 1 << 15


@dataclass(frozen=True)
class Categories:
    """A column of words: `labels[codes[i]]` is row i's."""

    codes: AnyArray
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, where: slice | AnyArray) -> "Categories":
        return Categories(self.codes[where], self.labels)

    def words(self) -> AnyArray:
        """Row by row, the word itself."""
        return np.array(self.labels, dtype=object)[self.codes]


@dataclass(frozen=True)
class Table:
    """Columns by name, all of the same length."""

    columns: dict[str, AnyArray | Categories] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def array(self, name: str) -> AnyArray:
        """A column of numbers or identifiers."""
        column = self.columns[name]
        return column.codes if isinstance(column, Categories) else column

    def categories(self, name: str) -> Categories:
        """A column of words."""
        column = self.columns[name]
        assert isinstance(column, Categories)  # noqa: S101 - for the type checker
        return column


@dataclass
class _Part:
    """What a chunk of a file became."""

    columns: list[AnyArray]
    problems: Problems


def read_table(path: Path, name: str, schema: Schema, *, threads: int = 1) -> Table:
    """Read a file whole; `name` is what messages call it.

    Raises:
        ModelError: the first 20 mistakes with row, column and value.
    """
    problems = Problems(name)
    if path.suffix.lower() in (".parquet", ".pq"):
        names, batches = parquet.read(path, schema, problems)
        kinds = _kinds(names, schema)
        parts: Iterator[_Part] = (_Part(_arrays(batch, kinds), Problems(name)) for batch in batches)
        return _table(names, kinds, parts, problems)
    with path.open("rb") as file:
        names = _header(file, schema, problems)
        kinds = _kinds(names, schema)
        return _table(names, kinds, _parts(file, names, kinds, name, threads), problems)


def _kinds(names: Sequence[str], schema: Schema) -> list[Column]:
    return [kind for kind in map(schema.kind, names) if kind is not None]


def _header(file: BinaryIO, schema: Schema, problems: Problems) -> list[str]:
    line = file.readline().removeprefix(codecs.BOM_UTF8)
    if not line.strip():
        problems.add("the file is empty: it has no header" if not line else "has no header", row=1)
        problems.raise_if_any()
    try:
        names = rows.read_header(line.decode(), schema, problems)
    except UnicodeDecodeError:
        names = []
        problems.add("is not UTF-8 text", row=1)
    problems.raise_if_any()
    return names


def _parts(
    file: BinaryIO, names: list[str], kinds: list[Column], name: str, threads: int
) -> Iterator[_Part]:
    """Parse chunk after chunk, in order, with a bounded number of them in hand."""
    waiting: deque[Future[_Part]] = deque()
    first_row = 2
    with ThreadPoolExecutor(threads) as pool:
        for chunk, at_end in _chunks(file):
            if b'"' in chunk:
                yield from (future.result() for future in waiting)
                waiting.clear()
                yield from _quoted(chunk, file, names, kinds, first_row, name)
                return
            part = pool.submit(_chunk, chunk, names, kinds, first_row, name, at_end)
            waiting.append(part)
            first_row += chunk.count(b"\n")
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        yield from (future.result() for future in waiting)


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Whole lines of about a megabyte, and whether they are the last."""
    chunk = file.read(CHUNK_BYTES) + file.readline()
    while chunk:
        following = file.read(CHUNK_BYTES) + file.readline() if b'"' not in chunk else b""
        yield chunk, not following
        chunk = following


def _chunk(
    chunk: bytes, names: list[str], kinds: list[Column], first_row: int, name: str, at_end: bool
) -> _Part:
    problems = Problems(name)
    regular = chunk.replace(b"\r\n", b"\n") if b"\r" in chunk else chunk
    if not regular.endswith(b"\n"):
        regular += b"\n"
    columns = fast_csv.parse_chunk(regular, kinds)
    if columns is None:
        text = _decoded(chunk, first_row, problems)
        values = rows.parse_rows(rows.split(text), names, kinds, first_row, problems, at_end=at_end)
        columns = [] if problems else _arrays(values, kinds)
    return _Part(columns, problems)


def _quoted(
    chunk: bytes, file: BinaryIO, names: list[str], kinds: list[Column], first_row: int, name: str
) -> Iterator[_Part]:
    """The rest of a file that has quotes in it: a quoted field may go over lines and chunks."""
    problems = Problems(name)
    reader = rows.split(_decoded(chunk + file.read(), first_row, problems))
    if problems:
        yield _Part([], problems)
        return
    syntax = Problems(name)
    source = rows.read(reader, first_row, syntax)
    batch = list(itertools.islice(source, BATCH_ROWS))
    while batch:
        following = list(itertools.islice(source, BATCH_ROWS))
        problems = Problems(name)
        values = rows.parse_rows(
            iter(batch), names, kinds, first_row, problems, at_end=not following
        )
        yield _Part([] if problems else _arrays(values, kinds), problems)
        first_row += len(batch)
        batch = following
    if syntax:
        yield _Part([], syntax)


def _decoded(chunk: bytes, first_row: int, problems: Problems) -> str:
    try:
        return chunk.decode()
    except UnicodeDecodeError as error:
        row = first_row + chunk.count(b"\n", 0, error.start)
        problems.add("is not UTF-8 text", row=row)
        return ""


def _arrays(columns: Sequence[parquet.Values], kinds: Sequence[Column]) -> list[AnyArray]:
    """Values of the careful reader, laid out as the vectorised one does it."""
    return [_array(values, kind) for values, kind in zip(columns, kinds, strict=True)]


def _array(values: parquet.Values, kind: Column) -> AnyArray:
    if isinstance(kind, Number):
        return np.array(values, dtype=np.float64).astype(kind.dtype)
    if isinstance(kind, Choice):
        return np.array(values, dtype=np.int8)
    if isinstance(kind, Identifier):
        return np.array([str(value).encode() for value in values] or [b""])[: len(values)]
    labels = dict.fromkeys(str(value) for value in values)
    codes = {label: code for code, label in enumerate(labels)}
    result = np.empty(1, object)
    result[0] = (np.array([codes[str(value)] for value in values], np.int32), list(labels))
    return result


def _table(
    names: Sequence[str], kinds: Sequence[Column], parts: Iterator[_Part], problems: Problems
) -> Table:
    chunks: list[list[AnyArray]] = []
    for part in parts:
        problems.extend(part.problems)
        if not problems:
            chunks.append(part.columns)
    if not problems and not sum(map(_rows, chunks)):
        problems.add("has no rows below its header", row=2)
    problems.raise_if_any()
    columns: dict[str, AnyArray | Categories] = {}
    for place, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        columns[name] = _joined([chunk[place] for chunk in chunks], kind)
        for chunk in chunks:
            chunk[place] = np.empty(0)  # lets go of what was copied
    return Table(columns)


def _rows(chunk: list[AnyArray]) -> int:
    first = chunk[0]
    return len(first[0][0]) if first.dtype == object else len(first)


def _joined(parts: list[AnyArray], kind: Column) -> AnyArray | Categories:
    if isinstance(kind, Choice):
        return Categories(np.concatenate(parts), kind.labels)
    if not fast_csv.is_text(kind):
        return np.concatenate(parts)
    places: dict[str, int] = {}
    codes = []
    for part in parts:
        own, labels = part[0]
        place = np.array([places.setdefault(label, len(places)) for label in labels], np.int32)
        codes.append(place[own])
    return Categories(np.concatenate(codes), tuple(places))


def joined(tables: Sequence[Table]) -> Table:
    """The rows of several tables with the same columns, one after the other."""
    columns: dict[str, AnyArray | Categories] = {}
    for name in tables[0].columns:
        columns[name] = _concatenated([table.columns[name] for table in tables])
    return Table(columns)


def _concatenated(parts: list[AnyArray | Categories]) -> AnyArray | Categories:
    if not isinstance(parts[0], Categories):
        return np.concatenate([part for part in parts if not isinstance(part, Categories)])
    places: dict[str, int] = {}
    codes = []
    for part in parts:
        assert isinstance(part, Categories)  # noqa: S101 - for the type checker
        place = [places.setdefault(label, len(places)) for label in part.labels]
        codes.append(np.array(place, part.codes.dtype)[part.codes])
    return Categories(np.concatenate(codes), tuple(places))
