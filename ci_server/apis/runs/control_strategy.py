"""Which control strategy a query can have, to be asked before a run is submitted."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict

from ci_server.apis.runs.submitted import ControlStrategy, Query
from ci_server.http.guards import Submitter
from ci_server.http.json_body import json_request, read_json_body
from ci_server.services.control_strategy import ControlAssessment, ControlStrategies

router = APIRouter(prefix="/api/v1/runs")


class ControlQuestion(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: Query
    control_strategy: ControlStrategy


@dataclass(frozen=True, slots=True)
class ControlStrategyApi:
    """What the route needs."""

    strategies: ControlStrategies
    patience_seconds: float


async def _control_strategy_api(request: Request) -> ControlStrategyApi:
    api: ControlStrategyApi = request.app.state.control_strategy_api
    return api


@router.post("/validate-control-strategy", openapi_extra=json_request(ControlQuestion))
async def validate_control_strategy(
    request: Request,
    api: Annotated[ControlStrategyApi, Depends(_control_strategy_api)],
    principal: Submitter,
) -> dict[str, Any]:
    """Whether the catalogue has control cells for a query, and which strategy to choose."""
    question = await read_json_body(request, ControlQuestion, api.patience_seconds)
    return assessment_json(await api.strategies.assess(question.query, question.control_strategy))


def assessment_json(assessment: ControlAssessment) -> dict[str, Any]:
    """The answer."""
    return {
        "synthetic_control_available": assessment.synthetic_control_available,
        "control_cells_found": assessment.control_cells_found,
        "control_donors": assessment.control_donors,
        "control_conditions": assessment.control_conditions,
        "recommendation": assessment.recommendation,
        "warning": assessment.warning,
    }
