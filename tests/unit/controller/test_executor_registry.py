"""A third executor needs a folder and a line of the registry, and nothing else."""

import asyncio
from dataclasses import replace

import pytest

from ci_common.errors import SettingsError
from ci_common.job import JobStatus, ResourceLimits, utc_now
from ci_common.settings import EnvironmentSettings, Settings
from ci_controller.assembly import ControllerStores, build_controller
from ci_controller.executors.docker import DockerExecutor
from ci_controller.executors.process import ProcessExecutor
from ci_controller.executors.registry import (
    EXECUTORS,
    ExecutorKind,
    build_executor,
    load_settings,
)
from ci_persistence.database.database import Database
from ci_persistence.files.artifacts import FileArtifactStore
from ci_persistence.files.data_directory import no_check
from ci_persistence.files.job_secrets import FileJobSecrets
from ci_persistence.files.packages import FilePackageStore
from ci_persistence.files.secret_keys import SecretKeys
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.doorbell import SocketDoorbell
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_persistence.sqlite.job_details import SqliteResourceStore
from ci_persistence.sqlite.lease import SqliteControllerLease
from ci_persistence.sqlite.retention import SqliteJobRetention
from ci_persistence.sqlite.submissions import SqliteJobSubmissions
from ci_persistence.sqlite.transitions import SqliteJobTransitions
from support.archives import zip_bytes
from support.fake_executor import FakeExecutor
from support.jobs import a_job
from support.waiting import until

pytestmark = pytest.mark.anyio


class ThirdSettings(EnvironmentSettings):
    third_greeting: str = "hello"


class Third(FakeExecutor):
    """An executor of somebody else: it shows what its factory was given."""

    def __init__(self, settings, context):
        super().__init__(utc_now)
        self.settings, self.context = settings, context


@pytest.fixture
def third(monkeypatch):
    monkeypatch.setitem(EXECUTORS, "third", ExecutorKind(ThirdSettings, Third))
    monkeypatch.setenv("CI_EXECUTOR", "third")


@pytest.mark.parametrize(
    ("name", "kind"), [("docker", DockerExecutor), ("process", ProcessExecutor)]
)
async def test_executors_are_chosen_by_name(tmp_path, name, kind):
    executor = build_executor(Settings(db_path=tmp_path / "ci.db", executor=name), "an-instance")
    assert isinstance(executor, kind)
    await executor.close()


def test_an_unknown_name_says_which_there_are(tmp_path):
    with pytest.raises(SettingsError, match="CI_EXECUTOR: Input should be 'docker' or 'process'"):
        build_executor(Settings(db_path=tmp_path / "ci.db", executor="third"), "an-instance")


@pytest.mark.usefixtures("third")
def test_one_that_was_registered_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("CI_THIRD_GREETING", "good morning")
    monkeypatch.setenv("CI_MAX_WORK_MB", "100")
    monkeypatch.setenv("CI_SETUP_TIMEOUT_SECONDS", "7")
    monkeypatch.setenv("CI_MAX_MEMORY_MB", "64")
    monkeypatch.setenv("CI_DB_PATH", str(tmp_path / "ci.db"))
    executor = build_executor(load_settings(), "an-instance")
    assert executor.settings.third_greeting == "good morning"
    context = executor.context
    assert (context.instance_id, context.data_path) == ("an-instance", tmp_path / "ci.db.data")
    assert (context.work_mb, context.setup_timeout_seconds) == (100, 7)
    assert context.setup_limits == ResourceLimits(memory_mb=64)
    monkeypatch.setenv("CI_EXECUTOR", "fourth")
    with pytest.raises(SettingsError, match="should be 'docker', 'process' or 'third'"):
        load_settings()


@pytest.mark.usefixtures("third")
async def test_it_runs_a_job_through_the_assembly(tmp_path):
    settings = Settings(db_path=tmp_path / "ci.db", reconcile_seconds=0.1, min_free_disk_mb=0)
    data, signals, holder = settings.data_path, ProcessJobSignals(), "a-holder"
    database = Database(settings.db_path)
    await database.open()
    executor = build_executor(settings, database.instance_id)
    packages, logs, bell = (
        FilePackageStore(data, 0),
        FileLogStore(data, signals),
        SocketDoorbell(data),
    )
    controller = build_controller(
        settings,
        executor,
        ControllerStores(
            holder,
            SqliteJobTransitions(database, signals, holder),
            SqliteJobRetention(database, holder),
            SqliteControllerLease(database),
            logs,
            packages,
            FileArtifactStore(data),
            bell,
            FileJobSecrets(data, SecretKeys(data, None)),
            SqliteResourceStore(database, holder),
            no_check,
        ),
    )
    submissions = SqliteJobSubmissions(database, signals)
    staged = packages.stage()
    staged.write(zip_bytes({"file.txt": b"content"}))
    job = a_job(command=("out:ran", "exit:0"))
    await submissions.add(replace(job, package=staged.commit(job.job_id)))
    task = asyncio.create_task(controller.run())
    try:
        row = await until(
            lambda: submissions.get(job.job_id),
            lambda row: row.status is JobStatus.COMPLETED,
            "the job's end",
        )
        assert row.outcome.success
        assert logs.read(job.job_id, 0, 100) == b"ran"
        assert executor.violations == []
    finally:
        task.cancel()
        await asyncio.wait([task])
        bell.close()
        await database.close()
