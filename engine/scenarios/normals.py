"""Standard normal numbers, the same bits on every machine.

`PhiloxNormals` is counter-based: scenario i has counters of its own, so it is the same however
many scenarios there are. `MersenneNormals` is one stream for compatibility with a C++ engine.
"""

import numpy as np

from engine.horizon import YEARS
from engine.numbers.arrays import Floats, Words
from engine.numbers.elementary import log, polynomial
from engine.scenarios.mersenne import Mersenne64

# Philox makes four words of each counter; a scenario takes 52 words and uses the first 50.
WORDS_PER_COUNTER = 4
COUNTERS_PER_SCENARIO = -(-YEARS // WORDS_PER_COUNTER)

# Wichura's algorithm AS 241 (PPND16, Applied Statistics 37, 1988): constant terms first.
CENTRAL = (
    (
        3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
        1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
        3.3430575583588128105e4, 2.5090809287301226727e3,
    ),
    (
        1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
        2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
        5.2264952788528545610e3,
    ),
)  # fmt: skip
MIDDLE = (
    (
        1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
        3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
        2.27238449892691845833e-2, 7.74545014278341407640e-4,
    ),
    (
        1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
        1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)  # fmt: skip
TAIL = (
    (
        6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
        2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
        2.71155556874348757815e-5, 2.01033439929228813265e-7,
    ),
    (
        1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
        7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ),
)  # fmt: skip


class PhiloxNormals:
    """Normals by the inverse distribution function from Philox-4x64-10.

    (J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.) The key is the
    seed; scenario i, counted from 0, has the counters from 13·i + 1 to 13·i + 13: numpy's generator
    is set to 13·i, and counts up before each block of four words.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def block(self, start: int, stop: int) -> Floats:
        """Normals of the scenarios from `start` to before `stop`, shape (stop - start, 50)."""
        generator = np.random.Philox(
            key=np.array([self._seed, 0], np.uint64),
            counter=np.array([start * COUNTERS_PER_SCENARIO, 0, 0, 0], np.uint64),
        )
        width = COUNTERS_PER_SCENARIO * WORDS_PER_COUNTER
        words: Words = generator.random_raw((stop - start) * width)
        return inverse_normal(open_uniform(words.reshape(-1, width)[:, :YEARS]))


class MersenneNormals:
    """Normals by Marsaglia's polar method from one 64-bit Mersenne Twister stream.

    Candidates x, y = 2u - 1 are taken in pairs, accepted when 0 < q = x² + y² ≤ 1, and give y·m,
    then x·m, with m = √(-2 ln q / q) (G. Marsaglia and T. A. Bray, 1964). All scenarios are drawn
    at once, in order.
    """

    def __init__(self, seed: int, count: int) -> None:
        self._normals = polar(Mersenne64(seed), count * YEARS // 2).reshape(count, YEARS)

    def block(self, start: int, stop: int) -> Floats:
        """Normals of the scenarios from `start` to before `stop`, shape (stop - start, 50)."""
        return self._normals[start:stop]


def open_uniform(words: Words) -> Floats:
    """Numbers strictly between 0 and 1: the upper 52 bits and a half, exactly."""
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def inverse_normal(p: Floats) -> Floats:
    """The normal quantile of 0 < p < 1, relative error about 1e-16 (AS 241, PPND16)."""
    q = p - 0.5
    square = 0.180625 - q * q
    result = q * polynomial(square, CENTRAL[0]) / polynomial(square, CENTRAL[1])
    outer = np.abs(q) > 0.425
    result[outer] = _tails(p[outer], q[outer])
    return np.asarray(result)


def _tails(p: Floats, q: Floats) -> Floats:
    r = np.sqrt(-log(np.where(q < 0.0, p, 1.0 - p)))
    near, far = r - 1.6, r - 5.0
    size = polynomial(near, MIDDLE[0]) / polynomial(near, MIDDLE[1])
    extreme = r > 5.0
    far = far[extreme]
    size[extreme] = polynomial(far, TAIL[0]) / polynomial(far, TAIL[1])
    return np.where(q < 0.0, -size, size)


def polar(source: Mersenne64, pairs: int) -> Floats:
    """`2 * pairs` normals, in the order described at `MersenneNormals`."""
    result = np.empty((pairs, 2))
    done = 0
    while done < pairs:
        missing = pairs - done
        uniform = source.words(2 * (missing + missing // 3 + 64)).astype(np.float64) * 2.0**-64
        x, y = (2.0 * uniform - 1.0).reshape(-1, 2).T
        q = x * x + y * y
        accepted = np.flatnonzero((q > 0.0) & (q <= 1.0))[:missing]
        x, y, q = x[accepted], y[accepted], q[accepted]
        m = np.sqrt(-2.0 * log(q) / q)
        result[done : done + len(q), 0] = y * m
        result[done : done + len(q), 1] = x * m
        done += len(q)
    return result.ravel()
