"""A page of the server's jobs, and how to ask for one."""

from collections.abc import Mapping
from typing import Any

from ci_client.errors import ClientError, RequestRefused, UsageError

_UNKNOWN = "is not a parameter of this request"
"""How a server says that it does not know a parameter."""

_OPTIONS = {"q": "text", "label": "labels"}
"""What we call parameters that have another name in a request."""


class JobList(list[dict[str, Any]]):
    """A page of jobs, newest first."""

    next_cursor: str | None = None
    """Asks for the page after this one; `None` on the last."""


def list_parameters(
    *, mine: bool, labels: Mapping[str, str] | None, text: str | None, **others: Any
) -> dict[str, Any]:
    """The parameters of `GET /jobs`, without those that are not given."""
    asked = {
        **others,
        "mine": "true" if mine else None,
        "q": text,
        "label": [f"{key}:{value}" for key, value in (labels or {}).items()] or None,
    }
    return {name: value for name, value in asked.items() if value is not None}


def why_refused(refused: RequestRefused, asked: Mapping[str, Any], server_url: str) -> ClientError:
    """The error that this refusal stands for, which names what only newer servers know."""
    if refused.code != "invalid_request" or _UNKNOWN not in refused.message:
        return refused
    problems = [one for one in refused.message.split("; ") if _UNKNOWN in one]
    named = {one.partition(":")[0].strip(" '`") for one in problems}
    unknown = [_OPTIONS.get(name, name) for name in asked if name in named]
    return UsageError(
        f"The server at {server_url} is too old to filter jobs by "
        f"{', '.join(unknown) or 'these options'}. Omit the filter, or ask an administrator to "
        "upgrade the server."
    )
