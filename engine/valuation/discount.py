"""Interest rates and discount factors by year."""

from dataclasses import dataclass

import numpy as np

from engine.numbers.arrays import Floats


def discount_factors(rates: Floats) -> Floats:
    """D_t = Π 1/(1 + r_u) for u ≤ t, at year ends; rates (scenarios, years), D (years, scenarios).

    One division a year, in this order; nothing depends on how many scenarios are taken at once.
    """
    factors = (1.0 + rates).T.copy()
    last = np.ones(len(rates))
    for year in range(len(factors)):
        last = np.divide(last, factors[year], out=factors[year])
    return factors


@dataclass(frozen=True)
class Curves:
    """Rates and discount factors of all scenarios by year, each of shape (50, scenarios)."""

    rates: Floats
    factors: Floats

    @property
    def count(self) -> int:
        """How many scenarios there are."""
        return int(self.rates.shape[1])

    def part(self, columns: slice) -> "Curves":
        """Some of the scenarios."""
        return Curves(self.rates[:, columns], self.factors[:, columns])


def curves(rates: Floats) -> Curves:
    """From rates of shape (scenarios, 50)."""
    return Curves(rates.T.copy(), discount_factors(rates))
