"""The one core that every dialect calls: submit, get, list, cancel."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ci_common.errors import (
    ArtifactNotFoundError,
    DataDirectoryUnavailableError,
    ForbiddenError,
    InvalidConfigError,
    InvalidPackageError,
    JobNotFoundError,
    NotReadyError,
    RunnerError,
    StorageUnavailableError,
    quoted,
)
from ci_common.job import Artifact, Job, JobSpec, JobStatus
from ci_common.policy import Action, Policy, Reach
from ci_common.ports.audit import AuditAction
from ci_common.ports.packages import PackageIntake, StagedUpload
from ci_common.ports.rows import JobQuery, JobSubmissions
from ci_common.ports.signals import Doorbell
from ci_common.ports.usage import NO_QUOTAS, Quotas
from ci_common.principal import Principal
from ci_common.secret import Secret
from ci_server.access.audit_trail import AuditTrail
from ci_server.submission.job_limits import NO_CEILINGS, DefaultLimits, LimitCeilings
from ci_server.submission.job_secrets import SecretService
from ci_server.submission.package_check import PackageLimits, check_package
from ci_server.submission.project_config import SubmittedSpec, resolve_spec

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10.0
"""A controller that has not been heard of for so long counts as down."""

_CHECKS_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """What submissions may be, and what they get."""

    max_upload_bytes: int
    package: PackageLimits
    defaults: DefaultLimits
    ceilings: LimitCeilings = NO_CEILINGS
    quotas: Quotas = NO_QUOTAS


class JobService:
    """Every method takes the principal who asks, and answers only about what is theirs."""

    def __init__(
        self,
        submissions: JobSubmissions,
        packages: PackageIntake,
        bell: Doorbell,
        limits: ServiceLimits,
        policy: Policy,
        now: Callable[[], datetime],
        secrets: SecretService,
        audit: AuditTrail,
    ) -> None:
        self._secrets = secrets
        self._submissions = submissions
        self._packages = packages
        self._bell = bell
        self._policy = policy
        self._now = now
        self._audit = audit
        self.limits = limits
        self._checks = asyncio.Semaphore(_CHECKS_AT_ONCE)

    async def check_room(self, principal: Principal) -> None:
        """Refuse, before anything is uploaded, what `submit` would refuse whatever is uploaded.

        Raises ForbiddenError, TooManyJobsError, QuotaExceededError.
        """
        self._policy.scope(principal, Action.SUBMIT)
        await self._submissions.check_room(principal.tenant, principal.user, self.limits.quotas)

    def stage(self) -> StagedUpload:
        """Start an upload, which ends with `submit`, or with its `discard`.

        Raises DiskFullError.
        """
        return self._packages.stage()

    async def submit(
        self,
        principal: Principal,
        staged: StagedUpload,
        wanted: SubmittedSpec,
        sent: Sequence[Secret] = (),
    ) -> Job:
        """Check the upload, store it, queue the job. Once this returns nothing can lose it.

        Raises ForbiddenError, InvalidPackageError, InvalidConfigError, UnknownJobNameError,
        InvalidSecretError, UnknownSecretError, TooManyJobsError, QuotaExceededError; the caller
        discards `staged` then.
        """
        self._policy.scope(principal, Action.SUBMIT)
        await self._check_priority(principal, wanted.priority)
        spec = await self._check(staged, wanted)
        spec, secrets = await self._secrets.resolve(principal.tenant, spec, sent)
        job_id = str(uuid.uuid4())
        package = await asyncio.to_thread(staged.commit, job_id)
        job = Job(
            job_id=job_id,
            tenant=principal.tenant,
            user=principal.user,
            spec=spec,
            package=package,
            status=JobStatus.QUEUED,
            created_at=self._now(),
        )
        try:
            await self._secrets.store(job_id, secrets)
            entry = self._audit.entry(
                principal, AuditAction.SUBMIT, job_id=job_id, target=spec.name
            )
            await self._submissions.add(job, self.limits.quotas, entry)
        except Exception:
            self._packages.delete(job_id)
            self._secrets.forget(job_id, secrets)
            raise
        self._bell.ring()
        return job

    async def _check_priority(self, principal: Principal, asked: int | None) -> None:
        """Raise InvalidConfigError for a priority that only admins may ask for; it is recorded."""
        if asked is None or self._policy.reach(principal, Action.PRIORITIZE) is not Reach.NONE:
            return
        try:
            self.limits.ceilings.check_priority(asked)
        except InvalidConfigError as error:
            await self._audit.denied(principal, AuditAction.PRIORITIZE, error)
            raise

    async def _check(self, staged: StagedUpload, wanted: SubmittedSpec) -> JobSpec:
        def check() -> JobSpec:
            try:
                checked = check_package(staged.path, self.limits.package)
            except InvalidPackageError:
                if staged.path.exists():
                    raise
                raise DataDirectoryUnavailableError(
                    "the upload was deleted from the server's data directory before it was "
                    "checked; send it again"
                ) from None
            return resolve_spec(
                checked.config_files, wanted, self.limits.defaults, self.limits.ceilings
            )

        # A few at a time: a check takes a core, and others' requests need threads, too.
        async with self._checks:
            return await asyncio.to_thread(check)

    async def get(self, principal: Principal, job_id: str) -> Job:
        """One job. Raises JobNotFoundError, also for one the principal may not see."""
        scope = self._policy.scope(principal, Action.READ)
        job = await self._submissions.get(job_id)
        if job is None or not scope.covers(job):
            raise JobNotFoundError(f"the job {quoted(job_id)} was not found on this server")
        return job

    async def open_log(self, principal: Principal, job_id: str) -> Job:
        """The same for one who reads its log, which is recorded when the job is another's."""
        job = await self.get(principal, job_id)
        await self._audit.read(principal, AuditAction.READ_LOG, job)
        return job

    async def list_jobs(self, principal: Principal, query: JobQuery) -> list[Job]:
        """The jobs that match and that the principal may see, newest first.

        Raises ForbiddenError; JobNotFoundError for a `before` that is not one of them.
        """
        scope = self._policy.scope(principal, Action.LIST)
        return await self._submissions.list_jobs(scope, query)

    async def cancel(self, principal: Principal, job_id: str) -> Job:
        """Ask for the end of a job; safe to repeat.

        Raises JobNotFoundError for a job the principal may not see, ForbiddenError for one it
        may only see, JobFinishedError.
        """
        await self._within_reach(principal, Action.CANCEL, job_id, "cancel it")
        entry = self._audit.entry(principal, AuditAction.CANCEL, job_id=job_id)
        job = await self._submissions.request_cancel(job_id, self._now(), entry)
        self._bell.ring()
        return job

    async def lend(self, principal: Principal, job_id: str) -> Job:
        """The job that the principal gives somebody a token for, which is recorded.

        Raises JobNotFoundError, and ForbiddenError for one the principal may only see.
        """
        job = await self._within_reach(principal, Action.LEND, job_id, "give a token for it")
        await self._audit.lent(principal, job)
        return job

    async def _within_reach(
        self, principal: Principal, action: Action, job_id: str, what: str
    ) -> Job:
        seen = await self.get(principal, job_id)
        if not self._policy.scope(principal, action).covers(seen):
            error = ForbiddenError(f"you may see this job, but not {what}")
            await self._audit.denied(principal, AuditAction(action.value), error, job_id)
            raise error
        return seen

    async def artifacts(self, principal: Principal, job_id: str) -> list[Artifact]:
        """What a job left behind; nothing before its end. Raises JobNotFoundError."""
        await self.get(principal, job_id)
        return await self._submissions.artifacts(job_id)

    async def artifact(self, principal: Principal, job_id: str, path: str) -> Artifact:
        """One of them, whose reading is recorded when the job is another's.

        Raises JobNotFoundError, ArtifactNotFoundError.
        """
        job = await self.get(principal, job_id)
        artifact = await self._submissions.artifact(job_id, path)
        if artifact is None:
            raise ArtifactNotFoundError(f"the job has no artifact {quoted(path)}")
        await self._audit.read(principal, AuditAction.READ_ARTIFACT, job, path)
        return artifact

    async def check_ready(self) -> None:
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

    async def _controller_problem(self) -> str | None:
        state = await self._submissions.controller_state()
        if state is None or self._now() - state.heartbeat_at > timedelta(seconds=HEARTBEAT_SECONDS):
            return "no controller is running: jobs are queued but none is started"
        if state.engine_error is None:
            return None
        if state.engine_is_disturbed:
            return (
                "engine_disturbed: the container engine answers, but starts no container: jobs "
                "wait until it does"
            )
        return "the container engine does not answer: jobs wait until it does"
