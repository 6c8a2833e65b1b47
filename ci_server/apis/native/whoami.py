"""The native HTTP dialect: who the caller is."""

from typing import Any

from fastapi import APIRouter

from ci_server.apis.native.present import caller_json
from ci_server.http.guards import Lister

router = APIRouter()


@router.get("/whoami")
async def whoami(principal: Lister) -> dict[str, Any]:
    """Whom the server takes the caller for, and what is known of their key."""
    return caller_json(principal)
