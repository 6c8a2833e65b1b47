"""The controller that runs in the server's process."""

from contextlib import AsyncExitStack

from ci_controller.assembly import (
    ControllerStores,
    ControllerTelemetry,
    build_controller,
    build_deliverer,
)
from ci_controller.executors.registry import build_executor
from ci_controller.reconcile.controller import Controller, new_holder
from ci_controller.telemetry.metrics import ControllerMetrics
from ci_persistence.sqlite.deliveries import SqliteDeliveries
from ci_persistence.sqlite.events import SqliteJobEvents, SqliteJobHistory
from ci_persistence.sqlite.job_details import SqliteResourceStore
from ci_persistence.sqlite.lease import SqliteControllerLease
from ci_persistence.sqlite.retention import SqliteJobRetention
from ci_persistence.sqlite.transitions import SqliteJobTransitions
from ci_server.wiring.stores import ServerStores


def build_embedded_controller(stores: ServerStores, stack: AsyncExitStack) -> Controller:
    """The controller that runs in the server's process."""
    holder = new_holder()
    executor = build_executor(stores.settings, stores.database.instance_id)
    stack.push_async_callback(executor.close)
    duties = {}
    if stores.settings.notifications:
        queue = SqliteDeliveries(stores.database, stores.keys, holder)
        events = SqliteJobEvents(stores.database)
        duties["notifications"] = build_deliverer(stores.settings, queue, events, stores.signals)
    return build_controller(
        stores.settings,
        executor,
        ControllerStores(
            holder,
            SqliteJobTransitions(stores.database, stores.signals, holder),
            SqliteJobRetention(stores.database, holder),
            SqliteControllerLease(stores.database),
            stores.logs,
            stores.packages,
            stores.artifacts,
            stores.bell,
            stores.job_secrets,
            SqliteResourceStore(stores.database, holder),
            stores.directory.check,
        ),
        telemetry=ControllerTelemetry(
            ControllerMetrics(stores.process_metrics.registry),
            stores.tracer,
            SqliteJobHistory(stores.database),
        ),
        duties=duties,
    )
