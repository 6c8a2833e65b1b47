"""The metadata catalogue (ports CatalogueReader, CatalogueKeeper, CatalogueDraft)."""

import asyncio
import sqlite3
from dataclasses import replace

import pytest

from ci_common.catalogue import EntityType
from ci_common.errors import DatabaseError
from ci_common.ports.catalogue import (
    CatalogueContents,
    CellTypeTotal,
    ControlCells,
    DatasetTotal,
    KnownName,
    PerturbationTotal,
    TreatedCells,
)
from ci_persistence.database.database import Database
from ci_persistence.database.integrity import find_damage, is_damage
from ci_persistence.sqlite.catalogue import SqliteCatalogueKeeper, SqliteCatalogueReader
from ci_persistence.sqlite.catalogue_draft import SqliteCatalogueDraft
from support.backups import back_up, restore
from support.catalogues import a_control, a_group, a_synonym, fill, import_example

pytestmark = pytest.mark.anyio

CELL_TYPE, PERTURBATION = EntityType.CELL_TYPE, EntityType.PERTURBATION
T_CELL = {"cell_type_name": "T cell", "cell_type_cl_id": "CL:0000084"}
SMALL = (
    a_group(count=10),
    a_group(count=5, donor="donor_2", condition="6 h"),
    a_group(count=7, dataset="second"),
    a_group(count=22, perturbation_name="interferon-beta", **T_CELL),
    a_control(count=40),
    a_control(count=3, donor="donor_2"),
    a_control(count=9, **T_CELL),
    a_synonym("IL4", "interleukin-4"),
    a_synonym("B lymphocyte", "B cell", CELL_TYPE),
    a_synonym("aspirin", "acetylsalicylic acid"),
)


@pytest.fixture
async def database(tmp_path):
    database = Database(tmp_path / "ci.db")
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def reader(database):
    return SqliteCatalogueReader(database)


@pytest.fixture
def keeper(database):
    return SqliteCatalogueKeeper(database)


async def everything(reader, keeper):
    return (
        await keeper.contents(),
        await reader.perturbations(),
        await reader.cell_types(),
        await reader.names_beginning_with(["b", "t", "il", "interleukin", "interferon"]),
        await reader.names_sharing(["cell", "4"], PERTURBATION, 9),
        await reader.treated("interleukin-4"),
        await reader.controls("B cell", []),
    )


async def test_there_is_nothing_at_first(reader, keeper):
    assert await reader.datasets() == []
    assert await reader.perturbations() == []
    assert await reader.cell_types() == []
    assert await reader.treated("PBS") == []
    assert await reader.treatments_among(["PBS"]) == set()
    assert await reader.controls("B cell", ["PBS"]) == []
    assert await reader.names_beginning_with(["b"]) == []
    assert await reader.names_sharing(["b"], CELL_TYPE, 9) == []
    assert await keeper.contents() == CatalogueContents((), 0, (), 0)


async def test_totals(database, reader):
    await fill(database, *SMALL)
    both = ("atlas", "second")
    assert await reader.datasets() == list(both)
    interleukin = PerturbationTotal("interleukin-4", "cytokine", both, 22, ("B cell",))
    interferon = PerturbationTotal("interferon-beta", "cytokine", ("atlas",), 22, ("T cell",))
    controls = PerturbationTotal("PBS", "control", ("atlas",), 52, ("B cell", "T cell"))
    assert await reader.perturbations() == [controls, interferon, interleukin]
    assert await reader.perturbations(perturbation_type="control") == [controls]
    assert await reader.perturbations("atlas", "cytokine") == [
        interferon,
        replace(interleukin, datasets_present=("atlas",), total_cells=15),
    ]
    b_cell = CellTypeTotal("CL:0000236", "B cell", both, 65, ("PBS", "interleukin-4"))
    assert await reader.cell_types() == [
        b_cell,
        CellTypeTotal("CL:0000084", "T cell", ("atlas",), 31, ("PBS", "interferon-beta")),
    ]
    assert await reader.cell_types("second") == [
        CellTypeTotal("CL:0000236", "B cell", ("second",), 7, ("interleukin-4",))
    ]
    for nothing in ("ATLAS", "", "' OR 1=1 --", "\x00"):
        assert await reader.cell_types(nothing) == []
        assert await reader.perturbations(nothing) == []
        assert await reader.perturbations(perturbation_type=nothing) == []


async def test_names(database, reader):
    await fill(database, *SMALL)
    assert await reader.names_beginning_with(["b", "il", "aspirin", "cell"]) == [
        KnownName(("b", "cell"), CELL_TYPE, "B cell", False),
        KnownName(("b", "lymphocyte"), CELL_TYPE, "B cell", True),
        KnownName(("il", "4"), PERTURBATION, "interleukin-4", True),
    ]
    found = await reader.names_sharing({"4", "il", "beta"}, PERTURBATION, 9)
    assert [name.words for name in found] == [
        ("il", "4"),
        ("interferon", "beta"),
        ("interleukin", "4"),
    ]
    assert len(await reader.names_sharing({"4", "il", "beta"}, PERTURBATION, 1)) == 1
    assert await reader.names_sharing({"4"}, CELL_TYPE, 9) == []


@pytest.mark.parametrize(
    "word", ['"', '"*) OR NEAR(', "NEAR", "words:b", "b*", "^b", "b) OR (cell", "{a b}", "", "\x00"]
)
async def test_words_are_no_syntax(database, reader, word):
    await fill(database, *SMALL)
    assert await reader.names_beginning_with([word]) == []
    await reader.names_sharing([word], CELL_TYPE, 9)
    known = await reader.names_sharing([word, "lymphocyte"], CELL_TYPE, 9)
    assert ("b", "lymphocyte") in [name.words for name in known]


async def test_as_many_words_as_a_query_can_have(database, reader):
    await fill(database, *SMALL)
    many = {chr(0x4E00 + number) for number in range(5000)}
    assert len(await reader.names_sharing({*many, "beta"}, PERTURBATION, 9)) == 1
    assert await reader.names_beginning_with(many) == []


async def test_treated_cells_and_controls(database, reader):
    await fill(
        database,
        *SMALL,
        a_group(perturbation_name="dmso", count=2),
        a_group(count=4, donor="donor_2", is_control=True),
    )
    treated = [
        TreatedCells("B cell", "atlas", "blood", "donor_1", 10),
        TreatedCells("B cell", "atlas", "blood", "donor_2", 5),
        TreatedCells("B cell", "second", "blood", "donor_1", 7),
    ]
    assert sorted(await reader.treated("interleukin-4"), key=repr) == treated
    assert await reader.treatments_among(["PBS", "interleukin-4", "dmso", "DMSO", "'"]) == {
        "interleukin-4",
        "dmso",
    }
    marked = [
        ControlCells("atlas", "blood", "donor_1", "24 h", 40),
        ControlCells("atlas", "blood", "donor_2", "24 h", 7),
    ]
    assert await reader.controls("B cell", []) == marked
    assert await reader.controls("B cell", ["pbs", "\N{MICROSCOPE}"]) == marked
    assert await reader.controls("B cell", ["DMSO"]) == [replace(marked[0], count=42), marked[1]]


async def test_each_table_is_replaced_as_a_whole_with_what_is_derived(database, reader, keeper):
    await fill(database, *SMALL)
    first = await everything(reader, keeper)
    await fill(database, *SMALL)
    assert await everything(reader, keeper) == first

    await fill(database, a_group(cell_type_name="mast cell"), a_control(cell_type_name="mast cell"))
    assert [total.cell_type_name for total in await reader.cell_types()] == ["mast cell"]
    assert await reader.controls("B cell", []) == []
    contents = await keeper.contents()
    assert contents.datasets == (DatasetTotal("atlas", 2, 60, 1, 2, 1),)
    assert (contents.synonyms, contents.unused_synonym_count) == (3, 2)
    assert [synonym.synonym for synonym in contents.unused_synonyms] == ["B lymphocyte", "aspirin"]
    assert await reader.names_sharing(["lymphocyte"], CELL_TYPE, 9) == []

    await fill(database, a_synonym("mastocyte", "mast cell", CELL_TYPE))
    assert (await keeper.contents()).synonyms == 1
    assert [name.words for name in await reader.names_beginning_with(["mastocyte", "il"])] == [
        ("mastocyte",)
    ]


async def test_nothing_changes_when_a_replacement_fails(database, reader, keeper):
    await fill(database, *SMALL)
    first = await everything(reader, keeper)
    with SqliteCatalogueDraft() as draft:
        draft.add(2, a_group())
        draft.add(3, a_synonym("x", "y"))
        draft.synonyms = lambda: iter([a_synonym("z", "y"), a_synonym("z", "y")])
        with pytest.raises(sqlite3.IntegrityError):
            await keeper.replace(draft)
    assert await everything(reader, keeper) == first


def test_a_draft_tells_which_row_it_has_already():
    with SqliteCatalogueDraft() as draft:
        assert draft.groups() is draft.synonyms() is None
        assert draft.add(2, a_group(count=1)) is None
        assert draft.add(3, a_group(count=1, donor="other")) is None
        assert draft.add(4, a_group(count=2)) == 2
        assert draft.add(5, a_synonym("x", "y")) is None
        assert draft.add(6, a_synonym("x", "y", CELL_TYPE)) is None
        assert draft.add(7, a_synonym("x", "y")) == 5
        assert list(draft.groups()) == [a_group(count=1), a_group(count=1, donor="other")]
        assert len(list(draft.synonyms())) == 2


def test_a_draft_tells_when_it_has_no_room():
    with SqliteCatalogueDraft() as draft:
        draft._rows.execute("PRAGMA max_page_count=8")
        with pytest.raises(DatabaseError, match="temporary file: database or disk is full"):
            any(draft.add(row, a_group(donor=f"donor_{row}")) for row in range(10_000))


async def test_a_file_with_a_catalogue_is_found_sound(database, tmp_path):
    await import_example(database)
    for thorough in (False, True):
        assert find_damage(tmp_path / "ci.db", thorough=thorough) == []


def test_what_a_version_of_sqlite_cannot_check_is_no_damage():
    assert not is_damage(
        "unable to validate the inverted index for FTS5 table main.catalogue_index: attempt to "
        "write a readonly database"
    )
    assert is_damage("malformed inverted index for FTS5 table main.catalogue_index")
    assert is_damage("row 1 missing from index jobs_active")


def test_a_backup_has_it(source, target, tmp_path):
    async def contents_of(instance, fill_it):
        async with instance.opened() as database:
            if fill_it:
                await import_example(database)
            return await everything(
                SqliteCatalogueReader(database), SqliteCatalogueKeeper(database)
            )

    before = asyncio.run(contents_of(source, True))
    assert before[1]
    back_up(source, tmp_path / "b.tar")
    restore(target, tmp_path / "b.tar")
    assert asyncio.run(contents_of(target, False)) == before
