"""A controller over real stores and the fake executor."""

import hashlib
from dataclasses import replace

from ci_controller.controller import Controller, Pace, new_holder
from ci_controller.job_run import Tools
from ci_persistence.database import Database
from ci_persistence.doorbell import SocketDoorbell
from ci_persistence.lease import SqliteControllerLease
from ci_persistence.log_store import FileLogStore
from ci_persistence.package_store import FilePackageStore
from ci_persistence.signals import ProcessJobSignals
from ci_persistence.submissions import SqliteJobSubmissions
from ci_persistence.transitions import SqliteJobTransitions
from support.archives import zip_bytes
from support.fake_executor import FakeExecutor
from support.jobs import Clock, a_job
from support.waiting import until

GRACE_SECONDS = 6.0
"""The time a workload may be missing: three ticks of two seconds."""


class ControllerWorld:
    """One database, one engine; controllers come and go."""

    def __init__(self, path, max_concurrent_jobs=4):
        self.clock = Clock()
        self.signals = ProcessJobSignals()
        self.database = Database(path / "ci.db")
        self.logs = FileLogStore(path / "data", self.signals)
        self.packages = FilePackageStore(path / "data", 0)
        self.executor = FakeExecutor(self.clock)
        self.submissions = SqliteJobSubmissions(self.database, self.signals)
        self.executor.row_of = self.submissions.get
        self._data_path = path / "data"
        self._pace = Pace(2.0, max_concurrent_jobs, cancel_grace_seconds=0.05)
        self._controllers = []

    async def open(self):
        await self.database.open()
        self.controller = self.new_controller()
        return self

    def new_controller(self, logs=None):
        """Another controller of the same world."""
        holder = new_holder()
        transitions = SqliteJobTransitions(self.database, self.signals, holder)
        controller = Controller(
            Tools(transitions, self.executor, logs or self.logs, self.packages, self.clock),
            SqliteControllerLease(self.database),
            SocketDoorbell(self._data_path),
            holder,
            self._pace,
        )
        self._controllers.append(controller)
        return controller

    async def close(self):
        for controller in self._controllers:
            await controller.close()
        await self.database.close()

    async def submit(self, *command, **options):
        """Queue a job, the way the server does."""
        staged = self.packages.stage()
        content = zip_bytes({"a.txt": b"a"})
        staged.write(content)
        job = a_job(command=command or ("true",), created_at=self.clock(), **options)
        package = staged.commit(job.job_id)
        assert package.sha256 == hashlib.sha256(content).hexdigest()
        job = replace(job, package=package)
        await self.submissions.add(job)
        return job.job_id

    async def row(self, job_id):
        return await self.submissions.get(job_id)

    async def until_status(self, job_id, status, controller=None):
        """Tick until the row has the status."""

        async def tick():
            await (controller or self.controller).run_once()
            return await self.row(job_id)

        return await until(tick, lambda job: job.status == status, f"status {status}")

    async def until_clean(self):
        """Nothing is left of finished jobs, and nobody broke the executor's contract."""

        async def tick():
            await self.controller.run_once()
            return sorted(self.executor.workloads), self.packages.job_ids(0)

        await until(tick, lambda left: left == ([], []), "no workload and no package left")
        assert self.executor.violations == []

    async def until_log(self, job_id, content):
        await until(lambda: self.log(job_id), lambda log: log == content, f"the log {content!r}")

    def log(self, job_id):
        return self.logs.read(job_id, 0, 1 << 30)
