"""A cache whose values are computed once, however many ask at the same time (single flight)."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class SingleFlightCache(Generic[Value]):
    """The values used last, by key. Errors are not cached: the next caller tries again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: OrderedDict[Hashable, asyncio.Task[Value]] = OrderedDict()

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Value]]) -> Value:
        """The cached value, or that of `make`, which runs once per key. Raises what it raises."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(self._made(make))
            task.add_done_callback(lambda done: self._forget_failed(key, done))
            if len(self._tasks) > self._most:
                self._tasks.popitem(last=False)
        else:
            self._tasks.move_to_end(key)
        return await asyncio.shield(task)  # a cancelled caller must not cancel the others

    async def _made(self, make: Callable[[], Awaitable[Value]]) -> Value:
        return await make()

    def _forget_failed(self, key: Hashable, task: asyncio.Task[Value]) -> None:
        failed = task.cancelled() or task.exception() is not None
        if failed and self._tasks.get(key) is task:
            del self._tasks[key]
