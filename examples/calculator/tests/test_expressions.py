from fractions import Fraction

import pytest
from calculator import evaluate


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("1/3 + 2/3", 1),
        ("-(2 - 5) / 4", Fraction(3, 4)),
        ("0.1 + 0.2", Fraction(3, 10)),
    ],
)
def test_value_is_exact(text, value):
    assert evaluate(text) == value


@pytest.mark.parametrize("text", ["", "1 +", "(1", "1 2", "one"])
def test_anything_else_is_an_error(text):
    with pytest.raises(ValueError):
        evaluate(text)


def test_division_by_zero():
    with pytest.raises(ZeroDivisionError):
        evaluate("1 / (2 - 2)")
