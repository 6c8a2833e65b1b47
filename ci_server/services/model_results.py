"""What became of a model: the statistics that its job left, or why there are none."""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ci_common.errors import LogCorruptError, RunnerError
from ci_common.job import Artifact, Job, Reason
from ci_common.model_result import FILE, HASH, OUTPUT, parse_result
from ci_common.ports.artifacts import ArtifactReader
from ci_common.ports.rows import JobSubmissions
from ci_server.services.single_flight import SingleFlightCache
from ci_server.streams.log_stream import LogStreams

logger = logging.getLogger(__name__)

RESULTS = f"{OUTPUT}/{FILE}"
NPV = f"{OUTPUT}/npv.npy"

_KEPT = ("statistics", "policy_count", "scenario_count", HASH)
"""Of a result; the rest is large, or means nothing to this server."""

_RESULT_BYTES = 16 << 20
_CACHED = 256
_TAIL_BYTES = 16 << 10
_MOST_LINES = 25
_MOST_CHARACTERS = 4000
_OF_THE_RUNNER = "::"
"""Begins lines that are for programs, such as `::progress`."""


@dataclass(frozen=True, slots=True)
class ModelResult:
    """Of a job that succeeded."""

    document: dict[str, Any] | None
    """The engine's result, whose hash is right, without its distribution; `None` when the job left
    none.
    """
    problem: str | None = None
    """Why there is no document, for people."""


class ModelResults:
    """Reads what jobs left. What was read once is remembered: it never changes."""

    def __init__(
        self, submissions: JobSubmissions, artifacts: ArtifactReader, streams: LogStreams
    ) -> None:
        self._submissions = submissions
        self._artifacts = artifacts
        self._streams = streams
        self._results: SingleFlightCache[ModelResult] = SingleFlightCache(_CACHED)
        self._failures: SingleFlightCache[str] = SingleFlightCache(_CACHED)
        self._parsing = asyncio.Semaphore(1)
        """One at a time: a result may take a lot of memory while it is read."""

    async def result(self, job: Job) -> ModelResult | None:
        """The result of a job that the caller may read; `None` unless it succeeded."""
        if job.outcome is None or not job.outcome.success:
            return None
        found = await self._submissions.artifact(job.job_id, RESULTS)
        if found is None:
            return _without(f"the job succeeded, but left no {RESULTS}")
        try:
            return await self._results.get(
                (job.job_id, found.sha256), lambda: self._read_result(job.job_id, found)
            )
        except (RunnerError, OSError) as error:
            logger.warning("job %s: %s cannot be read: %s", job.job_id, RESULTS, error)
            return _without(f"the job succeeded, but its {RESULTS} cannot be read now")

    async def artifacts(self, job: Job, most: int) -> list[Artifact]:
        """The first files that a job left, by path."""
        return await self._submissions.artifacts(job.job_id, most)

    async def values(self, job: Job) -> Artifact | None:
        """The file of the values by scenario."""
        return await self._submissions.artifact(job.job_id, NPV)

    async def failure(self, job: Job) -> str | None:
        """Why a job did not succeed, for people; `None` when it did, or has not ended.

        Of a command that ended by itself it is what that said last.
        """
        outcome = job.outcome
        if outcome is None or outcome.success:
            return None
        if outcome.reason is not Reason.EXIT:
            return outcome.message
        said = await self._failures.get(
            job.job_id, lambda: asyncio.to_thread(self._last_lines, job)
        )
        return said or outcome.message

    async def _read_result(self, job_id: str, artifact: Artifact) -> ModelResult:
        async with self._parsing:
            return await asyncio.to_thread(self._parse, job_id, artifact)

    def _parse(self, job_id: str, artifact: Artifact) -> ModelResult:
        unusable = f"the job succeeded, but its {RESULTS} cannot be used"
        if artifact.size > _RESULT_BYTES:
            return _without(f"{unusable}: it is larger than {_RESULT_BYTES >> 20} MiB")
        with self._artifacts.open(job_id, artifact) as file:
            content = file.read(_RESULT_BYTES + 1)
        try:
            document = parse_result(content)
        except ValueError as error:
            logger.info("job %s: %s: %s", job_id, RESULTS, error)
            return _without(f"{unusable}: {error}")
        return ModelResult({name: document[name] for name in _KEPT})

    def _last_lines(self, job: Job) -> str:
        size = job.log_size or 0
        start = max(size - _TAIL_BYTES, 0)
        try:
            content = b"".join(self._pieces(job, start, size))
        except (RunnerError, OSError) as error:
            logger.info("job %s: the end of its log cannot be read: %s", job.job_id, error)
            return ""
        lines = content.decode(errors="replace").splitlines()
        return _told(lines[1:] if start else lines)

    def _pieces(self, job: Job, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            content = self._streams.read(job, start, end)
            if not content:
                raise LogCorruptError(f"job {job.job_id}: its log ends at byte {start}")
            start += len(content)
            yield content


def _told(lines: Iterable[str]) -> str:
    """What of the last lines is for people: those after the last line for programs."""
    said: list[str] = []
    for line in lines:
        if line.startswith(_OF_THE_RUNNER):
            said = []
        elif line.strip():
            said.append(line.rstrip())
    return "\n".join(said[-_MOST_LINES:])[-_MOST_CHARACTERS:]


def _without(problem: str) -> ModelResult:
    return ModelResult(None, problem)
