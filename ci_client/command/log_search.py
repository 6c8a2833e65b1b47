"""`ci logs --search`: the lines of a log that have a text."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from ci_client.client import Client
from ci_client.command import exit_codes
from ci_client.command.display import say
from ci_client.command.log_part import LogPart
from ci_client.command.painting import Color, painted
from ci_client.command.report_display import printable
from ci_client.command.timed_lines import LineTimes
from ci_client.errors import UsageError


def check_search(text: str | None, job_ids: Sequence[str], part: LogPart, *, follow: bool) -> str:
    """The text to search for. Raises UsageError where the options do not fit."""
    if text is None:
        raise UsageError("--json and --exact-case need --search TEXT.")
    if not text:
        raise UsageError("--search needs a text to search for.")
    if follow or part.tail is not None:
        other = "--follow" if follow else "--tail"
        raise UsageError(f"--search and {other} cannot be combined: omit one.")
    if len(job_ids) > 1:
        raise UsageError("--search takes one job: run it once for each job.")
    return text


def print_hits(
    client: Client,
    job_id: str,
    text: str,
    *,
    exact_case: bool,
    as_json: bool,
    timestamps: bool,
    start: int,
) -> int:
    """Print each place of the log from an offset on that has the text: the number of the line, and
    the text around it; the exit code.
    """
    times = LineTimes() if timestamps else None
    end: dict[str, Any] = {}
    for event in client.search_log(job_id, text, exact_case=exact_case, offset=start):
        if event["type"] == "progress":
            continue
        if as_json:
            print(json.dumps(event), flush=True)
        elif event["type"] == "hit":
            print(_shown(event, times), flush=True)
        if event["type"] == "end":
            end = event
    if not as_json:
        _tell_of_end(end)
    return exit_codes.PASSED if end.get("hits") else exit_codes.FAILED


def _shown(hit: dict[str, Any], times: LineTimes | None) -> str:
    time = ""
    if times is not None:
        times.add(hit)
        time = times.before(int(hit["offset"])).decode()
    before = ("…" if hit.get("before_cut") else "") + _plain(hit["before"])
    after = _plain(hit["after"]) + ("…" if hit.get("after_cut") else "")
    match = painted(_plain(hit["match"]), Color.RED, sys.stdout)
    return f"{time}{hit['line']}: {before}{match}{after}"


def _plain(text: Any) -> str:
    """In one line, without what does something to a terminal."""
    return printable(str(text).replace("\t", " "))


def _tell_of_end(end: dict[str, Any]) -> None:
    if end.get("damaged"):
        offset = end.get("offset")
        say(f"The log is damaged on the server: it cannot be searched from byte {offset} on.")
    elif not end.get("final"):
        say(f"The job has not ended: searched up to line {end.get('lines')}.")
