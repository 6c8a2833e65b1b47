"""Whether jobs submitted now would run."""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from ci_common.errors import NotReadyError, RunnerError, StorageUnavailableError
from ci_common.ports.packages import PackageIntake
from ci_common.ports.rows import JobSubmissions
from ci_server.submission.package_scan import PackageScanner

logger = logging.getLogger(__name__)


class Readiness:
    """Looks at the parts a job needs."""

    def __init__(
        self,
        submissions: JobSubmissions,
        packages: PackageIntake,
        now: Callable[[], datetime],
        scanner: PackageScanner | None = None,
    ) -> None:
        self._submissions = submissions
        self._packages = packages
        self._now = now
        self._scanner = scanner

    async def check(self) -> None:
        """Raise NotReadyError, which names every part that is down.

        Anybody may ask, so it tells no more than that; the log tells why.
        """
        problems = [
            problem
            for problem in (
                await self._problem_of(
                    "the database cannot be written", self._submissions.check_writable
                ),
                await self._problem_of("the server's disk is nearly full", self._check_space),
                self._scanner_problem(),
                await self._controller_problem(),
            )
            if problem
        ]
        if problems:
            raise NotReadyError("; ".join(problems))

    async def _check_space(self) -> None:
        self._packages.check_space()

    async def _problem_of(self, problem: str, check: Callable[[], Awaitable[None]]) -> str | None:
        try:
            await check()
        except StorageUnavailableError as error:
            return error.message  # which tells no more than that, and is logged already
        except RunnerError as error:
            logger.warning("not ready: %s", error)
            return problem
        return None

    def _scanner_problem(self) -> str | None:
        why = self._scanner and self._scanner.problem()
        if not why:
            return None
        logger.warning("not ready: CI_SCAN_COMMAND: %s", why)
        return "the package scanner is missing: no upload is accepted"

    async def _controller_problem(self) -> str | None:
        state = await self._submissions.controller_state()
        if state is None or state.is_silent(self._now()):
            return "no controller is running: jobs are queued but not started"
        if state.engine_error is None:
            return None
        if state.engine_is_disturbed:
            return (
                "engine_disturbed: the container engine responds but cannot start containers: "
                "jobs wait until it can"
            )
        return "the container engine does not respond: jobs wait until it does"
