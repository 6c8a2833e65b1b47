"""The planted response is found again, and better after iterations than at the first one."""

import numpy as np
import pytest

from haystack.programmes import planted_response
from haystack.statistics import pearson

QUERIES = (
    "How do CD4 T cells respond to interferon-beta?",
    "TGF-beta in lung fibroblasts",
    "TNF on monocytes",
    "IFN-gamma effect on CD8 T cells",
    "dexamethasone in macrophages",
)


def agreement(outcome, record):
    query = outcome.subject.query
    planted = planted_response(query.cell_type, query.perturbation)
    return pearson(record.expression.log2_fold_change, planted)


@pytest.mark.parametrize("query", QUERIES)
def test_iterations_recover_more_of_the_truth(run_here, tmp_path, query):
    """Of three seeds on average: what a seed draws may be lucky at once."""
    first, best = [], []
    for seed in range(3):
        given = {"MAX_ITERATIONS": "8", "SCORE_THRESHOLD": "8", "QUERY": query}
        outcome = run_here(tmp_path, **given, RUN_CONFIG=f'{{"random_seed": {seed}}}')
        assert outcome.best.evaluation.score > outcome.records[0].evaluation.score
        first.append(agreement(outcome, outcome.records[0]))
        best.append(agreement(outcome, outcome.best))
    assert np.mean(best) > np.mean(first) + 0.1
    assert np.mean(best) > 0.7


def test_the_right_pathways_and_factors_are_found(usual_run):
    outcome, _ = usual_run
    found = {item.pathway for item in outcome.best.evaluation.pathways}
    assert "SYNTHETIC_INTERFERON_RESPONSE" in found
    assert found <= {
        "SYNTHETIC_INTERFERON_RESPONSE",
        "SYNTHETIC_ANTIGEN_PRESENTATION",
        "SYNTHETIC_TRANSLATION",
    }
    factors = [item.factor for item in outcome.best.evaluation.factors]
    assert set(factors[:2]) == {"SYNTF01", "SYNTF02"}


def test_the_donor_who_was_handled_badly_is_left_out(usual_run):
    outcome, _ = usual_run
    assert outcome.best.plan.left_out == ("synthetic_donor_02",)
