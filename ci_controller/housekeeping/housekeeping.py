"""What is done now and then, beside the jobs: what crashes left, caches, retention."""

import asyncio
import itertools
import logging

from ci_common.errors import EngineUnavailableError, StorageUnavailableError
from ci_common.ports.artifacts import ArtifactWriter
from ci_common.ports.packages import Packages
from ci_common.ports.rows import JobTransitions
from ci_common.ports.secrets import JobSecrets
from ci_common.ports.workloads import Executor
from ci_controller.housekeeping.retention import Retention

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 60.0
_STALE_SECONDS = 3600.0
"""Half-done uploads and collections that nobody has touched for so long were given up."""

_ORPHAN_ROUNDS = 60
"""Artifacts without a job are looked for in every 60th round, the first among them: a crash leaves
them, and that looks at all of the history."""


class Housekeeping:
    """Each duty bounds what it does at a time, so that jobs never wait for it."""

    def __init__(
        self,
        transitions: JobTransitions,
        packages: Packages,
        artifacts: ArtifactWriter,
        secrets: JobSecrets,
        executor: Executor,
        retention: Retention,
    ) -> None:
        self._transitions = transitions
        self._packages = packages
        self._artifacts = artifacts
        self._secrets = secrets
        self._executor = executor
        self._retention = retention

    async def retain(self) -> None:
        """Delete and compress a bounded amount of what finished jobs left; every tick."""
        await self._retention.run_once()

    async def run(self, epoch: int) -> None:
        """The slow duties of the holder of the lease in `epoch`, until cancelled."""
        for number in itertools.count():
            try:
                await self._round(epoch, with_orphans=number % _ORPHAN_ROUNDS == 0)
            except (EngineUnavailableError, StorageUnavailableError) as error:
                logger.debug("housekeeping: %s", error)
            except Exception:
                # Such as a file that cannot be deleted: the other duties are not to end with it.
                logger.exception("housekeeping failed; retrying in the next round")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _round(self, epoch: int, *, with_orphans: bool) -> None:
        await self._sweep()
        if with_orphans:
            await self._retention.collect_orphans(_STALE_SECONDS)
        await self._executor.tidy(epoch)

    async def _sweep(self) -> None:
        await self._retention.sweep_packages(_STALE_SECONDS)
        for job_id in await asyncio.to_thread(self._secrets.job_ids, _STALE_SECONDS):
            if await self._has_ended(job_id):
                await asyncio.to_thread(self._secrets.forget, job_id)
        await asyncio.to_thread(self._packages.sweep_staging, _STALE_SECONDS)
        await asyncio.to_thread(self._artifacts.sweep_staging, _STALE_SECONDS)

    async def _has_ended(self, job_id: str) -> bool:
        """Whether the job needs nothing any more; also one that never came to a row."""
        job = await self._transitions.get(job_id)
        return job is None or job.status.is_terminal
