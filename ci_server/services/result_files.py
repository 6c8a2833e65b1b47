"""A file in which jobs leave their result, read and checked once."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ci_common.errors import ArtifactNotFoundError, RunnerError, StorageUnavailableError
from ci_common.job import Artifact, Job
from ci_common.ports.artifacts import ArtifactReader
from ci_common.ports.rows import JobSubmissions
from ci_server.services.single_flight import SingleFlightCache

logger = logging.getLogger(__name__)

Content = TypeVar("Content")

_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class FileResult(Generic[Content]):
    """Of a job that succeeded."""

    document: Content | None
    """What the file says; `None` when there is none that can be used."""
    problem: str | None = None
    """Why there is none, for people."""


class ResultFiles(Generic[Content]):
    """The files of one path. What was read last is remembered: it never changes."""

    def __init__(
        self,
        submissions: JobSubmissions,
        artifacts: ArtifactReader,
        path: str,
        most_bytes: int,
        parse: Callable[[bytes], Content],
        remembered: int = _REMEMBERED,
    ) -> None:
        """`parse` runs in a thread, and raises ValueError, with a message for people. So many
        results are `remembered`, which then should be small.
        """
        self._submissions = submissions
        self._artifacts = artifacts
        self._path = path
        self._most_bytes = most_bytes
        self._parse = parse
        self._results: SingleFlightCache[FileResult[Content]] = SingleFlightCache(remembered)
        self._parsing = asyncio.Semaphore(1)
        """One at a time: a result may take a lot of memory while it is read."""

    async def of(self, job: Job) -> FileResult[Content] | None:
        """The result of a job that the caller may read; `None` unless it succeeded."""
        try:
            return await self.read(job)
        except StorageUnavailableError as error:
            return FileResult(None, str(error))

    async def read(self, job: Job) -> FileResult[Content] | None:
        """The same. Raises StorageUnavailableError for a file that cannot be read now."""
        if job.outcome is None or not job.outcome.success:
            return None
        found = await self._submissions.artifact(job.job_id, self._path)
        if found is None:
            return FileResult(None, f"the job succeeded, but left no {self._path}")
        try:
            return await self._results.get(
                (job.job_id, found.sha256), lambda: self._read_alone(job.job_id, found)
            )
        except ArtifactNotFoundError as error:
            logger.warning("job %s: %s", job.job_id, error)
            return FileResult(None, f"the job succeeded, but {error}")
        except (RunnerError, OSError) as error:
            logger.warning("job %s: %s cannot be read: %s", job.job_id, self._path, error)
            raise StorageUnavailableError(
                f"the job succeeded, but its {self._path} cannot be read now"
            ) from error

    async def _read_alone(self, job_id: str, artifact: Artifact) -> FileResult[Content]:
        async with self._parsing:
            return await asyncio.to_thread(self._read, job_id, artifact)

    def _read(self, job_id: str, artifact: Artifact) -> FileResult[Content]:
        unusable = f"the job succeeded, but its {self._path} cannot be used"
        if artifact.size > self._most_bytes:
            return FileResult(None, f"{unusable}: it is larger than {self._most_bytes >> 20} MiB")
        with self._artifacts.open(job_id, artifact) as file:
            content = file.read(self._most_bytes + 1)
        try:
            return FileResult(self._parse(content))
        except ValueError as error:
            logger.info("job %s: %s: %s", job_id, self._path, error)
            return FileResult(None, f"{unusable}: {error}")
