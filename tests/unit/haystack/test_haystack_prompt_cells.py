"""The choice of prompt and query cells."""

import numpy as np
import pytest

from haystack.errors import QueryError
from haystack.prediction import predict
from haystack.prompt_cells import (
    STRATEGIES,
    PromptPlan,
    available_strategies,
    choose_prompt_cells,
    find_query_cells,
    residuals,
)
from haystack.query import ParsedQuery

QUERY = ParsedQuery("B cell", "interferon-beta")


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def cells(atlas, rng):
    return find_query_cells(atlas, QUERY, rng)


def test_query_cells_are_untreated_cells_of_the_type(atlas, cells):
    assert cells.is_matched
    assert set(atlas.columns["perturbation_name"][cells.positions]) == {"PBS"}
    assert set(atlas.columns["cell_type_name"][cells.positions]) == {"B cell"}


def test_without_matched_controls_others_of_the_type_are_taken(atlas, rng):
    query = ParsedQuery("dendritic cell", "interferon-beta")
    cells = find_query_cells(atlas, query, rng)
    assert not cells.is_matched
    assert cells.datasets == ("synthetic_reference_atlas",)
    # Treated dendritic cells have no controls of their data set: what they would show is the batch.
    assert available_strategies(atlas, query, cells) == ["any_cell_type"]


def test_without_any_untreated_cell_there_is_nothing_to_predict(atlas, rng):
    with pytest.raises(QueryError, match="no untreated cell"):
        find_query_cells(atlas, ParsedQuery("neuron", "interferon-beta"), rng)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_choose_treated_cells_from_wide_to_narrow(atlas, cells, rng, strategy):
    plan = PromptPlan(strategy, size=10_000)
    found = choose_prompt_cells(atlas, QUERY, cells, plan, None, rng)
    assert set(atlas.columns["perturbation_name"][found]) == {"interferon-beta"}
    types = set(atlas.columns["cell_type_name"][found])
    assert len(types) == (5 if strategy == "any_cell_type" else 1)


def test_size_and_left_out_donors_are_respected(atlas, cells, rng):
    plan = PromptPlan("matched_donors", size=7, left_out=("synthetic_donor_02",))
    found = choose_prompt_cells(atlas, QUERY, cells, plan, None, rng)
    assert len(set(found)) == 7
    assert "synthetic_donor_02" not in atlas.columns["donor"][found]


def test_responders_follow_the_expected_shift(atlas, cells, rng):
    everyone = choose_prompt_cells(atlas, QUERY, cells, PromptPlan(STRATEGIES[2], 999), None, rng)
    shift = residuals(atlas, everyone).mean(axis=0)
    plan = PromptPlan(STRATEGIES[2], 999, responders_only=True)
    found = choose_prompt_cells(atlas, QUERY, cells, plan, shift, rng)
    assert 0.3 < len(found) / len(everyone) < 0.9
    others = np.setdiff1d(everyone, found)
    assert (residuals(atlas, found) @ shift).min() > (residuals(atlas, others) @ shift).max()


def test_a_prediction_has_both_arms_of_the_same_cells(atlas, cells, rng):
    prompt = choose_prompt_cells(atlas, QUERY, cells, PromptPlan(STRATEGIES[2]), None, rng)
    base = atlas.expression[cells.positions]
    as_they_are = predict(atlas, cells, prompt, "query_as_control", rng)
    assert (as_they_are.control == base).all()
    synthetic = predict(atlas, cells, prompt, "synthetic_control", rng)
    assert not (synthetic.control == base).all()
    assert np.abs(synthetic.control - base).mean() < np.abs(synthetic.treated - base).mean()
    assert (synthetic.treated >= 0).all()
    assert (synthetic.control >= 0).all()
    assert set(synthetic.donor_shifts) == set(atlas.columns["donor"][prompt])
