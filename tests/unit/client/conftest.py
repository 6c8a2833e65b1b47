"""Fixtures of the client's tests. A module that needs more of its server builds on this one."""

import os
import subprocess
import sys

import pytest
from client_scripted_server import scripted_server


@pytest.fixture
def server():
    with scripted_server() as server:
        yield server


@pytest.fixture
def target(tmp_path):
    """A directory that is still to be made."""
    return tmp_path / "made" / "here"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project/test_a.py").write_text("def test(): pass\n")
    (tmp_path / "tmp").mkdir()
    return tmp_path / "project"


@pytest.fixture
def start(server, project):
    """Start `ci ARGUMENTS…` in the project, after some other code in the same process."""
    started = []

    def start(
        *arguments: str,
        entry: str = "main",
        through: list[str] | None = None,
        before: str = "",
        **options,
    ) -> subprocess.Popen[bytes]:
        main = f"import sys; from ci_client.cli import {entry}; sys.argv[0] = 'ci'; {entry}()"
        code = f"{before}\n{main}"
        env = {
            **os.environ,
            "PYTHONPATH": os.getcwd(),
            "CI_SERVER_URL": server.url,
            "TMPDIR": str(project.parent / "tmp"),
            "HOME": str(project.parent),
        }
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        process = subprocess.Popen(
            [*(through or []), sys.executable, "-c", code, *arguments],
            cwd=project,
            env=env,
            **(pipes | options),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
    assert list((project.parent / "tmp").iterdir()) == [], "temporary files were left behind"


@pytest.fixture
def run(start):
    def run(*arguments: str, **options) -> tuple[int, bytes, str]:
        process = start(*arguments, **options)
        out, err = process.communicate(timeout=60)
        told = b"" if err is None else err  # None: it is in `out`, with `stderr=STDOUT`
        assert b"Traceback" not in told, told.decode()
        return process.returncode, out, told.decode()

    return run
