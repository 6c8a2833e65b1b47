"""What became of a model: the statistics that its job left, or why there are none."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ci_common.errors import ArtifactNotFoundError, LogCorruptError, RunnerError
from ci_common.job import Artifact, Job, Reason
from ci_common.model_result import FILE, parse_result
from ci_common.ports.artifacts import ArtifactReader
from ci_common.ports.rows import JobSubmissions
from ci_server.streams.log_stream import LogStreams

logger = logging.getLogger(__name__)

OUTPUT = "output"
RESULTS = f"{OUTPUT}/{FILE}"
NPV = f"{OUTPUT}/npv.npy"

_RESULT_BYTES = 16 << 20
_REMEMBERED = 256
_TAIL_BYTES = 16 << 10
_MOST_LINES = 25
_MOST_CHARACTERS = 4000
_OF_THE_RUNNER = "::"
"""Begins lines that are for programs, such as `::progress`."""


@dataclass(frozen=True, slots=True)
class ModelResult:
    """Of a job that succeeded."""

    document: dict[str, Any] | None
    """The engine's result, whose hash is right; `None` when the job left none."""
    problem: str | None
    """Why there is no document, for people."""
    artifacts: tuple[Artifact, ...]


class ModelResults:
    """Reads what jobs left. What was read once is remembered: it never changes."""

    def __init__(
        self, submissions: JobSubmissions, artifacts: ArtifactReader, streams: LogStreams
    ) -> None:
        self._submissions = submissions
        self._artifacts = artifacts
        self._streams = streams
        self._known: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()

    async def result(self, job: Job) -> ModelResult | None:
        """The result of a job that the caller may read; `None` unless it succeeded."""
        if job.outcome is None or not job.outcome.success:
            return None
        artifacts = await self._submissions.artifacts(job.job_id)
        try:
            document = await self._document(job, artifacts)
        except (ValueError, RunnerError, OSError) as error:
            if not isinstance(error, ArtifactNotFoundError):
                logger.info("job %s: %s: %s", job.job_id, RESULTS, error)
            told = f"the job succeeded, but its {RESULTS} cannot be used: {error}"
            return ModelResult(None, told, tuple(artifacts))
        return ModelResult(document, None, tuple(artifacts))

    async def failure(self, job: Job) -> str | None:
        """Why a job did not succeed, for people; `None` when it did, or has not ended.

        Of a command that ended by itself it is what that said last.
        """
        outcome = job.outcome
        if outcome is None or outcome.success:
            return None
        if outcome.reason is not Reason.EXIT:
            return outcome.message
        said = await asyncio.to_thread(self._last_lines, job)
        return said or outcome.message

    async def _document(self, job: Job, artifacts: Sequence[Artifact]) -> dict[str, Any]:
        found = next((one for one in artifacts if one.path == RESULTS), None)
        if found is None:
            raise ArtifactNotFoundError("the job left none")
        key = (job.job_id, found.sha256)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        if found.size > _RESULT_BYTES:
            raise ValueError(f"it is larger than {_RESULT_BYTES >> 20} MiB")
        document = await asyncio.to_thread(self._read, job.job_id, found)
        self._known[key] = document
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return document

    def _read(self, job_id: str, artifact: Artifact) -> dict[str, Any]:
        with self._artifacts.open(job_id, artifact) as file:
            document = parse_result(file.read(_RESULT_BYTES + 1))
        document.pop("distribution", None)  # large, and nobody asks for it here
        return document

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
