"""git, run without side effects on the repository that is looked at."""

import os
from collections.abc import Iterable

_OF_ANOTHER_REPOSITORY = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_CONFIG_PARAMETERS",
)
"""Set by git for its hooks, of the repository that the hook runs in."""


class GitFailedError(Exception):
    """git could not be run, or says why it does not answer, in one line."""


def git_output(directory: str, *arguments: str, given: Iterable[bytes] = ()) -> bytes:
    """What git writes; `given` are lines for it to read. Raises GitFailedError."""
    code, output, errors = run_git(directory, *arguments, given=given)
    if code != 0:
        first = errors.decode(errors="replace").strip().partition("\n")[0]
        raise GitFailedError(first.removeprefix("fatal: ") or f"git ended with exit code {code}")
    return output


def run_git(
    directory: str, *arguments: str, given: Iterable[bytes] = ()
) -> tuple[int, bytes, bytes]:
    """Exit code, output and errors. Raises GitFailedError when git cannot be run."""
    # Here because a directory that is not in a repository need not wait for this import.
    import subprocess

    environment = {
        name: value for name, value in os.environ.items() if name not in _OF_ANOTHER_REPOSITORY
    }
    # Only look: no lock is taken, nothing is written, and no monitor of the repository's is run.
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    command = ["git", "-c", "core.fsmonitor=false", "-C", directory, *arguments]
    lines = b"".join(line + b"\n" for line in given)
    try:
        done = subprocess.run(
            command, env=environment, input=lines, capture_output=True, check=False
        )
    except OSError as error:
        raise GitFailedError(f"git cannot be run: {error.strerror}") from error
    return done.returncode, done.stdout, done.stderr
