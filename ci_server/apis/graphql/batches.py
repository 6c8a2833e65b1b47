"""Several loads of one kind in one call of a service."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from ci_common.job import Job

How = TypeVar("How", bound=Hashable)
Found = TypeVar("Found")
Load = Callable[[Sequence[Job], How], Awaitable[Mapping[str, Found]]]
"""What is loaded of jobs, by their ids; nothing of those that have nothing."""


class BatchLoader(Generic[How, Found]):
    """What the jobs of one query have: those that are asked for in one turn of the event loop,
    which the jobs of a list are, are loaded together, if they are asked for in the same way.
    """

    def __init__(self, load: Load[How, Found]) -> None:
        self._load_all = load
        self._waiting: dict[How, _Batch[Found]] = {}

    async def load(self, job: Job, how: How) -> Found | None:
        """Raises what the call raises."""
        batch = self._waiting.get(how)
        if batch is None:
            batch = self._waiting[how] = _Batch()
            batch.found = asyncio.create_task(self._load(batch, how))
        batch.jobs.append(job)
        assert batch.found is not None  # noqa: S101 - for the type checker
        return (await asyncio.shield(batch.found)).get(job.job_id)

    async def _load(self, batch: "_Batch[Found]", how: How) -> Mapping[str, Found]:
        del self._waiting[how]  # the turn is over
        return await self._load_all(batch.jobs, how)


class _Batch(Generic[Found]):
    """Jobs that are loaded together."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.found: asyncio.Task[Mapping[str, Found]] | None = None
