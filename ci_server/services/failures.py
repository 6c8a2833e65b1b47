"""Why a job did not succeed, for people: of a command that ended by itself, what it said last."""

import asyncio
import logging
from collections.abc import Iterable, Iterator

from ci_common.errors import LogCorruptError, RunnerError
from ci_common.job import Job, Reason
from ci_server.services.single_flight import SingleFlightCache
from ci_server.streams.log_stream import LogStreams

logger = logging.getLogger(__name__)

_CACHED = 256
_TAIL_BYTES = 16 << 10
_MOST_LINES = 25
_MOST_CHARACTERS = 4000
_NOT_SAID_BY_THE_JOB = ("::", "ci: ")
"""Begin lines for programs, such as `::progress`, and lines of the runner itself."""


class Failures:
    """Reads the ends of logs. What was read once is remembered: it never changes."""

    def __init__(self, streams: LogStreams) -> None:
        self._streams = streams
        self._failures: SingleFlightCache[str] = SingleFlightCache(_CACHED)

    async def of(self, job: Job) -> str | None:
        """Why it did not succeed; `None` when it did, or has not ended."""
        outcome = job.outcome
        if outcome is None or outcome.success:
            return None
        if outcome.reason is not Reason.EXIT:
            return outcome.message
        try:
            said = await self._failures.get(
                job.job_id, lambda: asyncio.to_thread(self._last_lines, job)
            )
        except (RunnerError, OSError) as error:
            logger.info("job %s: the end of its log cannot be read: %s", job.job_id, error)
            return outcome.message
        return said or outcome.message

    def _last_lines(self, job: Job) -> str:
        size = job.log_size or 0
        start = max(size - _TAIL_BYTES, 0)
        content = b"".join(self._pieces(job, start, size))
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
    """What the job said last: the lines after the last one that is not for people, or not its."""
    said: list[str] = []
    for line in lines:
        if line.startswith(_NOT_SAID_BY_THE_JOB):
            said = []
        elif line.strip():
            said.append(line.rstrip())
    return "\n".join(said[-_MOST_LINES:])[-_MOST_CHARACTERS:]
