"""The jobs of a copy of the rows whose packages are needed, or kept."""

import sqlite3

from ci_persistence.sqlite.job_rows import LIVE


def live_jobs(rows: sqlite3.Connection) -> dict[str, bool]:
    """The live jobs, and whether each was submitted with a package."""
    found = rows.execute(
        f"SELECT job_id, package_sha256 IS NOT NULL FROM jobs WHERE status IN {LIVE}"  # noqa: S608
    )
    return {str(job_id): bool(has_package) for job_id, has_package in found}


def kept_packages(rows: sqlite3.Connection) -> frozenset[str]:
    """The jobs that have ended and whose packages are kept; none with an older schema."""
    if not rows.execute(
        "SELECT 1 FROM pragma_table_info('jobs') WHERE name = 'package_kept'"
    ).fetchone():
        return frozenset()
    found = rows.execute("SELECT job_id FROM jobs WHERE package_kept = 1")
    return frozenset(str(job_id) for (job_id,) in found)


def keeps_package(rows: sqlite3.Connection, job_id: str) -> bool:
    """Whether the package of this job is one of them."""
    statement = "SELECT 1 FROM jobs WHERE job_id = ? AND package_kept = 1"
    return bool(rows.execute(statement, (job_id,)).fetchone())
