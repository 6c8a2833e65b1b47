"""The generator: the same atlas each time, plainly synthetic, and the catalogue in step with it."""

import csv
from collections import Counter

import anndata
import numpy as np
import pytest

from haystack import design, programmes
from haystack.atlas_generator import main
from setup_steps.paths import EXAMPLES


@pytest.mark.parametrize("name", ["cells.csv", "synonyms.csv"])
def test_the_repository_has_the_generated_catalogue(data, name):
    assert (EXAMPLES / "haystack" / "data" / name).read_bytes() == (data / name).read_bytes()


def test_the_atlas_has_the_cells_of_the_catalogue(data):
    found = anndata.read_h5ad(data / "atlas.h5ad")
    columns = list(design.CELL_COLUMNS[:-1])
    cells = Counter(tuple(row) for row in found.obs[columns].astype(str).to_numpy())
    with (data / "cells.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert cells == {tuple(row[c] for c in columns): int(row["count"]) for row in rows}
    assert found.shape == (sum(cells.values()), programmes.GENES)


def test_everything_is_labelled_synthetic(data):
    found = anndata.read_h5ad(data / "atlas.h5ad")
    assert found.uns["synthetic"]
    assert found.uns["notice"].startswith("SYNTHETIC")
    assert found.obs["dataset"].str.startswith("synthetic_").all()
    assert found.obs["donor"].str.startswith("synthetic_").all()
    assert found.obs_names.str.startswith("synthetic_").all()
    assert found.var_names.str.startswith("SYN").all()
    assert all(name.startswith("SYNTHETIC_") for name in programmes.PATHWAYS)


def test_the_same_cells_come_out_again(data, tmp_path):
    main([str(tmp_path)])
    first, again = (anndata.read_h5ad(d / "atlas.h5ad") for d in (data, tmp_path))
    assert (first.X != again.X).nnz == 0
    assert first.obs.equals(again.obs)
    assert (data / "knowledge.json").read_bytes() == (tmp_path / "knowledge.json").read_bytes()


def test_a_synonym_names_something_that_the_catalogue_has():
    names = {group.cell_type for group in design.groups()}
    names |= {group.perturbation for group in design.groups()}
    assert {canonical for canonical, _, _ in design.SYNONYMS} <= names


def test_what_a_run_may_know_does_not_have_the_planted_response(knowledge):
    fields = set(vars(knowledge))
    assert fields == {"pathways", "regulons", "edges", "targets"}
    assert not any(np.issubdtype(g.dtype, np.floating) for g in knowledge.pathways.values())


def test_a_treatment_plants_different_responses_in_different_cells():
    first = programmes.planted_response("B cell", "interferon-beta")
    second = programmes.planted_response("natural killer cell", "interferon-beta")
    assert 0.3 < np.corrcoef(first, second)[0, 1] < 0.95
    assert not programmes.planted_response("B cell", "PBS").any()


def test_the_generator_says_how_it_is_used(capsys):
    assert main([]) == 2
    assert "DIRECTORY" in capsys.readouterr().err
