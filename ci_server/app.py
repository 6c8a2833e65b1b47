"""The composition root of the server: `uvicorn ci_server.app:app` starts everything."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import NoReturn

from fastapi import Depends, FastAPI

from ci_common.errors import StorageUnavailableError
from ci_common.job import utc_now
from ci_common.policy import Policy
from ci_common.ports.audit import AuditRetention
from ci_common.settings import Settings
from ci_controller.assembly import Stores, build_controller
from ci_controller.executors.registry import build_executor
from ci_controller.executors.registry import load_settings as load_settings  # for __main__
from ci_controller.reconcile.controller import Controller, new_holder
from ci_persistence.database.database import Database
from ci_persistence.files.artifacts import FileArtifactStore
from ci_persistence.files.data_directory import DataDirectory
from ci_persistence.files.disk_reserve import DiskReserve
from ci_persistence.files.job_secrets import FileJobSecrets
from ci_persistence.files.packages import FilePackageStore
from ci_persistence.files.secret_keys import SecretKeys
from ci_persistence.files.token_key import load_token_key
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.doorbell import SocketDoorbell
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_persistence.sqlite.audit import SqliteAuditLog
from ci_persistence.sqlite.data_claim import check_before_open, claim
from ci_persistence.sqlite.identities import SqliteIssuedKeys, has_users
from ci_persistence.sqlite.lease import SqliteControllerLease
from ci_persistence.sqlite.retention import SqliteJobRetention
from ci_persistence.sqlite.submissions import SqliteJobSubmissions
from ci_persistence.sqlite.tenant_secrets import SqliteTenantSecrets
from ci_persistence.sqlite.transitions import SqliteJobTransitions
from ci_persistence.sqlite.usage import SqliteTenantUsages
from ci_server.access.audit_trail import AuditTrail
from ci_server.access.auth.addresses import TrustedProxies
from ci_server.access.auth.api_keys import ApiKeyIdentity
from ci_server.access.auth.authenticator import Authenticator, Identity
from ci_server.access.auth.issued import IssuedIdentities
from ci_server.access.auth.local import LocalIdentity
from ci_server.access.auth.stream_tokens import StreamTokenIdentity, StreamTokens
from ci_server.access.limits.configured import failure_limits, quotas, traffic_limits
from ci_server.access.limits.failed_logins import ThrottledAuthenticator
from ci_server.access.limits.traffic import Traffic
from ci_server.apis.native import artifacts as native_artifacts
from ci_server.apis.native import tokens as native_tokens
from ci_server.apis.native import usage as native_usage
from ci_server.apis.native.openapi import describe
from ci_server.apis.native.routes import NativeApi, router
from ci_server.apis.native.sse import LogEventCache
from ci_server.connections.limits import raise_descriptor_limit
from ci_server.http.cleanup import RequestEnd
from ci_server.http.drain_after_error import EarlyAnswers
from ci_server.http.errors import install_error_handlers
from ci_server.http.guards import AccessControl
from ci_server.http.query import no_repetition
from ci_server.http.start_refusal import StartRefusal
from ci_server.http.stream_response import CuttingApplication
from ci_server.services.jobs import JobService, ServiceLimits
from ci_server.services.usage import UsageService
from ci_server.streams.log_stream import LogStreams
from ci_server.submission.job_limits import DefaultLimits, LimitCeilings
from ci_server.submission.job_secrets import SecretService
from ci_server.submission.package_check import PackageLimits
from ci_server.telemetry.log_output import configure_logging

logger = logging.getLogger(__name__)

_AUDIT_PAUSE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class _Stores:
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


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the stores, add the routes, run the controller; and all of it backwards."""
    settings = load_settings()
    configure_logging(settings.log_level)
    raise_descriptor_limit()
    app.state.cors_origins = settings.allowed_origins
    app.state.trusted_proxies = TrustedProxies.parse(settings.trusted_proxies)
    async with AsyncExitStack() as stack:
        stores = await _open_stores(settings, stack)
        audit_log = SqliteAuditLog(stores.database)
        _equip(app, stores, AuditTrail(audit_log, utc_now), stack)
        if settings.audit_days is not None:
            forgetting = _forgetting(audit_log, timedelta(days=settings.audit_days))
            await stack.enter_async_context(_beside("audit retention", forgetting))
        if settings.controller == "embedded":
            controller = _controller(stores, stack)
            await stack.enter_async_context(_beside("controller", controller.run()))
        yield


async def _open_stores(settings: Settings, stack: AsyncExitStack) -> _Stores:
    check_before_open(settings.data_path, settings.db_path)
    database = Database(settings.db_path)
    await database.open()
    stack.push_async_callback(database.close)
    directory = await claim(settings.data_path, database)
    signals = ProcessJobSignals()
    bell = SocketDoorbell(settings.data_path)
    stack.callback(bell.close)
    reserve = DiskReserve(settings.data_path, settings.disk_reserve_mb << 20)
    keys = SecretKeys(settings.data_path, settings.secret_keys)
    return _Stores(
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
    )


def _equip(app: FastAPI, stores: _Stores, audit: AuditTrail, stack: AsyncExitStack) -> None:
    """Put into the application's state what its routes ask for."""
    settings, database = stores.settings, stores.database
    policy, limits = Policy(settings.operator_tenant), _limits(settings)
    submissions = SqliteJobSubmissions(database, stores.signals)
    app.state.access, app.state.stream_tokens = _access(
        settings, database, policy, audit, app.state.trusted_proxies, stack
    )
    app.state.usage = UsageService(
        SqliteTenantUsages(database), policy, limits.quotas, settings.max_jobs_per_tenant
    )
    app.state.native_api = NativeApi(
        JobService(
            submissions,
            stores.packages,
            stores.bell,
            limits,
            policy,
            utc_now,
            SecretService(SqliteTenantSecrets(database, stores.keys), stores.job_secrets),
            audit,
        ),
        LogStreams(submissions, stores.logs, stores.signals),
        LogEventCache(),
        stores.artifacts,
        settings.send_timeout_seconds,
        settings.request_timeout_seconds,
    )


def _controller(stores: _Stores, stack: AsyncExitStack) -> Controller:
    holder = new_holder()
    executor = build_executor(stores.settings, stores.database.instance_id)
    stack.push_async_callback(executor.close)
    return build_controller(
        stores.settings,
        executor,
        Stores(
            holder,
            SqliteJobTransitions(stores.database, stores.signals, holder),
            SqliteJobRetention(stores.database, holder),
            SqliteControllerLease(stores.database),
            stores.logs,
            stores.packages,
            stores.artifacts,
            stores.bell,
            stores.job_secrets,
            stores.directory.check,
        ),
    )


async def _forgetting(log: AuditRetention, age: timedelta) -> NoReturn:
    """Delete old entries of the audit log now and then; several processes may."""
    while True:
        try:
            await log.delete_before(utc_now() - age)
        except StorageUnavailableError as error:
            logger.debug("old entries of the audit log stay for now: %s", error)
        except Exception:
            logger.exception("old entries of the audit log cannot be deleted now")
        await asyncio.sleep(_AUDIT_PAUSE_SECONDS)


@asynccontextmanager
async def _beside(name: str, work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_tell_end)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _tell_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.critical("the %s died; /ready will tell", task.get_name(), exc_info=error)


async def has_identities(settings: Settings) -> bool:
    """Whether callers of a server with these settings have to prove who they are.

    Raises DatabaseError when its database cannot be read.
    """
    if await asyncio.to_thread(has_users, settings.db_path):
        return True
    issued = IssuedIdentities(settings)
    try:
        return await _authenticator(settings, _in_order(issued)).has_identities()
    finally:
        await issued.close()


def _access(
    settings: Settings,
    database: Database,
    policy: Policy,
    audit: AuditTrail,
    proxies: TrustedProxies,
    stack: AsyncExitStack,
) -> tuple[AccessControl, StreamTokens]:
    """How routes find out who asks; and the tokens they give."""
    api_keys = ApiKeyIdentity(SqliteIssuedKeys(database), utc_now)
    stack.push_async_callback(api_keys.close)
    issued = IssuedIdentities(settings)
    stack.push_async_callback(issued.close)
    key = load_token_key(settings.data_path)
    tokens = StreamTokens(key, settings.stream_token_seconds, utc_now)
    authenticator = _authenticator(settings, [api_keys, *_in_order(issued)], tokens)
    control = AccessControl(
        ThrottledAuthenticator(authenticator, failure_limits(settings)),
        policy,
        audit,
        Traffic(traffic_limits(settings)),
        proxies,
    )
    return control, tokens


def _in_order(issued: IssuedIdentities) -> list[Identity]:
    return [*issued.jwt, *issued.proxy, *issued.developer]


def _authenticator(
    settings: Settings, identities: Sequence[Identity], tokens: StreamTokens | None = None
) -> Authenticator:
    """The identities are asked in their order, tokens for one job before them."""
    return Authenticator(
        identities,
        LocalIdentity(insecure=settings.insecure, origins=settings.allowed_origins),
        None if tokens is None else StreamTokenIdentity(tokens),
    )


def _limits(settings: Settings) -> ServiceLimits:
    return ServiceLimits(
        max_upload_bytes=settings.max_upload_mb << 20,
        package=PackageLimits(
            max_entries=settings.max_entries,
            max_unpacked_bytes=settings.max_unpacked_mb << 20,
            max_ratio=settings.max_compression_ratio,
        ),
        quotas=quotas(settings),
        ceilings=LimitCeilings(
            timeout_seconds=settings.max_timeout_seconds,
            cpu_percent=settings.max_cpu_percent,
            memory_mb=settings.max_memory_mb,
            pids=settings.max_pids,
            priority=settings.max_priority,
        ),
        defaults=DefaultLimits(
            timeout_seconds=settings.default_timeout_seconds,
            cpu_percent=settings.default_cpu_percent,
            memory_mb=settings.default_memory_mb,
            pids=settings.default_pids,
            log_mb=settings.default_log_mb,
            grace_seconds=settings.cancel_grace_seconds,
        ),
    )


def create_app() -> FastAPI:
    """The application; it reads its settings when it starts."""
    app = CuttingApplication(
        title="CI runner",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # to where the Host header says, and over http behind TLS
    )
    install_error_handlers(app)
    app.add_middleware(EarlyAnswers)
    app.add_middleware(RequestEnd)
    app.add_middleware(StartRefusal)
    for routes in (router, native_artifacts.router, native_usage.router, native_tokens.router):
        app.include_router(routes, dependencies=[Depends(no_repetition)])
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    return app


app = create_app()
