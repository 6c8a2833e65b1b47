"""New rows of the catalogue while they are checked (port CatalogueDraft)."""

import sqlite3
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from typing_extensions import override

from ci_common.catalogue import CellGroup, EntityType, Synonym
from ci_common.errors import DatabaseError
from ci_common.ports.catalogue import CatalogueDraft

_CACHE_KIB = 32 << 10

GROUP_KEY = (
    "perturbation_name, cell_type_name, perturbation_type, cell_type_cl_id, dataset, is_control, "
    "tissue, donor, condition, disease"
)
SYNONYM_KEY = "entity_type, canonical_name, synonym"
_SCHEMA = f"""
    CREATE TABLE cells ({GROUP_KEY}, count, row, PRIMARY KEY ({GROUP_KEY})) WITHOUT ROWID;
    CREATE TABLE synonyms ({SYNONYM_KEY}, row, PRIMARY KEY ({SYNONYM_KEY})) WITHOUT ROWID;
"""

Values = Sequence[str | int]


class SqliteCatalogueDraft(CatalogueDraft):
    """A database of its own, in a temporary file that has no name: SQLite makes it only when the
    rows outgrow the memory they may have, and nothing can leave it behind.

    So the instance's database is not locked while a large file is read.
    """

    def __init__(self) -> None:
        # Made here, read by the thread that writes to the instance's database.
        self._rows = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._rows.executescript(f"PRAGMA cache_size=-{_CACHE_KIB}; {_SCHEMA} BEGIN;")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._rows.close()

    @override
    def add(self, row: int, entry: CellGroup | Synonym) -> int | None:
        if isinstance(entry, CellGroup):
            *key, count = group_values(entry)
            return self._insert("cells", GROUP_KEY, key, (count, row))
        return self._insert("synonyms", SYNONYM_KEY, synonym_values(entry), (row,))

    @override
    def groups(self) -> Iterator[CellGroup] | None:
        rows = self._in_order("cells", f"{GROUP_KEY}, count", GROUP_KEY)
        return None if rows is None else map(_group, rows)

    @override
    def synonyms(self) -> Iterator[Synonym] | None:
        rows = self._in_order("synonyms", SYNONYM_KEY, SYNONYM_KEY)
        return None if rows is None else map(_synonym, rows)

    def _in_order(self, table: str, columns: str, key: str) -> Iterator[Any] | None:
        if self._rows.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is None:  # noqa: S608
            return None
        return self._rows.execute(f"SELECT {columns} FROM {table} ORDER BY {key}")  # noqa: S608

    def _insert(
        self, table: str, columns: str, key: Sequence[str | int], rest: Sequence[str | int]
    ) -> int | None:
        values = (*key, *rest)
        marks = ", ".join("?" * len(values))
        try:
            self._rows.execute(f"INSERT INTO {table} VALUES ({marks})", values)  # noqa: S608
        except sqlite3.IntegrityError:
            marks = ", ".join("?" * len(key))
            statement = f"SELECT row FROM {table} WHERE ({columns}) = ({marks})"  # noqa: S608
            return int(self._rows.execute(statement, key).fetchone()[0])
        except sqlite3.Error as error:
            raise DatabaseError(
                f"the rows cannot be put into a temporary file: {error}. Let TMPDIR name a "
                "directory with more room"
            ) from error
        return None


def group_values(group: CellGroup) -> Values:
    """The values of GROUP_KEY, and the count."""
    return (
        group.perturbation_name,
        group.cell_type_name,
        group.perturbation_type,
        group.cell_type_cl_id,
        group.dataset,
        int(group.is_control),
        group.tissue,
        group.donor,
        group.condition,
        group.disease,
        group.count,
    )


def synonym_values(synonym: Synonym) -> Values:
    """The values of SYNONYM_KEY."""
    return synonym.entity_type.value, synonym.canonical_name, synonym.synonym


def _group(row: Any) -> CellGroup:
    perturbation, cell_type, kind, cl_id, dataset, control, tissue, donor, condition, disease, n = (
        row
    )
    return CellGroup(
        dataset=dataset,
        cell_type_name=cell_type,
        cell_type_cl_id=cl_id,
        perturbation_name=perturbation,
        perturbation_type=kind,
        is_control=bool(control),
        tissue=tissue,
        donor=donor,
        disease=disease,
        condition=condition,
        count=n,
    )


def _synonym(row: Any) -> Synonym:
    kind, canonical, synonym = row
    return Synonym(canonical, synonym, EntityType(kind))
