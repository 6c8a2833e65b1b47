"""Interest rate scenarios from a lognormal walk with bounds."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.horizon import YEARS
from engine.numbers.arrays import Floats
from engine.numbers.elementary import exp
from engine.scenarios.normals import MersenneNormals, PhiloxNormals

STREAMS = ("philox", "mt19937_64")


@dataclass(frozen=True)
class RateModel:
    """Parameters of the walk, per year; rates are fractions."""

    initial: float = 0.04
    drift: float = 0.0
    volatility: float = 0.015
    low: float = 0.0
    high: float = 0.20


class Normals(Protocol):
    """A source of normals by scenario and year, shape (stop - start, 50)."""

    def block(self, start: int, stop: int) -> Floats:
        """The normals of some scenarios."""
        ...


class GeneratedRates:
    """Scenarios made when they are asked for.

    Year by year r ← clip(r·exp((drift - volatility²/2) + volatility·Z), low, high), from the
    initial rate.
    """

    def __init__(self, model: RateModel, count: int, seed: int, stream: str) -> None:
        self._model = model
        self._count = count
        self._normals: Normals = (
            PhiloxNormals(seed) if stream == "philox" else MersenneNormals(seed, count)
        )

    @property
    def count(self) -> int:
        """How many scenarios there are."""
        return self._count

    @property
    def bounds(self) -> tuple[float, float]:
        """What no rate is below, and none above."""
        return self._model.low, self._model.high

    def block(self, start: int, stop: int) -> Floats:
        """The rates of some scenarios, shape (stop - start, 50)."""
        model = self._model
        shift = model.drift - model.volatility * model.volatility / 2.0
        growth = exp(shift + model.volatility * self._normals.block(start, stop)).T.copy()
        rate = np.full(stop - start, model.initial)
        for year in range(YEARS):
            rate = np.clip(rate * growth[year], model.low, model.high)
            growth[year] = rate
        return growth.T
