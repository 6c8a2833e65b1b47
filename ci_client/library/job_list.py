"""A page of the server's jobs, and how to ask for one."""

from collections.abc import Mapping
from typing import Any


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
