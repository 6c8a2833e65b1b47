"""How the recent jobs of a name went, for those who may list them."""

from collections.abc import Collection

from ci_common.policy import Policy
from ci_common.ports.trends import JobTrend, JobTrends
from ci_common.principal import Principal


class TrendService:
    """Takes the principal who asks, and counts only jobs that they may list."""

    def __init__(self, trends: JobTrends, policy: Policy) -> None:
        self._trends = trends
        self._policy = policy

    async def trends(self, principal: Principal, names: Collection[str]) -> list[JobTrend]:
        """See `JobTrends.trends`. Raises ForbiddenError."""
        return await self._trends.trends(self._policy.listed(principal, mine=False), names)
