"""Scores: their range, and what raises each."""

import numpy as np
import pytest

from haystack.expression import Expression, compare_arms
from haystack.prediction import Prediction
from haystack.programmes import planted_response
from haystack.scoring import COMPONENTS, evaluate, largest_component
from haystack.settings import DifferentialExpression

CELLS = 60


def prediction_of(shift, donors, seed=0):
    base = np.random.default_rng(seed).normal(5, 0.5, (CELLS, len(shift)))
    return Prediction(base + shift, base, shift, donors)


def score(prediction, knowledge, **more):
    expression = compare_arms(prediction, DifferentialExpression())
    return evaluate(prediction, expression, knowledge, "interferon-beta", **more)


def test_the_truth_scores_high_and_noise_low(knowledge):
    truth = planted_response("B cell", "interferon-beta")
    good = score(prediction_of(truth, {"a": truth, "b": truth}), knowledge)
    rng = np.random.default_rng(5)
    noise = rng.permutation(truth)
    bad = score(prediction_of(noise, {"a": noise, "b": rng.permutation(truth)}), knowledge)
    assert good.score > 7
    assert bad.score < 3
    assert all(good.scores[name] > bad.scores[name] for name in COMPONENTS)


def test_no_change_scores_one(knowledge):
    nothing = np.zeros(400)
    found = score(prediction_of(nothing, {"a": nothing}), knowledge)
    assert found.score == 1
    assert found.scores == dict.fromkeys(COMPONENTS, 1)
    assert (found.pathways, found.factors) == ((), ())


def test_scores_stay_between_one_and_ten(knowledge):
    rng = np.random.default_rng(6)
    for scale in (0, 0.1, 1, 50):
        shift = rng.normal(0, 1, 400) * scale
        found = score(prediction_of(shift, {"a": shift, "b": -shift}), knowledge)
        assert all(1 <= value <= 10 for value in found.scores.values())
        assert found.score == pytest.approx(np.mean(list(found.scores.values())), abs=1e-3)


def test_the_opposite_response_does_not_activate_targets(knowledge):
    truth = planted_response("B cell", "interferon-beta")
    found = score(prediction_of(-truth, {"a": -truth, "b": -truth}), knowledge)
    assert found.scores["target_activation"] == 1
    assert "SYNTF01" not in {item.factor for item in found.factors}


def test_a_donor_who_disagrees_lowers_consistency(knowledge):
    truth = planted_response("B cell", "interferon-beta")
    donors = {"a": truth, "b": truth, "c": np.roll(truth, 50)}
    found = score(prediction_of(truth, donors), knowledge)
    assert found.scores["donor_consistency"] < 3
    assert min(found.donor_correlations, key=found.donor_correlations.get) == "c"


def test_pathways_can_be_left_out(knowledge):
    truth = planted_response("B cell", "interferon-beta")
    found = score(prediction_of(truth, {"a": truth, "b": truth}), knowledge, with_pathways=False)
    assert set(found.scores) == set(COMPONENTS) - {"pathway_coherence"}
    assert found.pathways == ()


def test_both_bounds_make_a_gene_significant():
    change = np.array([2.0, 0.1, -2.0, 0.0])
    bounds = DifferentialExpression(0.05, 0.5)
    found = compare_arms(prediction_of(change, {}), bounds)
    assert found.is_significant.tolist() == [True, False, True, False]
    assert found.strongest(1, 5).tolist() == [0]
    assert found.strongest(-1, 5).tolist() == [2]


def test_strongest_genes_come_first():
    change = np.array([1.0, 3.0, 2.0, -1.0])
    everything = Expression(change, change, change, np.ones(4, dtype=bool))
    assert everything.strongest(1, 2).tolist() == [1, 2]


def test_largest_component_by_hand():
    nodes = np.array([1, 2, 3, 7, 9])
    assert largest_component(nodes, np.array([[1, 2], [2, 3], [7, 9]])) == 3
    assert largest_component(nodes, np.empty((0, 2), dtype=int)) == 1
    assert largest_component(np.array([]), np.empty((0, 2), dtype=int)) == 0
