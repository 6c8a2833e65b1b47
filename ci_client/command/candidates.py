"""Jobs that the shell offers on Tab: silent, whatever happens, and within two seconds. A shell puts
what it is offered on the command line as it is, so that nothing but ids and names may be in it.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import click
from click.shell_completion import CompletionItem

from ci_client.client import Client
from ci_client.command.display import SHORT_ID
from ci_client.command.exit_codes import is_finished
from ci_client.command.job_lines import age_of, branch_of, what_happened
from ci_client.command.model_run import JOB, is_model
from ci_client.command.report_display import printable
from ci_client.errors import ClientError
from ci_client.library.job_ids import is_whole_id
from ci_client.library.job_request import is_job_name
from ci_client.library.user_config import read_user_config
from ci_client.packing.project_table import read_commands

_SECONDS = 2.0
"""Longer nobody waits for Tab."""
_MOST = 50
_LEAST_CHARACTERS = 4
"""Of an id by which the server finds a job."""


def job_ids(
    given: Mapping[str, Any], parameter: click.Parameter, incomplete: str, unfinished: bool = False
) -> list[CompletionItem]:
    """Ids of jobs, newest first, as short as people are shown them. `given` are the other values of
    the command line; jobs that it names already are left out.
    """
    jobs = _answer_in_time(lambda: _jobs(given, incomplete.lower()))
    already = given.get(str(parameter.name)) if parameter.nargs == -1 else None
    named = tuple(str(one).lower() for one in already or ())
    shown = [
        job
        for job in jobs
        if not (unfinished and is_finished(job))
        and not (named and str(job["job_id"]).startswith(named))
    ]
    return [
        CompletionItem(_shortest(str(job["job_id"]), incomplete), help=_description(job))
        for job in shown
    ]


def job_names(path: str, incomplete: str) -> list[CompletionItem]:
    """Jobs of the project's table with their commands, and the engine for a model."""
    try:
        found = read_commands(path)
    except ClientError:
        return []  # of a broken table `ci submit` tells
    names = found or {"test": ""}
    if is_model(path, JOB):
        names = {**names, JOB: "values the model"}
    return [
        CompletionItem(name, help=printable(command) or None)
        for name, command in names.items()
        if name.startswith(incomplete) and is_job_name(name)
    ]


def profiles(incomplete: str) -> list[str]:
    """Names of profiles."""
    try:
        return [name for name in read_user_config().profiles if name.startswith(incomplete)]
    except ClientError:
        return []  # of a broken file the command tells


def _jobs(given: Mapping[str, Any], beginning: str) -> list[dict[str, Any]]:
    try:
        server, profile = given.get("server"), given.get("profile")
        with Client(server, api_key=given.get("api_key"), profile=profile) as client:
            if client.config.is_projects_choice:
                return []  # to press Tab in somebody's project is not to talk to their server
            newest = client.list_jobs(limit=_MOST)
            found = [job for job in newest if str(job.get("job_id")).startswith(beginning)]
            if not found and len(beginning) >= _LEAST_CHARACTERS:
                found = [client.get_job(beginning)]
            return [job for job in found if is_whole_id(str(job.get("job_id")))]
    except ClientError:
        return []  # no server, no key, no such job: there is nothing to offer


def _answer_in_time(ask: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The answer; nothing where it takes longer."""
    answers: list[list[dict[str, Any]]] = []
    asking = threading.Thread(target=lambda: answers.append(ask()), daemon=True)
    asking.start()
    asking.join(_SECONDS)
    return answers[0] if answers else []


def _shortest(job_id: str, incomplete: str) -> str:
    return job_id if len(incomplete) > SHORT_ID else job_id[:SHORT_ID]


def _description(job: Mapping[str, Any]) -> str:
    facts = (what_happened(job), job.get("name"), branch_of(job), age_of(job, datetime.now(UTC)))
    return printable(", ".join(str(fact) for fact in facts if fact))
