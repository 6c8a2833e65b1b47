"""`ci-admin signed-urls`: the key of the URLs that open one artifact without credentials."""

import typer

from ci_controller.executors.registry import load_settings
from ci_persistence.files.signed_url_keys import SignedUrlKeys

app = typer.Typer(
    help="Revoke signed URLs, with which anyone who has one can download an artifact.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def group() -> None:
    """Keep `rotate` a command of its own: Typer would make a group of one command that command."""


@app.command("rotate")
def rotate_command() -> None:
    """Sign with a new key. URLs of the last key stay valid until they expire, those of the key
    before are refused at once: rotate twice to revoke all URLs. Running servers need no restart.
    """
    from ci_admin.instance import check_directory, require_database

    settings = load_settings()
    require_database(settings)
    check_directory(settings)
    SignedUrlKeys(settings.data_path).rotate()
    typer.echo(
        "created a new signing key; URLs signed with the previous one stay valid until they expire"
    )
