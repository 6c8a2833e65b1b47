"""Options that commands have in common, before and behind the command's name."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ci_worker.connection import (
    DEFAULT_DIRECTORY,
    DEFAULT_SERVER,
    DIRECTORY_VARIABLE,
    SERVER_VARIABLE,
    Choice,
    connected,
)
from ci_worker.failures import guarded

SETTINGS: dict[str, Any] = {
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "no_args_is_help": True,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}

Server = Annotated[
    str | None,
    typer.Option(
        "-s",
        "--server",
        metavar="HOST:PORT",
        help=f"Address of the server [default: ${SERVER_VARIABLE} or {DEFAULT_SERVER}]",
        show_default=False,
    ),
]


def _file(option: str, name: str, what: str) -> Any:
    default = f"{name} in ${DIRECTORY_VARIABLE} or {DEFAULT_DIRECTORY}/"
    return typer.Option(
        option, metavar="FILE", help=f"{what} [default: {default}]", show_default=False
    )


Cert = Annotated[str | None, _file("--cert", "client-cert.pem", "Client certificate")]
Key = Annotated[
    str | None, _file("--key", "client-key.pem", "Private key of the client certificate")
]
Ca = Annotated[
    str | None, _file("--ca", "ca-cert.pem", "Certificate of the certificate authority (CA)")
]
Json = Annotated[bool, typer.Option("--json", help="Output JSON")]
JobId = Annotated[
    str,
    typer.Argument(metavar="ID", help="The job's id, or a unique prefix of it", show_default=False),
]


_NOTHING = Choice()


def remember(context: typer.Context, choice: Choice, as_json: bool) -> None:
    """Keep what stands before the command's name."""
    context.obj = (choice, as_json)


def choice_of(
    context: typer.Context, choice: Choice = _NOTHING, as_json: bool = False
) -> tuple[Choice, bool]:
    """What stands behind the command's name, and before it."""
    before, json_before = context.obj or (_NOTHING, False)
    return choice.over(before), as_json or json_before


def carry_out(command: Callable[[], None], *, as_json: bool) -> None:
    """Run it, and end the process with its exit code."""
    raise typer.Exit(guarded(command, as_json=as_json))


def _chosen(
    context: typer.Context,
    server: Server = None,
    cert: Cert = None,
    key: Key = None,
    ca: Ca = None,
    as_json: Json = False,
) -> tuple[Choice, bool]:
    """The options of every command that talks to a server."""
    return choice_of(context, Choice(server, cert, key, ca), as_json)


_COMMON = inspect.signature(_chosen).parameters


def with_service(command: Callable[..., None]) -> Callable[..., None]:
    """A command of a function that takes the service, whether JSON is wanted, and then what is the
    command's own; with the options that say which service.
    """

    def run(**arguments: Any) -> None:
        choice, as_json = _chosen(**{name: arguments.pop(name) for name in _COMMON})

        def call() -> None:
            with connected(choice) as service:
                command(service, as_json, **arguments)

        carry_out(call, as_json=as_json)

    _, _, *own = inspect.signature(command).parameters.values()
    parameters = [each.replace(kind=each.KEYWORD_ONLY) for each in (*own, *_COMMON.values())]
    # typer makes arguments and options of these.
    vars(run)["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run
