"""Which tenants an instance knows."""

import asyncio

from ci_common.principal import LOCAL_TENANT
from ci_common.suggestions import closest
from ci_controller.executors.registry import load_settings


def unknown_tenant_note(tenant: str) -> str | None:
    """Words about a tenant that may be a typo: nothing belongs to it. `None` when something does.
    It may be right all the same: tokens of other issuers bring tenants that nobody registers here.
    """
    known = asyncio.run(_known_tenants())
    if tenant in known:
        return None
    meant = closest(tenant, sorted(known))
    advice = f"; did you mean {meant!r}?" if meant else ""
    return f"note: no user or job belongs to the tenant {tenant!r} yet{advice}"


async def _known_tenants() -> set[str]:
    from ci_admin.instance import administered
    from ci_persistence.sqlite.identities import SqliteIdentityAdministration
    from ci_persistence.sqlite.usage import SqliteTenantUsages

    async with administered(load_settings()) as database:
        of_users = {user.tenant for user in await SqliteIdentityAdministration(database).users()}
        of_jobs = {usage.tenant for usage in await SqliteTenantUsages(database).usage()}
    # Without users, everyone is of this one.
    return (of_users or {LOCAL_TENANT}) | of_jobs
