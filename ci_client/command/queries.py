"""`ci wait`, `ci logs`, `ci status` and `ci artifacts`: about jobs that are already there."""

import sys
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from ci_client.client import Client
from ci_client.command import exit_codes
from ci_client.command.connecting import connect
from ci_client.command.display import duration_of, result_line, say, shown_id
from ci_client.command.log_part import LogPart
from ci_client.command.painting import color_of
from ci_client.command.report_display import (
    coverage_line,
    short_report,
)
from ci_client.command.watching import LogOutput, show
from ci_client.errors import JobNotFound
from ci_client.library.config import ServerChoice


def wait_for(job_id: str | None, server: ServerChoice, everything: bool) -> int:
    """Watch a job to its end, or tell the result of one that has ended; the exit code."""
    with connect(server) as client:
        try:
            job = job_or_newest(client, job_id)
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
            shown = shown_id(job_id, sys.stderr)
            say(f"Job {shown} already completed: {result}", color_of(job))
            return exit_codes.of_result(job)
        return _watch(client, job_id, from_beginning=everything)


def print_log(job_id: str | None, server: ServerChoice, follow: bool, part: LogPart) -> int:
    """Print a job's log, or a part of it, and go on to its end if asked to; the exit code."""
    with connect(server) as client:
        # A server that is not there is told at once, not waited for.
        job_id = str(job_or_newest(client, job_id).get("job_id"))
        start = part.start(client, job_id)
        if follow:
            return _watch(client, job_id, offset=start, timestamps=part.timestamps)
        if part.timestamps:
            from ci_client.command.timed_lines import print_timed

            print_timed(client, job_id, start)
            return exit_codes.PASSED
        output = LogOutput()
        for chunk in client.read_log(job_id, start=start):
            output.write(chunk)
        return exit_codes.PASSED


def _watch(client: Client, job_id: str, **where: Any) -> int:
    try:
        with closing(_output(where)) as output:
            return show(client.follow(job_id, **where), output, job_id)
    except KeyboardInterrupt:
        job_id = shown_id(job_id, sys.stderr)
        say(
            f"\nInterrupted: stopped waiting. Job {job_id} continues to run; "
            f"watch it again with:\nci wait {job_id}{client.server_option}"
        )
        return exit_codes.INTERRUPTED


def _output(where: Mapping[str, Any]) -> LogOutput:
    if not where.get("timestamps"):
        return LogOutput()
    from ci_client.command.timed_lines import TimedOutput

    return TimedOutput(where["offset"])


def search_log(
    job_id: str | None,
    server: ServerChoice,
    text: str,
    part: LogPart,
    *,
    exact_case: bool,
    as_json: bool,
) -> int:
    """Print where a text is in a job's log; the exit code."""
    from ci_client.command.log_search import print_hits

    with connect(server) as client:
        job_id = str(job_or_newest(client, job_id).get("job_id"))
        return print_hits(
            client,
            job_id,
            text,
            exact_case=exact_case,
            as_json=as_json,
            timestamps=part.timestamps,
            start=part.start(client, job_id),
        )


def job(job_id: str | None, server: ServerChoice) -> dict[str, Any]:
    """What the server knows about a job, or about my newest one."""
    with connect(server) as client:
        return job_or_newest(client, job_id)


def job_or_newest(client: Client, job_id: str | None) -> dict[str, Any]:
    """A job; without an id my newest one."""
    if job_id is not None:
        return client.get_job(job_id)
    # Not as it is in the list, where its failed tests are not named.
    return client.get_job(str(client.newest_job().get("job_id")))


def cancel(job_id: str, server: ServerChoice) -> int:
    """Stop a job; the exit code."""
    with connect(server) as client:
        job_id = client.cancel_job(job_id)
    print(f"Job {shown_id(job_id, sys.stdout)} cancelled.", flush=True)
    return exit_codes.PASSED
