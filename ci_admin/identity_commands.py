"""`ci-admin user` and `ci-admin key`: their arguments, and what they print.

A new key goes to stdout, alone, and all words about it to stderr: `KEY=$(ci-admin key create …)`.
"""

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
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
user_app = typer.Typer(help="Create, list, disable, rename and delete users.", **_settings)
key_app = typer.Typer(help="Create, list, rotate and revoke API keys.", **_settings)

Json = Annotated[bool, typer.Option("--json", help="Output JSON")]
Lifetime = typer.Option(metavar="TIME", help="Lifetime, e.g. 90d, 12h, 30m, or never")
Address = Annotated[str, typer.Argument(metavar="EMAIL", help="The user's e-mail address")]
KeyReference = Annotated[
    str, typer.Argument(metavar="KEY", help="The key's id or prefix, as shown by `list`")
]
Email = Annotated[str, typer.Option(help="The user's e-mail address", show_default=False)]


@user_app.command("create")
def create_user(
    email: Annotated[
        str, typer.Option(help="E-mail address (identifies the user)", show_default=False)
    ],
    name: Annotated[str, typer.Option(help="The user's display name", show_default=False)],
    tenant: Annotated[
        str, typer.Option(help="Tenant (team) that the user belongs to")
    ] = LOCAL_TENANT,
) -> None:
    """Create a user. Once there is a user, every request to the server needs an API key."""
    user = User(canonical_email(email), checked_name(name), utc_now(), checked_tenant(tenant))
    entry = operator_entry(
        AuditAction.USER_CREATE, tenant=user.tenant, target=user.email, detail=user.name
    )
    database = load_settings().db_path
    is_new = not database.exists()
    _administer(lambda identities: identities.add_user(user, entry), create=True)
    if is_new:
        remark(f"created the database {database.absolute()}: start the server with this CI_DB_PATH")
    typer.echo(f"user {user.email} of the tenant {user.tenant}")
    remark(f"next, create a key: ci-admin key create --email {user.email} --name NAME")


@user_app.command("list")
def list_users(as_json: Json = False) -> None:
    """List all users."""
    users = _administer(lambda identities: identities.users())
    if as_json:
        return print_json([_user_fields(user) for user in users])
    return typer.echo(table(_USER_HEADINGS, [_user_row(user) for user in users]))


@user_app.command("disable")
def disable_user(email: Address) -> None:
    """Disable a user: the next request with any of their keys is refused. Their jobs continue."""
    user = _change_user(
        AuditAction.USER_DISABLE,
        email,
        lambda identities, user, entry: identities.disable_user(user.email, utc_now(), entry),
    )
    typer.echo(f"the user {user.email} is disabled")
    remark(f"to accept their keys again: ci-admin user enable {user.email}")


@user_app.command("enable")
def enable_user(email: Address) -> None:
    """Enable a disabled user: their keys are accepted again."""
    user = _change_user(
        AuditAction.USER_ENABLE,
        email,
        lambda identities, user, entry: identities.enable_user(user.email, entry),
    )
    typer.echo(f"the user {user.email} is enabled")


@user_app.command("delete")
def delete_user(email: Address) -> None:
    """Delete a user and their keys. Their jobs are kept and run to completion."""
    address = canonical_email(email)
    jobs = _change_user(
        AuditAction.USER_DELETE,
        email,
        lambda identities, user, entry: identities.delete_user(user.email, entry),
    )
    typer.echo(f"the user {address} is deleted, with all keys")
    if jobs:
        remark(
            f"{_jobs(jobs)} of {address} are kept; if you create a user with this address in the "
            "same tenant, the jobs are theirs"
        )


@user_app.command("rename")
def rename_user(
    email: Address,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The new e-mail address")],
) -> None:
    """Change a user's e-mail address. Keys remain valid; all jobs, even live ones, move along."""
    address, new_address = canonical_email(email), canonical_email(new)
    jobs = _change_user(
        AuditAction.USER_RENAME,
        email,
        lambda identities, user, entry: identities.rename_user(user.email, new_address, entry),
        detail=f"renamed to {new_address}",
    )
    typer.echo(f"the user {address} is now {new_address}")
    remark(f"{_jobs(jobs)} moved to the new address; existing audit log entries keep the old one")


@key_app.command("create")
def create_key(
    email: Email,
    name: Annotated[str, typer.Option(help="What the key is for", show_default=False)],
    role: Annotated[Role, typer.Option(help="Role: what the key permits")] = Role.SUBMITTER,
    expires: Annotated[str, Lifetime] = DEFAULT_EXPIRY,
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
    remark(
        f"the key {key.key_id} ({key.name}) of {address}, role {role.value}, "
        f"{_ends(until)}. It is not shown again; if it is lost, revoke it and create a new one"
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
        return print_json([_key_fields(key, now) for key in keys])
    headings = ("ID", "PREFIX", "NAME", "EMAIL", "ROLE", "STATE", "EXPIRES", "LAST USED")
    return typer.echo(table(headings, [_key_row(key, now) for key in keys]))


@key_app.command("rotate")
def rotate_key(
    key: KeyReference,
    grace: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Keep the old key valid for this long, e.g. 1h [default: revoke it at once]",
            show_default=False,
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Lifetime of the new key, e.g. 90d, or never [default: that of the old one]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Replace a key: a new one with the same user, name and role. It is printed once."""
    now, token = utc_now(), new_token()
    ends = now if grace is None else now + _lasting(grace, "--grace")

    async def rotate(identities: IdentityAdministration) -> tuple[ApiKey, ApiKey]:
        old = await identities.find_key(key)
        new = old.successor(new_key_id(), prefix_of(token), now)
        if expires is not None:
            new = replace(new, expires_at=_expiry(expires, now))
        entry = _describe(AuditAction.KEY_ROTATE, old, f", replaced by {new.key_id}")
        await identities.rotate(old.key_id, new, token_digest(token), ends, entry)
        return old, new

    old, new = _administer(rotate)
    typer.echo(token)
    ended = "is revoked" if grace is None else f"expires {moment(_earlier(old, ends))}"
    remark(
        f"the key {new.key_id} ({new.name}) of {new.user.email}, role {new.role.value}, "
        f"{_ends(new.expires_at)}. It is not shown again. The old key {old.key_id} {ended}"
    )


@key_app.command("revoke")
def revoke_key(key: KeyReference) -> None:
    """Revoke a key: the next request with it is refused. This cannot be undone."""

    async def revoke(identities: IdentityAdministration) -> tuple[ApiKey, ApiKey]:
        before = await identities.find_key(key)
        entry = _describe(AuditAction.KEY_REVOKE, before)
        return before, await identities.revoke(before.key_id, utc_now(), entry)

    before, after = _administer(revoke)
    state = "is revoked" if before.revoked_at is None else "was already revoked"
    typer.echo(f"the key {after.key_id} ({after.name}) of {after.user.email} {state}")


def _change_user(
    action: AuditAction,
    email: str,
    change: Callable[[IdentityAdministration, User, AuditEntry], Awaitable[T]],
    detail: str | None = None,
) -> T:
    async def carry_out(identities: IdentityAdministration) -> T:
        user = await identities.get_user(canonical_email(email))
        entry = operator_entry(action, tenant=user.tenant, target=user.email, detail=detail)
        return await change(identities, user, entry)

    return _administer(carry_out)


def _describe(action: AuditAction, key: ApiKey, more: str = "") -> AuditEntry:
    target = f"{key.key_id} of {key.user.email}"
    detail = f"{key.name}, role {key.role.value}{more}"
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
    return now + _lasting(text, "--expires", ", nor `never`")


def _lasting(text: str, option: str, otherwise: str = "") -> timedelta:
    found = re.fullmatch(r"([1-9][0-9]{0,6})([mhd])", text.strip().lower())
    lasts = int(found[1]) * _UNITS[found[2]] if found else None
    if lasts is None or lasts > _LONGEST:
        raise typer.BadParameter(
            f"{text[:40]!r} is not a duration such as 90d, 12h or 30m (at most 3650d){otherwise}",
            param_hint=f"'{option}'",
        )
    return lasts


def _earlier(key: ApiKey, end: datetime) -> datetime:
    return end if key.expires_at is None else min(key.expires_at, end)


_USER_HEADINGS = ("EMAIL", "NAME", "TENANT", "STATE", "CREATED")


def _user_row(user: User) -> tuple[str, ...]:
    return user.email, user.name, user.tenant, _user_state(user), moment(user.created_at)


def _user_state(user: User) -> str:
    return "active" if user.disabled_at is None else "disabled"


def _user_fields(user: User) -> dict[str, Any]:
    return {
        "email": user.email,
        "name": user.name,
        "tenant": user.tenant,
        "state": _user_state(user),
        "created_at": format_time(user.created_at),
        "disabled_at": format_time(user.disabled_at),
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
        "never" if key.expires_at is None else moment(key.expires_at),
        "-" if key.last_used_at is None else moment(key.last_used_at),
    )


def _ends(until: datetime | None) -> str:
    return "never expires" if until is None else f"expires {moment(until)}"


def _jobs(count: int) -> str:
    return f"{count} job{'' if count == 1 else 's'}"


def moment(at: datetime) -> str:
    """A time for people, to the minute."""
    return f"{at:%Y-%m-%d %H:%M}Z"


def print_json(found: list[dict[str, Any]]) -> None:
    """What `--json` prints."""
    typer.echo(json.dumps(found, indent=2))


def remark(text: str) -> None:
    """Words beside what was asked for."""
    print(f"ci-admin: {text}", file=sys.stderr)
