"""What was made once is remembered, and made once for all who ask for it at the same time."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """The values last asked for, by key. An error is not remembered: the next one tries again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: OrderedDict[Hashable, asyncio.Task[Value]] = OrderedDict()

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Value]]) -> Value:
        """The value, made unless it is known or being made. Raises what `make` raises."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(self._made(make))
            task.add_done_callback(lambda done: self._forget_failed(key, done))
            if len(self._tasks) > self._most:
                self._tasks.popitem(last=False)
        else:
            self._tasks.move_to_end(key)
        return await asyncio.shield(task)  # others may be waiting for it

    async def _made(self, make: Callable[[], Awaitable[Value]]) -> Value:
        return await make()

    def _forget_failed(self, key: Hashable, task: asyncio.Task[Value]) -> None:
        failed = task.cancelled() or task.exception() is not None
        if failed and self._tasks.get(key) is task:
            del self._tasks[key]
