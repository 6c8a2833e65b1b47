"""Output that is a function of a seed: a job writes it, and the test computes the same bytes.

The file is sent along as a part of the project, so it needs nothing but the standard library.
"""

import argparse
import hashlib
import os
import random
import sys
import time
from pathlib import Path

_BURST_BYTES = 1 << 18


def line(seed, number, width=64):
    """One line: its number, and then `width` characters that nobody guesses."""
    digest = hashlib.sha256(f"{seed}:{number}".encode()).hexdigest()
    return f"{number} {(digest * (width // 64 + 1))[:width]}\n".encode()


def lines(seed, count, width=64):
    """All of a job's output."""
    return b"".join(line(seed, number, width) for number in range(count))


def artifact(seed, number, size):
    """The content of an artifact."""
    return random.Random(f"{seed}/{number}").randbytes(size)


def write(seed, count, width, seconds, wait_at=None):
    """Write the lines over about so many seconds, in bursts, to both streams in turn; before
    line `wait_at` wait for a file `go`.
    """
    dice = random.Random(seed)
    streams = (sys.stdout.buffer, sys.stderr.buffer)
    number = 0
    while number < count:
        if wait_at is not None and number >= wait_at:
            while not os.path.exists("go"):
                time.sleep(0.02)
        # Without a time to keep to, as fast as they can be made.
        burst = dice.randint(1, 12) if seconds else max(_BURST_BYTES // width, 1)
        burst = min(burst, count - number)
        if wait_at is not None and number < wait_at:
            burst = min(burst, wait_at - number)
        stream = dice.choice(streams)
        stream.write(b"".join(line(seed, number + i, width) for i in range(burst)))
        stream.flush()
        number += burst
        time.sleep(seconds * burst / count)


def main():
    """What a job does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("seed")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--wait-at", type=int)
    parser.add_argument("--exit", type=int, default=0)
    parser.add_argument("--artifacts", type=int, default=0)
    parser.add_argument("--artifact-size", type=int, default=0)
    options = parser.parse_args()
    write(options.seed, options.count, options.width, options.seconds, options.wait_at)
    for number in range(options.artifacts):
        path = Path("output", f"{number}.bin")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(artifact(options.seed, number, options.artifact_size))
    return options.exit


if __name__ == "__main__":
    sys.exit(main())
