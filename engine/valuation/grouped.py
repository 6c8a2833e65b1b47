"""Portfolio values by scenario, from groups of lives; see `engine.valuation.projection`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.horizon import YEARS
from engine.model.model import Basis
from engine.model.policies import Policies
from engine.numbers.arrays import Floats
from engine.numbers.exact import ExactSum
from engine.valuation.cash_flows import CashFlows, discounted, portfolio_cash_flows
from engine.valuation.discount import Curves
from engine.valuation.projection import Exposure, exposure, group_rates, lapse_in_year, survivors


@dataclass(frozen=True)
class FixedPortfolio:
    """A portfolio whose cash flows are the same in every scenario."""

    flows: CashFlows

    def values(self, curves: Curves, sums: Sequence[ExactSum] = ()) -> Floats:
        """NPV by scenario; there is nothing to add to `sums`."""
        return discounted(self.flows.net, curves.factors)

    def mean_flows(self, sums: Sequence[ExactSum], count: int) -> CashFlows:
        """The cash flows, which are those of every scenario."""
        return self.flows

    def no_sums(self) -> list[ExactSum]:
        """Nothing is to be added up."""
        return []


@dataclass(frozen=True)
class DynamicPortfolio:
    """A portfolio whose lapses depend on the year's rate.

    The multiplier is the same for all policies, so lives still depend on age and gender only:
    the state is (groups by scenarios), not (policies by scenarios). `per_life` is the net flow per
    life of the group in force, shape (groups, 50).
    """

    exposure: Exposure
    basis: Basis
    q: Floats
    per_life: Floats

    def values(self, curves: Curves, sums: Sequence[ExactSum] = ()) -> Floats:
        """NPV by scenario. To `sums`, one a year, lives by group are added, if there are any."""
        total = np.zeros(curves.count)
        left = np.ones((len(self.q), curves.count))
        for year in range(YEARS):
            if sums:
                sums[year].add(left.T)
            total += tree_sum(left * self.per_life[:, year, None]) * curves.factors[year]
            w = lapse_in_year(self.basis, year, curves.rates[year])
            left = survivors(left, left * self.q[:, year, None], w)
        return total

    def mean_flows(self, sums: Sequence[ExactSum], count: int) -> CashFlows:
        """The expected cash flows over `count` scenarios, from their sums of lives."""
        left = np.stack([total.value() / count for total in sums], axis=1)
        return portfolio_cash_flows(self.exposure, self.basis, left)

    def no_sums(self) -> list[ExactSum]:
        """What `values` adds lives to."""
        return [ExactSum((len(self.q),)) for _ in range(YEARS)]


Portfolio = FixedPortfolio | DynamicPortfolio


def portfolio(policies: Policies, basis: Basis) -> Portfolio:
    """Add policies up, and prepare what does not depend on the scenario."""
    total = exposure(policies)
    if basis.dynamic_lapse is None:
        return FixedPortfolio(portfolio_cash_flows(total, basis))
    expenses, factor = basis.assumptions.expenses, basis.multipliers.expense
    q = group_rates(basis, total.groups).q
    fixed = np.full(YEARS, expenses.maintenance)
    fixed[0] += expenses.acquisition
    upkeep = total.count * fixed + expenses.percent_of_premium * total.premium
    claim = total.sum_assured + total.count * expenses.claim * factor
    return DynamicPortfolio(total, basis, q, total.premium - upkeep * factor - q * claim)


def tree_sum(values: Floats) -> Floats:
    """The sum over the first axis in a tree that depends on its length only.

    numpy's own reduction takes another order when there is a single column.
    """
    size = 1 << (len(values) - 1).bit_length()
    total = np.zeros((size, *values.shape[1:]))
    total[: len(values)] = values
    while size > 1:
        size //= 2
        total = total[:size] + total[size:]
    return np.asarray(total[0])
