"""`ci artifacts` and `ci submit --download`: the files that a job left behind."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ci_client.client import Client
from ci_client.command import exit_codes
from ci_client.command.connecting import connect
from ci_client.command.display import say
from ci_client.command.model_run import directory_name
from ci_client.command.report_display import artifact_table, not_kept, printable, size_text
from ci_client.errors import ArtifactsIncomplete, UsageError
from ci_client.library.artifact_choice import ArtifactChoice
from ci_client.library.artifact_download import OnFile
from ci_client.library.config import ServerChoice


def show_artifacts(
    job_id: str, server: ServerChoice, as_json: bool, patterns: Sequence[str] = ()
) -> int:
    """List what a job left behind, or what of it matches one of the patterns; the exit code.

    Raises UsageError, after it has listed the others, for patterns that match nothing.
    """
    choice = ArtifactChoice(patterns)
    with connect(server) as client:
        job_id = client.whole_id(job_id)
        found = client.list_artifacts(job_id)
        chosen = choice.of(found)
        if as_json:
            print(json.dumps(chosen, indent=2), flush=True)
        elif chosen:
            print(artifact_table(chosen), flush=True)
        _say_what_is_missing(client, job_id, found)
        _check_matched(choice, job_id, found)
    return exit_codes.PASSED


def download_artifacts(
    job_id: str, server: ServerChoice, directory: str, patterns: Sequence[str] = ()
) -> int:
    """Fetch what a job left behind, or what of it matches one of the patterns, and print where each
    file is; the exit code.

    Raises, after it has said what was fetched, ArtifactsIncomplete, and UsageError for patterns
    that match nothing.
    """
    choice = ArtifactChoice(patterns)
    with connect(server) as client:
        job_id = client.whole_id(job_id)
        found = client.list_artifacts(job_id) if patterns else []
        if patterns and not choice.of(found):
            _say_what_is_missing(client, job_id, found)
        else:
            fetch_artifacts(
                client,
                job_id,
                directory,
                lambda place: print(printable(str(place)), flush=True),
                patterns,
            )
        _check_matched(choice, job_id, found)
    return exit_codes.PASSED


def _check_matched(choice: ArtifactChoice, job_id: str, found: Sequence[Mapping[str, Any]]) -> None:
    if unmatched := choice.unmatched(found):
        wanted = " or ".join(map(repr, unmatched))
        there = "1 artifact" if len(found) == 1 else f"{len(found)} artifacts"
        raise UsageError(
            f"No artifact of job {job_id} matches {wanted}. The job has {there}; "
            f"`ci artifacts {job_id}` lists them."
        )


def fetch_artifacts(
    client: Client, job_id: str, directory: str, on_file: OnFile, patterns: Sequence[str] = ()
) -> None:
    """Fetch what a job left behind, or what of it matches one of the patterns, and say on stderr
    how much it was.

    Raises ArtifactsIncomplete, after it has said what was fetched.
    """
    incomplete: ArtifactsIncomplete | None = None
    try:
        places = client.download_artifacts(
            job_id,
            directory,
            on_file,
            patterns=patterns,
            on_rename=lambda path, place: say(
                f"{path!r} was saved as {str(place)!r}: this file system cannot hold its name."
            ),
        )
    except ArtifactsIncomplete as error:
        incomplete, places = error, error.places
    _say_what_is_missing(client, job_id, places or incomplete is not None)
    if places or incomplete is not None:
        files = "1 artifact" if len(places) == 1 else f"{len(places)} artifacts"
        size = size_text(sum(place.stat().st_size for place in places))
        say(f"{files} ({size}) in {directory}")
    if incomplete is not None:
        raise incomplete


def new_directory(project: str, job_id: str) -> str:
    """The name of a directory for the artifacts of one job."""
    return f"{directory_name(project)}-artifacts-{job_id[:8]}"


def _say_what_is_missing(client: Client, job_id: str, found: object) -> None:
    """On stderr: which artifacts the server did not keep, or why it has none (nothing `found`)."""
    job = client.get_job(job_id)
    if missing := not_kept(job):
        say(missing)
    elif not found and exit_codes.is_finished(job):
        say(f"Job {job_id} left no artifacts.")
    elif not found:
        say(f"Job {job_id} is not finished; its artifacts are collected at its end.")
