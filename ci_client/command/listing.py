"""`ci list`: jobs, newest first, and how to see the older ones."""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ci_client.client import Client
from ci_client.command import exit_codes
from ci_client.command.connecting import connect
from ci_client.command.display import job_table, say
from ci_client.library.config import ServerChoice

_LARGEST_PAGE = 1000
"""The server gives no more at once."""


@dataclass(frozen=True, slots=True)
class WantedJobs:
    """Which jobs to list. What is left out is as the server does."""

    status: str | None = None
    limit: int | None = None
    before: str | None = None
    """The id of a job: only older ones."""

    def next_command(self, last: Sequence[dict[str, Any]]) -> str:
        """What lists the jobs that come after these."""
        options = ["--before", str(last[-1].get("job_id"))]
        if self.limit is not None:
            options = ["--limit", str(self.limit), *options]
        if self.status is not None:
            options = ["--status", self.status, *options]
        return shlex.join(["ci", "list", *options])


def list_jobs(server: ServerChoice, wanted: WantedJobs, as_json: bool) -> int:
    """Print the jobs, and on a terminal whether there are more; the exit code."""
    with connect(server) as client:
        jobs, more = _fetch(client, wanted)
        print(json.dumps(jobs, indent=2) if as_json else job_table(jobs), flush=True)
        if more and jobs and not as_json and sys.stdout.isatty():
            shown = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
            say(
                f"showing {shown}; to list older ones: {wanted.next_command(jobs)}"
                f"{client.server_option} (or raise --limit)"
            )
    return exit_codes.PASSED


def _fetch(client: Client, wanted: WantedJobs) -> tuple[list[dict[str, Any]], bool]:
    """The jobs, over as many pages as it takes, and whether there are more of them."""
    found: list[dict[str, Any]] = []
    cursor = wanted.before
    while True:
        left = None if wanted.limit is None else min(wanted.limit - len(found), _LARGEST_PAGE)
        page = client.list_jobs(status=wanted.status, limit=left, cursor=cursor)
        found += page
        cursor = page.next_cursor
        if not page or cursor is None or wanted.limit is None or len(found) >= wanted.limit:
            return found, cursor is not None
