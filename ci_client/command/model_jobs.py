"""`ci model`: models of the calculation engine, over the model-job API."""

import json
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta
from pathlib import Path

from typing_extensions import override

from ci_client.command import exit_codes
from ci_client.command.connecting import connected, tell_of_server
from ci_client.command.display import say
from ci_client.command.model_display import model_details
from ci_client.command.model_results import (
    fetch_results,
    results_directory,
    statistics_table,
    where_results_are,
)
from ci_client.command.model_run import ModelOptions, ModelRun, directory_name
from ci_client.command.progress_lines import ProgressOutput
from ci_client.command.submitting import Sending, tell_of_packing
from ci_client.command.watching import show
from ci_client.errors import ClientError, ModelResultError, UsageError
from ci_client.library.config import ServerChoice
from ci_client.library.model_job import ModelJob, SubmittedModel
from ci_client.library.upload import OnProgress
from ci_client.models import ModelClient, ModelPackage, create_model_package
from ci_client.packing.model_package import check_model
from ci_common.job import LONGEST_TITLE, is_title
from ci_common.model_result import HASH

_SOON = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class ModelSubmission:
    """What the user asked for."""

    path: str
    name: str | None = None
    priority: int | None = None
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    detach: bool = False
    as_json: bool = False
    output: str | None = None
    verify_local: bool = False
    detach_on_signal: bool = False
    server: ServerChoice = field(default_factory=ServerChoice)

    def check(self) -> None:
        """Raises UsageError for options that do not go together, and for what is no name."""
        if self.detach and (self.output is not None or self.verify_local):
            raise UsageError(
                "--output and --verify-local wait for the job to end, so they cannot be combined "
                "with --detach."
            )
        if self.as_json and not self.detach:
            raise UsageError("--json needs --detach: otherwise stdout is the job's log.")
        if self.name is not None and not is_title(self.name):
            raise UsageError(f"--name must be 1 to {LONGEST_TITLE} printable characters.")


def submit(asked: ModelSubmission) -> int:
    """Pack a model, upload it, and watch its job; the exit code."""
    asked.check()
    check_model(asked.path)
    with (
        connected(ModelClient, replace(asked.server, project=asked.path)) as client,
        create_model_package(
            asked.path, asked.include, asked.exclude, client.upload_limits()
        ) as package,
    ):
        tell_of_server(client.config)
        tell_of_packing(package.notes, package.project)
        if asked.verify_local and package.stale_manifest:
            raise UsageError(
                f"--verify-local: the engine refuses {asked.path} because of its manifest.json. "
                "Correct or delete it."
            )
        return _ModelSending(client, asked).run(package)


class _ModelRun(ModelRun):
    fetch_command = "ci model results {}"


class _ModelSending(Sending[ModelClient, ModelPackage]):
    watch_command = watch_all_command = "ci model watch {}"
    cancel_command = "ci model cancel {}"

    def __init__(self, client: ModelClient, asked: ModelSubmission) -> None:
        own_name = directory_name(asked.path)
        self._name = asked.name or (own_name if is_title(own_name) else None)
        options = ModelOptions(output=asked.output, verify_local=asked.verify_local)
        run = _ModelRun(asked.path, options, self._name)
        super().__init__(client, asked.detach, run, asked.detach_on_signal)
        self._priority = asked.priority
        self._as_json = asked.as_json
        self._accepted: SubmittedModel | None = None

    @override
    def _send(self, package: ModelPackage, on_progress: OnProgress) -> str:
        self._accepted = self._client.submit_model(
            package, name=self._name, priority=self._priority, on_progress=on_progress
        )
        return self._accepted.job_id

    @override
    def _detached(self, job_id: str) -> int:
        if self._as_json and self._accepted is not None:
            print(json.dumps(self._accepted.raw, indent=2), flush=True)
            return exit_codes.PASSED
        code = super()._detached(job_id)
        self._tell_estimate()
        return code

    def _tell_estimate(self) -> None:
        """Say when the job will start, where that is known and not about now."""
        accepted = self._accepted
        start = accepted.estimated_start if accepted else None
        if accepted and start and start - accepted.created_at > _SOON:
            say(f"Expected to start at {start.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}.")

    @override
    def _watched(self, job_id: str) -> int:
        self._tell_estimate()
        code = super()._watched(job_id)
        if code == exit_codes.FAILED:
            _tell_why(self._client, job_id)
        return code


def status(job_id: str, server: ServerChoice, as_json: bool) -> int:
    """Show a model's job; the exit code."""
    with connected(ModelClient, server) as client:
        job = client.get_model_job(job_id)
    print(json.dumps(job.raw, indent=2) if as_json else model_details(job), flush=True)
    return exit_codes.PASSED


def cancel(job_id: str, server: ServerChoice) -> int:
    """Stop a model's job, queued or under way; the exit code."""
    with connected(ModelClient, server) as client:
        job_id = client.whole_id(job_id)
        client.cancel_model_job(job_id, force=True)
    print(f"Job {job_id} cancelled.", flush=True)
    return exit_codes.PASSED


def watch(job_id: str, server: ServerChoice, output: str | None) -> int:
    """Watch a job from its beginning to its end, and show its results; the exit code."""
    with connected(ModelClient, server) as client:
        # A server that is not there is told at once, not waited for.
        job_id = client.get_model_job(job_id).job_id
        try:
            with closing(ProgressOutput()) as progress:
                code = show(client.follow(job_id, from_beginning=True), progress, job_id)
        except KeyboardInterrupt:
            say(
                f"\nInterrupted: stopped watching. Job {job_id} continues to run; "
                f"watch it again with: ci model watch {job_id}{client.server_option}"
            )
            return exit_codes.INTERRUPTED
        if code == exit_codes.FAILED:
            _tell_why(client, job_id)
        if code == exit_codes.PASSED:
            _tell_results(client, job_id, output)
        return code


def results(job_id: str, server: ServerChoice, output: str | None, as_json: bool) -> int:
    """Fetch, check and show the results of a job that succeeded; the exit code."""
    with connected(ModelClient, server) as client:
        job = client.get_model_job(job_id)
        if job.result is None:
            return _no_results(client, job)
        directory = output or results_directory(job.model_name, job.job_id)
        found = fetch_results(client, job.job_id, Path(directory))
    if found[HASH] != job.result.result_hash:
        raise ModelResultError(
            f"The files in {directory} have the {HASH} {found[HASH]}, but the server reports "
            f"{job.result.result_hash}. Delete them and fetch them again."
        )
    told = json.dumps(job.raw["resultData"], indent=2) if as_json else statistics_table(found)
    print(told, flush=True)
    say(where_results_are(directory))
    return exit_codes.PASSED


def _tell_results(client: ModelClient, job_id: str, output: str | None) -> None:
    is_shown = sys.stdout.isatty()  # by the job's log
    if output is not None:
        found = fetch_results(client, job_id, Path(output))
        if not is_shown:
            say(statistics_table(found))
        say(where_results_are(output))
        return
    job = client.get_model_job(job_id)
    if job.result is None:
        raise ModelResultError(_why_nothing(job))
    if not is_shown:
        say(statistics_table(job.result.document()))
    say(f"Fetch the results with: ci model results {job_id}{client.server_option}")


def _no_results(client: ModelClient, job: ModelJob) -> int:
    """Say why; the exit code that watching the job has."""
    if not job.is_ended:
        say(
            f"Error: Job {job.job_id} is {job.status}; its results are available when it ends. "
            f"Watch it with: ci model watch {job.job_id}{client.server_option}"
        )
        return exit_codes.USAGE
    say(f"Error: {_why_nothing(job)}")
    if job.status == "cancelled":  # perhaps not yet ended
        return exit_codes.CANCELLED
    return exit_codes.of_result(client.get_job(job.job_id)) or exit_codes.FAILED


def _why_nothing(job: ModelJob) -> str:
    if job.status == "cancelled":
        return f"Job {job.job_id} was cancelled; it has no results."
    what = "failed" if job.status == "failed" else "left no results"
    why = f":\n{job.error_message.rstrip()}" if job.error_message else "."
    return f"Job {job.job_id} {what}{why}"


def _tell_why(client: ModelClient, job_id: str) -> None:
    """Say on stderr why a job failed, where the log has not just done so on the same terminal."""
    if sys.stdout.isatty():
        return
    with suppress(ClientError):  # the log has it, too
        if message := client.get_model_job(job_id).error_message:
            say(message.rstrip())
