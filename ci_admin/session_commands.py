"""`ci-admin session`: who is signed in with a browser, and ending that."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

import typer

from ci_admin.audit import operator_entry
from ci_admin.identity_commands import Json, moment, print_json, remark
from ci_admin.tables import table
from ci_common.errors import BadRequestError
from ci_common.identities import canonical_email
from ci_common.job import format_time, utc_now
from ci_common.ports.audit import AuditAction
from ci_common.ports.sessions import SessionAdministration
from ci_common.sessions import LIVE, Session
from ci_common.settings import Settings
from ci_controller.executors.registry import load_settings

T = TypeVar("T")

app = typer.Typer(
    help="List and revoke the sessions of browsers that are signed in to the dashboard.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

UserName = Annotated[
    str | None, typer.Option("--user", help="Only the sessions of this user", show_default=False)
]


@app.command("list")
def list_sessions(
    user: UserName = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Also sessions that have ended (kept for 7 days)")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the sessions of browsers."""
    settings, now = load_settings(), utc_now()
    idle = timedelta(seconds=settings.session_idle_seconds)
    found = _administer(settings, lambda rows: rows.sessions(_named(user)))
    shown = [one for one in found if all_ or one.state(now, idle) == LIVE]
    if as_json:
        return print_json([_fields(one, now, idle) for one in shown])
    headings = ("ID", "USER", "TENANT", "ROLE", "BY", "STATE", "BEGAN", "USED", "ENDS", "ADDRESS")
    return typer.echo(table(headings, [_line(one, now, idle) for one in shown]))


@app.command("revoke")
def revoke_sessions(
    session: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="The session's id, as shown by `list`"),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", help="All sessions of this user", show_default=False)
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All sessions of all users")] = False,
) -> None:
    """Revoke sessions: the browser's next request is refused, and its user has to sign in again."""
    if [session is not None, user is not None, all_].count(True) != 1:
        raise BadRequestError("name what to revoke: a session's ID, --user USER, or --all")

    async def revoke(rows: SessionAdministration) -> int:
        found = [
            one for one in await rows.sessions(_named(user)) if session in (None, one.session_id)
        ]
        if session is not None and not found:
            raise BadRequestError(
                f"there is no session {session[:40]!r}: `ci-admin session list` shows the ids"
            )
        count = 0
        for one in found:
            target = f"{one.session_id} of {one.user}"
            entry = operator_entry(AuditAction.SESSION_REVOKE, tenant=one.tenant, target=target)
            count += await rows.revoke(one.session_id, utc_now(), entry)
        return count

    count = _administer(load_settings(), revoke)
    typer.echo(f"{count} session{' is' if count == 1 else 's are'} revoked")
    if count:
        remark("API keys are still valid: `ci-admin key revoke KEY` revokes one, with its sessions")


def _named(user: str | None) -> str | None:
    """An issuer's users need not have addresses, and their names are compared as they are."""
    return canonical_email(user) if user is not None and "@" in user else user


def _administer(settings: Settings, act: Callable[[SessionAdministration], Awaitable[T]]) -> T:
    from ci_admin.instance import administered
    from ci_persistence.sqlite.sessions import SqliteSessions

    async def carry_out() -> T:
        async with administered(settings) as database:
            return await act(SqliteSessions(database))

    return asyncio.run(carry_out())


def _fields(session: Session, now: datetime, idle: timedelta) -> dict[str, Any]:
    return {
        "id": session.session_id,
        "user": session.user,
        "tenant": session.tenant,
        "role": session.stands_for.role.value,
        "key_id": session.key_id,
        "issuer": session.issuer,
        "state": session.state(now, idle),
        "begun_at": format_time(session.begun_at),
        "used_at": format_time(session.used_at),
        "ends_at": format_time(session.ends_at),
        "address": session.address,
        "agent": session.agent,
    }


def _line(session: Session, now: datetime, idle: timedelta) -> tuple[str, ...]:
    return (
        session.session_id,
        session.user,
        session.tenant,
        session.stands_for.role.value,
        f"key {session.key_id}" if session.key_id else session.issuer or "-",
        session.state(now, idle),
        moment(session.begun_at),
        moment(session.used_at),
        moment(session.ends_at),
        session.address or "-",
    )
