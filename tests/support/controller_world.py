"""A controller over real stores and the fake executor."""

import hashlib
from dataclasses import replace

from ci_controller.housekeeping.housekeeping import Housekeeping
from ci_controller.housekeeping.retention import Retention, RetentionPolicy
from ci_controller.reconcile.controller import Controller, ReconcileSettings, new_holder
from ci_controller.reconcile.leadership import LEASE_SECONDS
from ci_controller.running.artifacts import ArtifactCollector, ArtifactLimits
from ci_controller.running.launch_steps import LaunchSteps
from ci_controller.running.progress_reports import ProgressReports
from ci_controller.running.resource_sampler import ResourceSampler
from ci_controller.running.run_context import RunContext
from ci_persistence.database.database import Database
from ci_persistence.files.artifacts import FileArtifactStore
from ci_persistence.files.job_secrets import FileJobSecrets
from ci_persistence.files.packages import FilePackageStore
from ci_persistence.files.secret_keys import SecretKeys
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.doorbell import SocketDoorbell
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_persistence.sqlite.data_claim import claim
from ci_persistence.sqlite.job_details import SqliteResourceStore
from ci_persistence.sqlite.lease import SqliteControllerLease
from ci_persistence.sqlite.retention import SqliteJobRetention
from ci_persistence.sqlite.submissions import SqliteJobSubmissions
from ci_persistence.sqlite.transitions import SqliteJobTransitions
from support.archives import zip_bytes
from support.fake_executor import FakeExecutor
from support.jobs import NOON, Clock, a_job
from support.waiting import until

LOST_LINE = (
    b"\n[... output may be missing here: the job's container, or its process, is gone ...]\n"
)

GRACE_SECONDS = 6.0
"""The time a workload may be missing: three ticks of two seconds."""

ENGINE_RETRY_SECONDS = 15.0
"""An engine that is down is asked again after so long at the latest."""


class ControllerWorld:
    """One database, one engine; controllers come and go."""

    def __init__(self, path, max_concurrent_jobs=4, max_jobs_per_tenant=None, package_days=0):
        self.free_bytes = 1 << 40
        self._policy = RetentionPolicy(
            package_days=package_days, package_bytes=1 << 20, min_free_bytes=1
        )
        self.clock = Clock()
        self._set_by = 0.0
        self.signals = ProcessJobSignals()
        self.database = Database(path / "ci.db")
        self.directory = None
        data, check = path / "data", self._check_files
        self.logs = FileLogStore(data, self.signals, check=check)
        self.packages = FilePackageStore(data, 0, check)
        self.artifacts = FileArtifactStore(data, check=check)
        self.secrets = FileJobSecrets(data, SecretKeys(data, None), check)
        self.executor = FakeExecutor(self.clock)
        self.submissions = SqliteJobSubmissions(self.database, self.signals)
        self.executor.row_of = self.submissions.get
        self.data_path = path / "data"
        self._settings = ReconcileSettings(2.0, max_concurrent_jobs, max_jobs_per_tenant)
        self._controllers = []

    async def open(self):
        await self.database.open()
        self.directory = await claim(self.data_path, self.database)
        self.controller = self.new_controller()
        return self

    def _check_files(self):
        if self.directory is not None:
            self.directory.check()

    def monotonic(self):
        """The clock that controllers measure with; it goes with `clock`, and is never set."""
        return (self.clock() - NOON).total_seconds() - self._set_by

    def set_clock(self, seconds):
        """Set the wall clock forward, or back, for everybody; no time passes."""
        self.clock.advance(seconds)
        self._set_by += seconds

    def new_controller(self, logs=None, artifacts=None):
        """Another controller of the same world."""
        holder = new_holder()
        transitions = SqliteJobTransitions(self.database, self.signals, holder)
        artifacts = artifacts or self.artifacts
        limits = ArtifactLimits(1 << 20, 100)
        controller = Controller(
            RunContext(
                transitions,
                self.executor,
                logs or self.logs,
                self.packages,
                ArtifactCollector(self.executor, artifacts, limits),
                self.clock,
                self.secrets,
                ProgressReports(transitions, self.clock, pause_seconds=0.01),
                LaunchSteps(transitions),
                ResourceSampler(
                    self.executor, SqliteResourceStore(self.database, holder), self.monotonic
                ),
                self._check_files,
                self._policy.package_days > 0,
            ),
            SqliteControllerLease(self.database, self.monotonic),
            SocketDoorbell(self.data_path),
            holder,
            self._settings,
            Housekeeping(
                transitions,
                self.packages,
                artifacts,
                self.secrets,
                self.executor,
                self._retention(holder),
            ),
            clock=self.monotonic,
        )
        self._controllers.append(controller)
        return controller

    def _retention(self, holder):
        return Retention(
            SqliteJobRetention(self.database, holder),
            self.logs,
            self.artifacts,
            self.packages,
            self._policy,
            free_bytes=lambda: self.free_bytes,
            now=self.clock,
            clock=self.monotonic,
        )

    async def close(self):
        self.executor.release_all()
        for controller in self._controllers:
            await controller.close()
        await self.database.close()

    def engine_returns(self):
        """The engine answers again, and it is time to ask it."""
        self.executor.down.clear()
        self.clock.advance(ENGINE_RETRY_SECONDS)

    def take_over(self):
        """Another controller, when the lease of the present one, which is returned, has run out."""
        old = self.controller
        self.clock.advance(LEASE_SECONDS + 0.1)
        self.executor.several_processes = True
        self.controller = self.new_controller()
        return old

    async def lose(self, job_id):
        """Remove a job's workload behind the controller's back, until that counts."""
        self.executor.vanish(job_id)
        await until(lambda: self.controller._runs, lambda runs: job_id not in runs, "no run")
        await self.controller.run_once()
        self.clock.advance(GRACE_SECONDS)

    async def submit(self, *command, secrets=(), without_package=False, **options):
        """Queue a job, the way the server does."""
        job = a_job(command=command or ("true",), created_at=self.clock(), **options)
        package = None if without_package else self._store_package(job.job_id)
        names = tuple(secret.name for secret in secrets)
        job = replace(job, package=package, spec=replace(job.spec, secrets=names))
        if secrets:
            self.secrets.store(job.job_id, secrets)
        await self.submissions.add(job)
        return job.job_id

    def _store_package(self, job_id):
        content = zip_bytes({"a.txt": b"a"})
        staged = self.packages.stage()
        staged.write(content)
        package = staged.commit(job_id)
        assert package.sha256 == hashlib.sha256(content).hexdigest()
        return package

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
