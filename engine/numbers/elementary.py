"""exp and log made of IEEE operations only, so that every processor gives the same bits.

numpy's own exp and log choose an AVX512, AVX2 or libm version at run time; those differ in the
last bit. Here only +, -, *, / (each a loop of its own in numpy, so that nothing is contracted to a
fused multiply-add) and exact scaling by powers of two are used, all of which IEEE 754 defines to
the bit. The algorithms and coefficients are those of FDLIBM (Sun Microsystems, 1993: e_exp.c and
e_log.c); their error is below one unit in the last place.
"""

import numpy as np

from engine.numbers.arrays import Floats

LN2_HIGH = 6.93147180369123816490e-01
LN2_LOW = 1.90821492927058770002e-10
INVERSE_LN2 = 1.44269504088896338700e00
SQRT_HALF = 0.7071067811865476

# x - x·(exp(x)+1)/(exp(x)-1) is nearly -(P1·x² + P2·x⁴ + …) on [0, 0.34658].
EXP_COEFFICIENTS = (
    1.66666666666666019037e-01,
    -2.77777777770155933842e-03,
    6.61375632143793436117e-05,
    -1.65339022054652515390e-06,
    4.13813679705723846039e-08,
)
# log((1+s)/(1-s)) - 2s is nearly s·(L1·s² + L2·s⁴ + …) on [0, 0.1716].
LOG_COEFFICIENTS = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)


def exp(x: Floats) -> Floats:
    """e to the power of x, elementwise; finite x. Below one ulp; overflows to inf, under to 0."""
    clipped = np.clip(x, -800.0, 800.0)
    power = np.rint(clipped * INVERSE_LN2)
    high = clipped - power * LN2_HIGH
    low = power * LN2_LOW
    reduced = high - low
    square = reduced * reduced
    c = reduced - square * polynomial(square, EXP_COEFFICIENTS)
    y = 1.0 - ((low - (reduced * c) / (2.0 - c)) - high)
    with np.errstate(over="ignore", under="ignore"):
        scaled: Floats = np.ldexp(y, power.astype(np.int32))
    return scaled


def log(x: Floats) -> Floats:
    """The natural logarithm, elementwise; positive, normal x. Below one ulp."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < SQRT_HALF
    mantissa = np.where(small, mantissa + mantissa, mantissa)
    k = np.where(small, exponent - 1, exponent).astype(np.float64)
    f = mantissa - 1.0
    s = f / (2.0 + f)
    square = s * s
    half = (0.5 * f) * f
    correction = s * (half + square * polynomial(square, LOG_COEFFICIENTS))
    return k * LN2_HIGH - ((half - (correction + k * LN2_LOW)) - f)


def polynomial(x: Floats, coefficients: tuple[float, ...]) -> Floats:
    """c₀ + c₁x + c₂x² + … by Horner's rule, in this order of operations on every machine."""
    total = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        np.multiply(total, x, out=total)
        np.add(total, coefficient, out=total)
    return total
