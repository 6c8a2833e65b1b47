"""A Python for servers whose jobs are processes: one that the jobs' own user may start, too."""

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

from support.live_server import ROOT

UNPRIVILEGED = "nobody"


def _may_start(python):
    """Whether the user that jobs run as may start this Python, of our own version."""
    user = UNPRIVILEGED if os.geteuid() == 0 else None
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    script = f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != {version!r})"
    try:
        done = subprocess.run(
            [python, "-c", script], user=user, extra_groups=[] if user else None, cwd="/"
        )
    except OSError:
        return False
    return done.returncode == 0


@pytest.fixture(scope="session")
def python_for_jobs():
    """Its path; it has what the server needs."""
    if _may_start(sys.executable):
        yield sys.executable
        return
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    candidates = [os.path.realpath(sys.executable), f"/usr/local/bin/{version}"]
    base = next(filter(_may_start, [*candidates, f"/usr/bin/{version}"]), None)
    if base is None:
        pytest.skip(f"no {version} on this machine that the user {UNPRIVILEGED} may start")
    with tempfile.TemporaryDirectory(prefix="ci-test-venv-") as directory:
        Path(directory).chmod(0o755)
        subprocess.run([base, "-m", "venv", "--without-pip", directory], check=True)
        site = Path(directory, "lib", version, "site-packages")
        (site / "ours.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
        yield str(Path(directory, "bin", "python"))
