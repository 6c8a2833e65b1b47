"""The atlas: cells with their expression, and what is known about their genes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CELLS_TOTAL = 1000.0
"""Counts of each cell are scaled to this sum."""

COLUMNS = (
    "dataset",
    "cell_type_name",
    "perturbation_name",
    "is_control",
    "tissue",
    "donor",
    "disease",
    "condition",
)


@dataclass(frozen=True)
class Atlas:
    """Expression of shape (cells, genes), and a column of strings for each of `COLUMNS`."""

    expression: Array
    """log2(1 + counts per `CELLS_TOTAL`)."""
    cells: Array
    genes: list[str]
    columns: dict[str, Array]

    def where(self, **values: str) -> Array:
        """Which cells have all of these values: a mask of shape (cells,)."""
        mask = np.ones(len(self.cells), dtype=bool)
        for column, value in values.items():
            mask &= self.columns[column] == value
        return mask

    @property
    def is_control(self) -> Array:
        """Which cells are untreated."""
        return np.asarray(self.columns["is_control"] == "true")


@dataclass(frozen=True)
class Knowledge:
    """Genes that belong together; all of them by their position in `Atlas.genes`."""

    pathways: dict[str, Array]
    regulons: dict[str, Array]
    """Targets by transcription factor."""
    edges: Array
    """Pairs of genes, shape (edges, 2)."""
    targets: dict[str, list[str]]
    """Transcription factors that a perturbation is known to activate."""


def read_atlas(directory: Path) -> Atlas:
    """Read atlas.h5ad and normalise it."""
    data = anndata.read_h5ad(directory / "atlas.h5ad")
    counts = np.asarray(data.X.todense(), dtype=float)
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return Atlas(
        np.log2(1 + counts * (CELLS_TOTAL / totals)),
        np.array(data.obs_names, dtype=str),
        [str(name) for name in data.var_names],
        {name: np.array(data.obs[name], dtype=str) for name in COLUMNS},
    )


def write_cells(data: anndata.AnnData, path: Path) -> None:
    """Write cells to an .h5ad file that older versions of anndata, and R, can read, too: with
    pandas 3 its strings would be in a newer format that they do not know.
    """
    with anndata.settings.override(allow_write_nullable_strings=False):
        data.write_h5ad(path, compression="gzip")


def read_knowledge(directory: Path) -> Knowledge:
    """Read knowledge.json."""
    found = json.loads((directory / "knowledge.json").read_text(encoding="utf-8"))
    return Knowledge(
        {name: np.array(genes) for name, genes in found["pathways"].items()},
        {name: np.array(genes) for name, genes in found["regulons"].items()},
        np.array(found["edges"]),
        found["targets"],
    )
