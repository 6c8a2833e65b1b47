"""The metadata catalogue as rows (ports CatalogueReader, CatalogueKeeper)."""

import json
import sqlite3
from collections.abc import Collection

import aiosqlite
from typing_extensions import override

from ci_common.catalogue import EntityType, Synonym, words
from ci_common.ports.catalogue import (
    CatalogueContents,
    CatalogueDraft,
    CatalogueKeeper,
    CatalogueReader,
    CellTypeTotal,
    ControlCells,
    DatasetTotal,
    KnownName,
    PerturbationTotal,
    TreatedCells,
)
from ci_persistence.database.database import Database
from ci_persistence.sqlite.catalogue_draft import (
    GROUP_KEY,
    SYNONYM_KEY,
    group_values,
    synonym_values,
)

_SHOWN_UNUSED = 3

_NAME = "words, entity_type, canonical_name, is_synonym"
_UNUSED = (
    "FROM catalogue_synonyms AS s WHERE NOT EXISTS (SELECT 1 FROM catalogue_names AS n "
    "WHERE n.canonical_name = s.canonical_name AND n.entity_type = s.entity_type)"
)
_TOTALS = (
    "INSERT INTO catalogue_totals SELECT perturbation_name, cell_type_name, perturbation_type, "
    "cell_type_cl_id, dataset, is_control, sum(count) FROM catalogue_cells "
    "GROUP BY 1, 2, 3, 4, 5, 6"  # the order of the primary key, so that nothing is sorted
)


class SqliteCatalogueReader(CatalogueReader):
    """Reads the catalogue of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def datasets(self) -> list[str]:
        rows = await self._database.fetch_all(
            "SELECT DISTINCT dataset FROM catalogue_totals ORDER BY dataset"
        )
        return [row["dataset"] for row in rows]

    @override
    async def perturbations(
        self, dataset: str | None = None, perturbation_type: str | None = None
    ) -> list[PerturbationTotal]:
        condition, values = _where(dataset=dataset, perturbation_type=perturbation_type)
        rows = await self._database.fetch_all(
            "SELECT perturbation_name, perturbation_type, sum(cells) AS cells, "  # noqa: S608
            "json_group_array(DISTINCT dataset) AS datasets, "
            "json_group_array(DISTINCT cell_type_name) AS cell_types "
            f"FROM catalogue_totals {condition} GROUP BY perturbation_name, perturbation_type "
            "ORDER BY cells DESC, perturbation_name, perturbation_type",
            values,
        )
        return [
            PerturbationTotal(
                row["perturbation_name"],
                row["perturbation_type"],
                _sorted(row["datasets"]),
                row["cells"],
                _sorted(row["cell_types"]),
            )
            for row in rows
        ]

    @override
    async def cell_types(self, dataset: str | None = None) -> list[CellTypeTotal]:
        condition, values = _where(dataset=dataset)
        rows = await self._database.fetch_all(
            "SELECT cell_type_cl_id, cell_type_name, sum(cells) AS cells, "  # noqa: S608
            "json_group_array(DISTINCT dataset) AS datasets, "
            "json_group_array(DISTINCT perturbation_name) AS perturbations "
            f"FROM catalogue_totals {condition} GROUP BY cell_type_name, cell_type_cl_id "
            "ORDER BY cells DESC, cell_type_name, cell_type_cl_id",
            values,
        )
        return [
            CellTypeTotal(
                row["cell_type_cl_id"],
                row["cell_type_name"],
                _sorted(row["datasets"]),
                row["cells"],
                _sorted(row["perturbations"]),
            )
            for row in rows
        ]

    @override
    async def names_beginning_with(self, words: Collection[str]) -> list[KnownName]:
        rows = await self._database.fetch_all(
            f"SELECT {_NAME} FROM catalogue_names "  # noqa: S608 - constants
            "WHERE first_word IN (SELECT value FROM json_each(?)) ORDER BY id",
            (json.dumps(sorted(words)),),
        )
        return list(map(_known_name, rows))

    @override
    async def names_sharing(
        self, words: Collection[str], entity_type: EntityType, most: int
    ) -> list[KnownName]:
        if not words:
            return []
        rows = await self._database.fetch_all(
            f"SELECT n.words AS words, {_NAME.partition(', ')[2]} "  # noqa: S608 - constants
            "FROM catalogue_index JOIN catalogue_names AS n ON n.id = catalogue_index.rowid "
            "WHERE catalogue_index MATCH ? AND entity_type = ? ORDER BY rank, n.id LIMIT ?",
            (" OR ".join(map(_quoted, sorted(words))), entity_type.value, most),
        )
        return list(map(_known_name, rows))

    @override
    async def treatments_among(self, perturbations: Collection[str]) -> set[str]:
        rows = await self._database.fetch_all(
            "SELECT DISTINCT perturbation_name FROM catalogue_totals WHERE NOT is_control "
            "AND perturbation_name IN (SELECT value FROM json_each(?))",
            (json.dumps(sorted(perturbations)),),
        )
        return {row["perturbation_name"] for row in rows}

    @override
    async def treated(self, perturbation: str) -> list[TreatedCells]:
        rows = await self._database.fetch_all(
            "SELECT cell_type_name, dataset, tissue, donor, sum(count) AS count "
            "FROM catalogue_cells WHERE perturbation_name = ? AND NOT is_control "
            "GROUP BY cell_type_name, dataset, tissue, donor",
            (perturbation,),
        )
        return [TreatedCells(**dict(row)) for row in rows]

    @override
    async def controls(self, cell_type: str, control_names: Collection[str]) -> list[ControlCells]:
        folded = json.dumps(sorted(name.casefold() for name in control_names))
        rows = await self._database.fetch_all(
            "WITH named AS (SELECT canonical_name FROM catalogue_names "
            "WHERE entity_type = 'perturbation' AND NOT is_synonym "
            "AND folded IN (SELECT value FROM json_each(?))), "
            "marked AS (SELECT perturbation_name FROM catalogue_totals WHERE is_control) "
            "SELECT dataset, tissue, donor, condition, sum(count) AS count FROM catalogue_cells "
            "WHERE perturbation_name IN (SELECT * FROM named UNION SELECT * FROM marked) "
            "AND cell_type_name = ? "
            "AND (is_control OR perturbation_name IN (SELECT * FROM named)) "
            "GROUP BY dataset, tissue, donor, condition",
            (folded, cell_type),
        )
        return [ControlCells(**dict(row)) for row in rows]


class SqliteCatalogueKeeper(CatalogueKeeper):
    """Replaces the catalogue of one database, and tells what is in it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def replace(self, draft: CatalogueDraft) -> None:
        groups, synonyms = draft.groups(), draft.synonyms()
        async with self._database.transaction() as connection:
            if groups is not None:
                await connection.execute("DELETE FROM catalogue_cells")
                insert = _insert("catalogue_cells", f"{GROUP_KEY}, count")
                await connection.executemany(insert, map(group_values, groups))
                await connection.execute("DELETE FROM catalogue_totals")
                await connection.execute(_TOTALS)
            if synonyms is not None:
                await connection.execute("DELETE FROM catalogue_synonyms")
                insert = _insert("catalogue_synonyms", SYNONYM_KEY)
                await connection.executemany(insert, map(synonym_values, synonyms))
            await _derive_names(connection)

    @override
    async def contents(self) -> CatalogueContents:
        datasets = await self._database.fetch_all(
            "SELECT dataset, count(*) AS rows, sum(count) AS cells, "
            "count(DISTINCT cell_type_name) AS cell_types, "
            "count(DISTINCT perturbation_name) AS perturbations, "
            "count(DISTINCT donor) AS donors "
            "FROM catalogue_cells GROUP BY dataset ORDER BY dataset"
        )
        counted = await self._database.fetch_one(
            f"SELECT (SELECT count(*) FROM catalogue_synonyms), (SELECT count(*) {_UNUSED})"  # noqa: S608
        )
        unused = await self._database.fetch_all(
            f"SELECT canonical_name, synonym, entity_type {_UNUSED} "
            f"ORDER BY {SYNONYM_KEY} LIMIT {_SHOWN_UNUSED}"
        )
        synonyms, unused_count = counted or (0, 0)
        return CatalogueContents(
            tuple(DatasetTotal(**dict(row)) for row in datasets),
            synonyms,
            tuple(Synonym(row[0], row[1], EntityType(row[2])) for row in unused),
            unused_count,
        )


async def _derive_names(connection: aiosqlite.Connection) -> None:
    """Names and the index of their words, from the totals and the synonyms."""
    known: dict[EntityType, list[str]] = {}
    for kind in EntityType:
        rows = await connection.execute_fetchall(
            f"SELECT DISTINCT {kind.value}_name FROM catalogue_totals ORDER BY 1"  # noqa: S608
        )
        known[kind] = [row[0] for row in rows]
    await connection.execute("DELETE FROM catalogue_names")
    insert = f"INSERT INTO catalogue_names (first_word, {_NAME}, folded) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608
    for kind, names in known.items():
        await connection.executemany(insert, (_name_row(kind, name) for name in names))
        synonyms = await connection.execute_fetchall(
            "SELECT synonym, canonical_name FROM catalogue_synonyms WHERE entity_type = ? "
            "ORDER BY canonical_name, synonym",
            (kind.value,),
        )
        canonical = set(names)
        await connection.executemany(
            insert, (_name_row(kind, *row) for row in synonyms if row[1] in canonical)
        )
    await connection.execute("INSERT INTO catalogue_index (catalogue_index) VALUES ('rebuild')")


def _name_row(
    kind: EntityType, name: str, canonical: str | None = None
) -> tuple[str, str, str, str, bool, str]:
    found = words(name)
    first = found[0] if found else ""
    is_synonym = canonical is not None
    return first, " ".join(found), kind.value, canonical or name, is_synonym, name.casefold()


def _known_name(row: sqlite3.Row) -> KnownName:
    found, kind, canonical, is_synonym = row
    return KnownName(tuple(found.split()), EntityType(kind), canonical, bool(is_synonym))


def _where(**values: str | None) -> tuple[str, list[str]]:
    given = {name: value for name, value in values.items() if value is not None}
    condition = " AND ".join(f"{name} = ?" for name in given)
    return (f"WHERE {condition}" if condition else ""), list(given.values())


def _sorted(array: str) -> tuple[str, ...]:
    return tuple(sorted(json.loads(array)))


def _insert(table: str, columns: str) -> str:
    marks = ", ".join("?" * len(columns.split(",")))
    return f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 - constants


def _quoted(word: str) -> str:
    """A word of a full-text query that is nothing but a word. A NUL would end the query."""
    return '"' + word.replace('"', '""').replace("\0", " ") + '"'
