"""A connection to one server: submit a project, follow its job, ask about jobs. Where a function
takes a job's id, four or more characters that it begins with are enough, if no other job of yours
has them.

Events are dicts: `{"type": "status", "status"}`,
`{"type": "waiting", "reason", "message", "ahead"}`, where the server tells it, and
`{"type": "log", "data"}` as they happen, and at last
`{"type": "complete", "success", "status", "exit_code", "reason", "message", "tests", "coverage"}`,
where `tests` sums up the job's JUnit reports and `coverage` its coverage reports, if it has any.
The exact bytes of a `log` event are those of `ci_common.events.log_bytes`.

What only some calls need is imported by them: `ci list` is quicker for it.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from typing_extensions import override

from ci_client.errors import ConfigError, RequestRefused, UsageError
from ci_client.library.config import load_config
from ci_client.library.exchange import Exchange
from ci_client.library.job_content import JobContent
from ci_client.library.job_ids import checked_job_id, is_whole_id
from ci_client.library.job_list import JobList, list_parameters, why_refused
from ci_client.library.retry import PATIENCE_SECONDS, OnRetry
from ci_client.library.server_limits import ServerLimits
from ci_client.library.transport import json_of, open_http, unexpected

if TYPE_CHECKING:
    from ci_client.library.job_request import JobRequest
    from ci_client.library.server_facts import ServerFacts
    from ci_client.library.upload import OnProgress
    from ci_client.packing.project_zip import ProjectZip, create_project_zip
    from ci_client.packing.upload_limits import UploadLimits
    from ci_common.secret import Secret

__all__ = ["Client", "JobList", "ProjectZip", "create_project_zip"]

_FUNCTIONS = frozenset(
    {
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
    }
)
"""Of `ci_client.functions`, which programs could always import from here."""


def __getattr__(name: str) -> Any:
    if name in ("ProjectZip", "create_project_zip"):
        return getattr(import_module("ci_client.packing.project_zip"), name)
    if name in _FUNCTIONS:
        return getattr(import_module("ci_client.functions"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Client(JobContent):
    """A connection to one server. Close it, or use it in a `with` statement."""

    def __init__(
        self,
        server_url: str | None = None,
        *,
        api_key: str | None = None,
        profile: str | None = None,
        project: str | os.PathLike[str] = ".",
        patience: float = PATIENCE_SECONDS,
        on_retry: OnRetry | None = None,
    ) -> None:
        """Prepare to talk to `server_url`, to the server of `profile`, or to the configured one,
        which may be that of the table of `project`, a directory; nothing is sent yet.

        `api_key`, or the configured one for this server, says who we are.

        `patience` is how many seconds the server may be away while its job is followed, and
        `on_retry` is told about every attempt to reach it again.

        Raises:
            ConfigError: the address, the key, the profile or the configuration file is not usable,
                or only the project names the server, and there is a key that is not for it.
            UsageError: what the project's table says of its server is wrong.
        """
        self.config = config = load_config(server_url, api_key, profile, project)
        self.server_url = config.server_url
        self.server_option = config.server_option
        self._http = open_http(self.server_url, config.api_key)
        self._http.profile_without_key = config.profile_without_key
        self._exchange = Exchange(self._http, on_retry)
        self._patience = patience
        self._on_retry = on_retry
        self._limits = ServerLimits(self._http, self._exchange, self.server_url)

    @property
    def server(self) -> "ServerFacts":
        """What one may ask about the server itself."""
        from ci_client.library.server_facts import ServerFacts

        return ServerFacts(self._http, self._exchange, self._limits)

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
            ConfigError: there are secrets, and only the project names the server.
        """
        from ci_client.library.job_request import OVERRIDES, JobRequest
        from ci_client.library.upload import VALIDATION_SECONDS, UploadFile

        request = request or JobRequest()
        self._check_may_go(request.secrets)
        spec = request.to_spec()
        if asked := [name for name in OVERRIDES if name in spec]:
            self._limits.check_known(asked)
        if project.git is not None:
            spec["git"] = asdict(project.git)
        if project.labels:
            spec["labels"] = {**project.labels, **spec.get("labels", {})}
        self._limits.leave_out_unknown(spec)
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

    def _check_may_go(self, secrets: "Sequence[Secret]") -> None:
        if secrets and self.config.is_projects_choice:
            raise ConfigError(
                f"Secrets were not sent: only the project's {self.config.server_source.name} "
                f"names the server {self.server_url}. If you trust this server, set it with "
                "--server or CI_SERVER_URL, or add a profile (`ci login --server URL`)."
            )

    def upload_limits(self) -> "UploadLimits":
        """What the server takes; no limits, where it is too old to tell.

        Raises:
            RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        from ci_client.packing.upload_limits import UploadLimits

        told = self._limits.told()
        names = ("max_files", "max_unpacked_bytes", "max_upload_bytes")
        known = {name: told[name] for name in names if isinstance(told.get(name), int)}
        return UploadLimits(**known)

    def whoami(self) -> dict[str, Any]:
        """The caller's identity: `user`, `tenant`, `role`, `credential` (such as api_key, jwt, or
        local on a server without authentication), and for an API key `key`, with its `prefix`,
        `name` and `expires_at`. Empty if the server is too old to report it.

        Raises:
            AccessRefused: it asks for a key, or does not know ours.
            RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        from ci_client.library.caller import ask_caller

        return ask_caller(self._exchange)

    def follow(
        self,
        job_id: str,
        *,
        from_beginning: bool = False,
        offset: int | None = None,
        timestamps: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """A job's events, to its end, over as many connections as it takes.

        The log starts at its beginning, at `offset` bytes from there, or, by default, now. With
        `timestamps`, `time` events tell when it was received: `offset`, `line`, `time`.

        Raises:
            UsageError: the server is too old to tell times.
            JobNotFound, RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        from ci_client.library.sse_reader import JobStreamReader

        return JobStreamReader(
            self._http,
            self.whole_id(job_id),
            from_beginning=from_beginning or offset is not None,
            timestamps=timestamps,
            last_event_id=None if offset is None else str(offset),
            patience=self._patience,
            on_retry=self._on_retry,
        ).events()

    def job_events(
        self, *, kinds: Sequence[str] = (), mine: bool = False
    ) -> Iterator[dict[str, Any]]:
        """What happens to all jobs that one may see, from now on, without end, over as many
        connections as it takes: see `GET /events`. `{"type": "begin"}` comes first, and after each
        reconnect; after `{"type": "gone"}` the jobs have to be listed again.

        Raises:
            RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        from ci_client.library.job_events import JobEventsReader

        return JobEventsReader(
            self._http, kinds=kinds, mine=mine, patience=self._patience, on_retry=self._on_retry
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
            UsageError: the server is too old for what is asked for.
            RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        asked = list_parameters(
            status=status,
            limit=limit,
            cursor=cursor,
            outcome=outcome,
            mine=mine,
            user=user,
            name=name,
            since=since,
            until=until,
            text=text,
            reason=reason,
            sort=sort,
            labels=labels,
        )
        try:
            response = self._exchange.send("GET", "/jobs", params=asked)
        except RequestRefused as error:
            raise why_refused(error, asked, self.server_url) from error
        jobs = json_of(self._http, response)
        if not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
            raise unexpected(self._http, "not a list of jobs")
        page = JobList(jobs)
        page.next_cursor = response.headers.get("X-Next-Cursor") or None
        return page

    def newest_job(self) -> dict[str, Any]:
        """My newest job.

        Raises:
            UsageError: the server is too old to know which one that is.
            RequestRefused: there is none, too; ServerUnreachable, UnexpectedAnswer.
        """
        try:
            jobs = self.list_jobs(mine=True, limit=1)
        except UsageError as error:
            raise UsageError(
                f"The server at {self.server_url} is too old to find your newest job. Pass a job "
                "id; `ci list` shows them."
            ) from error
        if not jobs:
            raise RequestRefused("job_not_found", "You have no jobs on this server yet.", 404)
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
            ConfigError: there are secrets, and only the project names the server.
            ServerUnreachable, UnexpectedAnswer.
        """
        from ci_client.library.rerun import rerun

        self._check_may_go(secrets)
        return rerun(self._http, self._exchange, checked_job_id(job_id), secrets)

    @override
    def whole_id(self, job_id: str) -> str:
        """The whole id of a job, for whoever asks about it more than once: meanwhile, what it
        begins with may fit others, too. Asks the server only for what is not a whole id.

        Raises:
            JobNotFound, RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        checked = checked_job_id(job_id)
        return checked if is_whole_id(checked) else str(self.get_job(checked).get("job_id"))
