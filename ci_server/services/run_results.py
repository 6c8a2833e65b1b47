"""What became of a run: its result, its files, or why it failed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ci_common.job import Job
from ci_common.ports.artifacts import ArtifactReader
from ci_common.ports.rows import JobSubmissions
from ci_common.run import Run
from ci_common.run_result import (
    FILE,
    FILE_KINDS,
    MOST_BYTES,
    OUTPUT,
    RunResult,
    default_file,
    parse_result,
)
from ci_server.services.failures import Failures
from ci_server.services.result_files import ResultFiles

_MOST_FILES = 1000


@dataclass(frozen=True, slots=True)
class RunEnd:
    """What is known of a run when it has ended; before that nothing of it."""

    result: RunResult | None = None
    """Of a run whose command exited with 0 and left a result."""
    problem: str | None = None
    """Why there is no result although there should be one, or why the run failed."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Paths of the artifacts, by `FILE_KINDS`; only of those that there are."""


class RunResults:
    """Reads what the jobs of runs left."""

    def __init__(
        self, submissions: JobSubmissions, artifacts: ArtifactReader, failures: Failures
    ) -> None:
        self._submissions = submissions
        self._results = ResultFiles(
            submissions, artifacts, f"{OUTPUT}/{FILE}", MOST_BYTES, parse_result
        )
        self._failures = failures

    async def end(self, run: Run) -> RunEnd:
        """Of a run that the caller may read."""
        job = run.job
        if job.outcome is None:
            return RunEnd()
        found = await self._results.of(job)
        result = found.document if found else None
        problem = found.problem if found else await self._failures.of(job)
        return RunEnd(result, problem, await self._files(job, run.request.run_id, result))

    async def _files(self, job: Job, run_id: str, result: RunResult | None) -> dict[str, str]:
        """A result that does not name a file leaves its usual name."""
        if not job.artifacts_size:
            return {}
        artifacts = await self._submissions.artifacts(job.job_id, _MOST_FILES)
        paths = {artifact.path for artifact in artifacts}
        named = result.files if result else {}
        wanted = {
            kind: f"{OUTPUT}/{named.get(kind) or default_file(run_id, kind)}" for kind in FILE_KINDS
        }
        return {kind: path for kind, path in wanted.items() if path in paths}
