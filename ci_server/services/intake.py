"""The intake: the one way a job is born, whichever door it comes through."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from ci_common.errors import (
    InvalidConfigError,
    InvalidPackageError,
)
from ci_common.job import Door, Job, JobSpec, JobStatus, Package, Visibility
from ci_common.notify_targets import NotifyPolicy
from ci_common.policy import Action, Policy, Reach
from ci_common.ports.audit import AuditAction, AuditEntry
from ci_common.ports.packages import PackageIntake, StagedUpload
from ci_common.ports.rows import JobSubmissions
from ci_common.ports.signals import Doorbell
from ci_common.ports.usage import NO_QUOTAS, Quotas
from ci_common.principal import Principal
from ci_common.run import RunRequest
from ci_common.secret import Secret
from ci_common.trace_context import begin_job, request_trace
from ci_common.tracing import NO_TRACER, Tracer
from ci_server.access.audit_trail import AuditTrail
from ci_server.access.limits.traffic import Traffic
from ci_server.services.package_scans import PackageScans, package_gone, upload_deleted
from ci_server.services.submission_trace import submission_spans
from ci_server.submission.body_rate import paced
from ci_server.submission.job_limits import NO_CEILINGS, DefaultLimits, LimitCeilings
from ci_server.submission.job_secrets import SecretService, check_secrets_sent
from ci_server.submission.package_check import PackageLimits, check_package
from ci_server.submission.package_scan import Gone, PackageScanner
from ci_server.submission.request import SubmissionRequest, resolve_spec
from ci_server.submission.upload_body import Framing, NoFraming, receive_body

_CHECKS_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class SubmissionLimits:
    """What submissions may be, and what they get."""

    max_upload_bytes: int
    patience_seconds: float
    """How long a body may bring nothing, or hardly anything."""
    package: PackageLimits
    defaults: DefaultLimits
    ceilings: LimitCeilings = NO_CEILINGS
    quotas: Quotas = NO_QUOTAS
    notify: NotifyPolicy | None = None
    """Where jobs may send notifications; `None`: what they ask for is ignored."""


class Upload:
    """A package on its way in. Call `receive` once, then `submit` once."""

    def __init__(self, staged: StagedUpload, limits: SubmissionLimits, queue: "_Queue") -> None:
        self._staged = staged
        self._limits = limits
        self._queue = queue

    async def receive(
        self,
        body: AsyncIterator[bytes],
        framing: Framing | None = None,
        max_bytes: int | None = None,
    ) -> None:
        """Store the zip in a body; `framing` tells it from what the door has around it. A door
        that takes less than the server does says how much.

        Raises UploadTooLargeError, InvalidUploadError, RequestTimeoutError, DiskFullError.
        """
        body = paced(body, self._limits.patience_seconds)
        most = self._limits.max_upload_bytes if max_bytes is None else max_bytes
        await receive_body(body, framing or NoFraming(), self._staged, most)

    async def submit(
        self,
        request: SubmissionRequest,
        secrets: Sequence[Secret] = (),
        complete: "Completion | None" = None,
    ) -> Job:
        """Check what was received and queue the job: see `Intake.accept`.

        `complete` is for a door that has rules of its own for packages.
        """
        return await self._queue(request, secrets, complete)


Completion = Callable[[Path, SubmissionRequest], SubmissionRequest]
"""What a door makes of a request when it has seen the package, a zip that was found to be a valid
one. Runs in a thread; raises InvalidPackageError for a package that the door does not take.
"""

_Queue = Callable[[SubmissionRequest, Sequence[Secret], Completion | None], Awaitable[Job]]


class Intake:
    """Takes submissions. Doors call `accept`, or `upload` where they learn only from the body what
    is asked for.
    """

    def __init__(
        self,
        submissions: JobSubmissions,
        packages: PackageIntake,
        bell: Doorbell,
        limits: SubmissionLimits,
        policy: Policy,
        traffic: Traffic,
        now: Callable[[], datetime],
        secrets: SecretService,
        audit: AuditTrail,
        scanner: PackageScanner | None = None,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._tracer = tracer
        self._submissions = submissions
        self._packages = packages
        self._bell = bell
        self._policy = policy
        self._traffic = traffic
        self._now = now
        self._secrets = secrets
        self._audit = audit
        self._scans = PackageScans(scanner, packages, audit)
        self.limits = limits
        self._checks = asyncio.Semaphore(_CHECKS_AT_ONCE)

    async def accept(
        self,
        principal: Principal,
        body: AsyncIterator[bytes] | None,
        request: SubmissionRequest,
        secrets: Sequence[Secret] = (),
    ) -> Job:
        """Queue a job of the zip that `body` brings, or, without a body, one that has no package.
        Once this returns nothing can lose it; when it raises nothing of it is left.

        Raises ForbiddenError, TooManyUploadsError, TooManyJobsError, QuotaExceededError,
        DiskFullError, RequestTimeoutError, UploadTooLargeError, InvalidPackageError,
        InvalidConfigError, UnknownJobNameError, InvalidSecretError, UnknownSecretError,
        PackageRefusedError, ScannerUnavailableError.
        """
        if body is None:
            await self._check_room(principal)
            return await self._queue(principal, None, None, request, secrets)
        async with self.upload(principal) as upload:
            await upload.receive(body)
            return await upload.submit(request, secrets)

    @asynccontextmanager
    async def upload(self, principal: Principal, gone: Gone | None = None) -> AsyncIterator[Upload]:
        """Room for a package, until the block is left; what was not submitted by then is discarded.
        A scan of the package ends when the client has `gone`.

        Refuses, before anything is uploaded, what would be refused whatever is uploaded. Raises
        ForbiddenError, TooManyUploadsError, TooManyJobsError, QuotaExceededError, DiskFullError.
        """
        with self._upload_slot(principal):
            await self._check_room(principal)
            staged = self._packages.stage()
            try:
                yield Upload(staged, self.limits, partial(self._queue, principal, staged, gone))
            finally:
                await asyncio.to_thread(staged.discard)

    @contextmanager
    def _upload_slot(self, principal: Principal) -> Iterator[None]:
        give_back = self._traffic.begin_upload(principal, principal.origin.address)
        try:
            yield
        finally:
            give_back()

    async def _check_room(self, principal: Principal) -> None:
        self._policy.scope(principal, Action.SUBMIT)
        await self._submissions.check_room(principal.tenant, principal.user, self.limits.quotas)

    async def _queue(
        self,
        principal: Principal,
        staged: StagedUpload | None,
        gone: Gone | None,
        request: SubmissionRequest,
        sent: Sequence[Secret],
        complete: Completion | None = None,
    ) -> Job:
        self._policy.scope(principal, Action.SUBMIT)
        await self._check_priority(principal, request.priority)
        spec = await self._check(staged, request, complete)
        spec, secrets = await self._secrets.resolve(principal.tenant, spec, sent)
        if staged is not None:
            await self._scans.check_upload(principal, staged, spec.name, gone)
        job_id = str(uuid.uuid4())
        package = await asyncio.to_thread(staged.commit, job_id) if staged else None
        job = self._new_job(job_id, principal, spec, package, request.door)
        entry = self._audit.entry(principal, AuditAction.SUBMIT, job_id=job_id, target=spec.name)
        return await self._add(job, secrets, entry, request.run)

    async def repeat(
        self,
        principal: Principal,
        source: Job,
        sent: Sequence[Secret] = (),
        gone: Gone | None = None,
    ) -> Job:
        """Queue a job like `source`, with its package and settings, as one of the principal's.
        Secrets that were sent with `source` must be among those `sent`; the tenant's are read anew.

        Raises PackageGoneError; SecretsNeededError, which tells the names that are missing; and
        what `accept` raises.
        """
        with self._upload_slot(principal):
            await self._check_room(principal)
            if source.package is not None and not source.has_package:
                raise package_gone(source)
            spec = self._repeated(principal, source.spec)
            check_secrets_sent(spec, sent)
            spec, secrets = await self._secrets.resolve(principal.tenant, spec, sent)
            await self._scans.check_kept(principal, source, gone)
            job_id = str(uuid.uuid4())
            package = await self._share_package(source, job_id)
            job = replace(
                self._new_job(job_id, principal, spec, package, source.door),
                visibility=source.visibility,
                rerun_of=source.job_id,
            )
            entry = self._audit.entry(
                principal, AuditAction.RERUN, job_id=job_id, target=source.job_id
            )
            return await self._add(job, secrets, entry)

    def _repeated(self, principal: Principal, spec: JobSpec) -> JobSpec:
        """What today's ceilings allow. Raises InvalidConfigError for limits above them."""
        ceilings, most_log = self.limits.ceilings, self.limits.defaults.log_mb
        ceilings.check(spec.limits)
        limits = ceilings.filled(spec.limits)
        spec = replace(spec, limits=replace(limits, log_mb=min(limits.log_mb, most_log)))
        spec = self._with_allowed_targets(spec)
        most = ceilings.priority
        if most is None or self._policy.reach(principal, Action.PRIORITIZE) is not Reach.NONE:
            return spec
        return replace(spec, priority=min(spec.priority, most))

    def _with_allowed_targets(self, spec: JobSpec) -> JobSpec:
        """Raise InvalidConfigError when the operator does not allow a target."""
        if not spec.notify or self.limits.notify is None:
            return replace(spec, notify=())
        if problem := self.limits.notify.problem(spec.notify):
            raise InvalidConfigError(f"notify: {problem}")
        return spec

    async def _share_package(self, source: Job, job_id: str) -> Package | None:
        if source.package is None:
            return None
        package = await asyncio.to_thread(self._packages.share, source, job_id)
        if package is None:  # deleted just now, or behind our back
            raise package_gone(source)
        return package

    async def _add(
        self,
        job: Job,
        secrets: Sequence[Secret],
        entry: AuditEntry,
        run: RunRequest | None = None,
    ) -> Job:
        """Queue a job whose package is stored; it is deleted when that fails."""
        try:
            await self._secrets.store(job.job_id, secrets)
            await self._submissions.add(job, self.limits.quotas, entry, run)
        except Exception:
            self._packages.delete(job.job_id)
            self._secrets.forget(job.job_id, secrets)
            raise
        self._bell.ring()
        self._tracer.record(*submission_spans(job, self._now()))
        return job

    def _new_job(
        self,
        job_id: str,
        principal: Principal,
        spec: JobSpec,
        package: Package | None,
        door: Door,
    ) -> Job:
        trace = request_trace()
        job = Job(
            job_id=job_id,
            tenant=principal.tenant,
            user=principal.user,
            spec=replace(spec, traceparent=None if trace is None else str(trace)),
            package=package,
            status=JobStatus.QUEUED,
            created_at=self._now(),
            door=door,
            visibility=Visibility.PRIVATE if spec.private else Visibility.TENANT,
        )
        begin_job(job)
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

    async def _check(
        self, staged: StagedUpload | None, request: SubmissionRequest, complete: Completion | None
    ) -> JobSpec:
        limits = self.limits

        def check() -> JobSpec:
            files = _config_files(staged, limits.package) if staged else None
            wanted = complete(staged.path, request) if staged and complete else request
            spec = resolve_spec(files, wanted, limits.defaults, limits.ceilings)
            return self._with_allowed_targets(spec)

        # A few at a time: a check takes a core, and others' requests need threads, too.
        async with self._checks:
            return await asyncio.to_thread(check)


def _config_files(staged: StagedUpload, limits: PackageLimits) -> dict[str, bytes]:
    """Of a package that is as it has to be."""
    try:
        return check_package(staged.path, limits).config_files
    except InvalidPackageError:
        if staged.path.exists():
            raise
        raise upload_deleted() from None
