"""The OpenAPI document: what FastAPI finds out by itself, and what it cannot."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from ci_common.policy import Action
from ci_server.http.guards import TOKEN_PARAMETER, Access

_STRING = {"type": "string"}
_EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "string", "description": "a JSON object"}, "id": _STRING},
}
"""A Server-Sent Event, as programs that know the format see it."""


def _answer(
    kind: str, description: str, schema: dict[str, Any] = _STRING, **others: str
) -> dict[str, Any]:
    """The parameters of a route whose answer is not JSON."""
    content = {kind: {"schema": schema}}
    answers = {int(status[1:]): {"description": text} for status, text in others.items()}
    ok = {"description": description, "content": content}
    return {"response_class": Response, "responses": {200: ok, **answers}}


_RANGE = "A range of them"
STREAM_ANSWER = _answer("text/event-stream", "Server-Sent Events", _EVENT)
WATCH_ANSWER = _answer(
    "text/event-stream",
    "Server-Sent Events",
    _EVENT,
    _204="The client has the result: Last-Event-ID is that of `complete`",
)
SEARCH_ANSWER = _answer(
    "text/event-stream",
    "Server-Sent Events",
    _EVENT,
    _204="The search is over: Last-Event-ID is that of `end`",
)
TEXT_ANSWER = _answer("text/plain", "The bytes", _206=_RANGE)
FILE_ANSWER = _answer("*/*", "The bytes", _206=_RANGE, _304="The client has this version")
SUBMISSION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "a zip of the project",
                        },
                        "spec": {
                            "type": "string",
                            "description": "a JSON object: what of the project is to run",
                        },
                        "secrets": {
                            "type": "string",
                            "description": "a JSON object by name: "
                            '{"NAME": {"value": "<base64>", "environment": true}}',
                        },
                    },
                }
            }
        },
    }
}
"""The form is taken apart while it arrives, so its shape is not in a function's parameters."""

_ERROR_NAME = "Error"
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "request_id"],
            "properties": {
                "code": {"type": "string", "description": "stable, for programs"},
                "message": {"type": "string", "description": "for people"},
                "request_id": {"type": "string", "description": "as in X-Request-ID"},
            },
        }
    },
}
_ERROR_ANSWER = {
    "description": "An error",
    "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{_ERROR_NAME}"}}},
}
_BEARER = "bearer"
_JOB_TOKEN = "lent"  # noqa: S105 - its name
_SCHEMES = {
    _BEARER: {"type": "http", "scheme": "bearer"},
    _JOB_TOKEN: {
        "type": "apiKey",
        "in": "query",
        "name": TOKEN_PARAMETER,
        "description": "a token for one job, from POST /jobs/{job_id}/token",
    },
}


def routes_of(app: FastAPI) -> Iterator[RouteContext]:
    """Every route of the API, however it was added."""
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute):
            yield route


def access_of(route: RouteContext) -> Access | None:
    """The access that a route asks for; `None` for one for everybody."""
    for dependency in route.dependant.dependencies:
        if isinstance(dependency.call, Access):
            return dependency.call
    return None


def describe(app: FastAPI) -> dict[str, Any]:
    """The document of the application, made once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        components = document.setdefault("components", {})
        # FastAPI promises errors of its own, which our handlers replace.
        schemas = components["schemas"] = {
            name: schema
            for name, schema in components.get("schemas", {}).items()
            if name not in ("HTTPValidationError", "ValidationError")
        }
        schemas[_ERROR_NAME] = _ERROR
        components["securitySchemes"] = _SCHEMES
        for route in routes_of(app):
            if route.include_in_schema:
                _describe_route(route, document["paths"][route.path_format])
        app.openapi_schema = document
    return app.openapi_schema


def _describe_route(route: RouteContext, operations: dict[str, Any]) -> None:
    for method in route.methods or ():
        operation = operations[method.lower()]
        operation["responses"].pop("422", None)
        operation["responses"]["default"] = _ERROR_ANSWER
        if access := access_of(route):
            proofs = (_BEARER, _JOB_TOKEN) if access.action is Action.READ else (_BEARER,)
            # Or nothing: a server without identities asks its own machine for none.
            operation["security"] = [*({proof: []} for proof in proofs), {}]
