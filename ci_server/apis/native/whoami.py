"""The native HTTP API: the caller's identity."""

from typing import Any

from fastapi import APIRouter

from ci_server.apis.native.present import caller_json
from ci_server.http.guards import Lister

router = APIRouter()


@router.get("/whoami")
async def whoami(principal: Lister) -> dict[str, Any]:
    """The caller's identity, and facts about their API key."""
    return caller_json(principal)
