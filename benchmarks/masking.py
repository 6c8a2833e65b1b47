"""How fast a log is masked: ordinary output, output that is all secrets, and hostile output.

.venv/bin/python benchmarks/masking.py
"""

import base64
import os
import time

from ci_common.secret import Secret
from ci_controller.output.secret_forms import patterns
from ci_controller.output.secret_masker import Masker, PatternSet

CHUNK = 1 << 18
LINES = (
    b"2026-01-01 12:00:00 INFO tests/test_some.py::test_case[parameter] PASSED [ 12%]\n" * 400_000
)
TOKEN = Secret("TOKEN", os.urandom(20).hex().encode())
PEM = Secret("PEM", b"-----BEGIN KEY-----\n" + base64.encodebytes(os.urandom(1700)))
LARGE = [
    Secret("A", os.urandom(24 << 10).hex().encode()),
    Secret("B", base64.encodebytes(os.urandom(34 << 10))),
]
ALIKE = [Secret(f"S{count}", b"a" * (8 + count) + b"%") for count in range(50)]


def measure(name: str, secrets: list[Secret], output: bytes, chunk: int = CHUNK) -> None:
    """Print the time to prepare, and the throughput on one core."""
    began = time.perf_counter()
    found = patterns(secrets)
    masker = Masker(PatternSet(found))
    prepared = time.perf_counter()
    size = sum(len(masker.feed(output[at : at + chunk])) for at in range(0, len(output), chunk))
    size += len(masker.finish())
    ended = time.perf_counter()
    assert size == len(output)
    speed = size / (ended - prepared) / 1e6
    print(f"{name:24} {len(found):6} patterns, {prepared - began:5.2f} s, {speed:7.1f} MB/s")


def main() -> None:
    """Measure all of it."""
    measure("one token", [TOKEN], LINES)
    measure("a PEM key", [PEM], LINES)
    measure("as much as is allowed", LARGE, LINES)
    measure("lines of 80 bytes", [TOKEN], LINES[: 1 << 21], chunk=80)
    measure("all secrets", [TOKEN], (b"x" * 60 + TOKEN.value) * 200_000)
    measure("hostile output", [Secret("S", b"a" * 8)], b"a" * (64 << 20))
    measure("hostile secrets, too", ALIKE, b"a" * (4 << 20))


if __name__ == "__main__":
    main()
