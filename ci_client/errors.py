"""The one exception tree of the client.

ClientError
├── ConfigError                 the server's address or the configuration file is wrong
├── UsageError                  options, or keys of the project's table, that are wrong
├── ProjectError                the directory cannot be sent
│   ├── NotAModel               the directory has no description of a model, or two
│   ├── ProjectNotFound         there is no such directory
│   └── ProjectTooLarge         the server would not take it
├── LocalServerError            the server that `ci run` starts did not start
├── ServerUnreachable           no answer, for as long as we were prepared to wait
├── UnexpectedAnswer            something answered, but not as the CI server does
├── DownloadError               an artifact is damaged, or has no place in the directory
│   └── ArtifactsIncomplete     some could not be fetched; the others are there
├── ModelResultError            a model's result is missing, damaged, or another on this machine
└── RequestRefused              the server said no; carries its code and HTTP status
    ├── AccessRefused           it does not know who we are, or we may not do this
    ├── JobNotFound
    └── JobFinished             too late to cancel

Every message says what happened, what it means and what to do, and is meant for people.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from pathlib import Path

_NAMED_FAILURES = 20


class ClientError(Exception):
    """The request could not be carried out."""

    @property
    def message(self) -> str:
        """What happened, what it means, and what to do: for people."""
        return str(self)

    @property
    def is_infrastructure(self) -> bool:
        """Whether the same request may succeed later: server or network are at fault, not it."""
        return False


class ConfigError(ClientError):
    """The client's configuration is wrong."""


class UsageError(ClientError):
    """The options, or keys of the project's table, are wrong or do not go together."""


class ProjectError(ClientError):
    """The directory cannot be sent."""


class NotAModel(ProjectError):
    """The directory has no description of a model at its top, or two of them."""


class ProjectNotFound(ProjectError):
    """There is no directory at this path."""


class ProjectTooLarge(ProjectError):
    """The directory has more than the server takes."""


class LocalServerError(ClientError):
    """The server that `ci run` starts for itself did not start."""

    @property
    @override
    def is_infrastructure(self) -> bool:
        """Always: the container engine, or this machine, is not as it should be."""
        return True


class ServerUnreachable(ClientError):
    """The server does not answer."""

    def __init__(self, server_url: str, cause: str, proxy: str | None = None) -> None:
        """`proxy` is the address of the one that the request went through."""
        through = f", through the proxy {proxy}" if proxy else ""
        super().__init__(
            f"Cannot reach the server at {server_url} ({cause}{through}). "
            f"{_advice(cause, proxy)}, or select another server with --server, CI_SERVER_URL or "
            "--profile."
        )
        self.server_url = server_url

    @property
    @override
    def is_infrastructure(self) -> bool:
        """Always."""
        return True


SPEAKS_HTTP, SPEAKS_HTTPS = "it speaks http, not https", "it speaks https, not http"
"""Causes of a failed connection."""


def _advice(cause: str, proxy: str | None) -> str:
    if cause in (SPEAKS_HTTP, SPEAKS_HTTPS):
        return f"Use {cause.split()[2].rstrip(',')}:// in the address"
    if proxy:
        return "Check the proxy, or set NO_PROXY to the server's host name to bypass it"
    if "certificate" in cause:
        return "If a private CA issued the certificate, set SSL_CERT_FILE to the CA's certificate"
    return "Is it running? Start it with `python -m ci_server`"


class UnexpectedAnswer(ClientError):
    """Something answered that does not speak as the CI server does."""

    def __init__(self, server_url: str, what: str, proxy: str | None = None) -> None:
        """`proxy` is the address of the one that the request went through."""
        super().__init__(
            f"{server_url} sent a response that is not from a CI server ({what}). Check the "
            f"address (--server, CI_SERVER_URL), or {_named(proxy)} in between."
        )
        self.server_url = server_url

    @property
    @override
    def is_infrastructure(self) -> bool:
        """Always: something on the way, or the server, is not as it should be."""
        return True


def _named(proxy: str | None) -> str:
    return f"the proxy {proxy}" if proxy else "a proxy"


class DownloadError(ClientError):
    """An artifact cannot be put in its place, or arrived damaged."""

    def __init__(self, message: str, *, damaged: bool = False) -> None:
        super().__init__(message)
        self._damaged = damaged

    @property
    @override
    def is_infrastructure(self) -> bool:
        """Whether it arrived damaged."""
        return self._damaged


class ArtifactsIncomplete(DownloadError):
    """Some artifacts could not be fetched. The others are in their places."""

    def __init__(self, failures: Mapping[str, ClientError], places: "Sequence[Path]") -> None:
        count, total = len(failures), len(failures) + len(places)
        lines = [f"{count} of {total} artifacts could not be fetched:"]
        lines += [
            f"  {path!r}: {error.message}"
            for path, error in list(failures.items())[:_NAMED_FAILURES]
        ]
        if count > _NAMED_FAILURES:
            lines.append(f"  and {count - _NAMED_FAILURES} more")
        lines.append("Downloaded files are kept; repeat the command to fetch only what is missing.")
        super().__init__("\n".join(lines))
        self.failures = dict(failures)
        """Why, by the artifact's path."""
        self.places = list(places)
        """Where the others are."""

    @property
    @override
    def is_infrastructure(self) -> bool:
        """Whether any of them may be had later."""
        return any(error.is_infrastructure for error in self.failures.values())


class ModelResultError(ClientError):
    """A model's result is missing, damaged, or not the same on this machine."""


class RequestRefused(ClientError):
    """The server refused the request."""

    def __init__(
        self, code: str, message: str, http_status: int, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        """The stable, machine-readable code of the server's error."""
        self.http_status = http_status
        self.retry_after = retry_after
        """In how many seconds the same may succeed, where the server says so."""

    @property
    @override
    def is_infrastructure(self) -> bool:
        """Whether the server, and not the request, is at fault, or just too busy for it; or the
        connection too slow.
        """
        return self.http_status >= 500 or self.http_status in (408, 429)


class AccessRefused(RequestRefused):
    """The server does not let us do this: status 401 or 403."""


class JobNotFound(RequestRefused):
    """The server has no job of this id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            "job_not_found",
            f"Job {job_id} was not found on this server. `ci list` shows your jobs.",
            404,
        )
        self.job_id = job_id


class JobFinished(RequestRefused):
    """The job has already finished."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            "job_finished",
            f"Job {job_id} has already finished, so there is nothing to cancel. "
            f"`ci status {job_id}` shows its result.",
            409,
        )
        self.job_id = job_id
