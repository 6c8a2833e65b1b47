"""The services that doors call."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from ci_common.job import utc_now
from ci_common.policy import Policy
from ci_common.ports.artifacts import ArtifactReader
from ci_common.ports.catalogue import CatalogueReader
from ci_common.settings import Settings
from ci_common.waiting import JobSlots
from ci_controller.executors.registry import default_image
from ci_persistence.files.signed_url_keys import SignedUrlKeys
from ci_persistence.sqlite.catalogue import SqliteCatalogueReader
from ci_persistence.sqlite.events import SqliteJobEvents
from ci_persistence.sqlite.job_details import SqliteJobDetails
from ci_persistence.sqlite.job_trends import SqliteJobTrends
from ci_persistence.sqlite.metric_facts import SqliteMetricFacts
from ci_persistence.sqlite.runs import SqliteRuns
from ci_persistence.sqlite.submissions import SqliteJobSubmissions
from ci_persistence.sqlite.tenant_secrets import SqliteTenantSecrets
from ci_persistence.sqlite.usage import SqliteTenantUsages
from ci_server.access.audit_trail import AuditTrail
from ci_server.access.auth.addresses import TrustedProxies
from ci_server.access.limits.traffic import Traffic
from ci_server.http.guards import AccessControl
from ci_server.services.configured_intake import package_scanner, run_defaults, submission_limits
from ci_server.services.configured_sessions import Sessions
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
from ci_server.submission.package_scan import PackageScanner
from ci_server.telemetry.metrics import ServerMetrics
from ci_server.wiring.access import build_access
from ci_server.wiring.stores import ServerStores


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


def build_services(
    stores: ServerStores, audit: AuditTrail, proxies: TrustedProxies, stack: AsyncExitStack
) -> Services:
    """The services of one process, over its stores."""
    settings, database = stores.settings, stores.database
    policy, limits = Policy(settings.operator_tenant), submission_limits(settings)
    submissions = SqliteJobSubmissions(database, stores.signals)
    access, sessions, tokens = build_access(stores, policy, audit, proxies, stack)
    slots = JobSlots(settings.max_concurrent_jobs, settings.max_jobs_per_tenant)
    streams = LogStreams(submissions, stores.logs, stores.signals, WaitReasons(submissions, slots))
    threads = LogThreads()
    stack.callback(threads.close)
    positions = LogPositions(stores.logs, stores.logs, threads)
    catalogue = SqliteCatalogueReader(database)
    strategies = ControlStrategies(catalogue, settings.perturbations_of_controls)
    failures = Failures(streams)
    metrics = _server_metrics(stores, access.traffic)
    scanner = package_scanner(settings)
    intake = _intake(stores, submissions, limits, policy, access.traffic, audit, scanner)
    jobs = JobService(submissions, stores.bell, policy, utc_now, audit, tokens)
    url_keys = SignedUrlKeys(settings.data_path).keys
    return Services(
        access=access,
        sessions=sessions,
        intake=intake,
        jobs=jobs,
        job_events=JobEventService(_event_feed(stores, metrics), policy),
        reruns=RerunService(jobs, intake),
        previews=Previews(jobs, url_keys, utc_now),
        details=JobDetailService(jobs, SqliteJobDetails(database)),
        readiness=Readiness(submissions, stores.packages, utc_now, scanner),
        usage=UsageService(
            SqliteTenantUsages(database), policy, limits.quotas, settings.max_jobs_per_tenant
        ),
        streams=streams,
        positions=positions,
        searches=LogSearches(stores.logs, positions, threads),
        timed_events=TimedEvents(stores.logs, stores.logs, threads),
        artifacts=stores.artifacts,
        model_results=ModelResults(submissions, stores.artifacts, failures),
        runs=RunService(
            SqliteRuns(database), jobs, intake, policy, strategies, run_defaults(settings)
        ),
        run_results=RunResults(submissions, stores.artifacts, failures),
        grants=Grants(url_keys, settings.signed_url_seconds, utc_now),
        catalogue=catalogue,
        control_strategies=strategies,
        facts=_facts(settings, limits),
        server_metrics=metrics,
        metrics=_metrics_service(stores),
        trends=TrendService(SqliteJobTrends(database), policy),
    )


def _intake(
    stores: ServerStores,
    submissions: SqliteJobSubmissions,
    limits: SubmissionLimits,
    policy: Policy,
    traffic: Traffic,
    audit: AuditTrail,
    scanner: PackageScanner | None,
) -> Intake:
    return Intake(
        submissions,
        stores.packages,
        stores.bell,
        limits,
        policy,
        traffic,
        utc_now,
        SecretService(SqliteTenantSecrets(stores.database, stores.keys), stores.job_secrets),
        audit,
        scanner,
        stores.tracer,
    )


def _event_feed(stores: ServerStores, metrics: ServerMetrics) -> EventFeed:
    return EventFeed(
        SqliteJobEvents(stores.database),
        stores.signals,
        lambda event: metrics.event_lag((utc_now() - event.at).total_seconds()),
    )


def _metrics_service(stores: ServerStores) -> MetricsService:
    return MetricsService(
        stores.process_metrics,
        stores.metric_files,
        SqliteMetricFacts(stores.database),
        stores.settings.data_path,
        utc_now,
        with_tenants=stores.settings.metrics_tenants,
    )


def _server_metrics(stores: ServerStores, traffic: Traffic) -> ServerMetrics:
    metrics = ServerMetrics(stores.process_metrics.registry)
    metrics.watch("streams", lambda: traffic.streams)
    metrics.watch("uploads", lambda: traffic.uploads)
    return metrics


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
