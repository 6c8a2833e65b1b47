"""Puts a controller together from settings and stores, for the composition roots."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ci_common.errors import SettingsError
from ci_common.job import Door, utc_now
from ci_common.notify_targets import Channel, NotifyPolicy
from ci_common.ports.artifacts import ArtifactWriter
from ci_common.ports.delivery import DeliveryQueue
from ci_common.ports.details import ResourceStore
from ci_common.ports.events import JobEvents, JobHistory
from ci_common.ports.logs import LogKeeper, LogWriter
from ci_common.ports.packages import Packages
from ci_common.ports.retention import JobRetention
from ci_common.ports.rows import ControllerLease, JobTransitions
from ci_common.ports.secrets import JobSecrets
from ci_common.ports.signals import ControllerBell, JobSignals
from ci_common.ports.workloads import Executor
from ci_common.settings import ControllerSettings, Settings
from ci_common.smtp_server import SmtpServer
from ci_common.tracing import Tracer
from ci_controller.delivery.deliverer import Deliverer
from ci_controller.delivery.fan_out import FanOut
from ci_controller.delivery.reachable import Reachable
from ci_controller.delivery.sender import Sender
from ci_controller.delivery.webhooks import WebhookSender
from ci_controller.housekeeping.housekeeping import Housekeeping
from ci_controller.housekeeping.retention import Retention, RetentionPolicy
from ci_controller.reconcile.controller import Controller, ReconcileSettings
from ci_controller.reconcile.duty import LeaderDuty
from ci_controller.running.artifacts import ArtifactCollector, ArtifactLimits
from ci_controller.running.launch_steps import LaunchSteps
from ci_controller.running.progress_reports import ProgressReports
from ci_controller.running.resource_sampler import ResourceSampler
from ci_controller.running.run_context import RunContext
from ci_controller.telemetry.job_traces import NO_TRACES, JobTraces
from ci_controller.telemetry.meter import NO_METER
from ci_controller.telemetry.metered_executor import MeteredExecutor
from ci_controller.telemetry.metrics import ControllerMetrics


class ControllerLogs(LogWriter, LogKeeper, Protocol):
    """One store writes logs and keeps them."""


@dataclass(frozen=True, slots=True)
class ControllerStores:
    """Where a controller keeps things; `transitions` and `retention` were made for `holder`."""

    holder: str
    transitions: JobTransitions
    retention: JobRetention
    lease: ControllerLease
    logs: ControllerLogs
    packages: Packages
    artifacts: ArtifactWriter
    bell: ControllerBell
    secrets: JobSecrets
    resources: ResourceStore
    check_files: Callable[[], None]
    """Raises StorageUnavailableError when the data directory cannot be used now."""


@dataclass(frozen=True, slots=True)
class ControllerTelemetry:
    """What operators get of a controller."""

    metrics: ControllerMetrics
    tracer: Tracer
    history: JobHistory


def build_controller(
    settings: Settings,
    executor: Executor,
    stores: ControllerStores,
    now: Callable[[], datetime] = utc_now,
    telemetry: ControllerTelemetry | None = None,
    duties: Mapping[str, LeaderDuty] | None = None,
) -> Controller:
    """A controller of these stores, which also has these duties; `now` is the wall clock. What it
    does is told `telemetry`, if there is any.
    """
    traces = NO_TRACES
    if telemetry is not None:
        executor = MeteredExecutor(executor, telemetry.metrics, telemetry.tracer, now)
        traces = JobTraces(telemetry.tracer, telemetry.history, stores.transitions.get)
    limits = ArtifactLimits(
        settings.max_artifacts_mb << 20,
        settings.max_artifacts,
        max_collections=settings.max_collections,
    )
    collector = ArtifactCollector(executor, stores.artifacts, limits)
    return Controller(
        RunContext(
            stores.transitions,
            executor,
            stores.logs,
            stores.packages,
            collector,
            now,
            stores.secrets,
            ProgressReports(stores.transitions, now),
            LaunchSteps(stores.transitions),
            ResourceSampler(executor, stores.resources),
            stores.check_files,
            settings.keeps_packages,
            traces,
        ),
        stores.lease,
        stores.bell,
        stores.holder,
        _reconcile_settings(settings),
        Housekeeping(
            stores.transitions,
            stores.packages,
            stores.artifacts,
            stores.secrets,
            executor,
            _retention(settings, stores, now),
        ),
        meter=telemetry.metrics if telemetry else NO_METER,
        duties=duties,
    )


def build_deliverer(
    settings: Settings,
    queue: DeliveryQueue,
    events: JobEvents,
    signals: JobSignals,
    now: Callable[[], datetime] = utc_now,
) -> LeaderDuty:
    """What sends notifications; `queue` was made for the holder of the controller's lease.

    Raises SettingsError when there is no library for e-mail.
    """
    policy = settings.notify_policy or NotifyPolicy()
    reachable = Reachable(settings.webhook_addresses.networks)
    senders: dict[Channel, Sender] = {Channel.WEBHOOK: WebhookSender(queue, reachable, policy, now)}
    if settings.smtp_server is not None and settings.smtp_from is not None:
        senders[Channel.MAIL] = _mail_sender(settings.smtp_server, settings.smtp_from, policy, now)
    fan_out = FanOut(queue, events, signals, settings.public_url, now)
    return Deliverer(queue, fan_out, senders, settings.delivery_days, now)


def _mail_sender(
    server: SmtpServer, address: str, policy: NotifyPolicy, now: Callable[[], datetime]
) -> Sender:
    try:
        from ci_controller.delivery.mail import MailSender
    except ImportError as error:
        raise SettingsError(
            "CI_SMTP_URL: sending e-mail needs aiosmtplib: pip install 'ci-runner[server,mail]'"
        ) from error
    return MailSender(server, address, policy, now)


def _reconcile_settings(settings: ControllerSettings) -> ReconcileSettings:
    return ReconcileSettings(
        reconcile_seconds=settings.reconcile_seconds,
        max_concurrent_jobs=settings.max_concurrent_jobs,
        max_jobs_per_tenant=settings.max_jobs_per_tenant,
        max_collections=settings.max_collections,
    )


def _retention(
    settings: Settings, stores: ControllerStores, now: Callable[[], datetime]
) -> Retention:
    return Retention(
        stores.retention,
        stores.logs,
        stores.artifacts,
        stores.packages,
        RetentionPolicy(
            days=settings.retention_days,
            jobs=settings.retention_jobs,
            artifact_days=settings.artifact_retention_days,
            max_bytes=None if settings.max_disk_mb is None else settings.max_disk_mb << 20,
            compress_seconds=settings.log_compress_seconds,
            min_free_bytes=settings.min_free_disk_mb << 20,
            door_seconds=_door_seconds(settings),
            package_days=settings.keep_packages_days,
            package_bytes=settings.keep_packages_mb << 20,
        ),
        free_bytes=lambda: shutil.disk_usage(settings.data_path).free,
        now=now,
    )


def _door_seconds(settings: ControllerSettings) -> dict[Door, float]:
    hours = settings.model_job_hours
    return {} if hours is None else {Door.MODELS: hours * 3600}
