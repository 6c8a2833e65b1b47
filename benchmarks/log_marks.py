"""What the marks beside a log cost its writer.

Run by hand, on a quiet machine, from the project's environment:

    .venv/bin/python benchmarks/log_marks.py [--runs 9]

It appends the same output to logs with and without marks in turn, in pieces of several sizes, and
prints medians of the processor time that a MB takes. A job's output comes at 25 MB a second at most
(500,000 lines of 70 bytes through Docker).
"""

import argparse
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

from ci_persistence.logs.mark_writer import MarkWriter
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.in_process import ProcessJobSignals

LINE = b"2026-11-28 tests/unit/test_%06d.py::test_it PASSED    [ 42%%]\n"
SIZE = 64 << 20
PIECES = (100, 4096, 64 << 10, 1 << 20)


def main() -> None:
    """Print a row for each size of piece."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    output = b"".join(LINE % number for number in range(SIZE // 60))[:SIZE]
    print(f"{'piece':>10}{'with marks':>15}{'without':>15}{'per piece':>12}")
    for piece in PIECES:
        content = output[: min(SIZE, 40_000 * piece)]
        times = [(write(content, piece, True), write(content, piece, False)) for _ in range(runs)]
        marked, plain = (statistics.median(column) for column in zip(*times, strict=True))
        megabytes, pieces = len(content) / 1e6, -(-len(content) // piece)
        shown = (f"{seconds / megabytes * 1e3:>9.2f} ms/MB" for seconds in (marked, plain))
        print(f"{piece:>10}{''.join(shown)}{(marked - plain) / pieces * 1e6:>9.1f} us", flush=True)


def write(content: bytes, piece: int, with_marks: bool) -> float:
    """Seconds of the processor that it takes to append the content."""
    pieces = [content[at : at + piece] for at in range(0, len(content), piece)]
    with tempfile.TemporaryDirectory() as directory:
        log = FileLogStore(Path(directory), ProcessJobSignals()).open("a-job", 1)
        with nullcontext() if with_marks else mock.patch.object(MarkWriter, "before", nothing):
            begin = time.thread_time()
            for one in pieces:
                log.append(one)
            seconds = time.thread_time() - begin
        log.close()
    return seconds


def nothing(*_: object) -> None:
    """In place of marks."""


if __name__ == "__main__":
    main()
