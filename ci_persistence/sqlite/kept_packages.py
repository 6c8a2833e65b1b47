"""Kept packages that cannot be used any more."""

from ci_persistence.database.database import Database


async def forget_kept_package(database: Database, job_id: str) -> None:
    """Say that a job's package is not kept any more; safe to repeat."""
    await database.write("UPDATE jobs SET package_kept = 0 WHERE job_id = ?", (job_id,))
