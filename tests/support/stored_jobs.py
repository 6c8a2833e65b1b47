"""Jobs that are put straight into the database of a server, whose triggers tell events of them."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

from ci_common.git_facts import GitFacts
from ci_common.job import format_time, utc_now
from ci_persistence.sqlite.job_rows import COLUMNS, to_row
from support.jobs import a_job

_INSERT = (
    f"INSERT INTO jobs ({COLUMNS}) VALUES ({', '.join(f':{it}' for it in COLUMNS.split(', '))})"
)


class StoredJobs:
    """The jobs of a server that runs none itself (`controller="external"`)."""

    def __init__(self, server):
        self._server = server

    def add(self, *rows):
        """Insert rows in one transaction; the ids of their jobs."""
        with closing(sqlite3.connect(self._server.database, timeout=30)) as connection, connection:
            connection.executemany(_INSERT, rows)
        return [row["job_id"] for row in rows]

    def change(self, job_id, **columns):
        """Set columns of a job, such as a controller would."""
        names = ", ".join(f"{name} = ?" for name in columns)
        self._server.execute(
            f"UPDATE jobs SET {names} WHERE job_id = ?",
            *columns.values(),
            job_id,
        )

    def pass_(self, job_id):
        """Let it end with success."""
        now = format_time(utc_now())
        end = {"reason": "exit", "message": "exited with code 0", "exit_code": 0, "log_size": 1}
        self.change(job_id, status="completed", started_at=now, ended_at=now, **end)


def row(
    name="test",
    status="completed",
    *,
    exit_code=0,
    seconds=60.0,
    ago=3600.0,
    title=None,
    labels=None,
    branch=None,
    message=None,
    reason="exit",
    tests=None,
    **of_job,
):
    """A row of a job that was submitted so many seconds `ago`, and took as many `seconds`."""
    created = utc_now() - timedelta(seconds=ago)
    git = (
        None
        if branch is None
        else GitFacts(commit="0123456789abcdef" * 2 + "01234567", branch=branch)
    )
    job = a_job(created_at=created, title=title, **of_job)
    spec = replace(job.spec, name=name, labels=labels or {}, git=git)
    found = dict(zip(COLUMNS.split(", "), to_row(replace(job, spec=spec)), strict=True))
    started = format_time(created + timedelta(seconds=2))
    if status in ("running", "completed", "failed"):
        found |= {"status": status, "started_at": started}
    if status in ("completed", "failed", "cancelled"):
        is_exit = status == "completed"
        found |= {
            "status": status,
            "ended_at": format_time(created + timedelta(seconds=2 + seconds)),
            "exit_code": exit_code if is_exit else None,
            "reason": status if status == "cancelled" else reason,
            "message": message or f"exited with code {exit_code}",
            "log_size": 1,
            "tests": json.dumps(tests) if tests else None,
        }
    return found | {"status": status}
