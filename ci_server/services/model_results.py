"""What became of a model: the statistics that its job left, or why there are none."""

from typing import Any, TypeAlias

from ci_common.job import Artifact, Job
from ci_common.model_result import FILE, HASH, OUTPUT, parse_result
from ci_common.ports.artifacts import ArtifactReader
from ci_common.ports.rows import JobSubmissions
from ci_server.services.failures import Failures
from ci_server.services.result_files import FileResult, ResultFiles

RESULTS = f"{OUTPUT}/{FILE}"
NPV = f"{OUTPUT}/npv.npy"

_KEPT = ("statistics", "policy_count", "scenario_count", HASH)
"""Of a result; the rest is large, or means nothing to this server."""

_RESULT_BYTES = 16 << 20

ModelResult: TypeAlias = FileResult[dict[str, Any]]
"""Its document is the engine's result, whose hash is right, without its distribution."""


class ModelResults:
    """Reads what jobs left."""

    def __init__(
        self, submissions: JobSubmissions, artifacts: ArtifactReader, failures: Failures
    ) -> None:
        self._submissions = submissions
        self._files = ResultFiles(submissions, artifacts, RESULTS, _RESULT_BYTES, _parse)
        self._failures = failures

    async def result(self, job: Job) -> ModelResult | None:
        """The result of a job that the caller may read; `None` unless it succeeded."""
        return await self._files.of(job)

    async def artifacts(self, job: Job, most: int) -> list[Artifact]:
        """The first files that a job left, by path."""
        return await self._submissions.artifacts(job.job_id, most)

    async def values(self, job: Job) -> Artifact | None:
        """The file of the values by scenario."""
        return await self._submissions.artifact(job.job_id, NPV)

    async def failure(self, job: Job) -> str | None:
        """Why a job did not succeed, see `Failures`."""
        return await self._failures.of(job)


def _parse(content: bytes) -> dict[str, Any]:
    document = parse_result(content)
    return {name: document[name] for name in _KEPT}
