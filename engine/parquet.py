"""Reading Parquet, with the optional extra `parquet` (pyarrow)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.columns import Column, Schema
from engine.errors import EngineError, Problems, RequestError
from engine.rows import check_names

BATCH_ROWS = 1 << 16
FIRST_ROW = 2  # as if there were a header, so that rows count as in the same table's CSV


def read(
    path: Path, schema: Schema, problems: Problems
) -> tuple[list[str], Iterator[list[list[object]]]]:
    """The columns' names, and their values batch by batch; mistakes are noted as they are met.

    Raises:
        RequestError: pyarrow is not installed.
        ModelError: it is not a Parquet file, or its columns are not the schema's.
    """
    pq = _pyarrow()
    try:
        file = pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        problems.add(f"is not a Parquet file: {str(error).splitlines()[0]}")
        problems.raise_if_any()
        raise
    names = [str(name) for name in file.schema_arrow.names]
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
) -> Iterator[list[list[object]]]:
    row = FIRST_ROW
    for batch in file.iter_batches(BATCH_ROWS):
        columns = [
            _values(batch.column(place), kind, name, row, problems)
            for place, (name, kind) in enumerate(zip(names, kinds, strict=True))
        ]
        row += batch.num_rows
        if not problems:
            yield columns


def _values(
    column: Any, kind: Column, name: str, first_row: int, problems: Problems
) -> list[object]:
    """Checked values; each distinct one is parsed once."""
    try:
        raw = column.to_pylist()
        known: dict[object, object] = {}
        return [_value(v, kind, name, first_row + i, problems, known) for i, v in enumerate(raw)]
    except TypeError as error:  # nested values cannot be keys
        raise EngineError(f"column {name} of {problems.file} holds nested values") from error


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
