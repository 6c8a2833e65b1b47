"""Health probes. They ignore query parameters, which load balancers append to get past caches."""

from fastapi import APIRouter, Depends

from ci_server.apis.native.routes import Api
from ci_server.http.guards import public, rate_limited
from ci_server.telemetry.service import SERVICE, VERSION

router = APIRouter()


@router.get("/health", dependencies=[Depends(public)])
async def health() -> dict[str, str]:
    """Whether the process is alive."""
    return {"status": "healthy", "service": SERVICE, "version": VERSION}


@router.get("/ready", dependencies=[Depends(public), Depends(rate_limited)])
async def ready(api: Api) -> dict[str, str]:
    """Whether jobs submitted now would run; 503 with the reasons otherwise."""
    await api.readiness.check()
    return {"status": "ready"}
