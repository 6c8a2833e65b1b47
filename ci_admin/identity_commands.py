"""`ci-admin user` and `ci-admin key`: their arguments, and what they print.

A new key goes to stdout, alone, and all words about it to stderr: `KEY=$(ci-admin key create …)`.
"""

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

import typer

from ci_admin.audit import operator_entry
from ci_admin.tables import table
from ci_common.identities import (
    ApiKey,
    User,
    canonical_email,
    checked_name,
    checked_tenant,
    new_key_id,
    new_token,
    prefix_of,
    token_digest,
)
from ci_common.job import format_time, utc_now
from ci_common.ports.audit import AuditAction, AuditEntry
from ci_common.ports.identities import IdentityAdministration
from ci_common.principal import LOCAL_TENANT, Role
from ci_controller.executors.registry import load_settings

DEFAULT_EXPIRY = "90d"

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_LONGEST = timedelta(days=3650)

T = TypeVar("T")

_settings: dict[str, Any] = {"no_args_is_help": True, "rich_markup_mode": None}
user_app = typer.Typer(help="Create and list users.", **_settings)
key_app = typer.Typer(help="Create, list and revoke API keys.", **_settings)

Json = Annotated[bool, typer.Option("--json", help="Output JSON")]
Email = Annotated[str, typer.Option(help="The user's e-mail address", show_default=False)]


@user_app.command("create")
def create_user(
    email: Annotated[
        str, typer.Option(help="E-mail address, which identifies the user", show_default=False)
    ],
    name: Annotated[str, typer.Option(help="The user's display name", show_default=False)],
    tenant: Annotated[
        str, typer.Option(help="Tenant (team) that the user belongs to")
    ] = LOCAL_TENANT,
) -> None:
    """Create a user. From the first user on, every request to the server needs a key."""
    user = User(canonical_email(email), checked_name(name), utc_now(), checked_tenant(tenant))
    entry = operator_entry(
        AuditAction.USER_CREATE, tenant=user.tenant, target=user.email, detail=user.name
    )
    database = load_settings().db_path
    is_new = not database.exists()
    _administer(lambda identities: identities.add_user(user, entry), create=True)
    if is_new:
        _remark(
            f"created the database {database.absolute()}: start the server with this CI_DB_PATH"
        )
    typer.echo(f"user {user.email} of the tenant {user.tenant}")
    _remark(f"next, a key: ci-admin key create --email {user.email} --name NAME")


@user_app.command("list")
def list_users(as_json: Json = False) -> None:
    """List all users."""
    users = _administer(lambda identities: identities.users())
    if as_json:
        return _print_json([_user_fields(user) for user in users])
    rows = [(user.email, user.name, user.tenant, _moment(user.created_at)) for user in users]
    return typer.echo(table(("EMAIL", "NAME", "TENANT", "CREATED"), rows))


@key_app.command("create")
def create_key(
    email: Email,
    name: Annotated[str, typer.Option(help="What the key is for", show_default=False)],
    role: Annotated[Role, typer.Option(help="What the key permits")] = Role.SUBMITTER,
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="Lifetime, e.g. 90d, 12h, 30m, or never")
    ] = DEFAULT_EXPIRY,
) -> None:
    """Create an API key for a user. It is printed once; only its SHA-256 is stored."""
    now, token = utc_now(), new_token()
    until = _expiry(expires, now)
    address, called = canonical_email(email), checked_name(name)

    async def add(identities: IdentityAdministration) -> ApiKey:
        user = await identities.get_user(address)
        key = ApiKey(new_key_id(), prefix_of(token), called, user, role, now, until)
        await identities.add_key(key, token_digest(token), _describe(AuditAction.KEY_CREATE, key))
        return key

    key = _administer(add)
    typer.echo(token)
    _remark(
        f"the key {key.key_id} ({key.name}) of {address}, role {role.value}, "
        f"{'never expires' if until is None else f'expires {_moment(until)}'}. "
        "It is not shown again; if it is lost, revoke it and create a new one"
    )


@key_app.command("list")
def list_keys(
    email: Annotated[
        str | None, typer.Option(help="Only the keys of this user", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """List all keys, including revoked ones, by their first characters."""
    address = None if email is None else canonical_email(email)
    keys = _administer(lambda identities: identities.keys(address))
    now = utc_now()
    if as_json:
        return _print_json([_key_fields(key, now) for key in keys])
    headings = ("ID", "PREFIX", "NAME", "EMAIL", "ROLE", "STATE", "EXPIRES", "LAST USED")
    return typer.echo(table(headings, [_key_row(key, now) for key in keys]))


@key_app.command("revoke")
def revoke_key(
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="The key's id or prefix, as shown by `list`")
    ],
) -> None:
    """Revoke a key: the next request with it is refused. This cannot be undone."""

    async def revoke(identities: IdentityAdministration) -> tuple[ApiKey, ApiKey]:
        before = await identities.find_key(key)
        entry = _describe(AuditAction.KEY_REVOKE, before)
        return before, await identities.revoke(before.key_id, utc_now(), entry)

    before, after = _administer(revoke)
    state = "is revoked" if before.revoked_at is None else "was revoked already"
    typer.echo(f"the key {after.key_id} ({after.name}) of {after.user.email} {state}")


def _describe(action: AuditAction, key: ApiKey) -> AuditEntry:
    target = f"{key.key_id} of {key.user.email}"
    detail = f"{key.name}, role {key.role.value}"
    return operator_entry(action, tenant=key.user.tenant, target=target, detail=detail)


def _administer(
    change: Callable[[IdentityAdministration], Awaitable[T]], *, create: bool = False
) -> T:
    from ci_admin.instance import administered
    from ci_persistence.sqlite.identities import SqliteIdentityAdministration

    async def carry_out() -> T:
        async with administered(load_settings(), create=create) as database:
            return await change(SqliteIdentityAdministration(database))

    return asyncio.run(carry_out())


def _expiry(text: str, now: datetime) -> datetime | None:
    """When a key made now ends. Raises BadParameter."""
    if text.strip().lower() == "never":
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,6})([mhd])", text.strip().lower())
    lasts = int(found[1]) * _UNITS[found[2]] if found else None
    if lasts is None or lasts > _LONGEST:
        raise typer.BadParameter(
            f"{text[:40]!r} is not a time such as 90d, 12h or 30m (at most 3650d), nor `never`",
            param_hint="'--expires'",
        )
    return now + lasts


def _user_fields(user: User) -> dict[str, Any]:
    return {
        "email": user.email,
        "name": user.name,
        "tenant": user.tenant,
        "created_at": format_time(user.created_at),
    }


def _key_fields(key: ApiKey, now: datetime) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "prefix": key.prefix,
        "name": key.name,
        "email": key.user.email,
        "tenant": key.user.tenant,
        "role": key.role.value,
        "state": key.state(now),
        "created_at": format_time(key.created_at),
        "expires_at": format_time(key.expires_at),
        "last_used_at": format_time(key.last_used_at),
        "revoked_at": format_time(key.revoked_at),
    }


def _key_row(key: ApiKey, now: datetime) -> tuple[str, ...]:
    return (
        key.key_id,
        key.prefix,
        key.name,
        key.user.email,
        key.role.value,
        key.state(now),
        "never" if key.expires_at is None else _moment(key.expires_at),
        "-" if key.last_used_at is None else _moment(key.last_used_at),
    )


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}Z"


def _print_json(found: list[dict[str, Any]]) -> None:
    typer.echo(json.dumps(found, indent=2))


def _remark(text: str) -> None:
    print(f"ci-admin: {text}", file=sys.stderr)
