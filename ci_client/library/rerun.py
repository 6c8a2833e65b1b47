"""Asking the server to run a job again."""

from collections.abc import Sequence

import httpx

from ci_client.errors import RequestRefused, UsageError
from ci_client.library.exchange import Exchange
from ci_client.library.job_request import encoded_secrets
from ci_client.library.transport import address, unexpected
from ci_common.secret import Secret

_NO_SUCH_ROUTE = (404, 405)


def rerun(http: httpx.Client, exchange: Exchange, job_id: str, secrets: Sequence[Secret]) -> str:
    """The id of the new job. `job_id` is one that `checked_job_id` has passed.

    Raises:
        UsageError: the server is too old.
        JobNotFound, RequestRefused, ServerUnreachable, UnexpectedAnswer.
    """
    body = {"json": {"secrets": encoded_secrets(secrets)}} if secrets else {}
    try:
        answer = exchange.ask("POST", f"/jobs/{job_id}/rerun", job_id, **body)
    except RequestRefused as error:
        if error.http_status in _NO_SUCH_ROUTE and error.code in ("not_found", "http_error"):
            _check_old_server(http, exchange, job_id)
        raise
    new_id = answer.get("job_id") if isinstance(answer, dict) else None
    if not isinstance(new_id, str):
        raise unexpected(http, "no job id")
    return new_id


def _check_old_server(http: httpx.Client, exchange: Exchange, job_id: str) -> None:
    """Raise what is wrong with the job's id, or with the address, if that is it; otherwise it is a
    CI server that only cannot do this.
    """
    exchange.ask("GET", f"/jobs/{job_id}", job_id)
    raise UsageError(
        f"The server at {address(http)} is too old to run a job again. Submit the project again "
        "with `ci submit`, or ask an administrator to upgrade the server."
    )
