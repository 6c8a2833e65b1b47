"""Statistics of a distribution, from correctly rounded sums: no order, no block, no library."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from engine.errors import EngineError
from engine.numbers.arrays import Floats

LARGEST = 1e150  # its square, and a sum of many, is within the range of doubles
NARROWEST = 2.0**-40  # of a value: half the width of a histogram of one value
TAIL_PARTS = 20  # CTE95 is the mean of the lowest twentieth


@dataclass(frozen=True)
class Statistics:
    """Of NPVs in currency units; `percentiles` by their number, 50.0 and so on."""

    mean: float
    std_dev: float
    percentiles: dict[float, float]
    cte_95: float
    least: float
    greatest: float


def summarize(values: Floats, percentiles: Sequence[float]) -> Statistics:
    """Statistics of at least one value, all equally likely.

    The standard deviation is the population's; CTE95 is the mean of the ⌈n/20⌉ lowest.

    Raises:
        EngineError: a value, or a square of one, is too large for a double.
    """
    if not np.abs(values).max() < LARGEST:
        raise EngineError("a value is too large for statistics of it: the inputs overflow")
    ordered = np.sort(values).tolist()
    mean = math.fsum(ordered) / len(ordered)
    squares = ((values - mean) * (values - mean)).tolist()
    tail = ordered[: -(-len(ordered) // TAIL_PARTS)]
    return Statistics(
        mean=mean,
        std_dev=math.sqrt(math.fsum(squares) / len(ordered)),
        percentiles={p: percentile(ordered, p) for p in percentiles},
        cte_95=math.fsum(tail) / len(tail),
        least=ordered[0],
        greatest=ordered[-1],
    )


def count_below_zero(rows: Floats) -> int:
    """How many rows of shape (rows, columns) have an exact sum, and so a mean, below zero.

    A floating-point sum of n numbers is off by at most n·2⁻⁵²·Σ|x| ≤ n²·2⁻⁵²·max|x|, in whatever
    order it is taken. Rows for which that leaves the sign open are added again without rounding.

    Raises:
        EngineError: a value is too large to be added.
    """
    size = np.maximum(rows.max(axis=1), -rows.min(axis=1))
    if not size.max() < LARGEST:
        raise EngineError("a value is too large for statistics of it: the inputs overflow")
    rough = rows.sum(axis=1)
    is_open = np.abs(rough) <= size * (rows.shape[1] ** 2 * 2.0**-52)
    exact = (math.fsum(row) < 0.0 for row in rows[is_open].tolist())
    return int(np.count_nonzero(rough[~is_open] < 0.0)) + sum(exact)


def bin_edges(values: Floats, bins: int) -> Floats:
    """The edges of equal ranges from the least value to the greatest, shape (bins + 1,), rising.

    Values that are so close together that there are not enough doubles between them get wider
    ranges around them.
    """
    least, greatest = float(values.min()), float(values.max())
    edges = np.linspace(least, greatest, bins + 1)
    if (edges[1:] > edges[:-1]).all():
        return edges
    margin = max(0.5, NARROWEST * max(abs(least), abs(greatest)))
    return np.linspace(least - margin, greatest + margin, bins + 1)


def percentile(ordered: Sequence[float], p: float) -> float:
    """By linear interpolation at p/100·(n - 1), a place that is computed without rounding."""
    place = Fraction(p) * (len(ordered) - 1) / 100
    below = math.floor(place)
    if place == below:
        return ordered[below]
    share = float(place - below)
    return ordered[below] + share * (ordered[below + 1] - ordered[below])
