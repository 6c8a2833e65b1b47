"""How the loop ends, and what it tries."""

import pytest

from haystack.stopping import StopRequest


def test_it_ends_at_the_threshold(run_here, tmp_path):
    outcome = run_here(tmp_path, SCORE_THRESHOLD="5")
    assert outcome.termination_reason == "threshold_reached"
    scores = [record.evaluation.score for record in outcome.records]
    assert scores[-1] >= 5
    assert all(score < 5 for score in scores[:-1])


def test_it_ends_after_so_many_iterations(run_here, tmp_path):
    outcome = run_here(tmp_path, SCORE_THRESHOLD="10", MAX_ITERATIONS="2")
    assert outcome.termination_reason == "max_iterations"
    assert [record.iteration for record in outcome.records] == [1, 2]


def test_it_ends_on_a_plateau_of_three(run_here, tmp_path):
    """A treatment of other cells only: what there is to try is soon tried."""
    outcome = run_here(
        tmp_path, QUERY="dexamethasone on B cells", SCORE_THRESHOLD="10", MAX_ITERATIONS="10"
    )
    scores = [record.evaluation.score for record in outcome.records]
    assert outcome.termination_reason == "plateau"
    assert max(scores[-3:]) < max(scores[:-3]) + 0.01
    assert outcome.best.evaluation.score == max(scores)


def test_a_stop_request_ends_it_after_the_iteration(run_here, tmp_path):
    stop = StopRequest()
    stop.is_set = True
    outcome = run_here(tmp_path, stop=stop)
    assert (len(outcome.records), outcome.termination_reason) == (1, "stopped")
    assert not outcome.success


def test_no_plan_is_tried_twice(run_here, tmp_path):
    outcome = run_here(tmp_path, SCORE_THRESHOLD="10", MAX_ITERATIONS="10")
    plans = [record.plan for record in outcome.records]
    assert len(set(plans)) == len(plans)


def test_another_seed_draws_other_cells(run_here, tmp_path, usual_run):
    other = run_here(tmp_path, RUN_CONFIG='{"random_seed": 9}')
    usual, _ = usual_run
    assert other.records[0].prompt.tolist() != usual.records[0].prompt.tolist()


@pytest.mark.parametrize(
    ("query", "asked", "effective"),
    [
        ("IFN-beta on B cells", "synthetic_control", "synthetic_control"),
        ("IFN-beta on B cells", "query_as_control", "query_as_control"),
        ("IFN-beta on dendritic cells", "synthetic_control", "query_as_control"),
    ],
)
def test_the_effective_control_strategy(run_here, tmp_path, query, asked, effective):
    outcome = run_here(tmp_path, QUERY=query, CONTROL_STRATEGY=asked, MAX_ITERATIONS="1")
    assert outcome.subject.control_strategy == effective
