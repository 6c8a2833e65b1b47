"""Values by policy and scenario, a block of policies at a time.

The blocks are small enough for a processor's cache, so that memory is touched once, for the
result. Every operation is elementwise: what a policy is worth does not depend on its block.
"""

from collections.abc import Iterator

import numpy as np

from engine.horizon import YEARS
from engine.model.model import Basis
from engine.model.policies import Policies
from engine.numbers.arrays import AnyArray, Floats, Integers
from engine.numbers.parallel import ranges
from engine.valuation import hooked
from engine.valuation.cash_flows import policy_cash_flows
from engine.valuation.discount import Curves
from engine.valuation.hooked import Observer, flows_per_life, in_force
from engine.valuation.projection import group_of, group_rates, lapse_in_year, survivors

TILE = 1 << 16  # numbers in a tile of (policies by scenarios): 512 KiB
FACTORS = 1 << 22  # numbers of groups' factors that are held at a time: 32 MiB


def values(
    policies: Policies, basis: Basis, curves: Curves, observer: Observer | None = None
) -> Floats:
    """NPV of shape (policies, scenarios).

    With hooks, `observer` is called with (policies, year from 1, lives, deaths) in force.
    """
    longest_first = -policies.term.astype(np.int64)
    result = np.empty((len(policies), curves.count))
    if basis.dynamic_lapse is not None and basis.hooks is None:
        groups = group_of(policies)
        order = np.lexsort((longest_first, groups))
        _dynamic(policies[order], groups[order], basis, curves, result, order)
        return result
    order = np.argsort(longest_first, kind="stable")
    policies = policies[order]
    if basis.hooks is None:
        flows = policy_cash_flows(policies, basis)
        _discount(flows, policies.term, 1.0 / (1.0 + curves.rates), result, order)
        return result
    for rows, columns in _tiles(*result.shape):
        part = curves.part(columns)
        result[order[rows], columns] = hooked.values(policies[rows], basis, part, observer)
    return result


def _tiles(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of tiles that cover a matrix."""
    columns = min(width, TILE)
    rows = max(1, TILE // columns)
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            yield slice(top, top + rows), slice(left, left + columns)


def _discount(
    flows: Floats, terms: AnyArray, factors: Floats, result: Floats, places: Integers
) -> None:
    """Σ_t flow_t·f₁…f_t by Horner's rule, from the last year back: n ← (n + flow_t)·f_t.

    `flows` is (policies, 50), longest terms first, `factors` (50, scenarios); policy i's values
    become row `places[i]` of the result. Both steps work in place, so that a tile and a row of
    factors are all that a cache has to hold.
    """
    for rows, columns in _tiles(len(flows), factors.shape[1]):
        total = np.zeros((len(flows[rows]), len(factors[0, columns])))
        for year, height in reversed(list(enumerate(in_force(terms[rows])))):
            part = total[:height]
            part += flows[rows][:height, year, None]
            part *= factors[year, columns]
        result[places[rows], columns] = total


def _dynamic(
    policies: Policies,
    groups: Integers,
    basis: Basis,
    curves: Curves,
    result: Floats,
    places: Integers,
) -> None:
    """Policies in the order of their groups: each group's lives are projected once.

    With s_t = (1 - q_t)(1 - w_t) for the share of lives that goes on from year t to the next, the
    value is Horner's rule again: flows of one life, and factors s_{t-1}·v_t.
    """
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    ends = [*starts[1:].tolist(), len(groups)]
    q = group_rates(basis, groups[starts]).q
    per_life, per_death = flows_per_life(policies, basis)
    years = min(YEARS, int(policies.term.max()))
    for left, right in ranges(curves.count, max(1, FACTORS // (years * len(starts)))):
        columns = slice(left, right)
        factors = _factors(basis, q[:, :years], curves.part(columns))
        for place, (start, stop) in enumerate(zip(starts.tolist(), ends, strict=True)):
            rows = slice(start, stop)
            flows = per_life[rows] - q[place] * per_death[rows]
            part = result[:, columns]
            _discount(flows, policies.term[rows], factors[:, place], part, places[rows])


def _factors(basis: Basis, q: Floats, curves: Curves) -> Floats:
    """s_{t-1}·v_t with s₀ = 1, shape (years, groups, scenarios); 0 where a policy has ended."""
    yearly = 1.0 / (1.0 + curves.rates)
    factors = np.empty((q.shape[1], len(q), curves.count))
    factors[0] = yearly[0]
    left = np.ones(factors.shape[1:])
    for year in range(q.shape[1] - 1):
        w = lapse_in_year(basis, year, curves.rates[year])
        left = survivors(left, left * q[:, year, None], w)
        factors[year + 1] = (1.0 - q[:, year, None]) * ((1.0 - w) * yearly[year + 1])
        if not left.all():
            factors[year + 1][left == 0.0] = 0.0
    return factors
