"""A server whose runs are processes that do what their query says."""

import pytest

from support import run_program as program
from support.live_server import LiveServer
from support.run_schemas import Runs


@pytest.fixture(scope="session")
def processes(tmp_path_factory, python_for_jobs):
    with LiveServer(
        tmp_path_factory.mktemp("runs"),
        python=python_for_jobs,
        executor="process",
        cancel_grace_seconds=1,
        run_command=program.COMMAND,
        max_memory_mb=512,
    ) as server:
        yield server.start().ready()


@pytest.fixture(scope="session")
def runs(processes):
    return Runs(processes.http)


@pytest.fixture
def gate(tmp_path):
    """A file that a run waits for, in a directory that its user may enter."""
    for directory in (tmp_path, *tmp_path.parents[:3]):
        if directory.name.startswith(("pytest", "popen", "test", "bt")):
            directory.chmod(0o755)
    return tmp_path / "gate"
