"""The jobs of a copy of the rows that still need their packages."""

import sqlite3

from ci_persistence.sqlite.job_rows import LIVE


def live_jobs(rows: sqlite3.Connection) -> dict[str, bool]:
    """The live jobs, and whether each was submitted with a package."""
    found = rows.execute(
        f"SELECT job_id, package_sha256 IS NOT NULL FROM jobs WHERE status IN {LIVE}"  # noqa: S608
    )
    return {str(job_id): bool(has_package) for job_id, has_package in found}
