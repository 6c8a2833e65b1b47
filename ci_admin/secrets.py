"""`ci-admin secret`: what tenants keep here for their jobs. No value is ever shown."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer

from ci_admin.audit import operator_entry
from ci_common.errors import InvalidSecretError
from ci_common.job import format_time, utc_now
from ci_common.ports.audit import AuditAction
from ci_common.principal import LOCAL_PRINCIPAL
from ci_common.secret import MAX_SECRET_BYTES, Secret, check_name
from ci_controller.executors.registry import load_settings
from ci_persistence.sqlite.tenant_secrets import SqliteTenantSecrets

app = typer.Typer(
    help="Store secrets that a tenant's jobs can request by name, encrypted with CI_SECRET_KEY.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Tenant = Annotated[str, typer.Option(metavar="T", help="Tenant that the secret belongs to")]
Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]

_CHANGED_NOTHING = 1


@app.command("set")
def set_command(
    name: Name,
    tenant: Tenant = LOCAL_PRINCIPAL.tenant,
    file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Read the value from this file instead of stdin"),
    ] = None,
) -> None:
    """Set a secret. The value is read from stdin (without the trailing newline that `echo` adds)
    or from a file (unchanged).
    """
    check_name(name)
    secret = Secret(name, _value(file))
    is_new = asyncio.run(_set(tenant, secret))
    typer.echo(f"{name}: {'added' if is_new else 'replaced'} for the tenant {tenant}")


@app.command("list")
def list_command(
    tenant: Annotated[
        str | None,
        typer.Option(metavar="T", help="Only secrets of this tenant", show_default=False),
    ] = None,
) -> None:
    """List the names of secrets and when they were changed."""
    for line in asyncio.run(_lines(tenant)):
        typer.echo(line)


@app.command("delete")
def delete_command(name: Name, tenant: Tenant = LOCAL_PRINCIPAL.tenant) -> None:
    """Delete a secret. Jobs submitted before still get it."""
    if not asyncio.run(_delete(tenant, name)):
        typer.echo(f"ci-admin: the tenant {tenant} has no secret {name}", err=True)
        raise typer.Exit(_CHANGED_NOTHING)
    typer.echo(f"{name}: deleted")


def _value(file: Path | None) -> bytes:
    if file is not None:
        try:
            with file.open("rb") as content:
                return content.read(MAX_SECRET_BYTES + 1)
        except OSError as error:
            raise InvalidSecretError(f"{file} cannot be read: {error.strerror}") from error
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass("Value (not shown): ").encode()
    return sys.stdin.buffer.read(MAX_SECRET_BYTES + 2).removesuffix(b"\n")


@asynccontextmanager
async def _opened() -> AsyncIterator[SqliteTenantSecrets]:
    from ci_admin.instance import administered, check_directory
    from ci_persistence.files.secret_keys import SecretKeys

    settings = load_settings()
    check_directory(settings)  # or its jobs could not be given what is encrypted here
    keys = SecretKeys(settings.data_path, settings.secret_keys)
    async with administered(settings) as database:
        yield SqliteTenantSecrets(database, keys)


async def _set(tenant: str, secret: Secret) -> bool:
    entry = operator_entry(AuditAction.SECRET_SET, tenant=tenant, target=secret.name)
    async with _opened() as secrets:
        return await secrets.put(tenant, secret, utc_now(), entry)


async def _lines(tenant: str | None) -> list[str]:
    async with _opened() as secrets:
        entries = await secrets.entries(tenant)
    return [f"{one.tenant}  {one.name}  {format_time(one.changed_at)}" for one in entries]


async def _delete(tenant: str, name: str) -> bool:
    entry = operator_entry(AuditAction.SECRET_DELETE, tenant=tenant, target=name)
    async with _opened() as secrets:
        return await secrets.delete(tenant, name, entry)
