"""The command `ci-admin`: where a process begins and ends."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from ci_admin.catalogue import app as catalogue_app
from ci_admin.command_group import CommandGroup
from ci_admin.identity_commands import key_app, user_app
from ci_admin.mails import app as mail_app
from ci_admin.secrets import app as secrets_app
from ci_admin.session_commands import app as session_app
from ci_admin.signed_urls import app as signed_urls_app
from ci_admin.webhooks import app as webhook_app
from ci_common.errors import (
    BadRequestError,
    InvalidIdentityError,
    InvalidSubscriptionError,
    RunnerError,
    SettingsError,
)
from ci_controller.executors.registry import load_settings

HEALTHY, PROBLEMS, USAGE, CANNOT_RUN = 0, 1, 2, 3

app = typer.Typer(
    name="ci-admin",
    cls=CommandGroup,
    help="Administer a CI server. Reads the server's environment variables (CI_DB_PATH, "
    "CI_DATA_DIR, ...). Exit codes: 0 success, 1 problems found, 2 usage error, 3 failed.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(user_app, name="user")
app.add_typer(key_app, name="key")
app.add_typer(session_app, name="session")
app.add_typer(secrets_app, name="secret")
app.add_typer(webhook_app, name="webhook")
app.add_typer(mail_app, name="mail")
app.add_typer(signed_urls_app, name="signed-urls")
app.add_typer(catalogue_app, name="catalogue")

File = Annotated[Path, typer.Argument(metavar="FILE", show_default=False)]


@app.command()
def backup(
    file: File,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists")] = False,
) -> None:
    """Back up the instance to FILE, a tar archive (gzipped if it ends with .gz or .tgz). The server
    may be running.
    """
    from ci_admin.instance import check_directory, require_database, stores_of
    from ci_persistence.backup.backup import Backup

    settings = load_settings()
    require_database(settings)
    check_directory(settings)
    summary = Backup(settings.db_path, stores_of(settings), file).make(replace=force)
    _warn(summary.warnings)
    _say(
        f"{file}: {summary.finished_jobs} finished and {summary.live_jobs} live jobs, "
        f"{summary.size} bytes, verified"
    )
    raise typer.Exit(PROBLEMS if summary.warnings else HEALTHY)


@app.command()
def restore(
    file: File,
    force: Annotated[
        bool, typer.Option("--force", help="Keep the existing state under another name")
    ] = False,
    new_instance: Annotated[
        bool,
        typer.Option(
            "--new-instance",
            help="Create a copy that can run beside the original: it gets its own id, and "
            "unfinished jobs are recorded as lost",
        ),
    ] = False,
) -> None:
    """Restore a backup from FILE. Stop all servers first."""
    from ci_persistence.backup.restore import Restore, RestorePlan

    settings = load_settings()
    plan = RestorePlan(file, settings.db_path, settings.data_path, force, new_instance)
    summary = Restore(plan).run()
    _warn(summary.warnings)
    for path in summary.kept:
        _say(f"kept: {path}")
    _say(
        f"{settings.db_path}: restored {summary.jobs} jobs, {summary.live_jobs} of them live, as "
        f"of {summary.header.created_at}"
    )
    raise typer.Exit(PROBLEMS if summary.warnings else HEALTHY)


@app.command()
def doctor(
    fix: Annotated[
        bool, typer.Option("--fix", help="Repair what can be repaired without losing anything")
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read all contents and compare checksums")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Output JSON")] = False,
) -> None:
    """Check that rows, files and containers match. The server may be running."""
    from ci_admin.doctor import consult

    report = asyncio.run(consult(load_settings(), fix=fix, deep=deep))
    typer.echo(report.to_json() if as_json else "\n".join(report.lines()))
    raise typer.Exit(HEALTHY if report.is_healthy else PROBLEMS)


@app.command()
def adopt() -> None:
    """Make CI_DATA_DIR the database's data directory although files of jobs are missing in it,
    after they were lost for good. The server may be running.
    """
    from ci_admin.instance import adopt_directory

    settings = load_settings()
    asyncio.run(adopt_directory(settings))
    _say(f"{settings.data_path}: now belongs to the database {settings.db_path}")


@app.command()
def usage(
    as_json: Annotated[bool, typer.Option("--json", help="Output JSON")] = False,
) -> None:
    """Show the jobs and the stored MiB of each tenant. The server may be running."""
    from ci_admin.usage import to_json, to_lines, usages_of

    found = asyncio.run(usages_of(load_settings()))
    typer.echo(to_json(found) if as_json else "\n".join(to_lines(found)))


@app.command()
def audit(
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            help="Only entries since then: an age such as 30m, 12h, 7d, 2w, or an RFC 3339 time",
            metavar="AGE",
        ),
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only actions of this user")] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Only actions in this tenant")
    ] = None,
    job: Annotated[
        str | None, typer.Option("--job", metavar="ID", help="Only actions on this job")
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", help="Only this action: submit, cancel, ...")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="Show at most N entries, the newest", metavar="N")
    ] = 100,
    as_json: Annotated[
        bool, typer.Option("--json", help="Output one JSON object per line")
    ] = False,
) -> None:
    """Show who did what to which job, and from where; newest last. The server may be running."""
    from ci_admin import audit as log
    from ci_common.job import utc_now
    from ci_common.ports.audit import AuditQuery

    start = log.since(since, utc_now()) if since else None
    query = AuditQuery(start, tenant, user, job, action, limit)
    for entry in asyncio.run(log.query_audit(load_settings(), query)):
        typer.echo(log.as_json(entry) if as_json else log.as_line(entry))


def main() -> None:
    """Run a command; whatever happens, an operator sees a message and never a traceback."""
    logging.basicConfig(level=logging.ERROR, format="ci-admin: %(message)s")
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_run(lambda: app(prog_name="ci-admin")))


def _run(command: Callable[[], object]) -> int:
    try:
        command()
    except (SettingsError, BadRequestError) as error:
        print(f"ci-admin: {error.message}", file=sys.stderr)
        return USAGE
    except RunnerError as error:
        print(f"ci-admin: {error.message}", file=sys.stderr)
        return (
            USAGE
            if isinstance(error, InvalidIdentityError | InvalidSubscriptionError)
            else CANNOT_RUN
        )
    except KeyboardInterrupt:
        return 130
    return HEALTHY


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        print(f"ci-admin: warning: {warning}", file=sys.stderr)


def _say(text: str) -> None:
    typer.echo(text)


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    # Not the default action: what was begun is removed on the way out.
    sys.exit(143)
