"""The library's functions: each opens a connection for one call. `Client` keeps one for many.

Generators hand out events as dicts: `{"type": "job_id", "job_id"}` first where a job is submitted,
then those that `Client.follow` gives.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ci_client.client import Client
from ci_client.library.job_list import JobList

__all__ = [
    "cancel_job",
    "download_artifacts",
    "get_job",
    "list_artifacts",
    "list_jobs",
    "read_log",
    "rerun_job",
    "submit_tests_async",
    "submit_tests_streaming",
    "wait_for_job",
]


def submit_tests_async(
    path: str | os.PathLike[str],
    server_url: str | None = None,
    *,
    job: str | None = None,
    command: Sequence[str] | None = None,
    priority: int | None = None,
    retries: int | None = None,
    timeout: str | float | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    api_key: str | None = None,
    secrets: Mapping[str, str | bytes] | None = None,
    install: Literal[False] | Sequence[str] | None = None,
    tty: bool | None = None,
    color: bool | None = None,
    git: bool | None = None,
    image: str | None = None,
    env: Mapping[str, str] | None = None,
    artifacts: Sequence[str] | None = None,
    cpu: int | None = None,
    memory: int | str | None = None,
    labels: Mapping[str, str] | None = None,
    private: bool | None = None,
    notify: Sequence[str] | None = None,
) -> str:
    """Send a directory; the id of its job. It gets `secrets` as variables and as files; `install`
    is False, or lines of a requirements file in place of what the project's files say. With `tty`
    it is on a pseudo-terminal; with `color` programs write colours even without one.
    `git` sends the commit as a small repository, or does not, in place of what the project's table
    says; so do `image`, `env` (in addition to the table's), `artifacts` (patterns), `cpu` (percent
    of a core), `memory` (MiB, or a text such as 512MB) and `labels` (in addition to the table's).
    Only you and admins see a `private` job. The URLs and `mailto:` addresses of `notify` are told
    of the job's end.

    Raises:
        ProjectError: the directory cannot be sent.
        UsageError: a value is of the wrong type or out of range, or a secret cannot be one.
        ConfigError, RequestRefused, ServerUnreachable, UnexpectedAnswer.
    """
    from ci_client.library.job_request import JobRequest
    from ci_client.library.secret_options import given_secrets
    from ci_client.packing.project_files import check_directory
    from ci_client.packing.project_zip import create_project_zip

    given = given_secrets(secrets)
    request = JobRequest(
        *(job, command, priority, retries, timeout, given, install, tty, color),
        *(image, env, artifacts, cpu, memory, labels, private, notify),
    )
    check_directory(path)
    with (
        Client(server_url, api_key=api_key, project=path) as client,
        create_project_zip(path, include, exclude, client.upload_limits(), git) as project,
    ):
        return client.submit(project, request=request)


def submit_tests_streaming(
    path: str | os.PathLike[str],
    server_url: str | None = None,
    *,
    job: str | None = None,
    command: Sequence[str] | None = None,
    priority: int | None = None,
    retries: int | None = None,
    timeout: str | float | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    api_key: str | None = None,
    secrets: Mapping[str, str | bytes] | None = None,
    install: Literal[False] | Sequence[str] | None = None,
    tty: bool | None = None,
    color: bool | None = None,
    git: bool | None = None,
    image: str | None = None,
    env: Mapping[str, str] | None = None,
    artifacts: Sequence[str] | None = None,
    cpu: int | None = None,
    memory: int | str | None = None,
    labels: Mapping[str, str] | None = None,
    private: bool | None = None,
    notify: Sequence[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Send a directory, and follow its job to the end. The job goes on if the caller does not.
    It gets `secrets` as variables and as files; `install` is False, or lines of a requirements file
    in place of what the project's files say. With `tty` it is on a pseudo-terminal; with `color`
    programs write colours even without one. `git` sends the commit as a small
    repository, or does not, in place of what the project's table says; so do `image`, `env` (in
    addition to the table's), `artifacts` (patterns), `cpu` (percent of a core), `memory` (MiB,
    or a text such as 512MB) and `labels` (in addition to the table's). Only you and admins see a
    `private` job. The URLs and `mailto:` addresses of `notify` are told of the job's end.

    Raises:
        ProjectError: the directory cannot be sent.
        UsageError: a value is of the wrong type or out of range, or a secret cannot be one.
        ConfigError, RequestRefused, ServerUnreachable, UnexpectedAnswer.
    """
    from ci_client.library.job_request import JobRequest
    from ci_client.library.secret_options import given_secrets
    from ci_client.packing.project_files import check_directory
    from ci_client.packing.project_zip import create_project_zip

    given = given_secrets(secrets)
    request = JobRequest(
        *(job, command, priority, retries, timeout, given, install, tty, color),
        *(image, env, artifacts, cpu, memory, labels, private, notify),
    )
    check_directory(path)
    with Client(server_url, api_key=api_key, project=path) as client:
        with create_project_zip(path, include, exclude, client.upload_limits(), git) as project:
            job_id = client.submit(project, request=request)
        yield {"type": "job_id", "job_id": job_id}
        yield from client.follow(job_id, from_beginning=True)


def wait_for_job(
    job_id: str,
    server_url: str | None = None,
    *,
    from_beginning: bool = False,
    api_key: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Follow a job to its end: from now on, or with everything it has written so far.

    Raises:
        ConfigError, JobNotFound, RequestRefused, ServerUnreachable, UnexpectedAnswer.
    """
    with Client(server_url, api_key=api_key) as client:
        yield from client.follow(job_id, from_beginning=from_beginning)


def list_jobs(
    server_url: str | None = None,
    *,
    status: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    api_key: str | None = None,
    **filters: Any,
) -> JobList:
    """A page of the server's jobs, newest first. `filters` are the other arguments of
    `Client.list_jobs`. Raises what that raises.
    """
    with Client(server_url, api_key=api_key) as client:
        return client.list_jobs(status=status, limit=limit, cursor=cursor, **filters)


def get_job(
    job_id: str, server_url: str | None = None, *, api_key: str | None = None
) -> dict[str, Any]:
    """What the server knows about a job. Raises what `Client.get_job` raises."""
    with Client(server_url, api_key=api_key) as client:
        return client.get_job(job_id)


def cancel_job(job_id: str, server_url: str | None = None, *, api_key: str | None = None) -> None:
    """Ask for a job to stop. Raises what `Client.cancel_job` raises."""
    with Client(server_url, api_key=api_key) as client:
        client.cancel_job(job_id)


def rerun_job(
    job_id: str,
    server_url: str | None = None,
    *,
    secrets: Mapping[str, str | bytes] | None = None,
    api_key: str | None = None,
) -> str:
    """Run a job again; the id of the new one. Raises what `Client.rerun_job` raises, and UsageError
    for what cannot be a secret.
    """
    from ci_client.library.secret_options import given_secrets

    given = given_secrets(secrets)
    with Client(server_url, api_key=api_key) as client:
        return client.rerun_job(job_id, secrets=given)


def read_log(
    job_id: str, server_url: str | None = None, *, start: int = 0, api_key: str | None = None
) -> Iterator[bytes]:
    """The bytes of a job's log as it is now. Raises what `Client.read_log` raises."""
    with Client(server_url, api_key=api_key) as client:
        yield from client.read_log(job_id, start=start)


def list_artifacts(
    job_id: str, server_url: str | None = None, *, api_key: str | None = None
) -> list[dict[str, Any]]:
    """The files a job left behind. Raises what `Client.list_artifacts` raises."""
    with Client(server_url, api_key=api_key) as client:
        return client.list_artifacts(job_id)


def download_artifacts(
    job_id: str,
    directory: str | os.PathLike[str],
    server_url: str | None = None,
    *,
    patterns: Sequence[str] = (),
    api_key: str | None = None,
) -> list[Path]:
    """Put a job's artifacts, or those that match one of the patterns, below a directory. Raises
    what `Client.download_artifacts` raises.
    """
    with Client(server_url, api_key=api_key) as client:
        return client.download_artifacts(job_id, directory, patterns=patterns)
