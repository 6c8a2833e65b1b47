"""What `ci-admin webhook` and `ci-admin mail` have in common: list, test, deliveries, and so on."""

import sys
from typing import Annotated

import typer

from ci_admin import subscriptions
from ci_admin.tenants import unknown_tenant_note
from ci_common.deliveries import DeliveryState
from ci_common.errors import InvalidSubscriptionError
from ci_common.notify_targets import Channel

_CHANGED_NOTHING = 1

Events = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        metavar="KIND",
        help="Event to send: submitted, claimed, started, cancel_requested, retried, finished, "
        "deleted, or all; may be repeated [default: finished]",
        show_default=False,
    ),
]
Failures = Annotated[
    bool, typer.Option("--failures", help="Of finished jobs, send only those that did not pass")
]
Private = Annotated[bool, typer.Option("--private", help="Send events of private jobs, too")]

_Id = Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it", show_default=False)]
_Json = Annotated[bool, typer.Option("--json", help="Output JSON")]
_Tenant = Annotated[
    str | None, typer.Option(metavar="T", help="Only this tenant's", show_default=False)
]


def remark(text: str) -> None:
    """Say something that is no result."""
    print(f"ci-admin: {text}", file=sys.stderr)


def remark_unknown_tenant(tenant: str) -> None:
    """Tell of a tenant that may be a typo."""
    if note := unknown_tenant_note(tenant):
        remark(note)


def add_commands(app: typer.Typer, channel: Channel) -> None:
    """Add the commands for subscriptions of a channel."""
    _add_list(app, channel)
    _add_changes(app, channel)
    _add_test(app, channel)
    _add_deliveries(app, channel)
    _add_redeliver(app, channel)


def _add_list(app: typer.Typer, channel: Channel) -> None:
    @app.command("list", help="List all. URLs can contain secrets.")
    def list_command(tenant: _Tenant = None, as_json: _Json = False) -> None:
        everything = subscriptions.administer(lambda them: them.subscriptions(tenant))
        found = [one for one in everything if one.channel is channel]
        show = subscriptions.subscriptions_json if as_json else subscriptions.subscriptions_text
        typer.echo(show(found))


def _add_changes(app: typer.Typer, channel: Channel) -> None:
    @app.command("remove", help="Remove one. Its pending messages are given up.")
    def remove_command(subscription: _Id) -> None:
        subscriptions.administer(lambda them: subscriptions.remove(them, channel, subscription))
        typer.echo(f"{subscription}: removed")

    @app.command("disable", help="Stop sending events. Pending messages are given up.")
    def disable_command(subscription: _Id) -> None:
        subscriptions.administer(
            lambda them: subscriptions.enable(them, channel, subscription, "by the operator")
        )
        typer.echo(f"{subscription}: disabled")

    @app.command("enable", help="Send events again, from now on.")
    def enable_command(subscription: _Id) -> None:
        subscriptions.administer(
            lambda them: subscriptions.enable(them, channel, subscription, None)
        )
        typer.echo(f"{subscription}: enabled")


def _add_test(app: typer.Typer, channel: Channel) -> None:
    @app.command("test", help="Have the running server send a test message, and show the answer.")
    def test_command(subscription: _Id) -> None:
        delivery = subscriptions.administer(
            lambda them: subscriptions.send_test(them, channel, subscription)
        )
        if delivery.state is not DeliveryState.DELIVERED:
            remark(f"{delivery.message.message_id} was not delivered: {delivery.error}")
            raise typer.Exit(_CHANGED_NOTHING)
        answer = f" ({delivery.status_code})" if delivery.status_code else ""
        typer.echo(f"{delivery.message.message_id}: delivered{answer}")


def _add_deliveries(app: typer.Typer, channel: Channel) -> None:
    @app.command(
        "deliveries",
        help="Show messages and their state, oldest first; --json adds what was sent.",
    )
    def deliveries_command(
        subscription: Annotated[
            str | None, typer.Argument(metavar="ID", help="Only of this one", show_default=False)
        ] = None,
        tenant: _Tenant = None,
        state: Annotated[
            DeliveryState | None, typer.Option(help="Only in this state", show_default=False)
        ] = None,
        limit: Annotated[int, typer.Option(min=1, metavar="N", help="The newest N")] = 50,
        as_json: _Json = False,
    ) -> None:
        found = subscriptions.administer(
            lambda them: them.deliveries(
                channel, owner=subscription, tenant=tenant, state=state, limit=limit
            )
        )
        show = subscriptions.deliveries_json if as_json else subscriptions.deliveries_text
        typer.echo(show(found))


def _add_redeliver(app: typer.Typer, channel: Channel) -> None:
    @app.command("redeliver", help="Deliver messages again, with the same ids.")
    def redeliver_command(
        messages: Annotated[
            list[str] | None, typer.Argument(metavar="MESSAGE", show_default=False)
        ] = None,
        failed: Annotated[
            str | None,
            typer.Option(
                metavar="ID", help="All messages of this one that were given up", show_default=False
            ),
        ] = None,
    ) -> None:
        if not messages and failed is None:
            raise InvalidSubscriptionError(
                f"name messages, as `ci-admin {channel.value} deliveries` shows them, or --failed "
                "ID"
            )
        done = subscriptions.administer(
            lambda them: subscriptions.redeliver(them, channel, messages or [], failed)
        )
        typer.echo(f"{len(done)} message{'' if len(done) == 1 else 's'} will be delivered again")
