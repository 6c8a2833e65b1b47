"""For how long the artifacts of a job are collected."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class CollectionTime:
    """Until when the artifacts of one job are waited for, and looked for."""

    def __init__(self) -> None:
        self._ends = math.inf
        self._timeout: asyncio.Timeout | None = None
        self.why = ""
        """What has run out, for people."""

    def shorten(self, seconds: float, why: str) -> None:
        """End in so many seconds, if not sooner; also what is under way."""
        ends = asyncio.get_running_loop().time() + seconds
        if ends >= self._ends:
            return
        self._ends, self.why = ends, why
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(ends)

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Raise TimeoutError when the time has run out."""
        async with asyncio.timeout_at(None if self._ends == math.inf else self._ends) as timeout:
            self._timeout = timeout
            try:
                yield
            finally:
                self._timeout = None
