"""The statistics against published examples, and values computed by hand."""

import itertools
import math

import numpy as np
import pytest

from haystack import statistics

AT_TERM = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
EARLY = [1.15, 0.88, 0.90, 0.74, 1.21]
"""Permeability of the human chorioamnion, Hollander and Wolfe, Nonparametric Statistical Methods,
1973, table 4.1. U is 35, and the one-sided exact p-value 0.1272."""


def column(values):
    return np.array(values, dtype=float)[:, None]


def test_rank_sum_of_the_chorioamnion():
    u, z, p_value = statistics.rank_sum(column(AT_TERM), column(EARLY))
    assert u[0] == 35
    assert z[0] == pytest.approx(9.5 / math.sqrt(10 * 5 * 16 / 12))
    assert p_value[0] == pytest.approx(0.2446, abs=5e-5)


def test_exact_rank_sum_of_the_chorioamnion():
    assert statistics.rank_sum_exact(AT_TERM, EARLY) == pytest.approx(2 * 0.1272, abs=1e-4)
    assert statistics.rank_sum_exact(EARLY, AT_TERM) == pytest.approx(2 * 0.1272, abs=1e-4)


def test_exact_rank_sum_counts_every_arrangement():
    values = list(range(7))
    for chosen in itertools.combinations(values, 3):
        others = [v for v in values if v not in chosen]
        u = sum(a > b for a in chosen for b in others)
        extreme = 0
        for some in itertools.combinations(values, 3):
            rest = [v for v in values if v not in some]
            extreme += sum(a > b for a in some for b in rest) <= min(u, 12 - u)
        expected = min(1, 2 * extreme / math.comb(7, 3))
        assert statistics.rank_sum_exact(chosen, others) == pytest.approx(expected)


def test_exact_rank_sum_refuses_ties():
    with pytest.raises(ValueError, match="ties"):
        statistics.rank_sum_exact([1, 2], [2, 3])


def test_ties_share_their_ranks_and_shrink_the_variance():
    ranked, ties = statistics.ranks(column([3, 1, 3, 2, 3]))
    assert ranked[:, 0].tolist() == [4, 1, 4, 2, 4]
    assert ties.tolist() == [24]
    # By hand: ranks of the first are 1.5, 1.5 and 4, so U is 1; the tie of 2 and that of 3 give
    # 6 + 24 = 30, and the variance is 9 / 12 * (7 - 30 / 30) = 4.5.
    u, z, _ = statistics.rank_sum(column([1, 1, 2]), column([2, 2, 3]))
    assert u[0] == 1
    assert z[0] == pytest.approx(-3 / math.sqrt(4.5))


def test_equal_values_say_nothing():
    _, z, p_value = statistics.rank_sum(column([2, 2, 2]), column([2, 2]))
    assert (z[0], p_value[0]) == (0, 1)


def test_columns_are_tested_independently():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(20, 5)), rng.normal(0.5, size=(25, 5))
    together = statistics.rank_sum(first, second)
    for i in range(5):
        alone = statistics.rank_sum(first[:, i : i + 1], second[:, i : i + 1])
        assert [part[i] for part in together] == [part[0] for part in alone]


@pytest.mark.parametrize(
    ("first", "second"), [(np.empty((0, 1)), np.ones((2, 1))), (np.ones((2, 1)), np.ones((2, 2)))]
)
def test_rank_sum_needs_two_samples_of_the_same_variables(first, second):
    with pytest.raises(ValueError, match="two samples"):
        statistics.rank_sum(first, second)


def test_rank_sum_is_calibrated_where_nothing_differs():
    rng = np.random.default_rng(2)
    _, _, p_values = statistics.rank_sum(rng.poisson(3, (40, 2000)), rng.poisson(3, (50, 2000)))
    assert np.mean(p_values <= 0.05) == pytest.approx(0.05, abs=0.015)


def test_benjamini_hochberg_of_the_article():
    """The 15 p-values of section 3.2 of their article: four are rejected at 0.05."""
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459]
    p_values += [0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    adjusted = statistics.benjamini_hochberg(np.array(p_values))
    assert (adjusted <= 0.05).sum() == 4
    assert adjusted[:4] == pytest.approx([0.0015, 0.003, 0.0095, 0.035625])
    assert adjusted[-1] == 1


def test_adjusted_p_values_keep_their_places_and_never_fall():
    p_values = np.array([0.04, 0.01, 0.03, 0.03])
    assert statistics.benjamini_hochberg(p_values) == pytest.approx([0.04, 0.04, 0.04, 0.04])
    assert statistics.benjamini_hochberg(np.array([])).tolist() == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((3, 8, 4, 4), 17 / 70),  # Fisher's lady, three of four cups with milk first
        ((4, 8, 4, 4), 1 / 70),
        ((0, 8, 4, 4), 1.0),
        ((5, 8, 4, 4), 0.0),
        ((1, 10, 0, 5), 0.0),
        ((2, 4, 3, 3), 1.0),  # fewer than two are impossible
    ],
)
def test_hypergeometric_tail(arguments, expected):
    assert statistics.hypergeometric_tail(*arguments) == pytest.approx(expected)


def test_hypergeometric_tail_refuses_more_than_there_is():
    with pytest.raises(ValueError, match="population"):
        statistics.hypergeometric_tail(1, 5, 6, 2)


def test_correlations_by_hand():
    x, y = np.array([1.0, 2, 3, 4]), np.array([1.0, 4, 9, 16])
    assert statistics.pearson(x, y) == pytest.approx(0.984374)
    assert statistics.spearman(x, y) == pytest.approx(1)
    assert statistics.pearson(x, np.ones(4)) == 0


def test_two_sided_p_values_of_the_normal_distribution():
    assert statistics.two_sided(np.array([0, 1.959964, -2.575829])) == pytest.approx(
        [1, 0.05, 0.01], rel=1e-5
    )
