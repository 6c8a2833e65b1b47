"""The server as one application: `uvicorn ci_server.app:app` starts everything."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from fastapi import Depends, FastAPI
from fastapi.routing import iter_route_contexts

from ci_common.errors import StorageUnavailableError
from ci_common.job import utc_now
from ci_common.ports.audit import AuditRetention
from ci_common.settings import Settings
from ci_common.waiting import JobSlots
from ci_persistence.sqlite.audit import SqliteAuditLog
from ci_server.access.audit_trail import AuditTrail
from ci_server.access.auth.addresses import TrustedProxies
from ci_server.apis.durable import events as durable_events
from ci_server.apis.durable import log as durable_log
from ci_server.apis.graphql import routes as graphql
from ci_server.apis.graphql.query import QueryServices
from ci_server.apis.models import routes as models
from ci_server.apis.models import socket as models_socket
from ci_server.apis.models.messages import LogMessages
from ci_server.apis.native import artifacts as native_artifacts
from ci_server.apis.native import details as native_details
from ci_server.apis.native import events as native_events
from ci_server.apis.native import lists as native_lists
from ci_server.apis.native import log_positions as native_log_positions
from ci_server.apis.native import log_search as native_log_search
from ci_server.apis.native import metrics as native_metrics
from ci_server.apis.native import previews as native_previews
from ci_server.apis.native import probes as native_probes
from ci_server.apis.native import reruns as native_reruns
from ci_server.apis.native import server as native_server
from ci_server.apis.native import tokens as native_tokens
from ci_server.apis.native import trends as native_trends
from ci_server.apis.native import usage as native_usage
from ci_server.apis.native import whoami as native_whoami
from ci_server.apis.native.openapi import describe
from ci_server.apis.native.routes import NativeApi, router
from ci_server.apis.native.sse import LogEventCache
from ci_server.apis.runs import control_strategy as runs_control_strategy
from ci_server.apis.runs import metadata as runs_metadata
from ci_server.apis.runs import probes as runs_probes
from ci_server.apis.runs import routes as runs
from ci_server.apis.sessions import oidc as sessions_oidc
from ci_server.apis.sessions import own as own_sessions
from ci_server.apis.sessions import routes as sessions
from ci_server.apis.sessions.api import OidcApi, SessionsApi
from ci_server.apis.site import routes as site
from ci_server.apis.site.frontend import Frontend, FrontendFallback
from ci_server.connections.limits import raise_descriptor_limit
from ci_server.dashboard import routes as dashboard
from ci_server.grpc import library
from ci_server.http.cleanup import RequestEnd
from ci_server.http.drain_after_error import EarlyAnswers
from ci_server.http.errors import RUNS_PREFIX, install_error_handlers
from ci_server.http.query import strict_query
from ci_server.http.request_metrics import RequestMetrics
from ci_server.http.start_refusal import StartRefusal
from ci_server.http.stream_response import CuttingApplication
from ci_server.http.trailing_slash import OptionalTrailingSlash
from ci_server.telemetry.log_output import configure_logging
from ci_server.telemetry.service import VERSION
from ci_server.wiring.controller import build_embedded_controller
from ci_server.wiring.instance import load_settings
from ci_server.wiring.services import Services, build_services
from ci_server.wiring.stores import open_stores

if TYPE_CHECKING:
    from ci_server.grpc.door import WorkerDoor

logger = logging.getLogger(__name__)

_AUDIT_PAUSE_SECONDS = 3600.0


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the stores, build the services, run the controller; and all of it backwards."""
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    raise_descriptor_limit()
    app.state.cors_origins = settings.allowed_origins
    app.state.trusted_proxies = TrustedProxies.parse(settings.trusted_proxies)
    app.state.frontend = _frontend(settings)
    async with AsyncExitStack() as stack:
        stores = await open_stores(settings, stack)
        audit_log = SqliteAuditLog(stores.database)
        trail = AuditTrail(audit_log, utc_now)
        services = build_services(stores, trail, app.state.trusted_proxies, stack)
        _install(app, services, settings)
        if settings.metrics != "off":
            await services.metrics.begin()
            sharing = stores.process_metrics.run()
            await stack.enter_async_context(_background_task("sharing of metrics", sharing))
        if settings.audit_days is not None:
            forgetting = _forgetting(audit_log, timedelta(days=settings.audit_days))
            await stack.enter_async_context(_background_task("audit retention", forgetting))
        forgetting_sessions = services.sessions.service.forget_old_ones()
        await stack.enter_async_context(_background_task("session retention", forgetting_sessions))
        if settings.controller == "embedded":
            controller = build_embedded_controller(stores, stack)
            await stack.enter_async_context(_background_task("controller", controller.run()))
        if settings.grpc_certs is not None:
            door = _worker_door(services, settings, settings.grpc_certs)
            await stack.enter_async_context(_background_task("Job Worker service", door.run()))
        yield


def _frontend(settings: Settings) -> Frontend | None:
    """The operator's site. Raises SettingsError."""
    if settings.frontend_dir is None:
        return None
    return Frontend(settings.frontend_dir, settings.send_timeout_seconds)


def _worker_door(services: Services, settings: Settings, certificates: Path) -> "WorkerDoor":
    """The Job Worker service, imported only where it is wanted. Raises SettingsError."""
    library.prepare()
    from ci_server.grpc.opening import open_door

    return open_door(
        settings,
        certificates,
        services.access,
        services.intake,
        services.jobs,
        services.streams,
        services.readiness,
        services.server_metrics,
    )


def _install(app: FastAPI, services: Services, settings: Settings) -> None:
    """Put into the application's state what its routes ask for."""
    app.state.access = services.access
    app.state.usage = services.usage
    app.state.job_details = services.details
    app.state.trends = services.trends
    app.state.server_facts = services.facts
    app.state.metrics = None if settings.metrics == "off" else services.server_metrics
    app.state.metrics_access = settings.metrics
    app.state.metrics_service = services.metrics
    cache = LogEventCache()
    services.server_metrics.watch_cache("log_events", lambda: (cache.hits, cache.misses))
    app.state.native_api = NativeApi(
        services.intake,
        services.jobs,
        services.job_events,
        services.readiness,
        services.streams,
        cache,
        services.artifacts,
        services.grants,
        settings.send_timeout_seconds,
        settings.public_url,
        app.state.trusted_proxies,
        services.reruns,
        services.positions,
        services.searches,
        services.previews,
        services.facts.image,
        services.timed_events,
        services.details,
    )
    app.state.models_api = models.ModelsApi(
        services.intake,
        services.jobs,
        services.model_results,
        services.grants,
        JobSlots(settings.max_concurrent_jobs, settings.max_jobs_per_tenant),
        settings.public_url,
        app.state.trusted_proxies,
    )
    app.state.runs_api = runs.RunsApi(
        services.runs,
        services.run_results,
        services.jobs,
        services.streams,
        cache,
        services.grants,
        settings.public_url,
        app.state.trusted_proxies,
        settings.request_timeout_seconds,
        settings.send_timeout_seconds,
    )
    app.state.socket_api = models_socket.SocketApi(
        services.jobs,
        services.model_results,
        services.streams,
        services.artifacts,
        LogMessages(),
    )
    app.state.sessions_api = SessionsApi(
        services.sessions.service,
        services.sessions.cookie,
        services.sessions.own_origin,
        settings.request_timeout_seconds,
        _oidc_api(services, settings),
    )
    app.state.graphql_api = graphql.GraphqlApi(
        QueryServices(
            services.jobs,
            services.job_events,
            services.usage,
            services.streams,
            services.details,
            services.trends,
            services.facts.image,
        ),
        settings.request_timeout_seconds,
    )
    app.state.catalogue = services.catalogue
    app.state.control_strategy_api = runs_control_strategy.ControlStrategyApi(
        services.control_strategies, settings.request_timeout_seconds
    )


def _oidc_api(services: Services, settings: Settings) -> OidcApi | None:
    sessions = services.sessions
    if sessions.login is None:
        return None
    return OidcApi(sessions.login, sessions.attempt_cookie, settings.oidc_name, settings.public_url)


async def _forgetting(log: AuditRetention, age: timedelta) -> NoReturn:
    """Delete old entries of the audit log now and then; several processes may."""
    while True:
        try:
            await log.delete_before(utc_now() - age)
        except StorageUnavailableError as error:
            logger.debug("cannot delete old entries of the audit log now: %s", error)
        except Exception:
            logger.exception("cannot delete old entries of the audit log")
        await asyncio.sleep(_AUDIT_PAUSE_SECONDS)


@asynccontextmanager
async def _background_task(name: str, work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_report_end)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _report_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.critical("the %s died; /ready reports it", task.get_name(), exc_info=error)


def create_app() -> FastAPI:
    """The application; it reads its settings when it starts."""
    app = CuttingApplication(
        title="CI runner",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,  # that page would load its scripts from another server
        redoc_url=None,
        redirect_slashes=False,  # to where the Host header says, and over http behind TLS
    )
    install_error_handlers(app)
    app.add_middleware(RequestMetrics)
    app.add_middleware(EarlyAnswers)
    app.add_middleware(RequestEnd)
    app.add_middleware(OptionalTrailingSlash, prefix=RUNS_PREFIX)
    app.add_middleware(StartRefusal)
    native = (
        native_lists.router,
        native_log_positions.router,
        native_log_search.router,
        native_trends.router,
        native_events.router,
        router,
        native_artifacts.router,
        native_previews.router,
        native_details.router,
        native_reruns.router,
        native_usage.router,
        native_server.router,
        native_tokens.router,
        native_whoami.router,
        native_metrics.router,
    )
    durable = (durable_log.router, durable_events.router)
    of_runs = (runs.router, runs_metadata.router, runs_control_strategy.router)
    models_api = (models.router, models_socket.router)
    others = (sessions.router, own_sessions.router, graphql.router, *models_api, *of_runs)
    for routes in (*native, *durable, *others):
        app.include_router(routes, dependencies=[Depends(strict_query)])
    for routes in (
        native_previews.shown_router,
        native_probes.router,
        runs_probes.router,
        site.router,
        dashboard.router,
        sessions_oidc.router,
    ):
        app.include_router(routes)
    app.router.default = fallback = FrontendFallback(app.router.default)
    fallback.keep_clear_of(route.path for route in iter_route_contexts(app.routes) if route.path)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    return app


app = create_app()
