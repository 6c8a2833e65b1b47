"""`ci-admin webhook`: their arguments, and what they print.

A signing secret goes to stdout, alone, and all words about it to stderr.
"""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from ci_admin import subscriptions
from ci_admin.audit import operator_entry
from ci_common.deliveries import (
    OF_JOBS,
    DeliveryState,
    Subscription,
    new_subscription_id,
)
from ci_common.durations import parse_seconds
from ci_common.errors import InvalidSubscriptionError, SubscriptionError
from ci_common.identities import checked_tenant
from ci_common.job import utc_now
from ci_common.job_events import JobEventKind
from ci_common.notify_targets import Channel, webhook_target
from ci_common.ports.audit import AuditAction, AuditEntry
from ci_common.ports.delivery import DeliveryAdministration
from ci_common.principal import LOCAL_TENANT
from ci_common.webhook_signing import new_signing_key, read_secret, secret_text

app = typer.Typer(
    help="Send signed HTTP requests about a tenant's jobs, and see what became of them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_CHANGED_NOTHING = 1
_JOBS = "jobs"

Id = Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it", show_default=False)]
KeyOwner = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="A webhook, or `jobs`: what jobs ask for with --notify",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Output JSON")]
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
    event: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="Event to send: submitted, claimed, started, cancel_requested, retried, "
            "finished, deleted, or all; may be repeated [default: finished]",
            show_default=False,
        ),
    ] = None,
    failures: Annotated[
        bool, typer.Option("--failures", help="Of finished jobs, send only those that failed")
    ] = False,
    private: Annotated[
        bool, typer.Option("--private", help="Send events of private jobs, too")
    ] = False,
    secret_file: SecretFile = None,
) -> None:
    """Send a tenant's job events to a URL, from now on. Prints the secret that signs them."""
    try:
        webhook_target(url)
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
    _remark(f"webhook {one.subscription_id} of the tenant {one.tenant}")
    _remark(f"next: ci-admin webhook test {one.subscription_id}. Its signing secret:")
    typer.echo(secret_text(key))


@app.command("list")
def list_command(
    tenant: Annotated[
        str | None, typer.Option(metavar="T", help="Only this tenant's", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """List webhooks. Their URLs may be secrets."""
    everything = subscriptions.administer(lambda them: them.subscriptions(tenant))
    found = [one for one in everything if one.channel is Channel.WEBHOOK]
    show = subscriptions.subscriptions_json if as_json else subscriptions.subscriptions_text
    typer.echo(show(found))


@app.command("remove")
def remove_command(webhook: Id) -> None:
    """Remove a webhook. What it has not delivered yet is given up."""
    subscriptions.administer(lambda them: subscriptions.remove(them, Channel.WEBHOOK, webhook))
    typer.echo(f"{webhook}: removed")


@app.command("disable")
def disable_command(webhook: Id) -> None:
    """Send no more events to a webhook. What it has not delivered yet is given up."""
    subscriptions.administer(
        lambda them: subscriptions.enable(them, Channel.WEBHOOK, webhook, "by the operator")
    )
    typer.echo(f"{webhook}: disabled")


@app.command("enable")
def enable_command(webhook: Id) -> None:
    """Send events to a webhook again, from now on."""
    subscriptions.administer(
        lambda them: subscriptions.enable(them, Channel.WEBHOOK, webhook, None)
    )
    typer.echo(f"{webhook}: enabled")


@app.command("test")
def test_command(webhook: Id) -> None:
    """Have the running server send a test message, and show what the receiver answered."""
    delivery = subscriptions.administer(
        lambda them: subscriptions.send_test(them, Channel.WEBHOOK, webhook)
    )
    if delivery.state is not DeliveryState.DELIVERED:
        _remark(f"{delivery.message.message_id} was not delivered: {delivery.error}")
        raise typer.Exit(_CHANGED_NOTHING)
    typer.echo(f"{delivery.message.message_id}: delivered ({delivery.status_code})")


@app.command("secret")
def secret_command(webhook: KeyOwner, tenant: Tenant = LOCAL_TENANT) -> None:
    """Print the signing secret of a webhook; `jobs` is that of what a tenant's jobs ask for."""
    typer.echo(secret_text(subscriptions.administer(lambda them: _shown(them, webhook, tenant))))


@app.command("rotate")
def rotate_command(
    webhook: KeyOwner,
    tenant: Tenant = LOCAL_TENANT,
    keep: Annotated[
        str, typer.Option(metavar="TIME", help="Sign with the old secret, too, for so long")
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
    _remark(f"the old secret of {webhook} ends in {keep}. The new one:")
    typer.echo(secret_text(key))


@app.command("deliveries")
def deliveries_command(
    webhook: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Only of this webhook", show_default=False)
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(metavar="T", help="Only of this tenant", show_default=False)
    ] = None,
    state: Annotated[
        DeliveryState | None, typer.Option(help="Only in this state", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most N, the newest")] = 50,
    as_json: Json = False,
) -> None:
    """Show messages and what became of them, oldest first; with --json also what was sent."""
    found = subscriptions.administer(
        lambda them: them.deliveries(owner=webhook, tenant=tenant, state=state, limit=limit)
    )
    found = [one for one in found if one.message.channel is Channel.WEBHOOK]
    show = subscriptions.deliveries_json if as_json else subscriptions.deliveries_text
    typer.echo(show(found))


@app.command("redeliver")
def redeliver_command(
    messages: Annotated[
        list[str] | None, typer.Argument(metavar="[MESSAGE]...", show_default=False)
    ] = None,
    failed: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="All that were given up of this webhook", show_default=False
        ),
    ] = None,
) -> None:
    """Deliver messages again, with the same ids."""
    if not messages and failed is None:
        raise InvalidSubscriptionError(
            "name messages, as `ci-admin webhook deliveries` shows them, or --failed ID"
        )
    done = subscriptions.administer(
        lambda them: subscriptions.redeliver(them, Channel.WEBHOOK, messages or [], failed)
    )
    typer.echo(f"{len(done)} message{'' if len(done) == 1 else 's'} will be delivered again")


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


def _remark(text: str) -> None:
    print(f"ci-admin: {text}", file=sys.stderr)
