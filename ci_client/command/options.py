"""What commands have in common: options, arguments, and how they end."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ci_client.library.config import ServerChoice

SETTINGS: dict[str, Any] = {
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
"""Of every program and group of commands."""

Server = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="Address of the server [default: $CI_SERVER_URL or ~/.ci/config]"
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="API key [default: $CI_API_KEY or ~/.ci/config; prefer these, because other users "
        "can see command lines]",
        show_default=False,
    ),
]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id", show_default=False)]
Include = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Include matching files even if hidden or git-ignored; may be repeated",
        show_default=False,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Leave out matching files (.gitignore syntax); may be repeated",
        show_default=False,
    ),
]
Priority = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=10,
        metavar="N",
        help="0 (lowest) to 10 (highest), default 0; orders the jobs of your tenant",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Output JSON")]


def server_choice(server: str | None, api_key: str | None) -> "ServerChoice":
    """What was given on the command line."""
    from ci_client.library.config import ServerChoice

    return ServerChoice(server, api_key)


def reported(command: Callable[..., int]) -> Callable[..., None]:
    """End the process with the command's exit code, and with a message where it has none."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        from ci_client.command.error_boundary import guarded

        raise typer.Exit(guarded(lambda: command(*args, **options)))

    return run
