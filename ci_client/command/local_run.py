"""`ci run`: `ci submit` to a server that is there for this job alone."""

from dataclasses import replace
from functools import partial

from typing_extensions import override

from ci_client.client import Client
from ci_client.command.display import say
from ci_client.command.job_name import unknown_job
from ci_client.command.local_server import LocalServer
from ci_client.command.submitting import ProjectSending, Submission, submit
from ci_client.errors import ServerUnreachable, UsageError
from ci_client.library.config import ServerChoice
from ci_client.packing.project_files import check_directory
from ci_client.project_config import known_jobs, read_project_table
from ci_common.suggestions import closest

_COMMAND_LINE = "ci run"
_PATIENCE_SECONDS = 5.0
"""A process that is gone does not come back."""


def run(asked: Submission) -> int:
    """Carry out a submission on a server of its own, and remove all of it; the exit code."""
    asked.check()
    check_directory(asked.path)
    _check_job(asked)
    with LocalServer() as server:
        say(f"Local server: {server.jobs_run_in}.")
        choice = ServerChoice(server.url, server.api_key)
        local = replace(asked, server=choice, patience=_PATIENCE_SECONDS)
        try:
            return submit(local, partial(_LocalSending, server))
        except ServerUnreachable as error:
            raise server.lost() from error


def _check_job(asked: Submission) -> None:
    """Raise UsageError, as the server would, for a job that the project does not have."""
    name = asked.request.job
    known = known_jobs(asked.path)
    if name is None or asked.request.command or known is None or name in known:
        return
    table = read_project_table(asked.path)
    place = f"{table.prefix.removeprefix(f'{table.file}: ')}jobs.NAME"
    meant = closest(name, known)
    told = (
        f"the project has no job {name!r}; it has: {', '.join(known)}. Jobs are configured as "
        f"[{place}] in its {table.file}" + (f". Did you mean {meant!r}?" if meant else "")
    )
    raise UsageError(unknown_job(told, name, asked.path, _COMMAND_LINE))


class _LocalSending(ProjectSending):
    """What is said of a job that nobody can ask about later."""

    _is_kept = False
    _command_line = _COMMAND_LINE

    def __init__(self, server: LocalServer, client: Client, asked: Submission) -> None:
        super().__init__(client, asked)
        self._server = server

    @override
    def _announce(self, job_id: str) -> None:
        say(f"Job {job_id} (Ctrl-C cancels it)")

    @override
    def _say_interrupted(self) -> None:
        if self._job_id is None:
            super()._say_interrupted()
            return
        self._server.leave()
        say(f"\nInterrupted: job {self._job_id} is being stopped and removed in the background.")

    @override
    def _continues(self) -> str:
        return f"Job {self._job_id} is cancelled."

    @override
    def _fetch_later(self, job_id: str, directory: str) -> str:
        return "The rest was removed with the local server."
