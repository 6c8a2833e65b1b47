"""Usage, for those who may see it."""

from typing import Any

from ci_common.policy import Action, Policy
from ci_common.ports.usage import Quotas, TenantUsages
from ci_common.principal import Principal


class UsageService:
    """Tells administrators what their tenant, or, to the operator's, what every tenant has."""

    def __init__(
        self, usages: TenantUsages, policy: Policy, quotas: Quotas, max_running: int | None
    ) -> None:
        """`max_running` is how many jobs of a tenant may be under way."""
        self._usages = usages
        self._policy = policy
        self._limits = {"running_jobs_per_tenant": max_running, **quotas.to_dict()}

    async def usage(self, principal: Principal) -> dict[str, Any]:
        """Usage and limits, ready for the wire. Raises ForbiddenError."""
        scope = self._policy.scope(principal, Action.USAGE)
        found = await self._usages.usage(scope.tenant)
        return {"limits": self._limits, "tenants": [usage.to_dict() for usage in found]}
