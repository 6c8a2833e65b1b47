"""Health probes of the runs API. Like those of the native API they ignore query parameters."""

from fastapi import APIRouter, Depends

from ci_server.apis.native.routes import Api
from ci_server.http.guards import public, rate_limited

router = APIRouter(prefix="/api/v1/health")


@router.get("", dependencies=[Depends(public)])
async def health() -> dict[str, str]:
    """Whether the process is alive."""
    return {"status": "healthy"}


@router.get("/ready", dependencies=[Depends(public), Depends(rate_limited)])
async def ready(api: Api) -> dict[str, str]:
    """Whether runs submitted now would run; 503 with the reasons otherwise."""
    await api.readiness.check()
    return {"status": "ready", "database": "connected"}
