"""The image of runs and the server understand queries alike, and match the same controls."""

import numpy as np
import pytest

from ci_persistence.database.database import Database
from ci_persistence.sqlite.catalogue import SqliteCatalogueReader
from ci_server.services.control_strategy import ControlStrategies
from ci_server.services.query_subject import QueryReader
from haystack.errors import QueryError
from haystack.prompt_cells import find_query_cells
from haystack.query import parse_query
from support.catalogues import import_example

pytestmark = pytest.mark.anyio

TREATMENTS = ("interferon-beta", "IFNγ", "TNF-alpha", "IL4", "TGF-β1", "DEX", "PBS", "aspirin")
CELL_TYPES = (
    *("CD4+ T cells", "cytotoxic T cells", "B lymphocytes", "NK cells", "monocytes", "DCs"),
    *("lung fibroblasts", "macrophages", "pneumocytes", "some cells", "B cells and NK cells"),
)


@pytest.fixture
async def reader(tmp_path):
    database = Database(tmp_path / "ci.db")
    await database.open()
    await import_example(database)
    yield SqliteCatalogueReader(database)
    await database.close()


@pytest.mark.parametrize("treatment", TREATMENTS)
async def test_they_agree(reader, catalogue, atlas, treatment):
    names = ["pbs", "dmso", "untreated"]
    for cell_type in CELL_TYPES:
        query = f"How do {cell_type} respond to {treatment}?"
        subject = await QueryReader(reader, names).read(query, [])
        assessment = await ControlStrategies(reader, names).assess(query, "synthetic_control")
        try:
            parsed = parse_query(query, catalogue)
        except QueryError:
            assert subject is None
            continue
        assert (subject.cell_type, subject.perturbation) == (parsed.cell_type, parsed.perturbation)
        cells = find_query_cells(atlas, parsed, np.random.default_rng(0))
        assert assessment.synthetic_control_available == cells.is_matched
        assert assessment.control_cells_found == len(cells.positions) * cells.is_matched
