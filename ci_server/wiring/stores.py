"""The stores of one process, which the server and its controller both use."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from ci_common.metrics import ProcessMetrics, lasting
from ci_common.otlp import open_tracer
from ci_common.settings import Settings
from ci_common.tracing import Tracer
from ci_persistence.database.database import Database
from ci_persistence.files.artifacts import FileArtifactStore
from ci_persistence.files.data_directory import DataDirectory
from ci_persistence.files.disk_reserve import DiskReserve
from ci_persistence.files.job_secrets import FileJobSecrets
from ci_persistence.files.metric_files import MetricFiles
from ci_persistence.files.packages import FilePackageStore
from ci_persistence.files.secret_keys import SecretKeys
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.doorbell import SocketDoorbell
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_persistence.sqlite.data_claim import check_before_open, claim


@dataclass(frozen=True, slots=True)
class ServerStores:
    """What the server and its controller both use."""

    settings: Settings
    database: Database
    directory: DataDirectory
    signals: ProcessJobSignals
    bell: SocketDoorbell
    logs: FileLogStore
    packages: FilePackageStore
    artifacts: FileArtifactStore
    keys: SecretKeys
    job_secrets: FileJobSecrets
    metric_files: MetricFiles
    process_metrics: ProcessMetrics
    tracer: Tracer


async def open_stores(settings: Settings, stack: AsyncExitStack) -> ServerStores:
    """Open the database and claim the data directory, until the stack is left."""
    check_before_open(settings.data_path, settings.db_path)
    database = await open_database(settings, stack)
    directory = await claim(settings.data_path, database)
    signals = ProcessJobSignals()
    bell = SocketDoorbell(settings.data_path)
    stack.callback(bell.close)
    reserve = DiskReserve(settings.data_path, settings.disk_reserve_mb << 20)
    keys = SecretKeys(settings.data_path, settings.secret_keys)
    tracer = open_tracer(settings, "server")
    stack.push_async_callback(asyncio.to_thread, tracer.close)
    metric_files = MetricFiles(settings.data_path, lasting, directory.check)
    return ServerStores(
        settings,
        database,
        directory,
        signals,
        bell,
        FileLogStore(settings.data_path, signals, reserve, directory.check),
        FilePackageStore(settings.data_path, settings.min_free_disk_mb << 20, directory.check),
        FileArtifactStore(settings.data_path, reserve, directory.check),
        keys,
        FileJobSecrets(settings.data_path, keys, directory.check),
        metric_files,
        ProcessMetrics(metric_files, "server"),
        tracer,
    )


async def open_database(settings: Settings, stack: AsyncExitStack) -> Database:
    """The open database, until the stack is left. Raises DatabaseError."""
    database = Database(settings.db_path)
    await database.open()
    stack.push_async_callback(database.close)
    return database
