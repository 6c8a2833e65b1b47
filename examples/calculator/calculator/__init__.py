"""A small calculator: exact expressions, primes, and a little statistics."""

from calculator.expressions import evaluate
from calculator.primes import count_primes, factorize
from calculator.statistics import estimate_pi, mean, median

__all__ = ["count_primes", "estimate_pi", "evaluate", "factorize", "mean", "median"]
