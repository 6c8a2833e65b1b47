"""Work on threads with results in order and a bounded number of them in hand."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

T = TypeVar("T")
R = TypeVar("R")
AHEAD = 2  # pieces of work a thread may be ahead of their consumer


def in_order(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """`map`, on threads. An error of one piece stops those that have not begun.

    Overflow makes no warnings on standard error: results are checked for being finite.
    """

    def quietly(item: T) -> R:
        with np.errstate(over="ignore", invalid="ignore"):  # holds for the thread it is said on
            return work(item)

    if threads == 1:
        yield from map(quietly, items)
        return
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="engine") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(quietly, item))
                if len(waiting) >= AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def ranges(count: int, size: int) -> list[tuple[int, int]]:
    """(start, stop) of consecutive blocks that cover `count`."""
    return [(start, min(start + size, count)) for start in range(0, count, size)]
