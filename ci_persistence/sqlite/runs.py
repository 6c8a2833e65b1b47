"""Runs as rows (port Runs)."""

import asyncio
import json
import sqlite3
from datetime import datetime

import aiosqlite
from typing_extensions import override

from ci_common.job import Door
from ci_common.policy import JobScope
from ci_common.ports.runs import STATES, RunPage, Runs
from ci_common.progress import Progress
from ci_common.run import Run, RunRequest
from ci_persistence.database.database import Database
from ci_persistence.sqlite.job_rows import COLUMNS, from_row, scope_conditions, state_conditions

_RUN_COLUMNS = "run_id, user_email, config, control_strategy_effective, control_cells_available"
_INSERT = f"INSERT INTO runs (job_id, {_RUN_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608
_FROM = "FROM jobs JOIN runs USING (job_id)"
_PROGRESS = "FROM job_events WHERE job_id = jobs.job_id AND kind = 'progress' ORDER BY seq DESC"
_SELECT = (
    f"SELECT {COLUMNS}, {_RUN_COLUMNS}, (SELECT facts {_PROGRESS} LIMIT 1) AS progress, "
    f"(SELECT at {_PROGRESS} LIMIT 1) AS progress_at {_FROM}"
)
_OF_RUNS = f"door = '{Door.RUNS.value}' AND door != 'native'"
"""The second condition is that of the index."""


class SqliteRuns(Runs):
    """Of one database, in whichever process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def get(self, run_id: str) -> Run | None:
        row = await self._database.fetch_one(f"{_SELECT} WHERE run_id = ?", (run_id,))
        return None if row is None else _from_row(row)

    @override
    async def page(self, scope: JobScope, page: RunPage) -> tuple[list[Run], int]:
        conditions, parameters = scope_conditions(scope)
        conditions.append(_OF_RUNS)
        if page.status is not None:
            conditions.append(state_conditions(STATES[page.status]))
        where = f"WHERE {' AND '.join(conditions)}"
        count = await self._database.fetch_one(
            f"SELECT count(*) AS total FROM jobs {where}",  # noqa: S608 - constants
            parameters,
        )
        # First which they are: whole rows, and their progress, would be read and sorted for all.
        found = f"SELECT seq FROM jobs {where} ORDER BY seq DESC LIMIT ? OFFSET ?"  # noqa: S608
        rows = await self._database.fetch_all(
            f"{_SELECT} WHERE seq IN ({found}) ORDER BY seq DESC",
            (*parameters, page.limit, page.offset),
        )
        # In a thread: a hundred requests of 100 KiB each take long to parse.
        runs = await asyncio.to_thread(lambda: [_from_row(row) for row in rows])
        return runs, count["total"] if count else 0


async def insert_run(connection: aiosqlite.Connection, job_id: str, run: RunRequest) -> None:
    """Write the row of a run whose job was just added, in the same transaction."""
    await connection.execute(
        _INSERT,
        (
            job_id,
            run.run_id,
            run.user_email,
            json.dumps(dict(run.config)),
            run.control_strategy_effective,
            run.control_cells_available,
        ),
    )


def _from_row(row: sqlite3.Row) -> Run:
    request = RunRequest(
        row["run_id"],
        row["user_email"],
        json.loads(row["config"]),
        row["control_strategy_effective"],
        row["control_cells_available"],
    )
    job = from_row(row)
    if row["progress"] is None:
        return Run(request, job)
    facts = json.loads(row["progress"])
    progress = Progress.from_facts(facts) if facts["attempt"] == job.attempt else None
    return Run(request, job, progress, datetime.fromisoformat(row["progress_at"]))
