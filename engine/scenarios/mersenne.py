"""The 64-bit Mersenne Twister, std::mt19937_64 of C++, in numpy.

T. Nishimura, "Tables of 64-bit Mersenne Twisters", 2000; the reference is mt19937-64.c by
M. Matsumoto and T. Nishimura, 2004.
"""

import numpy as np

from engine.numbers.arrays import Words

SIZE = 312
MIDDLE = 156
MATRIX = np.uint64(0xB5026F5AA96619E9)
UPPER = np.uint64(0xFFFFFFFF80000000)
LOWER = np.uint64(0x7FFFFFFF)
SEED_MULTIPLIER = 6364136223846793005
MASK = (1 << 64) - 1
ONE = np.uint64(1)


class Mersenne64:
    """A stream of 64-bit words from one seed."""

    def __init__(self, seed: int) -> None:
        state = [seed & MASK]
        for place in range(1, SIZE):
            last = state[-1]
            state.append((SEED_MULTIPLIER * (last ^ (last >> 62)) + place) & MASK)
        self._state = np.array(state, np.uint64)
        self._left = np.empty(0, np.uint64)

    def words(self, count: int) -> Words:
        """The next `count` words of the stream."""
        blocks = [self._left]
        missing = count - len(self._left)
        while missing > 0:
            self._twist()
            blocks.append(self._state.copy())
            missing -= SIZE
        drawn = np.concatenate(blocks)
        self._left = drawn[count:]
        return _tempered(drawn[:count])

    def _twist(self) -> None:
        """The next 312 words of state, in the three runs that do not depend on themselves."""
        s = self._state
        s[:MIDDLE] = s[MIDDLE:] ^ _mixed(s[:MIDDLE], s[1 : MIDDLE + 1])
        s[MIDDLE:-1] = s[: MIDDLE - 1] ^ _mixed(s[MIDDLE:-1], s[MIDDLE + 1 :])
        s[-1:] = s[MIDDLE - 1 : MIDDLE] ^ _mixed(s[-1:], s[:1])


def _mixed(upper: Words, lower: Words) -> Words:
    x = (upper & UPPER) | (lower & LOWER)
    return (x >> ONE) ^ ((x & ONE) * MATRIX)


def _tempered(x: Words) -> Words:
    x = x ^ ((x >> np.uint64(29)) & np.uint64(0x5555555555555555))
    x = x ^ ((x << np.uint64(17)) & np.uint64(0x71D67FFFEDA60000))
    x = x ^ ((x << np.uint64(37)) & np.uint64(0xFFF7EEE000000000))
    return x ^ (x >> np.uint64(43))
