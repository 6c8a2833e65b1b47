"""`ci submit engine`: a model of the calculation engine, valued by a job in the runner image.

The engine itself is not imported: a job runs it, and `--verify-local` a process of its own.
"""

import json
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ci_client.client import Client
from ci_client.command import exit_codes
from ci_client.command.display import say
from ci_client.command.model_results import (
    fetch_results,
    results_directory,
    statistics_table,
    where_results_are,
)
from ci_client.errors import ModelResultError, UsageError
from ci_common.installation import install_command, is_installed
from ci_common.model_manifest import DESCRIPTIONS
from ci_common.model_result import HASH, OUTPUT
from ci_common.progress import PREFIX

JOB = "engine"
"""The name that stands for the engine where the project has no job of that name."""

_PROGRESS = PREFIX.decode()


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What is asked of the engine; None is as the model has it.

    Raises UsageError when the engine is needed here and not installed.
    """

    scenarios: int | None = None
    seed: int | None = None
    threads: int | None = None
    per_policy: bool = False
    mortality_mult: float | None = None
    lapse_mult: float | None = None
    expense_mult: float | None = None
    output: str | None = None
    """Where the results go on this machine; None is a new directory, named by the job."""
    verify_local: bool = False

    def __post_init__(self) -> None:
        if self.verify_local and not is_installed("numpy"):
            raise UsageError(
                "--verify-local needs the calculation engine on this machine. Install it with: "
                f"{install_command('engine')}"
            )

    def is_empty(self) -> bool:
        """Whether nothing is asked for."""
        return self == ModelOptions()

    def arguments(self) -> list[str]:
        """Those that change what is calculated, as the engine's command line takes them."""
        names = ("scenarios", "seed", "threads", "mortality_mult", "lapse_mult", "expense_mult")
        given = [(name.replace("_", "-"), getattr(self, name)) for name in names]
        return [f"--{name}={value!r}" for name, value in given if value is not None]


def job_command(options: ModelOptions) -> list[str]:
    """What the job runs, in the model's directory.

    `-P`, because a file of the model must not stand in for a module of the same name.
    """
    plot = f"{OUTPUT}/npv.png"
    run = ["python", "-P", "-m", "engine", "run", ".", "--output", OUTPUT, "--plot", plot]
    return [*run, *options.arguments(), *(["--per-policy"] if options.per_policy else [])]


def is_model(path: str, name: str | None) -> bool:
    """Whether job `name` of a directory is the engine, and not a job of the project's own."""
    if name != JOB:
        return False
    described = any(os.path.isfile(os.path.join(path, file)) for file in DESCRIPTIONS)
    return described and not _has_own_job(Path(path))


def _has_own_job(directory: Path) -> bool:
    """Whether the project's table has a job of this name. The server tells of a broken table."""
    for file, place in (("ci.toml", ("jobs",)), ("pyproject.toml", ("tool", "ci", "jobs"))):
        if not os.path.isfile(directory / file):
            continue
        try:
            table: Any = tomllib.loads((directory / file).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        for key in place:
            table = table.get(key) if isinstance(table, dict) else None
        return isinstance(table, dict) and JOB in table
    return False


class ModelRun:
    """A model that was sent, and what is to be done with its results."""

    fetch_command = "ci artifacts {} --download DIR"
    """Fetches the results of a job later."""

    def __init__(self, path: str, options: ModelOptions, name: str | None = None) -> None:
        """`name` is the model's, in place of the directory's."""
        self._path = path
        self._options = options
        self._name = name or directory_name(path)

    def collect(self, client: Client, job_id: str) -> int:
        """Fetch, check and show the results of a job that succeeded; the exit code.

        Raises:
            ModelResultError: they are missing or damaged, or differ from the local run's.
            ClientError: they could not be fetched.
        """
        directory = self._options.output or results_directory(self._name, job_id)
        try:
            results = fetch_results(client, job_id, Path(directory))
            if not sys.stdout.isatty():  # where the job's log has just shown them
                say(statistics_table(results))
            say(where_results_are(directory))
            if self._options.verify_local:
                self._verify(str(results[HASH]))
        except KeyboardInterrupt:
            command = self.fetch_command.format(job_id) + client.server_option
            say(f"\nInterrupted. The job has finished; fetch its results with: {command}")
            return exit_codes.INTERRUPTED
        return exit_codes.PASSED

    def _verify(self, remote: str) -> None:
        say("Valuing the model locally, too (this runs its hooks, which are Python code).")
        local = self._local_hash()
        if local != remote:
            raise ModelResultError(
                f"The local result differs: its result_hash is {local}, the job's is {remote}. "
                "Was the model changed, or one of its files not sent? If not, compare `python -m "
                "engine parity` on both machines."
            )
        say(f"The local result is the same: {local}")

    def _local_hash(self) -> str:
        model = os.path.abspath(self._path)
        run = [sys.executable, "-P", "-m", "engine", "run", model, "--json"]
        done = subprocess.run(
            [*run, *self._options.arguments()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if sys.stderr.isatty() else subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            lines = (done.stderr or b"").decode(errors="replace").splitlines()
            said = [line for line in lines if not line.startswith(_PROGRESS)]
            told = "\n".join([f"The local run failed: exit code {done.returncode}", *said])
            raise ModelResultError(told)
        return str(json.loads(done.stdout)[HASH])


def directory_name(path: str) -> str:
    """The directory's own name, however it is reached; `model` for the root."""
    return Path(path).resolve().name or "model"


def model_run(path: str, name: str | None, options: ModelOptions) -> ModelRun | None:
    """The run of a model that a submission asks for; None if it asks for something else.

    Raises:
        UsageError: options of the engine for what is no model.
    """
    if is_model(path, name):
        return ModelRun(path, options)
    if not options.is_empty():
        raise UsageError(
            f"Engine options require NAME to be {JOB!r}, and --path to be a directory with "
            f"{' or '.join(DESCRIPTIONS)} whose project has no job of that name."
        )
    return None
