"""`ci list`: jobs, newest first, and how to see the older ones."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ci_client.client import Client
from ci_client.command import exit_codes
from ci_client.command.connecting import connect
from ci_client.command.display import job_table, say, shown_id
from ci_client.command.job_filters import OUTCOMES, wrong_reason
from ci_client.command.job_lines import job_lines, terminal_width
from ci_client.errors import ClientError, JobNotFound, RequestRefused, UsageError
from ci_client.library.config import ServerChoice

_LARGEST_PAGE = 1000
"""The server gives no more at once."""


@dataclass(frozen=True, slots=True)
class WantedJobs:
    """Which jobs to list. What is left out is as the server does."""

    filters: Mapping[str, Any] = field(default_factory=dict)
    """By the name of the option: status, mine, name, user, since, until, reason, text."""
    labels: Mapping[str, str] = field(default_factory=dict)
    failed: bool = False
    limit: int | None = None
    before: str | None = None
    """The id of a job: only older ones."""

    def query(self) -> dict[str, Any]:
        """The arguments of `Client.list_jobs`. Raises UsageError."""
        asked = {**self.filters, "labels": self.labels}
        for name in ("since", "until"):
            if (moment := asked.get(name)) is not None:
                from ci_client.library.moments import utc_text

                asked[name] = utc_text(f"--{name}", moment)
        status = "failed" if self.failed else asked.get("status")
        if self.failed and asked.get("status") == "passed":
            raise UsageError("--failed and --status passed contradict each other: omit one.")
        if status in OUTCOMES:
            asked["outcome"] = status
            if asked.get("status") in OUTCOMES:
                asked["status"] = None
        return asked

    def next_command(self, last: Sequence[dict[str, Any]]) -> str:
        """What lists the jobs that come after these, for whoever reads stderr."""
        options = self.options()
        if self.limit is not None:
            options += ["--limit", str(self.limit)]
        before = shown_id(str(last[-1].get("job_id")), sys.stderr)
        return shlex.join(["ci", "list", *options, "--before", before])

    def options(self) -> list[str]:
        """The filters as options."""
        options = ["--failed"] if self.failed else []
        for name, value in self.filters.items():
            if value is True:
                options.append(f"--{name}")
            elif value:
                options += [f"--{name}", str(value)]
        for key, value in self.labels.items():
            options += ["--label", f"{key}={value}"]
        return options


def list_jobs(server: ServerChoice, wanted: WantedJobs, as_json: bool) -> int:
    """Print the jobs, and on a terminal whether there are more; the exit code."""
    query = wanted.query()
    with connect(server) as client:
        try:
            jobs, more = _fetch(client, wanted, query)
        except RequestRefused as refused:
            raise _wrong_option(wanted, refused) from refused
        on_terminal = sys.stdout.isatty()
        if on_terminal and not jobs and not as_json:
            say(_no_jobs(wanted))
            return exit_codes.PASSED
        if as_json:
            shown = json.dumps(jobs, indent=2)
        else:
            shown = job_lines(jobs, terminal_width()) if on_terminal else job_table(jobs)
        print(shown, flush=True)
        if more and jobs and not as_json and on_terminal:
            count = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
            say(
                f"showing {count}; to list older ones: {wanted.next_command(jobs)}"
                f"{client.server_option} (or raise --limit)"
            )
    return exit_codes.PASSED


def _fetch(
    client: Client, wanted: WantedJobs, query: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], bool]:
    """The jobs, over as many pages as it takes, and whether there are more of them."""
    found: list[dict[str, Any]] = []
    cursor = wanted.before and client.whole_id(wanted.before)
    while True:
        left = None if wanted.limit is None else min(wanted.limit - len(found), _LARGEST_PAGE)
        page = client.list_jobs(limit=left, cursor=cursor, **query)
        found += page
        cursor = page.next_cursor
        if not page or cursor is None or wanted.limit is None or len(found) >= wanted.limit:
            return found, cursor is not None


def _no_jobs(wanted: WantedJobs) -> str:
    options = wanted.options()
    if wanted.before is not None:
        options += ["--before", wanted.before]
    if not options:
        return "No jobs yet. `ci submit` runs one."
    told = f"No jobs match {shlex.join(options)}."
    user = str(wanted.filters.get("user") or "")
    if user and "@" not in user:
        told += " --user needs the whole name, such as alice@example.com (`ci list` shows it)."
    return told


def _wrong_option(wanted: WantedJobs, refused: RequestRefused) -> ClientError:
    """What this refusal says of the options; itself, where it is about something else."""
    if wanted.before is not None and (
        isinstance(refused, JobNotFound) or "is not a job of this list" in refused.message
    ):
        return UsageError(f"There is no job {wanted.before} in this list (--before).")
    reason = wanted.filters.get("reason")
    if refused.code == "invalid_request" and reason:
        return wrong_reason(reason) or refused
    return refused
