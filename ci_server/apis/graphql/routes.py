"""POST /graphql: JSON in, JSON out."""

import asyncio
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ci_common.errors import GraphqlUnavailableError
from ci_common.principal import Principal
from ci_server.apis.graphql.query import Answer, QueryServices, Question
from ci_server.http.guards import Lister
from ci_server.http.json_body import json_request, read_json_body

_MOST_BYTES = 64 << 10
_JSON, _GRAPHQL = "application/json", "application/graphql-response+json"


@dataclass(frozen=True, slots=True)
class GraphqlApi:
    """What the route needs."""

    services: QueryServices
    patience_seconds: float


async def _graphql_api(request: Request) -> GraphqlApi:
    api: GraphqlApi = request.app.state.graphql_api
    return api


Api = Annotated[GraphqlApi, Depends(_graphql_api)]

router = APIRouter()


class SubmittedQuery(BaseModel):
    """The body."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: str = Field(min_length=1)
    variables: dict[str, Any] | None = None
    operationName: str | None = None
    extensions: dict[str, Any] | None = None
    """Some clients send them; none is known."""


_ANSWER = {"type": "object", "properties": {"data": {}, "errors": {"type": "array"}}}
_REFUSAL = {
    "anyOf": [
        {"type": "object", "required": ["errors"], "properties": {"errors": {"type": "array"}}},
        {"$ref": "#/components/schemas/Error"},
    ]
}


def _described(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    kinds = (_JSON, _GRAPHQL)
    return {"description": description, "content": {kind: {"schema": schema} for kind in kinds}}


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _described("The data, and errors of fields", _ANSWER),
    400: _described("Not executed", _REFUSAL),
    503: _described("The query was not completed", _REFUSAL),
}


@router.post(
    "/graphql",
    response_class=Response,
    responses=_ANSWERS,
    openapi_extra=json_request(SubmittedQuery),
)
async def query(request: Request, api: Api, principal: Lister) -> Response:
    """Query jobs, their tests and artifacts, job events and usage: GraphQL, read-only."""
    if find_spec("graphql") is None:
        raise GraphqlUnavailableError
    asked = await read_json_body(request, SubmittedQuery, api.patience_seconds, _MOST_BYTES)
    question = Question(asked.query, asked.variables or {}, asked.operationName)
    found = await _answer(question, principal, api.services)
    kind = _GRAPHQL if _GRAPHQL in request.headers.get("accept", "") else _JSON
    return Response(found.content, found.status, media_type=kind)


async def _answer(question: Question, principal: Principal, services: QueryServices) -> Answer:
    """graphql-core is imported with the first query: it would slow down every start."""
    engine = await asyncio.to_thread(_load_engine)
    found: Answer = await engine.answer(question, principal, services)
    return found


def _load_engine() -> Any:
    from ci_server.apis.graphql import engine

    engine.load_schema()
    return engine
