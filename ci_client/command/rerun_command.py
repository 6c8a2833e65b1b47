"""`ci rerun`: its arguments and its help."""

from collections.abc import Sequence

import click

from ci_client.command import options, submit_options
from ci_client.command.options import server_choice
from ci_client.command.programs import AFTER_OPTIONAL, HELP, Command, exits


@click.command(
    cls=Command,
    context_settings=HELP,
    short_help="Run a job again, with the files it was submitted with.",
    examples=(
        ("ci rerun", "my newest job"),
        ("ci rerun 0b5d6f3e --secret PYPI_TOKEN", "pass its secrets again"),
    ),
)
@options.job_id_or_newest
@options.detach
@options.detach_on_signal
@options.download
@options.events_as_json
@submit_options.secrets
@options.server
@options.api_key
@click.pass_context
@exits
def rerun(
    context: click.Context,
    job_id: str | None,
    secret: Sequence[str],
    secret_file: Sequence[str],
    detach: bool,
    detach_on_signal: bool,
    download: str | None,
    as_json: bool,
    server: str | None,
    api_key: str | None,
) -> int:
    """Run a job again and follow its log.

    The new job has the files and settings that the old one was submitted with. The server keeps
    them for 7 days after the job has ended, by default. It does not keep secrets: pass them again.

    The log goes to stdout, everything else to stderr. Ctrl-C and SIGTERM cancel the new job and
    wait until it has ended.

    Exit codes: 0 passed, 1 failed, 2 usage, 3 infrastructure failure, 4 cancelled, 5 timed out,
    130 Ctrl-C.
    """
    import shlex

    from ci_client.command.rerunning import rerun as carry_out
    from ci_client.command.submitting import Submission
    from ci_client.errors import UsageError
    from ci_client.library.job_ids import may_be_id
    from ci_client.library.job_request import JobRequest
    from ci_client.library.secret_options import read_secrets

    if job_id is not None and context.meta[AFTER_OPTIONAL] == job_id and not may_be_id(job_id):
        raise UsageError(
            f"{job_id!r:.60} is not a job id; did you mean --download={shlex.quote(job_id)}?"
        )
    return carry_out(
        job_id,
        Submission(
            ".",
            JobRequest(secrets=read_secrets(secret, secret_file)),
            detach=detach,
            server=server_choice(server, api_key),
            detach_on_signal=detach_on_signal,
            as_json=as_json,
            download=download,
        ),
    )
