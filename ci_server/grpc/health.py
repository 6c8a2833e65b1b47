"""Health checking: `""` is whether the process is alive, the service whether its jobs would run."""

from typing import Any, Self

from grpc_health.v1 import health, health_pb2
from typing_extensions import override

from ci_common.errors import NotReadyError
from ci_server.services.readiness import Readiness

_Answer = health_pb2.HealthCheckResponse


class Health(health.aio.HealthServicer):
    """Looks when it is asked. Who watches learns that the service is there, no more."""

    _service: str
    _readiness: Readiness

    @classmethod
    async def of(cls, service: str, readiness: Readiness) -> Self:
        """The health of a process with this service."""
        made = cls()
        made._service, made._readiness = service, readiness
        await made.set(service, _Answer.SERVING)
        return made

    @override
    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        """The status of a service."""
        if request.service == self._service:
            try:
                await self._readiness.check()
            except NotReadyError:
                return _Answer(status=_Answer.NOT_SERVING)
        return await super().Check(request, context)
