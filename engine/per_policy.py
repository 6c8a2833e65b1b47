"""Values by policy and scenario, a block of policies at a time.

The blocks are small enough for a processor's cache, so that memory is touched once, for the
result. Every operation is elementwise: what a policy is worth does not depend on its block.
"""

from collections.abc import Callable, Iterator

import numpy as np

from engine.arrays import AnyArray, Floats
from engine.assumptions import YEARS
from engine.cash_flows import policy_cash_flows
from engine.discount import Curves
from engine.model import Basis
from engine.policies import Policies
from engine.projection import LEAST_LIVES, lapse_in_year, mortality, unlimited_lapse

Observer = Callable[[Policies, int, Floats, Floats], None]
TILE = 1 << 16  # numbers in a tile of (policies by scenarios): 512 KiB


def values(
    policies: Policies, basis: Basis, curves: Curves, observer: Observer | None = None
) -> Floats:
    """NPV of shape (policies, scenarios).

    `observer` is called with (policies, year from 1, lives, deaths) for what is in force.
    """
    order = np.argsort(-policies.term.astype(np.int64), kind="stable")
    policies = policies[order]
    fixed = basis.hooks is None and basis.dynamic_lapse is None and observer is None
    flows = policy_cash_flows(policies, basis) if fixed else None
    result = np.empty((len(policies), curves.count))
    for rows, columns in _tiles(*result.shape):
        part = curves.part(columns)
        if flows is None:
            result[order[rows], columns] = _moving(policies[rows], basis, part, observer)
        else:
            in_force = _in_force(policies.term[rows])
            result[order[rows], columns] = _discounted(flows[rows], in_force, part.factors)
    return result


def _tiles(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of tiles that cover a matrix."""
    columns = min(width, TILE)
    rows = max(1, TILE // columns)
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            yield slice(top, top + rows), slice(left, left + columns)


def _discounted(flows: Floats, in_force: list[int], factors: Floats) -> Floats:
    """Σ_t flow_t·D_t from the first year on; `in_force` are the leading rows with a flow."""
    total = np.zeros((len(flows), factors.shape[1]))
    product = np.empty_like(total)
    for year, rows in enumerate(in_force):
        part = product[:rows]
        np.multiply(flows[:rows, year, None], factors[year], out=part)
        total[:rows] += part
    return total


def _moving(policies: Policies, basis: Basis, curves: Curves, observer: Observer | None) -> Floats:
    """The same where lives depend on the scenario."""
    state = _State(policies, basis, curves.count)
    total = np.zeros((len(policies), curves.count))
    for year, rows in enumerate(_in_force(policies.term)):
        left = state.left[:rows]
        block, rate = policies[:rows], curves.rates[year]
        deaths = state.deaths(block, year, left, rate)
        if observer is not None:
            observer(block, year + 1, left, deaths)
        flow = left * state.per_life[:rows, year, None]
        flow -= deaths * state.per_death[:rows]
        flow *= curves.factors[year]
        total[:rows] += flow
        w = state.lapse(block, year, left, rate)
        left -= deaths
        left *= 1.0 - w
        left *= left >= LEAST_LIVES
    return total


class _State:
    """Lives, and what a life and a death of each policy cost or bring, (policies, 50) or (…, 1)."""

    def __init__(self, policies: Policies, basis: Basis, scenarios: int) -> None:
        self._basis = basis
        self._qx = mortality(basis, policies.gender, policies.age)
        self.left = np.ones((len(policies), scenarios))
        expenses, factor = basis.assumptions.expenses, basis.multipliers.expense
        premium = policies.premium[:, None]
        fixed = np.full(YEARS, expenses.maintenance)
        fixed[0] += expenses.acquisition
        self.per_life = premium - (fixed + expenses.percent_of_premium * premium) * factor
        self.per_death = policies.sum_assured[:, None] + expenses.claim * factor

    def deaths(self, policies: Policies, year: int, left: Floats, rate: Floats) -> Floats:
        """l·q with q = min(1, qx·m·hook)."""
        q = self._qx[: len(policies), year, None]
        hooks = self._basis.hooks
        if hooks is not None and hooks.adjust_mortality is not None:
            q = q * hooks.mortality(policies, year + 1, left, rate)
        return left * np.minimum(1.0, q)

    def lapse(self, policies: Policies, year: int, left: Floats, rate: Floats) -> Floats:
        """w = min(1, lapse·m·dynamic·hook)."""
        hooks = self._basis.hooks
        if hooks is None or hooks.adjust_lapse is None:
            return lapse_in_year(self._basis, year, rate)
        w = unlimited_lapse(self._basis, year, rate)
        return np.minimum(1.0, w * hooks.lapse(policies, year + 1, left, rate))


def _in_force(terms: AnyArray) -> list[int]:
    """How many policies, of those with the longest terms first, are in force in each year."""
    return [int(np.count_nonzero(terms > year)) for year in range(min(YEARS, int(terms[0])))]
