"""`ci wait`, `ci logs`, `ci status` and `ci artifacts`: about jobs that are already there."""

from typing import Any

from ci_client.client import Client
from ci_client.command import exit_codes
from ci_client.command.connecting import connect
from ci_client.command.display import duration_of, result_line, say
from ci_client.command.report_display import (
    coverage_line,
    short_report,
)
from ci_client.command.watching import LogOutput, show
from ci_client.errors import JobNotFound
from ci_client.library.config import ServerChoice


def wait_for(job_id: str, server: ServerChoice, everything: bool) -> int:
    """Watch a job to its end, or tell the result of one that has ended; the exit code."""
    with connect(server) as client:
        try:
            job = client.get_job(job_id)
        except JobNotFound as error:
            say(f"Error: {error.message}")
            return exit_codes.FAILED
        if exit_codes.is_finished(job) and not everything:
            if job.get("tests"):
                say(short_report(job["tests"]))
            if job.get("coverage"):
                say(coverage_line(job["coverage"]))
            result = result_line(job, job_id, duration_of(job))
            say(f"Job {job_id} already completed: {result}")
            return exit_codes.of_result(job)
        return _watch(client, job_id, from_beginning=everything)


def print_log(job_id: str, server: ServerChoice, follow: bool, tail: int | None) -> int:
    """Print a job's log, or its last lines, and go on to its end if asked to; the exit code."""
    with connect(server) as client:
        client.get_job(job_id)  # a server that is not there is told at once, not waited for
        start = 0 if tail is None else client.tail_start(job_id, tail)
        if follow:
            return _watch(client, job_id, offset=start)
        output = LogOutput()
        for chunk in client.read_log(job_id, start=start):
            output.write(chunk)
        return exit_codes.PASSED


def _watch(client: Client, job_id: str, **where: Any) -> int:
    try:
        return show(client.follow(job_id, **where), LogOutput(), job_id)
    except KeyboardInterrupt:
        say(
            f"\nInterrupted: stopped waiting. Job {job_id} continues to run; "
            f"watch it again with:\nci wait {job_id}{client.server_option}"
        )
        return exit_codes.INTERRUPTED


def job(job_id: str, server: ServerChoice) -> dict[str, Any]:
    """What the server knows about a job."""
    with connect(server) as client:
        return client.get_job(job_id)


def cancel(job_id: str, server: ServerChoice) -> int:
    """Stop a job; the exit code."""
    with connect(server) as client:
        client.cancel_job(job_id)
    print(f"Job {job_id} cancelled.", flush=True)
    return exit_codes.PASSED
