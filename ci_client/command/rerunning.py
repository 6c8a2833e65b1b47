"""`ci rerun`: ask for a job again, and watch it like one that was just submitted."""

from ci_client.client import Client
from ci_client.command.connecting import connect, tell_of_server
from ci_client.command.display import say
from ci_client.command.submitting import ProjectSending, Submission, warn_of_open_secrets
from ci_client.errors import RequestRefused, UsageError


def rerun(job_id: str | None, asked: Submission) -> int:
    """Run a job again, or my newest one; the exit code. Of `asked` the project is not used."""
    asked.check()
    with connect(asked.server) as client:
        tell_of_server(client.config)
        warn_of_open_secrets(client, asked.request)
        return _JobSending(client, asked).run_again(job_id or _newest(client))


def _newest(client: Client) -> str:
    job_id = str(client.newest_job().get("job_id"))
    say(f"Running your newest job again: {job_id}")
    return job_id


class _JobSending(ProjectSending):
    """Nothing is uploaded."""

    def run_again(self, job_id: str) -> int:
        """Submit and watch; the exit code."""
        return self._follow(lambda: self._submit_again(job_id))

    def _submit_again(self, job_id: str) -> str:
        self._interruption.hold()
        try:
            self._job_id = self._client.rerun_job(job_id, secrets=self._request.secrets)
        except RequestRefused as error:
            if error.code != "secrets_needed":
                raise
            raise UsageError(
                f"{error.message}. Pass each with --secret NAME (its value is the environment "
                "variable NAME), or with --secret-file NAME=PATH."
            ) from error
        return self._job_id
