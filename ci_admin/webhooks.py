"""`ci-admin webhook`: their arguments, and what they print.

A signing secret goes to stdout, alone, and all words about it to stderr.
"""

from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from ci_admin import subscriptions
from ci_admin.audit import operator_entry
from ci_admin.subscription_commands import (
    Events,
    Failures,
    Private,
    add_commands,
    remark,
    remark_unknown_tenant,
)
from ci_common.deliveries import (
    OF_JOBS,
    Subscription,
    new_subscription_id,
)
from ci_common.durations import parse_seconds
from ci_common.errors import InvalidSubscriptionError, SubscriptionError
from ci_common.identities import checked_tenant
from ci_common.job import utc_now
from ci_common.job_events import JobEventKind
from ci_common.notify_targets import Channel, NotifyTarget, webhook_target
from ci_common.ports.audit import AuditAction, AuditEntry
from ci_common.ports.delivery import DeliveryAdministration
from ci_common.principal import LOCAL_TENANT
from ci_common.webhook_signing import new_signing_key, read_secret, secret_text
from ci_controller.executors.registry import load_settings

app = typer.Typer(
    help="Send signed HTTP requests about a tenant's jobs, and show what was delivered.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_JOBS = "jobs"

KeyOwner = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="A webhook, or `jobs`: what jobs ask for with --notify",
        show_default=False,
    ),
]
Tenant = Annotated[str, typer.Option(metavar="T", help="Tenant (team)")]
SecretFile = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH", help="Use the secret (whsec_...) in this file", show_default=False
    ),
]


@app.command("add")
def add_command(
    url: Annotated[str, typer.Argument(metavar="URL", show_default=False)],
    tenant: Tenant = LOCAL_TENANT,
    event: Events = None,
    failures: Failures = False,
    private: Private = False,
    secret_file: SecretFile = None,
) -> None:
    """Send a tenant's job events to a URL, from now on. Prints the secret that signs them."""
    try:
        target = webhook_target(url)
    except ValueError as error:
        raise InvalidSubscriptionError(f"the URL {error}") from None
    key = _key(secret_file)
    one = Subscription(
        new_subscription_id(Channel.WEBHOOK),
        checked_tenant(tenant),
        Channel.WEBHOOK,
        url,
        subscriptions.read_kinds(event or [JobEventKind.FINISHED.value]),
        utc_now(),
        private,
        failures,
    )
    entry = operator_entry(
        AuditAction.SUBSCRIPTION_ADD, tenant=one.tenant, target=one.subscription_id
    )
    subscriptions.administer(lambda administration: administration.add(one, key, entry))
    remark(f"webhook {one.subscription_id} of the tenant {one.tenant}")
    remark_unknown_tenant(one.tenant)
    _remark_unreachable(target)
    remark(f"next: ci-admin webhook test {one.subscription_id}. Its signing secret:")
    typer.echo(secret_text(key))


add_commands(app, Channel.WEBHOOK)


@app.command("secret")
def secret_command(webhook: KeyOwner, tenant: Tenant = LOCAL_TENANT) -> None:
    """Print the signing secret of a webhook; `jobs` is that of what a tenant's jobs ask for."""
    typer.echo(secret_text(subscriptions.administer(lambda them: _shown(them, webhook, tenant))))


@app.command("rotate")
def rotate_command(
    webhook: KeyOwner,
    tenant: Tenant = LOCAL_TENANT,
    keep: Annotated[
        str, typer.Option(metavar="TIME", help="How long to sign with the old secret, too")
    ] = "24h",
    secret_file: SecretFile = None,
) -> None:
    """Replace a signing secret. Messages carry two signatures until the old secret ends."""
    try:
        kept = parse_seconds(keep)
    except ValueError as error:
        raise InvalidSubscriptionError(f"--keep: {error}") from None
    key = _key(secret_file)
    subscriptions.administer(lambda them: _rotate(them, webhook, tenant, key, kept))
    remark(f"the old secret of {webhook} stays valid for {keep}. The new one:")
    typer.echo(secret_text(key))


def _remark_unreachable(target: NotifyTarget) -> None:
    encrypted = urlsplit(target.address).scheme == "https"
    if why := load_settings().webhook_addresses.refusal(target.host, encrypted=encrypted):
        remark(f"note: with these settings nothing will be sent there: {why}")


async def _shown(administration: DeliveryAdministration, webhook: str, tenant: str) -> bytes:
    place = await _place(administration, webhook, tenant)
    key = await administration.key(*place)
    if key is None and place[1] == OF_JOBS:
        key = new_signing_key()
        await administration.set_key(*place, key, None, _rotated(place))
    if key is None:
        raise SubscriptionError(
            f"{webhook} has no signing secret: `ci-admin webhook rotate {webhook}` makes one"
        )
    return key


async def _rotate(
    administration: DeliveryAdministration, webhook: str, tenant: str, key: bytes, seconds: float
) -> None:
    place = await _place(administration, webhook, tenant)
    until = utc_now() + timedelta(seconds=seconds) if seconds else None
    await administration.set_key(*place, key, until, _rotated(place))


def _rotated(place: tuple[str, str]) -> AuditEntry:
    tenant, owner = place
    return operator_entry(AuditAction.SIGNING_SECRET_ROTATE, tenant=tenant, target=owner or _JOBS)


async def _place(
    administration: DeliveryAdministration, webhook: str, tenant: str
) -> tuple[str, str]:
    """The tenant and the owner of a signing secret."""
    if webhook == _JOBS:
        return checked_tenant(tenant), OF_JOBS
    one = await subscriptions.find(administration, Channel.WEBHOOK, webhook)
    return one.tenant, one.subscription_id


def _key(secret_file: Path | None) -> bytes:
    if secret_file is None:
        return new_signing_key()
    try:
        return read_secret(secret_file.read_text().strip())
    except OSError as error:
        raise InvalidSubscriptionError(f"{secret_file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidSubscriptionError(f"{secret_file}: {error}") from None
