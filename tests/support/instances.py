"""An instance on disk, made with the stores themselves, and `ci-admin` on it."""

import asyncio
import hashlib
import os
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path

from ci_common.job import JobStatus, Outcome, Reason, utc_now
from ci_common.ports.rows import Ending
from ci_common.settings import Settings
from ci_persistence.backup.backup import BackupStores
from ci_persistence.database.database import Database
from ci_persistence.files.artifacts import FileArtifactStore
from ci_persistence.files.job_secrets import SecretFiles
from ci_persistence.files.packages import FilePackageStore
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_persistence.sqlite.lease import SqliteControllerLease
from ci_persistence.sqlite.submissions import SqliteJobSubmissions
from ci_persistence.sqlite.transitions import SqliteJobTransitions
from support.jobs import a_job

ROOT = Path(__file__).parents[2]
PASSED = Outcome(JobStatus.COMPLETED, Reason.EXIT, "exited with code 0", 0)


class Instance:
    """A database and its data directory; no server."""

    def __init__(self, directory, **settings):
        self.directory = Path(directory)
        self.settings = Settings(
            **{
                "db_path": self.directory / "ci.db",
                "executor": "process",
                "min_free_disk_mb": 0,
                **settings,
            }
        )
        self.database = self.settings.db_path
        self.data = self.settings.data_path

    @property
    def stores(self):
        return BackupStores(
            FilePackageStore(self.data, 0),
            FileLogStore(self.data, ProcessJobSignals()),
            FileArtifactStore(self.data),
            SecretFiles(self.data),
        )

    @asynccontextmanager
    async def opened(self):
        database = Database(self.database)
        await database.open()
        try:
            yield database
        finally:
            await database.close()

    # ------------------------------------------------------------------ making

    def add(
        self,
        status=JobStatus.COMPLETED,
        *,
        log=b"hello\n",
        artifacts=None,
        package=b"a zip",
        keep=False,
    ):
        """A job that got to its status in the ordinary way, with its files; its id. A `package` of
        `None` is none.
        """
        return asyncio.run(self._add(status, log, artifacts or {}, package, keep))

    async def _add(self, status, log, artifacts, package, keep):
        async with self.opened() as database:
            return await self.add_to(database, status, log, artifacts, package, keep=keep)

    async def add_to(
        self,
        database,
        status,
        log=b"",
        artifacts=None,
        package=b"a zip",
        run=None,
        keep=False,
        **about,
    ):
        """The same in a database that is open; `about` is for `a_job`, `run` asks for its run, and
        `keep` for its package to stay after its end.
        """
        job = a_job(created_at=utc_now())
        kept = None if package is None else self.write_package(job.job_id, package)
        signals = ProcessJobSignals()
        await SqliteJobSubmissions(database, signals).add(
            a_job(job_id=job.job_id, created_at=utc_now(), package=kept, **about),
            run=run and run(job.job_id),
        )
        lease = SqliteControllerLease(database)
        await lease.acquire("maker", utc_now(), 60)
        rows = SqliteJobTransitions(database, signals, "maker")
        if status is not JobStatus.QUEUED:
            await rows.claim(job.job_id)
            self.write_log(job.job_id, log)
        if status in (JobStatus.RUNNING, JobStatus.COMPLETED):
            await rows.mark_running(job.job_id, utc_now())
        if status is JobStatus.COMPLETED:
            stored = self.write_artifacts(job.job_id, artifacts or {})
            ending = Ending(PASSED, len(log), artifacts=stored)
            assert await self._finish(rows, job.job_id, ending, keep)
            if not keep:
                self.stores.packages.delete(job.job_id)
        await lease.release("maker")
        return job.job_id

    async def _finish(self, rows, job_id, ending, keep):
        # An hour ago: nobody is still cleaning up after it.
        ended_at = utc_now() - timedelta(hours=1)
        return await rows.finish(job_id, ending, ended_at, keep_package=keep)

    def write_log(self, job_id, content):
        log = self.stores.logs.open(job_id)
        log.append(content)
        log.sync()
        log.close()

    def write_artifacts(self, job_id, artifacts):
        if not artifacts:
            return ()
        batch = self.stores.artifacts.begin(job_id)
        stored = tuple(batch.add(path, iter([content])) for path, content in artifacts.items())
        batch.commit()
        return stored

    def write_package(self, job_id, content=b"a zip"):
        staged = self.stores.packages.stage()
        staged.write(content)
        return staged.commit(job_id)

    # ------------------------------------------------------------------ looking

    def execute(self, sql, *parameters):
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(sql, parameters).fetchall()

    def statuses(self):
        return dict(self.execute("SELECT job_id, status FROM jobs"))

    def instance_id(self):
        return self.execute("SELECT instance_id FROM instance")[0][0]

    def log(self, job_id):
        logs = self.stores.logs
        return logs.read(job_id, 0, logs.size(job_id))

    def artifacts(self, job_id):
        """Content by path, checked against the rows."""
        found = {}
        for path, sha256 in self.execute(
            "SELECT path, sha256 FROM artifacts WHERE job_id = ?", job_id
        ):
            content = (self.data / "artifacts" / job_id[:2] / job_id / sha256).read_bytes()
            assert hashlib.sha256(content).hexdigest() == sha256
            found[path] = content
        return found

    def package(self, job_id):
        content = self.stores.packages.open(job_id)
        if content is None:
            return None
        with content:
            return content.read()

    def files(self):
        """Every file below the directory, less what SQLite and the locks keep."""
        return sorted(
            str(path.relative_to(self.directory))
            for path in self.directory.rglob("*")
            if path.is_file() and not path.name.endswith(("-lock", "-wal", "-shm"))
        )

    # ------------------------------------------------------------------ ci-admin

    def environment(self, **settings):
        own = {
            "db_path": self.database,
            "executor": self.settings.executor,
            "min_free_disk_mb": 0,
            **settings,
        }
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("CI_")},
            "PYTHONPATH": str(ROOT),
            **{f"CI_{name.upper()}": str(value) for name, value in own.items()},
        }

    def admin(self, *arguments, **settings):
        """`ci-admin` as a process; what it did."""
        return subprocess.run(
            [sys.executable, "-m", "ci_admin", *map(str, arguments)],
            cwd=self.directory,
            env=self.environment(**settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
