"""`ci wait`, `ci logs`, `ci status` and `ci artifacts`: about jobs that are already there."""

import json
from typing import Any

from ci_client.client import Client
from ci_client.command import exit_codes
from ci_client.command.connecting import connect
from ci_client.command.display import duration_of, result_line, say
from ci_client.command.report_display import (
    artifact_table,
    coverage_line,
    not_kept,
    printable,
    short_report,
    size_text,
)
from ci_client.command.watching import LogOutput, show
from ci_client.errors import ArtifactsIncomplete, JobNotFound
from ci_client.library.config import ServerChoice


def wait_for(job_id: str, server: ServerChoice, everything: bool) -> int:
    """Watch a job to its end, or tell the result of one that has ended; the exit code."""
    with connect(server) as client:
        try:
            job = client.get_job(job_id)
        except JobNotFound as error:
            say(f"Error: {error.message}")
            return exit_codes.FAILED
        job_id = str(job.get("job_id"))
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
        # A server that is not there is told at once, not waited for.
        job_id = str(client.get_job(job_id).get("job_id"))
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
        job_id = client.cancel_job(job_id)
    print(f"Job {job_id} cancelled.", flush=True)
    return exit_codes.PASSED


def show_artifacts(job_id: str, server: ServerChoice, as_json: bool) -> int:
    """List what a job left behind; the exit code."""
    with connect(server) as client:
        job_id = client.whole_id(job_id)
        found = client.list_artifacts(job_id)
        if as_json:
            print(json.dumps(found, indent=2), flush=True)
        elif found:
            print(artifact_table(found), flush=True)
        _say_what_is_missing(client, job_id, found)
    return exit_codes.PASSED


def download_artifacts(job_id: str, server: ServerChoice, directory: str) -> int:
    """Fetch what a job left behind, and print where each file is; the exit code.

    Raises ArtifactsIncomplete, after it has said what was fetched.
    """
    incomplete: ArtifactsIncomplete | None = None
    with connect(server) as client:
        job_id = client.whole_id(job_id)
        try:
            places = client.download_artifacts(
                job_id,
                directory,
                lambda place: print(printable(str(place)), flush=True),
                on_rename=lambda path, place: say(
                    f"{path!r} was saved as {str(place)!r}: this file system cannot hold its name."
                ),
            )
        except ArtifactsIncomplete as error:
            incomplete, places = error, error.places
        _say_what_is_missing(client, job_id, places or incomplete is not None)
    if not places and incomplete is None:
        return exit_codes.PASSED
    files = "1 artifact" if len(places) == 1 else f"{len(places)} artifacts"
    size = size_text(sum(place.stat().st_size for place in places))
    say(f"{files} ({size}) in {directory}")
    if incomplete is not None:
        raise incomplete
    return exit_codes.PASSED


def _say_what_is_missing(client: Client, job_id: str, found: object) -> None:
    """On stderr: which artifacts the server did not keep, or why it has none (nothing `found`)."""
    job = client.get_job(job_id)
    if missing := not_kept(job):
        say(missing)
    elif not found and exit_codes.is_finished(job):
        say(f"Job {job_id} left no artifacts.")
    elif not found:
        say(f"Job {job_id} is not finished; its artifacts are collected at its end.")
