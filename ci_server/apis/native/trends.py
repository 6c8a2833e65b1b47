"""The HTTP API: how the recent jobs of a name went."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from ci_server.apis.native.present import trend_json
from ci_server.http.guards import Lister
from ci_server.http.query import query_error
from ci_server.services.trends import TrendService

MOST_NAMES = 50

router = APIRouter()


async def _trend_service(request: Request) -> TrendService:
    service: TrendService = request.app.state.trends
    return service


@router.get("/jobs/trends")
async def get_trends(
    service: Annotated[TrendService, Depends(_trend_service)],
    principal: Lister,
    name: Annotated[list[str], Query()] = (),  # type: ignore[assignment]
) -> list[dict[str, Any]]:
    """The latest results and durations of jobs with these names; `name` is repeated."""
    check_names(name)
    return [trend_json(trend) for trend in await service.trends(principal, name)]


def check_names(names: Sequence[str]) -> None:
    """Raises RequestValidationError if there are too many."""
    if len(names) > MOST_NAMES:
        raise query_error("name", f"must not be given more than {MOST_NAMES} times")
