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
from ci_server.services.result_files import FileResult, ResultFiles


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
        place = f"{OUTPUT}/{FILE}"
        self._summaries = ResultFiles(submissions, artifacts, place, MOST_BYTES, _parse_summary)
        self._whole = ResultFiles(submissions, artifacts, place, MOST_BYTES, parse_result, 0)
        self._failures = failures

    async def end(self, run: Run) -> RunEnd:
        """Of a run that the caller may read, with a summary of its result."""
        return await self._end(run, await self._summaries.of(run.job))

    async def whole_end(self, run: Run) -> RunEnd:
        """The same with the whole result.

        Raises StorageUnavailableError when it cannot be read now, which says nothing of the run.
        """
        return await self._end(run, await self._whole.read(run.job))

    async def _end(self, run: Run, found: FileResult[RunResult] | None) -> RunEnd:
        job = run.job
        if job.outcome is None:
            return RunEnd()
        result = found.document if found else None
        problem = found.problem if found else await self._failures.of(job)
        return RunEnd(result, problem, await self._files(job, run.request.run_id, result))

    async def _files(self, job: Job, run_id: str, result: RunResult | None) -> dict[str, str]:
        """A result that does not name a file leaves its usual name."""
        named = result.files if result else {}
        wanted = {
            kind: f"{OUTPUT}/{named.get(kind) or default_file(run_id, kind)}" for kind in FILE_KINDS
        }
        return {
            kind: path
            for kind, path in wanted.items()
            if await self._submissions.artifact(job.job_id, path) is not None
        }


def _parse_summary(content: bytes) -> RunResult:
    return parse_result(content).summary()
