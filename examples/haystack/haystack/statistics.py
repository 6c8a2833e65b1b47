"""The statistics of a run, on numpy arrays. Each function names the source of its formula."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def ranks(values: Array) -> tuple[Array, Array]:
    """Average ranks in each column, from 1, and each column's sum of t³ - t over its ties of t.

    `values` has shape (observations, variables). Ties share the mean of their ranks (Kruskal and
    Wallis, J. Am. Stat. Assoc. 47, 1952, section 1.2).
    """
    ranked = np.empty(values.shape, dtype=float)
    ties = np.zeros(values.shape[1])
    for column in range(values.shape[1]):
        _, place, count = np.unique(values[:, column], return_inverse=True, return_counts=True)
        last = np.cumsum(count)
        ranked[:, column] = (last - (count - 1) / 2)[place]
        ties[column] = float(np.sum(count.astype(float) ** 3 - count))
    return ranked, ties


def rank_sum(first: Array, second: Array) -> tuple[Array, Array, Array]:
    """Wilcoxon's rank-sum test of each column: U of `first`, z, and the two-sided p-value.

    U and its distribution: Mann and Whitney, Ann. Math. Stat. 18, 1947. The normal approximation
    has the variance corrected for ties (Lehmann, Nonparametrics, 1975, section 1.4) and a
    correction for continuity of one half. A column of equal values has z = 0 and p = 1.

    Raises:
        ValueError: a sample is empty, or they have different numbers of columns.
    """
    if not len(first) or not len(second) or first.shape[1] != second.shape[1]:
        raise ValueError("two samples of the same variables are needed, neither of them empty")
    n, m = len(first), len(second)
    total = n + m
    ranked, ties = ranks(np.concatenate([first, second]))
    u = ranked[:n].sum(axis=0) - n * (n + 1) / 2
    tie_term = ties / (total * (total - 1)) if total > 1 else ties
    deviation = np.sqrt(n * m / 12 * (total + 1 - tie_term))
    distance = u - n * m / 2
    corrected = np.sign(distance) * np.maximum(np.abs(distance) - 0.5, 0)
    z = np.divide(corrected, deviation, out=np.zeros_like(u), where=deviation > 0)
    return u, z, two_sided(z)


def rank_sum_exact(first: Sequence[float], second: Sequence[float]) -> float:
    """The exact two-sided p-value of the rank-sum test, for small samples without ties.

    Counts arrangements by the recurrence of Mann and Whitney, Ann. Math. Stat. 18, 1947, section 2:
    N(n, m, u) = N(n - 1, m, u - m) + N(n, m - 1, u).

    Raises:
        ValueError: values are tied.
    """
    if len({*first, *second}) != len(first) + len(second):
        raise ValueError("the exact distribution is for samples without ties")
    n, m = len(first), len(second)
    counts = _arrangements(n, m)
    u = sum(a > b for a in first for b in second)
    tail = sum(counts[: min(u, n * m - u) + 1])
    return min(1.0, 2 * tail / math.comb(n + m, n))


def _arrangements(n: int, m: int) -> list[int]:
    """In how many orders of n and m observations U is 0, 1, …, n·m."""
    table = [[[0] * (n * m + 1) for _ in range(m + 1)] for _ in range(n + 1)]
    for i in range(n + 1):
        for j in range(m + 1):
            for u in range(n * m + 1):
                if i == 0 or j == 0:
                    table[i][j][u] = int(u == 0)
                else:
                    lower = table[i - 1][j][u - j] if u >= j else 0
                    table[i][j][u] = lower + table[i][j - 1][u]
    return table[n][m]


def two_sided(z: Array) -> Array:
    """P(|Z| ≥ |z|) of a standard normal Z: erfc(|z| / √2) (Abramowitz and Stegun, 26.2.29)."""
    return np.array([math.erfc(abs(value) / math.sqrt(2)) for value in np.atleast_1d(z)])


def benjamini_hochberg(p_values: Array) -> Array:
    """p-values adjusted for the false discovery rate, in their order.

    min over k ≥ i of p₍ₖ₎ · m / k, at most 1 (Benjamini and Hochberg, J. R. Stat. Soc. B 57, 1995,
    in the adjusted form of Yekutieli and Benjamini, J. Stat. Plan. Inference 82, 1999).
    """
    p_values = np.asarray(p_values, dtype=float)
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * count / np.arange(1, count + 1)
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(1, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted


def hypergeometric_tail(overlap: int, population: int, marked: int, drawn: int) -> float:
    """P(X ≥ overlap) of marked things among `drawn` from a population without replacement: the
    one-sided exact test of Fisher (The Design of Experiments, 1935, section II).

    Raises:
        ValueError: more are marked or drawn than there are.
    """
    if not (0 <= marked <= population and 0 <= drawn <= population):
        raise ValueError("marked and drawn must be between 0 and the population")
    lowest, highest = max(overlap, 0, marked + drawn - population), min(marked, drawn)
    whole = _log_choose(population, drawn)
    terms = [
        _log_choose(marked, k) + _log_choose(population - marked, drawn - k) - whole
        for k in range(lowest, highest + 1)
    ]
    if overlap <= max(0, marked + drawn - population):
        return 1.0
    return min(1.0, math.fsum(map(math.exp, terms)))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def pearson(first: Array, second: Array) -> float:
    """The correlation coefficient of Pearson (Proc. R. Soc. 58, 1895); 0 if either is constant."""
    a, b = first - first.mean(), second - second.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0 else 0.0


def spearman(first: Array, second: Array) -> float:
    """Spearman's rank correlation (Am. J. Psychol. 15, 1904): Pearson's, of average ranks."""
    ranked, _ = ranks(np.column_stack([first, second]))
    return pearson(ranked[:, 0], ranked[:, 1])
