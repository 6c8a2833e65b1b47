"""Output in the shapes that log paths trip over: a job writes it, and the test computes it.

The file is sent along as a part of the project, so it needs nothing but the standard library.
"""

import os
import random
import sys
import time

SHAPES = ("no_text", "long_lines", "huge_line", "secret", "no_newline")
SECRET = b"hunter\xff\xfe2-secret-tail"
HUGE = "huge"
"""200 MB; apart, because it takes a while."""

_HUGE_BLOCKS, _BLOCK_BYTES = 200, 1_000_000


def content(seed, shape):
    """All that a job of this shape writes, as pieces."""
    dice = random.Random(f"{seed}:{shape}")
    if shape == HUGE:
        block = dice.randbytes(_BLOCK_BYTES - 8)
        return [b"%07d\n" % number + block for number in range(_HUGE_BLOCKS)]
    return _cut(dice, {
        "no_text": lambda: b"caf\xe9\n" + dice.randbytes(400_000) + b"\xf0\x9f",
        "long_lines": lambda: b"".join(
            b"%d %s\n" % (number, dice.choice(["é", "€", "x"]).encode() * 10_000)
            for number in range(40)
        ),
        "huge_line": lambda: dice.randbytes(2_500_000).hex().encode() + b"\n",
        "secret": lambda: b"".join(b"[%s] %d\n" % (SECRET, number) for number in range(6000)),
        "no_newline": lambda: dice.randbytes(200_000).hex().encode() + b"\nno end",
    }[shape]())  # fmt: skip


def stored(seed, shape):
    """The same as it is in the log."""
    return b"".join(content(seed, shape)).replace(SECRET, b"*" * len(SECRET))


def _cut(dice, whole):
    pieces, at = [], 0
    while at < len(whole):
        size = dice.choice([1, 7, 100, 3000, 30_000, 130_000])
        pieces.append(whole[at : at + size])
        at += size
    return pieces


def main():
    """Write it over about so many seconds, the last third at once."""
    seed, shape, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    pieces = content(seed, shape)
    for number, piece in enumerate(pieces):
        if number < len(pieces) * 2 // 3:
            time.sleep(seconds / len(pieces))
        while piece:
            piece = piece[os.write(1 + number % 2, piece) :]


if __name__ == "__main__":
    main()
