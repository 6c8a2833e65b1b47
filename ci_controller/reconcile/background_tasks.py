"""Background tasks of the controller: each by a name, and under way once at a time."""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from ci_common.errors import EngineUnavailableError, RunnerError
from ci_controller.running.retry_policy import RetryPolicy

logger = logging.getLogger(__name__)


class BackgroundTasks:
    """Errors are logged, and what the engine could not do just now is left alone for a while."""

    def __init__(
        self,
        clock: Callable[[], float],
        first_seconds: float,
        has_files: Callable[[], bool] = lambda: True,
    ) -> None:
        """`has_files` tells whether the data directory can be used; if not, that is logged."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._retries = RetryPolicy(clock, first_seconds)
        self._has_files = has_files

    def under_way(self) -> set[str]:
        """The names of those that have begun and not ended."""
        return set(self._tasks)

    def resting(self) -> set[str]:
        """The names of those that are left alone for now."""
        return self._retries.resting()

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Begin, unless it is under way already, or too early to try again."""
        if name in self._tasks or name in self._retries.resting():
            work.close()
            return
        task = asyncio.create_task(work, name=name)
        self._tasks[name] = task

        def ended(task: asyncio.Task[None]) -> None:
            del self._tasks[name]
            if task.cancelled() or (error := task.exception()) is None:
                return
            if isinstance(error, EngineUnavailableError):
                self._retries.failed(name)
            explained = isinstance(error, OSError) and not self._has_files()
            if explained or isinstance(error, RunnerError):
                logger.warning("%s: %s; retrying", name, error)
            else:
                logger.error("%s failed", name, exc_info=error)

        task.add_done_callback(ended)

    def keep_only(self, names: Collection[str]) -> None:
        """Forget the pauses of all tasks but these."""
        self._retries.keep_only(names)

    def tasks(self, prefix: str = "") -> list[asyncio.Task[None]]:
        """Those under way whose names begin so."""
        return [task for name, task in self._tasks.items() if name.startswith(prefix)]
