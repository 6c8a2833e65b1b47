"""Yearly cash flows of the portfolio, where they do not depend on the scenario."""

import math
from dataclasses import dataclass

import numpy as np

from engine.horizon import YEARS
from engine.model.model import Basis
from engine.model.policies import Policies
from engine.numbers.arrays import Floats
from engine.valuation.projection import Exposure, group_rates, lives, year_rates


@dataclass(frozen=True)
class CashFlows:
    """Undiscounted flows at year ends, each of shape (50,), in currency units.

    `policies` is the expected number in force at the start of the year.
    """

    policies: Floats
    premium: Floats
    claims: Floats
    expenses: Floats

    @property
    def net(self) -> Floats:
        """What is left for the company."""
        return self.premium - self.claims - self.expenses


def portfolio_cash_flows(exposure: Exposure, basis: Basis, left: Floats | None = None) -> CashFlows:
    """Sums over the groups, each rounded once; `left` are lives, shape (groups, 50), if known."""
    rates = group_rates(basis, exposure.groups)
    left = lives(rates) if left is None else left
    deaths = left * rates.q
    acquisition = np.zeros(YEARS)
    acquisition[0] = basis.assumptions.expenses.acquisition
    fixed = basis.assumptions.expenses.maintenance + acquisition
    share = basis.assumptions.expenses.percent_of_premium
    upkeep = left * (exposure.count * fixed + share * exposure.premium)
    settling = deaths * (exposure.count * basis.assumptions.expenses.claim)
    return CashFlows(
        policies=_column_sums(left * exposure.count),
        premium=_column_sums(left * exposure.premium),
        claims=_column_sums(deaths * exposure.sum_assured),
        expenses=_column_sums((upkeep + settling) * basis.multipliers.expense),
    )


def policy_cash_flows(policies: Policies, basis: Basis) -> Floats:
    """Net flows of each policy, shape (policies, 50); zero after its term."""
    expenses, factor = basis.assumptions.expenses, basis.multipliers.expense
    rates = year_rates(basis, policies.gender, policies.age)
    left = lives(rates) * (np.arange(YEARS) < policies.term[:, None])
    deaths = left * rates.q
    premium, assured = policies.premium[:, None], policies.sum_assured[:, None]
    fixed = np.full(YEARS, expenses.maintenance)
    fixed[0] += expenses.acquisition
    cost = left * (fixed + expenses.percent_of_premium * premium) * factor
    return left * premium - deaths * assured - (cost + deaths * expenses.claim * factor)


def discounted(net: Floats, factors: Floats) -> Floats:
    """NPV_s = Σ_t net_t·D_ts, added from the first year to the last; factors (50, scenarios)."""
    total = np.zeros(factors.shape[1])
    for year in range(YEARS):
        total += net[year] * factors[year]
    return total


def _column_sums(values: Floats) -> Floats:
    return np.array([math.fsum(column) for column in values.T.tolist()])
