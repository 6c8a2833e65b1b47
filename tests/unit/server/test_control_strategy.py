"""Queries against a catalogue: what they ask for, and which controls match."""

import pytest

from ci_common.catalogue import EntityType
from ci_persistence.database.database import Database
from ci_persistence.sqlite.catalogue import SqliteCatalogueReader
from ci_server.services.control_strategy import FEW_CELLS, ControlStrategies, ControlStrategy
from support.catalogues import a_control, a_group, a_synonym, fill, import_example

pytestmark = pytest.mark.anyio

SYNTHETIC, QUERY = ControlStrategy
NAMES = ("PBS", "dmso")
B_CELLS = "What does IL4 do to B cells?"


class Assessor:
    """A catalogue, and questions about it."""

    def __init__(self, database):
        self.database = database

    async def fill(self, *entries):
        await fill(self.database, *entries)
        return self

    async def ask(self, query=B_CELLS, strategy=SYNTHETIC, names=NAMES):
        strategies = ControlStrategies(SqliteCatalogueReader(self.database), names)
        return await strategies.assess(query, strategy)


@pytest.fixture
async def assessor(tmp_path):
    database = Database(tmp_path / "ci.db")
    await database.open()
    yield Assessor(database)
    await database.close()


@pytest.fixture
async def example(assessor):
    await import_example(assessor.database)
    return assessor


async def test_without_a_catalogue_nothing_is_known(assessor):
    for strategy in ControlStrategy:
        found = await assessor.ask(strategy=strategy)
        assert "No catalogue was imported" in found.warning
        assert found.effective is None
        assert not found.synthetic_control_available
        assert (found.control_cells_found, found.control_donors, found.control_conditions) == (
            0,
            [],
            [],
        )
        assert found.recommendation.startswith("query_as_control: ")


async def test_matched_controls_are_found(example):
    found = await example.ask("How do CD4 T cells respond to interferon-beta?")
    assert found.synthetic_control_available
    assert found.control_cells_found == 94
    assert found.control_donors == [f"synthetic_donor_0{number}" for number in range(1, 5)]
    assert found.control_conditions == ["24 h"]
    assert found.warning is None
    assert found.effective is SYNTHETIC
    assert found.recommendation == (
        "synthetic_control: there are 94 control cells of 4 donors for interferon-beta on "
        "CD4-positive T cell, of the same dataset, cell type and tissue."
    )


async def test_what_is_asked_for_is_used_where_it_can_be(example):
    found = await example.ask("IFN-β, NK cells", QUERY)
    assert found.effective is QUERY
    assert found.recommendation.startswith("synthetic_control: ")
    assert found.warning is None
    found = await example.ask("IFN-β on dendritic cells")  # controls in another dataset only
    assert (found.effective, found.control_cells_found) == (QUERY, 0)
    assert found.warning == "query_as_control will be used instead of synthetic_control."
    assert found.recommendation == (
        "query_as_control: there are no control cells for interferon-beta on dendritic cell, in "
        "the datasets and tissues in which the treatment was used."
    )


async def test_an_unknown_strategy_is_a_defect(example):
    with pytest.raises(ValueError, match="best_control"):
        await example.ask(strategy="best_control")


@pytest.mark.parametrize(
    "query",
    [
        '"*) OR NEAR(',
        "' OR 1=1 --; <b>",
        "NOT AND OR NEAR",
        "words:b* ^cell {b}",
        "what about aspirin on B cells?",
        "B cells in PBS only",
        "\N{GRINNING FACE}" * 10,
        "\x00" * 10,
        "cd " * 3333,
        " ".join(map(str, range(5, 2000))),
        " ".join(chr(0x4E00 + number) for number in range(5000)),
    ],
)
async def test_a_query_that_names_no_treatment(example, query):
    found = await example.ask(query)
    assert "names no treatment that the catalogue has" in found.warning
    assert found.effective is QUERY
    assert found.recommendation == (
        "query_as_control: without a known treatment no controls can be matched."
    )


async def test_what_was_assumed_or_ignored_is_told(example):
    found = await example.ask("what does TGF-beta do?")
    assert found.warning == (
        "The query names no cell type that the catalogue has; alveolar macrophage is assumed."
    )
    found = await example.ask("IL-4 and then TNF on B cells and monocytes")
    assert found.warning == (
        "interleukin-4 is used; also named, and ignored: tumor necrosis factor. "
        "B cell is used; also named, and ignored: CD14-positive monocyte."
    )


async def test_the_closest_name_counts_where_none_is_named(example):
    found = await example.ask("transforming growth factor and fibroblasts")
    assert found.control_cells_found > 0
    assert found.warning == (
        "The query names no treatment exactly; transforming growth factor beta 1 is the closest. "
        "Use that name: a run may not recognize another."
    )
    found = await example.ask("interferon and fibroblasts")
    assert found.warning.startswith(
        "Several treatments are close: interferon-beta, interferon-gamma. The query names no "
    )


async def test_words_of_one_name_are_not_close_to_another(assessor):
    await assessor.fill(
        a_group(),
        a_control(),
        a_group(cell_type_name="interleukin receptor"),
        a_synonym("IL4", "interleukin-4"),
    )
    assert (await assessor.ask("interleukin-4 on B cells")).warning is None
    assert "B cell is assumed" in (await assessor.ask("what does interleukin-4 do")).warning


async def test_canonical_names_come_before_synonyms(assessor):
    await assessor.fill(
        a_group(),
        a_control(),
        a_group(perturbation_name="IL4", tissue="lung"),
        a_synonym("IL-4", "interleukin-4"),
        a_synonym("B lymphocyte", "B cell", EntityType.CELL_TYPE),
    )
    assert (await assessor.ask("IL-4 on B lymphocytes")).control_cells_found == 0
    assert (await assessor.ask("interleukin 4 on B lymphocytes")).control_cells_found == 30


@pytest.mark.parametrize(
    "other",
    [
        {"dataset": "second"},
        {"tissue": "lung"},
        {"cell_type_name": "T cell"},
    ],
)
async def test_controls_have_dataset_cell_type_and_tissue_in_common(assessor, other):
    await assessor.fill(a_group(), a_control(**other), a_synonym("IL4", "interleukin-4"))
    assert (await assessor.ask()).control_cells_found == 0


async def test_controls_of_treated_donors_are_preferred(assessor):
    others = [a_control(donor="donor_2", count=50), a_control(donor="donor_3", condition="6 h")]
    usual = (a_group(), a_synonym("IL4", "interleukin-4"))
    await assessor.fill(*usual, *others)
    found = await assessor.ask()
    assert (found.control_cells_found, found.control_donors) == (80, ["donor_2", "donor_3"])
    assert found.control_conditions == ["24 h", "6 h"]
    elsewhere = (a_group(tissue="lung"), a_control(tissue="lung", donor="donor_4", count=1))
    await assessor.fill(*usual, *others, *elsewhere, a_control(count=25))
    found = await assessor.ask()
    assert (found.control_cells_found, found.control_donors) == (26, ["donor_1", "donor_4"])


async def test_controls_of_a_type_that_was_not_treated(assessor):
    mast = {"cell_type_name": "mast cell"}
    await assessor.fill(a_group(), a_control(**mast), a_control(tissue="lung", count=9, **mast))
    found = await assessor.ask("interleukin-4 on mast cells")
    assert (found.control_cells_found, found.effective) == (30, SYNTHETIC)


async def test_perturbations_of_the_setting_are_controls_in_any_case(assessor):
    unmarked = a_group(perturbation_name="Dmso", perturbation_type="drug", count=40)
    await assessor.fill(a_group(), unmarked)
    assert (await assessor.ask("interleukin-4 on B cells")).control_cells_found == 40
    assert (await assessor.ask("interleukin-4 on B cells", names=())).control_cells_found == 0
    assert "names no treatment" in (await assessor.ask("DMSO on B cells")).warning
    assert (await assessor.ask("DMSO on B cells", names=())).warning == (
        "query_as_control will be used instead of synthetic_control."
    )


async def test_few_controls_are_told(assessor):
    await assessor.fill(a_group(), a_control(count=FEW_CELLS - 1))
    found = await assessor.ask("interleukin-4 on B cells")
    assert found.effective is SYNTHETIC
    assert found.warning == "Only 19 control cells match, which makes a noisy control."
    assert "of 1 donor for" in found.recommendation
    await assessor.fill(a_group(), a_control(count=FEW_CELLS))
    assert (await assessor.ask("interleukin-4 on B cells")).warning is None
