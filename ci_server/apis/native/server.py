"""The native HTTP dialect: what this server is."""

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
    """What this server is, what it allows, and who you are to it."""
    return server_json(facts, principal)
