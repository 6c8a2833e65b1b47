"""`ci submit`: pack, upload, watch; and Ctrl-C at every point of it."""

import os
import shlex
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from typing_extensions import override

from ci_client.client import Client
from ci_client.command import exit_codes
from ci_client.command.artifacts import fetch_artifacts, new_directory
from ci_client.command.cancellation import Cancellation
from ci_client.command.color import ColorChoice
from ci_client.command.connecting import connect, tell_of_server
from ci_client.command.display import say, shown_id
from ci_client.command.hints import OWN_TABLE, SUBMIT, TABLE
from ci_client.command.interruption import Interruption
from ci_client.command.job_name import unknown_job
from ci_client.command.model_run import ModelRun
from ci_client.command.packing_display import left_out_line, upload_bar
from ci_client.command.progress_lines import ProgressOutput
from ci_client.command.terminal_line import columns
from ci_client.command.watching import JsonOutput, LogOutput, show
from ci_client.errors import ClientError, RequestRefused, UsageError
from ci_client.library.config import ServerChoice
from ci_client.library.job_request import JobRequest
from ci_client.library.retry import PATIENCE_SECONDS
from ci_client.library.secret_options import goes_openly
from ci_client.library.upload import OnProgress
from ci_client.packing.project_files import check_directory
from ci_client.packing.project_zip import ProjectZip, create_project_zip


@dataclass(frozen=True, slots=True)
class Submission:
    """What the user asked for."""

    path: str
    request: JobRequest
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    detach: bool = False
    server: ServerChoice = field(default_factory=ServerChoice)
    model: ModelRun | None = None
    """Set where the job values a model."""
    git: bool | None = None
    """Whether the job gets a repository; `None` leaves it to the project's table."""
    detach_on_signal: bool = False
    """Whether the job goes on when this process is told to stop."""
    as_json: bool = False
    """Whether stdout has events, one JSON object per line, in place of the log."""
    download: str | None = None
    """The directory for the job's artifacts, empty for a new one; `None` leaves them there."""
    color: ColorChoice = ColorChoice.AUTO
    """Of the result."""
    patience: float = PATIENCE_SECONDS
    """How many seconds the server may be away while its job is followed."""

    def check(self) -> None:
        """Raises UsageError for options that do not go together."""
        if self.download is not None and self.detach:
            raise UsageError(
                "--download waits for the job to end, so it cannot be combined with --detach."
            )
        if self.download is not None and self.model is not None:
            raise UsageError("--download cannot be used with the job engine: use --output DIR.")


def submit(
    asked: Submission,
    sending: "Callable[[Client, Submission], ProjectSending] | None" = None,
) -> int:
    """Carry out a submission, by a `sending` of another class where one is given; the exit code."""
    asked.check()
    check_directory(asked.path)
    with (
        connect(replace(asked.server, project=asked.path), asked.patience) as client,
        create_project_zip(
            asked.path, asked.include, asked.exclude, client.upload_limits(), asked.git
        ) as project,
    ):
        tell_of_server(client.config)
        tell_of_packing(project.notes, project)
        warn_of_open_secrets(client, asked.request)
        return (sending or ProjectSending)(client, asked).run(project)


def warn_of_open_secrets(client: Client, request: JobRequest) -> None:
    """Say so when others on the way can read the job's secrets."""
    if request.secrets and goes_openly(client.server_url):
        say(f"Warning: secrets go to {client.server_url} unencrypted; use https.")


def tell_of_packing(notes: Sequence[str], project: ProjectZip) -> None:
    """Say what the user should know of what was packed."""
    for note in notes:
        say(f"Warning: {note}")
    if (notice := left_out_line(project)) is not None:
        say(notice)


class Package(Protocol):
    """What is uploaded."""

    @property
    def size(self) -> int:
        """In bytes."""

    @property
    def close(self) -> Callable[[], object]:
        """Removes the file."""


_Package = TypeVar("_Package", bound=Package)
_Client = TypeVar("_Client", bound=Client)


class Sending(ABC, Generic[_Client, _Package]):
    """One upload, on its way, and what follows until its job ends."""

    watch_command = "ci wait {}"
    watch_all_command = "ci wait {} --all"
    cancel_command = "ci cancel {}"
    _table = TABLE
    _color = ColorChoice.AUTO
    _is_kept = True
    """Whether people can ask about the job later."""
    _command_line = SUBMIT
    """What the user has typed."""

    def __init__(
        self,
        client: _Client,
        detach: bool,
        model: ModelRun | None,
        detach_on_signal: bool = False,
    ) -> None:
        """`model` is set where the job values a model."""
        self._client = client
        self._detach = detach
        self._model = model
        self._detach_on_signal = detach_on_signal
        self._job_id: str | None = None
        self._interruption = Interruption()
        self._cancellation: Cancellation | None = None

    def run(self, package: _Package) -> int:
        """Upload and watch; the exit code."""
        return self._follow(lambda: self._upload(package))

    def _follow(self, submit: Callable[[], str]) -> int:
        with self._interruption:
            try:
                self._job_id = submit()
                return self._detached(self._job_id) if self._detach else self._watched(self._job_id)
            except KeyboardInterrupt:
                self._say_interrupted()
                return self._interruption.exit_code
            except BrokenPipeError:
                raise
            except OSError:  # stdout takes no more
                if self._job_id is not None:
                    say(self._continues())
                raise

    @abstractmethod
    def _send(self, package: _Package, on_progress: OnProgress) -> str:
        """Upload it; the id of its job."""

    def _upload(self, package: _Package) -> str:
        with upload_bar(package.size) as bar:

            def progress(sent: int, total: int) -> None:
                bar(sent, total)
                if sent >= total:
                    self._interruption.hold()

            self._job_id = self._send(package, progress)
        package.close()
        return self._job_id

    def _detached(self, job_id: str) -> int:
        self._interruption.release()
        print(f"Job submitted: {job_id}", flush=True)
        say(f"Watch it with: {self._command(self.watch_all_command)}")
        return exit_codes.PASSED

    def _watched(self, job_id: str) -> int:
        since = time.monotonic()
        self._announce(job_id)
        if self._detach_on_signal:
            self._interruption.release()
        else:
            self._cancellation = Cancellation(self._client, job_id)
            self._interruption.on_first(self._cancellation.start)
        code = self._shown(job_id, since)
        if self._interruption.is_pending:
            return self._interruption.exit_code
        self._interruption.release()
        code = self._collect(job_id, code)
        return self._interruption.exit_code if code == exit_codes.INTERRUPTED else code

    def _shown(self, job_id: str, since: float) -> int:
        """Show the job to its end; the exit code its result stands for."""
        events = self._client.follow(job_id, from_beginning=True)
        kept = job_id if self._is_kept else None
        try:
            with closing(self._output(job_id)) as output:
                return show(events, output, kept, since, self._table, self._command_line)
        finally:
            if self._cancellation is not None:
                self._cancellation.finish()

    def _announce(self, job_id: str) -> None:
        """Say what the job is called."""
        say(self._first_line(job_id))

    def _first_line(self, job_id: str) -> str:
        """With the whole id, and how to watch the job: on a terminal with the short one, and in a
        line of its own where both do not fit.
        """
        if not sys.stderr.isatty():
            command = self._command(self.watch_command)
            return f"Job {job_id}. Watch it from anywhere with: {command}"
        command = self.watch_command.format(shown_id(job_id, sys.stderr))
        how = f"Watch it with: {command}{self._client.server_option}"
        line = f"Job {job_id}. {how}"
        return line if len(line) <= columns() else f"Job {job_id}\n{how}"

    def _output(self, job_id: str) -> LogOutput:
        kind = LogOutput if self._model is None else ProgressOutput
        return kind(self._color)

    def _collect(self, job_id: str, code: int) -> int:
        """Fetch what a job left that has ended, and for which `code` stands; the exit code."""
        if self._model is None or code != exit_codes.PASSED:
            return code
        return self._model.collect(self._client, job_id)

    def _command(self, command: str) -> str:
        return command.format(self._job_id) + self._client.server_option

    def _continues(self) -> str:
        command = self._command(self.watch_command)
        return f"Job {self._job_id} continues to run; watch it with: {command}"

    def _say_interrupted(self) -> None:
        """Say what becomes of the job; it is cancelled, unless it was tried before."""
        if self._job_id is None:
            say("\nInterrupted: nothing was submitted.")
            return
        if self._detach_on_signal:
            say(f"\nInterrupted. {self._continues()}")
            return
        why_not = self._why_not_cancelled(self._job_id)
        if why_not is None:
            say(f"\nInterrupted: job {self._job_id} was cancelled.")
        else:
            say(f"\nInterrupted: job {self._job_id} may not have been cancelled{why_not}. "
                f"To make sure: {self._command(self.cancel_command)}")  # fmt: skip

    def _why_not_cancelled(self, job_id: str) -> str | None:
        if self._cancellation is not None:
            return self._cancellation.why_not
        try:
            self._client.cancel_job(job_id)
        except ClientError as error:
            return f" ({error})"
        except KeyboardInterrupt:
            return ""
        return None


class ProjectSending(Sending[Client, ProjectZip]):
    """The upload of a project."""

    def __init__(self, client: Client, asked: Submission) -> None:
        super().__init__(client, asked.detach, asked.model, asked.detach_on_signal)
        self._request = asked.request
        self._asked = asked
        self._color = asked.color
        if os.path.exists(os.path.join(asked.path, "ci.toml")):
            self._table = OWN_TABLE

    @override
    def _send(self, package: ProjectZip, on_progress: OnProgress) -> str:
        try:
            return self._client.submit(package, request=self._request, on_progress=on_progress)
        except RequestRefused as error:
            if error.code == "unknown_job_name" and self._request.job:
                told = unknown_job(
                    error.message, self._request.job, self._asked.path, self._command_line
                )
                raise UsageError(told) from error
            raise

    @override
    def _detached(self, job_id: str) -> int:
        if not self._asked.as_json:
            return super()._detached(job_id)
        self._interruption.release()
        JsonOutput().event({"type": "job_id", "job_id": job_id})
        return exit_codes.PASSED

    @override
    def _output(self, job_id: str) -> LogOutput:
        if not self._asked.as_json:
            return super()._output(job_id)
        output = JsonOutput(self._color)
        output.event({"type": "job_id", "job_id": job_id})
        return output

    @override
    def _collect(self, job_id: str, code: int) -> int:
        if self._asked.download is None:
            return super()._collect(job_id, code)
        directory = self._asked.download or new_directory(self._asked.path, job_id)
        try:
            fetch_artifacts(self._client, job_id, directory, lambda place: None)
        except ClientError as error:
            say(f"Error: {error.message}")
            return code or exit_codes.of_error(error)
        except KeyboardInterrupt:
            say(f"\nInterrupted. {self._fetch_later(job_id, directory)}")
            return exit_codes.INTERRUPTED
        return code

    def _fetch_later(self, job_id: str, directory: str) -> str:
        command = f"ci artifacts {job_id} --download {shlex.quote(directory)}"
        return f"Fetch the rest with: {command}{self._client.server_option}"
