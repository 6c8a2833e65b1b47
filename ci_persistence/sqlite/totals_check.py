"""Check that the kept totals are the sums of the job rows, and count them again.

Triggers keep them, and retention and quotas go by them.
"""

from ci_persistence.database.database import Database
from ci_persistence.sqlite.usage import COUNTED

_TOTALS = (
    "SELECT count(*) AS jobs, "
    "coalesce(sum(coalesce(log_stored, log_size, 0) + artifacts_size), 0) AS stored_bytes "
    "FROM jobs WHERE ended_at IS NOT NULL"
)
_AGREEMENT = (
    f"SELECT 1 FROM ({_TOTALS}) AS counted, finished_totals AS kept "  # noqa: S608 - constants
    "WHERE counted.jobs = kept.jobs AND counted.stored_bytes = kept.stored_bytes "
    f"AND NOT EXISTS ({COUNTED} EXCEPT SELECT * FROM tenant_totals) "
    "AND NOT EXISTS (SELECT * FROM tenant_totals "
    "WHERE (finished_jobs, package_bytes, log_bytes, artifact_bytes, kept_package_bytes) "
    "!= (0, 0, 0, 0, 0) "
    f"EXCEPT {COUNTED})"
)
"""One statement, so that it is of one snapshot."""


async def totals_are_wrong(database: Database) -> bool:
    """Whether the kept totals differ from the sums of the rows."""
    return await database.fetch_one(_AGREEMENT) is None


async def repair_totals(database: Database) -> None:
    """Count again what is wrong; safe to repeat."""
    if not await totals_are_wrong(database):
        return
    async with database.transaction() as connection:
        await connection.execute(
            f"UPDATE finished_totals SET (jobs, stored_bytes) = ({_TOTALS})"  # noqa: S608
        )
        await connection.execute("DELETE FROM tenant_totals")
        await connection.execute(f"INSERT INTO tenant_totals {COUNTED}")
