"""The native HTTP API: the server's properties and limits."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from ci_server.apis.native.present import server_json
from ci_server.http.guards import Lister
from ci_server.services.server_facts import ServerFacts

router = APIRouter()


async def _server_facts(request: Request) -> ServerFacts:
    facts: ServerFacts = request.app.state.server_facts
    return facts


@router.get("/server")
async def get_server(
    facts: Annotated[ServerFacts, Depends(_server_facts)], principal: Lister
) -> dict[str, Any]:
    """The server's properties and limits, and the caller's identity."""
    return server_json(facts, principal)
