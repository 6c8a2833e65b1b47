"""The HTTP API: usage of tenants."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from ci_server.apis.native.present import usage_json
from ci_server.http.guards import UsageReader
from ci_server.services.usage import UsageService

router = APIRouter()


async def _usage_service(request: Request) -> UsageService:
    service: UsageService = request.app.state.usage
    return service


@router.get("/usage")
async def usage(
    service: Annotated[UsageService, Depends(_usage_service)], principal: UsageReader
) -> dict[str, Any]:
    """Jobs and stored bytes by tenant, and the limits."""
    return usage_json(await service.usage(principal))
