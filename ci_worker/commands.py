"""The commands of `job-worker`."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typing_extensions import override

from ci_worker import display
from ci_worker.certs import app as certs_app
from ci_worker.connection import Choice
from ci_worker.options import (
    SETTINGS,
    Ca,
    Cert,
    JobId,
    Json,
    Key,
    Server,
    carry_out,
    choice_of,
    remember,
    with_service,
)

CALL_SECONDS = 30.0
STOP_SECONDS = 60.0
"""More than the server takes."""

MOST = 2**31 - 1
"""The messages have no larger numbers."""

app = typer.Typer(
    name="job-worker",
    help="Run commands on a Job Worker server, watch their output, and stop them. Options may "
    "precede or follow the subcommand; those of `create` must precede COMMAND.",
    **SETTINGS,
)
app.add_typer(certs_app, name="certs")

_BEFORE_ARGUMENTS = {**SETTINGS["context_settings"], "allow_interspersed_args": False}


@app.callback()
def options(
    context: typer.Context,
    server: Server = None,
    cert: Cert = None,
    key: Key = None,
    ca: Ca = None,
    as_json: Json = False,
) -> None:
    """Options that every command has."""
    remember(context, Choice(server, cert, key, ca), as_json)


Limit = partial(typer.Option, min=0, max=MOST, metavar="N", show_default=False)


@app.command(context_settings=_BEFORE_ARGUMENTS)
@with_service
def create(
    service: Any,
    as_json: bool,
    command: Annotated[str, typer.Argument(metavar="COMMAND", show_default=False)],
    args: Annotated[list[str] | None, typer.Argument(metavar="ARGS", show_default=False)] = None,
    max_cpu: Annotated[int, Limit(help="CPU limit in percent of one core; 0: 100")] = 0,
    max_memory: Annotated[int, Limit(help="Memory limit in MiB; 0: 512")] = 0,
    max_iobps: Annotated[int, Limit(help="Disk I/O limit in bytes per second; 0: no limit")] = 0,
) -> None:
    """Run COMMAND with ARGS, without a shell."""
    from ci_common.worker_api import worker_pb2 as messages

    request = messages.CreateJobReq(
        command=command,
        args=args or [],
        maxCPU=max_cpu,
        maxMemory=max_memory,
        maxIOBPS=max_iobps,
    )
    job = service.CreateJob(request, timeout=CALL_SECONDS)
    _print(job, display.created(job), as_json)


@app.command()
@with_service
def get(service: Any, as_json: bool, job_id: JobId) -> None:
    """Show a job."""
    from ci_common.worker_api import worker_pb2 as messages

    job = service.GetJob(messages.GetJobReq(id=job_id), timeout=CALL_SECONDS)
    _print(job, display.described(job), as_json)


@app.command("list")
@with_service
def list_jobs(service: Any, as_json: bool) -> None:
    """List the newest jobs."""
    from ci_common.worker_api import worker_pb2 as messages

    request = messages.EmptyRequest()
    answer, call = service.GetJobs.with_call(request, timeout=CALL_SECONDS)
    _print(answer, display.listed(answer.jobs), as_json)
    if "next-page-token" in dict(call.trailing_metadata()):
        print(f"Only the newest {len(answer.jobs)} jobs are listed.", file=sys.stderr)


@app.command()
@with_service
def stop(service: Any, as_json: bool, job_id: JobId) -> None:
    """Stop a job, and wait until it has ended."""
    from ci_common.worker_api import worker_pb2 as messages

    job = service.StopJob(messages.StopJobReq(id=job_id), timeout=STOP_SECONDS)
    _print(job, display.stopped(job), as_json)


class FollowCommand(TyperCommand):
    """A command whose option `--follow` needs no value, and takes one behind a `=`."""

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer does, with the value that was left out."""
        return super().parse_args(ctx, [_with_value(argument) for argument in args])


def _with_value(argument: str) -> str:
    if argument in ("-f", "--follow"):
        return "--follow=true"
    return f"--follow{argument[2:]}" if argument.startswith("-f=") else argument


@app.command(cls=FollowCommand)
@with_service
def stream(
    service: Any,
    as_json: bool,
    job_id: JobId,
    follow: Annotated[
        str,
        typer.Option(
            "-f",
            "--follow",
            metavar="true|false",
            help="Follow the output until the job has ended, default true",
            show_default=False,
        ),
    ] = "true",
) -> None:
    """Write a job's output to stdout, from its beginning."""
    from ci_common.worker_api import worker_pb2 as messages
    from ci_worker.streaming import OutputReader

    print(f"Streaming logs for job {job_id} (Press Ctrl+C to exit):", file=sys.stderr)
    request = messages.GetJobsStreamReq(id=job_id)

    def open_stream(offset: int) -> Any:
        metadata = (("follow", follow), ("offset", str(offset)))
        return service.GetJobsStream(request, metadata=metadata)

    def write(chunk: Any) -> None:
        if as_json:
            print(display.as_json(chunk), flush=True)
        else:
            sys.stdout.buffer.write(chunk.payload)
            sys.stdout.buffer.flush()

    OutputReader(open_stream, write).run()


@app.command()
def proto(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", show_default=False)],
    as_json: Json = False,
) -> None:
    """Write worker.proto and its Python modules to DIR/api, for clients of your own."""
    _, as_json = choice_of(context, as_json=as_json)

    def run() -> None:
        from ci_worker.proto_files import write_files

        display.print_files(write_files(directory), as_json=as_json)

    carry_out(run, as_json=as_json)


def _print(message: Any, lines: Sequence[str], as_json: bool) -> None:
    print(display.as_json(message) if as_json else "\n".join(lines))
