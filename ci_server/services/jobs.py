"""Jobs that there are, for every door: get, list, cancel, artifacts, tokens."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from ci_common.errors import (
    ArtifactNotFoundError,
    ForbiddenError,
    JobNotFoundError,
    quoted,
)
from ci_common.job import Artifact, Job
from ci_common.policy import Action, Policy, Reach
from ci_common.ports.audit import AuditAction
from ci_common.ports.rows import JobQuery, JobSubmissions, StartOutlook
from ci_common.ports.signals import Doorbell
from ci_common.principal import Origin, Principal, Role
from ci_server.access.audit_trail import AuditTrail
from ci_server.access.auth.stream_tokens import StreamToken, StreamTokens

_WHOLE_ID = 36
"""Characters of a UUID."""

SIGNED_URL = "signed-url"
"""The credential of those of whom nothing else is known."""


class JobService:
    """Every method takes the principal who asks, and answers only about what is theirs.

    Where a method takes a job's id, any four or more characters that it begins with are enough,
    if no other job that the principal may see has them: AmbiguousJobIdError otherwise. What is
    returned has the whole id.
    """

    def __init__(
        self,
        submissions: JobSubmissions,
        bell: Doorbell,
        policy: Policy,
        now: Callable[[], datetime],
        audit: AuditTrail,
        tokens: StreamTokens,
    ) -> None:
        self._submissions = submissions
        self._bell = bell
        self._policy = policy
        self._now = now
        self._audit = audit
        self._tokens = tokens

    async def get(self, principal: Principal, job_id: str) -> Job:
        """One job. Raises JobNotFoundError, also for one the principal may not see."""
        if len(job_id) < _WHOLE_ID:
            return await self.find(principal, job_id)
        scope = self._policy.scope(principal, Action.READ)
        job = await self._submissions.get(job_id)
        if job is None or not scope.covers(job):
            raise JobNotFoundError(f"the job {quoted(job_id)} was not found on this server")
        return job

    async def find(self, principal: Principal, text: str) -> Job:
        """One job, by its id or by four or more characters that it begins with, among the jobs that
        the principal may see. Raises JobNotFoundError, AmbiguousJobIdError.
        """
        scope = self._policy.scope(principal, Action.READ)
        job = await self._submissions.find(scope, text.strip().lower())
        if job is None:
            raise JobNotFoundError(f"the job {quoted(text)} was not found on this server")
        return job

    async def open_log(self, principal: Principal, job_id: str) -> Job:
        """The same for one who reads its log, which is recorded when the job is another's."""
        job = await self.get(principal, job_id)
        await self._audit.read(principal, AuditAction.READ_LOG, job)
        return job

    async def list_jobs(
        self, principal: Principal, query: JobQuery, *, mine: bool = False
    ) -> list[Job]:
        """The jobs that match and that the principal may see, or only those that are `mine`: of
        the principal.

        Raises ForbiddenError; JobNotFoundError for a `before` that is not one of them.
        """
        scope = self._policy.listed(principal, mine=mine)
        if query.before is not None and len(query.before) < _WHOLE_ID:
            before = await self._submissions.find(scope, query.before.lower())
            query = replace(query, before=before.job_id if before else query.before)
        return await self._submissions.list_jobs(scope, query)

    async def count_jobs(self, principal: Principal, query: JobQuery, *, mine: bool = False) -> int:
        """How many jobs there are on all pages of such a list. Raises ForbiddenError."""
        scope = self._policy.listed(principal, mine=mine)
        return await self._submissions.count_jobs(scope, query)

    async def cancel(
        self,
        principal: Principal,
        job_id: str,
        *,
        only_queued: bool = False,
        tells_of_others: bool = False,
    ) -> Job:
        """Ask for the end of a job; safe to repeat.

        Raises JobNotFoundError for a job the principal may not see, ForbiddenError for one it
        may only see, JobFinishedError; with `only_queued` JobStartedError for one under way. With
        `tells_of_others` a job that the principal may not see is a ForbiddenError, too.
        """
        try:
            job_id = (await self.check_cancel(principal, job_id)).job_id
        except JobNotFoundError:
            if not tells_of_others or await self._submissions.get(job_id) is None:
                raise
            error = ForbiddenError("you may not cancel this job")
            await self._audit.denied(principal, AuditAction.CANCEL, error, job_id)
            raise error from None
        entry = self._audit.entry(principal, AuditAction.CANCEL, job_id=job_id)
        job = await self._submissions.request_cancel(
            job_id, self._now(), entry, only_queued=only_queued
        )
        self._bell.ring()
        return job

    async def check_cancel(self, principal: Principal, job_id: str) -> Job:
        """One job. Raises what `cancel` raises for one that the principal may not cancel."""
        return await self._within_reach(principal, Action.CANCEL, job_id, "cancel it")

    async def check_rerun(self, principal: Principal, job_id: str) -> Job:
        """One job that the principal may run again. Raises JobNotFoundError for one it may not see,
        and ForbiddenError for one it may only see.
        """
        return await self._within_reach(principal, Action.RERUN, job_id, "run it again")

    async def check_preview(self, principal: Principal, job_id: str) -> Job:
        """One job whose artifacts the principal may preview. Raises JobNotFoundError."""
        return await self._within_reach(principal, Action.PREVIEW, job_id, "preview its artifacts")

    async def start_outlook(self, job: Job) -> StartOutlook:
        """What tells when a queued job will start."""
        return await self._submissions.start_outlook(job)

    def may_issue_token(self, principal: Principal, job: Job) -> bool:
        """Whether `issue_token` gives one for this job, which the principal may read."""
        action = Action.ISSUE_TOKEN
        if self._policy.reach(principal, action) is Reach.NONE:
            return False
        return self._policy.scope(principal, action).covers(job)

    async def issue_token(
        self, principal: Principal, job_id: str, seconds: float | None = None
    ) -> StreamToken:
        """A token that lets whoever has it read the job, for a short time: so many seconds, or as
        the operator has set. It is recorded.

        Raises JobNotFoundError, and ForbiddenError for a job the principal may only see.
        """
        job = await self._within_reach(
            principal, Action.ISSUE_TOKEN, job_id, "create a token for it"
        )
        await self._audit.token_issued(principal, job)
        return self._tokens.issue(principal, job.job_id, seconds)

    async def _within_reach(
        self, principal: Principal, action: Action, job_id: str, what: str
    ) -> Job:
        seen = await self.get(principal, job_id)
        if not self._policy.scope(principal, action).covers(seen):
            error = ForbiddenError(f"you may see this job, but not {what}")
            await self._audit.denied(principal, AuditAction(action.value), error, seen.job_id)
            raise error
        return seen

    async def artifacts(self, principal: Principal, job_id: str) -> list[Artifact]:
        """What a job left behind; nothing before its end. Raises JobNotFoundError."""
        job = await self.get(principal, job_id)
        return await self._submissions.artifacts(job.job_id)

    async def artifacts_of(
        self, principal: Principal, jobs: Sequence[Job], most: int
    ) -> dict[str, list[Artifact]]:
        """The same for several jobs, by id, so many of each at most: of those that the principal
        may read, and that have any.
        """
        readable = [job.job_id for job in self.readable(principal, jobs)]
        return await self._submissions.artifacts_of(readable, most)

    def readable(self, principal: Principal, jobs: Iterable[Job]) -> list[Job]:
        """Those of the jobs that the principal may read."""
        scope = self._policy.scope(principal, Action.READ)
        return [job for job in jobs if scope.covers(job)]

    async def grantee(self, job_id: str, origin: Origin) -> Principal:
        """Who reads a job with a signed URL: nobody knows, so they may do this and no more. In the
        audit log, and for limits, it is the job's owner who is read by others.

        Raises JobNotFoundError.
        """
        job = await self._submissions.get(job_id)
        if job is None:
            raise JobNotFoundError
        return Principal(
            tenant=job.tenant,
            user=job.user,
            role=Role.SUBMITTER,
            credential=SIGNED_URL,
            only_job=job.job_id,
            origin=origin,
        )

    async def artifact(self, principal: Principal, job_id: str, path: str) -> tuple[Job, Artifact]:
        """One of them, and its job. That it is read is recorded when the job is another's.

        Raises JobNotFoundError, ArtifactNotFoundError.
        """
        job = await self.get(principal, job_id)
        artifact = await self._submissions.artifact(job.job_id, path)
        if artifact is None:
            raise ArtifactNotFoundError(f"the job has no artifact {quoted(path)}")
        await self._audit.read(principal, AuditAction.READ_ARTIFACT, job, path)
        return job, artifact
