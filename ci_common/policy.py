"""Authorization: the one policy table, and the only code that reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Protocol

from ci_common.errors import ForbiddenError
from ci_common.job import Visibility
from ci_common.principal import LOCAL_TENANT, Principal, Role


class Action(StrEnum):
    """What can be asked of the server."""

    SUBMIT = "submit"
    LIST = "list"
    READ = "read"
    """A job, its log and stream, its artifacts."""
    CANCEL = "cancel"
    RERUN = "rerun"
    """Submit a job again, with its package; the new one belongs to whoever does."""
    USAGE = "usage"
    """How much of what a tenant has and keeps."""
    ISSUE_TOKEN = "lend"  # noqa: S105 - its name
    """Give somebody else a token to read one job, for a short time."""
    METRICS = "metrics"
    """The metrics of the whole instance, which are the operator's."""
    PREVIEW = "preview"
    """Get a URL at which one's browser shows the artifacts of a job that one may read."""
    PRIORITIZE = "prioritize"
    """Submit a job whose priority is above the operator's ceiling for users."""
    SESSIONS = "sessions"
    """See and end browser sessions."""


class Reach(IntEnum):
    """Whose jobs, or browser sessions, an action may touch."""

    NONE = 0
    OWN = 1
    SHARED = 2
    """One's own, and those that everybody of the tenant may read."""
    VIEWED = 3
    """Those, and those of the tenant from before everybody could read them."""
    TENANT = 4
    """All of the tenant, private ones, too."""
    ALL = 5


POLICY: Mapping[Role, Mapping[Action, Reach]] = {
    Role.ADMIN: {**dict.fromkeys(Action, Reach.TENANT), Action.SESSIONS: Reach.OWN},
    Role.SUBMITTER: {
        Action.SUBMIT: Reach.OWN,
        Action.LIST: Reach.SHARED,
        Action.READ: Reach.SHARED,
        Action.CANCEL: Reach.OWN,
        Action.RERUN: Reach.OWN,
        Action.USAGE: Reach.NONE,
        Action.METRICS: Reach.NONE,
        Action.ISSUE_TOKEN: Reach.OWN,
        Action.PREVIEW: Reach.SHARED,
        Action.PRIORITIZE: Reach.NONE,
        Action.SESSIONS: Reach.OWN,
    },
    Role.VIEWER: {
        Action.SUBMIT: Reach.NONE,
        Action.LIST: Reach.VIEWED,
        Action.READ: Reach.VIEWED,
        Action.CANCEL: Reach.NONE,
        Action.RERUN: Reach.NONE,
        Action.USAGE: Reach.NONE,
        Action.METRICS: Reach.ALL,
        Action.ISSUE_TOKEN: Reach.VIEWED,
        Action.PREVIEW: Reach.VIEWED,
        Action.PRIORITIZE: Reach.NONE,
        Action.SESSIONS: Reach.OWN,
    },
}
"""Role and action to reach. Admins of the operator's tenant reach all tenants where others reach
theirs, but for what would take something from one tenant to another, see `_WITHIN_A_TENANT`. What
is of no tenant is only for the operator's, see `_OF_OPERATORS`.
"""

_WITHIN_A_TENANT = frozenset({Action.RERUN})
"""The new job would be the operator's, with the package of another tenant."""

_OF_OPERATORS = frozenset({Action.METRICS})
"""Viewers of the operator's tenant may, too: whoever reads metrics need not be able to do more."""

_OTHERS: Mapping[Reach, tuple[Visibility, ...]] = {
    Reach.OWN: (),
    Reach.SHARED: (Visibility.TENANT,),
    Reach.VIEWED: (Visibility.TENANT, Visibility.VIEWERS),
}
"""Which jobs of other users of the tenant these reach."""


class Owned(Protocol):
    """A job, or something else that belongs to one."""

    @property
    def job_id(self) -> str:
        """The job's."""

    @property
    def tenant(self) -> str:
        """The job's."""

    @property
    def user(self) -> str:
        """The job's submitter."""

    @property
    def visibility(self) -> Visibility:
        """Who else may read it."""


@dataclass(frozen=True, slots=True)
class JobScope:
    """The jobs of a tenant, of a user of it, or a single one; `None` does not narrow."""

    tenant: str | None = None
    user: str | None = None
    job_id: str | None = None
    others: tuple[Visibility, ...] = ()
    """With a user: also the jobs of other users that have one of these visibilities."""

    def covers(self, job: Owned) -> bool:
        """Whether the job, or what is given in its place, belongs to these."""
        return (
            self.tenant in (None, job.tenant)
            and (self.user in (None, job.user) or job.visibility in self.others)
            and self.job_id in (None, job.job_id)
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """Decides; every dialect asks here, through the job service."""

    operator_tenant: str = LOCAL_TENANT

    def reach(self, principal: Principal, action: Action) -> Reach:
        """Whose jobs the principal may do this to."""
        if principal.only_job is not None and action is not Action.READ:
            return Reach.NONE
        reach = POLICY[principal.role][action]
        is_operators = principal.tenant == self.operator_tenant
        if action in _OF_OPERATORS and not is_operators:
            return Reach.NONE
        operates = principal.role is Role.ADMIN and is_operators
        is_wide = reach is Reach.TENANT and action not in _WITHIN_A_TENANT
        return Reach.ALL if operates and is_wide else reach

    def scope(self, principal: Principal, action: Action) -> JobScope:
        """The jobs the principal may do this to. Raises ForbiddenError when there can be none."""
        reach = self.reach(principal, action)
        if reach is Reach.NONE:
            raise ForbiddenError(_refusal(principal, action))
        return JobScope(
            tenant=None if reach is Reach.ALL else principal.tenant,
            user=principal.user if reach in _OTHERS else None,
            job_id=principal.only_job,
            others=_OTHERS.get(reach, ()),
        )

    def listed(self, principal: Principal, *, mine: bool) -> JobScope:
        """The jobs that the principal may list, or those of them that are `mine`: that they
        submitted. Raises ForbiddenError.
        """
        scope = self.scope(principal, Action.LIST)
        if not mine:
            return scope
        return replace(scope, tenant=principal.tenant, user=principal.user, others=())


_PHRASES = {
    Action.SUBMIT: "submit jobs",
    Action.LIST: "list jobs",
    Action.READ: "read jobs",
    Action.CANCEL: "cancel jobs",
    Action.RERUN: "run jobs again",
    Action.USAGE: "see usage",
    Action.ISSUE_TOKEN: "create a token for a job",
    Action.METRICS: "read the metrics of the server",
    Action.PREVIEW: "preview artifacts",
    Action.PRIORITIZE: "submit jobs above the highest priority for users",
    Action.SESSIONS: "see or end browser sessions",
}


def _refusal(principal: Principal, action: Action) -> str:
    if principal.only_job is not None:
        return f"this token is for reading one job; it does not let you {_PHRASES[action]}"
    if action in _OF_OPERATORS:
        return (
            f"only admins and viewers of the operator's tenant may {_PHRASES[action]} "
            "(CI_OPERATOR_TENANT)"
        )
    return (
        f"the role {principal.role.value!r} may not {_PHRASES[action]}; "
        "ask an administrator for another role"
    )
