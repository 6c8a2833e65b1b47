from math import prod

import pytest
from calculator import count_primes, factorize


@pytest.mark.parametrize(
    ("limit", "count"), [(10, 4), (1_000, 168), (1_000_000, 78_498), (8_000_000, 539_777)]
)
def test_number_of_primes_is_the_published_one(limit, count):
    assert count_primes(limit) == count


def test_factors_multiply_to_the_number():
    numbers = range(999_000_000, 999_000_060)
    assert all(prod(factorize(n)) == n for n in numbers)


def test_a_large_semiprime():
    assert factorize(1_000_003 * 1_000_033) == [1_000_003, 1_000_033]
