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
from engine.projection import end_small, lapse_in_year, mortality, unlimited_lapse

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
    yearly = 1.0 / (1.0 + curves.rates)
    result = np.empty((len(policies), curves.count))
    for rows, columns in _tiles(*result.shape):
        if flows is None:
            part = curves.part(columns)
            result[order[rows], columns] = _moving(policies[rows], basis, part, observer)
        else:
            in_force = _in_force(policies.term[rows])
            result[order[rows], columns] = _discounted(flows[rows], in_force, yearly[:, columns])
    return result


def _tiles(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of tiles that cover a matrix."""
    columns = min(width, TILE)
    rows = max(1, TILE // columns)
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            yield slice(top, top + rows), slice(left, left + columns)


def _discounted(flows: Floats, in_force: list[int], yearly: Floats) -> Floats:
    """Σ_t flow_t·D_t by Horner's rule, from the last year back: n ← (n + flow_t)·v_t.

    `in_force` are the leading rows with a flow, `yearly` is v = 1/(1 + r), (50, scenarios). Both
    steps work in place, so that a tile and a row of v are all that a cache has to hold.
    """
    total = np.zeros((len(flows), yearly.shape[1]))
    for year, rows in reversed(list(enumerate(in_force))):
        part = total[:rows]
        part += flows[:rows, year, None]
        part *= yearly[year]
    return total


def _moving(policies: Policies, basis: Basis, curves: Curves, observer: Observer | None) -> Floats:
    """The same where lives depend on the scenario."""
    state = _State(policies, basis, curves.count)
    total = np.zeros((len(policies), curves.count))
    buffers = np.empty((2, *total.shape))
    shown = basis.hooks is not None or observer is not None
    for year, rows in enumerate(_in_force(policies.term)):
        block = policies[:rows] if shown else policies
        rate = curves.rates[year]
        left, flow, cost = state.left[:rows], buffers[0, :rows], buffers[1, :rows]
        deaths = state.deaths(block, year, left, rate)
        if observer is not None:
            observer(block, year + 1, left, deaths)
        w = state.lapse(block, year, left, rate)
        np.multiply(left, state.per_life[:rows, year, None], out=flow)
        flow -= np.multiply(deaths, state.per_death[:rows], out=cost)
        flow *= curves.factors[year]
        total[:rows] += flow
        left -= deaths
        left *= 1.0 - w
        end_small(left)
    return total


class _State:
    """Lives, and what a life and a death of each policy cost or bring, (policies, 50) or (…, 1)."""

    def __init__(self, policies: Policies, basis: Basis, scenarios: int) -> None:
        self._basis = basis
        self._qx = mortality(basis, policies.gender, policies.age)
        self.left = np.ones((len(policies), scenarios))
        self._deaths = np.empty_like(self.left)
        expenses, factor = basis.assumptions.expenses, basis.multipliers.expense
        premium = policies.premium[:, None]
        fixed = np.full(YEARS, expenses.maintenance)
        fixed[0] += expenses.acquisition
        self.per_life = premium - (fixed + expenses.percent_of_premium * premium) * factor
        self.per_death = policies.sum_assured[:, None] + expenses.claim * factor

    def deaths(self, policies: Policies, year: int, left: Floats, rate: Floats) -> Floats:
        """l·q with q = min(1, qx·m·hook)."""
        q = self._qx[: len(left), year, None]
        hooks = self._basis.hooks
        if hooks is not None and hooks.adjust_mortality is not None:
            q = q * hooks.mortality(policies, year + 1, left, rate)
        return np.multiply(left, np.minimum(1.0, q), out=self._deaths[: len(left)])

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
