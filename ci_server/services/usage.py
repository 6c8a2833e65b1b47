"""Usage, for those who may see it."""

from dataclasses import dataclass

from ci_common.policy import Action, Policy
from ci_common.ports.usage import Quotas, TenantUsage, TenantUsages
from ci_common.principal import Principal


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What tenants have, and what each of them may."""

    quotas: Quotas
    max_running: int | None
    """How many jobs of a tenant may be under way; `None` does not bound."""
    tenants: list[TenantUsage]


class UsageService:
    """Tells administrators what their tenant, or, to the operator's, what every tenant has."""

    def __init__(
        self, usages: TenantUsages, policy: Policy, quotas: Quotas, max_running: int | None
    ) -> None:
        """`max_running` is how many jobs of a tenant may be under way."""
        self._usages = usages
        self._policy = policy
        self._quotas = quotas
        self._max_running = max_running

    async def usage(self, principal: Principal) -> UsageReport:
        """Usage and limits. Raises ForbiddenError."""
        scope = self._policy.scope(principal, Action.USAGE)
        found = await self._usages.usage(scope.tenant)
        return UsageReport(self._quotas, self._max_running, found)
