"""`ci model`: models of the calculation engine, over the model-job API."""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from typing_extensions import override

from ci_client.command import exit_codes
from ci_client.command.display import say
from ci_client.command.model_display import model_details, package_summary
from ci_client.command.model_results import (
    fetch_results,
    results_directory,
    statistics_table,
    where_results_are,
)
from ci_client.command.model_run import ModelOptions, ModelRun, directory_name
from ci_client.command.progress_lines import ProgressOutput
from ci_client.command.submitting import Sending, tell_of_packing
from ci_client.command.watching import RetryNotice, show
from ci_client.errors import ModelResultError, UsageError
from ci_client.library.config import ServerChoice
from ci_client.library.model_job import ModelJob, SubmittedModel
from ci_client.library.upload import OnProgress
from ci_client.models import ModelClient, ModelPackage, create_model_package
from ci_client.packing.model_package import check_model

_LONGEST_NAME = 200


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
    server: ServerChoice = field(default_factory=ServerChoice)

    def check(self) -> None:
        """Raises UsageError for options that do not go together, and for what is no name."""
        if self.detach and (self.output is not None or self.verify_local):
            raise UsageError("--output and --verify-local need the job's end: leave out --detach.")
        if self.as_json and not self.detach:
            raise UsageError("--json needs --detach: otherwise stdout is the job's log.")
        if self.name is not None and not _is_name(self.name):
            raise UsageError(f"--name must be 1 to {_LONGEST_NAME} printable characters.")


def _is_name(name: str) -> bool:
    return 0 < len(name) <= _LONGEST_NAME and name.isprintable()


def _connect(server: ServerChoice) -> ModelClient:
    return ModelClient(server.server_url, api_key=server.api_key, on_retry=RetryNotice())


def submit(asked: ModelSubmission) -> int:
    """Pack a model, upload it, and watch its job; the exit code."""
    asked.check()
    check_model(asked.path)
    with (
        _connect(asked.server) as client,
        create_model_package(
            asked.path, asked.include, asked.exclude, client.upload_limits()
        ) as package,
    ):
        tell_of_packing(package.notes, package.project)
        return _ModelSending(client, asked).run(package)


class _ModelRun(ModelRun):
    fetch_command = "ci model results {}"


class _ModelSending(Sending[ModelClient, ModelPackage]):
    watch_command = watch_all_command = "ci model watch {}"
    cancel_command = "ci model cancel {}"

    def __init__(self, client: ModelClient, asked: ModelSubmission) -> None:
        own_name = directory_name(asked.path)
        self._name = asked.name or (own_name if _is_name(own_name) else None)
        options = ModelOptions(output=asked.output, verify_local=asked.verify_local)
        super().__init__(client, asked.detach, _ModelRun(asked.path, options, self._name))
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
        return super()._detached(job_id)

    @override
    def _watched(self, job_id: str) -> int:
        code = super()._watched(job_id)
        if code == exit_codes.FAILED:
            _tell_why(self._client, job_id)
        return code


def package(
    path: str, output: str | None, include: Sequence[str], exclude: Sequence[str], as_json: bool
) -> int:
    """Write a model's package into a file; the exit code."""
    place = Path(output or f"{directory_name(path)}.zip")
    if place.suffix != ".zip":
        raise UsageError(f"--output: the name of a package ends in .zip; this is {str(place)!r}.")
    with create_model_package(path, include, (*exclude, *_pattern_of(place, path))) as made:
        tell_of_packing(made.notes, made.project)
        _put(made, place)
        told = _package_facts(made, place)
    print(json.dumps(told, indent=2) if as_json else package_summary(told), flush=True)
    return exit_codes.PASSED


def _pattern_of(place: Path, directory: str) -> list[str]:
    """Keeps the package out of itself, where it is in the model's directory."""
    try:
        inside = place.resolve().relative_to(Path(directory).resolve())
    except ValueError:
        return []
    return ["/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", inside.as_posix())]


def _put(package: ModelPackage, place: Path) -> None:
    """Whole or not at all."""
    part = place.with_name(f".{uuid4().hex}.part")
    try:
        try:
            shutil.copyfile(package.path, part)
            os.replace(part, place)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"Cannot write {place}: {error.strerror or error}.") from error


def _package_facts(package: ModelPackage, place: Path) -> dict[str, Any]:
    with package.path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "path": str(place),
        "size": package.size,
        "sha256": sha256,
        "files": package.project.file_count,
        "createdAt": package.manifest["createdAt"],
        "packageHash": package.package_hash,
    }


def status(job_id: str, server: ServerChoice, as_json: bool) -> int:
    """Show a model's job; the exit code."""
    with _connect(server) as client:
        job = client.get_model_job(job_id)
    print(json.dumps(job.raw, indent=2) if as_json else model_details(job), flush=True)
    return exit_codes.PASSED


def cancel(job_id: str, server: ServerChoice) -> int:
    """Stop a model's job, queued or under way; the exit code."""
    with _connect(server) as client:
        client.cancel_model_job(job_id, force=True)
    print(f"Job {job_id} cancelled.", flush=True)
    return exit_codes.PASSED


def watch(job_id: str, server: ServerChoice, output: str | None) -> int:
    """Watch a job from its beginning to its end, and show its results; the exit code."""
    with _connect(server) as client:
        client.get_model_job(job_id)  # a server that is not there is told at once, not waited for
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
    with _connect(server) as client:
        job = client.get_model_job(job_id)
        if job.result is None:
            return _no_results(client, job)
        directory = output or results_directory(job.model_name, job.job_id)
        found = fetch_results(client, job.job_id, Path(directory))
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
    say(f"Error: {_why_nothing(job)}")
    finished = client.get_job(job.job_id)
    code = exit_codes.of_result(finished) if exit_codes.is_finished(finished) else None
    return code or exit_codes.FAILED


def _why_nothing(job: ModelJob) -> str:
    if not job.is_ended:
        return (
            f"Job {job.job_id} is {job.status}; it has no results before its end. "
            f"Watch it with: ci model watch {job.job_id}"
        )
    verb = {"failed": "failed", "cancelled": "was cancelled"}.get(job.status, "left no results")
    why = f": {job.error_message.rstrip()}" if job.error_message else "."
    return f"Job {job.job_id} {verb}, so there are no results{why}"


def _tell_why(client: ModelClient, job_id: str) -> None:
    """Say on stderr why a job failed, where the log has not just done so on the same terminal."""
    if not sys.stdout.isatty() and (message := client.get_model_job(job_id).error_message):
        say(message)
