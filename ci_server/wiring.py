"""Which classes are behind the ports, and how the services are made of them."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from ci_common.identities import ApiKey, User, new_key_id, new_token, prefix_of, token_digest
from ci_common.job import utc_now
from ci_common.metrics import ProcessMetrics, lasting
from ci_common.otlp import open_tracer
from ci_common.policy import Policy
from ci_common.ports.artifacts import ArtifactReader
from ci_common.ports.catalogue import CatalogueReader
from ci_common.principal import LOCAL_TENANT, Role
from ci_common.settings import Settings
from ci_common.tracing import Tracer
from ci_common.waiting import JobSlots
from ci_controller.assembly import (
    ControllerStores,
    ControllerTelemetry,
    build_controller,
    build_deliverer,
)
from ci_controller.executors.registry import build_executor, default_image
from ci_controller.executors.registry import load_settings as load_settings  # for app and __main__
from ci_controller.reconcile.controller import Controller, new_holder
from ci_controller.telemetry.metrics import ControllerMetrics
from ci_persistence.database.database import Database
from ci_persistence.database.location import check_location
from ci_persistence.files.artifacts import FileArtifactStore
from ci_persistence.files.data_directory import DataDirectory
from ci_persistence.files.disk_reserve import DiskReserve
from ci_persistence.files.job_secrets import FileJobSecrets
from ci_persistence.files.metric_files import MetricFiles
from ci_persistence.files.packages import FilePackageStore
from ci_persistence.files.secret_keys import SecretKeys
from ci_persistence.files.signed_url_keys import SignedUrlKeys
from ci_persistence.files.token_key import load_token_key
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.doorbell import SocketDoorbell
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_persistence.sqlite.catalogue import SqliteCatalogueReader
from ci_persistence.sqlite.data_claim import check_before_open, claim
from ci_persistence.sqlite.deliveries import SqliteDeliveries
from ci_persistence.sqlite.events import SqliteJobEvents, SqliteJobHistory
from ci_persistence.sqlite.identities import (
    SqliteIdentityAdministration,
    SqliteIssuedKeys,
    has_users,
)
from ci_persistence.sqlite.job_details import SqliteJobDetails, SqliteResourceStore
from ci_persistence.sqlite.job_trends import SqliteJobTrends
from ci_persistence.sqlite.lease import SqliteControllerLease
from ci_persistence.sqlite.metric_facts import SqliteMetricFacts
from ci_persistence.sqlite.retention import SqliteJobRetention
from ci_persistence.sqlite.runs import SqliteRuns
from ci_persistence.sqlite.sessions import SqliteSessions
from ci_persistence.sqlite.submissions import SqliteJobSubmissions
from ci_persistence.sqlite.tenant_secrets import SqliteTenantSecrets
from ci_persistence.sqlite.transitions import SqliteJobTransitions
from ci_persistence.sqlite.usage import SqliteTenantUsages
from ci_server.access.audit_trail import AuditTrail
from ci_server.access.auth.addresses import TrustedProxies
from ci_server.access.auth.api_keys import ApiKeyIdentity
from ci_server.access.auth.authenticator import Authenticator, Identity
from ci_server.access.auth.configured_identities import (
    ConfiguredIdentities,
    warn_of_unchecked_audience,
)
from ci_server.access.auth.local import LocalIdentity
from ci_server.access.auth.stream_tokens import StreamTokenIdentity, StreamTokens
from ci_server.access.limits.configured import failure_limits, traffic_limits
from ci_server.access.limits.failed_logins import ThrottledAuthenticator
from ci_server.access.limits.traffic import Traffic
from ci_server.http.guards import AccessControl
from ci_server.services.configured_intake import (
    package_scanner,
    run_defaults,
    submission_limits,
)
from ci_server.services.configured_sessions import Sessions, configured_sessions
from ci_server.services.control_strategy import ControlStrategies
from ci_server.services.failures import Failures
from ci_server.services.grants import Grants
from ci_server.services.intake import Intake, SubmissionLimits
from ci_server.services.job_details import JobDetailService
from ci_server.services.job_events import JobEventService
from ci_server.services.jobs import JobService
from ci_server.services.metrics import MetricsService
from ci_server.services.model_results import ModelResults
from ci_server.services.previews import Previews
from ci_server.services.readiness import Readiness
from ci_server.services.reruns import RerunService
from ci_server.services.run_results import RunResults
from ci_server.services.runs import RunService
from ci_server.services.server_facts import ServerFacts
from ci_server.services.trends import TrendService
from ci_server.services.usage import UsageService
from ci_server.streams.event_feed import EventFeed
from ci_server.streams.log_positions import LogPositions
from ci_server.streams.log_search import LogSearches
from ci_server.streams.log_stream import LogStreams
from ci_server.streams.log_threads import LogThreads
from ci_server.streams.timed_events import TimedEvents
from ci_server.streams.wait_reasons import WaitReasons
from ci_server.submission.job_secrets import SecretService
from ci_server.telemetry.metrics import ServerMetrics


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


@dataclass(frozen=True, slots=True)
class Services:
    """What doors call."""

    access: AccessControl
    sessions: Sessions
    intake: Intake
    jobs: JobService
    job_events: JobEventService
    reruns: RerunService
    previews: Previews
    details: JobDetailService
    readiness: Readiness
    usage: UsageService
    streams: LogStreams
    positions: LogPositions
    searches: LogSearches
    timed_events: TimedEvents
    artifacts: ArtifactReader
    model_results: ModelResults
    runs: RunService
    run_results: RunResults
    grants: Grants
    catalogue: CatalogueReader
    control_strategies: ControlStrategies
    facts: ServerFacts
    server_metrics: ServerMetrics
    metrics: MetricsService
    trends: TrendService


async def open_stores(settings: Settings, stack: AsyncExitStack) -> ServerStores:
    """Open the database and claim the data directory, until the stack is left."""
    check_before_open(settings.data_path, settings.db_path)
    database = await _open_database(settings, stack)
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


def build_services(
    stores: ServerStores, audit: AuditTrail, proxies: TrustedProxies, stack: AsyncExitStack
) -> Services:
    """The services of one process, over its stores."""
    settings, database = stores.settings, stores.database
    policy, limits = Policy(settings.operator_tenant), submission_limits(settings)
    submissions = SqliteJobSubmissions(database, stores.signals)
    secrets = SecretService(SqliteTenantSecrets(database, stores.keys), stores.job_secrets)
    access, sessions, tokens = _access(stores, policy, audit, proxies, stack)
    slots = JobSlots(settings.max_concurrent_jobs, settings.max_jobs_per_tenant)
    reasons = WaitReasons(submissions, slots)
    streams = LogStreams(submissions, stores.logs, stores.signals, reasons)
    threads = LogThreads()
    stack.callback(threads.close)
    positions = LogPositions(stores.logs, stores.logs, threads)
    catalogue = SqliteCatalogueReader(database)
    strategies = ControlStrategies(catalogue, settings.perturbations_of_controls)
    failures = Failures(streams)
    metrics = _server_metrics(stores, access.traffic)
    scanner = package_scanner(settings)
    intake = Intake(
        submissions,
        stores.packages,
        stores.bell,
        limits,
        policy,
        access.traffic,
        utc_now,
        secrets,
        audit,
        scanner,
        stores.tracer,
    )
    jobs = JobService(submissions, stores.bell, policy, utc_now, audit, tokens)
    url_keys = SignedUrlKeys(settings.data_path).keys
    return Services(
        access,
        sessions,
        intake,
        jobs,
        JobEventService(
            EventFeed(
                SqliteJobEvents(database),
                stores.signals,
                lambda event: metrics.event_lag((utc_now() - event.at).total_seconds()),
            ),
            policy,
        ),
        RerunService(jobs, intake),
        Previews(jobs, url_keys, utc_now),
        JobDetailService(jobs, SqliteJobDetails(database)),
        Readiness(submissions, stores.packages, utc_now, scanner),
        UsageService(
            SqliteTenantUsages(database), policy, limits.quotas, settings.max_jobs_per_tenant
        ),
        streams,
        positions,
        LogSearches(stores.logs, positions, threads),
        TimedEvents(stores.logs, stores.logs, threads),
        stores.artifacts,
        ModelResults(submissions, stores.artifacts, failures),
        RunService(SqliteRuns(database), jobs, intake, policy, strategies, run_defaults(settings)),
        RunResults(submissions, stores.artifacts, failures),
        Grants(url_keys, settings.signed_url_seconds, utc_now),
        catalogue,
        strategies,
        _facts(settings, limits),
        metrics,
        MetricsService(
            stores.process_metrics,
            stores.metric_files,
            SqliteMetricFacts(database),
            settings.data_path,
            utc_now,
            with_tenants=settings.metrics_tenants,
        ),
        TrendService(SqliteJobTrends(database), policy),
    )


def _server_metrics(stores: ServerStores, traffic: Traffic) -> ServerMetrics:
    metrics = ServerMetrics(stores.process_metrics.registry)
    metrics.watch("streams", lambda: traffic.streams)
    metrics.watch("uploads", lambda: traffic.uploads)
    return metrics


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


def check_database_location(settings: Settings) -> None:
    """Raise DatabaseError unless there can be a database where the settings say."""
    check_location(settings.db_path)


async def what_jobs_run_in(settings: Settings) -> str:
    """In a line for people, see `Executor.describe`. Raises EngineUnavailableError."""
    executor = build_executor(settings, "")
    try:
        return await executor.describe()
    finally:
        await executor.close()


async def issue_key(settings: Settings, name: str) -> str:
    """A new user, and an API key of theirs, which lets its holder submit: a token.

    Raises DatabaseError, and UserExistsError the second time.
    """
    now, token = utc_now(), new_token()
    user = User(f"{name}@localhost", name, now, LOCAL_TENANT)
    key = ApiKey(new_key_id(), prefix_of(token), name, user, Role.SUBMITTER, now)
    async with AsyncExitStack() as stack:
        database = await _open_database(settings, stack)
        identities = SqliteIdentityAdministration(database)
        await identities.add_user(user)
        await identities.add_key(key, token_digest(token))
    return token


async def remove_workloads(settings: Settings) -> None:
    """Remove all that this instance has on the engine but cached images: its controller has ended.

    Raises DatabaseError, EngineUnavailableError.
    """
    async with AsyncExitStack() as stack:
        database = await _open_database(settings, stack)
        executor = build_executor(settings, database.instance_id)
        stack.push_async_callback(executor.close)
        for workload in await executor.list_workloads():
            await executor.remove(workload.job_id)
        for leftover in await executor.leftovers(0):
            await executor.remove_leftover(leftover)


async def _open_database(settings: Settings, stack: AsyncExitStack) -> Database:
    database = Database(settings.db_path)
    await database.open()
    stack.push_async_callback(database.close)
    return database


async def has_identities(settings: Settings) -> bool:
    """Whether callers of a server with these settings have to prove who they are.

    Raises DatabaseError when its database cannot be read.
    """
    if await asyncio.to_thread(has_users, settings.db_path):
        return True
    configured = ConfiguredIdentities(settings)
    try:
        others = [*configured.jwt, *configured.proxy, *configured.developer]
        has_others = await _authenticator(settings, others).has_identities()
        return has_others or settings.oidc_issuer is not None
    finally:
        await configured.close()


def _access(
    stores: ServerStores,
    policy: Policy,
    audit: AuditTrail,
    proxies: TrustedProxies,
    stack: AsyncExitStack,
) -> tuple[AccessControl, Sessions, StreamTokens]:
    """How routes find out who asks; and the sessions and tokens they give."""
    settings = stores.settings
    warn_of_unchecked_audience(settings)
    keys, instance_id = SqliteIssuedKeys(stores.database), stores.database.instance_id
    api_keys = ApiKeyIdentity(keys, utc_now)
    stack.push_async_callback(api_keys.close)
    key = load_token_key(settings.data_path)
    sessions = configured_sessions(
        settings, SqliteSessions(stores.database), keys, api_keys, audit, instance_id, key
    )
    stack.push_async_callback(sessions.close)
    configured = ConfiguredIdentities(settings)
    stack.push_async_callback(configured.close)
    tokens = StreamTokens(key, settings.stream_token_seconds, utc_now)
    # What comes with every request by itself is asked last: a proxy's word, then a cookie.
    issued = [api_keys, *configured.jwt, *configured.proxy]
    identities = [*issued, sessions.identity, *configured.developer]
    authenticator = _authenticator(settings, identities, tokens)
    control = AccessControl(
        ThrottledAuthenticator(authenticator, failure_limits(settings)),
        policy,
        audit,
        Traffic(traffic_limits(settings)),
        proxies,
        settings.allowed_origins,
    )
    return control, sessions, tokens


def _authenticator(
    settings: Settings, identities: Sequence[Identity], tokens: StreamTokens | None = None
) -> Authenticator:
    """The identities are asked in their order, tokens for one job before them."""
    return Authenticator(
        identities,
        LocalIdentity(insecure=settings.insecure, origins=settings.allowed_origins),
        None if tokens is None else StreamTokenIdentity(tokens),
    )


def _facts(settings: Settings, limits: SubmissionLimits) -> ServerFacts:
    return ServerFacts(
        limits,
        settings.executor,
        default_image(settings),
        settings.max_concurrent_jobs,
        settings.max_jobs_per_tenant,
        settings.max_artifacts_mb,
        settings.max_artifacts,
    )
