"""Trends of jobs by their names (port JobTrends)."""

from collections import defaultdict
from collections.abc import Collection

from typing_extensions import override

from ci_common.job import Door
from ci_common.policy import JobScope
from ci_common.ports.rows import JobSort
from ci_common.ports.trends import TREND_RUNS, TREND_WINDOW, JobTrend, JobTrends, TrendRun
from ci_persistence.database.database import Database
from ci_persistence.sqlite.job_list import KEYS, Sql
from ci_persistence.sqlite.job_rows import scope_conditions

_COLUMNS = "seq, tenant, name, status, exit_code, started_at, ended_at, door"


def trends_sql(scope: JobScope, names: Collection[str]) -> Sql:
    """Selects the jobs of trends, newest first. They are read from the index of lists alone."""
    conditions, parameters = scope_conditions(scope, "jobs.")
    where = " AND ".join(conditions) or "true"
    newest = (
        f"SELECT {_COLUMNS} FROM jobs INDEXED BY jobs_listed "  # noqa: S608 - constants
        f"WHERE {where} ORDER BY seq DESC LIMIT {TREND_WINDOW}"
    )
    numbered = (
        "SELECT *, "  # noqa: S608 - constants
        "row_number() OVER (PARTITION BY tenant, name ORDER BY seq DESC) AS number "
        f"FROM ({newest}) WHERE name IN ({', '.join('?' * len(names))}) "
        f"AND door = '{Door.NATIVE.value}' AND status IN ('completed', 'failed')"
    )
    sql = (
        "SELECT tenant, name, "  # noqa: S608 - constants
        "status = 'completed' AND coalesce(exit_code, -1) = 0 AS passed, "
        f"{KEYS[JobSort.DURATION]} AS milliseconds FROM ({numbered}) "
        f"WHERE number <= {TREND_RUNS} ORDER BY seq DESC"
    )
    return sql, (*parameters, *names)


class SqliteJobTrends(JobTrends):
    """Trends of jobs by their names."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def trends(self, scope: JobScope, names: Collection[str]) -> list[JobTrend]:
        rows = await self._database.fetch_all(*trends_sql(scope, names))
        runs = defaultdict[tuple[str, str], list[TrendRun]](list)
        for row in rows:
            milliseconds = row["milliseconds"]
            seconds = None if milliseconds is None else milliseconds / 1000
            runs[row["tenant"], row["name"]].append(TrendRun(bool(row["passed"]), seconds))
        return [JobTrend(*key, tuple(found)) for key, found in runs.items()]
