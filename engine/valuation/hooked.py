"""Values by policy and scenario where hooks may change every one of them: a tile at a time."""

from collections.abc import Callable

import numpy as np

from engine.horizon import YEARS
from engine.model.model import Basis
from engine.model.policies import Policies
from engine.numbers.arrays import AnyArray, Floats
from engine.valuation.discount import Curves
from engine.valuation.projection import end_small, lapse_in_year, mortality, unlimited_lapse

Observer = Callable[[Policies, int, Floats, Floats], None]


def values(policies: Policies, basis: Basis, curves: Curves, observer: Observer | None) -> Floats:
    """NPV of shape (policies, scenarios); the longest terms come first."""
    state = _State(policies, basis, curves.count)
    total = np.zeros((len(policies), curves.count))
    buffers = np.empty((2, *total.shape))
    for year, rows in enumerate(in_force(policies.term)):
        block = policies[:rows]
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
    """Lives, and what each policy brings for a life and costs for a death."""

    def __init__(self, policies: Policies, basis: Basis, scenarios: int) -> None:
        self._basis = basis
        self._qx = mortality(basis, policies.gender, policies.age)
        self.left = np.ones((len(policies), scenarios))
        self._deaths = np.empty_like(self.left)
        self.per_life, self.per_death = flows_per_life(policies, basis)

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


def flows_per_life(policies: Policies, basis: Basis) -> tuple[Floats, Floats]:
    """What a life brings in each year, (policies, 50), and what a death costs, (policies, 1)."""
    expenses, factor = basis.assumptions.expenses, basis.multipliers.expense
    premium = policies.premium[:, None]
    fixed = np.full(YEARS, expenses.maintenance)
    fixed[0] += expenses.acquisition
    per_life = premium - (fixed + expenses.percent_of_premium * premium) * factor
    return per_life, policies.sum_assured[:, None] + expenses.claim * factor


def in_force(terms: AnyArray) -> list[int]:
    """How many policies, of those with the longest terms first, are in force in each year."""
    return [int(np.count_nonzero(terms > year)) for year in range(min(YEARS, int(terms[0])))]
