"""`python -m ci_controller`: the controller alone, for servers with CI_CONTROLLER=external."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator

from ci_common.installation import needing

with needing("server", "python -m ci_controller"):
    from ci_common.errors import RunnerError
    from ci_common.log_lines import configure_json
    from ci_common.metrics import ProcessMetrics, lasting
    from ci_common.otlp import open_tracer
    from ci_common.settings import Settings
    from ci_controller.assembly import (
        ControllerStores,
        ControllerTelemetry,
        build_controller,
        build_deliverer,
    )
    from ci_controller.executors.registry import build_executor, load_settings
    from ci_controller.reconcile.controller import new_holder
    from ci_controller.telemetry.metrics import ControllerMetrics
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
    from ci_persistence.sqlite.deliveries import SqliteDeliveries
    from ci_persistence.sqlite.events import SqliteJobEvents, SqliteJobHistory
    from ci_persistence.sqlite.job_details import SqliteResourceStore
    from ci_persistence.sqlite.lease import SqliteControllerLease
    from ci_persistence.sqlite.retention import SqliteJobRetention
    from ci_persistence.sqlite.transitions import SqliteJobTransitions


async def run(settings: Settings) -> None:
    """Reconcile until cancelled. Raises DatabaseError when the database cannot be used."""
    check_before_open(settings.data_path, settings.db_path)
    database = Database(settings.db_path)
    await database.open()
    try:
        directory = await claim(settings.data_path, database)
        await _reconcile(settings, database, directory)
    finally:
        await database.close()


async def _reconcile(settings: Settings, database: Database, directory: DataDirectory) -> None:
    signals = ProcessJobSignals()
    holder = new_holder()
    check = directory.check
    reserve = DiskReserve(settings.data_path, settings.disk_reserve_mb << 20)
    tracer = open_tracer(settings, "controller")
    keys = SecretKeys(settings.data_path, settings.secret_keys)
    executor = build_executor(settings, database.instance_id)
    try:
        stores = ControllerStores(
            holder,
            SqliteJobTransitions(database, signals, holder),
            SqliteJobRetention(database, holder),
            SqliteControllerLease(database),
            FileLogStore(settings.data_path, signals, reserve, check),
            FilePackageStore(settings.data_path, settings.min_free_disk_mb << 20, check),
            FileArtifactStore(settings.data_path, reserve, check),
            SocketDoorbell(settings.data_path),
            FileJobSecrets(settings.data_path, keys, check),
            SqliteResourceStore(database, holder),
            check,
        )
        metrics = ProcessMetrics(MetricFiles(settings.data_path, lasting, check), "controller")
        telemetry = ControllerTelemetry(
            ControllerMetrics(metrics.registry), tracer, SqliteJobHistory(database)
        )
        duties = {}
        if settings.notifications:
            queue = SqliteDeliveries(database, keys, holder)
            events = SqliteJobEvents(database)
            duties["notifications"] = build_deliverer(settings, queue, events, signals)
        controller = build_controller(
            settings, executor, stores, telemetry=telemetry, duties=duties
        )
        async with _shared(metrics) if settings.metrics != "off" else contextlib.nullcontext():
            await controller.run()
    finally:
        tracer.close()
        await executor.close()


@contextlib.asynccontextmanager
async def _shared(metrics: ProcessMetrics) -> AsyncIterator[None]:
    """Servers that use the data directory tell what is counted here."""
    sharing = asyncio.create_task(metrics.run(), name="sharing of metrics")
    try:
        yield
    finally:
        sharing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sharing


async def _run_until_signalled(settings: Settings) -> None:
    task = asyncio.create_task(run(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _configure_logging(settings: Settings) -> None:
    if settings.log_format == "json":
        configure_json(settings.log_level)
    else:
        logging.basicConfig(
            level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )


def main() -> None:
    """Read the environment and reconcile until SIGTERM."""
    try:
        settings = load_settings()
        _configure_logging(settings)
        asyncio.run(_run_until_signalled(settings))
    except RunnerError as error:
        sys.exit(f"ci_controller: {error.message}")


if __name__ == "__main__":
    main()
