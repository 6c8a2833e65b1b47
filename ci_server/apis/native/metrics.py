"""`/metrics`, for Prometheus."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from ci_server.http.metrics_access import MetricsAccess
from ci_server.services.metrics import MetricsService

router = APIRouter()

_ANSWER = {"text/plain": {"schema": {"type": "string"}}}


class _Collected(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    @override
    def collect(self) -> list[Metric]:
        return self._metrics


async def _service(request: Request) -> MetricsService:
    service: MetricsService = request.app.state.metrics_service
    return service


@router.get(
    "/metrics",
    dependencies=[Depends(MetricsAccess())],
    response_class=Response,
    responses={200: {"content": _ANSWER}},
)
async def metrics(
    service: Annotated[MetricsService, Depends(_service)],
    accept: Annotated[str, Header()] = "",
) -> Response:
    """The metrics of all processes of this instance, in the text format of Prometheus or as
    OpenMetrics. `CI_METRICS` says who may read them.
    """
    encode, media_type = choose_encoder(accept)
    content = encode(_Collected(await service.collect()))
    return Response(content, headers={"Content-Type": media_type, "Cache-Control": "no-store"})
