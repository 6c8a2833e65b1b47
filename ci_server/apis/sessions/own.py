"""`/sessions`: where one is signed in, and signing out there."""

from typing import Any

from fastapi import APIRouter, Request, Response

from ci_common.job import format_time
from ci_server.apis.sessions.api import Api, Control
from ci_server.http.guards import SessionOwner
from ci_server.services.sessions import OwnSession

router = APIRouter(prefix="/sessions")


@router.get("")
async def list_sessions(api: Api, principal: SessionOwner) -> list[dict[str, Any]]:
    """The caller's own live sessions, whatever credentials the caller has."""
    return [own_session_json(each) for each in await api.service.own(principal)]


@router.delete("")
async def end_other_sessions(api: Api, principal: SessionOwner) -> dict[str, int]:
    """End the caller's own sessions, but for the one whose cookie this request has."""
    return {"ended": await api.service.end_others(principal)}


@router.delete("/{session_id}", status_code=204)
async def end_session(
    request: Request, session_id: str, api: Api, control: Control, principal: SessionOwner
) -> Response:
    """End one of the caller's own sessions."""
    await api.service.end(principal, session_id)
    response = Response(status_code=204)
    if principal.session is not None and principal.session.session_id == session_id:
        api.forget(response, control.credentials_of(request))
    return response


def own_session_json(own: OwnSession) -> dict[str, Any]:
    """One of them as clients see it."""
    session = own.session
    return {
        "id": session.session_id,
        "current": own.is_current,
        "role": session.stands_for.role.value,
        "begun_at": format_time(session.begun_at),
        "used_at": format_time(session.used_at),
        "ends_at": format_time(session.ends_at),
        "idle_ends_at": format_time(own.idle_end),
        "address": session.address,
        "agent": session.agent,
    }
