"""HTTP to the CI server: one kept-alive client, and what its answers and failures mean."""

import math
import shlex
import socket
import time
from email.utils import parsedate_to_datetime
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit

import httpx

from ci_client.errors import (
    SPEAKS_HTTP,
    SPEAKS_HTTPS,
    AccessRefused,
    ClientError,
    ConfigError,
    JobFinished,
    JobNotFound,
    RequestRefused,
    ServerUnreachable,
    UnexpectedAnswer,
)
from ci_client.library.proxies import proxy_of
from ci_common.addresses import is_loopback

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
STREAM_SECONDS = 60.0
"""Four heartbeats: a stream that is silent for so long has nobody at its other end."""

IDLE_SECONDS = 3.0
"""Connections that were idle for longer are not reused. The server closes them after 5 s, which is
also the default of httpx: a request sent at that moment would fail.
"""


_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_SIGNS_OF_HTTP = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
"""How OpenSSL's versions name an answer that is not TLS."""
_SIGN_OF_HTTPS = "illegal request line"
"""How h11 calls an answer that begins as no text does, such as an alert of TLS."""


class ServerConnection(httpx.Client):
    """A connection to one server."""

    profile_without_key: str | None = None
    """The profile that should have given an API key, but has none."""


def open_http(server_url: str, api_key: str | None = None) -> ServerConnection:
    """A client for this server. The caller closes it.

    It follows no redirects, so that a key is never sent to another host, and reaches this machine
    without a proxy.

    Raises:
        ConfigError: the address, or that of a proxy, is not usable.
    """
    host = urlsplit(server_url).hostname or ""
    is_local = is_loopback(host)
    try:
        return ServerConnection(
            base_url=server_url,
            headers={} if api_key is None else {"Authorization": f"Bearer {api_key}"},
            follow_redirects=False,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(
                max_connections=100, max_keepalive_connections=20, keepalive_expiry=IDLE_SECONDS
            ),
            verify=_certificates(server_url, is_local),
            trust_env=not is_local,
        )
    except httpx.InvalidURL as error:
        raise ConfigError(f"{server_url} is not a server address: {error}.") from error
    except (ImportError, ValueError) as error:
        why = "it is a SOCKS proxy" if isinstance(error, ImportError) else str(error)
        raise ConfigError(
            "The environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) sets a proxy that ci cannot "
            f"use: {why}. Use an http:// proxy, or set NO_PROXY={host}."
        ) from error


def _certificates(server_url: str, is_local: bool) -> "bool | SSLContext":
    # To read all certificates of the machine takes longer than a whole request does, so it is
    # left out where nothing could be encrypted: redirects are not followed.
    if urlsplit(server_url).scheme == "https":
        return httpx.create_ssl_context() if is_local else True
    return proxy_of(server_url) is not None


def unreachable(http: httpx.Client, error: Exception) -> ServerUnreachable:
    """What a failure of the connection means to people."""
    return ServerUnreachable(address(http), describe(error), proxy_of(address(http)))


def unexpected(http: httpx.Client, what: str) -> UnexpectedAnswer:
    """The error that an answer stands for which no CI server gives."""
    return UnexpectedAnswer(address(http), what, proxy_of(address(http)))


def address(http: httpx.Client) -> str:
    """The server's address, as people write it."""
    return str(http.base_url).rstrip("/")


def describe(error: BaseException) -> str:
    """In a few words, why a connection failed."""
    if isinstance(error, httpx.TimeoutException):
        return "timed out"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return "unknown host name"
        if any(sign in str(cause) for sign in _SIGNS_OF_HTTP):
            return SPEAKS_HTTP
        if _SIGN_OF_HTTPS in str(cause):
            return SPEAKS_HTTPS
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


def refusal(http: httpx.Client, response: httpx.Response, job_id: str | None = None) -> ClientError:
    """The error that an answer other than the wanted one stands for. Reads the answer."""
    code, message, request_id = _error_of(response)
    status = response.status_code
    if job_id is not None and code == "job_not_found":
        return JobNotFound(job_id)
    if job_id is not None and code == "job_finished":
        return JobFinished(job_id)
    if code is None and status < 400:
        return unexpected(http, _redirection(response) or f"status {status}")
    if status == _UNAUTHORIZED:
        return AccessRefused(code or "unauthenticated", _who_are_you(http), status)
    if code in (None, "not_found") and status == _NOT_FOUND:
        message = (
            f"There is no CI server at {address(http)}: the path {response.request.url.path} was "
            "not found. Check the address, including its path (--server, CI_SERVER_URL)."
        )
    message = message or f"The server at {address(http)} refused the request with status {status}."
    if code is None and (proxy := proxy_of(address(http))):
        message += f" The response may come from the proxy {proxy}."
    if code is None and status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        message += " The request is too large for it, or for a proxy in between."
    wait = retry_after(response)
    if wait and "try again in" not in message.lower():
        message += f" Try again in {math.ceil(wait)} s."
    if status >= 500 and request_id and request_id not in message:
        message = f"{message} (request id {request_id})"
    no_access = status == _FORBIDDEN and code != "quota_exceeded"
    kind = AccessRefused if no_access else RequestRefused
    return kind(code or "http_error", message, status, wait)


def _redirection(response: httpx.Response) -> str | None:
    to = response.headers.get("Location") if response.is_redirect else None
    return f"status {response.status_code}, a redirect to {to!r}" if to else None


def retry_after(response: httpx.Response) -> float | None:
    """The least number of seconds the server wants to be left alone, where it says so."""
    text = response.headers.get("Retry-After", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _who_are_you(http: httpx.Client) -> str:
    server = address(http)
    if "Authorization" not in http.headers:
        if isinstance(http, ServerConnection) and (profile := http.profile_without_key):
            return (
                f"{server} requires authentication, and the profile {profile} has no API key. "
                f"Store one with `ci login --profile {profile}`, or set CI_API_KEY. Keys of other "
                "profiles are not used."
            )
        return (
            f"{server} requires authentication; no API key was sent. Store one with `ci login "
            f"--server {shlex.quote(server)}`, or set CI_API_KEY. A stored key is sent only to "
            "the server it was stored for."
        )
    return (
        f"{server} does not accept the API key: it is unknown there, expired or revoked. `ci "
        "whoami` shows where the key comes from. An administrator can create a new one with "
        "`ci-admin key create`; store it with `ci login`."
    )


def _error_of(response: httpx.Response) -> tuple[str | None, str | None, str | None]:
    """Code, message and request id of an answer that is an error; None for what is not there."""
    try:
        response.read()
        error = response.json()["error"]
        request_id = response.headers.get("X-Request-ID")
        return str(error["code"]), str(error["message"]), request_id
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None, None, None


def json_of(http: httpx.Client, response: httpx.Response) -> Any:
    """The JSON of an answer.

    Raises:
        UnexpectedAnswer: it is not JSON.
    """
    try:
        return response.json()
    except ValueError as error:
        raise unexpected(http, "not JSON") from error
