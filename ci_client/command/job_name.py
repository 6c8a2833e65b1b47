"""NAME of `ci submit`: what else may be meant where it is not the name of a job."""

import os
import re
import shlex
from contextlib import suppress
from pathlib import Path

from ci_client.command.model_run import JOB
from ci_client.errors import ClientError, NotAModel, UsageError
from ci_client.library.job_request import is_job_name
from ci_client.project_config import known_jobs

_TEST_FILE = re.compile(r"(?:test_[^/]*|[^/]*_test)\.py")


def check_name(
    name: str, path: str, command_line: str, *, has_command: bool, follows_download: bool
) -> None:
    """Raise UsageError or NotAModel for what is hardly meant to be the job NAME of the directory
    `path`. `follows_download`: whether it comes directly after `--download`. `command_line` is what
    the user has typed before: `ci submit` or `ci run`.
    """
    value = f"--download={shlex.quote(name)}"
    if follows_download and has_command:
        raise UsageError(
            f"--download takes its directory after an equals sign; did you mean {value}? If "
            f"{name} is a job, put it before --download."
        )
    known = known_jobs(path) if os.path.isdir(path) else None
    if is_job_name(name) and (has_command or known is None or name in known):
        return
    if follows_download:
        raise UsageError(f"the project has no job {name!r}; did you mean {value}?")
    if name == JOB:
        _check_model(path)
    if advice := _meant(name, path, command_line):
        raise UsageError(f"{name!r:.60} is not the name of a job. {advice}")


def _check_model(path: str) -> None:
    from ci_client.packing.model_package import check_model  # few need it

    try:
        check_model(path)
    except NotAModel as error:
        raise NotAModel(f"The job engine values a model, but {error.message}") from None


def _meant(name: str, path: str, command_line: str) -> str | None:
    """What to type instead, where it is the name of a directory or of a file."""
    file, colons, test = name.partition("::")
    if os.path.isdir(name):
        return f"For a directory: {command_line} --path {shlex.quote(name)}"
    if " " in name or not (os.path.isfile(file) or "/" in name):
        return None
    file = _within(file, path)
    if _TEST_FILE.fullmatch(os.path.basename(file)):
        words = ["python", "-m", "pytest", file + colons + test]
        return f"To run its tests: {command_line} -- {shlex.join(words)}"
    words = ["python", file] if file.endswith(".py") else [_with_slash(file)]
    return f"To run a file: {command_line} -- {shlex.join(words)}"


def _within(file: str, path: str) -> str:
    """The file's name as seen from the project, where it is in it."""
    relative = _relative(file, path)
    return file if relative.startswith(os.pardir) or not os.path.exists(file) else relative


def _relative(place: str, start: str) -> str:
    try:
        return os.path.relpath(place, start)
    except ValueError:  # on another drive of Windows
        return place


def _with_slash(file: str) -> str:
    return file if "/" in file else f"./{file}"


def unknown_job(message: str, name: str, path: str, command_line: str) -> str:
    """What to say where the project has no job NAME: the message, and what may be meant."""
    above = _parent_with_job(name, path)
    if above is not None:
        command = f"{command_line} {name} --path {shlex.quote(above)}"
        return f"{message}; the directory {above} has this job: {command}"
    if "did you mean" in message.lower():
        return message
    return f"{message}. To run a program: {command_line} -- {name}"


def _parent_with_job(name: str, path: str) -> str | None:
    """The next directory above the project's, within its git work tree, whose table has this job:
    as it is reached from here.
    """
    directory = Path(path).resolve()
    for parent in directory.parents:
        if (directory / ".git").exists():
            break
        with suppress(ClientError):
            if name in (known_jobs(str(parent)) or ()) and name != "test":
                return _relative(str(parent), os.curdir)
        directory = parent
    return None
