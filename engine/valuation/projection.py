"""The projection of one life, and of the portfolio as few lives with large amounts.

Without hooks, what is left of a policy depends on its age and gender only: lives of the same age
and gender are the same numbers, whatever their amounts and terms. So policies are first added up,
exactly, by (gender, age) and by the year they are still in force, at most 242 groups; then 242
lives are projected instead of all. Cash flows are linear in premium, sum assured and number.
"""

from dataclasses import dataclass

import numpy as np

from engine.horizon import YEARS
from engine.model.model import Basis
from engine.model.policies import MAX_AGE, Policies
from engine.numbers.arrays import AnyArray, Floats, Integers
from engine.numbers.exact import ExactSum

GENDERS = 2
AGES = MAX_AGE + 1
GROUPS = GENDERS * AGES
LEAST_LIVES = 1e-10
BLOCK = 1 << 16


@dataclass(frozen=True)
class Exposure:
    """Exact totals of the policies in force, shape (groups, 50 years), rounded once.

    `groups` are the places gender·121 + age that occur, in rising order.
    """

    groups: Integers
    count: Floats
    premium: Floats
    sum_assured: Floats


@dataclass(frozen=True)
class YearRates:
    """Death and lapse probabilities with multipliers; q of shape (groups, 50), w of (50,)."""

    q: Floats
    w: Floats


def exposure(policies: Policies) -> Exposure:
    """Add the portfolio up."""
    shape = (GROUPS * (YEARS + 1),)
    amounts = [ExactSum(shape), ExactSum(shape)]
    count = np.zeros(shape, np.int64)
    for start in range(0, len(policies), BLOCK):
        block = policies[start : start + BLOCK]
        cells = group_of(block) * (YEARS + 1) + np.minimum(block.term, YEARS)
        count += np.bincount(cells, minlength=shape[0])
        amounts[0].add_grouped(cells, block.premium)
        amounts[1].add_grouped(cells, block.sum_assured)
    by_year = count.reshape(GROUPS, YEARS + 1)[:, ::-1].cumsum(axis=1)[:, ::-1]
    groups = np.flatnonzero(by_year[:, 0])
    premium, sum_assured = (_in_force(total, groups) for total in amounts)
    return Exposure(groups, by_year[groups, 1:].astype(np.float64), premium, sum_assured)


def group_of(policies: Policies) -> Integers:
    """The place of each policy's (gender, age)."""
    codes: AnyArray = policies.gender.astype(np.int64)
    return codes * AGES + policies.age


def _in_force(total: ExactSum, groups: Integers) -> Floats:
    """From totals by term to totals of the terms from each year on, rounded."""
    return total.from_each_to_last(groups, YEARS + 1).value()[:, 1:]


def year_rates(basis: Basis, genders: AnyArray, ages: AnyArray) -> YearRates:
    """q = min(1, qx·m) and w = min(1, lapse·m)."""
    q = np.minimum(1.0, mortality(basis, genders, ages))
    w = np.minimum(1.0, basis.assumptions.lapse * basis.multipliers.lapse)
    return YearRates(q, w)


def mortality(basis: Basis, genders: AnyArray, ages: AnyArray) -> Floats:
    """qx·m at attained age min(120, age + t - 1), not limited; shape (rows, 50)."""
    attained = np.minimum(MAX_AGE, ages.astype(np.int64)[:, None] + np.arange(YEARS))
    qx = basis.assumptions.mortality[genders.astype(np.int64)[:, None], attained]
    return np.asarray(qx * basis.multipliers.mortality)


def group_rates(basis: Basis, groups: Integers) -> YearRates:
    """The rates of groups."""
    return year_rates(basis, groups // AGES, groups % AGES)


def lives(rates: YearRates) -> Floats:
    """Lives at the start of each year, l₁ = 1, shape (rows, 50); 0 once below 1e-10."""
    left = np.ones(len(rates.q))
    result = np.empty_like(rates.q)
    for year in range(YEARS):
        result[:, year] = left
        left = survivors(left, left * rates.q[:, year], rates.w[year])
    return result


def survivors(left: Floats, deaths: Floats, w: AnyArray | float) -> Floats:
    """(l - deaths)(1 - w), or 0 where that is below 1e-10: there the policy ends."""
    result = left - deaths
    result *= 1.0 - w
    end_small(result)
    return result


def end_small(left: Floats) -> None:
    """Set to 0 what is below 1e-10; in place. Looking first is faster than always writing.

    There may be no lives at all: the smallest of none is 1.
    """
    if left.min(initial=1.0) < LEAST_LIVES:
        left[left < LEAST_LIVES] = 0.0


def lapse_in_year(basis: Basis, year: int, rate: Floats) -> Floats:
    """w of a year counted from 0, at most 1, of the shape of `rate`."""
    return np.minimum(1.0, unlimited_lapse(basis, year, rate))


def unlimited_lapse(basis: Basis, year: int, rate: Floats) -> Floats:
    """lapse·m, times clip(1 + s·(r - reference), low, high) with dynamic lapse."""
    w = np.full_like(rate, basis.assumptions.lapse[year] * basis.multipliers.lapse)
    dynamic = basis.dynamic_lapse
    if dynamic is not None:
        factor = 1.0 + dynamic.sensitivity * (rate - dynamic.reference)
        w *= np.clip(factor, dynamic.low, dynamic.high)
    return w
