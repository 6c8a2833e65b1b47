"""Whose fault a failed launch is: the job's own, or the engine's, which starts no container."""

import asyncio
import logging
from collections.abc import Callable

from ci_common.errors import (
    EngineDisturbedError,
    EngineFailingError,
    EngineUnavailableError,
    JobError,
)
from ci_common.ports.launch_request import ProbeRequest
from ci_common.ports.workloads import Executor
from ci_controller.running.retry_policy import BackOff

logger = logging.getLogger(__name__)


class EngineHealth:
    """Judges by evidence, because the engine's words do not tell: when the engine cannot start a
    workload of our own either, which does nothing and has default options, no job is to blame.
    While that is so no job is launched, and the engine is tried again with back-off.
    """

    def __init__(
        self, executor: Executor, clock: Callable[[], float], first_seconds: float
    ) -> None:
        self._executor = executor
        self._pauses = BackOff(clock, first_seconds)
        self._lock = asyncio.Lock()
        self._suspect: ProbeRequest | None = None
        """Where on the engine a launch failed."""
        self.trouble: str | None = None
        """Why the engine starts no container, for the operator; `None` when it does."""

    @property
    def is_due(self) -> bool:
        """Whether a disturbed engine is to be tried again now."""
        return self.trouble is not None and not self._pauses.waits

    async def check(self, request: ProbeRequest) -> None:
        """Return when the engine starts containers where a job's launch has just failed, so
        that the failure is the job's own. Raises EngineDisturbedError when it starts none, and
        EngineUnavailableError when it does not answer.
        """
        async with self._lock:  # of several that fail at once the first one's answer is enough
            if self.trouble is None:
                await self._probe(request)
            if self.trouble is not None:
                raise EngineDisturbedError(self.trouble)

    async def look_again(self) -> bool:
        """Try a disturbed engine again; True when it starts containers now."""
        if self._suspect is None:
            return True
        async with self._lock:
            try:
                await self._probe(self._suspect)
            except EngineUnavailableError as error:
                self._pauses.failed()
                logger.debug("the engine is still disturbed: %s", error)
        return self.trouble is None

    def reset(self) -> None:
        """Know nothing: another process has reconciled meanwhile."""
        self.trouble, self._suspect = None, None
        self._pauses.succeeded()

    async def _probe(self, request: ProbeRequest) -> None:
        try:
            await self._executor.probe(request)
        except (EngineDisturbedError, EngineFailingError) as error:
            self._suspect = request
            self.trouble = f"{EngineDisturbedError.code}: {error.message}"
            self._pauses.failed()
        except JobError:
            self.reset()  # told to the job in question, at once: to wait would not help
        else:
            self.reset()
