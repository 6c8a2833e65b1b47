"""Several loads of one kind in one call of a service."""

import asyncio
from collections.abc import Sequence

from ci_common.job import Artifact, Job
from ci_common.principal import Principal
from ci_server.services.jobs import JobService


class ArtifactLoader:
    """The artifacts of the jobs of one query: those that are asked for in one turn of the event
    loop, which the jobs of a list are, are loaded together.
    """

    def __init__(self, jobs: JobService, principal: Principal) -> None:
        self._jobs = jobs
        self._principal = principal
        self._waiting: dict[int, _Batch] = {}

    async def load(self, job: Job, most: int) -> Sequence[Artifact]:
        """By path, so many at most. Raises what `JobService.artifacts_of` raises."""
        batch = self._waiting.get(most)
        if batch is None:
            batch = self._waiting[most] = _Batch()
            batch.found = asyncio.create_task(self._load(batch, most))
        batch.jobs.append(job)
        assert batch.found is not None  # noqa: S101 - for the type checker
        return (await asyncio.shield(batch.found)).get(job.job_id, [])

    async def _load(self, batch: "_Batch", most: int) -> dict[str, list[Artifact]]:
        del self._waiting[most]  # the turn is over
        return await self._jobs.artifacts_of(self._principal, batch.jobs, most)


class _Batch:
    """Jobs that are loaded together."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.found: asyncio.Task[dict[str, list[Artifact]]] | None = None
