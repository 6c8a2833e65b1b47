"""The server of the Job Worker service within the server's process: bound once, and kept."""

import asyncio
import logging
from typing import Any, NoReturn

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from ci_common.worker_api.worker_pb2_grpc import add_JobServiceServicer_to_server
from ci_server.grpc.certificates import CertificateFiles
from ci_server.grpc.guard import SERVICE, Guard
from ci_server.grpc.health import Health
from ci_server.grpc.revocations import Revocations
from ci_server.grpc.service import JobWorker, WorkerServices
from ci_server.grpc.turn import Turn
from ci_server.http.guards import AccessControl
from ci_server.services.readiness import Readiness
from ci_server.telemetry.metrics import ServerMetrics

logger = logging.getLogger(__name__)

BIND_SECONDS = 2.0
"""How often a server that has no port tries to get it."""

LOOK_SECONDS = 1.0
"""How often the list of revoked certificates is looked at."""

STOP_SECONDS = 2.0
"""What calls under way get to end, when the server stops."""

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.so_reuseport", 0),  # or a second server would share the port, silently
    ("grpc.max_receive_message_length", 1 << 20),
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.max_allowed_incoming_connections", 1024),
    ("grpc.max_concurrent_streams", 1000),  # of a connection
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Clients may ask as often whether we are alive, while a job is silent.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
]
_MOST_CALLS = 8192


class WorkerDoor:
    """Serves while `run` runs."""

    def __init__(
        self,
        address: str,
        certificates: CertificateFiles,
        revocations: Revocations,
        access: AccessControl,
        services: WorkerServices,
        readiness: Readiness,
        turn: Turn,
        metrics: ServerMetrics,
    ) -> None:
        self._address = address
        self._certificates = certificates
        self._revocations = revocations
        self._guard = Guard(access, revocations, metrics)
        self._worker = JobWorker(services)
        self._readiness = readiness
        self._turn = turn

    async def run(self) -> NoReturn:
        """Serve until cancelled, and again when that fails."""
        while True:
            try:
                await self._serve()
            except Exception:
                logger.exception("the Job Worker service failed; restarting it")
            await asyncio.sleep(BIND_SECONDS)

    async def _serve(self) -> NoReturn:
        """Bind, serve, and look at the list of revoked certificates."""
        with self._turn:
            server = await self._bound()
            try:
                self._revocations.begin_streams()
                await self._revocations.refresh_in_thread()
                await server.start()
                logger.info("the Job Worker service is listening on %s", self._address)
                while True:
                    await asyncio.sleep(LOOK_SECONDS)
                    await self._revocations.refresh_in_thread()
            finally:
                self._revocations.end_streams()
                await server.stop(STOP_SECONDS)

    async def _bound(self) -> grpc.aio.Server:
        """A server that has the port. Of several workers one gets it, and another when that one has
        gone.
        """
        while not self._turn.take():  # noqa: ASYNC110 - it is another process that lets go
            await asyncio.sleep(BIND_SECONDS)
        is_told = False
        while True:
            server = await self._server()
            if self._is_bound(server):
                return server
            await server.stop(None)
            if not is_told:
                logger.error(
                    "the Job Worker service cannot listen on %s (CI_GRPC_ADDRESS): another "
                    "program uses the port, or this machine does not have the address; retrying "
                    "every %g s",
                    self._address,
                    BIND_SECONDS,
                )
                is_told = True
            await asyncio.sleep(BIND_SECONDS)

    def _is_bound(self, server: grpc.aio.Server) -> bool:
        try:
            return server.add_secure_port(self._address, self._certificates.credentials()) != 0
        except RuntimeError as error:
            logger.debug("%s", error)
            return False

    async def _server(self) -> grpc.aio.Server:
        server = grpc.aio.server(
            interceptors=[self._guard], options=_OPTIONS, maximum_concurrent_rpcs=_MOST_CALLS
        )
        add_JobServiceServicer_to_server(self._worker, server)  # type: ignore[no-untyped-call]
        checks = await Health.of(SERVICE, self._readiness)
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME), server)
        return server
