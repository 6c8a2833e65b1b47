"""How long a search through a large log takes.

Run by hand, on a quiet machine, from the project's environment:

    .venv/bin/python benchmarks/log_search.py [--mb 200]

It writes logs of several kinds and searches them, live and compressed: for a text that is in the
first line, until the hit, which should take 0.5 s at most; and for one that is nowhere, which
should take 3 s at most for 200 MB. The last column is the time of the processor, which tells more
when others use the machine.
"""

import argparse
import asyncio
import tempfile
import time
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_server.streams.log_positions import LogPositions
from ci_server.streams.log_search import LogSearches, SearchEnd, TimedHit
from ci_server.streams.log_threads import LogThreads
from ci_server.streams.search_term import SearchTerm

if TYPE_CHECKING:
    from ci_common.job import Job

FIRST = "the first line\n"
LINES = {
    "plain": "2026-11-28 tests/unit/test_{:06d}.py::test_something PASSED  [ 42%]\n",
    "coloured": "\x1b[32m\x1b[1mtests/test_{:06d}.py\x1b[0m::test_it \x1b[32mPASSED\x1b[0m\n",
    "every word coloured": (
        "\x1b[32mtests\x1b[0m \x1b[1;31mto\x1b[0m \x1b[36m{:06d}\x1b[0m \x1b[90mof\x1b[0m\n"
    ),
    "links": (
        "\x1b]8;;http://a/{:06d}\x1b\\\x1b[32mtests\x1b[0m\x1b]8;;\x1b\\ \x1b[1mgröße\x1b[0m\n"
    ),
    "umlauts": "\u2714 tests/unit/test_{:06d}.py::größe \u2588\u2588\u2588\n",
    "progress": "{:3d}%\r" * 50 + "\n",
    "one line": "\x1b[32mtest\x1b[0m {:06d} of many ",
}
NOWHERE = ("error: nope", "test_9999999", "GRÖSSE nix")


def main() -> None:
    """Print a row for each kind of log and text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, default=200)
    size = parser.parse_args().mb * 1_000_000
    print(f"{'log':<32}{'text':<18}{'first hit':>10}{'all':>10}{'processor':>10}")
    for name, line in LINES.items():
        with tempfile.TemporaryDirectory() as directory:
            store = FileLogStore(Path(directory), ProcessJobSignals())
            written = write(store, line, size)
            for compressed in (False, True):
                if compressed:
                    store.compress("a-job", written)
                kind = f"{name}, {'compressed' if compressed else 'live'}"
                for text in NOWHERE:
                    first, _ = asyncio.run(searched(store, written, "FIRST"))
                    used = time.process_time()
                    _, seconds = asyncio.run(searched(store, written, text))
                    used = time.process_time() - used
                    took = f"{first:>9.2f}s{seconds:>9.2f}s{used:>9.2f}s"
                    print(f"{kind:<32}{text:<18}{took}", flush=True)


def write(store: FileLogStore, line: str, size: int) -> int:
    """Write about so many bytes; returns how many."""
    log = store.open("a-job", 1)
    log.append(FIRST.encode())
    number = 0
    while log.size < size:
        numbers = range(number, number + 10_000)
        log.append("".join(line.format(*[one] * 50) for one in numbers).encode())
        number += 10_000
    log.close()
    return log.size


async def searched(store: FileLogStore, size: int, text: str) -> tuple[float, float]:
    """Seconds until the first hit, and until the end."""
    threads = LogThreads()
    searches = LogSearches(store, LogPositions(store, store, threads), threads)
    begin = time.perf_counter()
    first = 0.0
    job = cast("Job", SimpleNamespace(job_id="a-job", tenant="a-tenant", log_size=size))
    search = await searches.begin(job, SearchTerm(text))
    async with aclosing(searches.events(search)) as events:
        async for event in events:
            if isinstance(event, TimedHit) and not first:
                first = time.perf_counter() - begin
                if text == "FIRST":
                    break
            assert not isinstance(event, SearchEnd) or not event.damaged
    threads.close()
    return first, time.perf_counter() - begin


if __name__ == "__main__":
    main()
