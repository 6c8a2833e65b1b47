"""`ci watch`: what happens to all jobs that one may see, as a live table or line by line."""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ci_client.client import Client
from ci_client.command.connecting import connected
from ci_client.command.display import say
from ci_client.command.interruption import Interruption
from ci_client.command.job_lines import job_lines, terminal_width, what_happened
from ci_client.command.report_display import printable
from ci_client.errors import ClientError
from ci_client.library.config import ServerChoice
from ci_client.library.merged_streams import merged

_TICK: dict[str, Any] = {}
_TICK_SECONDS = 0.5
"""Between two looks at the list, however many events come, and between two drawings of it."""

_ALTERNATE, _ORIGINAL = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The terminal's other screen, without a cursor; and back."""
_HOME, _REST_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"


def watch_jobs(server: ServerChoice, *, mine: bool, as_json: bool) -> int:
    """Show what happens until Ctrl-C or SIGTERM; the exit code."""
    on_terminal = not as_json and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    interruption = Interruption()
    with interruption:
        try:
            if on_terminal:
                _show_table(server, mine)
            else:
                _print_events(server, mine, as_json)
        except KeyboardInterrupt:
            pass
    return interruption.exit_code


# ------------------------------------------------------------------ line by line


def _print_events(server: ServerChoice, mine: bool, as_json: bool) -> None:
    with connected(Client, server) as client:
        # A server that is not there is told at once, not waited for.
        client.list_jobs(limit=1, mine=mine)
        for event in client.job_events(mine=mine):
            if as_json:
                print(json.dumps(event), flush=True)
            elif event["type"] == "job":
                print(event_line(event), flush=True)
            elif event["type"] == "gone":
                say("Some events were missed, because their jobs were deleted meanwhile.")


def event_line(event: Mapping[str, Any]) -> str:
    """When, which job, whose, and what happened to it."""
    cells = (str(event.get(key) or "-") for key in ("at", "job_id", "user"))
    return printable("  ".join([*cells, _what(event)]))


def _what(event: Mapping[str, Any]) -> str:
    facts = event.get("facts")
    facts = facts if isinstance(facts, dict) else {}
    match event.get("kind"):
        case "submitted":
            return f"submitted {facts.get('name')}"
        case "claimed":
            return "starting"
        case "started":
            return "running"
        case "progress":
            return f"{facts.get('phase')} {facts.get('current')}/{facts.get('total')}"
        case "cancel_requested":
            return "cancelling"
        case "retried":
            return f"starting again, attempt {facts.get('attempt')}"
        case "finished":
            passed = (facts.get("status"), facts.get("exit_code")) == ("completed", 0)
            return what_happened({**facts, "success": passed})
        case kind:
            return str(kind)


# ------------------------------------------------------------------ as a table


class _Table:
    """The newest jobs on the terminal's other screen, as many as there is room for."""

    def __init__(self, client: Client, mine: bool) -> None:
        """Raises what `Client.list_jobs` raises."""
        self._client = client
        self._mine = mine
        self._jobs: Sequence[dict[str, Any]] = client.list_jobs(limit=_rows(), mine=mine)
        self.problem = ""
        """Why what is shown may be old."""

    def fetch(self) -> None:
        """Ask for the jobs. One that cannot be had now is shown as it was."""
        try:
            self._jobs = self._client.list_jobs(limit=_rows(), mine=self._mine)
        except ClientError as error:
            if not error.is_infrastructure:
                raise
            self.problem = error.message
        else:
            self.problem = ""

    def draw(self) -> None:
        """Show them, with their ages as they are now."""
        lines = [self._heading(), "", *self.lines()]
        shown = "".join(f"{line}{_REST_OF_LINE}\r\n" for line in lines[: _rows() + 2])
        print(f"{_HOME}{shown}{_REST}", end="", flush=True)

    def lines(self) -> list[str]:
        """The table."""
        if not self._jobs:
            return ["There are no jobs yet."]
        return job_lines(self._jobs, terminal_width()).split("\n")

    def _heading(self) -> str:
        whose = "Your jobs" if self._mine else "Jobs"
        now = datetime.now(UTC).astimezone().strftime("%H:%M:%S")
        text = f"{whose} at {self._client.server_url}, {now}. Ctrl-C to quit."
        if self.problem:
            text = f"{now} {self.problem}"
        return printable(text)[: terminal_width() - 1]


def _show_table(server: ServerChoice, mine: bool) -> None:
    """Until Ctrl-C; then the last table stays on the screen."""
    with connected(Client, server, on_retry=_ignore) as client:
        table = _Table(client, mine)
        try:
            print(_ALTERNATE, end="", flush=True)
            _follow(client, table, mine)
        finally:
            print(_ORIGINAL, end="", flush=True)
            print("\n".join(table.lines()), flush=True)


def _follow(client: Client, table: _Table, mine: bool) -> None:
    table.draw()
    is_old = False
    for _, event in merged([client.job_events(mine=mine), _ticks()]):
        if isinstance(event, ClientError):
            raise event
        is_old = is_old or event is not _TICK
        if event is _TICK:
            if is_old or table.problem:
                table.fetch()
                is_old = False
            table.draw()


def _ticks() -> Iterator[dict[str, Any]]:
    while True:
        time.sleep(_TICK_SECONDS)
        yield _TICK


def _rows() -> int:
    """Jobs for which the terminal has room, below the headings."""
    try:
        return max(1, os.get_terminal_size(sys.stdout.fileno()).lines - 4)
    except (OSError, ValueError):
        return 20


def _ignore(why: str, delay: float) -> None:
    """The next look at the list says it."""
