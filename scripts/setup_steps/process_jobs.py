"""A Python for jobs that run as plain processes, where no container engine can be had.

Started by root, such jobs run as an unprivileged user, who can start neither a Python below
root's home nor an environment made from one. Then the server gets an environment of its own.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from setup_steps import venv
from setup_steps.console import SetupError, run_quietly, step

UNPRIVILEGED_USER = "nobody"
SYSTEM_PYTHONS = ("/usr/local/bin/python3", "/usr/bin/python3")
CAN_MAKE_ENVIRONMENTS = (
    "import sys, venv, ensurepip; sys.exit(not ensurepip.version() or sys.version_info < (3, 11))"
)


@contextmanager
def python() -> Iterator[Path]:
    """The Python to start the server with, so that jobs can start it too.

    Raises:
        SetupError: this machine has none.
    """
    venv.ensure(dev=True)  # there is no runner image: pytest comes from here
    if _jobs_can_run(venv.PYTHON, "import pytest"):
        yield venv.PYTHON
        return
    base = _system_python()
    with tempfile.TemporaryDirectory(prefix="ci-quickstart-venv-") as directory:
        Path(directory).chmod(0o755)
        with step(f"Making an environment that the user {UNPRIVILEGED_USER} can start"):
            failure = "The environment for jobs could not be made."
            run_quietly([base, "-m", "venv", directory], failure=failure)
        own = Path(directory, "bin", "python")
        venv.install(own, dev=True)
        yield own


def _system_python() -> str:
    for candidate in (os.path.realpath(sys.executable), *SYSTEM_PYTHONS):
        if _jobs_can_run(candidate, CAN_MAKE_ENVIRONMENTS):
            return candidate
    raise SetupError(
        f"Without a container engine jobs run as the user {UNPRIVILEGED_USER}, who cannot start "
        f"{sys.executable}, and there is no other Python 3.11 with its venv module.\n"
        "Start this script as an ordinary user, or provide a container engine."
    )


def _jobs_can_run(python: str | Path, script: str) -> bool:
    """Whether the user that jobs run as can start this Python and run the script."""
    user = UNPRIVILEGED_USER if os.geteuid() == 0 else None
    try:
        done = subprocess.run(
            [str(python), "-c", script],
            user=user,
            extra_groups=[] if user else None,
            cwd="/",
            env={"PATH": os.defpath},
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0
