"""Who is told whose usage."""

import pytest

from ci_common.errors import ForbiddenError
from ci_common.policy import Policy
from ci_common.ports.usage import Quotas, TenantUsage
from ci_common.principal import Principal, Role
from ci_server.apis.native.present import usage_json
from ci_server.services.usage import UsageService

pytestmark = pytest.mark.anyio


class Usages:
    async def usage(self, tenant=None):
        known = [TenantUsage("acme", queued=3), TenantUsage("operations"), TenantUsage("other")]
        return [usage for usage in known if tenant in (None, usage.tenant)]


@pytest.fixture
def service():
    return UsageService(Usages(), Policy("operations"), Quotas(live_jobs_per_user=7), 2)


def tenants(report):
    return [usage.tenant for usage in report.tenants]


async def test_an_admin_sees_their_own_tenant(service):
    report = await service.usage(Principal("acme", "ann", Role.ADMIN))
    assert tenants(report) == ["acme"]
    answer = usage_json(report)
    assert answer["tenants"][0]["jobs"]["queued"] == 3
    assert answer["limits"]["live_jobs_per_user"] == 7
    assert answer["limits"]["running_jobs_per_tenant"] == 2


async def test_the_operator_sees_all(service):
    report = await service.usage(Principal("operations", "olga", Role.ADMIN))
    assert tenants(report) == ["acme", "operations", "other"]


@pytest.mark.parametrize(
    "principal",
    [
        Principal("acme", "ann", Role.SUBMITTER),
        Principal("acme", "ann", Role.VIEWER),
        Principal("operations", "olga", Role.VIEWER),
        Principal("operations", "olga", Role.ADMIN, only_job="j1"),
    ],
)
async def test_others_see_none(service, principal):
    with pytest.raises(ForbiddenError, match="see usage"):
        await service.usage(principal)
