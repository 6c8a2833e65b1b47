"""Reading Parquet, with the optional extra `parquet` (pyarrow)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import Problems, RequestError
from engine.numbers.arrays import AnyArray
from engine.tables.columns import Column, Number, Schema
from engine.tables.rows import check_names

Values = list[object] | AnyArray
BATCH_ROWS = 1 << 16
FIRST_ROW = 2  # as if there were a header, so that rows count as in the same table's CSV


def read(
    path: Path, schema: Schema, problems: Problems
) -> tuple[list[str], Iterator[list[Values]]]:
    """The columns' names, and their values batch by batch; mistakes are noted as they are met.

    Raises:
        RequestError: pyarrow is not installed.
        ModelError: it is not a Parquet file, or its columns are not the schema's.
    """
    pq = _pyarrow()
    try:
        file = pq.ParquetFile(path)
    except (OSError, ValueError, NotImplementedError) as error:  # what pyarrow's errors are
        problems.add(f"is not a Parquet file: {str(error).splitlines()[0]}")
        problems.raise_if_any()
        raise
    names = schema.own_names([str(name) for name in file.schema_arrow.names])
    check_names(names, schema, problems)
    problems.raise_if_any()
    kinds = [kind for kind in map(schema.kind, names) if kind is not None]
    return names, _batches(file, names, kinds, problems)


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise RequestError("Parquet needs pyarrow: install the extra `parquet`") from error
    return pyarrow.parquet


def _batches(
    file: Any, names: Sequence[str], kinds: Sequence[Column], problems: Problems
) -> Iterator[list[Values]]:
    row = FIRST_ROW
    for batch in _whole(file.iter_batches(BATCH_ROWS), problems):
        columns = [
            _values(batch.column(place), kind, name, row, problems)
            for place, (name, kind) in enumerate(zip(names, kinds, strict=True))
        ]
        row += batch.num_rows
        if not problems:
            yield columns


def _whole(batches: Iterator[Any], problems: Problems) -> Iterator[Any]:
    """The batches; that the file is damaged is noted, and ends them."""
    try:
        yield from batches
    except (OSError, ValueError, NotImplementedError) as error:
        problems.add(f"is damaged: {(str(error).splitlines() or ['unreadable'])[0]}")


def _values(column: Any, kind: Column, name: str, first_row: int, problems: Problems) -> Values:
    """Checked values; each distinct one is parsed once, and numbers all at a time."""
    quick = _numbers(column, kind) if isinstance(kind, Number) else _words(column, kind)
    if quick is not None:
        return quick
    raw = column.to_pylist()
    known: dict[object, object] = {}
    try:
        return [_value(v, kind, name, first_row + i, problems, known) for i, v in enumerate(raw)]
    except TypeError:  # they cannot be keys
        problems.add("contains nested values", row=first_row, column=name)
        return []


def _numbers(column: Any, kind: Number) -> AnyArray | None:
    """A column that is nothing but right numbers, None for any other."""
    if column.null_count:
        return None
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype.kind not in "iuf":
        return None
    values = values.astype(np.float64)
    right = kind.accepts(values).all() and not (kind.whole and (values % 1.0).any())
    return values if right else None


def _words(column: Any, kind: Column) -> list[object] | None:
    """A column of right texts of which many are the same, None for any other."""
    if column.null_count or str(column.type) not in ("string", "large_string"):
        return None
    coded = column.dictionary_encode()
    if 2 * len(coded.dictionary) > len(column):
        return None
    try:
        known = [kind.parse(text) for text in coded.dictionary.to_pylist()]
    except ValueError:
        return None
    return [known[code] for code in coded.indices.to_pylist()]


def _value(
    raw: object,
    kind: Column,
    name: str,
    row: int,
    problems: Problems,
    known: dict[object, object],
) -> object:
    if raw in known:
        return known[raw]
    try:
        value = kind.parse(_text(raw))
    except ValueError as error:
        problems.add(str(error), row=row, column=name, value=_text(raw))
        return None
    known[raw] = value
    return value


def _text(raw: object) -> str:
    """As a CSV file would spell it: nothing is empty, numbers in their shortest form."""
    return "" if raw is None else str(raw)
