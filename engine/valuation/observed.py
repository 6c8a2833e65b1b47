"""Expected cash flows from what a projection by policy and scenario shows year by year."""

import numpy as np

from engine.horizon import YEARS
from engine.model.model import Basis
from engine.model.policies import Policies
from engine.numbers.arrays import Floats
from engine.numbers.exact import ExactSum
from engine.valuation.cash_flows import CashFlows


class FlowSums:
    """Exact sums over policies and scenarios; an observer of `per_policy.values`."""

    def __init__(self, basis: Basis) -> None:
        self._basis = basis
        self._sums = [[ExactSum(()) for _ in range(YEARS)] for _ in range(4)]

    def __call__(self, policies: Policies, year: int, lives: Floats, deaths: Floats) -> None:
        """Add a year of a block, arrays of shape (policies, scenarios)."""
        expenses, factor = self._basis.assumptions.expenses, self._basis.multipliers.expense
        premium = policies.premium[:, None]
        acquisition = expenses.acquisition if year == 1 else 0.0
        upkeep = expenses.maintenance + acquisition + expenses.percent_of_premium * premium
        parts = (
            lives,
            lives * premium,
            deaths * policies.sum_assured[:, None],
            (lives * upkeep + deaths * expenses.claim) * factor,
        )
        for sums, part in zip(self._sums, parts, strict=True):
            sums[year - 1].add(part.ravel())

    def merge(self, other: "FlowSums") -> None:
        """Add what another observer saw."""
        for own, others in zip(self._sums, other._sums, strict=True):
            for total, more in zip(own, others, strict=True):
                total.merge(more)

    def mean(self, scenarios: int) -> CashFlows:
        """Flows of the portfolio, averaged over the scenarios."""
        means = [np.array([float(s.value()) for s in sums]) / scenarios for sums in self._sums]
        return CashFlows(*means)
