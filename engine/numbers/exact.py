"""Sums that do not depend on the order, the blocks or the threads they were taken in.

Every number is cut into pieces on a fixed grid of bins, each 26 bits wide: a piece is an integer
of at most 25 bits and a sign times the bin's unit. Up to 2²⁷ pieces of one bin add up in a double
without any rounding (then they are carried into higher bins), so the order cannot matter; at the
end the bins are added with one correct rounding (`math.fsum`: J. R. Shewchuk, "Adaptive precision
floating-point arithmetic", 1997). Cutting is Rump's error-free extraction, (x + M) - M with
M = 1.5·2⁵²·unit (S. M. Rump, T. Ogita, S. Oishi, "Accurate floating-point summation", 2008; for
fixed bins, J. Demmel and H. D. Nguyen, "Fast reproducible floating-point summation", 2013).

The lowest unit is 2⁻⁵⁴: a number of at least 0.25 is taken exactly, a smaller one is first rounded
to a multiple of 2⁻⁵⁴, whatever stands beside it.
"""

import math
from collections.abc import Iterator

import numpy as np

from engine.errors import EngineError
from engine.numbers.arrays import Floats, Integers

BIN_BITS = 26
LOWEST = -54
HIGHEST = LOWEST + BIN_BITS * 35  # numbers up to 2**881
MAX_TERMS = 1 << 27


def pieces(x: Floats) -> Iterator[tuple[int, Floats]]:
    """Cut numbers into (exponent of the unit, multiples of the unit), from the largest bin down.

    Raises:
        EngineError: a number is not finite, or above 2**881.
    """
    rest = x
    for exponent in range(_top(x), LOWEST - 1, -BIN_BITS):
        magic = math.ldexp(1.5, 52 + exponent)
        piece = (rest + magic) - magic
        yield exponent, piece
        if exponent > LOWEST:
            rest = rest - piece
            if not rest.any():
                return


class ExactSum:
    """The exact sum of many arrays of one shape; `float64` in, correctly rounded `float64` out."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._bins: dict[int, Floats] = {}
        self._terms = 0

    def add(self, block: Floats) -> None:
        """Add all rows of a block of shape (rows, *shape)."""
        self._count(len(block))
        for exponent, piece in pieces(block):
            self._into(exponent, np.add.reduce(piece, axis=0))

    def add_grouped(self, groups: Integers, values: Floats) -> None:
        """Add `values[i]` to element `groups[i]`; the sum has one axis."""
        self._count(len(values))
        for exponent, piece in pieces(values):
            total: Floats = np.bincount(groups, piece, self.shape[0])  # type: ignore[assignment]
            self._into(exponent, total)

    def merge(self, other: "ExactSum") -> None:
        """Add another sum of the same shape; in any order, the result is the same."""
        self._count(other._terms)
        for exponent, total in other._bins.items():
            self._into(exponent, total)

    def from_each_to_last(self, rows: Integers, width: int) -> "ExactSum":
        """Of the sum laid out in rows of `width`: some rows, each place added to all after it."""
        result = ExactSum((len(rows), width))
        result._terms = self._terms
        for exponent, total in self._bins.items():
            chosen = total.reshape(-1, width)[rows]
            result._bins[exponent] = np.cumsum(chosen[:, ::-1], axis=1)[:, ::-1]
        return result

    def value(self) -> Floats:
        """The sum, rounded once."""
        if not self._bins:
            return np.zeros(self.shape)
        columns = [total.ravel().tolist() for total in self._bins.values()]
        flat = [math.fsum(terms) for terms in zip(*columns, strict=True)]
        return np.array(flat).reshape(self.shape)

    def _into(self, exponent: int, total: Floats) -> None:
        known = self._bins.get(exponent)
        self._bins[exponent] = total if known is None else known + total

    def _count(self, terms: int) -> None:
        """Carry into higher bins before one of them could be full."""
        if self._terms + terms > MAX_TERMS:
            full, self._bins = self._bins, {}
            self._terms = len(full)
            for total in full.values():
                for exponent, piece in pieces(total):
                    self._into(exponent, piece)
        self._terms += terms


def _top(x: Floats) -> int:
    """The exponent of the lowest bin whose 25 bits hold the largest number."""
    largest = max(abs(float(x.max())), abs(float(x.min()))) if x.size else 0.0
    if not math.isfinite(largest):
        raise EngineError("a value is not a finite number: the inputs overflow")
    top = LOWEST
    while largest > math.ldexp(1.0, top + BIN_BITS - 1):
        top += BIN_BITS
    if top > HIGHEST:
        raise EngineError(f"{largest} is too large to be added exactly")
    return top
