"""Small file systems for a moment, in a mount namespace that nobody else sees."""

import os
import shutil
import subprocess
import sys

import pytest

from support.instances import ROOT

_UNSHARE = (
    ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
)


def run_on_tmpfs(directory, size, shell, environment=None):
    """Mount a tmpfs of `size` on `directory`, then run a shell script there; what it did.

    The script has `$PYTHON`.
    """
    if (
        shutil.which("unshare") is None
        or subprocess.run([*_UNSHARE, "true"], check=False).returncode
    ):
        pytest.skip("this machine gives out no mount namespaces")
    directory.mkdir(exist_ok=True)
    script = f"set -e; mount -t tmpfs -o size={size} none {directory}; cd {directory}; {shell}"
    return subprocess.run(
        [*_UNSHARE, "/bin/sh", "-c", script],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHON": sys.executable,
            **(environment or {}),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
