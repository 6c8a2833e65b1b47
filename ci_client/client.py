"""The library: submit a directory, follow its job, ask about jobs. Where a function takes a job's
id, four or more characters that it begins with are enough, if no other job of yours has them.

The functions open a connection for one call; `Client` keeps one for many. Generators hand out
events as dicts: `{"type": "job_id", "job_id"}` first where a job is submitted, then
`{"type": "status", "status"}` and `{"type": "log", "data"}` as they happen, and at last
`{"type": "complete", "success", "status", "exit_code", "reason", "message", "tests", "coverage"}`,
where `tests` sums up the job's JUnit reports and `coverage` its coverage reports, if it has any.
The exact bytes of a `log` event are those of `ci_common.events.log_bytes`.

What only some calls need is imported by them: `ci list` is quicker for it.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from ci_client.errors import DownloadError, JobNotFound, RequestRefused, UsageError
from ci_client.library.config import load_config
from ci_client.library.exchange import Exchange
from ci_client.library.retry import PATIENCE_SECONDS, OnRetry, RetryDelays
from ci_client.library.transport import json_of, open_http, unexpected

if TYPE_CHECKING:
    from ci_client.library.artifact_download import OnFile, OnRename
    from ci_client.library.job_request import JobRequest
    from ci_client.library.raw_log import RawLog
    from ci_client.library.upload import OnProgress
    from ci_client.packing.project_zip import ProjectZip, create_project_zip
    from ci_client.packing.upload_limits import UploadLimits
    from ci_common.secret import Secret

__all__ = [
    "Client",
    "JobList",
    "ProjectZip",
    "cancel_job",
    "create_project_zip",
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

_DISPENSABLE = frozenset({"git", "color", "labels"})
"""What is left out where the server does not know it: nothing of a job depends on it."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ID_PREFIX = re.compile(r"[0-9a-f-]{4,36}")


def __getattr__(name: str) -> Any:
    if name not in ("ProjectZip", "create_project_zip"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ci_client.packing import project_zip

    return getattr(project_zip, name)


class JobList(list[dict[str, Any]]):
    """A page of jobs, newest first."""

    next_cursor: str | None = None
    """Asks for the page after this one; `None` on the last."""


class Client:
    """A connection to one server. Close it, or use it in a `with` statement."""

    def __init__(
        self,
        server_url: str | None = None,
        *,
        api_key: str | None = None,
        patience: float = PATIENCE_SECONDS,
        on_retry: OnRetry | None = None,
    ) -> None:
        """Prepare to talk to `server_url`, or to the configured server; nothing is sent yet.

        `api_key`, or the configured one, says who we are.

        `patience` is how many seconds the server may be away while its job is followed, and
        `on_retry` is told about every attempt to reach it again.

        Raises:
            ConfigError: the address, the key, or the configuration file is not usable.
        """
        config = load_config(server_url, api_key)
        self.server_url = config.server_url
        self.server_option = config.server_option
        self._http = open_http(self.server_url, config.api_key)
        self._exchange = Exchange(self._http, on_retry)
        self._patience = patience
        self._on_retry = on_retry
        self._limits: dict[str, Any] | None = None
        """What the server said it takes, once it was asked."""

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def submit(
        self,
        project: "ProjectZip",
        *,
        request: "JobRequest | None" = None,
        on_progress: "OnProgress | None" = None,
    ) -> str:
        """Upload a packed project; the id of its job.

        Raises:
            RequestRefused: the server does not take it; the message tells why.
            ServerUnreachable: no answer.
            UnexpectedAnswer: this is no CI server.
            UsageError: the server is too old for what is asked for.
        """
        from ci_client.library.job_request import OVERRIDES, JobRequest
        from ci_client.library.upload import VALIDATION_SECONDS, UploadFile

        request = request or JobRequest()
        spec = request.to_spec()
        if asked := [name for name in OVERRIDES if name in spec]:
            self._check_known(asked)
        if project.git is not None:
            spec["git"] = asdict(project.git)
        if project.labels:
            spec["labels"] = {**project.labels, **spec.get("labels", {})}
        self._leave_out_unknown(spec)
        data = {"spec": json.dumps(spec)}
        if request.secrets:
            data["secrets"] = json.dumps(request.to_secrets())
        with UploadFile(project, on_progress) as file:
            answer = self._exchange.ask(
                "POST",
                "/submit-async",
                data=data,
                files={"file": ("project.zip", file, "application/zip")},
                timeout=VALIDATION_SECONDS,
            )
        job_id = answer.get("job_id") if isinstance(answer, dict) else None
        if not isinstance(job_id, str) or not is_whole_id(job_id):
            raise unexpected(self._http, "no job id")
        return job_id

    def _leave_out_unknown(self, spec: dict[str, Any]) -> None:
        dispensable = _DISPENSABLE & spec.keys()
        known = self._server_limits().get("fields", ()) if dispensable else ()
        for name in dispensable.difference(known):
            del spec[name]
        if "git" in spec and "labels" not in known:
            del spec["git"]["remote"]  # both came with the same version

    def _check_known(self, fields: Sequence[str]) -> None:
        known = self._server_limits().get("fields", ())
        unknown = [name for name in fields if name not in known]
        if unknown:
            raise UsageError(
                f"The server at {self.server_url} is too old for {', '.join(unknown)}: it does not "
                "know what that is. The project's table can say the same."
            )

    def upload_limits(self) -> "UploadLimits":
        """What the server takes; no limits, where it is too old to tell.

        Raises:
            RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        from ci_client.packing.upload_limits import UploadLimits

        told = self._server_limits()
        names = ("max_files", "max_unpacked_bytes", "max_upload_bytes")
        known = {name: told[name] for name in names if isinstance(told.get(name), int)}
        return UploadLimits(**known)

    def _server_limits(self) -> dict[str, Any]:
        if self._limits is None:
            try:
                told = self._exchange.ask("GET", "/limits")
            except RequestRefused as error:
                if error.http_status not in (404, 405):
                    raise
                told = {}  # an older server
            if not isinstance(told, dict):
                raise unexpected(self._http, "no limits")
            self._limits = told
        return self._limits

    def follow(
        self, job_id: str, *, from_beginning: bool = False, offset: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """A job's events, to its end, over as many connections as it takes.

        The log starts at its beginning, at `offset` bytes from there, or, by default, now.

        Raises:
            JobNotFound, RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        from ci_client.library.sse_reader import JobStreamReader

        return JobStreamReader(
            self._http,
            self.whole_id(job_id),
            from_beginning=from_beginning or offset is not None,
            last_event_id=None if offset is None else str(offset),
            patience=self._patience,
            on_retry=self._on_retry,
        ).events()

    def get_job(self, job_id: str) -> dict[str, Any]:
        """What the server knows about a job.

        Raises:
            JobNotFound, RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        job = self._exchange.ask("GET", f"/jobs/{checked_job_id(job_id)}", job_id=job_id)
        if not isinstance(job, dict) or "status" not in job:
            raise unexpected(self._http, "not a job")
        return job

    def list_jobs(
        self,
        *,
        status: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        outcome: str | None = None,
        mine: bool = False,
        user: str | None = None,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        since: str | None = None,
        until: str | None = None,
        text: str | None = None,
        reason: str | None = None,
        sort: str | None = None,
    ) -> JobList:
        """A page of jobs, newest first; `next_cursor` of the answer asks for the next page. Only
        jobs for which all holds that is given: `status`, `outcome` (passed, failed, cancelled,
        running, queued), `mine`, and others as in `GET /jobs`. `since` and `until` are times such
        as 2026-11-28T09:00:00Z, and `sort` is one of submitted, ended and duration, with `-` in
        front for the largest first.

        Raises:
            RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        asked = {
            "status": status,
            "limit": limit,
            "cursor": cursor,
            "outcome": outcome,
            "mine": "true" if mine else None,
            "user": user,
            "name": name,
            "since": since,
            "until": until,
            "q": text,
            "reason": reason,
            "sort": sort,
            "label": [f"{key}:{value}" for key, value in (labels or {}).items()] or None,
        }
        response = self._exchange.send(
            "GET", "/jobs", params={k: v for k, v in asked.items() if v is not None}
        )
        jobs = json_of(self._http, response)
        if not isinstance(jobs, list):
            raise unexpected(self._http, "not a list of jobs")
        page = JobList(jobs)
        page.next_cursor = response.headers.get("X-Next-Cursor") or None
        return page

    def newest_job(self) -> dict[str, Any]:
        """My newest job.

        Raises:
            RequestRefused: there is none, too; ServerUnreachable, UnexpectedAnswer.
        """
        jobs = self.list_jobs(mine=True, limit=1)
        if not jobs:
            raise RequestRefused("job_not_found", "You have no job on this server yet.", 404)
        return jobs[0]

    def cancel_job(self, job_id: str, *, timeout: float = 10.0) -> str:
        """Ask for a job to stop; it does so soon after. Its whole id.

        Raises:
            JobFinished: it is too late.
            JobNotFound, RequestRefused, ServerUnreachable.
        """
        asked = checked_job_id(job_id)
        response = self._exchange.send(
            "POST", f"/jobs/{asked}/cancel", job_id=job_id, timeout=timeout
        )
        if is_whole_id(asked):
            return asked
        job = json_of(self._http, response)
        return str(job.get("job_id")) if isinstance(job, dict) else asked

    def rerun_job(self, job_id: str, *, secrets: "Sequence[Secret]" = ()) -> str:
        """Run a job again, with the package and the settings that the server keeps of it; the id of
        the new job. Secrets are not kept: those that the job was sent with must be given again.

        Raises:
            JobNotFound: there is no such job, or none that we may see.
            RequestRefused: with the code `package_gone`, the package is not kept any more; with
                `secrets_needed`, `secrets` lacks some, which the message names.
            UsageError: the server is too old.
            ServerUnreachable, UnexpectedAnswer.
        """
        from ci_client.library.rerun import rerun

        return rerun(self._http, self._exchange, checked_job_id(job_id), secrets)

    def read_log(self, job_id: str, *, start: int = 0) -> Iterator[bytes]:
        """The bytes of a job's log, from offset `start` to where it ends now.

        Raises:
            JobNotFound, RequestRefused, ServerUnreachable.
        """
        return self._raw_log(job_id).read(start)

    def tail_start(self, job_id: str, lines: int) -> int:
        """The offset in a job's log at which its last `lines` lines begin now.

        Raises:
            JobNotFound, RequestRefused, ServerUnreachable.
        """
        return self._raw_log(job_id).tail_start(lines)

    def list_artifacts(self, job_id: str) -> list[dict[str, Any]]:
        """The files a job left behind: `path`, `size` in bytes, `sha256`, and when the job wrote it
        (`modified`); none before its end.

        Raises:
            JobNotFound, RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        found = self._exchange.ask(
            "GET", f"/jobs/{checked_job_id(job_id)}/artifacts", job_id=job_id
        )
        if not isinstance(found, list) or not all(map(_is_artifact, found)):
            raise unexpected(self._http, "not a list of artifacts")
        return found

    def download_artifacts(
        self,
        job_id: str,
        directory: str | os.PathLike[str],
        on_file: "OnFile | None" = None,
        *,
        below: str | None = None,
        on_rename: "OnRename | None" = None,
    ) -> list[Path]:
        """Put a job's artifacts below a directory, which is made; where each of them is.

        With `below`, only those of this directory of the job, and without its name. Each is
        complete and checked when it appears, and has the time at which the job wrote it. What is
        there already is not fetched again. A name that the file system cannot hold is replaced by
        another, which `on_rename` is told.

        Raises:
            ArtifactsIncomplete: after all others were fetched; it tells which could not be, and
                why: damaged, gone, or a link in the directory leads elsewhere.
            DownloadError: the directory cannot be made.
            JobNotFound, RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        from ci_client.library.artifact_download import ArtifactDownload
        from ci_client.library.artifact_places import Places

        job_id = self.whole_id(job_id)
        found = self.list_artifacts(job_id)
        try:
            Path(directory).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DownloadError(f"Cannot create {directory}: {error.strerror or error}.") from error
        download = ArtifactDownload(
            self._http,
            job_id,
            Places(Path(directory)),
            lambda patience: RetryDelays(
                self._http,
                self._patience if patience is None else min(patience, self._patience),
                self._on_retry,
            ),
            below,
        )
        return download.fetch_all(found, on_file, on_rename)

    def _raw_log(self, job_id: str) -> "RawLog":
        from ci_client.library.raw_log import RawLog

        return RawLog(self._http, self.whole_id(job_id), self._patience, self._on_retry)

    def whole_id(self, job_id: str) -> str:
        """The whole id of a job, for whoever asks about it more than once: meanwhile, what it
        begins with may fit others, too. Asks the server only for what is not a whole id.

        Raises:
            JobNotFound, RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        checked = checked_job_id(job_id)
        return checked if is_whole_id(checked) else str(self.get_job(checked).get("job_id"))


def checked_job_id(job_id: str) -> str:
    """The id, or the four or more characters that it begins with, in lower case. What cannot be
    that of a job is JobNotFound.
    """
    canonical = job_id.strip().lower()
    if not _ID_PREFIX.fullmatch(canonical):
        raise JobNotFound(job_id)
    return canonical


def is_whole_id(job_id: str) -> bool:
    """Whether it is a job's whole id."""
    return _UUID.fullmatch(job_id) is not None


def _is_artifact(found: Any) -> bool:
    kinds = {"path": str, "size": int, "sha256": str}
    return isinstance(found, dict) and all(
        isinstance(found.get(key), kind) for key, kind in kinds.items()
    )


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
) -> str:
    """Send a directory; the id of its job. It gets `secrets` as variables and as files; `install`
    is False, or lines of a requirements file in place of what the project's files say. With `tty`
    it is on a pseudo-terminal; with `color` its programs are told to write colours without one.
    `git` sends the commit as a small repository, or does not, in place of what the project's table
    says; so do `image`, `env` (in addition to the table's), `artifacts` (patterns), `cpu` (percent
    of a core), `memory` (MiB, or a text such as 512MB) and `labels` (in addition to the table's).

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
        *(image, env, artifacts, cpu, memory, labels),
    )
    check_directory(path)
    with (
        Client(server_url, api_key=api_key) as client,
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
) -> Iterator[dict[str, Any]]:
    """Send a directory, and follow its job to the end. The job goes on if the caller does not.
    It gets `secrets` as variables and as files; `install` is False, or lines of a requirements file
    in place of what the project's files say. With `tty` it is on a pseudo-terminal; with `color`
    its programs are told to write colours without one. `git` sends the commit as a small
    repository, or does not, in place of what the project's table says; so do `image`, `env` (in
    addition to the table's), `artifacts` (patterns), `cpu` (percent of a core), `memory` (MiB,
    or a text such as 512MB) and `labels` (in addition to the table's).

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
        *(image, env, artifacts, cpu, memory, labels),
    )
    check_directory(path)
    with Client(server_url, api_key=api_key) as client:
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
    api_key: str | None = None,
) -> list[Path]:
    """Put a job's artifacts below a directory. Raises what `Client.download_artifacts` raises."""
    with Client(server_url, api_key=api_key) as client:
        return client.download_artifacts(job_id, directory)
