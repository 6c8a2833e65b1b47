"""What goes into the audit log, and how often: neither a flood nor a reconnecting reader fills it.

Submissions and cancellations are written with what they do; this makes their entries.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta

from ci_common.errors import RunnerError, StorageUnavailableError
from ci_common.job import Job
from ci_common.ports.audit import AuditAction, AuditEntry, AuditLog, AuditOutcome
from ci_common.principal import Principal
from ci_server.access.auth.credentials import Credentials

logger = logging.getLogger(__name__)

REPEAT = timedelta(minutes=10)
"""The same reader of the same thing, and the same refusal, is one entry for so long."""

_REMEMBERED = 10_000
_FAILED_A_MINUTE = 60
_DENIED_A_MINUTE = 600
_NOW, _MINUTE = timedelta(0), timedelta(minutes=1)

_Key = tuple[str | None, ...]


class _Recent:
    """What happened not long ago."""

    def __init__(self) -> None:
        self._seen: OrderedDict[_Key, datetime] = OrderedDict()

    def is_new(self, key: _Key, now: datetime) -> bool:
        """Whether it was not there within `REPEAT`; then it is from now on. When the clock was set
        back, it is new.
        """
        before = self._seen.get(key)
        if before is not None and _NOW <= now - before < REPEAT:
            return False
        self._seen[key] = now
        self._seen.move_to_end(key)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return True

    def forget(self, key: _Key) -> None:
        """It did not happen after all."""
        self._seen.pop(key, None)


class _Allowance:
    """So many entries a minute; the others are counted, and told with the next."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._used = 0
        self._left_out = 0
        self._until: datetime | None = None

    def take(self, now: datetime) -> int | None:
        """How many were left out before this one; `None` when this one is, too."""
        if self._until is None or not _NOW < self._until - now <= _MINUTE:
            self._until, self._used = now + _MINUTE, 0
        if self._used >= self._most:
            self._left_out += 1
            return None
        self._used += 1
        left_out, self._left_out = self._left_out, 0
        return left_out


class AuditTrail:
    """Of one server process."""

    def __init__(self, log: AuditLog, now: Callable[[], datetime]) -> None:
        self._log = log
        self._now = now
        self._recent = _Recent()
        self._failed = _Allowance(_FAILED_A_MINUTE)
        self._denied = _Allowance(_DENIED_A_MINUTE)
        self._writing: set[asyncio.Task[None]] = set()

    def entry(
        self,
        principal: Principal,
        action: AuditAction,
        *,
        job_id: str | None = None,
        target: str | None = None,
        outcome: AuditOutcome = AuditOutcome.ALLOWED,
        detail: str | None = None,
    ) -> AuditEntry:
        """What the principal does now, for whoever writes it with the action."""
        return AuditEntry(
            at=self._now(),
            action=action.value,
            outcome=outcome,
            tenant=principal.tenant,
            user=principal.user,
            role=principal.role.value,
            credential=principal.credential,
            job_id=job_id,
            target=target,
            address=principal.origin.address,
            request_id=principal.origin.request_id,
            detail=detail,
        )

    async def read(
        self, principal: Principal, action: AuditAction, job: Job, target: str | None = None
    ) -> None:
        """Somebody reads of a job; an entry when it is not theirs, the first time in a while.

        Who has a token of the owner's may be anybody, so that counts as another's, at each address.
        """
        is_owner = (principal.tenant, principal.user) == (job.tenant, job.user)
        if not is_owner or principal.only_job is not None:
            await self._note(principal, action, job, target)

    async def token_issued(self, principal: Principal, job: Job) -> None:
        """Somebody gives a token for a job, their own, too; an entry the first time in a while."""
        await self._note(principal, AuditAction.ISSUE_TOKEN, job)

    async def _note(
        self, principal: Principal, action: AuditAction, job: Job, target: str | None = None
    ) -> None:
        address = None if principal.only_job is None else principal.origin.address
        who = (principal.tenant, principal.user, principal.credential, address)
        key = (*who, action, job.job_id, target)
        if not self._recent.is_new(key, self._now()):
            return
        detail = f"of {job.tenant}/{job.user}"
        entry = self.entry(principal, action, job_id=job.job_id, target=target, detail=detail)
        await self._write(entry, key)

    async def denied(
        self,
        principal: Principal,
        action: AuditAction,
        error: RunnerError,
        job_id: str | None = None,
        *,
        target: str | None = None,
        with_message: bool = False,
    ) -> None:
        """Somebody we know tried what they may not; `with_message` where every error differs."""
        what = f"{error.code}: {error.message}" if with_message else error.code
        about = (target, what) if with_message else (target,)
        key = (principal.tenant, principal.user, "denied", action, job_id, *about)
        if not self._recent.is_new(key, self._now()):
            return
        left_out = self._denied.take(self._now())
        if left_out is not None:
            entry = self.entry(
                principal,
                action,
                job_id=job_id,
                target=target,
                outcome=AuditOutcome.DENIED,
                detail=_with_others(what, left_out),
            )
            await self._write(entry)

    async def failed(self, credentials: Credentials, error: RunnerError) -> None:
        """Somebody tried to be one whom we know, or local."""
        left_out = self._failed.take(self._now())
        if left_out is None:
            return
        await self._write(
            AuditEntry(
                at=self._now(),
                action=AuditAction.AUTHENTICATE.value,
                outcome=AuditOutcome.DENIED,
                address=credentials.origin.address,
                request_id=credentials.origin.request_id,
                detail=_with_others(error.code, left_out),
            )
        )

    async def _write(self, entry: AuditEntry, key: _Key | None = None) -> None:
        """Write the entry even if the caller disconnects, which cancels gRPC calls: a repeated
        action would not be recorded again. If writing fails, `key` is forgotten.
        """
        writing = asyncio.create_task(self._record(entry, key))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        await asyncio.shield(writing)

    async def _record(self, entry: AuditEntry, key: _Key | None) -> None:
        """A disk that is full keeps nobody from reading, or from being refused."""
        try:
            await self._log.record(entry)
        except StorageUnavailableError as error:
            logger.warning("not in the audit log: %s: %s", error, entry)
        except Exception:
            logger.exception("the audit log cannot be written: %s", entry)
        else:
            return
        if key is not None:
            self._recent.forget(key)


def _with_others(code: str, left_out: int) -> str:
    return f"{code}; {left_out} more before this one were not recorded" if left_out else code
