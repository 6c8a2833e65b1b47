import math

import pytest
from calculator import estimate_pi, mean, median


def test_mean_and_median_differ_on_skewed_values():
    assert (mean([1, 2, 9]), median([1, 2, 9])) == (4, 2)


def test_median_of_an_even_number_of_values():
    assert median([4, 1, 3, 2]) == 2.5


@pytest.mark.parametrize("function", [mean, median])
def test_nothing_has_neither(function):
    with pytest.raises(ValueError, match="nothing"):
        function([])


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_pi_is_near_enough(seed):
    assert estimate_pi(2_000_000, seed) == pytest.approx(math.pi, abs=0.01)
