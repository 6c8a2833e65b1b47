"""Runs: submit one, ask about them, cancel one. Who may do so is as for the job of each."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ci_common.errors import (
    InvalidConfigError,
    JobFinishedError,
    JobNotFoundError,
    RunEndedError,
    RunNotFoundError,
    quoted,
)
from ci_common.job import LONGEST_TITLE, Door
from ci_common.policy import Action, Policy
from ci_common.ports.runs import RunPage, Runs
from ci_common.principal import Principal
from ci_common.run import Run, RunRequest, RunStatus, new_run_id
from ci_server.services.control_strategy import ControlStrategies
from ci_server.services.intake import Intake
from ci_server.services.jobs import JobService
from ci_server.submission.request import SubmissionRequest

JOB = "run"
"""The name of the jobs."""

_MOST_CONFIG_BYTES = 100 << 10
"""Linux takes no variable of more than 128 KiB."""


@dataclass(frozen=True, slots=True)
class RunDefaults:
    """What every run is as a job."""

    image: str
    command: tuple[str, ...]
    cpu_percent: int
    memory_mb: int
    timeout_seconds: float


class RunService:
    """Every method takes the principal who asks, and answers only about what is theirs."""

    def __init__(
        self,
        runs: Runs,
        jobs: JobService,
        intake: Intake,
        policy: Policy,
        strategies: ControlStrategies,
        defaults: RunDefaults,
    ) -> None:
        self._runs = runs
        self._jobs = jobs
        self._intake = intake
        self._policy = policy
        self._strategies = strategies
        self._defaults = defaults

    async def submit(self, principal: Principal, config: Mapping[str, Any]) -> Run:
        """Queue a run. `config` is the request with its defaults: `query`, `control_strategy`,
        `max_iterations`, `score_threshold` and others, as JSON values.

        Raises as `Intake.accept`; InvalidConfigError for a config that no job can be given.
        """
        found = await self._strategies.assess(config["query"], config["control_strategy"])
        request = RunRequest(
            run_id=new_run_id(),
            user_email=principal.email or principal.user,
            config=config,
            control_strategy_effective=found.effective,
            control_cells_available=None if found.effective is None else found.control_cells_found,
        )
        job = await self._intake.accept(principal, None, self._job(request))
        return Run(request, job)

    async def get(self, principal: Principal, run_id: str) -> Run:
        """One run. Raises RunNotFoundError, also for one the principal may not see."""
        run = await self._runs.get(run_id)
        if run is not None:
            try:
                await self._jobs.get(principal, run.job.job_id)
            except JobNotFoundError:
                run = None
        if run is None:
            raise RunNotFoundError(f"Run {quoted(run_id)[1:-1]} not found")
        return run

    async def page(self, principal: Principal, page: RunPage) -> tuple[list[Run], int]:
        """The runs of a page that the principal may see, and how many there are on all pages.

        Raises ForbiddenError.
        """
        return await self._runs.page(self._policy.scope(principal, Action.LIST), page)

    async def cancel(self, principal: Principal, run_id: str) -> None:
        """Ask for the end of a run; from then on its status is `cancelled`.

        Raises RunNotFoundError, ForbiddenError for one the principal may only see, RunEndedError.
        """
        run = await self.get(principal, run_id)
        try:
            if run.status not in (RunStatus.PENDING, RunStatus.RUNNING):
                await self._jobs.check_cancel(principal, run.job.job_id)
                raise RunEndedError
            await self._jobs.cancel(principal, run.job.job_id)
        except JobFinishedError:
            raise RunEndedError from None
        except JobNotFoundError:  # retention deleted it meanwhile
            raise RunNotFoundError(f"Run {run_id} not found") from None

    def _job(self, run: RunRequest) -> SubmissionRequest:
        defaults, ceilings, config = self._defaults, self._intake.limits.ceilings, run.config
        return SubmissionRequest(
            job=JOB,
            title=_title(config["query"]),
            command=defaults.command,
            image=defaults.image,
            env=_environment(run),
            install=(),
            cpu_percent=_at_most(defaults.cpu_percent, ceilings.cpu_percent),
            memory_mb=_at_most(defaults.memory_mb, ceilings.memory_mb),
            timeout_seconds=min(
                defaults.timeout_seconds, ceilings.timeout_seconds or defaults.timeout_seconds
            ),
            door=Door.RUNS,
            run=run,
        )


def _at_most(value: int, ceiling: int | None) -> int:
    return value if ceiling is None else min(value, ceiling)


def _environment(run: RunRequest) -> dict[str, str]:
    """What the run's image reads. Raises InvalidConfigError for more than it can be given."""
    config = run.config
    whole = json.dumps(dict(config), ensure_ascii=False)
    if len(whole.encode()) > _MOST_CONFIG_BYTES:
        raise InvalidConfigError(
            f"the request has {len(whole.encode())} bytes as JSON; a run takes at most "
            f"{_MOST_CONFIG_BYTES}: make de_config smaller"
        )
    return {
        "RUN_ID": run.run_id,
        "USER_EMAIL": run.user_email,
        "QUERY": config["query"],
        "CONTROL_STRATEGY": config["control_strategy"],
        "MAX_ITERATIONS": str(config["max_iterations"]),
        "SCORE_THRESHOLD": json.dumps(config["score_threshold"]).removesuffix(".0"),
        "RUN_CONFIG": whole,
    }


def _title(query: str) -> str | None:
    """The beginning of the query in one line."""
    text = "".join(letter for letter in " ".join(query.split()) if letter.isprintable())
    return text[:LONGEST_TITLE].strip() or None
