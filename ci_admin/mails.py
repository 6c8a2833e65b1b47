"""`ci-admin mail`: who gets e-mail about a tenant's jobs."""

from typing import Annotated

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
from ci_common.deliveries import Subscription, new_subscription_id
from ci_common.errors import InvalidSubscriptionError
from ci_common.identities import checked_tenant
from ci_common.job import utc_now
from ci_common.job_events import JobEventKind
from ci_common.notify_targets import Channel, mail_target
from ci_common.ports.audit import AuditAction
from ci_common.principal import LOCAL_TENANT
from ci_controller.executors.registry import load_settings

app = typer.Typer(
    help="Send e-mail about a tenant's jobs, and show what was delivered.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("add")
def add_command(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", show_default=False)],
    tenant: Annotated[str, typer.Option(metavar="T", help="Tenant (team)")] = LOCAL_TENANT,
    event: Events = None,
    failures: Failures = False,
    private: Private = False,
) -> None:
    """Send a tenant's job events to an e-mail address, from now on."""
    try:
        mail_target(address)
    except ValueError as error:
        raise InvalidSubscriptionError(f"the address {error}") from None
    one = Subscription(
        new_subscription_id(Channel.MAIL),
        checked_tenant(tenant),
        Channel.MAIL,
        address,
        subscriptions.read_kinds(event or [JobEventKind.FINISHED.value]),
        utc_now(),
        private,
        failures,
    )
    entry = operator_entry(
        AuditAction.SUBSCRIPTION_ADD, tenant=one.tenant, target=one.subscription_id, detail=address
    )
    subscriptions.administer(lambda administration: administration.add(one, None, entry))
    typer.echo(f"mail {one.subscription_id} of the tenant {one.tenant}")
    remark_unknown_tenant(one.tenant)
    if load_settings().smtp_url is None:
        remark("CI_SMTP_URL is not set here; without it the server sends no e-mail")
    remark(f"next: ci-admin mail test {one.subscription_id}")


add_commands(app, Channel.MAIL)
