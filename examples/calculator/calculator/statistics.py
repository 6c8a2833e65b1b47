"""A little statistics."""

import random
from collections.abc import Sequence


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean of at least one value."""
    if not values:
        raise ValueError("the mean of nothing is not defined")
    return sum(values) / len(values)


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two in the middle."""
    if not values:
        raise ValueError("the median of nothing is not defined")
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(ordered) % 2 else mean(ordered[half - 1 : half + 1])


def estimate_pi(samples: int, seed: int) -> float:
    """Pi from the share of random points of the unit square that lie in the quarter circle."""
    draw = random.Random(seed).random
    inside = sum(draw() ** 2 + draw() ** 2 <= 1.0 for _ in range(samples))
    return 4 * inside / samples
