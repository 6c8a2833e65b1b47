"""Records what launches take time for, so that whoever waits can be told."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from ci_common.errors import RunnerError
from ci_common.job import Job
from ci_common.launch_step import LaunchStage, LaunchStep
from ci_common.ports.rows import JobTransitions

logger = logging.getLogger(__name__)


class LaunchSteps:
    """The launches of one controller. What cannot be written is left out: it neither delays nor
    fails a job.
    """

    def __init__(self, transitions: JobTransitions) -> None:
        self._transitions = transitions
        self._newest: dict[str, tuple[int, LaunchStep]] = {}
        """By job id, with the attempt: not written yet."""
        self._writer: asyncio.Task[None] | None = None

    def of(self, job: Job) -> Callable[[LaunchStage], None]:
        """A function that takes the stages of this launch: from any thread, without blocking."""
        loop = asyncio.get_running_loop()

        def tell(stage: LaunchStage) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self.note, job, LaunchStep(stage))

        return tell

    def note(self, job: Job, step: LaunchStep) -> None:
        """Record a step, soon."""
        self._newest[job.job_id] = (job.attempt, step)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="launch steps")

    async def close(self) -> None:
        """Stop writing."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])

    async def _write(self) -> None:
        while self._newest:
            job_id, (attempt, step) = self._newest.popitem()
            try:
                await self._transitions.note_launch_step(job_id, attempt, step)
            except RunnerError as error:
                logger.warning("job %s: cannot record that it is %s: %s", job_id, step, error)
